"""Colours that are given to labels, not drawn by lot.

napari has a `DirectLabelColormap` for this. For the first layer with one, and the first of each
dtype, numba compiles for two seconds in the thread that also follows the brush, and it takes napari
0.1 s to be told a thousand colours. A list of colours as long as there are labels needs neither.
"""

from __future__ import annotations

from typing import Any

from napari.layers import Labels
from napari.utils import CyclicLabelColormap
from numpy.typing import ArrayLike

__all__ = ["MOST", "are_given", "given_colours"]

MOST = 1 << 15
"""Labels up to this one can be given colours: napari finds them in a table of 16 bits."""

NAME = "given by Live U-Net"


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
