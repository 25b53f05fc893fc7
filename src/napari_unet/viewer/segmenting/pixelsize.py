"""At which magnification the session's model should see a layer, by the size of its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image

from napari_unet.engine.pixelsize import about_pixels, magnification_by_pixels
from napari_unet.viewer.stack import pixel_size

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["about_layer", "magnification_by_scale"]


def magnification_by_scale(session: Session, image: Image) -> float:
    """Return it; 1 where sizes are alike, or one is unknown."""
    model = session.segmenter
    return 1.0 if model is None else magnification_by_pixels(model, pixel_size(image).width)


def about_layer(session: Session, image: Image | None, magnification: float) -> str:
    """Say in a sentence which magnification would fit better than the present one, if one does."""
    model = session.segmenter
    if model is None or image is None:
        return ""
    said = about_pixels(model, pixel_size(image).width, magnification)
    return f"{said} Press Find to set it." if said else ""
