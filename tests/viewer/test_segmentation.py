"""Segmentations that stream into layers, from a real compute process."""

from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.layers._layer_actions import _duplicate_layer
from small_things import make_segmenter

import napari_unet
from napari_unet.core.config import PredictConfig
from napari_unet.engine.events import PlaneDone, TileDone
from napari_unet.errors import InputError
from napari_unet.sample_data import touching_cells
from napari_unet.viewer.notes import is_result, meaning_of
from napari_unet.viewer.session import Session

CONFIG = PredictConfig(device="cpu", min_size=0)
TILES = PredictConfig(device="cpu", min_size=0, tile_size=76)


def picture(*shape: int, seed: int = 0) -> np.ndarray:
    """Make noise in which a random network finds a few things."""
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def assert_same_cells(found: np.ndarray, expected: np.ndarray) -> None:
    """The same cells, whatever their numbers: those tell in which order planes were done."""
    pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
    assert len(pairs[0]) == len(set(pairs[0])) == len(set(pairs[1]))
    np.testing.assert_array_equal(found > 0, expected > 0)


@pytest.fixture
def segmented(session: Session, finish: Any) -> Any:
    """Segment a layer, and return the layer of the result."""

    def run(
        image: Image,
        scope: Any = "whole layer",
        config: PredictConfig = CONFIG,
        *,
        channels: int = 1,
        probability: bool = False,
    ) -> Labels:
        session.segmenter = make_segmenter(channels)
        session.segment(image, scope, config, probability=probability)
        finish()
        layer = session.viewer.layers[f"{image.name} segmentation"]
        assert isinstance(layer, Labels)
        return layer

    return run


def test_the_layer_holds_what_the_engine_finds(segmented: Any, viewer: Any) -> None:
    """The same numbers as a call of `segment`, for a picture of several tiles."""
    pixels = picture(90, 120)
    layer = segmented(viewer.add_image(pixels, name="cells"), config=TILES)
    expected = napari_unet.segment(Session.of(viewer).segmenter, pixels, TILES)

    assert expected.max() > 3
    np.testing.assert_array_equal(layer.data, expected)


def test_grey_in_colours_is_grey_to_a_model_of_one_channel(segmented: Any, viewer: Any) -> None:
    """As pictures mostly are that were saved by other programs; with or without an alpha."""
    grey = (255 * picture(90, 120)).astype(np.uint8)
    layer = segmented(viewer.add_image(np.dstack([grey] * 3), rgb=True, name="cells"), config=TILES)
    expected = napari_unet.segment(Session.of(viewer).segmenter, grey, TILES)
    np.testing.assert_array_equal(layer.data, expected)


def test_the_result_streams_tile_by_tile(session: Session, finish: Any, viewer: Any) -> None:
    """After the first tiles a part of the layer is filled, and its name says that it is a part."""
    seen: list[tuple[str, int, bool]] = []
    image = viewer.add_image(picture(200, 200), name="cells")
    session.segmenter = make_segmenter()

    def look(event: Any) -> None:
        (layer,) = [layer for layer in viewer.layers if isinstance(layer, Labels)]
        done = isinstance(event.event, PlaneDone)
        seen.append((layer.name, np.count_nonzero(layer.data), done))

    session.jobs.event.connect(look)
    session.segment(image, "whole layer", TILES)
    finish()

    assert len(seen) > 10
    assert {name for name, _, done in seen if not done} == {"cells segmentation (unfinished)"}
    filled = [count for _, count, done in seen if not done]
    assert filled == sorted(filled)
    assert filled[0] < filled[-1] / 4
    assert seen[-1][0] == "cells segmentation"


