"""Overlap-tile prediction as generators: final pixels, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.cellclasses import class_evidence, likeliest, object_classes
from napari_unet.core.cellclasses import foreground as cells_in
from napari_unet.core.config import PredictConfig
from napari_unet.core.given import chosen
from napari_unet.engine.blocks import is_large, put, segment_large
from napari_unet.engine.cells import find_cells
from napari_unet.engine.checkedimage import check_out, check_room, checked_image
from napari_unet.engine.events import PlaneDone, SegmentEvent, TileDone
from napari_unet.engine.lazyplane import plane_at
from napari_unet.engine.magnified import MagnifiedPredictor, plane_predictor
from napari_unet.engine.plane import PlanePredictor
from napari_unet.engine.process.mailbox import Mailbox
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

__all__ = ["predict", "probabilities", "segment", "segment_into"]

Array: TypeAlias = Any
"""NumPy, or anything with a shape and a dtype that is read, or written, with an index: zarr."""

Region = tuple[slice, ...]


def probabilities(
    segmenter: Segmenter, image: Array, config: PredictConfig | None = None
) -> NDArray[np.float32]:
    """Return the class probabilities of an image.

    Parameters
    ----------
    segmenter : Segmenter
        The trained network.
    image : array
        (Y, X), (C, Y, X) or (C, Z, Y, X).
    config : PredictConfig, optional
        Tile size, rotations, device.

    Returns
    -------
    float32 array
        (K, Y, X), or (K, Z, Y, X) for a stack; sums to 1 over K. For a model of
        cells, the first is the background.

    Raises
    ------
    InputError
        If the image does not fit the network, or an argument is of another type.
    DeviceError
        If the device does not exist or a tile does not fit into its memory.
    """
    image = checked_image(segmenter, image)
    out = np.empty((segmenter.n_classes, *image.shape[1:]), dtype=np.float32)
    for _ in predict(segmenter, image, out, config):
        pass
    return out


def segment(
    segmenter: Segmenter, image: Array, config: PredictConfig | None = None
) -> NDArray[np.uint32]:
    """Segment an image.

    Parameters
    ----------
    segmenter : Segmenter
        The trained network.
    image : array
        (Y, X), (C, Y, X) or (C, Z, Y, X).
    config : PredictConfig, optional
        Threshold, smallest cell, tile size, rotations, device.

    Returns
    -------
    uint32 array
        (Y, X) or (Z, Y, X). For a model of cells: 0 background, 1 ... n cells, numbered across
        all planes of a stack. For a model of classes: the class of each pixel, 1 ... K.

    Raises
    ------
    InputError
        If the image does not fit the network, or an argument is of another type.
    DeviceError
        If the device does not exist or a tile does not fit into its memory.
    """
    image = checked_image(segmenter, image)
    labels = np.zeros(image.shape[1:], dtype=np.uint32)
    for _ in segment_into(segmenter, image, labels, config):
        pass
    return labels


def predict(
    segmenter: Segmenter,
    image: Array,
    out: Array,
    config: PredictConfig | None = None,
    *,
    mailbox: Mailbox | None = None,
) -> Iterator[TileDone]:
    """Predict tile by tile; each event names the pixels of ``out`` that are final now.

    Parameters
    ----------
    segmenter : Segmenter
        The trained network.
    image : array
        (Y, X), (C, Y, X) or (C, Z, Y, X); a zarr or memory-mapped array is read tile by tile.
    out : array
        Written in place (NumPy or zarr). Of shape (K, *spatial): float probabilities. Of the
        spatial shape: integers, for cells 1 where the foreground reaches the threshold, for
        classes the class 1 ... K.
    config : PredictConfig, optional
        Tile size, threshold, rotations, device.
    mailbox : Mailbox, optional
        The newest `InView` in it says which tile of the present plane is next: what is in view
        first, then outward. The result does not depend on the order; without it, row by row.

    Yields
    ------
    TileDone
        After every tile.

    Raises
    ------
    InputError
        If image and network, or image and ``out``, do not fit.
    DeviceError
        If the device does not exist or a tile does not fit into its memory.
    """
    config, given = chosen(config, PredictConfig), image
    image = checked_image(segmenter, image)
    check_out(out, given, (segmenter.n_classes, *image.shape[1:]))
    predictor = plane_predictor(segmenter, config, mailbox)
    planes, index = _planes(image), 0
    for where, pixels in planes:
        for piece in predictor.pieces(pixels):
            index += 1
            region = (*where, *piece.region)
            if piece.values is not None:
                _write(out, piece.values, region, segmenter, config)
            yield _tile_done(predictor, index, piece.total * len(planes), region)


def segment_into(
    segmenter: Segmenter,
    image: Array,
    labels: Array,
    config: PredictConfig | None = None,
    foreground: Array | None = None,
    *,
    evidence: Array | None = None,
    after: int = 0,
    mailbox: Mailbox | None = None,
) -> Iterator[SegmentEvent]:
    """Segment plane by plane into ``labels``; show the foreground first, then the cells.

    Large planes are done block by block, on disk, unless ``foreground`` or ``evidence`` is given:
    memory does not grow with them.

    Parameters
    ----------
    segmenter, image, config
        As for `segment`.
    labels : integer array
        Of the spatial shape, written in place. After a `TileDone`, its region holds the
        foreground (1) or the classes; after a `PlaneDone`, the plane holds its final cells.
    foreground : float array, optional
        Of the spatial shape; also receives the probability of cells; for a model of classes, of
        the class that wins: how sure the network is.
    evidence : uint16 array, optional
        (K, *spatial) of a model for cells of K classes; also receives what their classes are told
        by, see `napari_unet.core.cellclasses.class_evidence`.
    after : int
        The first cell gets the number after this one.
    mailbox : Mailbox, optional
        Where the user looks, as for `predict`.

    Yields
    ------
    SegmentEvent
        A `TileDone` per tile, a `PlaneDone` per plane.
    """
    config = chosen(config, PredictConfig)
    image = checked_image(segmenter, image)
    if tuple(labels.shape) != image.shape[1:]:
        raise InputError(f"labels has shape {labels.shape}; give {image.shape[1:]}.")
    in_memory = foreground is not None or evidence is not None
    if is_large(image.shape[-2:]) and not in_memory:
        yield from _block_by_block(segmenter, image, labels, config, after)
        return
    predictor = plane_predictor(segmenter, config, mailbox)
    planes, index = _planes(image), 0
    for number, (where, pixels) in enumerate(planes, start=1):
        probability = np.empty((segmenter.n_classes, *pixels.shape[1:]), dtype=np.float32)
        for piece in predictor.pieces(pixels):
            index += 1
            region = (*where, *piece.region)
            if piece.values is not None:
                probability[(slice(None), *piece.region)] = piece.values
                _write(labels, piece.values, region, segmenter, config)
                if foreground is not None:
                    put(foreground, region, _sureness(segmenter, piece.values))
                if evidence is not None:
                    _write(evidence, class_evidence(piece.values), region, segmenter, config)
            yield _tile_done(predictor, index, piece.total * len(planes), region)
        objects = 0
        classes: tuple[int, ...] = ()
        if segmenter.kind == "cells":
            objects, classes = _write_cells(segmenter, probability, labels, where, config, after)
            after += objects
        yield PlaneDone(plane=number, planes=len(planes), objects=objects, classes=classes)


def _tile_done(
    predictor: PlanePredictor | MagnifiedPredictor, index: int, total: int, region: Region
) -> TileDone:
    return TileDone(
        index=index, total=total, region=region, note=predictor.note, oddity=predictor.oddity
    )


def _write_cells(
    segmenter: Segmenter,
    probability: NDArray[np.float32],
    labels: Array,
    where: Region,
    config: PredictConfig,
    after: int,
) -> tuple[int, tuple[int, ...]]:
    """Find the cells of a plane, and write them; return how many, and their classes if told."""
    cells = find_cells(segmenter, cells_in(probability), config)
    objects = int(cells.max(initial=0))
    check_room(labels.dtype, after + objects)
    region = (*where, *(slice(0, n) for n in cells.shape))
    put(labels, region, np.where(cells > 0, cells + after, 0))
    if segmenter.cell_classes == 1:
        return objects, ()
    return objects, tuple(object_classes(probability, cells)[1:].tolist())


def _block_by_block(
    segmenter: Segmenter, image: Any, labels: Array, config: PredictConfig, after: int
) -> Iterator[SegmentEvent]:
    """Segment planes that are too large for memory, one after the other."""
    planes = _planes(image)
    beside = getattr(getattr(labels, "store", None), "root", None)  # of a zarr array in a folder
    with TemporaryDirectory(dir=beside and Path(beside).parent, prefix=".live-unet-") as folder:
        for number, (where, pixels) in enumerate(planes):
            for event in segment_large(
                segmenter, pixels, labels, config, Path(folder), where=where, after=after
            ):
                if isinstance(event, PlaneDone):
                    after += event.objects
                    yield replace(event, plane=number + 1, planes=len(planes))
                    continue
                yield replace(
                    event,
                    index=number * event.total + event.index,
                    total=len(planes) * event.total,
                )


def _planes(image: Any) -> list[tuple[Region, Any]]:
    """Return where each plane lies in the output, and its pixels; on disk they are not read."""
    if image.ndim == 3:
        return [((), image)]
    return [((slice(z, z + 1),), plane_at(image, z)) for z in range(image.shape[1])]


def _sureness(segmenter: Segmenter, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of cells, or of the class that wins."""
    return cells_in(values) if segmenter.kind == "cells" else values.max(axis=0)


def _write(
    out: Array,
    values: Array,
    where: tuple[slice, ...],
    segmenter: Segmenter,
    config: PredictConfig,
) -> None:
    """Write probabilities, or evidence, (K, *region) into ``out``, as they are or as classes."""
    if out.ndim > len(where):
        put(out, (slice(0, len(values)), *where), values)
        return
    if segmenter.kind == "cells":
        classes = (cells_in(values) >= config.threshold).astype(np.uint8)
    else:
        classes = likeliest(values)
    put(out, where, classes)
