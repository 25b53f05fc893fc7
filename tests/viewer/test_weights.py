"""The weight map that follows painting."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import pytest
from small_things import LastingHost

from napari_unet.core.annotation import IGNORE, encode
from napari_unet.core.boundary import around, boundary_weight_map
from napari_unet.core.resolution import coarsen_labels
from napari_unet.errors import InputError
from napari_unet.viewer.background import Background
from napari_unet.viewer.notes import is_result, set_meaning
from napari_unet.viewer.regions import region_masks
from napari_unet.viewer.weightmap import weights
from napari_unet.viewer.weightmap.boxes import Boxes
from napari_unet.viewer.weightmap.weights import LiveWeights

STEP, TILE = 30, 64
A_MINUTE = 60_000  # far more than a process takes to start, however busy the machine is


class Asked(Background):
    """Remembers which boxes were asked for."""

    def __init__(self, host: Any) -> None:
        super().__init__(host)
        self.sizes: list[tuple[int, int]] = []

    def ask(self, key: Any, function: Any, *args: Any, **calls: Any) -> None:
        """Take down the size of the box, and ask."""
        self.sizes.append(tuple(span.stop - span.start for span in args[3]))  # type: ignore[arg-type]
        super().ask(key, function, *args, **calls)


@pytest.fixture
def background(light_host: LastingHost, qtbot: Any) -> Iterator[Asked]:  # noqa: ARG001 (Qt's loop)
    """What computes."""
    background = Asked(light_host)
    yield background
    background.close()


@pytest.fixture
def show(
    viewer: Any, background: Asked, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., LiveWeights]]:
    """Show the weight map of labels on a new image, in small tiles."""
    monkeypatch.setattr(weights, "TILE", TILE)
    shown: list[LiveWeights] = []

    def show_weights(data: Any, regions: Any = None, **options: Any) -> LiveWeights:
        image = viewer.add_image(np.zeros(data.shape, np.uint8), name="cells")
        labels = viewer.add_labels(data, name="painted")
        settings: dict[str, Any] = {"w0": 10.0, "sigma": 3.0, "factor": 1, "meaning": "instances"}
        settings |= options
        set_meaning(labels, settings.pop("meaning"))
        shown.append(LiveWeights(background, viewer, image, labels, regions, **settings))
        settle(shown[-1], qtbot)
        return shown[-1]

    yield show_weights
    for live in shown:
        live.close()
    shown.clear()


def settle(live: LiveWeights, qtbot: Any) -> None:
    """Wait until everything is computed."""
    qtbot.wait(1)
    timers = [live._edits._timer, *([live._masks._settled] if live._masks else [])]
    qtbot.wait_until(
        lambda: live._asked is None and not any(timer.isActive() for timer in timers),
        timeout=A_MINUTE,
    )


def cells(shape: tuple[int, ...] = (150, 170), first: int = 1) -> Any:
    """Cells on a grid, some of which touch."""
    data = np.zeros(shape, np.uint16)
    number = first
    for y in range(4, shape[-2] - STEP, STEP):
        for x in range(4, shape[-1] - STEP, STEP):
            data[..., y : y + 22, x : x + 24 + 2 * (number % 4)] = number
            number += 1
    return data


def whole_map(
    labels: Any,
    meaning: Any = "instances",
    region: Any = None,
    w0: float = 10.0,
    sigma: float = 3.0,
) -> Any:
    """Compute a plane from nothing."""
    target = encode(labels, meaning, region)
    unlabelled = target.classes == IGNORE
    return boundary_weight_map(
        target.cells, w0=w0, sigma=sigma, class_weights=False, ignore=unlabelled
    )


@pytest.mark.parametrize("viewer", ["model", "real"], indirect=True)
@pytest.mark.parametrize("meaning", ["instances", "scribbles"])
def test_after_every_edit_the_map_is_that_of_a_full_recomputation(
    show: Any, viewer: Any, qtbot: Any, meaning: str
) -> None:
    """Painted, filled, undone, redone, with the polygon and in place: bit for bit."""
    live = show(cells(first=2), meaning=meaning)
    (layer,) = [layer for layer in viewer.layers if is_result(layer, "weights")]
    labels, rng = viewer.layers["painted"], np.random.default_rng(1)
    np.testing.assert_array_equal(layer.data, whole_map(labels.data, meaning))
    assert layer.data.min() == (0 if meaning == "scribbles" else 1)
    assert layer.data.max() > 8

    def write() -> None:
        labels.data[90:130, 5:9] = 1
        labels.refresh()

    edits: list[Callable[[], Any]] = [
        lambda: labels.paint(rng.integers(0, 150, 2), 200),
        lambda: labels.paint(rng.integers(0, 150, 2), 0),
        lambda: labels.fill((10, 10), 77),
        labels.undo,
        labels.redo,
        lambda: labels.paint_polygon([[50, 50], [90, 60], [60, 95]], 1),
        write,
        labels.undo,
    ]
    for edit in edits:
        labels.brush_size = int(rng.integers(2, 20))
        edit()
        settle(live, qtbot)
        np.testing.assert_array_equal(layer.data, whole_map(labels.data, meaning))


def test_only_what_is_around_an_edit_is_computed(
    show: Any, viewer: Any, background: Asked, qtbot: Any
) -> None:
    """A dot in a plane of many tiles."""
    live = show(np.zeros((180, 190), np.uint8))
    assert len(background.sizes) == 9
    background.sizes.clear()
    labels = viewer.layers["painted"]
    labels.brush_size = 1
    labels.paint((90, 100), 1)
    settle(live, qtbot)

    dot = (slice(90, 91), slice(100, 101))
    near = around(dot, (180, 190), w0=10.0, sigma=3.0)
    assert background.sizes == [tuple(span.stop - span.start for span in near)]
    assert max(background.sizes[0]) < 50


def test_sliders_change_the_map(show: Any, viewer: Any, qtbot: Any) -> None:
    """Height and width; the brightest colour is the largest possible weight."""
    data = cells()
    live = show(data)
    layer: Any = viewer.layers["cells weight map"]
    for w0, sigma in ((20.0, 3.0), (20.0, 5.0), (0.0, 5.0)):
        live.set_weights(w0, sigma)
        settle(live, qtbot)
        np.testing.assert_array_equal(layer.data, whole_map(data, w0=w0, sigma=sigma))
        assert tuple(layer.contrast_limits) == (0.0, 1.0 + w0)


def test_a_slider_that_moves_on_does_not_hold_up_the_map(
    show: Any, viewer: Any, qtbot: Any
) -> None:
    """While it is dragged, tiles still come; at the end all are of the last value."""
    data = cells()
    live = show(data)
    layer: Any = viewer.layers["cells weight map"]
    before = layer.data.copy()
    moves = 0
    while not (layer.data != before)[64:128, 64:128].any():
        moves += 1
        assert moves < 2000
        live.set_weights(11 + moves % 30, 3.0)
        qtbot.wait(10)
    assert (layer.data != before)[:64, :64].any()
    settle(live, qtbot)
    np.testing.assert_array_equal(layer.data, whole_map(data, w0=11 + moves % 30))


def test_planes_are_computed_when_they_are_shown(show: Any, viewer: Any, qtbot: Any) -> None:
    """And what is painted on one meanwhile counts when it is shown again."""
    live = show(cells((3, 100, 120)))
    labels, layer = viewer.layers["painted"], viewer.layers["cells weight map"]
    middle = whole_map(labels.data[1])
    assert [plane.any() for plane in layer.data] == [False, True, False]
    viewer.dims.set_point(0, 2)
    settle(live, qtbot)
    np.testing.assert_array_equal(layer.data[2], middle)

    labels.brush_size = 20
    labels.paint((1, 50, 60), 0)
    live.set_weights(10.0, 2.0)
    settle(live, qtbot)
    np.testing.assert_array_equal(layer.data[1], middle)
    viewer.dims.set_point(0, 1)
    settle(live, qtbot)
    np.testing.assert_array_equal(layer.data[1], whole_map(labels.data[1], sigma=2.0))


def test_regions_say_what_is_labelled(show: Any, viewer: Any, qtbot: Any) -> None:
    """Outside nothing weighs; moved regions count."""
    regions = viewer.add_shapes([[[0, 0], [0, 80], [90, 80], [90, 0]]], shape_type="rectangle")
    data = cells()
    live = show(data, regions)
    layer: Any = viewer.layers["cells weight map"]
    assert not layer.data[100:, 100:][data[100:, 100:] == 0].any()

    regions.data = [[[50, 60], [50, 160], [140, 160], [140, 60]]]
    settle(live, qtbot)
    region = np.zeros(data.shape, bool)
    region[50:140, 60:160] = True
    np.testing.assert_array_equal(layer.data > 0, (data > 0) | (live._masks.mask(())))  # type: ignore[union-attr]
    np.testing.assert_array_equal(layer.data, whole_map(data, region=live._masks.mask(())))  # type: ignore[union-attr]
    assert abs(int(live._masks.mask(()).sum()) - int(region.sum())) < 500  # type: ignore[union-attr]


def test_regions_that_are_removed_or_exchanged_are_followed(
    show: Any, viewer: Any, qtbot: Any
) -> None:
    """Without any, all is labelled; a closed map follows none."""
    one, other = (
        viewer.add_shapes([np.array([[0, 0], [0, 80], [90, 80], [90, 0]]) + offset])
        for offset in (0, 60)
    )
    data, followers = cells(), other.events.set_data.callbacks
    live = show(data, one)
    layer: Any = viewer.layers["cells weight map"]
    assert not layer.data.all()
    viewer.layers.remove(one)
    settle(live, qtbot)
    np.testing.assert_array_equal(layer.data, whole_map(data))

    live.set_regions(other)
    settle(live, qtbot)
    mask = region_masks(other, viewer.layers["cells"])[()]
    np.testing.assert_array_equal(layer.data, whole_map(data, region=mask))
    other.data = other.data[0] - 60
    settle(live, qtbot)
    mask = region_masks(other, viewer.layers["cells"])[()]
    np.testing.assert_array_equal(layer.data, whole_map(data, region=mask))
    live.close()
    assert other.events.set_data.callbacks == followers


@pytest.mark.parametrize("factor", [2, 3])
def test_at_a_working_resolution_the_map_is_what_training_weighs(
    show: Any, viewer: Any, qtbot: Any, factor: int
) -> None:
    """The weights of the coarse labels, in blocks; also after an edit."""
    live = show(cells((151, 172)), factor=factor)
    labels, layer = viewer.layers["painted"], viewer.layers["cells weight map"]
    labels.brush_size = 15
    labels.paint((70, 103), 999)
    settle(live, qtbot)

    coarse = whole_map(coarsen_labels(labels.data, factor))
    fine = coarse.repeat(factor, axis=0).repeat(factor, axis=1)[:151, :172]
    np.testing.assert_array_equal(layer.data, fine)


def test_the_resolution_follows_the_first_cells(show: Any, viewer: Any, qtbot: Any) -> None:
    """Unless it is given; before anything is painted it is that of the image."""
    live = show(np.zeros((400, 500), np.uint8), factor=0, meaning="scribbles")
    labels = viewer.layers["painted"]
    labels.brush_size = 20
    labels.paint((10, 10), 1)
    settle(live, qtbot)
    assert live.factor == 1
    labels.brush_size = 140
    labels.paint((200, 200), 2)
    settle(live, qtbot)

    assert live.factor == 3
    coarse = whole_map(coarsen_labels(labels.data, 3), "scribbles")
    fine = coarse.repeat(3, axis=0).repeat(3, axis=1)[:400, :500]
    np.testing.assert_array_equal(viewer.layers["cells weight map"].data, fine)


@pytest.mark.parametrize("name", ["cells weight map", "painted", "cells"])
def test_it_ends_when_a_layer_is_removed(show: Any, viewer: Any, qtbot: Any, name: str) -> None:
    """By the user; what is painted later is nobody's business."""
    live = show(cells())
    ends = []
    live.closed.connect(lambda: ends.append(name))
    labels = viewer.layers["painted"]
    viewer.layers.remove(viewer.layers[name])
    labels.paint((50, 50), 9)
    qtbot.wait(60)
    live.set_weights(3.0, 3.0)
    live.close()

    assert ends == [name]
    assert live._asked is None


