"""Outlines along the edges of pixels: what is filled inside them are exactly the objects."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_unet.core.outlines import Outline, outlines

Labels = NDArray[np.integer]

LARGER = 4
"""Times that pictures are drawn larger, so that no pixel of a drawn line matters."""


def in_blocks(labels: Labels, side: int) -> list[Outline]:
    """The outlines of a plane that comes in blocks."""
    height, width = labels.shape
    boxes = [
        (slice(y, min(y + side, height)), slice(x, min(x + side, width)))
        for y in range(0, height, side)
        for x in range(0, width, side)
    ]
    return list(outlines(lambda: [(box, labels[box]) for box in boxes]))


def filled(found: list[Outline], shape: tuple[int, int]) -> NDArray[np.int32]:
    """What another library fills: pieces, then their holes taken out again."""
    drawn = np.zeros(shape, np.int32)
    y, x = np.indices(shape) * LARGER + LARGER // 2  # the centres of pixels
    for outline in found:
        inside = np.zeros(shape, bool)
        for piece in outline.pieces:
            for ring, value in ((piece.outer, True), *((hole, False) for hole in piece.holes)):
                canvas = Image.new("1", (shape[1] * LARGER + 1, shape[0] * LARGER + 1))
                corners = [tuple(corner) for corner in (ring[:, ::-1] * LARGER).tolist()]
                ImageDraw.Draw(canvas).polygon(corners, fill=1, outline=0)
                inside[np.asarray(canvas)[y, x]] = value
        assert not drawn[inside].any()
        drawn[inside] = outline.label
    return drawn


@settings(deadline=None, max_examples=200)
@given(
    labels=arrays(
        np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)
    ),
    side=st.integers(1, 10),
)
def test_what_is_inside_the_outlines_are_the_objects(labels: Labels, side: int) -> None:
    """Any labels: with holes, pieces, pixels that meet at corners; in blocks of any side."""
    found = in_blocks(labels, side)

    assert sorted(outline.label for outline in found) == sorted({*labels.ravel().tolist()} - {0})
    np.testing.assert_array_equal(filled(found, (labels.shape[0], labels.shape[1])), labels)


@settings(deadline=None, max_examples=100)
@given(
    mask=arrays(np.bool_, st.tuples(st.integers(1, 8), st.integers(1, 8))),
)
def test_rings_have_corners_only_and_go_round_as_they_should(mask: NDArray[np.bool_]) -> None:
    """Every step turns; clockwise around a piece, the other way around a hole; areas add up."""
    area = 0
    for outline in in_blocks(mask.astype(np.uint8), 8):
        for piece in outline.pieces:
            for ring, sign in ((piece.outer, 1), *((hole, -1) for hole in piece.holes)):
                following = np.roll(ring, -1, axis=0)
                steps = np.sign(following - ring)
                assert (np.abs(steps).sum(axis=1) == 1).all()
                assert (steps != np.roll(steps, -1, axis=0)).any(axis=1).all()
                (y, x), (v, u) = ring.T, following.T
                own = int((x * v - u * y).sum()) // 2
                assert own * sign > 0
                area += own
    assert area == mask.sum()


def test_numbers_of_any_size_keep_their_number() -> None:
    """Large labels in a wide dtype, and nothing at all."""
    labels = np.zeros((6, 7), np.uint32)
    labels[1:3, 2:5] = 4_000_000_000

    (outline,) = in_blocks(labels, 3)

    assert outline.label == 4_000_000_000
    assert outline.pieces[0].outer.tolist() == [[1, 2], [1, 5], [3, 5], [3, 2]]
    assert in_blocks(np.zeros((4, 4), np.uint8), 4) == []
