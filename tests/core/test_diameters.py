"""How large painted objects are."""

from __future__ import annotations

import numpy as np

from napari_unet.core.diameters import diameters, smallest_diameter, typical_diameter


def test_diameters_are_those_of_disks_of_the_same_area() -> None:
    """A square of 10 pixels, and two pixels apart that share an id: three pieces."""
    labels = np.zeros((20, 20), dtype=np.int32)
    labels[:10, :10] = 7
    labels[15, 15] = labels[19, 19] = 3
    expected = 2 * np.sqrt(np.array([100, 1, 1]) / np.pi)
    np.testing.assert_allclose(diameters(labels), expected)
    assert len(diameters(np.zeros((3, 3), dtype=np.int32))) == 0


def test_the_typical_diameter_is_that_of_what_covers_the_most() -> None:
    """Fifty specks do not outvote three cells."""
    assert typical_diameter(np.array([2.0] * 50 + [30.0, 31.0, 60.0])) == 60.0
    assert typical_diameter(np.array([2.0] * 50 + [30.0, 31.0, 32.0])) == 31.0
    assert typical_diameter(np.array([])) == 0.0


def test_the_smallest_diameter_is_that_of_cells_and_not_of_specks() -> None:
    """What together covers less than a hundredth does not count."""
    assert smallest_diameter(np.array([2.0] * 9 + [20.0, 30.0, 60.0])) == 20.0
    assert smallest_diameter(np.array([30.0])) == 30.0
    assert smallest_diameter(np.array([])) == 0.0