def test_removed_the_layer_goes(show: Any, viewer: Any) -> None:
    """Closed it stays."""
    live = show(cells())
    live.close()
    assert "cells weight map" in viewer.layers
    live = show(cells())
    live.remove()
    assert [layer.name for layer in viewer.layers if is_result(layer)] == ["cells weight map"]


def test_another_meaning_is_another_map(show: Any, viewer: Any, qtbot: Any) -> None:
    """Of classes there is none."""
    live = show(cells(first=2))
    labels = viewer.layers["painted"]
    set_meaning(labels, "scribbles")
    settle(live, qtbot)
    expected = whole_map(labels.data, "scribbles")
    np.testing.assert_array_equal(viewer.layers["cells weight map"].data, expected)

    ends = []
    live.closed.connect(lambda: ends.append("closed"))
    set_meaning(labels, "classes")
    assert ends == ["closed"]


def test_labels_of_another_shape_end_it(show: Any, viewer: Any, qtbot: Any) -> None:
    """They no longer lie on the image."""
    live = show(cells())
    viewer.layers["painted"].data = cells((100, 100))
    qtbot.wait_until(lambda: not live._open, timeout=A_MINUTE)


def test_labels_with_fewer_planes_end_it(show: Any, viewer: Any) -> None:
    """Although no pixel of the planes that are left has changed."""
    live = show(cells((3, 150, 170)))
    viewer.layers["painted"].data = viewer.layers["painted"].data[:2].copy()
    viewer.dims.set_current_step(0, 2)

    assert not live._open


