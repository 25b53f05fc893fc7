"""What the experiments of the paper read, score and write, on small files like the original ones.

The readers and scores are those of ``tests/benchmarks/challenges.py``.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unet import metrics
from napari_unet.errors import InputError

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture
def challenges(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, which is found beside the benchmarks as it is when one of them runs."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("challenges")


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark itself, on one thread."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return importlib.import_module("paper")


def write_volume(folder: Path, n_sections: int = 30, side: int = 24) -> Path:
    """Write an annotated volume; grey values and the place of the membrane name the section."""
    labels = np.full((n_sections, side, side), 255, np.uint8)
    for z in range(n_sections):
        labels[z, :, 5 + z % 10] = 0
    volume = np.broadcast_to(np.arange(n_sections, dtype=np.uint8)[:, None, None], labels.shape)
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / "train-volume.tif", volume)
    tifffile.imwrite(folder / "train-labels.tif", labels)
    return folder


def write_sequence(
    folder: Path, name: str, times: range, kind: str = "GT", side: int = 128
) -> list[np.ndarray]:
    """Write noisy frames, each with two bright cells that lie elsewhere at every time."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    annotations = folder / f"{name}_{kind}" / "SEG"
    annotations.mkdir(parents=True)
    rng, truths = np.random.default_rng(int(name)), []
    for time in times:
        truth = np.zeros((side, side), np.uint16)
        truth[60:72, 54 + time : 64 + time] = 3
        truth[10:22, 10 + time : 22 + time] = 7
        image = (rng.normal(60, 5, truth.shape) + 100 * (truth > 0)).astype(np.uint8)
        tifffile.imwrite(folder / name / f"t{time:03d}.tif", image)
        tifffile.imwrite(annotations / f"man_seg{time:03d}.tif", truth)
        truths.append(truth)
    return truths


def test_cells_of_a_section_are_the_pieces_between_membranes(
    challenges: Any, tmp_path: Path
) -> None:
    """White pixels that touch by a corner only are two cells, as the challenge counts them."""
    labels = np.zeros((15, 8, 8), np.uint8)
    labels[:, :4, :4] = labels[:, 4:, 4:] = 255
    write_volume(tmp_path)
    tifffile.imwrite(tmp_path / "train-labels.tif", labels)
    tifffile.imwrite(tmp_path / "train-volume.tif", labels)

    planes = challenges.sections(tmp_path)

    assert len(planes) == 15
    assert planes[3].image.shape == (1, 8, 8)
    assert planes[3].truth.max() == 2
    np.testing.assert_array_equal(planes[3].truth > 0, labels[3] > 0)


def test_every_section_is_scored_once_by_a_network_that_saw_none_nearby(
    challenges: Any, tmp_path: Path
) -> None:
    """Painted sections lie more than four away from the third of the volume that is scored."""
    folds = challenges.volume_folds(challenges.sections(write_volume(tmp_path)))

    scored = [[int(plane.image.max()) for plane in fold.scored] for fold in folds]
    painted = [[int(annotation.image.max()) for annotation in fold.painted] for fold in folds]
    assert sorted(z for third in scored for z in third) == list(range(30))
    assert [len(each) for each in painted] == [16, 12, 16]
    distances = [abs(a - b) for k in range(3) for a in scored[k] for b in painted[k]]
    assert min(distances) == 5


def test_a_volume_that_is_too_thin_is_refused(challenges: Any, tmp_path: Path) -> None:
    """With 14 sections nothing would be left to train on far from the middle third."""
    planes = challenges.sections(write_volume(tmp_path, 14))

    with pytest.raises(InputError, match=r"has 14 sections; .* need at least 15"):
        challenges.volume_folds(planes)


