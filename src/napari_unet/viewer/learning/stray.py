"""Whether the brush is over labels that no training looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels

from napari_unet.viewer.layers import image_layers, labels_layers
from napari_unet.viewer.notes import is_linked
from napari_unet.viewer.stack import ImageStack, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["about_stray_brush"]

PAINTING = ("paint", "erase", "fill", "polygon")
"""Modes of a labels layer in which the mouse changes pixels."""


def about_stray_brush(viewer: ViewerModel, image: Image, chosen: Labels | None) -> str:
    """Say that other labels of an image are being painted than the chosen ones; else "".

    Parameters
    ----------
    viewer : napari viewer
        Its active layer is painted in, if the mouse is a brush there.
    image : Image
        The chosen one. What is painted on another one is learned from together with it.
    chosen : Labels or None
        What is trained from.
    """
    painted = viewer.layers.selection.active
    if painted is chosen or painted not in labels_layers(viewer) or painted.mode not in PAINTING:
        return ""
    others = (other for other in image_layers(viewer) if other is not image)
    if any(is_linked(painted, other) for other in others):
        return ""
    if tuple(finest(painted).shape) != ImageStack.of(image).shape:
        return ""
    if chosen is None:
        return f"You are painting in layer {painted.name!r}: choose it as Labels."
    return (
        f"You are painting in layer {painted.name!r}, not in {chosen.name!r}: choose it as "
        f"Labels, or click on {chosen.name!r} in the layer list."
    )
