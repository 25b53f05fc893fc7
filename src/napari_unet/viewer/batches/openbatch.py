"""The job of segmenting open images into files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_unet.core.config import PredictConfig
from napari_unet.engine.formats.source import PixelSize, seconds_in
from napari_unet.engine.items.stamps import fingerprint
from napari_unet.engine.process import batch_tasks
from napari_unet.errors import InputError
from napari_unet.viewer.batches.batch import BatchRow, Show
from napari_unet.viewer.batches.batch_job import BatchRequest, FilesJob
from napari_unet.viewer.batches.opening import OpenFileResult
from napari_unet.viewer.filenames import free_name
from napari_unet.viewer.layers import image_layers
from napari_unet.viewer.reading import served_planes
from napari_unet.viewer.segmenting.checks import check_fits
from napari_unet.viewer.stack import ImageStack, knows_spacing, pixel_size, plane_depth

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["OpenFilesJob"]

LETTERS = {"t": "T", "time": "T", "z": "Z"}
"""Of axes of planes, by their names."""


class OpenFilesJob(FilesJob):
    """Segments all open images into a folder, however large they are.

    Parameters
    ----------
    session, request, config
        As for a `FilesJob`, without files.

    Raises
    ------
    InputError
        If no open image fits the model.
    """

    def __init__(self, session: Session, request: BatchRequest, config: PredictConfig) -> None:
        layers = image_layers(session.viewer)
        first = layers[0] if request.first is None else request.first
        super().__init__(session, request, config, channels=ImageStack.of(first).channels)
        self._sources: list[_Source] = []
        taken: set[str] = set()
        reasons = []
        for layer in [first, *(layer for layer in layers if layer is not first)]:
            row = BatchRow(layer.name)
            self._batch.rows.append(row)
            try:
                check_fits(self._segmenter, layer)
            except InputError as error:
                reasons.append(error)
                row.end("skipped", str(error))
                continue
            self._rows.append(row)
            self._sources.append(_Source.of(layer, free_name(layer.name, taken)))
        if not self._sources:
            self._batch.end()
            raise reasons[0]

    def events(self, stop: threading.Event) -> Iterator[batch_tasks.BatchTold]:
        """Run the batch; for a worker thread."""
        open_images = []
        for source in self._sources:
            open_images.append(source.arguments(stop))
            if stop.is_set():
                return
        yield from self._session.host.run(
            batch_tasks.batch_open,
            open_images,
            self._request.folder,
            self._segmenter,
            self._config,
            self._options,
            stop=stop,
        )

    def result(self, number: int, image: Path, labels: Path) -> Show:  # noqa: ARG002
        """Return what shows a result."""
        source = self._sources[number]
        return OpenFileResult(source.layer, labels, source.plane_axes)


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """An open image, as it was at the click."""

    layer: Image
    called: str
    identity: str
    path: str | None
    file_name: str
    stack: ImageStack
    size: PixelSize
    axes: str

    @classmethod
    def of(cls, layer: Image, file_name: str) -> _Source:
        stack = ImageStack.of(layer)
        used = [i for i in range(layer.ndim) if stack.rgb or i != stack.channel_axis]
        axes = "".join(LETTERS.get(str(layer.axis_labels[i]).lower(), "Q") for i in used[:-2])
        size = _size(layer, dict(zip(axes, used, strict=False)))
        identity = f"{layer.unique_id} {id(stack.data)}"
        path = layer.source.path
        return cls(layer, layer.name, identity, path, file_name, stack, size, axes)

    @property
    def plane_axes(self) -> str:
        """A letter for each axis of more than one plane."""
        sizes = zip(self.axes, self.stack.leading, strict=True)
        return "".join(axis for axis, n in sizes if n > 1)

    def arguments(self, stop: threading.Event) -> dict[str, Any]:
        """Return what an `OpenItem` is made of; for a worker thread."""
        return {
            "image": Path(f"layer {self.called!r}"),
            "name": Path(self.file_name),
            "seen": self._fingerprint(stop),
            "planes": served_planes(self.stack, self.called),
            "file": "" if self.path is None else str(Path(self.path).absolute()),
            "plane_axes": self.plane_axes,
            "plane_shape": tuple(n for n in self.stack.leading if n > 1),
            "pixel_size": self.size,
        }

    def _fingerprint(self, stop: threading.Event) -> str:
        """Tell the pixels from others: by themselves in memory, else by their file or layer."""
        stack = self.stack
        digest = hashlib.sha256(f"{self.called} {stack.shape} {stack.channels}".encode())
        if stack.in_memory:
            for index in stack.indices():
                if stop.is_set():
                    break
                digest.update(np.ascontiguousarray(stack.plane(index)).data)
            return digest.hexdigest()
        seen = self.identity
        with suppress(OSError):
            # what a reader calls a path need not be one
            if self.path is not None and Path(self.path).exists():
                seen = fingerprint(Path(self.path))
        digest.update(seen.encode())
        return digest.hexdigest()


def _size(layer: Image, planes: Mapping[str, int]) -> PixelSize:
    """Return how large pixels are, and the steps between planes and frames that are known.

    Parameters
    ----------
    layer : Image
        Has scale and units.
    planes : mapping of str to int
        Which of its axes has a letter, the slowest first.
    """
    size, depth, frame = pixel_size(layer), 0.0, 0.0
    sides = size.yx or (0.0, 0.0)
    if planes and [*planes][-1] != "T" and knows_spacing(layer):
        depth = plane_depth(layer)
        # in pixels, where they have no unit
        sides = size.yx or (abs(float(layer.scale[-2])), abs(float(layer.scale[-1])))
    if (t := planes.get("T")) is not None:
        frame = float(layer.scale[t]) * seconds_in(layer.units[t])
    return PixelSize.of(*sides, size.unit, depth, frame)