def test_a_stack_is_segmented_plane_by_plane(segmented: Any, viewer: Any) -> None:
    """The cells of the engine, numbered through all planes from the shown one on."""
    pixels = picture(3, 40, 50)
    layer = segmented(viewer.add_image(pixels, name="worm", scale=(3, 1, 1)))
    segmenter = Session.of(viewer).segmenter

    assert_same_cells(layer.data, napari_unet.segment(segmenter, pixels[None], CONFIG))
    np.testing.assert_array_equal(np.unique(layer.data), np.arange(layer.data.max() + 1))
    assert 0 < layer.data[1].max() < layer.data[0].max() < layer.data[2].max()
    np.testing.assert_array_equal(layer.scale, (3, 1, 1))


def test_the_current_plane_keeps_what_the_others_show(segmented: Any, viewer: Any) -> None:
    """Its cells get numbers that no other plane has."""
    image = viewer.add_image(picture(3, 40, 50), name="worm")
    whole = segmented(image).data.copy()
    viewer.dims.set_point(0, 1)
    layer = segmented(image, "current plane")

    np.testing.assert_array_equal(layer.data[[0, 2]], whole[[0, 2]])
    np.testing.assert_array_equal(layer.data[1] > 0, whole[1] > 0)
    assert not set(np.unique(layer.data[1])[1:]) & set(np.unique(whole[[0, 2]]))


def test_numbers_do_not_run_out_when_planes_are_segmented_in_turn(
    segmented: Any, viewer: Any
) -> None:
    """Rather two planes share a number."""
    image = viewer.add_image(picture(2, 40, 50), name="worm")
    layer = segmented(image, "current plane")
    layer.data[1] = 60_000
    viewer.dims.set_point(0, 0)
    layer = segmented(image, "current plane")

    assert layer.data.dtype == np.uint16
    assert 0 < layer.data[0].max() < 1000


@pytest.mark.parametrize(
    ("shape", "options", "channels"),
    [
        ((40, 50, 3), {"rgb": True}, 3),
        ((40, 50, 4), {"rgb": True}, 3),
        ((2, 40, 50), {"axis_labels": ("c", "y", "x")}, 2),
        ((2, 3, 40, 50), {"axis_labels": ("c", "t", "y", "x"), "scale": (1, 2, 1, 1)}, 2),
    ],
)
def test_channels_are_seen_together(
    segmented: Any, viewer: Any, shape: tuple[int, ...], options: dict[str, Any], channels: int
) -> None:
    """Of RGB, with or without alpha, and of an axis that is named c, in the shown plane."""
    pixels = picture(*shape)
    layer = segmented(viewer.add_image(pixels, name="stain", **options), channels=channels)
    first = np.moveaxis(pixels, -1, 0)[:3] if options.get("rgb") else pixels
    first = first[:, 1] if len(shape) == 4 else first
    expected = napari_unet.segment(Session.of(viewer).segmenter, first, CONFIG)

    found = layer.data[1] if len(shape) == 4 else layer.data
    np.testing.assert_array_equal(found, expected)
    assert expected.any()


@pytest.mark.parametrize("kind", ["dask", "multiscale"])
def test_lazy_and_multiscale_images_are_segmented_at_full_resolution(
    segmented: Any, viewer: Any, kind: str
) -> None:
    """As if they lay in memory."""
    pixels = picture(80, 96)
    data: Any = da.from_array(pixels, chunks=40)
    if kind == "multiscale":
        data = [pixels, pixels[::2, ::2]]
    image = viewer.add_image(
        data, name="big", multiscale=kind == "multiscale", scale=(0.5, 0.5), contrast_limits=(0, 1)
    )
    layer = segmented(image)

    np.testing.assert_array_equal(
        layer.data, napari_unet.segment(Session.of(viewer).segmenter, pixels, CONFIG)
    )
    np.testing.assert_array_equal(layer.scale, (0.5, 0.5))


