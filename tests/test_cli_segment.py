"""``napari-unet segment`` makes each result once, whatever stops it, and surprises no file."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.transform import resize

from napari_unet import Annotation, PredictConfig, TrainConfig, segment, train
from napari_unet.cli import main
from napari_unet.engine.files import read_image, read_labels, write_labels
from napari_unet.engine.starter import starter_model
from napari_unet.sample_data import painted_scribbles, touching_cells


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with two images of cells, one of them in a subfolder."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "sub").mkdir()
    for name, seed in (("a", 0), ("sub/b", 1)):
        tifffile.imwrite(folder / f"{name}.tif", touching_cells((128, 128), seed=seed)[0])
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Save a model of cells."""
    path = tmp_path_factory.mktemp("models") / "cells.unet"
    starter_model().save(path)
    return str(path)


def events(text: str) -> list[dict[str, Any]]:
    """Parse what ``--json`` printed."""
    return [json.loads(line) for line in text.splitlines()]


def results(folder: Path) -> list[str]:
    """List the files of a folder but for what the batch remembers."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in files if path.parts[0] != ".live-unet")


def test_a_folder_is_segmented_with_its_subfolders(
    model: str, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Every image gets NAME_labels.tif at the same place below the output folder."""
    assert main(["segment", model, str(images), "-o", str(tmp_path), "--threshold", "0"]) == 0

    *lines, summary = capsys.readouterr().out.splitlines()
    assert [" cells in " in line for line in lines] == [True, True]
    assert summary.startswith("2 done, 0 skipped, 0 failed in ")
    assert results(tmp_path) == ["a_labels.tif", "sub/b_labels.tif"]
    labels = read_labels(tmp_path / "a_labels.tif")
    assert labels.shape == (128, 128)
    assert (labels > 0).mean() > 0.9  # at threshold 0 all but borders and specks are cells


