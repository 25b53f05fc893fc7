"""``napari-unet evaluate`` names every wrong object, draws it, and scores as the challenges do."""

from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_unet import metrics
from napari_unet.cli import main
from napari_unet.cli.picture import PAPER, PREDICTED_RIM, RIM
from napari_unet.core.comparison import ERROR_COLOURS, ObjectScore, compare_objects
from napari_unet.engine.files import read_labels, write_labels
from napari_unet.engine.objecttable import IN_PLANES, IN_VOLUMES
from napari_unet.engine.starter import starter_model
from napari_unet.sample_data import touching_cells

Labels = NDArray[np.int64]


def planes() -> tuple[Labels, Labels]:
    """Two planes with one error of each kind in the first, and none in the second."""
    truth, predicted = np.zeros((2, 2, 30, 60), int)
    for number, left in enumerate((2, 12, 20, 32, 48), start=1):
        truth[:, 2:10, left : left + 8] = number
    predicted[1] = truth[1]
    predicted[0, 20:28, 2:10] = 1  # spurious; true cell 1 is missed
    predicted[0, 1:11, 12:28] = 2  # cells 2 and 3 in one
    predicted[0, 2:10, 32:35], predicted[0, 2:10, 37:40] = 4, 5  # cell 4 in two
    predicted[0, 3:11, 48:56] = 6  # cell 5, a little too low
    return truth, predicted


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Write one plane as an image in a subfolder, and both as a stack."""
    for folder, labels in zip(("truth", "predicted"), planes(), strict=True):
        write_labels(tmp_path / folder / "sub" / "a.tif", labels[0])
        write_labels(tmp_path / folder / "stack.tif", labels)
    return [str(tmp_path / "truth"), str(tmp_path / "predicted")]


def test_folders_of_masks_are_called_as_their_image_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the Data Science Bowl has them: each folder of masks is called masks."""
    square = np.zeros((20, 20), np.uint16)
    square[3:9, 3:9] = 255
    for name in ("7f", "0c"):
        for place in (f"bowl/{name}/images/{name}", f"bowl/{name}/masks/1"):
            (tmp_path / place).parent.mkdir(parents=True)
            Image.fromarray(square.astype(np.uint8)).save(tmp_path / f"{place}.png")
        write_labels(tmp_path / "found" / name / "images" / f"{name}_labels.tif", square)
    assert main(["evaluate", str(tmp_path / "bowl"), str(tmp_path / "found")]) == 0

    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["image", "0c/images/0c", "7f/images/7f", "mean"]


