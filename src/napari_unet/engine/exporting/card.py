"""What a person reads about an exported model: its README and its cover."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_unet.core.normalise import HIGH, LOW, normalise
from napari_unet.core.portable import PortablePlan
from napari_unet.engine.segmenter import Segmenter

__all__ = ["cover", "readme"]

COLOURS = np.array(
    [[36, 40, 48], [77, 191, 237], [252, 201, 77], [245, 107, 89], [125, 209, 112]], dtype=np.uint8
)

STRETCHED = (
    f"as they are in the file. The program that runs the model stretches them between the "
    f"percentiles {LOW:g} and {HIGH:g} of each channel, over the whole image, not tile by tile."
)
FIXED = (
    "as they are in the file, with the exposure of the image that the model was exported with: "
    "nothing is stretched."
)
CELLS = """
Cells are where the probability of the background is less than 0.5. Cells that touch may run
together there; a watershed from where it is less than {sure:.2g} takes many of them apart.
"""
README = """# {name}

Finds {finds}: {describe}. Made with Live U-Net.

## What goes in

Images of {channels}{size}. Grey values {grey}

Sides are {smallest} pixels or more, in steps of {step}. The outer {halo} pixels of a tile are not
final unless they lie at the edge of the image.

## What comes out

Probabilities, as large as the image: {names}.
{cells}
## Validation

Segment images that nobody painted for the training, draw the truth of some, and compare, for
instance with `napari-unet evaluate`. Expect less on images of another kind than the painted ones.

## How it was made

{facts}
"""


def cover(
    part: NDArray[np.float32], statistics: NDArray[np.float32], found: NDArray[np.float32]
) -> bytes:
    """Draw a part (C, Y, X) of an image and beside it the class of each pixel, as PNG."""
    shown = (normalise(part, statistics).clip(0, 1) * 255).astype(np.uint8)
    shown = shown if len(shown) == 3 else np.repeat(shown[:1], 3, axis=0)
    classes = COLOURS[found.argmax(axis=0) % len(COLOURS)]
    side = min(classes.shape[:2])
    both = np.concatenate([shown.transpose(1, 2, 0)[:side, :side], classes[:side, :side]], axis=1)
    picture = Image.fromarray(both)
    picture.thumbnail((512, 256))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def readme(segmenter: Segmenter, plan: PortablePlan, name: str, *, fixed: bool) -> str:
    """Say what the model does, what it takes and gives, and how to find out how good it is."""
    channels = "1 channel" if segmenter.in_channels == 1 else f"{segmenter.in_channels} channels"
    width = segmenter.pixel_size
    size = f", with pixels {width:.3g} micrometres wide" if width else ""
    facts = {k: v for k, v in segmenter.provenance.items() if k in ("steps", "labelled", "date")}
    return README.format(
        name=name,
        finds=segmenter.finds,
        describe=segmenter.describe(),
        channels=channels,
        size=size,
        grey=FIXED if fixed else STRETCHED,
        smallest=plan.smallest,
        step=plan.step,
        halo=plan.halo,
        names=", ".join(segmenter.output_names),
        cells=CELLS.format(sure=1 - segmenter.core) if segmenter.kind == "cells" else "",
        facts="\n".join(f"- {fact}: {value}" for fact, value in facts.items()),
    )