def test_all_open_images_are_segmented_and_those_that_do_not_fit_are_named(
    segmented: Any, viewer: Any, messages: Any
) -> None:
    """One layer each; results of ours are no images."""
    first = viewer.add_image(picture(40, 50), name="first")
    viewer.add_image(picture(2, 30, 30), name="second")
    viewer.add_image(picture(40, 50, 3), name="photograph", rgb=True)
    segmented(first, "all open images", probability=True)
    session = Session.of(viewer)

    assert sorted(layer.name for layer in viewer.layers if "segmentation" in layer.name) == [
        "first segmentation",
        "second segmentation",
    ]
    assert viewer.layers["second segmentation"].data.any()
    assert "in 2 images in" in session.said.of_result
    ((severity, message),) = messages()
    assert severity == "warning"
    assert "'photograph' (40 x 50 px, RGB)" in message
    assert message.endswith("It is left out.")
    assert "left out: see Batch." in session.said.of_result


def test_probabilities_have_a_layer_of_their_own(segmented: Any, viewer: Any) -> None:
    """Once it is there it is kept up to date, with every model."""
    pixels = picture(40, 50)
    image = viewer.add_image(pixels, name="cells")
    segmented(image, probability=True)
    layer = viewer.layers["cells probability"]
    segmenter = Session.of(viewer).segmenter
    np.testing.assert_allclose(
        layer.data, napari_unet.probabilities(segmenter, pixels, CONFIG)[1], atol=1e-6
    )
    assert not layer.editable

    image.data = 1 - pixels
    segmented(image, probability=False)
    np.testing.assert_allclose(
        layer.data, napari_unet.probabilities(segmenter, 1 - pixels, CONFIG)[1], atol=1e-6
    )
    assert layer.name == "cells probability"


def test_a_model_of_classes_shows_classes(session: Session, viewer: Any, finish: Any) -> None:
    """In the narrowest type, and no cells are counted."""
    pixels = picture(40, 50)
    image = viewer.add_image(pixels, name="tissue")
    session.segmenter = make_segmenter(kind="classes")
    session.segment(image, "whole layer", CONFIG)
    finish()
    layer = viewer.layers["tissue segmentation"]

    np.testing.assert_array_equal(
        layer.data, napari_unet.segment(session.segmenter, pixels, CONFIG)
    )
    assert layer.data.dtype == np.uint8
    assert session.said.of_result.startswith("Segmented classes in")


def test_an_image_with_other_channels_is_refused_before_anything_is_shown(
    session: Session, viewer: Any
) -> None:
    """With a remedy."""
    image = viewer.add_image(picture(40, 50, 3), rgb=True, name="photograph")
    session.segmenter = make_segmenter()

    with pytest.raises(InputError, match=r"1 channel.* 'photograph' .* train a new model there"):
        session.segment(image, "whole layer", CONFIG)
    assert len(viewer.layers) == 1
    assert session.jobs.state == "idle"


def test_without_a_model_the_starter_segments(session: Session, viewer: Any, finish: Any) -> None:
    """Before the first stroke; the sentence says so, and the session has no model yet."""
    cells, _ = touching_cells((128, 128))
    image = viewer.add_image(np.stack([cells] * 3, axis=-1), rgb=True, name="photograph")
    session.segment(image, "whole layer", CONFIG)
    finish()

    assert "with the starter model" in session.said.of_result
    assert viewer.layers[-1].data.max() > 3
    assert session.segmenter is None


def begin(session: Session, image: Image, segmenter: Any, qtbot: Any) -> list[Any]:
    """Start a segmentation of many tiles and return its events, once there are two."""
    events: list[Any] = []
    session.segmenter = segmenter
    session.jobs.event.connect(events.append)
    session.segment(image, "whole layer", TILES)
    qtbot.wait_until(lambda: len(events) >= 2, timeout=100_000)
    return events


def test_a_duplicate_of_a_segmentation_means_what_it_shows(
    session: Session, viewer: Any, finish: Any
) -> None:
    """It is the user's own, to be corrected and trained from, and classes are no cells."""
    image = viewer.add_image(picture(40, 50), name="worm")
    for kind, meaning in (("classes", "classes"), ("cells", "instances")):
        session.segmenter = make_segmenter(kind=kind)
        session.segment(image, "whole layer", TILES)
        finish()
        viewer.layers.selection = {viewer.layers["worm segmentation"]}
        _duplicate_layer(viewer.layers)
        copied = viewer.layers["worm segmentation copy"]
        assert not is_result(copied)
        assert meaning_of(copied) == meaning
        viewer.layers.remove(copied)