def test_a_volume_whose_files_do_not_fit_is_refused(challenges: Any, tmp_path: Path) -> None:
    """The message names both shapes, or the file that is not there."""
    write_volume(tmp_path)
    tifffile.imwrite(tmp_path / "train-labels.tif", np.zeros((29, 24, 24), np.uint8))
    with pytest.raises(InputError, match=r"\(30, 24, 24\) and train-labels.tif \(29, 24, 24\)"):
        challenges.sections(tmp_path)

    (tmp_path / "train-labels.tif").unlink()
    with pytest.raises(InputError, match=r"no file .*train-labels\.tif"):
        challenges.sections(tmp_path)


def test_a_map_is_written_as_the_challenge_reads_it(challenges: Any, tmp_path: Path) -> None:
    """One stack of 32-bit numbers, which ImageJ opens as slices."""
    maps = np.random.default_rng(0).random((3, 8, 9))

    challenges.write_map(tmp_path / "map.tif", maps)

    with tifffile.TiffFile(tmp_path / "map.tif") as file:
        assert file.is_imagej
        assert file.imagej_metadata["slices"] == 3
        assert file.asarray().dtype == np.float32
        np.testing.assert_array_equal(file.asarray(), maps.astype(np.float32))


def test_each_sequence_is_scored_by_a_network_that_saw_the_other(
    challenges: Any, tmp_path: Path
) -> None:
    """Only annotated frames are read; a frame without an annotation is not."""
    first = write_sequence(tmp_path, "01", range(3))
    second = write_sequence(tmp_path, "02", range(4, 6))
    tifffile.imwrite(tmp_path / "02" / "t099.tif", np.zeros((128, 128), np.uint8))

    one, other = challenges.sequence_folds(tmp_path)

    assert [len(one.painted), len(one.scored)] == [2, 3]
    assert [len(other.painted), len(other.scored)] == [3, 2]
    np.testing.assert_array_equal(one.scored[1].truth, first[1])
    np.testing.assert_array_equal(one.painted[0].labels > 1, second[0] > 0)
    assert one.scored[1].image.shape == (1, 128, 128)


def test_what_gold_does_not_say_is_not_background(challenges: Any, tmp_path: Path) -> None:
    """Cells that only silver has, and all but cells near the edge, are left unpainted."""
    gold = write_sequence(tmp_path, "01", range(1))[0]
    write_sequence(tmp_path, "02", range(1))
    silver = gold.copy()
    silver[70:75, 70:75] = 9
    (tmp_path / "01_ST" / "SEG").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "01_ST" / "SEG" / "man_seg000.tif", silver)

    _, fold = challenges.sequence_folds(tmp_path)

    painted = fold.painted[0]
    assert painted.meaning == "scribbles"
    assert set(np.unique(painted.labels)) == {0, 1, 4, 8}
    assert (painted.labels[70:75, 70:75] == 0).all()
    assert painted.labels[76, 76] == 1
    assert painted.labels[49, 76] == 0
    assert (painted.labels[gold == 7] == 8).all()


def test_a_sequence_without_gold_is_read_from_silver(challenges: Any, tmp_path: Path) -> None:
    """Where there is gold, frames that only silver annotates are not read."""
    write_sequence(tmp_path, "01", range(2), kind="ST")
    write_sequence(tmp_path, "02", range(3), kind="ST")
    write_sequence(tmp_path, "02", range(1))

    one, other = challenges.sequence_folds(tmp_path)

    assert [len(one.scored), len(other.scored)] == [2, 1]


def test_a_section_of_a_volume_is_found_by_its_number(challenges: Any, tmp_path: Path) -> None:
    """``man_seg_001_002.tif`` is section 2 of frame 1."""
    for name in ("01", "02"):
        truth = write_sequence(tmp_path, name, range(1, 2))[0]
        annotations = tmp_path / f"{name}_GT" / "SEG"
        (annotations / "man_seg001.tif").unlink()
        tifffile.imwrite(annotations / "man_seg_001_002.tif", truth)
        volume = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((4, 128, 128), np.uint8)
        tifffile.imwrite(tmp_path / name / "t001.tif", volume, photometric="minisblack")

    fold, _ = challenges.sequence_folds(tmp_path)

    assert np.unique(fold.scored[0].image) == [2]