def test_planes_that_are_taken_for_channels_end_it(show: Any, viewer: Any) -> None:
    """The map has a plane for each."""
    live = show(cells((3, 150, 170)))
    viewer.layers["cells"].axis_labels = ("c", "y", "x")
    viewer.dims.set_current_step(0, 2)

    assert not live._open


def test_labels_that_do_not_fit_are_refused(show: Any, viewer: Any) -> None:
    """Classes, and labels of another image; no layer is added."""
    with pytest.raises(InputError, match=r"'painted' holds classes.*none for classes"):
        show(cells(), meaning="classes")
    image = viewer.add_image(np.zeros((5, 5)))
    with pytest.raises(InputError, match="has shape"):
        LiveWeights(
            Background(None),
            viewer,
            image,
            viewer.layers["painted"],
            None,
            w0=1.0,
            sigma=1.0,  # type: ignore[arg-type]
        )
    assert not [layer for layer in viewer.layers if is_result(layer)]


def test_it_goes_on_after_its_process_died(
    show: Any, viewer: Any, background: Asked, light_host: LastingHost, qtbot: Any
) -> None:
    """At the next edit; the user was told."""
    live = show(cells())
    child = light_host._child
    assert child is not None
    live.set_weights(15.0, 3.0)
    child._process.kill()
    qtbot.wait_until(lambda: not background.busy, timeout=A_MINUTE)
    viewer.layers["painted"].paint((50, 50), 9)
    settle(live, qtbot)

    np.testing.assert_array_equal(
        viewer.layers["cells weight map"].data, whole_map(viewer.layers["painted"].data, w0=15.0)
    )


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_box_over_which_the_process_died_is_asked_for_once_more(
    show: Any, viewer: Any, background: Asked, light_host: LastingHost, qtbot: Any, deaths: int
) -> None:
    """By itself; what fails twice waits for the next edit, or it would fail for ever."""
    live = show(cells())
    labels, asked = viewer.layers["painted"], len(background.sizes)
    # A question that is answered, but not over, would be stopped for the next one; and a suspended
    # process that does not stop is killed by its host.
    qtbot.wait_until(lambda: not background.busy, timeout=A_MINUTE)
    for death in range(deaths):
        child = light_host._child
        assert child is not None
        process = psutil.Process(child._process.pid)
        process.suspend()
        if death == 0:
            live.set_weights(15.0, 3.0)
        asked += 1
        qtbot.wait_until(
            lambda asked=asked: len(background.sizes) == asked and not background._waiting,
            timeout=A_MINUTE,
        )
        qtbot.wait(200)  # until the process was told, which nothing shows while it is suspended
        process.kill()
        if death == 0:
            qtbot.wait_until(lambda old=child: light_host._child is not old, timeout=A_MINUTE)
    qtbot.wait_until(lambda: not background.busy, timeout=A_MINUTE)
    qtbot.wait(50)
    if deaths == 2:
        assert len(background.sizes) == asked
        labels.paint((50, 50), 9)
    settle(live, qtbot)

    expected = whole_map(labels.data, w0=15.0)
    np.testing.assert_array_equal(viewer.layers["cells weight map"].data, expected)


def test_boxes_in_view_come_first_and_edits_before_them() -> None:
    """From the middle of the view outward; what is already waited for is not added."""
    view = (slice(600, 700), slice(600, 700))
    boxes = Boxes((1000, 1500), 512, view)
    assert len(boxes) == 6
    assert boxes.take(view) == (slice(512, 1000), slice(512, 1024))
    boxes.add((slice(0, 10), slice(0, 10)))
    assert len(boxes) == 5
    boxes.add((slice(600, 610), slice(600, 610)))
    assert len(boxes) == 6
    assert boxes.take(view) == (slice(600, 610), slice(600, 610))

    elsewhere = (slice(0, 50), slice(1400, 1500))
    assert boxes.take(elsewhere) == (slice(0, 512), slice(1024, 1500))
    boxes.renew()
    assert len(boxes) == 6
    everywhere = (slice(0, 1000), slice(0, 1500))
    taken = [boxes.take(everywhere) for _ in range(3)]
    boxes.renew()
    assert all(boxes.take(everywhere) not in taken for _ in range(3))
    boxes.renew()
    boxes.add((slice(0, 1000), slice(0, 1500)))
    assert len(boxes) == 6
