"""A dock that is closed and opened again."""

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.settings import get_plugin_settings
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.viewer.shown import Choices


def test_a_dock_that_is_opened_again_has_the_layers_of_the_one_before(
    hand: Any, viewer: Any, open_dock: Callable[[], Any], sample: Any
) -> None:
    """Of several images, too; a layer that is gone is chosen no more."""
    viewer.add_image(sample[0].data.copy(), name="next field")
    regions = viewer.add_shapes(name="boxes")
    spare = viewer.add_labels(np.zeros_like(sample[1].data), name="spare")
    data = hand.dock.panels.data
    data.choice.labels, data.choice.regions_box.value = spare, regions
    data.others_box.value = False
    viewer.window.remove_dock_widget(hand.dock.native)
    second = open_dock()
    data = second.dock.panels.data
    assert data.chosen() == (sample[0], spare, regions)
    assert not data.others_box.value
    viewer.window.remove_dock_widget(second.dock.native)
    viewer.layers.remove(regions)

    assert open_dock().dock.panels.data.chosen() == (sample[0], spare, None)


def test_a_dock_that_is_opened_again_has_the_settings_of_the_one_before(
    viewer: Any, messages: Any
) -> None:
    """What was adjusted counts on, also for segmentations; so do preferences changed meanwhile."""

    def open_it() -> Any:
        return viewer.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")[1]

    def close(dock: Any) -> None:
        viewer.window.remove_dock_widget(dock.native)

    training = TrainConfig(seconds=15, steps=7, downsample=2, w0=20.0, seed=4)
    prediction = PredictConfig(threshold=0.7, min_size=40, magnification=2.0, split=0.1)
    first = open_it()
    first.panels.set_configs(training, prediction)
    first.panels.training.set_budget(seconds=15, steps=7)
    close(first)
    second = open_it()
    assert second.panels.training.config() == training
    assert second.panels.predict_config() == prediction

    close(second)
    second.session.segmenter = make_segmenter()  # how large objects look to it is not known
    third = open_it()
    assert third.panels.predict_config() == replace(prediction, magnification=1.0)

    close(third)
    get_plugin_settings().get("napari-live-unet").dock.seconds = 120
    assert open_it().panels.training.config() == TrainConfig(seconds=120)
    assert messages() == []


def test_a_dock_that_is_opened_again_has_the_choices_of_the_one_before(
    hand: Any, viewer: Any, open_dock: Callable[[], Any], sample: Any, tmp_path: Path
) -> None:
    """What to segment, link, score, and what a batch takes and makes; unfolded as it was."""
    image, labels = sample
    viewer.layers.remove(image)
    image = viewer.add_image(np.stack(2 * [image.data]), name="stack")
    truth = viewer.add_labels(np.stack(2 * [labels.data]), name="truth")
    viewer.add_labels(np.zeros(image.data.shape, np.uint8), name="more")
    files = [str(tmp_path / name) for name in ("a.tif", "b.tif")]
    panels = hand.dock.panels
    panels.data.choice.image_box.value = image
    panels.segmentation._scope.value = "whole layer"
    panels.segmentation._probability.value = True
    kind = panels.link._kind.value
    panels.link._kind.value = other = {"objects": "tracks", "tracks": "objects"}[kind]
    panels.score._choice.truth.value, panels.score._choice.scope.value = truth, "planes"
    panels.batch.source.choose(files)
    target = panels.batch.target
    target.folder.value, target.format.value = str(tmp_path), "OME-Zarr"
    target.link.value, target.outlines.value = "tracks", "QuPath objects"
    target.measure.value = True
    panels.batch_fold.toggle()
    panels.settings.fold.toggle()
    viewer.window.remove_dock_widget(hand.dock.native)
    again = open_dock().dock.panels

    assert again.segmentation.scope() == "whole layer"
    assert again.segmentation._probability.value
    assert again.link._kind.value == other
    assert (again.score._choice.truth.value, again.score._choice.scope.value) == (truth, "planes")
    assert again.batch.source.given == files
    target = again.batch.target
    assert (target.path, target.file_format, target.linked) == (str(tmp_path), "ome-zarr", "tracks")
    assert (target.outlined, target.measure.value) == ("geojson", True)
    assert [fold.unfolded for fold in again.folds()] == [
        fold in (again.batch_fold, again.settings.fold) for fold in again.folds()
    ]


def test_a_folder_that_was_proposed_follows_the_images_in_the_next_dock_too(
    hand: Any, viewer: Any, open_dock: Callable[[], Any], tmp_path: Path
) -> None:
    """One that was chosen stays."""
    images, others = tmp_path / "images", tmp_path / "others"
    images.mkdir()
    others.mkdir()
    hand.dock.panels.batch.source.choose([str(images)])
    viewer.window.remove_dock_widget(hand.dock.native)
    again = open_dock()
    batch = again.dock.panels.batch
    assert batch.target.path == f"{images}_segmented"
    batch.source.choose([str(others)])
    assert batch.target.path == f"{others}_segmented"
    batch.target.folder.value = str(tmp_path)
    viewer.window.remove_dock_widget(again.dock.native)

    batch = open_dock().dock.panels.batch
    batch.source.choose([str(images)])
    assert batch.target.path == str(tmp_path)


def test_what_was_chosen_keeps_no_layer_alive() -> None:
    """Images take gigabytes; one that was closed meanwhile is chosen no more."""
    layer = Labels(np.zeros((4, 4), np.uint8))
    choices = Choices([layer, "plane", True, None])
    assert list(choices) == [layer, "plane", True, None]
    del layer
    gc.collect()

    assert list(choices) == [None, "plane", True, None]
