"""Stacks that are larger than the memory of any computer, of which a plane is enough."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Image
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig
from napari_unet.engine.events import Previewed
from napari_unet.engine.process.mailbox import Mailbox
from napari_unet.errors import DeviceError
from napari_unet.viewer.correcting.uncertainty import Uncertainty
from napari_unet.viewer.layers import new_scribbles
from napari_unet.viewer.learning.preview import Preview
from napari_unet.viewer.notes import is_result
from napari_unet.viewer.planes import Planes
from napari_unet.viewer.segmenting.results import Result
from napari_unet.viewer.session import Session

SHAPE = (3, 4, 5, 6)
PIXELS = np.random.default_rng(0).random((100, 120)).astype(np.float32)

LONG = 10**8
"""Planes of a stack of terabytes, and about as many as a slider can count."""

VAST = (2**20, 2**20)
"""Planes of a stack of more bytes than a process can address, so that nobody promises them."""


def one_index(n: int) -> st.SearchStrategy[Any]:
    """An index of an axis: a number, also from the end, or a slice."""
    return st.one_of(st.integers(-n, n - 1), st.slices(n))


@st.composite
def indices(draw: st.DrawFn) -> Any:
    """An index as numpy knows it: short ones, and some with an ellipsis."""
    index = [draw(one_index(n)) for n in SHAPE]
    cut = draw(st.integers(0, 4))
    if draw(st.booleans()):
        return (*index[:cut], ..., *index[draw(st.integers(cut, 4)) :])
    return tuple(index[:cut])


@given(indices())
def test_planes_are_read_like_an_array(index: Any) -> None:
    """Whatever of it was written."""
    rng, whole, planes = np.random.default_rng(1), np.zeros(SHAPE, int), Planes(SHAPE, int)
    for place in ((0, 0), (1, 3), (2, 1)):
        whole[place] = planes[place] = rng.integers(1, 9, SHAPE[2:])
    whole[1, 3, 2:4, 1:5] = planes[1, 3, 2:4, 1:5] = 10

    assert planes[index].shape == whole[index].shape
    np.testing.assert_array_equal(planes[index], whole[index])


def test_planes_are_written_one_at_a_time() -> None:
    """They may get a wider type, and a largest value; another index is an error."""
    planes = Planes(SHAPE, np.uint8)
    assert planes.max(initial=0) == 0
    planes[-1, 0] = 200
    planes[2, 0, 1:3] = 7
    wide = planes.astype(np.uint32)
    wide[0, 1, 0] = 70_000

    assert (planes.max(), wide.max()) == (200, 70_000)
    assert (np.asarray(planes).sum(), np.asarray(planes).dtype) == (200 * 18 + 7 * 12, np.uint8)
    with pytest.raises(IndexError, match="one at a time"):
        planes[0] = 1
    with pytest.raises(IndexError):
        planes[3, 0] = 1


@pytest.fixture
def open_stack(viewer: Any) -> Callable[..., Image]:
    """Open a stack on some disk, and look at a plane of it."""

    def open_it(*leading: int) -> Image:
        data = np.broadcast_to(PIXELS, (*leading, *PIXELS.shape))
        image: Image = viewer.add_image(data, name="worm", contrast_limits=(0, 1))
        viewer.dims.set_current_step(tuple(range(len(leading))), (7,) * len(leading))
        return image

    return open_it


def shown(viewer: Any, kind: Any) -> Any:
    """Return the layer with a result."""
    (layer,) = [layer for layer in viewer.layers if is_result(layer, kind)]
    return layer


@pytest.mark.parametrize("viewer", ["model", "window"], indirect=True)
def test_planes_of_a_huge_stack_are_segmented_one_by_one(
    session: Session, viewer: Any, open_stack: Any, finish: Any
) -> None:
    """Each is seen, with numbers of its own, and how sure the network is."""
    image = open_stack(LONG)
    session.segmenter = make_segmenter()
    config = PredictConfig(device="cpu", min_size=0)
    for step in (8, 7):
        viewer.dims.set_current_step(0, step)
        session.segment(image, "current plane", config, probability=True)
        finish()
    labels, probability = (shown(viewer, kind) for kind in ("segmentation", "probability"))
    second, first = (labels.data[step] for step in (7, 8))
    assert labels.name == "worm segmentation"
    assert first.any()
    np.testing.assert_array_equal(second > 0, first > 0)
    assert not np.intersect1d(first[first > 0], second).size
    assert not labels.data[6].any()
    np.testing.assert_array_equal(probability.data[7], session.kept.get(image, (7,)).foreground)
    assert labels.get_value((7, 50, 60)) == second[50, 60]

    Uncertainty.of(session).show(image)
    assert shown(viewer, "uncertainty").data[7].any()
    assert not session.background.busy


def test_a_network_in_training_is_previewed_on_a_plane_of_a_huge_stack(
    viewer: Any, open_stack: Any, qtbot: Any
) -> None:
    """Then on another one; the layer needs no memory for the rest."""
    mailbox, model = Mailbox(), make_segmenter()
    preview = Preview(viewer, open_stack(*VAST), mailbox, every=1.0)
    preview.begin(model)
    for place in ((7, 7), (7, 8)):
        viewer.dims.set_current_step((0, 1), place)
        looks: list[Any] = []
        qtbot.wait_until(lambda looks=looks: bool(looks.extend(mailbox.take()) or looks))
        looks[-1].out.array[...] = 1
        preview.show(Previewed(key=looks[-1].key, step=1, segmenter=model))
        assert shown(viewer, "preview").data[place].all()
    assert not shown(viewer, "preview").data[8, 8].any()
    preview.close()


def test_what_would_need_all_of_a_huge_stack_says_so(viewer: Any, open_stack: Any) -> None:
    """How much that is, and what to do instead; nothing is added to the viewer."""
    image = open_stack(*VAST)
    with pytest.raises(DeviceError, match=r"Labels on layer 'worm' would need 26,\d+,.* GB .*zarr"):
        new_scribbles(viewer, image)
    for kind in ("segmentation", "probability"):
        needs = rf"The {kind} of layer 'worm' would need .* GB of memory, .* the current plane only"
        with pytest.raises(DeviceError, match=needs):
            Result(viewer, image, kind, np.uint8)
    assert list(viewer.layers) == [image]


def test_a_huge_stack_among_the_open_images_is_left_out_with_its_reason(
    session: Session, viewer: Any, open_stack: Any, finish: Any
) -> None:
    """The images that fit are segmented, and nothing goes on following the user for the other."""
    small = viewer.add_image(PIXELS, name="small")
    open_stack(*VAST)
    session.segmenter = make_segmenter()
    moves = viewer.dims.events.current_step
    followers = len(moves.callbacks)
    session.segment(small, "all open images", PredictConfig(device="cpu"))
    finish()

    fitting, huge = session.batch.rows
    assert fitting.state == "done"
    assert huge.text.startswith("skipped: The segmentation of layer 'worm' would need")
    assert len(moves.callbacks) == followers
    assert shown(viewer, "segmentation").name == "small segmentation"
