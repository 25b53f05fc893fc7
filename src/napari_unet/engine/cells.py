"""From what a model says of a plane to its cells; needs no network, so no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import PredictConfig
from napari_unet.core.diameters import diameters, smallest_diameter, typical_diameter
from napari_unet.core.instances import BORDER, CellRules, instances, instances_of_each
from napari_unet.core.necks3d import Necks
from napari_unet.engine.segmenter import Segmenter

__all__ = [
    "at_working_resolution",
    "cell_rules",
    "find_cells",
    "find_cells_of_each",
    "necks_in_3d",
    "useful_axes",
]

LARGEST_HOLE = 1 << 16
"""Pixels of the largest hole that is filled in cells of unknown size: a plane that is done in parts
must know of a background that it does not end elsewhere, without reading all of it."""

FEWEST = 2
"""Planes that a typical object lies in, from which on sections across them show it."""


def find_cells(
    segmenter: Segmenter, foreground: NDArray[np.floating], config: PredictConfig
) -> NDArray[np.uint32]:
    """Find the cells in the probabilities of one plane.

    Parameters
    ----------
    segmenter : Segmenter
        Of cells; only its resolution and what was fitted to the painted cells are used, so its
        weights may be missing.
    foreground : float array
        (Y, X) probabilities of cells.
    config : PredictConfig
        Threshold, smallest cell, largest hole, necks, border and magnification; the rest is not
        used.

    Returns
    -------
    uint32 array
        (Y, X): 0 background, 1 ... n cells.
    """
    return instances(foreground, **asdict(cell_rules(segmenter, config)))


def find_cells_of_each(
    segmenter: Segmenter, foreground: NDArray[np.floating], cuts: Sequence[tuple[float, float]]
) -> Iterator[NDArray[np.uint32]]:
    """Find the cells as `find_cells` does by default, with each of some pairs of core and split."""
    return instances_of_each(foreground, cell_rules(segmenter, PredictConfig()), cuts)


def cell_rules(segmenter: Segmenter, config: PredictConfig) -> CellRules:
    """Return what makes cells of a model's probabilities, for `find_cells`."""
    border = BORDER * segmenter.downsample * config.magnification
    segmenter = segmenter.for_magnification(config.magnification)
    automatic_hole = segmenter.largest_hole() or LARGEST_HOLE
    return CellRules(
        threshold=config.threshold,
        min_size=segmenter.smallest_cell(config.min_size),
        cut_size=segmenter.smallest_cut_cell(config.min_size),
        max_hole=config.max_hole if config.max_hole >= 0 else automatic_hole,
        core=segmenter.core,
        split=config.split if config.split >= 0 else segmenter.split,
        border=config.border if config.border >= 0 else border,
        smooth=border,
    )


def at_working_resolution(segmenter: Segmenter, cells: NDArray[np.integer]) -> Segmenter:
    """Return a Segmenter whose sizes are those of cells (Y, X) in network pixels."""
    sizes = diameters(cells)
    return replace(
        segmenter,
        downsample=1,
        diameter=typical_diameter(sizes),
        smallest=smallest_diameter(sizes),
    )


def necks_in_3d(segmenter: Segmenter, config: PredictConfig, spacing: float) -> Necks:
    """Return where objects of linked planes are cut: as the model cuts the cells of planes.

    Parameters
    ----------
    segmenter, config : Segmenter, PredictConfig
        As of `find_cells`.
    spacing : float
        Distance of planes, in pixels of a plane.
    """
    rules = cell_rules(segmenter, config)
    return Necks(depth=rules.split, spacing=spacing, smooth=rules.smooth)


def useful_axes(segmenter: Segmenter, config: PredictConfig, spacing: float) -> tuple[int, ...]:
    """Return the axes along which sections are looked at: all, or that of the planes alone."""
    diameter = segmenter.diameter * config.magnification
    return (0,) if 0 < diameter < FEWEST * spacing else (0, 1, 2)
