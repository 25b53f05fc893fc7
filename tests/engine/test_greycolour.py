"""Grey that is stored as colour is grey to a model of one channel, wherever it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from painting import config, disks
from PIL import Image

from napari_unet import Annotation, InputError, PredictConfig, Segmenter, segment, train
from napari_unet.engine import blocks
from napari_unet.engine.batch import segment_files
from napari_unet.engine.files import read_labels
from napari_unet.engine.items.item import BatchOptions
from napari_unet.engine.starter import starter_model
from napari_unet.engine.volume import segment_volume
from napari_unet.sample_data import touching_cells

CPU = PredictConfig(device="cpu")
GREY = (255 * touching_cells((80, 96))[0]).astype(np.uint8)
COLOUR = np.stack([GREY] * 3)
PINK = np.stack([GREY, GREY // 2, GREY])


def of_batch(image: Path, folder: Path, **options: Any) -> Any:
    """Return the event with which the only image of a batch ends."""
    given = BatchOptions(**options)
    *_, event, _ = segment_files(starter_model(), image, folder, CPU, given)
    return event


def test_arrays_in_memory_and_on_disk_are_segmented_alike(tmp_path: Path) -> None:
    """Plane by plane, too; what is coloured is refused, on disk where it is read."""
    expected = segment(starter_model(), GREY, CPU)
    assert expected.max() > 3
    np.testing.assert_array_equal(segment(starter_model(), COLOUR, CPU), expected)
    stack = np.stack([COLOUR, COLOUR], axis=1)
    for pixels in (COLOUR, stack, PINK):
        on_disk = zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks="auto", overwrite=True)
        if pixels is PINK:
            for image in (pixels, on_disk):
                with pytest.raises(InputError, match=r"trained on 1 channel\(s\), the image has 3"):
                    segment(starter_model(), image, CPU)
            continue
        found = segment(starter_model(), on_disk, CPU)
        np.testing.assert_array_equal(found.reshape(-1, 80, 96)[0], expected)


def test_a_volume_in_three_equal_channels_is_one(tmp_path: Path) -> None:
    """In Python, and in a batch."""
    deep = np.stack([GREY[:40, :40], GREY[:40, :40], GREY[:40, :40]])
    colour = np.stack([deep] * 3)
    expected = segment_volume(starter_model(), deep, CPU)[0]
    np.testing.assert_array_equal(segment_volume(starter_model(), colour, CPU)[0], expected)
    tifffile.imwrite(
        tmp_path / "a.tif", colour.transpose(1, 0, 2, 3), ome=True, metadata={"axes": "ZCYX"}
    )
    done = of_batch(tmp_path / "a.tif", tmp_path / "out", link="volume")
    np.testing.assert_array_equal(read_labels(done.outputs[0]), expected)


@pytest.mark.parametrize("large", [1000, 10**9])
def test_a_grey_picture_with_alpha_is_one_of_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    """As the Data Science Bowl has them, however large; with its table."""
    monkeypatch.setattr(blocks, "LARGE", large)
    alpha = np.full_like(GREY, 255)
    Image.fromarray(np.dstack([*COLOUR, alpha])).save(tmp_path / "a.png")
    done = of_batch(tmp_path / "a.png", tmp_path / "out", measure="csv", format="tiff")

    assert read_labels(done.outputs[0]).max() == done.objects > 3


def learned(annotations: list[Annotation], start: Segmenter | None = None) -> Segmenter:
    """Train for three steps."""
    *_, last = train(annotations, config(), segmenter=start)
    return last.segmenter


def test_a_model_of_one_channel_learns_from_it() -> None:
    """Going on, or together with images of one channel; alone it is three channels, as before."""
    image, labels = disks()
    grey = Annotation((image * 100).astype(np.int16), labels)
    colour = Annotation(np.stack([(image * 100).astype(np.int16)] * 3), labels)
    start = learned([grey])
    both = [learned([colour], start), learned([grey, colour])]
    for model in (start, *both):
        assert model.in_channels == 1
    for name, weights in learned([grey], start).weights.items():
        np.testing.assert_array_equal(weights, both[0].weights[name])
    assert learned([colour]).in_channels == 3


def test_a_model_of_one_channel_learns_from_no_colours() -> None:
    """The messages are those of any other channels."""
    image, labels = disks()
    pink = Annotation(np.stack([image, image / 2, image]), labels)
    with pytest.raises(InputError, match=r"trained on 1 channel\(s\), these images have 3"):
        learned([pink], starter_model())
    with pytest.raises(InputError, match=r"different numbers of channels \(\[1, 3\]\)"):
        learned([pink, Annotation(image, labels)])
