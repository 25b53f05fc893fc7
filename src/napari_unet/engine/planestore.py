"""The scratch folder of one plane that is segmented block by block.

::

    scratch/<key>/              key: the model, what is asked of it, and the shape of the plane
        plane.json              how large tiles are, so that all blocks are computed alike; and
                                what is odd about the grey values
        statistics.npy          of the grey values of the whole plane
        probabilities/          float32, zarr: (Y, X) of cells, or (K, Y, X) of classes if wanted
        evidence/               (K, Y, X) uint16, zarr; of models for cells of K classes
        labels/                 (Y, X) zarr: the cells of each block 1 ... n, or the classes
        predicted-0-3           block (0, 3) of what is predicted is complete
        sums-0-3.npy            (K, n) the evidence in the pixels that cells have in it
        cells-0-3.npy           its labels are complete too; the first pixels of the cells in it
        numbers.npy             the first pixels of all cells, in order

Whole chunks belong to one block, and a file that says that something is complete appears at once,
after it. So whatever is killed, and whenever, what is there is right, and the rest is done again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.cellclasses import class_sums, likeliest_classes
from napari_unet.core.config import PredictConfig
from napari_unet.core.islands import Box
from napari_unet.core.normalise import statistics_and_oddity
from napari_unet.core.tiles import parts_of
from napari_unet.engine.atomic import write_atomically
from napari_unet.engine.cells import cell_rules
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import JobError

__all__ = ["BLOCK", "PlaneStore"]

BLOCK = 2048
"""Side of a block in pixels of the image."""

CHUNK = 1024
"""Side of the largest chunks; blocks are whole numbers of them."""

Integers = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class PlaneStore:
    """What is known of a plane so far, on disk. Small, and the same in every process.

    Attributes
    ----------
    folder : Path
        Of this plane, this model and these settings only.
    shape : (int, int)
        Of the plane.
    side : int
        Of its blocks: a multiple of `CHUNK`, or smaller.
    tile_size : int
        As in a `PredictConfig`.
    oddity : str
        What the user should know about the grey values of the plane; mostly "".
    """

    folder: Path
    shape: tuple[int, int]
    side: int
    tile_size: int
    oddity: str

    @classmethod
    def open(
        cls,
        scratch: Path,
        segmenter: Segmenter,
        image: Any,
        config: PredictConfig,
        *,
        tile_size: int,
        side: int,
        probabilities: bool,
    ) -> PlaneStore:
        """Open the store of a (C, Y, X) plane in a folder of scratch files, or make it there.

        The pixels of the image are taken to be the same as when it was made; so use one scratch
        folder for one image. ``tile_size`` is what a new store begins with. Of classes the
        ``probabilities`` are only kept if they are wanted.
        """
        shape = (image.shape[1], image.shape[2])
        wanted = probabilities or segmenter.kind == "cells"
        folder = scratch / _key(segmenter, config, image.shape, side, wanted=wanted)
        if not folder.exists():
            _make(folder, segmenter, image, tile_size, min(side, CHUNK), probabilities=wanted)
        settings = json.loads((folder / "plane.json").read_text())
        return cls(folder, shape, side, **settings)

    @property
    def probabilities(self) -> Any:
        """Of cells (Y, X), or of classes (K, Y, X), float32, a zarr array; None if not kept."""
        return self._kept("probabilities")

    @property
    def labels(self) -> Any:
        """The cells of each block by their number in it, or classes; (Y, X), a zarr array."""
        return _array(self.folder / "labels")

    @property
    def evidence(self) -> Any:
        """Of cells of K classes, (K, Y, X) as `class_evidence`, a zarr array; otherwise None."""
        return self._kept("evidence")

    @property
    def statistics(self) -> NDArray[np.float32]:
        """As `grey_statistics` of the whole plane."""
        statistics: NDArray[np.float32] = np.load(self.folder / "statistics.npy")
        return statistics

    def boxes(self) -> list[Box]:
        """Return the blocks, row by row."""
        return [(y, x) for y, x in parts_of([slice(0, n) for n in self.shape], self.side)]

    def is_predicted(self, box: Box) -> bool:
        """Tell whether what is predicted of a block is complete."""
        return self._path("predicted", box).exists()

    def keep_prediction(self, box: Box, values: Mapping[str, NDArray[Any]]) -> None:
        """Write what is predicted of a block, by the names of the arrays."""
        for name, part in values.items():
            _array(self.folder / name)[(..., *box)] = part
        write_atomically(self._path("predicted", box), lambda file: file.write(b"complete"))

    def first_pixels(self, box: Box) -> NDArray[np.int64] | None:
        """Return the first pixels of the cells in a block, or None if it is not complete."""
        path = self._path("cells", box, ".npy")
        return np.load(path) if path.exists() else None

    def keep_cells(self, box: Box, labels: Integers, first: NDArray[np.int64]) -> None:
        """Write the cells of a block, and what their classes are told by."""
        self.labels[box] = labels
        evidence = self.evidence
        if evidence is not None:
            sums = class_sums(evidence[(..., *box)], labels, len(first) + 1)[:, 1:]
            write_atomically(self._path("sums", box, ".npy"), lambda file: np.save(file, sums))
        write_atomically(self._path("cells", box, ".npy"), lambda file: np.save(file, first))

    def number_cells(self) -> int:
        """Number the cells of all blocks, and return how many there are."""
        tables = [self.first_pixels(box) for box in self.boxes()]
        known = [table for table in tables if table is not None]
        if len(known) < len(tables):
            raise JobError(
                f"{len(tables) - len(known)} of the {len(tables)} blocks of {self.folder} are not "
                f"segmented yet; run the same command again."
            )
        numbers = np.unique(np.concatenate(known))
        path = self.folder / "numbers.npy"
        write_atomically(path, lambda file: np.save(file, numbers))
        return len(numbers)

    def numbered(self, box: Box, first: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Return the cells of a block by their numbers in the plane."""
        numbers = np.load(self.folder / "numbers.npy", mmap_mode="r")
        names = np.zeros(len(first) + 1, dtype=np.uint32)
        names[1:] = np.searchsorted(numbers, first) + 1
        labels: NDArray[np.uint32] = names[self.labels[box]]
        return labels

    def cell_classes(self) -> NDArray[np.uint8]:
        """Return the classes 1 ... K of all cells, which are numbered, in the order of these.

        The evidence is counted in whole numbers, so what the blocks have of a cell adds up to
        exactly what the cell has.
        """
        numbers = np.load(self.folder / "numbers.npy")
        sums = np.zeros((self.evidence.shape[0], len(numbers) + 1), dtype=np.int64)
        for box in self.boxes():
            first = np.load(self._path("cells", box, ".npy"))
            sums[:, np.searchsorted(numbers, first) + 1] += np.load(self._path("sums", box, ".npy"))
        return likeliest_classes(sums)[1:]

    def remove(self) -> None:
        """Delete all of it; from now on it is not there, even if this is killed."""
        away = Path(mkdtemp(dir=self.folder.parent, prefix=".removed-"))
        self.folder.replace(away / "plane")
        shutil.rmtree(away)

    def _kept(self, name: str) -> Any:
        path = self.folder / name
        return _array(path) if path.exists() else None

    def _path(self, what: str, box: Box, suffix: str = "") -> Path:
        y, x = (span.start // self.side for span in box)
        return self.folder / f"{what}-{y}-{x}{suffix}"


def _key(
    segmenter: Segmenter, config: PredictConfig, shape: tuple[int, ...], side: int, *, wanted: bool
) -> str:
    known = [segmenter.describe(), tuple(map(int, shape)), side, config.tile_size, wanted]
    known += [config.rotations, config.magnification]
    if segmenter.kind == "cells":
        known.append(asdict(cell_rules(segmenter, config)))
    digest = hashlib.blake2b(repr(known).encode(), digest_size=12)
    segmenter.hash_weights(digest.update)
    return digest.hexdigest()


def _make(
    folder: Path,
    segmenter: Segmenter,
    image: Any,
    tile_size: int,
    chunk: int,
    *,
    probabilities: bool,
) -> None:
    import zarr

    # first, for pixels that cannot be read would leave what is begun behind
    statistics, oddity = statistics_and_oddity(image)
    folder.parent.mkdir(parents=True, exist_ok=True)
    begun = Path(mkdtemp(dir=folder.parent, prefix=".begun-"))

    def create(name: str, dtype: str, *channels: int) -> None:
        shape, chunks = (*channels, *image.shape[1:]), (*(1 for _ in channels), chunk, chunk)
        zarr.create_array(begun / name, shape=shape, chunks=chunks, dtype=dtype)

    cells = segmenter.kind == "cells"
    create("labels", "i4" if cells else "u1")
    if probabilities:
        create("probabilities", "f4", *(() if cells else (segmenter.n_classes,)))
    if segmenter.cell_classes > 1:
        create("evidence", "u2", segmenter.cell_classes)
    np.save(begun / "statistics.npy", statistics)
    (begun / "plane.json").write_text(json.dumps({"tile_size": tile_size, "oddity": oddity}))
    try:
        begun.rename(folder)
    except OSError:  # another process was first
        shutil.rmtree(begun)


def _array(path: Path) -> Any:
    import zarr

    return zarr.open_array(path, mode="r+")