def test_what_is_complete_is_skipped_and_what_is_stale_made_anew(
    model: str, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The same command does nothing; another setting, or one result more, does it again."""
    command = ["segment", model, str(images), "-o", str(tmp_path)]

    def lines(*more: str) -> list[str]:
        assert main([*command, *more]) == 0
        return capsys.readouterr().out.splitlines()[:-1]

    assert "skipped" not in " ".join(lines())
    first = read_labels(tmp_path / "a_labels.tif")
    for same in ((), ("--tile-size", "60"), ("--device", "cpu")):
        skipped = "skipped, is complete (--overwrite makes it again)"
        assert all(skipped in line for line in lines(*same))
    assert "skipped" not in " ".join(lines("--measure", "csv"))
    np.testing.assert_array_equal(read_labels(tmp_path / "a_labels.tif"), first)
    assert all("skipped" in line for line in lines())
    assert "skipped" not in " ".join(lines("--threshold", "0.9"))
    assert (read_labels(tmp_path / "a_labels.tif") != first).any()


def test_a_project_that_was_copied_with_new_times_is_complete(
    model: str, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As by a download, or by cp; what was corrected in the copy is told, and stays."""
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(images, first / "in")
    command = ["--measure", "csv", "--outlines", "geojson"]
    assert main(["segment", model, str(first / "in"), "-o", str(first / "out"), *command]) == 0
    shutil.copytree(first, second, copy_function=shutil.copyfile)
    command = ["segment", model, str(second / "in"), "-o", str(second / "out"), *command]
    capsys.readouterr()

    assert main(command) == 0
    said = capsys.readouterr()
    assert said.out.count("skipped, is complete") == 2
    assert not said.err
    mine = np.full((128, 128), 9)
    write_labels(second / "out" / "a_labels.tif", mine)
    assert main(command) == 0
    said = capsys.readouterr()
    assert said.out.count("skipped, is complete") == 1
    assert "1 of 2 images not segmented: results that were not made by this" in said.err
    np.testing.assert_array_equal(read_labels(second / "out" / "a_labels.tif"), mine)


def test_what_somebody_else_made_is_only_replaced_when_asked(
    model: str, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Labels that were there, or were corrected since, are skipped with the reason."""
    command = ["segment", model, str(images / "a.tif"), "-o", str(tmp_path)]
    path, mine = tmp_path / "a_labels.tif", np.full((128, 128), 9)
    for _ in range(2):
        write_labels(path, mine)
        assert main([*command, "--probabilities"]) == 0
        said = capsys.readouterr().out
        assert "a_labels.tif was not made by this batch, or changed since; move it away" in said
        assert "(--overwrite replaces it)" in said
        np.testing.assert_array_equal(read_labels(path), mine)
        assert not (tmp_path / "a_probabilities.tif").exists()
        assert main([*command, "--overwrite"]) == 0
        assert (read_labels(path) != mine).any()


def test_where_it_was_computed_is_said(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits for a GPU that was not used; where nothing was computed, nothing is said."""
    tifffile.imwrite(tmp_path / "a.tif", touching_cells((96, 96))[0])
    command = ["segment", model, str(tmp_path / "a.tif"), "-o", str(tmp_path / "out")]
    for words in (r" megapixels/s on CPU, \d+ threads?$", r"1 skipped, 0 failed in [\d.]+ s$"):
        assert main([*command, "--device", "cpu"]) == 0
        assert re.search(words, capsys.readouterr().out.strip())


HOMELESS = """
import os, sys
os.environ.pop("HOME", None)
sys.modules["pwd"] = None  # nor does the system know one
from napari_unet.cli import main
sys.exit(main(["segment", sys.argv[1], "a.tif", "-o", "out", "--device", "cpu"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a user without a folder is one of containers")
def test_a_user_without_a_folder_can_segment(model: str, tmp_path: Path) -> None:
    """As in a container that is run by the number of a user."""
    tifffile.imwrite(tmp_path / "a.tif", touching_cells((96, 96))[0])
    run = subprocess.run(
        [sys.executable, "-c", HOMELESS, model],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "NUMBA_"))},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert (tmp_path / "out" / "a_labels.tif").exists()


def test_images_and_results_may_share_a_folder(model: str, images: Path, tmp_path: Path) -> None:
    """Results of the first run are no images of the second."""
    (tmp_path / "a.tif").write_bytes((images / "a.tif").read_bytes())
    command = ["segment", model, str(tmp_path), "-o", str(tmp_path), "--probabilities"]

    assert main(command) == main(command) == 0

    assert results(tmp_path) == ["a.tif", "a_labels.tif", "a_probabilities.tif"]


def test_results_of_one_batch_are_no_images_of_another(
    model: str, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """They lie among the images, and the second batch writes elsewhere; one remark tells."""
    for name in ("a.tif", "sub/b.tif"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes((images / name).read_bytes())
    first, second = tmp_path / "in", tmp_path / "out"
    command = ["segment", model, str(first)]
    assert main([*command, "-o", str(first), "--probabilities", "--link", "tracks"]) == 0
    write_labels(first / "mine_labels.tif", np.eye(64, dtype=int))
    capsys.readouterr()

    assert main([*command, "-o", str(second)]) == 0
    names = ["a_labels.tif", "mine_labels_labels.tif", "sub/b_labels.tif"]
    assert results(second) == names
    remark = "napari-unet: 6 results of an earlier batch left out."
    assert capsys.readouterr().err.splitlines() == [remark]
    pattern = [*command[:-1], str(first / "*.tif"), "-o", str(second / "again")]
    assert main(pattern) == 0
    assert results(second / "again") == ["a_labels.tif", "mine_labels_labels.tif"]
    part = [*command[:-1], str(first / "sub"), "-o", str(second / "sub")]
    assert main(part) == 0
    # what is named is meant
    named = [*command[:-1], str(first / "a_probabilities.tif"), "-o", str(second / "named")]
    assert main(named) == 0
    assert results(second / "named") == ["a_probabilities_labels.tif"]


def test_labels_beside_their_images_are_no_images(
    model: str, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A folder that was trained on is segmented as it is; one remark names the labels."""
    given, out = tmp_path / "in", tmp_path / "out"
    given.mkdir()
    for name in ("a.tif", "alone_mask.tif", "b_img.tif"):
        (given / name).write_bytes((images / "a.tif").read_bytes())
    for name in ("a_cp_masks.tif", "b_masks.tif"):
        write_labels(given / name, np.ones((64, 64), int))

    assert main(["segment", model, str(given), "-o", str(out)]) == 0

    assert results(out) == ["a_labels.tif", "alone_mask_labels.tif", "b_img_labels.tif"]
    left_out = f"{given / 'a_cp_masks.tif'}, {given / 'b_masks.tif'}"
    remark = f"napari-unet: Left out as labels of other images: {left_out}."
    assert capsys.readouterr().err.splitlines() == [remark]
    named = ["segment", model, str(given / "a_cp_masks.tif"), "-o", str(out)]
    assert main(named) == 0
    assert "a_cp_masks_labels.tif" in results(out)


def test_images_with_odd_grey_values_are_told_of(
    model: str, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each by its name, and it is segmented all the same."""
    given = tmp_path / "in"
    given.mkdir()
    (given / "good.tif").write_bytes((images / "a.tif").read_bytes())
    tifffile.imwrite(given / "flat.tif", np.full((64, 64), 7, np.uint8))
    holed = np.arange(64.0 * 64).reshape(64, 64)
    holed[:8] = np.nan
    tifffile.imwrite(given / "holed.tif", holed)

    assert main(["segment", model, str(given), "-o", str(tmp_path / "out")]) == 0

    assert sorted(capsys.readouterr().err.splitlines()) == [
        f"napari-unet: {given / 'flat.tif'}: All pixels of the plane have the same grey value: "
        f"look at the image.",
        f"napari-unet: {given / 'holed.tif'}: 12 % of the pixels are NaN or infinite, and count "
        f"as dark.",
    ]
    assert len(results(tmp_path / "out")) == 3


def test_a_bad_file_fails_alone(
    model: str, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each file that cannot be segmented is one line, the others are done, and the code is 5."""
    folder = tmp_path / "images"
    folder.mkdir()
    good = (images / "a.tif").read_bytes()
    (folder / "1 cut.tif").write_bytes(good[:3000])
    Image.new("RGB", (64, 64), "red").save(folder / "2 colour.png")
    (folder / "3 good.tif").write_bytes(good)
    output = tmp_path / "out"

    assert main(["segment", model, str(folder), "-o", str(output), "--json"]) == 5

    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert len(lines) == 3
    assert "1 cut.tif failed: " in lines[0]
    assert "2 colour.png failed: " in lines[1]
    assert lines[2] == "napari-unet: 2 of 3 images failed."
    assert results(output) == ["3 good_labels.tif"]
    told = events(out)
    ended = [e for e in told if e["event"] in ("ItemDone", "ItemFailed", "BatchDone")]
    names = ["ItemFailed", "ItemFailed", "ItemDone", "BatchDone"]
    assert [event["event"] for event in ended] == names
    assert [event["index"] for event in ended[:-1]] == [1, 2, 3]
    assert ended[2]["item"]["image"] == str(folder / "3 good.tif")
    assert ended[2]["outputs"] == [str(output / "3 good_labels.tif")]
    progress = ended[-1]["progress"]
    assert progress["pixels"] == progress["all_pixels"] == 128 * 128
    assert progress["items"] == progress["total"] == 3


def test_two_images_never_become_one_result(
    model: str, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Both fail, the others are done; the pattern that is told takes one of the two."""
    folder, output = tmp_path / "images", tmp_path / "out"
    for name in ("a.tif", "sub/b.tif"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((images / name).read_bytes())
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(folder / "sub" / "b.png")

    assert main(["segment", model, str(folder), "-o", str(output)]) == 5

    said = capsys.readouterr()
    first, second, count = said.err.splitlines()
    twins = f"{folder / 'sub' / 'b.png'} and {folder / 'sub' / 'b.tif'} would both become"
    assert twins in first
    assert twins in second
    assert count == "napari-unet: 2 of 3 images failed."
    assert results(output) == ["a_labels.tif"]
    pattern = str(folder / "**" / "*.png")
    assert f"give a pattern that takes one of them, such as '{pattern}'" in first
    assert main(["segment", model, pattern, "-o", str(output)]) == 0
    assert results(output) == ["a_labels.tif", "sub/b_labels.tif"]


def test_equal_names_in_two_folders_fail_alone(
    model: str, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Here a pattern is no help, but the folder that holds both is."""
    for name in ("day1/a.tif", "day2/a.tif", "day2/c.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((images / "a.tif").read_bytes())
    days = [str(tmp_path / "day1"), str(tmp_path / "day2")]

    assert main(["segment", model, *days, "-o", str(tmp_path / "out")]) == 5
    assert "or give the folder that holds both" in capsys.readouterr().err
    assert results(tmp_path / "out") == ["c_labels.tif"]


def test_a_stack_keeps_its_planes_and_its_probabilities(
    model: str, images: Path, tmp_path: Path
) -> None:
    """A stack gives labels (Z, Y, X), and the probability of cells of each plane."""
    plane = read_image(images / "a.tif")[0, :64, :80]
    stack = {"metadata": {"axes": "ZYX"}, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "z.tif", np.stack([plane, plane[::-1], plane]), **stack)
    command = ["segment", model, str(tmp_path / "z.tif"), "-o", str(tmp_path)]
    assert main([*command, "--probabilities", "--min-size", "0"]) == 0

    labels = read_labels(tmp_path / "z_labels.tif")
    probabilities = read_image(tmp_path / "z_probabilities.tif")
    assert labels.shape == (3, 64, 80)
    numbers = [np.unique(plane[plane > 0]) for plane in labels]
    np.testing.assert_array_equal(np.concatenate(numbers), np.arange(1, labels.max() + 1))
    assert probabilities.shape == (1, 3, 64, 80)
    np.testing.assert_array_equal(probabilities[:, 0], probabilities[:, 2])
    assert (probabilities[:, 0] != probabilities[:, 1]).any()
    assert probabilities[0][labels > 0].mean() > 0.5


def test_classes_give_classes_their_probabilities_and_their_areas(
    images: Path, tmp_path: Path
) -> None:
    """A model of classes writes the painted numbers, with and without probabilities the same."""
    image = read_image(images / "a.tif")[0]
    painted = painted_scribbles(touching_cells((128, 128))[1], n_cells=3)
    annotation = Annotation(image, np.where(painted > 2, 3, painted), "classes")
    config = TrainConfig(seconds=0, steps=3, base_channels=4, depth=2, device="cpu")
    *_, trained = train([annotation], config)
    unet, output = str(tmp_path / "m.unet"), tmp_path / "out"
    trained.segmenter.save(unet)
    command = ["segment", unet, str(images / "a.tif"), "--measure", "csv"]
    assert main([*command, "-o", str(tmp_path / "1")]) == 0
    assert main([*command, "-o", str(tmp_path / "2"), "--probabilities"]) == 0

    first, second = (read_labels(tmp_path / run / "a_labels.tif") for run in "12")
    probabilities = read_image(tmp_path / "2" / "a_probabilities.tif")
    assert probabilities.shape == (3, 128, 128)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(second, probabilities.argmax(axis=0) + 1)
    with (tmp_path / "1" / "a_objects.csv").open(newline="", encoding="utf-8") as file:
        areas = {int(row["class"]): int(row["area"]) for row in csv.DictReader(file)}
    assert areas == {n: (first == n).sum() for n in np.unique(first)}
    assert not output.exists()


def test_shards_share_the_work(model: str, images: Path, tmp_path: Path) -> None:
    """Each takes its part; together they make what one call makes."""
    command = ["segment", model, str(images), "-o", str(tmp_path)]
    assert main([*command, "--shard", "1/2"]) == 0
    assert results(tmp_path) == ["a_labels.tif"]
    assert main([*command, "--shard", "2/2"]) == 0
    assert results(tmp_path) == ["a_labels.tif", "sub/b_labels.tif"]
    for wrong in ("0/2", "3/2", "1", "a/b"):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--shard", wrong])
        assert ended.value.code == 2


KILLED = """
import glob, os, random, signal, sys, time
from napari_unet.cli import main

def run(folder):
    return main([*sys.argv[1:-2], folder])

def start():
    child = os.fork()
    if child == 0:
        try:
            os._exit(run(sys.argv[-1]))
        finally:
            os._exit(1)
    return child

def done():
    return len(glob.glob(sys.argv[-1] + "/*.tif"))

kills = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
run(sys.argv[-2])  # loads all that the starts below need, and shows how long they take
began = time.monotonic()
run(sys.argv[-2] + "2")
chance, longest = random.Random(0), (time.monotonic() - began) / 6
for attempt in range(8):
    child, before, began = start(), done(), time.monotonic()
    while done() == before and attempt % 3 and time.monotonic() - began < 9:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 1.5 * longest))
    gently = attempt == 7
    os.kill(child, signal.SIGINT if gently else signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert not gently or code in (0, 130), code
    print("killed", file=kills, flush=True)
    sys.stdin.readline()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(start(), 0)[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without a word")
def test_a_batch_that_is_told_to_end_gives_its_lock_back(model: str, tmp_path: Path) -> None:
    """By a batch system, say: on another machine the lock would hold for a quarter of an hour."""
    stack = np.stack([touching_cells((96, 128))[0]] * 200)
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata={"axes": "ZYX"}, photometric="minisblack")
    command = ["segment", model, str(tmp_path / "a.tif"), "-o", str(tmp_path / "out"), "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "napari_unet.cli", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        started = process.stdout.readline()
        held = [*(tmp_path / "out").rglob("*.lock")]
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()

    assert "ItemStarted" in started
    assert len(held) == 1
    assert (process.returncode, said) == (130, "napari-unet: stopped.\n")
    assert not [*(tmp_path / "out").rglob("*.lock")]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
def test_killed_at_any_moment_the_batch_goes_on(model: str, tmp_path: Path) -> None:
    """Nothing half-written counts, nothing is done twice, and the results are those of one run."""
    given, cut, whole = tmp_path / "images", tmp_path / "cut", tmp_path / "whole"
    given.mkdir()
    for seed in range(6):
        image = np.stack([touching_cells((96, 128), seed=seed)[0]] * 2)
        stack = {"metadata": {"axes": "ZYX"}, "photometric": "minisblack"}
        tifffile.imwrite(given / f"{seed}.tif", image, **stack)
    command = ["segment", model, str(given), "--measure", "csv", "--device", "cpu", "-o"]
    ended: dict[Path, int] = {}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", KILLED, *command, str(whole), str(cut)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # threads do not survive a fork
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        counts = []
        for _ in process.stdout:
            done = [path for path in cut.glob("*_*") if len([*cut.glob(f"{path.name[0]}_*")]) == 2]
            counts.append(len(done) // 2)
            for path in done:
                read_labels(path) if path.suffix == ".tif" else path.read_text()
                written = path.stat().st_mtime_ns
                assert ended.setdefault(path, written) == written
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == 0
    assert counts == sorted(counts)
    assert len(set(counts)) > 3  # it was killed at work

    assert (
        results(cut)
        == results(whole)
        == sorted(f"{seed}_{kind}" for seed in range(6) for kind in ("labels.tif", "objects.csv"))
    )
    for name in results(cut):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    assert all((cut / path.name).stat().st_mtime_ns == written for path, written in ended.items())
    assert not [*cut.rglob("*.scratch"), *cut.rglob("*.lock")]


def test_the_magnification_of_images_is_a_number_for_segment(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alone on a line, so that a shell can pass it on; with the images it was found in as JSON."""
    image = touching_cells((128, 128))[0]
    larger = resize(image.astype(np.float32), (256, 256), order=1)
    for name, pixels in (("same/a.tif", image), ("larger/b.tif", larger)):
        (tmp_path / name).parent.mkdir()
        tifffile.imwrite(tmp_path / name, pixels)

    assert main(["magnification", model, str(tmp_path / "same"), "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert said.out == "1\n"
    assert "about as large as those the model learned from" in said.err
    assert main(["magnification", model, str(tmp_path / "larger"), "--json"]) == 0
    (told,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert told["magnification"] > 1
    assert [Path(name).name for name in told["images"]] == ["b.tif"]
    segmenting = ["segment", model, str(tmp_path / "larger"), "-o", str(tmp_path / "out")]
    magnification = f"{told['magnification']:g}"
    assert main([*segmenting, "--magnification", magnification, "--device", "cpu"]) == 0
    config = PredictConfig(magnification=told["magnification"], device="cpu")
    found = tifffile.imread(tmp_path / "out" / "b_labels.tif")
    np.testing.assert_array_equal(found, segment(starter_model(), larger, config))


def test_folders_that_are_links_are_named_and_not_searched(
    model: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They may lead in a circle; given by name, they are searched."""
    (tmp_path / "in").mkdir()
    shutil.copy(images / "a.tif", tmp_path / "in" / "b.tif")
    (tmp_path / "in" / "day1").symlink_to(images, target_is_directory=True)
    (tmp_path / "in" / "up").symlink_to(tmp_path / "in", target_is_directory=True)
    command = ["segment", model, str(tmp_path / "in")]

    assert main([*command, "-o", str(tmp_path / "out")]) == 0
    assert results(tmp_path / "out") == ["b_labels.tif"]
    names = f"{tmp_path / 'in' / 'day1'}, {tmp_path / 'in' / 'up'}"
    assert f"Not searched, because they are links: {names}. Give" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "in" / "day1"), "-o", str(tmp_path / "both")]) == 0
    assert results(tmp_path / "both") == ["a_labels.tif", "b_labels.tif", "sub/b_labels.tif"]


def test_the_magnification_is_that_of_the_images_not_of_results_among_them(
    model: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels and probabilities of a batch, and labels that lie beside their image."""
    shutil.copytree(images, tmp_path / "in")
    here = str(tmp_path / "in")
    assert main(["segment", model, here, "-o", here, "--probabilities"]) == 0
    write_labels(tmp_path / "in" / "a_mask.tif", np.ones((128, 128), int))
    capsys.readouterr()

    assert main(["magnification", model, here, "--json"]) == 0
    said = capsys.readouterr()
    assert [Path(name).name for name in json.loads(said.out)["images"]] == ["a.tif", "b.tif"]
    assert "4 results of an earlier batch left out" in said.err
    assert "Left out as labels of other images" in said.err


def test_images_of_another_objective_are_spoken_of(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Once, where the files of both tell the size of their pixels; they are segmented anyway."""
    for name, width in (("painted", 0.65), ("a", 0.325), ("b", 0.325)):
        image, truth = touching_cells((96, 96))
        tifffile.imwrite(
            tmp_path / f"{name}.tif",
            image,
            imagej=True,
            resolution=(1 / width, 1 / width),
            metadata={"unit": "um"},
        )
    write_labels(tmp_path / "truth.tif", truth)
    painted, truth_file = str(tmp_path / "painted.tif"), str(tmp_path / "truth.tif")
    model, out = str(tmp_path / "cells.unet"), str(tmp_path / "out")
    budget = ["--seconds", "0", "--steps", "2", "--device", "cpu"]
    labelled = ["--labels", truth_file, "--meaning", "instances"]
    assert main(["train", painted, *labelled, "-o", model, *budget]) == 0
    images = [str(tmp_path / f"{name}.tif") for name in "ab"]
    capsys.readouterr()
    assert main(["segment", model, *images, "-o", out, "--device", "cpu"]) == 0
    said = capsys.readouterr().err
    assert main(["segment", model, painted, "-o", out, "--device", "cpu"]) == 0

    fits = (
        "Pixels are 0.325 µm wide, those of the painted images 0.65 µm: magnification 2 would fit."
    )
    assert said.count(fits) == 1
    assert "Pixels are" not in capsys.readouterr().err
    assert results(tmp_path / "out") == ["a_labels.tif", "b_labels.tif", "painted_labels.tif"]