def test_sequences_that_cannot_be_used_are_refused(challenges: Any, tmp_path: Path) -> None:
    """One sequence alone, a frame that is missing, and a frame of another shape."""
    write_sequence(tmp_path, "01", range(1))
    with pytest.raises(InputError, match=r"has 1 annotated sequences .* two are needed"):
        challenges.sequence_folds(tmp_path)

    write_sequence(tmp_path, "02", range(1))
    tifffile.imwrite(tmp_path / "02" / "t000.tif", np.zeros((64, 64), np.uint8))
    with pytest.raises(InputError, match=r"shape \(128, 128\), its image \(64, 64\)"):
        challenges.sequence_folds(tmp_path)

    (tmp_path / "02" / "t000.tif").unlink()
    with pytest.raises(InputError, match=r"no file .*t000\.tif"):
        challenges.sequence_folds(tmp_path)


def test_a_map_is_scored_at_its_best_threshold(challenges: Any) -> None:
    """A map that is right at one level only has no error, and says which level that is."""
    truth = np.zeros((20, 20), np.int32)
    truth[:, :9], truth[:, 10:] = 1, 2
    found = np.where(truth > 0, 0.35, 0.25)

    scores = challenges.membrane_scores([truth], [found])

    assert len(scores) == 6
    for name, best in scores.items():
        assert best.value == pytest.approx(0), name
    assert scores["Rand error"].threshold == scores["pixel error"].threshold == 0.3


def test_errors_of_maps_are_those_computed_by_hand(challenges: Any) -> None:
    """A membrane that is missing joins two cells; a wrong membrane is joined with nothing."""
    truth = np.zeros((10, 11), np.int32)
    truth[:, :5], truth[:, 6:] = 1, 2
    merged = challenges.membrane_scores([truth], [np.ones(truth.shape)])
    # all of 100 pixels joined, of which two times 50 should be
    assert merged["Rand error"].value == pytest.approx(1 - 2 * 5000 / (5000 + 10000))
    assert merged["pixel error"].value == pytest.approx(1 - 200 / 210)
    assert merged["pixel error, share of pixels"].value == pytest.approx(10 / 110)

    thick = np.where(truth > 0, 1.0, 0.0)
    thick[:, 4] = 0
    cut = challenges.membrane_scores([truth], [thick])
    joined = 40**2 + 50**2 + 10
    assert cut["Rand error"].value == pytest.approx(1 - 2 * joined / (joined + 5000))
    one_region = cut["Rand error, a membrane as one region"].value
    joined, predicted = 40 * 39 + 50 * 49 + 10 * 9, 2 * 50 * 49
    assert one_region == pytest.approx(1 - 2 * joined / (joined + predicted))
    assert cut["warping error"].value == 0


def test_pairs_of_pixels_are_counted_over_all_sections(challenges: Any) -> None:
    """A section of small cells weighs less than one of large ones, and none is joined across."""
    large = np.ones((12, 12), np.int32)
    small = np.zeros((12, 12), np.int32)
    small[::2, ::2] = np.arange(36).reshape(6, 6) + 1

    scores = challenges.membrane_scores([large, small], [np.ones((12, 12)), small > 0])

    assert scores["Rand error"].value == 0


def test_an_empty_map_does_not_pass_for_a_good_one(challenges: Any) -> None:
    """Warping lets cells shrink to a pixel each; where the Rand error is best, it does not help."""
    truth = np.ones((16, 16), np.int32)
    truth[8] = 0
    truth[9:] = 2
    unsure = np.where(np.arange(16)[:, None] == 8, 0.55, 0.65) * np.ones((16, 16))
    unsure[8, 3] = 0.62

    scores = challenges.membrane_scores([truth], [unsure])

    assert scores["warping error"].threshold == pytest.approx(0.6)
    assert scores["warping error"].value == pytest.approx(1 / 256)
    assert scores["Rand error"].value > 0
    at_rand = scores["warping error where the Rand error is best"]
    assert at_rand.threshold == scores["Rand error"].threshold


