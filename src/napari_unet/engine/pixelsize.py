"""How large the objects of an image are beside the painted ones, by the size of its pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from statistics import median

from napari_unet.core.annotation import Annotation
from napari_unet.core.resized import MAGNIFICATIONS
from napari_unet.engine.segmenter import Segmenter

__all__ = ["about_pixels", "magnification_by_pixels", "with_pixel_size"]

ALIKE = 1.1
"""Sizes whose ratio is less are taken for one: a model learns from objects of varying sizes."""


def with_pixel_size(segmenter: Segmenter, annotations: Iterable[Annotation]) -> Segmenter:
    """Return a model that knows how large the pixels of the painted images are, if they tell."""
    known = [one.pixel_size for one in annotations if one.pixel_size]
    if not known:
        return segmenter
    return replace(segmenter, provenance=segmenter.provenance | {"pixel_size": median(known)})


def magnification_by_pixels(segmenter: Segmenter, pixel_size: float) -> float:
    """Return the magnification that fits an image; 1 where sizes are alike, or one is unknown.

    Parameters
    ----------
    segmenter : Segmenter
        Knows the size of the pixels it learned from, or not.
    pixel_size : float
        Width of a pixel of the image in micrometres; 0 when unknown.
    """
    if not (segmenter.pixel_size and pixel_size):
        return 1.0
    ratio = segmenter.pixel_size / pixel_size
    if 1 / ALIKE < ratio < ALIKE:
        return 1.0
    return min(max(round(ratio, 2), MAGNIFICATIONS[0]), MAGNIFICATIONS[-1])


def about_pixels(segmenter: Segmenter, pixel_size: float, magnification: float) -> str:
    """Say in a sentence what magnification fits an image; "" if it is near the present one.

    Parameters
    ----------
    segmenter, pixel_size
        As of `magnification_by_pixels`.
    magnification : float
        The present one.
    """
    fits = magnification_by_pixels(segmenter, pixel_size)
    if fits == 1 or 1 / ALIKE < fits / magnification < ALIKE:
        return ""
    return (
        f"Pixels are {pixel_size:.3g} µm wide, those of the painted images "
        f"{segmenter.pixel_size:.3g} µm: magnification {fits:g} would fit."
    )
