"""Segment volumes along all three axes, and find 3D objects in the mean.

::

    sections XY, XZ, YZ   -> probabilities     of a volume with cubic voxels
    their mean, smoothed  -> cells             plane by plane
    cells                 -> 3D objects        linked by overlap, cut at necks

A network that learned planes knows sections along the other axes too, where objects are about as
thick as they are wide. What is doubtful in one direction is often clear in another, and a nucleus
under another one is separate in two of three. Where planes are so far apart that an object lies in
one or two of them, sections across them show nothing, and planes alone are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.cellclasses import class_evidence
from napari_unet.core.cellclasses import foreground as cells_in
from napari_unet.core.config import PredictConfig
from napari_unet.core.given import chosen
from napari_unet.core.linkstack import Linked, link_into
from napari_unet.core.normalise import grey_statistics
from napari_unet.core.resized import Resized
from napari_unet.engine.cells import cell_rules, find_cells, necks_in_3d, useful_axes
from napari_unet.engine.checkedimage import as_array, checked_image
from napari_unet.engine.magnified import plane_predictor
from napari_unet.engine.segmenter import Segmenter, check_segmenter
from napari_unet.errors import InputError

__all__ = [
    "finding_cells",
    "predicting_sections",
    "segment_volume",
    "segmenting_planes",
]

SLAB = 1 << 26
"""Pixels that are read at a time of a volume that is not in memory."""

LOOKED_AT = 16
"""Planes that tell how bright a volume is."""

PREDICTING = 0.95
"""Of the work on a volume, what the network does."""

Floats = NDArray[np.float32]


def segment_volume(segmenter: Segmenter, image: Any, config: PredictConfig | None = None) -> Linked:
    """Segment a volume into 3D objects.

    Parameters
    ----------
    segmenter : Segmenter
        The trained network, of cells.
    image : array
        (Z, Y, X), or (C, Z, Y, X), NumPy or on disk.
    config : PredictConfig, optional
        As for `napari_unet.segment`, and how far apart the planes are (1 by default).

    Returns
    -------
    labels, tracks, points
        As of `napari_unet.link_planes`.

    Raises
    ------
    InputError
        If the model is not one of cells, the image is no volume, or they do not fit.
    """
    check_segmenter(segmenter)
    image, config = as_array(image), chosen(config, PredictConfig)
    spacing = config.spacing or 1.0
    if segmenter.kind != "cells":
        raise InputError(
            f"The model finds {segmenter.n_classes} classes, and 3D objects are cells: give a "
            f"model of cells."
        )
    necks = necks_in_3d(segmenter, config, spacing)
    if len(image.shape) not in (3, 4):
        raise InputError(
            f"The image has shape {tuple(image.shape)}; give (Z, Y, X) or (C, Z, Y, X)."
        )
    # no axis can be added to what is on disk; labels and probabilities take more memory anyway
    volume = checked_image(segmenter, np.asarray(image)[None] if len(image.shape) == 3 else image)
    foreground = np.zeros(volume.shape[1:], np.float32)
    labels = np.zeros(volume.shape[1:], np.uint32)
    for _ in segmenting_planes(segmenter, volume, labels, foreground, spacing, config):
        pass
    links = link_into(labels, labels, "objects", necks)
    return Linked(labels, links.tracks, links.points)


def segmenting_planes(
    segmenter: Segmenter,
    volume: Any,
    labels: NDArray[np.uint32],
    foreground: Floats,
    spacing: float,
    config: PredictConfig,
    evidence: NDArray[np.uint16] | None = None,
) -> Iterator[float]:
    """Find the cells of the planes of a volume from all directions; yield the share that is done.

    Parameters
    ----------
    segmenter, spacing, config
        As of `segment_volume`.
    volume : array
        (C, Z, Y, X).
    labels, foreground : uint32 array, float32 array
        (Z, Y, X) zeros; receive the cells of each plane, 1 ... n, and the mean probability, as
        `finding_cells` smooths it.
    evidence : uint16 array, optional
        As of `predicting_sections`.
    """
    axes = useful_axes(segmenter, config, spacing)
    predicting = predicting_sections(
        segmenter, volume, foreground, spacing, config, axes, evidence=evidence
    )
    for share in predicting:
        yield PREDICTING * share
    foreground /= len(axes)
    for z, cells in finding_cells(segmenter, foreground, spacing, config):
        labels[z] = cells
        yield PREDICTING + (1 - PREDICTING) * (z + 1) / len(labels)


def predicting_sections(
    segmenter: Segmenter,
    volume: Any,
    out: Floats,
    spacing: float,
    config: PredictConfig,
    axes: Sequence[int],
    evidence: NDArray[np.uint16] | None = None,
) -> Iterator[float]:
    """Add what is said of all sections along some axes; yield the share that is done.

    Parameters
    ----------
    segmenter, config : Segmenter, PredictConfig
        As of `segment_volume`.
    volume : array
        (C, Z, Y, X); read some sections at a time.
    out : float32 array
        (Z, Y, X); the probability of cells is added to it.
    spacing : float
        Distance of planes, in pixels of a plane.
    axes : sequence of int
        0 for the planes, 1 for sections XZ, 2 for sections YZ.
    evidence : uint16 array, optional
        (K, Z, Y, X) of a model for cells of K classes; receives what the planes tell of them, see
        `napari_unet.core.cellclasses.class_evidence`.
    """
    if not axes:
        return
    volume, predictor = checked_image(segmenter, volume), plane_predictor(segmenter, config)
    # sections across planes are as high as the volume is deep
    sizes = {axis: spacing if axis else 1.0 for axis in axes}
    of_volume = _statistics(volume)
    done = 0.0
    for axis, size in sizes.items():
        sections = out.shape[axis]
        at: list[Any] = [slice(None)] * 3
        for number, section in enumerate(_sections(volume, axis)):
            at[axis] = number
            shown = Resized(section, (1 / size, 1.0))
            whole, box = (tuple(slice(0, n) for n in one.shape[1:]) for one in (shown, section))
            statistics = of_volume if axis else grey_statistics(section)
            values = np.empty((segmenter.n_classes, *shown.shape[1:]), np.float32)
            for piece in predictor.pieces_of(shown[:, :, :], whole, statistics):
                if piece.values is not None:
                    values[(slice(None), *piece.region)] = piece.values
            found = shown.back(cells_in(values)[None], whole, box)[0]
            out[tuple(at)] += found
            if evidence is not None and axis == 0:
                evidence[:, number] = class_evidence(values)
            done += size / sections
            yield done / sum(sizes.values())


def finding_cells(
    segmenter: Segmenter, foreground: Floats, spacing: float, config: PredictConfig
) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    """Smooth the mean of all axes, in place; yield each plane with its cells.

    As far as outlines are smoothed before necks are looked for, and equally in all directions:
    what is seen in a single plane, though planes are near, is mostly no cell.
    """
    smooth = cell_rules(segmenter, config).smooth
    ndimage.gaussian_filter(foreground, (smooth / spacing, smooth, smooth), output=foreground)
    for z, plane in enumerate(foreground):
        yield z, find_cells(segmenter, np.ascontiguousarray(plane), config)


def _sections(volume: Any, axis: int) -> Iterator[NDArray[Any]]:
    """Read a volume (C, Z, Y, X) once, and yield its sections (C, ., .) along an axis."""
    sections = volume.shape[1 + axis]
    together = max(SLAB * sections // prod(volume.shape), 1)
    for start in range(0, sections, together):
        part = [slice(None)] * 4
        part[1 + axis] = slice(start, start + together)
        slab = np.asarray(volume[tuple(part)])
        yield from np.moveaxis(slab, 1 + axis, 0)


def _statistics(volume: Any) -> Floats:
    """Return the `grey_statistics` of a whole volume, from some of its planes.

    A section beside all cells holds nothing but noise, and would be stretched to look like cells.
    """
    step = -(-volume.shape[1] // LOOKED_AT)
    planes = np.moveaxis(np.asarray(volume[:, ::step, :, :]), 1, 0)
    return grey_statistics(np.concatenate(list(planes), axis=1))