def test_cells_are_scored_as_one_sequence(challenges: Any) -> None:
    """SEG is the mean over all cells of all frames, not over frames."""
    many, one = np.zeros((20, 20), np.int32), np.zeros((20, 20), np.int32)
    for k in range(3):
        many[5 * k : 5 * k + 4, :4] = k + 1
    one[:4, :4] = 1
    planes = [
        challenges.Plane(image=truth[None].astype(np.uint8), truth=truth) for truth in (many, one)
    ]

    scores = challenges.cell_scores(planes, [many, np.zeros_like(one)])

    assert scores["SEG"].value == pytest.approx(3 / 4)
    assert scores["foreground IoU"].value == pytest.approx(metrics.iou(many > 0, many > 0) * 3 / 4)


def test_the_foreground_counts_where_the_truth_is_known(challenges: Any) -> None:
    """A cell that was found where nobody looked is neither right nor wrong."""
    truth = np.zeros((20, 20), np.int32)
    truth[2:6, 2:6] = 1
    found = truth.copy()
    found[12:16, 12:16] = 2
    known = np.ones(truth.shape, bool)
    known[10:] = False
    image = truth[None].astype(np.uint8)

    def score(**parts: Any) -> float:
        plane = challenges.Plane(image=image, truth=truth, **parts)
        return float(challenges.cell_scores([plane], [found])["foreground IoU"].value)

    assert score(known=known) == 1
    assert score() == pytest.approx(1 / 2)


def test_missing_images_are_said_in_a_sentence(tmp_path: Path) -> None:
    """The benchmark names the file and what to do, and its exit code is 3."""
    ran = subprocess.run(
        [sys.executable, str(BENCHMARKS / "paper.py"), "--quick"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NAPARI_UNET_DATA": str(tmp_path)},
    )

    assert ran.returncode == 3
    assert ran.stderr.startswith(f"There is no file {tmp_path / 'em_membranes/images.tif'}. Set")
    assert "Traceback" not in ran.stderr


def test_the_hidden_volume_is_mapped_as_the_challenge_wants(paper: Any, tmp_path: Path) -> None:
    """Trained on all annotated sections, the map is low on membranes and high between them."""
    folder = write_volume(tmp_path / "isbi")
    labels = np.zeros((15, 24, 24), np.uint8)
    labels[:, :, :12] = 255
    for name in ("train-labels", "train-volume", "test-volume"):
        tifffile.imwrite(folder / f"{name}.tif", labels)
    experiment, method = paper.EXPERIMENTS["em"](folder), paper.methods(full=False, seconds=0)[0]
    small = replace(method, train=replace(method.train, steps=40, base_channels=4, depth=2))

    path = paper.map_hidden(experiment, small, tmp_path)

    found = tifffile.imread(path)
    assert found.shape == labels.shape
    assert found.dtype == np.float32
    assert 0 <= found[labels == 0].mean() < found[labels > 0].mean() - 0.1 <= 1


def test_an_original_folder_goes_all_the_way_to_the_table(
    paper: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both recipes train on each sequence, score the other, and stand beside the paper's figure."""
    folder, out = tmp_path / "DIC-C2DH-HeLa", tmp_path / "results"
    write_sequence(folder, "01", range(1))
    write_sequence(folder, "02", range(1))

    code = paper.main(
        ["--only", "dic", "--dic", str(folder), "--seconds", "0.1", "--out", str(out)]
    )

    assert code == 0
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert [row["method"].split(",")[0] for row in rows] == ["default recipe", "the paper's recipe"]
    assert all(row["scored images"] == 2 and len(row["steps"]) == 2 for row in rows)
    text = (out / "results.md").read_text()
    assert text in capsys.readouterr().out
    assert "| DIC | SEG | 0.7756 |" in text
    assert "the paper's own, but the annotated ones" in text
    assert "DIC-C2DH-HeLa, 2 sequences with 1 and 1 annotated frames" in text