def test_a_stack_is_scored_plane_by_plane_whatever_the_order_of_its_axes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Time first in one file, depth in the other: each plane meets the same moment and depth."""
    movie = np.zeros((2, 3, 20, 30), np.uint16)  # T, Z
    for t, z in np.ndindex(2, 3):
        movie[t, z, 2 : 8 + 4 * t, 3 : 9 + 5 * z] = 1
    for axes, pixels in (("TZYX", movie), ("ZTYX", movie.swapaxes(0, 1))):
        tifffile.imwrite(tmp_path / f"{axes}.tif", pixels, ome=True, metadata={"axes": axes})

    for truth, predicted in (("TZYX", "ZTYX"), ("ZTYX", "TZYX"), ("ZTYX", "ZTYX")):
        files = [str(tmp_path / f"{axes}.tif") for axes in (truth, predicted)]
        assert main(["evaluate", *files, "--json"]) == 0
        (*_, mean) = map(json.loads, capsys.readouterr().out.splitlines())
        assert mean["scores"]["SEG"] == 1


def test_every_object_has_a_line_that_says_what_became_of_it(
    folders: list[str], tmp_path: Path
) -> None:
    """Image, plane and the fields of its score; planes count from 0."""
    file = tmp_path / "tables" / "objects.csv"
    assert main(["evaluate", *folders, "--objects", str(file)]) == 0

    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    assert list(rows[0]) == ["image", "plane", *IN_PLANES]
    assert {*IN_VOLUMES} == {field.name for field in fields(ObjectScore)}
    places = [(row["image"], row["plane"]) for row in rows]
    assert list(dict.fromkeys(places)) == [("stack", "0"), ("stack", "1"), ("sub/a", "0")]
    first = [row for row in rows if row["image"] == "sub/a"]
    fates = [(row["side"], row["label"], row["fate"], row["partner"]) for row in first]
    assert fates == [
        ("truth", "1", "missed", "0"),
        ("truth", "2", "merged", "2"),
        ("truth", "3", "merged", "2"),
        ("truth", "4", "split", "4"),
        ("truth", "5", "found", "6"),
        ("predicted", "1", "spurious", "0"),
        ("predicted", "2", "merged", "2"),
        ("predicted", "4", "split", "4"),
        ("predicted", "5", "split", "4"),
        ("predicted", "6", "found", "5"),
    ]
    assert first[-1]["iou"] == "0.7778"
    assert (first[-1]["area"], first[-1]["y"], first[-1]["x"]) == ("64", "6.5000", "51.5000")
    assert {row["fate"] for row in rows if row["plane"] == "1"} == {"found"}
    assert len(rows) == 3 * len(compare_objects(*(labels[0] for labels in planes())))


def test_the_errors_are_drawn_in_four_colours_over_grey_outlines(
    folders: list[str], tmp_path: Path
) -> None:
    """One picture per plane, of the same size, at the same place below the folder."""
    wrong = tmp_path / "wrong"
    assert main(["evaluate", *folders, "--errors", str(wrong)]) == 0

    written = sorted(path.relative_to(wrong).as_posix() for path in wrong.rglob("*.*"))
    assert written == ["stack_plane0_errors.png", "stack_plane1_errors.png", "sub/a_errors.png"]
    drawn = np.array(Image.open(wrong / "sub" / "a_errors.png").convert("RGB"))
    assert drawn.shape == (30, 60, 3)
    inside = {"missed": (5, 5), "spurious": (24, 5), "merged": (5, 15), "split": (5, 38)}
    for kind, (y, x) in inside.items():
        assert bytes(drawn[y, x]) == bytes.fromhex(ERROR_COLOURS[kind][1:])
    assert tuple(drawn[6, 51]) == tuple(drawn[15, 30]) == PAPER  # found, and background
    assert tuple(drawn[2, 5]) == tuple(drawn[9, 51]) == RIM
    assert tuple(drawn[10, 51]) == tuple(drawn[20, 5]) == PREDICTED_RIM
    right = np.array(Image.open(wrong / "stack_plane1_errors.png").convert("RGB"))
    assert {tuple(pixel) for pixel in right.reshape(-1, 3).tolist()} == {PAPER, RIM}


def test_the_pixels_of_a_drawing_can_be_read_as_the_kinds_of_error(
    folders: list[str], tmp_path: Path
) -> None:
    """Its palette begins with right, missed, spurious, merged, split."""
    assert main(["evaluate", *folders, "--errors", str(tmp_path)]) == 0

    numbers = read_labels(tmp_path / "sub" / "a_errors.png")
    assert [numbers[y, x] for y, x in ((15, 30), (5, 5), (24, 5), (5, 15), (5, 38))] == [*range(5)]


def test_the_scores_of_the_challenges_are_columns(
    folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """AP at ten overlaps, V_rand and V_info, of each plane and then their mean."""
    assert main(["evaluate", *folders, "--json"]) == 0

    stack, image, _ = (json.loads(line)["scores"] for line in capsys.readouterr().out.splitlines())
    truth, predicted = (labels[0] for labels in planes())
    expected = {
        "AP@0.5": 1 / 9,
        "AP@0.5:0.95": 6 / 10 / 9,
        "V_rand": metrics.foreground_rand_score(truth, predicted).score,
        "V_info": metrics.foreground_information_score(truth, predicted).score,
    }
    for name, value in expected.items():
        assert image[name] == pytest.approx(value)
        assert stack[name] == pytest.approx((value + 1) / 2)
    assert list(image)[1:3] == ["AP@0.5", "AP@0.5:0.95"]


def test_what_has_no_truth_is_left_out_with_a_word_about_it(
    folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth is often drawn for a few images of many, and the many are segmented."""
    assert main(["evaluate", *folders, "--json"]) == 0
    scored = capsys.readouterr().out
    for name in ("b", "c"):
        write_labels(Path(folders[1]) / f"{name}_labels.tif", planes()[1][0])

    assert main(["evaluate", *folders, "--json"]) == 0
    out, err = capsys.readouterr()
    assert out == scored
    left = ", ".join(str(Path(folders[1]) / f"{name}_labels.tif") for name in ("b", "c"))
    assert err.splitlines() == [f"napari-unet: There is no truth for {left}: left out."]


