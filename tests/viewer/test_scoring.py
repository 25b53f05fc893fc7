"""A segmentation scored against the truth, by a real process beside the viewer."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from napari.layers import Image, Labels
from small_things import make_segmenter

from napari_unet import metrics
from napari_unet.core.comparison import ERRORS, error_map
from napari_unet.core.config import PredictConfig
from napari_unet.engine.scoring import Agreement, score_plane
from napari_unet.errors import InputError
from napari_unet.sample_data import touching_cells
from napari_unet.viewer.cellclasses import name_classes, write_classes
from napari_unet.viewer.layers import new_scribbles
from napari_unet.viewer.notes import Meaning, is_result, link, set_meaning
from napari_unet.viewer.scores.comparison import COLOURMAP, possible_scopes
from napari_unet.viewer.scores.scorable import possible_truths
from napari_unet.viewer.scores.score import CellScore
from napari_unet.viewer.scores.scoring import BROKEN_OFF, CHANGED, OUTDATED, Scoring
from napari_unet.viewer.segmenting.results import Result
from napari_unet.viewer.segmenting.rethreshold import Rethreshold
from napari_unet.viewer.session import Session

PIXELS, _ = touching_cells((90, 120))
WINDOW = pytest.mark.parametrize("viewer", ["window"], indirect=True)

TRUTH = np.zeros((90, 120), np.int32)
for number, (y, x) in enumerate(np.ndindex(2, 5), start=1):
    TRUTH[10 + 40 * y :, 5 + 24 * x :][:20, :16] = number

FOUND = np.roll(TRUTH, 1, axis=0).astype(np.uint16)
FOUND[FOUND == 2] = 0  # missed
FOUND[11:31, 53:93] = 4  # 3 and 4, merged
FOUND[60, 5:21] = 0  # 6, split
FOUND[61:71, 5:21] = 66
FOUND[80:85, 100:110] = 99  # spurious


@pytest.fixture
def scoring(session: Session) -> Scoring:
    """What is tested."""
    scoring = Scoring(session)
    scoring.follow()
    return scoring


@pytest.fixture
def settle(scoring: Scoring, qtbot: Any) -> Callable[[], None]:
    """Wait until nothing is compared any more."""

    def wait() -> None:
        qtbot.wait_until(lambda: not scoring.running, timeout=100_000)
        qtbot.wait(20)

    return wait


def segmented(viewer: Any, found: np.ndarray, name: str = "cells") -> Image:
    """Open an image that was segmented."""
    image: Image = viewer.add_image(np.zeros(found.shape, np.float32), name=name)
    result = Result(viewer, image, "segmentation", np.uint16)
    result.array[...] = found
    result.finish(complete=True)
    return image


def errors_of(viewer: Any, image: Image) -> Labels:
    """Return the layer of errors."""
    (layer,) = [layer for layer in viewer.layers if is_result(layer, "errors", image)]
    assert isinstance(layer, Labels)
    return layer


def scored(truth: np.ndarray, predicted: np.ndarray, meaning: Meaning) -> Agreement | None:
    """Score a plane in this process."""
    (score,) = score_plane(truth, predicted, meaning, np.zeros(truth.shape, np.uint8))
    return score


def fates(score: Agreement | None) -> list[tuple[str, int, str]]:
    """Say what became of every object."""
    assert score is not None
    return [(one.side, one.label, one.fate) for one in score.objects]


def test_the_plane_in_view_gets_its_scores_and_its_errors(
    viewer: Any, scoring: Scoring, settle: Any
) -> None:
    """The numbers of the metrics, the map of the comparison, and every true cell counted once."""
    image = segmented(viewer, FOUND)
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    scoring.begin(image, truth, "plane")
    assert scoring.running
    settle()
    layer = errors_of(viewer, image)

    seg, ap = metrics.seg_score(TRUTH, FOUND), metrics.average_precision(TRUTH, FOUND)
    iou = metrics.iou(TRUTH, FOUND)
    scores = f"SEG {seg:.2f}, AP@0.5 {ap:.2f}, IoU {iou:.2f}. 10 true "
    assert scoring.sentence.startswith(f"'cells' against 'truth': {scores}")
    assert scoring.sentence.endswith("6 found, 1 missed, 2 merged, 1 split; 1 spurious.")
    np.testing.assert_array_equal(layer.data, error_map(TRUTH, FOUND))
    assert {1, 2, 3, 4} <= set(np.unique(layer.data))


def test_a_mask_as_truth_is_scored_with_a_word_about_it(
    viewer: Any, scoring: Scoring, settle: Any
) -> None:
    """Ten cells with one number would silently be one."""
    image = segmented(viewer, FOUND)
    truth = viewer.add_labels((TRUTH > 0).astype(np.uint8), name="mask")
    set_meaning(truth, "instances")
    scoring.begin(image, truth, "plane")
    settle()

    assert "1 true cell:" in scoring.sentence
    assert "1 number stands for 10 pieces" in scoring.sentence


def test_errors_can_be_seen_and_are_named_under_the_cursor(
    viewer: Any, scoring: Scoring, settle: Any
) -> None:
    """Above all layers, in the four colours, while what was compared is hidden."""
    image = segmented(viewer, FOUND)
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    viewer.layers.selection.active = truth
    scoring.begin(image, truth, "plane")
    settle()
    layer = errors_of(viewer, image)

    assert viewer.layers[-1] is layer
    assert layer.name == "cells errors"
    assert viewer.layers.selection.active is truth
    assert [one.name for one in viewer.layers if one.visible] == ["cells", "cells errors"]
    assert layer.colormap is COLOURMAP
    assert list(layer.features["error"]) == ["right", *ERRORS]
    assert not layer.editable


def test_painted_labels_are_outlined_while_errors_are_shown(
    viewer: Any, scoring: Scoring, settle: Any
) -> None:
    """Their colours are not those of errors; and they can be painted on all the while."""
    image = segmented(viewer, FOUND)
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    painted = new_scribbles(viewer, image)
    mine = viewer.add_labels(TRUTH.copy(), name="outlined by the user")
    mine.contour = 3
    scoring.begin(image, truth, "plane")
    settle()
    errors = errors_of(viewer, image)

    assert (painted.visible, painted.contour, mine.contour) == (True, 1, 3)
    errors.visible = False
    assert (painted.contour, mine.contour) == (0, 3)
    errors.visible = True
    assert painted.contour == 1
    scoring.begin(image, truth, "plane")
    settle()
    assert painted.contour == 1
    viewer.layers.remove(errors)
    assert (painted.contour, mine.contour) == (0, 3)


def test_scoring_again_shows_the_new_errors_only(
    viewer: Any, scoring: Scoring, settle: Any
) -> None:
    """In the same layer."""
    image = segmented(viewer, FOUND)
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    scoring.begin(image, truth, "plane")
    settle()
    layer = errors_of(viewer, image)
    truth.data = FOUND.copy()
    scoring.begin(image, truth, "plane")
    settle()

    assert errors_of(viewer, image) is layer
    assert not layer.data.any()
    assert "SEG 1.00, AP@0.5 1.00, IoU 1.00." in scoring.sentence


def test_what_scribbles_leave_unlabelled_is_not_scored() -> None:
    """A cell found where nothing is labelled is no error, and outlines are not judged there."""
    scribbles, found = np.zeros((60, 60), np.int32), np.zeros((60, 60), np.uint16)
    scribbles[5:15, 5:15] = 2  # found, and more around it
    found[3:18, 3:18] = 1
    scribbles[30:32, 5:15] = 3  # a stroke on a cell
    found[25:40, 3:18] = 2
    scribbles[50:58, :] = 1
    found[52:56, 20:30] = 3  # on painted background
    found[10:20, 40:50] = 4  # where nothing is labelled
    found[44:51, 40:50] = 5  # there, too, by more than half

    assert fates(scored(scribbles, found, "scribbles")) == [
        ("truth", 2, "found"), ("truth", 3, "found"),
        ("predicted", 1, "found"), ("predicted", 2, "found"), ("predicted", 3, "spurious"),
    ]  # fmt: skip
    assert len(fates(scored(scribbles, found, "instances"))) == 3 + 5


def test_a_truth_without_a_cell_has_no_score() -> None:
    """Background alone does not say how well cells are found."""
    background = np.ones((9, 9), np.uint8)

    assert scored(background, background, "scribbles") is None
    assert scored(np.zeros((9, 9), np.uint8), background, "instances") is None
    assert scored(background, background, "instances") is not None


def test_a_stack_gets_the_means_of_the_planes_that_can_be_compared(
    viewer: Any, session: Session, scoring: Scoring, settle: Any
) -> None:
    """A plane without a true cell, and one that was not segmented, are left out and counted."""
    empty = np.zeros_like(FOUND)
    image = segmented(viewer, np.stack([FOUND, TRUTH, FOUND, empty, empty]))
    session.kept.put(image, (4,), np.zeros(TRUTH.shape, np.float32), make_segmenter())
    truth = viewer.add_labels(np.stack([TRUTH, TRUTH, empty, TRUTH, TRUTH]), name="truth")
    viewer.dims.set_point(0, 0)
    scoring.begin(image, truth, "planes")
    settle()
    layer = errors_of(viewer, image)

    seg = (metrics.seg_score(TRUTH, FOUND) + 1 + 0) / 3
    assert f" SEG {seg:.2f}," in scoring.sentence
    assert "(means of 3 planes; left out: 1 without truth and 1 not segmented)" in (
        scoring.sentence
    )
    np.testing.assert_array_equal(layer.data[0], error_map(TRUTH, FOUND))
    assert not layer.data[[1, 2, 3]].any()
    assert set(np.unique(layer.data[4])) == {0, 1}
    assert layer.name == "cells errors"


def test_of_a_stack_the_plane_in_view_is_scored(viewer: Any, scoring: Scoring, settle: Any) -> None:
    """And named."""
    image = segmented(viewer, np.stack([FOUND, TRUTH]))
    truth = viewer.add_labels(np.stack([TRUTH, TRUTH]), name="truth")
    viewer.dims.set_point(0, 1)
    scoring.begin(image, truth, "plane")
    settle()

    assert "SEG 1.00, AP@0.5 1.00, IoU 1.00 in plane 1." in scoring.sentence


def test_painted_labels_stay_in_view_and_flatter(
    viewer: Any, scoring: Scoring, settle: Any
) -> None:
    """The user may be painting on them, and the model may have been trained on them."""
    image = segmented(viewer, FOUND)
    truth = viewer.add_labels(np.where(TRUTH > 0, TRUTH + 1, 1), name="painted")
    set_meaning(truth, "scribbles")
    link(truth, image)
    scoring.begin(image, truth, "plane")
    settle()

    assert truth.visible
    assert scoring.sentence.endswith(
        "Only labelled pixels count. The model may have learned from these labels, which flatters "
        "it."
    )


def test_only_labels_of_the_user_with_the_size_of_the_image_may_be_the_truth(
    viewer: Any, scoring: Scoring, settle: Any
) -> None:
    """No result of ours, and of no image there is none."""
    image = segmented(viewer, FOUND)
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    viewer.add_labels(TRUTH[1:].copy(), name="smaller")
    scoring.begin(image, truth, "plane")
    settle()

    assert possible_truths(viewer, image) == [truth]
    assert possible_truths(viewer, None) == []


@pytest.mark.parametrize(
    ("truth", "found", "meaning", "message"),
    [
        (TRUTH[1:], FOUND, "instances", r"has shape \(89, 120\), image layer 'cells'"),
        (TRUTH, FOUND, "classes", "'truth' holds classes, and the segmentation of layer 'cells' h"),
        (TRUTH * 0, FOUND, "instances", r"'truth' holds no cell .* meaning is instances\): choose"),
        (TRUTH > 0, FOUND, "scribbles", r"'truth' holds no cell .* meaning is scribbles\): choose"),
        (TRUTH, FOUND * 0, "instances", "'cells' is not segmented here: press Segment first"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_sentence(
    viewer: Any,
    scoring: Scoring,
    truth: np.ndarray,
    found: np.ndarray,
    meaning: Meaning,
    message: str,
) -> None:
    """With what to do, and no layer is left behind."""
    image = segmented(viewer, found)
    labels = viewer.add_labels(truth.astype(np.uint16), name="truth")
    set_meaning(labels, meaning)
    with pytest.raises(InputError, match=message):
        scoring.begin(image, labels, "plane")

    assert not any(is_result(layer, "errors") for layer in viewer.layers)
    assert not scoring.running


def test_an_image_that_was_never_segmented_is_refused(viewer: Any, scoring: Scoring) -> None:
    """Also if it has a segmentation of another size."""
    image = segmented(viewer, FOUND)
    image.data = np.zeros((80, 80), np.float32)
    truth = viewer.add_labels(TRUTH[:80, :80].copy(), name="truth")

    with pytest.raises(InputError, match="'cells' is not segmented here"):
        scoring.begin(image, truth, "planes")


def classes_of_pixels(viewer: Any, session: Session, found: np.ndarray) -> Image:
    """Open an image that was segmented with a model of classes."""
    image = segmented(viewer, found)
    model = make_segmenter(kind="classes")
    for plane in np.ndindex(found.shape[:-2]):
        session.kept.put(image, plane, np.zeros(found.shape[-2:], np.float32), model)
    return image


def test_cells_are_not_scored_against_classes(
    viewer: Any, session: Session, scoring: Scoring
) -> None:
    """The numbers of one are not those of the other."""
    image = classes_of_pixels(viewer, session, FOUND)
    truth = viewer.add_labels(TRUTH.copy(), name="truth")

    with pytest.raises(InputError, match="tells classes of pixels apart, and labels layer 'truth'"):
        scoring.begin(image, truth, "plane")


def test_classes_are_scored_by_their_pixels(
    viewer: Any, session: Session, scoring: Scoring, settle: Any
) -> None:
    """Of all planes together, and only where the truth is labelled; wrong pixels are shown."""
    true = np.zeros((3, 10, 20), np.uint8)
    true[:2, :5], true[:2, 5:, :10] = 1, 2
    found = np.where(true == 0, 3, true)
    found[0, :, :2] = 3  # 20 of 100 + 50 labelled pixels of that plane
    found[1, 0, 0] = 2
    image = classes_of_pixels(viewer, session, found)
    (layer,) = [one for one in viewer.layers if is_result(one, "segmentation", image)]
    name_classes(layer, ("axon", "", ""))
    truth = viewer.add_labels(true, name="truth")
    set_meaning(truth, "classes")
    scoring.begin(image, truth, "planes")
    settle()
    errors = errors_of(viewer, image)

    axon, other, never = (200 - 10 - 1) / 200, (100 - 10) / (100 + 1), 0.0
    assert scoring.sentence == (
        f"{image.name!r} against 'truth': Mean IoU {(axon + other + never) / 3:.2f} (2 planes; "
        f"left out: 1 without truth): axon {axon:.2f}, class 2 {other:.2f}, class 3 {never:.2f}. "
        f"{21 / 300:.1%} of the labelled pixels have a wrong class."
    )
    np.testing.assert_array_equal(errors.data > 0, (true > 0) & (true != found))
    assert list(errors.features["error"]) == ["right", "wrong"]
    assert scoring.score is not None
    assert scoring.score.rows() == []


def test_a_plane_without_all_of_its_classes_is_not_segmented(
    viewer: Any, session: Session, scoring: Scoring, settle: Any
) -> None:
    """Stopped in the middle, what is missing would count as wrong."""
    found = np.ones((2, 10, 20), np.uint8)
    found[1, 5:] = 0
    image = classes_of_pixels(viewer, session, found)
    truth = viewer.add_labels(np.ones_like(found), name="truth")
    set_meaning(truth, "classes")
    scoring.begin(image, truth, "planes")
    settle()

    assert "Mean IoU 1.00 (1 plane; left out: 1 not segmented)" in scoring.sentence


def test_the_classes_of_cells_that_were_found_are_compared(
    viewer: Any, scoring: Scoring, settle: Any
) -> None:
    """Where the truth has one, by name."""
    image = segmented(viewer, TRUTH)
    (layer,) = [one for one in viewer.layers if is_result(one, "segmentation", image)]
    write_classes(layer, {1: "B", 2: "T", 3: "T", 4: "T"})
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    write_classes(truth, {1: "T", 2: "T", 3: "T"})
    scoring.begin(image, truth, "plane")
    settle()

    assert scoring.sentence.endswith("Of 3 found cells whose class is known, 2 have it.")


def test_a_column_that_is_no_classes_hinders_no_score(
    viewer: Any, scoring: Scoring, settle: Any
) -> None:
    """Other plugins write what they like into the table."""
    image = segmented(viewer, TRUTH)
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    truth.features = {"index": [1, 2], "class": [-3.5, 0.0]}
    scoring.begin(image, truth, "plane")
    settle()

    assert scoring.sentence.endswith("0 split; 0 spurious.")


def stack_of_balls() -> tuple[np.ndarray, np.ndarray]:
    """Two columns through four planes, the second cut in two where it was found."""
    true = np.zeros((4, 20, 40), np.uint16)
    true[:, 5:15, 5:15], true[:, 5:15, 25:35] = 1, 2
    found = true.copy()
    found[2:][found[2:] == 2] = 3
    return true, found


def test_objects_of_a_volume_are_compared_as_a_whole(
    viewer: Any, scoring: Scoring, settle: Any, tmp_path: Path
) -> None:
    """Every plane is right by itself, and still one object is split."""
    true, found = stack_of_balls()
    image = segmented(viewer, found)
    truth = viewer.add_labels(true, name="truth")
    scoring.begin(image, truth, "planes")
    settle()
    planes = scoring.sentence
    scoring.begin(image, truth, "volumes")
    settle()
    assert isinstance(scoring.score, CellScore)
    scoring.score.save(tmp_path / "score.csv")
    lines = (tmp_path / "score.csv").read_text(encoding="utf-8").splitlines()

    assert "'truth': SEG 1.00, AP@0.5 1.00, IoU 1.00 (means of 4 planes)." in planes
    seg, ap = metrics.seg_score(true, found), metrics.average_precision(true, found)
    assert scoring.sentence == (
        f"'cells' against 'truth': SEG {seg:.2f}, AP@0.5 {ap:.2f}, IoU 1.00 of 3D objects. 2 true "
        f"cells: 1 found, 0 missed, 0 merged, 1 split; 0 spurious."
    )
    np.testing.assert_array_equal(errors_of(viewer, image).data, error_map(true, found))
    assert [(row[0], row[1].label) for row in scoring.score.rows()][:2] == [((0,), 2), ((2,), 2)]
    assert scoring.score.diameter(scoring.score.rows()[-1][1]) == pytest.approx(9.14, abs=0.01)
    assert lines[0] == "image,volume,side,label,fate,area,z,y,x,partner,iou"
    assert lines[1] == "cells,0,truth,1,found,400,1.5000,9.5000,9.5000,1,1.0000"


def test_every_time_point_has_its_own_volume(viewer: Any, scoring: Scoring, settle: Any) -> None:
    """One without a true cell is left out, and so is one of which a single plane is segmented."""
    true, found = stack_of_balls()
    only_one = found.copy()
    only_one[1:] = 0
    image = segmented(viewer, np.stack([true, found, true, only_one]))
    truth = viewer.add_labels(np.stack([true, true, true * 0, true]), name="truth")
    scoring.begin(image, truth, "volumes")
    settle()

    assert "(means of 2 time points; left out: 1 without truth and 1 not segmented)" in (
        scoring.sentence
    )
    assert set(np.unique(errors_of(viewer, image).data[1])) == {0, 4}
    assert not errors_of(viewer, image).data[[0, 2, 3]].any()


def test_volumes_are_offered_where_there_is_depth(
    viewer: Any, session: Session, scoring: Scoring
) -> None:
    """Not along time, and not of classes."""
    true, found = stack_of_balls()
    image = segmented(viewer, found)
    truth = viewer.add_labels(true, name="truth")
    flat = viewer.add_image(PIXELS, name="flat")
    assert possible_scopes(image) == ["plane", "planes", "volumes"]
    assert possible_scopes(flat) == ["plane"]
    image.axis_labels = ("t", "y", "x")
    assert possible_scopes(image) == ["plane", "planes"]
    with pytest.raises(InputError, match=r"'cells' \(4 time points, .*\) has no 3D objects: score"):
        scoring.begin(image, truth, "volumes")
    viewer.layers.clear()

    image = classes_of_pixels(viewer, session, found)
    truth = viewer.add_labels(true, name="truth")
    set_meaning(truth, "classes")
    with pytest.raises(InputError, match="has no 3D objects, but classes of pixels: score its"):
        scoring.begin(image, truth, "volumes")


def test_a_stack_with_nothing_to_compare_says_so(
    viewer: Any, scoring: Scoring, settle: Any
) -> None:
    """And leaves no layer of errors."""
    image = segmented(viewer, np.stack([FOUND, FOUND * 0]))
    truth = viewer.add_labels(np.stack([TRUTH * 0, TRUTH]), name="truth")
    scoring.begin(image, truth, "planes")
    settle()

    assert scoring.sentence.startswith("No plane is both labelled in layer 'truth' and")
    assert scoring.score is None
    assert not any(is_result(layer, "errors") for layer in viewer.layers)


def test_while_an_image_is_being_segmented_it_is_not_scored(
    viewer: Any, session: Session, scoring: Scoring, finish: Any
) -> None:
    """Half a segmentation has no score."""
    image = viewer.add_image(PIXELS, name="cells")
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    session.segmenter = make_segmenter()
    refused: list[str] = []

    def score(_: object) -> None:
        if not refused:
            with pytest.raises(InputError) as caught:
                scoring.begin(image, truth, "plane")
            refused.append(str(caught.value))

    session.jobs.event.connect(score)
    session.segment(image, "whole layer", PredictConfig(device="cpu", tile_size=76))
    finish()

    assert "'cells' is being segmented: wait until that has ended" in refused[0]


def test_errors_go_when_the_segmentation_changes(
    viewer: Any, session: Session, scoring: Scoring, settle: Any, finish: Any, qtbot: Any
) -> None:
    """They were those of another one, which was hidden; be it segmented again or adjusted."""
    image = viewer.add_image(PIXELS, name="cells")
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    session.segmenter = make_segmenter()
    config = PredictConfig(device="cpu", min_size=0)
    again = Rethreshold(session)
    again.follow()

    def change_by_segmenting() -> None:
        session.segment(image, "current plane", config)
        finish()

    def change_by_adjusting() -> None:
        again.find(image, replace(config, threshold=0.6))
        qtbot.wait_until(lambda: again.objects(image) is not None, timeout=100_000)

    change_by_segmenting()
    (found,) = [layer for layer in viewer.layers if is_result(layer, "segmentation", image)]
    for change in (change_by_segmenting, change_by_adjusting):
        scoring.begin(image, truth, "plane")
        settle()
        assert (errors_of(viewer, image).visible, found.visible) == (True, False)
        assert " SEG " in scoring.sentence
        before = scoring.sentence
        change()
        assert scoring.sentence == f"{OUTDATED} {before}"
        assert (errors_of(viewer, image).visible, found.visible) == (False, True)


def test_breaking_off_keeps_what_was_compared(viewer: Any, scoring: Scoring, settle: Any) -> None:
    """And the layer says that it is not all."""
    image = segmented(viewer, np.stack([FOUND] * 4))
    truth = viewer.add_labels(np.stack([TRUTH] * 4), name="truth")
    said: list[str] = []

    def stop_at_the_second() -> None:
        said.append(scoring.sentence)
        if len(said) == 2:
            scoring.stop()

    scoring.told.connect(stop_at_the_second)
    scoring.begin(image, truth, "planes")
    settle()

    assert said[:2] == ["Comparing plane 1 of 4 ...", "Comparing plane 2 of 4 ..."]
    assert scoring.sentence.startswith(BROKEN_OFF)
    assert scoring.score is not None
    assert list(scoring.score.parts) == [(0,)]
    layer = errors_of(viewer, image)
    assert layer.name == "cells errors (unfinished)"
    assert [bool(plane.any()) for plane in layer.data] == [True, False, False, False]


@pytest.mark.parametrize("which", ["truth", "cells segmentation", "cells"])
def test_a_layer_that_is_removed_meanwhile_ends_it(
    viewer: Any, scoring: Scoring, settle: Any, which: str
) -> None:
    """In a sentence, not in an error."""
    image = segmented(viewer, np.stack([FOUND] * 3))
    truth = viewer.add_labels(np.stack([TRUTH] * 3), name="truth")
    scoring.begin(image, truth, "planes")
    viewer.layers.remove(which)
    settle()

    assert scoring.sentence.startswith(CHANGED)


def test_an_axis_that_is_given_a_name_that_makes_no_sense_ends_it(
    viewer: Any, scoring: Scoring, settle: Any, tmp_path: Path
) -> None:
    """The score of what was compared before can be read and saved."""
    image = segmented(viewer, np.stack([np.stack([FOUND] * 2)] * 2))
    truth = viewer.add_labels(np.stack([np.stack([TRUTH] * 2)] * 2), name="truth")

    def misname() -> None:
        if "3 of 4" in scoring.sentence:
            image.axis_labels = ("z", "c", "y", "x")

    scoring.told.connect(misname)
    scoring.begin(image, truth, "planes")
    settle()

    assert scoring.sentence.startswith(CHANGED)
    assert "(means of 3 planes)" in scoring.sentence
    assert isinstance(scoring.score, CellScore)
    scoring.score.save(tmp_path / "table.csv")
    assert len((tmp_path / "table.csv").read_text().splitlines()) > 8


def test_whoever_left_shows_nothing_any_more(
    viewer: Any, scoring: Scoring, session: Session, qtbot: Any
) -> None:
    """Nor does it hold the image."""
    image = segmented(viewer, FOUND)
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    scoring.begin(image, truth, "plane")
    scoring.leave()
    qtbot.wait_until(lambda: not session.background.busy, timeout=100_000)
    qtbot.wait(20)

    assert not any(is_result(layer, "errors") for layer in viewer.layers)
    assert (scoring.score, scoring.sentence) == (None, "")


@WINDOW
def test_the_camera_flies_to_an_object_in_its_plane(
    viewer: Any, scoring: Scoring, settle: Any
) -> None:
    """The worst object comes first."""
    image = segmented(viewer, np.stack([TRUTH, FOUND]))
    truth = viewer.add_labels(np.stack([TRUTH, TRUTH]), name="truth")
    image.scale = truth.scale = (3, 2, 2)
    viewer.dims.set_point(0, 0)
    scoring.begin(image, truth, "planes")
    settle()
    assert scoring.score is not None
    rows = scoring.score.rows()
    plane, one = rows[0]
    viewer.scene.camera.zoom = 0.5
    scoring.fly_to(rows[0])

    assert [row[1].fate for row in rows[:5]] == ["missed", "spurious", "merged", "merged", "merged"]
    assert plane == (1,)
    assert viewer.dims.point[0] == 3
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (2 * one.y, 2 * one.x))
    assert viewer.scene.camera.zoom > 1
    viewer.dims.ndisplay = 3
    with pytest.raises(InputError, match="In 3D the view cannot move to a place"):
        scoring.fly_to(rows[0])
    viewer.dims.ndisplay = 2
    viewer.layers.remove(image)
    assert scoring.score is None


def test_the_table_is_saved_with_the_objects_of_both_sides(
    viewer: Any, scoring: Scoring, settle: Any, tmp_path: Path
) -> None:
    """Of every plane; a folder that cannot be written to is told of."""
    image = segmented(viewer, np.stack([FOUND, TRUTH]))
    truth = viewer.add_labels(np.stack([TRUTH, TRUTH]), name="truth")
    scoring.begin(image, truth, "planes")
    settle()
    assert scoring.score is not None
    scoring.score.save(tmp_path / "score.csv")
    with (tmp_path / "score.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    objects = [one for plane in scoring.score.parts.values() for one in plane.objects]

    assert [row["label"] for row in rows] == [str(one.label) for one in objects]
    assert {row["plane"] for row in rows} == {"0", "1"}
    assert list(rows[0]) == [
        "image", "plane", "side", "label", "fate", "area", "y", "x", "partner", "iou",
    ]  # fmt: skip
    assert rows[0]["image"] == "cells"
    assert float(rows[0]["y"]) == pytest.approx(objects[0].y, abs=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["score.csv"]
    with pytest.raises(InputError, match=r"The table could not be saved to .*: .*\. Choose"):
        scoring.score.save(tmp_path / "score.csv" / "inside.csv")


def test_a_process_that_dies_ends_it_and_the_next_one_scores(
    viewer: Any, session: Session, scoring: Scoring, settle: Any, messages: Any, qtbot: Any
) -> None:
    """The user is told, and can press again."""
    image = segmented(viewer, FOUND)
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    background = session.background
    child = background._host._child
    assert child is not None
    process = psutil.Process(child._process.pid)
    process.suspend()
    scoring.begin(image, truth, "plane")
    qtbot.wait_until(lambda: background._running is not None, timeout=100_000)
    qtbot.wait(50)
    process.kill()
    settle()
    first = scoring.sentence
    scoring.begin(image, truth, "plane")
    settle()

    assert first == BROKEN_OFF
    assert messages()[0][0] == "error"
    assert " SEG " in scoring.sentence
