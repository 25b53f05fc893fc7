"""Boxes of planes for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

Box = tuple[slice, slice]


def box_of(draw: st.DrawFn, shape: tuple[int, ...]) -> Box:
    """Draw a box of at least one pixel in a plane (Y, X)."""
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    y, x = (
        slice(start, draw(st.integers(start + 1, n)))
        for start, n in zip(starts, shape, strict=True)
    )
    return y, x