def test_a_truth_whose_image_was_not_segmented_has_failed(
    folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A mean over what could be segmented must not pass for one over all."""
    (Path(folders[1]) / "sub" / "a.tif").unlink()

    assert main(["evaluate", *folders, "--json"]) == 5
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert [(event["event"], event.get("image")) for event in events] == [
        ("FileFailed", "sub/a"),
        ("Scores", "stack"),
        ("MeanScores", None),
    ]
    assert f"sub/a failed: {folders[1]} holds nothing of this name" in err
    (Path(folders[1]) / "stack.tif").rename(Path(folders[1]) / "heap.tif")
    write_labels(Path(folders[1]) / "pile.tif", planes()[1][0])
    assert main(["evaluate", *folders]) == 3
    assert "There is no partner for" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
def test_a_name_that_is_no_text_is_in_the_tables(folders: list[str], tmp_path: Path) -> None:
    """Files from an old disk may have names in another encoding than UTF-8."""
    for folder in folders:
        Path(folder, "stack.tif").rename(Path(folder, os.fsdecode(b"K\xe4fer.tif")))
    tables = [tmp_path / "scores.csv", tmp_path / "objects.csv"]
    more = ["--csv", str(tables[0]), "--objects", str(tables[1]), "--errors", str(tmp_path / "e")]
    assert main(["evaluate", *folders, *more]) == 0

    for table in tables:
        lines = table.read_text(encoding="utf-8").splitlines()
        assert lines[1].startswith(r"K\udce4fer,")


def test_nothing_is_drawn_or_listed_of_an_image_that_cannot_be_scored(
    folders: list[str], tmp_path: Path
) -> None:
    """The others are, and the exit code says that one failed."""
    write_labels(tmp_path / "predicted" / "stack.tif", np.ones((2, 5, 5), int))
    file, wrong = tmp_path / "objects.csv", tmp_path / "wrong"
    command = ["evaluate", *folders, "--objects", str(file), "--errors", str(wrong)]
    assert main(command) == 5

    assert [path.name for path in wrong.rglob("*.*")] == ["a_errors.png"]
    assert "stack" not in file.read_text(encoding="utf-8")


def test_objects_that_go_through_planes_are_scored_in_3d(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is right in every plane, but has two numbers, is split, and drawn in each plane."""
    truth = np.zeros((3, 20, 30), int)
    truth[:, 5:15, 5:12], truth[:, 5:15, 18:25] = 1, 2
    predicted = truth.copy()
    predicted[2][truth[2] == 2] = 3
    predicted[1][truth[1] == 2] = 4
    write_labels(tmp_path / "truth.tif", truth)
    write_labels(tmp_path / "predicted.tif", predicted)
    files = [str(tmp_path / "truth.tif"), str(tmp_path / "predicted.tif")]
    table, wrong = tmp_path / "objects.csv", tmp_path / "wrong"
    more = ["--json", "--objects", str(table), "--errors", str(wrong)]
    assert main(["evaluate", *files, "--in-3d", *more]) == 0
    in_3d, mean = (json.loads(line)["scores"] for line in capsys.readouterr().out.splitlines())
    assert main(["evaluate", *files, "--json"]) == 0
    in_planes = json.loads(capsys.readouterr().out.splitlines()[0])["scores"]

    assert in_planes["SEG"] == 1.0
    assert in_3d["SEG"] == metrics.seg_score(truth, predicted) == 0.5
    assert in_3d == mean
    assert in_planes.keys() - in_3d.keys() == {"warping error"}
    with table.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    assert list(rows[0]) == ["image", "volume", *IN_VOLUMES]
    assert [row["fate"] for row in rows] == ["found", "split", "found", "split", "split", "split"]
    assert (rows[0]["area"], rows[0]["z"], rows[5]["z"]) == ("210", "1.0000", "1.0000")
    for plane in range(3):
        drawn = np.array(Image.open(wrong / f"truth_plane{plane}_errors.png").convert("RGB"))
        assert bytes(drawn[10, 21]) == bytes.fromhex(ERROR_COLOURS["split"][1:])


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("how", [[], ["--in-3d"], ["--classes"]])
def test_a_negative_label_is_no_object(
    folders: list[str], how: list[str], side: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some programs write -1 for what is left out; the others are scored."""
    labels = planes()[side].astype(np.int16)
    tifffile.imwrite(Path(folders[side]) / "stack.tif", np.where(labels, labels, -1))
    tifffile.imwrite(Path(folders[side]) / "sub" / "a.tif", np.where(labels, labels, -1))

    assert main(["evaluate", *folders, *how]) == 5
    said = " ".join(capsys.readouterr().err.split())
    name = ("truth", "prediction")[side]
    assert f"stack failed: the {name} holds -1, and labels start at 0" in said


def test_a_plane_has_no_3d_objects(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The stack is scored, and the plane is told of."""
    assert main(["evaluate", *folders, "--in-3d", "--json"]) == 5

    said = capsys.readouterr()
    assert "sub/a failed: the labels have shape (30, 60), and objects in 3D have planes" in said.err
    assert json.loads(said.out.splitlines()[-1])["images"] == 1


def test_classes_of_pixels_are_scored_where_they_are_labelled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Class by class, of all planes of a stack together; an image may lack a class."""
    truth = np.zeros((2, 10, 10), int)
    truth[0, :4], truth[0, 4:8] = 1, 2
    truth[1, :4] = 3
    predicted = np.where(truth == 0, 3, truth)
    predicted[0, 0], predicted[1, 0] = 2, 1
    for folder, labels in (("truth", truth), ("predicted", predicted)):
        write_labels(tmp_path / folder / "stack.tif", labels)
        write_labels(tmp_path / folder / "zero.tif", labels[0])
    folders = [str(tmp_path / "truth"), str(tmp_path / "predicted")]
    wrong = tmp_path / "wrong"
    more = ["--csv", str(tmp_path / "scores.csv"), "--errors", str(wrong)]
    assert main(["evaluate", *folders, "--classes", *more]) == 0

    lines = (tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()
    iou = 30 / 50, 40 / 50, 30 / 40
    assert lines[0] == "image,mean IoU,pixel error,IoU of 1,IoU of 2,IoU of 3"
    assert lines[1] == f"stack,{sum(iou) / 3:.4f},{20 / 120:.4f},{iou[0]:.4f},{iou[1]:.4f},0.7500"
    assert lines[2] == f"zero,{(30 / 40 + 40 / 50) / 2:.4f},{10 / 80:.4f},0.7500,0.8000,"
    assert lines[3].endswith(",0.8000,0.7500")
    assert "mean IoU" in capsys.readouterr().out
    drawn = np.array(Image.open(wrong / "stack_plane0_errors.png").convert("RGB"))
    assert bytes(drawn[0, 5]) == bytes.fromhex(ERROR_COLOURS["missed"][1:])
    assert tuple(drawn[9, 5]) != tuple(drawn[0, 5])


def test_classes_need_a_class_and_have_no_objects(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each in a sentence."""
    assert main(["evaluate", *folders, "--classes", "--objects", "objects.csv"]) == 3
    assert "Classes of pixels are no objects: leave out --objects" in capsys.readouterr().err
    write_labels(tmp_path / "none.tif", np.zeros((9, 9), int))
    none = str(tmp_path / "none.tif")
    assert main(["evaluate", none, none, "--classes"]) == 5
    assert "the truth has no class but 0, and 0 is not labelled" in capsys.readouterr().err


def test_a_mask_on_either_side_is_scored_with_a_word_about_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its score is that of one cell in many pieces, which few people want."""
    cells = np.zeros((60, 120), int)
    for number, (y, x) in enumerate(np.ndindex(5, 10), start=1):
        cells[12 * y + 2 :, 12 * x + 2 :][:8, :8] = number
    mask, found = tmp_path / "mask.tif", tmp_path / "found.tif"
    write_labels(mask, np.where(cells, 255, 0))
    write_labels(found, cells)

    assert main(["evaluate", str(mask), str(found)]) == 0
    out, err = capsys.readouterr()
    assert "mean" in out
    assert "In the truth 1 number stands for 50 pieces" in err
    assert main(["evaluate", str(mask), str(found), "--classes"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["evaluate", str(found), str(mask)]) == 0
    (said,) = capsys.readouterr().err.splitlines()
    assert "In the prediction 1 number stands for 50 pieces" in said


def test_what_segment_writes_beside_labels_is_not_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Probabilities and folders of tracks have no truth; only labels without one are told of."""
    movie = np.stack([touching_cells((96, 96))[0]] * 2)
    for name in ("a", "day/b"):
        path = tmp_path / "images" / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, movie, metadata={"axes": "TYX"}, ome=True)
    starter_model().save(tmp_path / "cells.unet")
    truth, found = tmp_path / "truth", tmp_path / "segmented"
    command = ["segment", str(tmp_path / "cells.unet"), str(tmp_path / "images"), "-o", str(found)]
    assert main([*command, "--probabilities", "--link", "tracks", "--device", "cpu"]) == 0
    assert (found / "day" / "b_RES" / "mask001.tif").exists()
    for name in ("a", "day/b"):
        write_labels(truth / f"{name}.tif", read_labels(found / f"{name}_labels.tif"))

    assert main(["evaluate", str(truth), str(found), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["images"] == 2
    (truth / "a.tif").unlink()
    assert main(["evaluate", str(truth), str(found)]) == 0
    assert capsys.readouterr().err.endswith(f"no truth for {found / 'a_labels.tif'}: left out.\n")


def test_files_of_cellpose_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As truth, which its window was used to correct, and as what it found."""
    masks = np.zeros((20, 20), np.uint16)
    masks[3:9, 3:9], masks[12:18, 3:18] = 1, 2
    for folder in ("truth", "cellpose", "ours"):
        (tmp_path / folder).mkdir()
    for folder in ("truth", "cellpose"):
        np.save(tmp_path / folder / "a_seg.npy", {"masks": masks})  # type: ignore[arg-type]
    write_labels(tmp_path / "ours" / "a_labels.tif", masks)

    for folder in ("cellpose", "ours"):
        assert main(["evaluate", str(tmp_path / "truth"), str(tmp_path / folder), "--json"]) == 0
        assert '"SEG": 1.0' in capsys.readouterr().out
