"""Colours of the layers that are computed.

Labels whose colours are given and not drawn by lot: napari has a `DirectLabelColormap` for this.
For the first layer with one, and the first of each dtype, numba compiles for two seconds in the
thread that also follows the brush, and it takes napari 0.1 s to be told a thousand colours. A list
of colours as long as there are labels needs neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils import Colormap, CyclicLabelColormap
from napari.utils.colormaps import ensure_colormap
from numpy.typing import ArrayLike

__all__ = ["MOST", "are_given", "faint_where_low", "given_colours"]

MOST = 1 << 15
"""Labels up to this one can be given colours: napari finds them in a table of 16 bits."""

NAME = "given by Live U-Net"

FAINT = 0.4
"""Share of the range of values above which a value hides what is below it."""


def given_colours(colours: ArrayLike) -> CyclicLabelColormap:
    """Return a colormap for the labels 0 ... n; those after them begin anew with the colour of 1.

    Parameters
    ----------
    colours : sequence of colours
        Names, or (n + 1, 4) numbers 0 ... 1; the first is of the background.
    """
    wanted: Any = colours
    return CyclicLabelColormap(colors=wanted, name=NAME)


def are_given(layer: Labels) -> bool:
    """Whether the colours of a layer are of `given_colours`."""
    return bool(layer.colormap.name == NAME)


def faint_where_low(name: str) -> Colormap:
    """Return a colormap of napari through which an image is seen where values are low.

    On bright images as well as on dark ones, unlike additive blending, which cannot be seen there.
    """
    values = np.linspace(0, 1, 256)
    colours = ensure_colormap(name).map(values)
    colours[:, 3] = 0.9 * np.minimum(values / FAINT, 1)
    return Colormap(colours, name=f"{name}, faint where low")
