"""The pictures of the commands: what the demo found, and what a segmentation has wrong."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import expand_labels, find_boundaries

from napari_unet.core.comparison import ERROR_COLOURS

__all__ = ["class_error_picture", "error_picture", "picture"]

Array = NDArray[Any]
Colour = tuple[float, float, float]

CELLS: tuple[Colour, ...] = (
    (0.96, 0.42, 0.35),
    (0.30, 0.75, 0.93),
    (0.99, 0.79, 0.30),
    (0.49, 0.82, 0.44),
    (0.80, 0.52, 0.92),
    (0.98, 0.60, 0.75),
    (0.35, 0.85, 0.75),
    (0.75, 0.80, 0.35),
)
BACKGROUND: Colour = (0.45, 0.52, 0.62)
OUTLINE: Colour = (1.0, 0.85, 0.2)
RIM, PREDICTED_RIM = (205, 205, 205), (105, 105, 105)
PAPER, INK = (24, 26, 30), (232, 234, 238)
KINDS = [(*bytes.fromhex(colour[1:]),) for colour in ERROR_COLOURS.values()]
WRONG = KINDS[0]
COLOURS = [PAPER, *KINDS, PREDICTED_RIM, RIM]
"""The palette of pictures of errors; it begins as the numbers of `error_map` do."""
GAP, TITLE = 12, 40


def picture(
    image: NDArray[np.floating], painted: Array, found: Array, truth: Array, quality: str
) -> bytes:
    """Draw four panels beside each other and return them as a PNG file.

    Parameters
    ----------
    image : float array
        (Y, X).
    painted : integer array
        (Y, X): 0 not labelled, 1 background, 2, 3, ... cells.
    found, truth : integer array
        (Y, X): 0 background, 1, 2, ... cells.
    quality : str
        Said above the segmentation.
    """
    low, high = np.percentile(image, [0.5, 99.7])
    grey = np.clip((image - low) / max(high - low, 1e-6), 0, 1) ** 0.7
    panels = {
        "image": np.repeat(grey[..., None], 3, axis=-1),
        "painted": _painted(grey, painted),
        f"segmented, {quality}": _filled(grey, found),
        "truth": _outlined(grey, truth),
    }
    height, width = image.shape
    size = (len(panels) * (width + GAP) + GAP, height + TITLE + GAP)
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=20)
    for index, (title, panel) in enumerate(panels.items()):
        left = GAP + index * (width + GAP)
        pixels = np.round(255 * panel).astype(np.uint8)
        sheet.paste(Image.fromarray(pixels), (left, TITLE))
        pen.text((left, 8), title, fill=INK, font=font)
    png = io.BytesIO()
    sheet.save(png, "PNG", optimize=True)
    return png.getvalue()


def error_picture(truth: Array, predicted: Array, errors: Array) -> bytes:
    """Draw the wrong objects of a plane as a PNG file of the same size.

    Objects that are wrong have the colours of `ERROR_COLOURS`. Above them lie the outlines of all
    true objects in light grey, and of predicted ones in dark grey.

    Parameters
    ----------
    truth, predicted : integer array
        (Y, X): 0 background, 1, 2, ... cells.
    errors : uint8 array
        (Y, X), as of `napari_unet.core.comparison.error_map`.
    """
    pixels = errors.copy()
    pixels[_rims(predicted)] = COLOURS.index(PREDICTED_RIM)
    pixels[_rims(truth)] = COLOURS.index(RIM)
    return _with_palette(pixels)


def class_error_picture(truth: Array, wrong: Array) -> bytes:
    """Draw the wrong pixels of a plane as a PNG file of the same size, above outlines in grey.

    Parameters
    ----------
    truth : integer array
        (Y, X) classes.
    wrong : bool array
        (Y, X), as of `napari_unet.core.classcomparison.wrong_classes`.
    """
    pixels = np.where(_rims(truth), COLOURS.index(PREDICTED_RIM), 0)
    return _with_palette(np.where(wrong, COLOURS.index(WRONG), pixels).astype(np.uint8))


def _with_palette(pixels: Array) -> bytes:
    drawn = Image.fromarray(pixels, "P")
    drawn.putpalette(bytes(channel for colour in COLOURS for channel in colour))
    png = io.BytesIO()
    drawn.save(png, "PNG", optimize=True)
    return png.getvalue()


def _painted(grey: Array, painted: Array) -> Array:
    """Dim what is not labelled."""
    cells = np.where(painted > 1, painted - 1, 0)
    drawn = _filled(grey, cells, opacity=0.75)
    drawn[painted == 1] = 0.35 * grey[painted == 1, None] + 0.65 * np.array(BACKGROUND)
    drawn[painted == 0] *= 0.6
    return drawn


def _filled(grey: Array, labels: Array, opacity: float = 0.45) -> Array:
    """Colour every cell, and draw its rim in full colour."""
    colours = np.array(CELLS)[_spread(labels)]
    opacities = np.where(_rims(labels), 0.95, np.where(labels > 0, opacity, 0.0))[..., None]
    return np.asarray(opacities * colours + (1 - opacities) * grey[..., None])


def _outlined(grey: Array, labels: Array) -> Array:
    drawn = np.repeat(grey[..., None], 3, axis=-1)
    drawn[_rims(labels)] = OUTLINE
    return drawn


def _rims(labels: Array) -> Array:
    return np.asarray(find_boundaries(labels, mode="inner") & (labels > 0))


def _spread(labels: Array) -> Array:
    """Give each cell a colour's index, another than its neighbours have."""
    grown = expand_labels(labels, 3)
    sides = [(grown[:-1], grown[1:]), (grown[:, :-1], grown[:, 1:])]
    pairs = np.concatenate([np.stack([a[a != b], b[a != b]], axis=1) for a, b in sides])
    around: dict[int, set[int]] = {int(cell): set() for cell in np.unique(labels)}
    for one, other in np.unique(pairs, axis=0).tolist():
        around[one].add(other)
        around[other].add(one)
    colour: dict[int, int] = {0: 0}
    for cell in sorted(around.keys() - {0}):
        taken = {colour[other] for other in around[cell] - {0} if other in colour}
        wheel = [(cell * 5 + turn) % len(CELLS) for turn in range(len(CELLS))]
        colour[cell] = next((index for index in wheel if index not in taken), wheel[0])
    cells, places = np.unique(labels, return_inverse=True)
    return np.array([colour[int(cell)] for cell in cells])[places.reshape(labels.shape)]
