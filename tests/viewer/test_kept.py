"""Probabilities that are kept."""

import numpy as np
import pytest
from napari.layers import Image
from small_things import make_segmenter

from napari_unet.viewer.segmenting.kept import Kept

SEGMENTER = make_segmenter()


def said(value: float = 0.5) -> np.ndarray:
    """Return the probabilities of a plane: 400 bytes."""
    return np.full((10, 10), value, np.float32)


@pytest.fixture
def image() -> Image:
    """A stack."""
    return Image(np.zeros((3, 10, 10)))


def test_what_was_put_is_found_again(image: Image) -> None:
    """By image and plane, with the model that said it; the last word counts."""
    kept, other = Kept(), Image(np.zeros((3, 10, 10)))
    kept.put(image, (0,), said(0.1), SEGMENTER)
    kept.put(image, (2,), said(0.2), SEGMENTER)
    kept.put(image, (1,), said(0.3), SEGMENTER)
    last = make_segmenter(seed=2)
    kept.put(image, (2,), said(0.4), last)

    found = kept.get(image, (2,))
    assert found is not None
    assert found.segmenter is last
    assert (found.foreground == np.float32(0.4)).all()
    assert kept.planes(image) == [(0,), (1,), (2,)]
    assert kept.get(image, (3,)) is None
    assert kept.get(other, (0,)) is None
    assert kept.planes(other) == []


def test_the_oldest_planes_go_when_memory_is_short(image: Image) -> None:
    """A plane that was segmented again is new."""
    kept = Kept(budget=1000)
    kept.put(image, (0,), said(), SEGMENTER)
    kept.put(image, (1,), said(), SEGMENTER)
    kept.put(image, (0,), said(), SEGMENTER)
    assert kept.planes(image) == [(0,), (1,)]

    kept.put(image, (2,), said(), SEGMENTER)
    assert kept.planes(image) == [(0,), (2,)]


def test_a_plane_larger_than_the_budget_is_not_kept(image: Image) -> None:
    """Nor is what was said of it before."""
    kept = Kept(budget=400)
    kept.put(image, (0,), said(), SEGMENTER)
    assert kept.planes(image) == [(0,)]
    kept.put(image, (0,), np.zeros((20, 20), np.float32), SEGMENTER)
    assert kept.planes(image) == []


def test_an_image_can_be_forgotten(image: Image) -> None:
    """All of its planes, and no other's."""
    kept, other = Kept(), Image(np.zeros((10, 10)))
    for z in range(3):
        kept.put(image, (z,), said(), SEGMENTER)
    kept.put(other, (), said(), SEGMENTER)
    kept.forget(image)

    assert kept.planes(image) == []
    assert kept.planes(other) == [()]


def test_what_was_said_of_other_pixels_is_not_kept(image: Image) -> None:
    """Such as those before an image was given new ones, by a camera or a console."""
    kept, other = Kept(), Image(np.zeros((10, 10)))
    kept.put(image, (0,), said(), SEGMENTER)
    kept.put(other, (), said(), SEGMENTER)
    image.data = np.ones((3, 10, 10))

    assert kept.get(image, (0,)) is None
    assert kept.planes(image) == []
    assert kept.planes(other) == [()]
    kept.put(image, (1,), said(), SEGMENTER)
    assert kept.planes(image) == [(1,)]


def test_a_change_is_told(image: Image) -> None:
    """When there is one."""
    kept, told = Kept(), []
    kept.changed.connect(lambda: told.append(len(kept.planes(image))))
    kept.put(image, (0,), said(), SEGMENTER)
    kept.put(image, (1,), said(), SEGMENTER)
    kept.forget(image)
    kept.forget(image)

    assert told == [1, 2, 0]
