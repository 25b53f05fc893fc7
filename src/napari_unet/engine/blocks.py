"""Segment a plane of any size block by block, in bounded memory, with the cells of the whole plane.

::

    predict_block   every block     pixels           -> probabilities   on disk, in the scratch
    find_blocks     every block     probabilities    -> its cells       folder of the plane
    number_cells    once            cells            -> their numbers   (of a `PlaneStore`)
    write_block     every block     cells, numbers   -> labels

Each step may run in any process, in any order within the step, and again: what is complete is not
done twice, and what was killed half way is done anew. `segment_large` does them all, here.
A block is found from the blocks around it, so those must be predicted first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.cellclasses import class_evidence, foreground, likeliest
from napari_unet.core.config import PredictConfig
from napari_unet.core.islands import Box, cells_of_block
from napari_unet.core.tiles import lengths, within
from napari_unet.engine.cells import cell_rules
from napari_unet.engine.checkedimage import check_room, checked_image
from napari_unet.engine.events import PlaneDone, SegmentEvent, TileDone
from napari_unet.engine.magnified import plane_predictor
from napari_unet.engine.plane import NOTHING
from napari_unet.engine.planestore import BLOCK, PlaneStore
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

__all__ = [
    "find_blocks",
    "is_large",
    "open_store",
    "predict_block",
    "put",
    "segment_large",
    "write_block",
]

LARGE = 1 << 26
"""Pixels of the largest plane that is segmented in memory."""

MOST_THREADS = 4
"""That find cells at a time: each may take half a gigabyte."""

Region = tuple[slice, ...]


def is_large(shape: tuple[int, ...]) -> bool:
    """Tell whether a plane (Y, X) should be segmented block by block."""
    return shape[0] * shape[1] > LARGE


def open_store(
    scratch: Path,
    segmenter: Segmenter,
    image: Any,
    config: PredictConfig,
    *,
    side: int = BLOCK,
    probabilities: bool = False,
) -> PlaneStore:
    """Open, or make, the scratch files of a plane.

    Parameters
    ----------
    scratch : Path
        A folder for this plane alone; it is made where it is missing.
    segmenter : Segmenter
        The trained network.
    image : array
        (C, Y, X), read region by region.
    config : PredictConfig
        As for the whole plane.
    side : int
        Of the blocks: a multiple of 1024, or smaller.
    probabilities : bool
        Whether to keep those of a model of classes; those of cells are needed.
    """
    tile_size = plane_predictor(segmenter, config).tile_size
    return PlaneStore.open(
        scratch,
        segmenter,
        checked_image(segmenter, image),
        config,
        tile_size=tile_size,
        side=side,
        probabilities=probabilities,
    )


def predict_block(
    store: PlaneStore, segmenter: Segmenter, image: Any, box: Box, config: PredictConfig
) -> None:
    """Compute the probabilities of cells in a block, or for a model of classes the classes."""
    for _ in _predict_tiles(store, segmenter, checked_image(segmenter, image), box, config):
        pass


def find_blocks(
    store: PlaneStore, segmenter: Segmenter, boxes: Sequence[Box], config: PredictConfig
) -> Iterator[Box]:
    """Find the cells of blocks, in threads where torch has some too; yield what is done."""
    find = partial(_find_block, store, segmenter, config)
    with ThreadPoolExecutor(min(torch.get_num_threads(), MOST_THREADS)) as threads:
        yield from threads.map(find, boxes)


def write_block(
    store: PlaneStore, out: Any, box: Box, *, where: Region = (), after: int = 0
) -> None:
    """Write the final labels of a block.

    Parameters
    ----------
    store : PlaneStore
        With all cells numbered, or with the classes of the block.
    out : array
        NumPy or zarr; in whole chunks if these are not larger than those of the store.
    box : (slice, slice)
        The block.
    where : tuple of slice
        Which plane of ``out``, where it has axes before (Y, X).
    after : int
        Cell 1 gets the number after this one.
    """
    first = store.first_pixels(box)
    if first is None:
        labels: NDArray[Any] = store.labels[box]
    else:
        labels = store.numbered(box, first)
        labels[labels > 0] += np.uint32(after)
    put(out, (*where, *box), labels)


def put(out: Any, region: Region, values: NDArray[Any]) -> None:
    """Write values into an array, with the axes of their region: zarr does not broadcast."""
    out[region] = values.reshape(lengths(region)).astype(out.dtype, copy=False)


def segment_large(
    segmenter: Segmenter,
    image: Any,
    out: Any,
    config: PredictConfig,
    scratch: str | os.PathLike[str],
    *,
    where: Region = (),
    after: int = 0,
    side: int = BLOCK,
) -> Iterator[SegmentEvent]:
    """Segment a plane block by block into ``out``.

    Run again with the same arguments after it was stopped, it goes on; at the end the scratch files
    are deleted.

    Parameters
    ----------
    segmenter, image, config, scratch, side
        As for `open_store`; also (Y, X).
    out, where, after
        As for `write_block`.

    Yields
    ------
    SegmentEvent
        A `TileDone` per tile, and per block that is complete, that is found, and that is written;
        then a `PlaneDone`. Regions of complete blocks hold the foreground (1) or the classes,
        of written ones the cells.

    Raises
    ------
    InputError
        If the image is a stack, or does not fit the network.
    """
    image = checked_image(segmenter, image)
    if len(image.shape) > 3:
        raise InputError(
            f"The image has shape {tuple(image.shape)}; give one plane, (Y, X) or (C, Y, X)."
        )
    store = open_store(Path(scratch), segmenter, image, config, side=side)
    boxes, index, objects = store.boxes(), 0, 0
    planner = plane_predictor(segmenter, replace(config, tile_size=store.tile_size))
    tiles = [planner.count(box, image) for box in boxes]
    cells = segmenter.kind == "cells"
    total = sum(tiles) + (3 if cells else 1) * len(boxes)
    note = ""

    def told(region: tuple[slice, ...], number: int) -> TileDone:
        place = (*where, *region)
        return TileDone(index=number, total=total, region=place, note=note, oddity=store.oddity)

    for box, count in zip(boxes, tiles, strict=True):
        for done, said in enumerate(_predict_tiles(store, segmenter, image, box, config), start=1):
            note = said
            yield told(NOTHING, index + done)
        index += count + 1
        put(out, (*where, *box), _shown(store, box, config, cells=cells))
        yield told(box, index)
    if cells:
        for _ in find_blocks(store, segmenter, boxes, config):
            index += 1
            yield told(NOTHING, index)
        objects = store.number_cells()
        check_room(out.dtype, after + objects)
        for box in boxes:
            index += 1
            write_block(store, out, box, where=where, after=after)
            yield told(box, index)
    classes: tuple[int, ...] = ()
    if segmenter.cell_classes > 1:
        classes = tuple(store.cell_classes().tolist())
    store.remove()
    yield PlaneDone(plane=1, planes=1, objects=objects, classes=classes)


def _predict_tiles(
    store: PlaneStore, segmenter: Segmenter, image: Any, box: Box, config: PredictConfig
) -> Iterator[str]:
    """Predict a block unless that is done; after each tile yield what is to be said about it."""
    if store.is_predicted(box):
        return
    predictor = plane_predictor(segmenter, replace(config, tile_size=store.tile_size))
    shape = lengths(box)
    block: dict[str, NDArray[Any]] = {}
    wanted = store.probabilities is not None
    for piece in predictor.pieces_of(image, box, store.statistics):
        if piece.values is not None:
            there = within(piece.region, box)
            for name, values in _to_keep(segmenter, piece.values, wanted=wanted).items():
                if name not in block:
                    block[name] = np.empty((*values.shape[:-2], *shape), values.dtype)
                block[name][..., there[0], there[1]] = values
        yield predictor.note
    store.keep_prediction(box, block)


def _to_keep(
    segmenter: Segmenter, values: NDArray[np.float32], *, wanted: bool
) -> dict[str, NDArray[Any]]:
    """Return what a store keeps of probabilities (K, *region), by the names of its arrays."""
    if segmenter.kind == "classes":
        return {"labels": likeliest(values)} | ({"probabilities": values} if wanted else {})
    kept: dict[str, NDArray[Any]] = {"probabilities": foreground(values)}
    if segmenter.cell_classes > 1:
        kept["evidence"] = class_evidence(values)
    return kept


def _find_block(store: PlaneStore, segmenter: Segmenter, config: PredictConfig, box: Box) -> Box:
    """Find the cells of a block unless that is done."""
    if store.first_pixels(box) is None:
        # one plane is one island in the worst case, so the window is limited there
        cells = cells_of_block(
            store.probabilities.__getitem__, box, store.shape, cell_rules(segmenter, config)
        )
        store.keep_cells(box, cells.labels, cells.first)
    return box


def _shown(store: PlaneStore, box: Box, config: PredictConfig, *, cells: bool) -> NDArray[Any]:
    """Return what can be seen of a block before all cells are numbered."""
    if not cells:
        return np.asarray(store.labels[box])
    found: NDArray[Any] = store.probabilities[box] >= config.threshold
    return found