def test_a_stopped_segmentation_does_not_look_finished(
    session: Session, viewer: Any, finish: Any, qtbot: Any
) -> None:
    """Neither by its name nor by what the dock says; what is there stays."""
    image = viewer.add_image(picture(6, 150, 150), name="worm")
    events = begin(session, image, make_segmenter(), qtbot)
    session.jobs.stop()

    finish()
    assert isinstance(events[0].event, TileDone)
    layer = viewer.layers["worm segmentation (unfinished)"]
    assert layer.data.any()
    assert not layer.data[-1].any()
    assert session.said.of_result == "Stopped; the result is unfinished."


def test_an_output_that_is_deleted_stops_the_segmentation(
    session: Session, viewer: Any, finish: Any, qtbot: Any, messages: Any
) -> None:
    """Nobody wants it any more; it does not come back, and nothing is reported as an error."""
    image = viewer.add_image(picture(6, 150, 150), name="worm")
    events = begin(session, image, make_segmenter(), qtbot)
    viewer.layers.remove("worm segmentation (unfinished)")
    finish()

    assert len(viewer.layers) == 1
    assert not isinstance(events[-1].event, PlaneDone) or events[-1].plane != (5,)
    assert session.said.of_result.startswith("Stopped: the layer of the result was deleted")
    assert messages() == []


def test_an_output_with_other_data_is_left_to_the_user(
    session: Session, viewer: Any, finish: Any, qtbot: Any
) -> None:
    """What somebody put there is not written over."""
    image = viewer.add_image(picture(6, 150, 150), name="worm")
    begin(session, image, make_segmenter(), qtbot)
    mine = np.zeros((5, 5), np.uint8)
    layer = viewer.layers["worm segmentation (unfinished)"]
    layer.data = mine
    finish()

    assert layer.data is mine
    assert not mine.any()


def test_renaming_and_deleting_the_image_changes_nothing(
    session: Session, viewer: Any, finish: Any, qtbot: Any
) -> None:
    """Layers are known by what they are, not by what they are called."""
    pixels = picture(2, 150, 150)
    image = viewer.add_image(pixels, name="worm")
    begin(session, image, make_segmenter(), qtbot)
    layer = viewer.layers["worm segmentation (unfinished)"]
    layer.name, image.name = "mine", "snake"
    viewer.layers.remove(image)
    finish()

    assert session.kept.planes(image) == []
    assert layer.name == "mine"
    np.testing.assert_array_equal(
        layer.data, napari_unet.segment(session.segmenter, pixels[None], TILES)
    )


def test_an_image_that_gets_other_data_is_segmented_as_it_was(
    session: Session, viewer: Any, finish: Any, qtbot: Any
) -> None:
    """The click meant what was shown then."""
    pixels = picture(2, 150, 150)
    image = viewer.add_image(pixels, name="worm")
    begin(session, image, make_segmenter(), qtbot)
    image.data = np.zeros((7, 7))
    finish()

    assert viewer.layers["worm segmentation"].data.shape == pixels.shape


@pytest.mark.parametrize("viewer", ["window"], indirect=True)
def test_sliders_axes_and_3d_may_change_while_a_result_streams(
    session: Session, viewer: Any, finish: Any, qtbot: Any
) -> None:
    """What is shown has no influence on what is written."""
    pixels = picture(3, 100, 120)
    image = viewer.add_image(pixels, name="worm")
    begin(session, image, make_segmenter(), qtbot)
    viewer.dims.set_point(0, 2)
    qtbot.wait(30)
    viewer.dims.ndisplay = 3
    qtbot.wait(30)
    viewer.dims.ndisplay = 2
    viewer.dims.order = (1, 0, 2)
    finish()

    assert_same_cells(
        viewer.layers["worm segmentation"].data,
        napari_unet.segment(session.segmenter, pixels[None], TILES),
    )
