"""What the window of Cellpose saved opens in napari as labels to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest
from napari.layers import Labels

from napari_unet.viewer.notes import meaning_of
from napari_unet.viewer.open_cellpose import get_reader


@pytest.fixture(autouse=True)
def plugins() -> None:
    """Know the installed plugins, as napari with a window does."""
    npe2.PluginManager.instance().discover()


@pytest.mark.parametrize("viewer", ["model", "real"], indirect=True)
def test_masks_open_as_labels_that_can_be_painted_on(viewer: Any, tmp_path: Path) -> None:
    """They are complete, so they mean instances."""
    masks = np.arange(30, dtype=np.uint16).reshape(5, 6)
    np.save(tmp_path / "a_seg.npy", {"masks": masks})  # type: ignore[arg-type]

    (layer,) = viewer.open(tmp_path / "a_seg.npy", plugin="napari-live-unet")

    assert isinstance(layer, Labels)
    assert layer.name == "a_seg"
    np.testing.assert_array_equal(layer.data, masks)
    assert meaning_of(layer) == "instances"
    layer.paint((2, 3), 99)
    assert layer.data[2, 3] == 99


def test_other_files_are_left_to_others(tmp_path: Path) -> None:
    """Any other array, and several files as a stack."""
    assert get_reader(str(tmp_path / "a.npy")) is None
    assert get_reader([str(tmp_path / "a_seg.npy")]) is None
