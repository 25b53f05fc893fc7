"""The command does what the dock does, says how it ended, and never surprises a file."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_unet import ModelFileError, Segmenter
from napari_unet.cli import main
from napari_unet.cli.demo import has_screen
from napari_unet.cli.failures import failure
from napari_unet.cli.interrupt import stopping_between, stopping_when_told
from napari_unet.cli.output import complaining
from napari_unet.cli.train import Keeper
from napari_unet.core.config import PredictConfig, TrainConfig, knobs
from napari_unet.engine.atomic import unfinished
from napari_unet.engine.files import read_labels, write_labels
from napari_unet.engine.starter import starter_model
from napari_unet.sample_data import painted_scribbles, touching_cells

COMMANDS = ("demo", "train", "segment", "magnification", "evaluate", "export", "info", "benchmark")
TINY = ("--seconds", "0", "--steps", "3", "--base-channels", "4", "--depth", "2", "--device", "cpu")
PROGRAM = (sys.executable, "-m", "napari_unet.cli")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with images/, truth/ and painted/, two cell images in each."""
    folder = tmp_path_factory.mktemp("cells")
    for name, seed in (("a", 0), ("sub/b", 1)):
        image, truth = touching_cells((128, 128), seed=seed)
        for kind, pixels in (
            ("images", image),
            ("truth", truth.astype(np.uint16)),
            ("painted", painted_scribbles(truth, n_cells=3)),
        ):
            path = folder / kind / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, pixels)
    return folder


@pytest.fixture(scope="module")
def model(cells: Path) -> Path:
    """Train a tiny model of cells with the command itself."""
    path = cells / "models" / "cells.unet"
    assert main(train_arguments(cells, path)) == 0
    return path


def train_arguments(cells: Path, output: Path, *more: str) -> list[str]:
    """Spell a tiny training on the folders."""
    given = ["train", str(cells / "images"), "--labels", str(cells / "truth")]
    return [*given, "--meaning", "instances", "-o", str(output), *TINY, *more]


def events(text: str) -> list[dict[str, Any]]:
    """Parse what ``--json`` printed, where NaN is not JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def fails(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> str:
    """Check the exit code of a command that fails, and return its one line of complaint."""
    assert main(arguments) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("napari-unet: ")
    return line


def misused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Check that a command is wrong usage, and return the complaint."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_screen_and_ends_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command explains itself in 40 lines of 80 columns, the last an example."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    lines = capsys.readouterr().out.rstrip().splitlines()
    assert ended.value.code == 0
    assert len(lines) <= 40
    assert lines[-1].startswith(f"example: napari-unet {command} ")
    assert ".unet" not in lines[-1]  # the dock offers files that end in .safetensors


def test_every_example_is_understood(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The examples of the help fail for want of files only, not for their spelling."""
    monkeypatch.chdir(tmp_path)
    for command in ("train", "segment", "evaluate", "export", "info"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        example = capsys.readouterr().out.rstrip().splitlines()[-1]
        fails(example.split()[2:], 3, capsys)


def test_help_needs_neither_torch_nor_a_gui() -> None:
    """``--help`` loads no torch, napari, Qt, numpy or scipy, and so answers at once."""
    check = (
        "import sys\nfrom napari_unet.cli import main\ntry:\n    main(sys.argv[1:])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'napari', 'qtpy', 'magicgui', 'numpy', 'scipy', 'tqdm'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    for arguments in (["--help"], ["train", "--help"], ["segment", "--help"]):
        subprocess.run([sys.executable, "-c", check, *arguments], check=True, capture_output=True)


def another(config: type, name: str) -> object:
    """Choose a legal value of a field that is not its default."""
    kind, default, _ = knobs(config)[name]
    bounds = next(field.metadata for field in fields(config) if field.name == name)
    if kind is bool:
        return not default
    if kind is str:
        return "cpu"
    if get_origin(kind) is Literal:
        return next(choice for choice in get_args(kind) if choice != default)
    return kind(bounds["minimum"] if bounds["minimum"] != default else bounds["maximum"])


@pytest.mark.parametrize(
    ("config", "start"),
    [
        (TrainConfig, ["train", "i", "--labels", "l", "--meaning", "classes", "-o", "m"]),
        (PredictConfig, ["segment", "m", "i", "-o", "o"]),
    ],
)
def test_every_knob_is_a_flag(config: type, start: list[str]) -> None:
    """Each field of a configuration can be set by the flag of its name, and has its default."""
    from napari_unet.cli import _parser
    from napari_unet.cli.arguments import config_from

    assert config_from(_parser().parse_args(start), config) == config()
    for name in knobs(config):
        value, flag = another(config, name), name.replace("_", "-")
        spelled = [f"--{flag}", str(value)]
        if isinstance(value, bool):
            spelled = [f"--{flag}" if value else f"--no-{flag}"]
        parsed = config_from(_parser().parse_args([*start, *spelled]), config)
        assert parsed == config(**{name: value}) != config()
    assert {field.name for field in fields(config)} == knobs(config).keys()


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--seconds", "-1"), ("--steps", "1.5"), ("--depth", "9"), ("--sigma", "nan")],
)
def test_an_illegal_setting_is_wrong_usage(
    flag: str, value: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A value that its field refuses ends with code 2 and names flag and value."""
    complaint = misused(train_arguments(tmp_path, tmp_path / "m", flag, value), capsys)

    assert flag in complaint
    assert value in complaint


def test_a_missing_command_or_argument_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing starts before the arguments are complete; the meaning of labels is never guessed."""
    assert "COMMAND" in misused([], capsys)
    assert "--meaning" in misused(["train", "i", "--labels", "l", "-o", "m"], capsys)
    assert "0 seconds" in misused(["demo", "--seconds", "0"], capsys)


def test_an_option_before_the_command_is_told_where_it_belongs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is spelled well, so no other one is meant."""
    told = misused(["--json", "segment", "m.unet", "i.tif", "-o", "out"], capsys)
    assert told.endswith("unrecognized arguments: --json (write --json behind the command)")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--treshold", "0.5"), "unrecognized arguments: --treshold 0.5 (is --threshold meant?)"),
        (("--probabilites",), "unrecognized arguments: --probabilites (is --probabilities meant?)"),
        (("--tile_size=256",), "unrecognized arguments: --tile_size=256 (is --tile-size meant?)"),
        (("--quick",), "unrecognized arguments: --quick"),
    ],
)
def test_a_misspelled_option_is_told_with_the_one_that_is_meant(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And with the usage of the command that it was given to."""
    with pytest.raises(SystemExit) as ended:
        main(["segment", "m.unet", "i.tif", "-o", "out", *arguments])

    usage, *_, told = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert usage.startswith("usage: napari-unet segment MODEL IMAGES...")
    assert told == f"napari-unet segment: error: {complaint}"


def test_training_says_what_is_labelled_and_how_good_it_became(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Words on standard output, measurements on standard error, and a model that loads."""
    output = tmp_path / "new" / "cells.unet"
    given = ["train", str(cells / "images" / "a.tif"), "--labels", str(cells / "painted" / "a.tif")]
    assert main([*given, "--meaning", "scribbles", "-o", str(output), *TINY]) == 0

    out, err = capsys.readouterr()
    assert "px background, 3 cells" in out
    assert f"model in {output}" in out
    assert "IoU" in out
    assert "step 3" in err
    segmenter = Segmenter.load(output)
    assert (segmenter.base_channels, segmenter.depth) == (4, 2)
    assert segmenter.provenance["steps"] == 3


def test_why_the_quality_is_not_measured_is_told_as_it_is(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing is held out because nobody wanted it, or because all of it was trained on before."""
    assert main(train_arguments(cells, tmp_path / "m.unet", "--no-validate")) == 0
    out, err = capsys.readouterr()
    assert "nothing held out, as asked for" in out
    assert re.search(r"step 3, \d+ s: nothing is held out to measure the quality", err)
    assert "too little" not in out + err
    more = train_arguments(cells, tmp_path / "n.unet", "--continue", str(tmp_path / "m.unet"))
    assert main(more) == 0
    assert "too little labelled that is new to the model to hold any out" in capsys.readouterr().out


def test_json_is_one_event_per_line(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """``--json`` prints every event with its fields, and the model without its weights."""
    assert main(train_arguments(cells, tmp_path / "m.unet", "--json")) == 0

    told = events(capsys.readouterr().out)
    names = [event["event"] for event in told]
    assert names[0] == "Prepared"
    assert names[-1] == "Trained"
    assert names.count("StepDone") == 3
    assert {"step", "loss", "iou", "seconds"} <= told[names.index("Validated")].keys()
    assert told[-1]["segmenter"]["base_channels"] == 4
    assert all("weights" not in event.get("segmenter", {}) for event in told)


def test_training_goes_on_from_a_model(model: Path, cells: Path, tmp_path: Path) -> None:
    """``--continue`` keeps the network's shape, whatever the flags say, and adds up the steps."""
    more = tmp_path / "more.unet"
    arguments = train_arguments(cells, more, "--continue", str(model), "--base-channels", "8")
    assert main(arguments) == 0

    before, after = Segmenter.load(model), Segmenter.load(more)
    assert after.provenance["steps"] > before.provenance["steps"]
    assert after.base_channels == before.base_channels


def test_settings_that_a_continued_model_has_already_are_told(
    cells: Path, model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """They have no effect; those that are the model's own need no word."""
    given = ["--base-channels", "32", "--downsample", "4", "--start", "random"]
    more = ["--continue", str(model), *given]
    assert main(train_arguments(cells, tmp_path / "m.unet", *more)) == 0
    told = capsys.readouterr().err.splitlines()[0]
    assert told.startswith(
        "napari-unet: --base-channels 32, --downsample 4, --start random: no effect"
    )

    assert main(train_arguments(cells, tmp_path / "m.unet", "--continue", str(model))) == 0
    assert "no effect" not in capsys.readouterr().err


def test_masks_as_instances_are_trained_on_with_a_word_about_them(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One number for many cells would teach that they are one."""
    mask = np.zeros((128, 128), np.uint8)
    for y, x in np.ndindex(4, 5):
        mask[24 * y + 6 :, 24 * x + 6 :][:14, :14] = 255
    write_labels(tmp_path / "a.tif", mask)
    given = ["train", str(cells / "images" / "a.tif"), "--labels", str(tmp_path / "a.tif")]
    more = ["-o", str(tmp_path / "m.unet"), *TINY]

    assert main([*given, "--meaning", "instances", *more]) == 0
    told = capsys.readouterr().err.splitlines()[0]
    assert "a.tif: 1 number stands for 20 pieces, and each number counts as one cell." in told
    assert "with the meaning classes" in told
    assert main([*given, "--meaning", "scribbles", *more]) == 3
    assert "pieces" not in capsys.readouterr().err


def test_an_image_with_odd_grey_values_is_trained_on_with_a_word_about_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A channel that was empty, or a part that was not imaged, is told as in a batch."""
    image, truth = touching_cells((128, 128))
    part = image.astype(np.float32)
    part[:64] = np.nan
    (tmp_path / "images").mkdir()
    for name, pixels in (("empty", np.zeros(truth.shape, np.uint16)), ("part", part)):
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", pixels)
        write_labels(tmp_path / "labels" / f"{name}.tif", truth)
    given = ["train", str(tmp_path / "images"), "--labels", str(tmp_path / "labels")]

    assert main([*given, "--meaning", "instances", "-o", str(tmp_path / "m.unet"), *TINY]) == 0

    told = capsys.readouterr().err.splitlines()
    assert told[0].endswith(
        "empty.tif: All pixels of the plane have the same grey value: look at the image."
    )
    assert told[1].endswith("part.tif: 50 % of the pixels are NaN or infinite, and count as dark.")


def test_a_pair_with_two_names_is_trained_on_with_a_word_about_it(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One file and one file are a pair, but perhaps not the one that was meant."""
    given = ["train", str(cells / "images" / "a.tif"), "--meaning", "instances"]
    more = ["-o", str(tmp_path / "m.unet"), *TINY]
    assert main([*given, "--labels", str(cells / "truth" / "sub" / "b.tif"), *more]) == 0
    told = capsys.readouterr().err.splitlines()[0]
    assert "a.tif and" in told
    assert "b.tif have different names" in told
    write_labels(tmp_path / "A_masks.tif", read_labels(cells / "truth" / "a.tif"))
    assert main([*given, "--labels", str(tmp_path / "A_masks.tif"), *more]) == 0
    assert "different names" in capsys.readouterr().err
    write_labels(tmp_path / "a_masks.tif", read_labels(cells / "truth" / "a.tif"))
    assert main([*given, "--labels", str(tmp_path / "a_masks.tif"), *more]) == 0
    assert "different names" not in capsys.readouterr().err


def test_an_image_is_not_its_own_labels(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """However it is written: one file, a folder given twice, or an image of OME-Zarr."""
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="w")
    group.create_array("0", data=np.ones((32, 32), np.uint8))
    folder = cells / "images"
    for image, labels in (
        (folder / "a.tif", folder / "a.tif"),
        (folder, folder / ".." / "images"),
        (tmp_path / "a.ome.zarr", tmp_path / "a.ome.zarr"),
    ):
        given = ["train", str(image), "--labels", str(labels), "--meaning", "instances"]
        assert main([*given, "-o", str(tmp_path / "m.unet"), *TINY]) == 3
        assert "is given as an image and as its own labels" in capsys.readouterr().err
    assert not (tmp_path / "m.unet").exists()


def test_numbers_that_contradict_their_meaning_are_asked_about(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As in the dock, but it trains all the same, and asks once for all files."""

    def told(labels: str, meaning: str) -> str:
        given = ["train", str(cells / "images"), "--labels", str(cells / labels)]
        more = ["--meaning", meaning, "-o", str(tmp_path / "m.unet"), *TINY]
        assert main([*given, *more]) == 0
        return capsys.readouterr().err

    strokes = told("painted", "instances")
    assert strokes.count("Label 1 looks like strokes of background") == 1
    assert "a.tif: Label 1" in strokes
    assert "If so, give --meaning scribbles." in strokes
    assert "--meaning" not in told("painted", "scribbles")
    assert "Is it background? If not, give --meaning instances." in told("truth", "scribbles")
    assert "--meaning" not in told("truth", "instances")


def test_regions_say_what_is_background(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Outside the mask of ``--region``, nothing is labelled."""
    region = np.zeros((128, 128), np.uint8)
    region[:, :96] = 255
    Image.fromarray(region).save(tmp_path / "inspected.png")
    given = ["train", str(cells / "images" / "a.tif"), "--labels", str(cells / "truth" / "a.tif")]
    more = ["--region", str(tmp_path / "inspected.png"), "-o", str(tmp_path / "m.unet")]
    assert main([*given, "--meaning", "instances", *more, *TINY]) == 0

    # cells reach beyond the mask
    percent = int(capsys.readouterr().out.split(" % unlabelled")[0].split()[-1])
    assert 0 < percent < 25


def test_labels_are_those_of_their_planes_whatever_the_order_of_the_axes(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As Fiji saves them, time first, of a movie with depth first; nothing is in some planes."""
    image, truth = (tifffile.imread(cells / kind / "a.tif") for kind in ("images", "truth"))
    shown = np.array([[True, False, False], [True, True, False]])[..., None, None]  # T, Z
    movie, labels = shown * image, shown * truth
    region = np.broadcast_to(shown, labels.shape).astype(np.uint8)
    options: dict[str, Any] = {"ome": True, "photometric": "minisblack"}
    depth_first = options | {"metadata": {"axes": "ZTYX"}}
    tifffile.imwrite(tmp_path / "movie.tif", movie.swapaxes(0, 1), **depth_first)
    for name, pixels in (("labels.tif", labels), ("done.tif", region)):
        tifffile.imwrite(tmp_path / name, pixels, **options, metadata={"axes": "TZYX"})
    given = ["train", str(tmp_path / "movie.tif"), "--labels", str(tmp_path / "labels.tif")]
    more = ["--region", str(tmp_path / "done.tif"), "-o", str(tmp_path / "m.unet"), *TINY]

    assert main([*given, "--meaning", "instances", *more]) == 0
    assert "same grey value" not in capsys.readouterr().err


def test_what_cannot_be_trained_on_is_one_line(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Lonely files, wrong sizes, empty labels and a missing device end without a traceback."""
    one = str(cells / "images" / "a.tif")
    write_labels(tmp_path / "small.tif", np.ones((64, 64), int))
    write_labels(tmp_path / "empty" / "a.tif", np.zeros((128, 128), int))
    output = ["--meaning", "instances", "-o", str(tmp_path / "m.unet")]

    lonely = ["train", str(cells / "images"), "--labels", str(tmp_path / "small.tif"), *output]
    assert "small.tif" in fails(lonely, 3, capsys)
    small = ["train", one, "--labels", str(tmp_path / "small.tif"), *output]
    complaint = fails(small, 3, capsys)
    assert one in complaint
    assert "(64, 64)" in complaint
    empty = ["train", one, "--labels", str(tmp_path / "empty" / "a.tif"), *output]
    assert "No cell is painted" in fails(empty, 3, capsys)
    gone = train_arguments(cells, tmp_path / "m.unet", "--continue", str(tmp_path / "gone.unet"))
    assert "gone.unet" in fails(gone, 3, capsys)
    device = train_arguments(cells, tmp_path / "m.unet", "--device", "cuda:99")
    assert "cuda:99" in fails(device, 4, capsys)
    assert not (tmp_path / "m.unet").exists()


@contextmanager
def interrupted(
    arguments: list[str], how: signal.Signals = signal.SIGINT
) -> Iterator[subprocess.Popen[str]]:
    """The program in training, which was sent a signal once something was learned."""
    with subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        validated = False
        for line in process.stdout:
            (event,) = events(line)
            validated |= event["event"] == "Validated"
            if validated and event["event"] == "StepDone":
                break
        process.send_signal(how)
        yield process


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_finishes_a_training_early_and_well(cells: Path, tmp_path: Path) -> None:
    """Also one without a limit: it is fitted and scored as if its time were used up."""
    output = tmp_path / "m.unet"
    limitless = train_arguments(cells, output, "--steps", "0", "--seconds", "0", "--json")
    with interrupted(limitless) as process:
        out, err = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "Traceback" not in err
    assert "Finishing" in err
    assert [event["event"] for event in events(out)][-2:] == ["Learned", "Trained"]
    assert Segmenter.load(output).provenance["steps"] >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["m.unet"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_is_no_mistake_while_the_arguments_are_read() -> None:
    """That takes a moment, because some are checked by what they are for."""
    code = (
        "import os, signal, sys\n"
        "class Impatient:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'napari_unet.engine.items.plan':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "from napari_unet.cli import main\n"
        "sys.meta_path.insert(0, Impatient())\n"
        "sys.exit(main(['segment', 'm.unet', 'a.tif', '-o', 'out']))\n"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (130, "napari-unet: stopped.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize(
    "taking", [lambda: stopping_between([]), stopping_when_told], ids=["train", "segment"]
)
def test_signals_are_taken_for_a_while_and_only_where_they_end_a_program(
    ignored: bool, taking: Callable[[], AbstractContextManager[object]]
) -> None:
    """What nohup ignores stays ignored; a script that calls the command gets all of them back."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        meant = {number: signal.getsignal(number) for number in signal.valid_signals()}
        with taking():
            assert (signal.getsignal(signal.SIGHUP) == meant[signal.SIGHUP]) == ignored
            assert signal.getsignal(signal.SIGTERM) != meant[signal.SIGTERM]
        assert {number: signal.getsignal(number) for number in meant} == meant
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_a_second_ctrl_c_keeps_the_best_model_so_far(cells: Path, tmp_path: Path) -> None:
    """A training that is stopped at once exits with 130, without a traceback; its model loads."""
    output = tmp_path / "m.unet"
    with interrupted(train_arguments(cells, output, "--steps", "0", "--json")) as process:
        assert process.stderr is not None
        while "Finishing" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1] == (f"napari-unet: stopped; the best model so far is in {output}.")
    assert Segmenter.load(output).provenance["steps"] >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["m.unet"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signal to one process")
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_the_same_command_goes_on_where_it_was_stopped(
    how: str, cells: Path, tmp_path: Path
) -> None:
    """By Ctrl-C or by a batch system: no step is taken again."""
    output, state = tmp_path / "m.unet", tmp_path / "state"
    arguments = train_arguments(
        cells, output, "--steps", "60", "--checkpoint", str(state), "--json"
    )
    with subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            (event,) = events(line)
            if event["event"] == "StepDone" and event["step"] == 5:
                break
        process.send_signal(getattr(signal, how))
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert state.exists()
    taken = sum(event["event"] == "StepDone" for event in events(rest)) + 5
    again = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=True)
    told = events(again.stdout)
    assert f"resumed at step {taken};" in f"{told[0]['message']};"
    steps = [event["step"] for event in told if event["event"] == "StepDone"]
    assert steps == [*range(taken + 1, 61)]
    assert Segmenter.load(output).provenance["steps"] == 60
    assert not state.exists()


def test_a_reader_that_leaves_ends_the_program_quietly(cells: Path) -> None:
    """A closed pipe, as behind ``| head``, is no reason for a traceback."""
    truth = str(cells / "truth" / "a.tif")
    with subprocess.Popen(
        [*PROGRAM, "evaluate", truth, truth, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()

    assert process.returncode == 130
    assert err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without a word")
def test_a_training_that_is_told_to_end_keeps_the_best_model(cells: Path, tmp_path: Path) -> None:
    """As with a second Ctrl-C; nothing half-written is left."""
    output = tmp_path / "m.unet"
    limitless = train_arguments(cells, output, "--steps", "0", "--seconds", "0", "--json")
    with interrupted(limitless, signal.SIGTERM) as process:
        _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert err.splitlines()[-1] == f"napari-unet: stopped; the best model so far is in {output}."
    assert Segmenter.load(output).provenance["steps"] >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["m.unet"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_disk_without_room_for_the_model_is_code_4(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model and the image are fine."""
    unfinished(tmp_path / "m.unet").symlink_to("/dev/full")
    said = fails(train_arguments(cells, tmp_path / "m.unet"), 4, capsys)
    assert "m.unet: [Errno 28] No space left on device" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="what stands for a full disk")
def test_a_disk_that_is_full_for_a_moment_ends_no_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model before stays, and the next one is saved; but the last one must be."""
    path = tmp_path / "m.unet"
    models = [replace(starter_model(), provenance={"steps": steps}) for steps in range(4)]
    keeper = Keeper(path)
    for model, steps_kept in zip(models[:3], (0, 0, 2), strict=True):
        if steps_kept < model.provenance["steps"]:
            unfinished(path).symlink_to("/dev/full")
        keeper.keep(model)
        assert Segmenter.load(path).provenance["steps"] == steps_kept
    assert "could not be saved" in capsys.readouterr().err

    unfinished(path).symlink_to("/dev/full")
    with pytest.raises(ModelFileError, match="could not be saved"):
        keeper.keep(models[3], last=True)
    assert Segmenter.load(path).provenance["steps"] == 2


def test_a_warning_is_one_line_like_any_other_complaint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without the line of the program that it comes from."""
    with complaining():
        warnings.simplefilter("default")
        warnings.warn("The disk\nis full.", stacklevel=1)

    assert capsys.readouterr().err == "napari-unet: The disk is full.\n"


def test_a_file_that_is_no_model_is_code_3(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Segmenting with an image as the model says so before anything is read."""
    image = str(cells / "images" / "a.tif")

    assert "a.tif" in fails(["segment", image, image, "-o", str(tmp_path)], 3, capsys)
    assert "a.tif" in fails(["info", image], 3, capsys)


def test_what_a_device_cannot_do_is_code_4_and_a_mistake_is_none() -> None:
    """Also where no part of the command knows the errors of torch, as in a benchmark."""
    import torch

    for error in (
        torch.OutOfMemoryError("CUDA out of memory. Tried...\nmore"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:115] DefaultCPUAllocator: not enough memory"),
        MemoryError(),
    ):
        assert failure(error) == (
            "Out of memory. Close other programs, or use a machine with more.",
            4,
        )
    lost = failure(RuntimeError("CUDA error: unspecified launch failure\nSearch for"))
    assert lost is not None
    assert lost[0].startswith("The GPU failed (CUDA error: unspecified launch failure). ")
    assert lost[1] == 4
    assert failure(RuntimeError("shapes differ")) is None


def test_scores_are_a_table_with_a_mean(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One row per image and a mean, the same in the CSV file and as JSON."""
    truth, predicted = cells / "truth", tmp_path / "predicted"
    write_labels(predicted / "a_labels.tif", read_labels(truth / "a.tif"))
    write_labels(predicted / "sub" / "b_labels.tif", np.zeros((128, 128), int))
    command = ["evaluate", str(truth), str(predicted)]
    table = tmp_path / "scores.csv"

    assert main([*command, "--csv", str(table)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["image", "a", "sub/b", "mean"]
    with table.open(newline="", encoding="utf-8") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert rows["a"]["SEG"] == rows["a"]["AP@0.5"] == rows["a"]["IoU"] == "1.0000"
    assert rows["a"]["adapted Rand error"] == "0.0000"
    assert rows["sub/b"]["SEG"] == "0.0000"
    assert rows["mean"]["SEG"] == "0.5000"

    assert main([*command, "--json"]) == 0
    told = events(capsys.readouterr().out)
    assert [event["event"] for event in told] == ["Scores", "Scores", "MeanScores"]
    assert told[-1]["scores"]["SEG"] == 0.5


def test_a_stack_is_scored_plane_by_plane(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Numbers that start anew in every plane are not one cell through all planes."""
    truth = np.zeros((2, 20, 20), int)
    truth[0, 2:8, 2:8] = truth[1, 12:18, 12:18] = 1
    write_labels(tmp_path / "truth.tif", truth)
    write_labels(tmp_path / "through.tif", truth * [[[1]], [[2]]])

    files = [str(tmp_path / "truth.tif"), str(tmp_path / "through.tif")]
    assert main(["evaluate", *files, "--json"]) == 0
    assert events(capsys.readouterr().out)[-1]["scores"]["SEG"] == 1


def test_an_image_that_cannot_be_scored_fails_alone(
    cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Another shape is one failed line; the mean is of the others."""
    write_labels(tmp_path / "a.tif", read_labels(cells / "truth" / "a.tif"))
    write_labels(tmp_path / "sub" / "b.tif", np.zeros((64, 64), int))

    assert main(["evaluate", str(cells / "truth"), str(tmp_path)]) == 5

    out, err = capsys.readouterr()
    assert err.startswith("napari-unet: sub/b failed: ")
    assert "(64, 64)" in err
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["1.0000", "1.0000"]


def test_info_names_versions_the_device_and_the_model(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Versions, the device in words, and where a model comes from."""
    assert main(["info", str(model)]) == 0

    out = capsys.readouterr().out
    for word in ("napari-live-unet", "Python", "torch", "numpy", "napari", "device"):
        assert f"\n{word} " in f"\n{out}"
    assert "U-Net of depth 2, 4 channels" in out
    assert "labelled" in out
    assert main(["info", str(model), "--json"]) == 0
    info, described = events(capsys.readouterr().out)
    assert info["versions"]["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert described["model"]["provenance"]["steps"] >= 1


def test_a_model_is_exported_under_its_own_name(
    model: Path, cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an image of the user's; a file that is no package is refused, and nothing written."""
    image, package = cells / "images" / "a.tif", tmp_path / "for fiji.zip"

    assert main(["export", str(model), str(image), "-o", str(package), "--json"]) == 0

    (told,) = events(capsys.readouterr().out)
    assert told["path"] == str(package)
    with zipfile.ZipFile(package) as files:
        assert json.loads(files.read("rdf.yaml"))["name"] == "cells (Live U-Net)"
    arguments = ["export", str(model), str(image), "-o", str(tmp_path / "cells.bioimage")]
    assert "exported as a .zip file" in fails(arguments, 3, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["for fiji.zip"]


def test_benchmark_tells_how_fast_this_machine_is(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In figures that fit each other; a device that is none is refused before."""
    began = time.perf_counter()
    assert main(["benchmark", str(model), "--device", "cpu", "--json"]) == 0
    spent = time.perf_counter() - began
    (told,) = events(capsys.readouterr().out)
    assert told["device"].startswith("CPU")
    assert "depth 2, 4 channels" in told["model"]
    # three of five planes took the median or more, and then there were the steps
    planes, steps = 3 * told["plane_seconds"], 100 / told["steps_per_second"]
    assert min(planes, steps) > 0
    assert planes + steps < spent
    assert "cdua" in fails(["benchmark", "--device", "cdua"], 4, capsys)


def test_info_reports_the_other_project_of_this_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a distribution napari-unet is installed too, a sentence says what to do."""
    assert main(["info"]) == 0
    assert "pip uninstall" not in capsys.readouterr().out

    metadata = tmp_path / "napari_unet-0.1.8.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: napari-unet\nVersion: 0.1.8\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert "napari-unet 0.1.8" in out
    assert "pip uninstall napari-unet" in out


def test_the_demo_draws_its_result_without_a_screen(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headless, the demo trains, prints the scores, and leaves a picture and its numbers."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    arguments = ["demo", "--seconds", "1", "-o", str(tmp_path)]
    assert main(arguments if sys.platform == "linux" else [*arguments, "--headless"]) == 0

    out = capsys.readouterr().out
    assert all(f"{name} 0." in out or f"{name} 1." in out for name in ("SEG", "AP@0.5", "IoU"))
    assert str(tmp_path / "demo.png") in out
    scores = json.loads((tmp_path / "demo.json").read_text())["scores"]
    assert {"SEG", "AP@0.5", "IoU"} <= scores.keys()
    with Image.open(tmp_path / "demo.png") as picture:
        assert picture.width > 4 * 512
        assert picture.height > 512
        colours = np.unique(np.array(picture).reshape(-1, 3), axis=0)
    assert len(colours) > 1000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a screen is taken for granted")
@pytest.mark.parametrize(
    ("variables", "seen"),
    [({}, False), ({"DISPLAY": ":0"}, True), ({"WAYLAND_DISPLAY": "wayland-0"}, True)],
)
def test_a_screen_is_what_the_environment_says(
    variables: dict[str, str], seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Linux, X11's or Wayland's variable tells whether a window can open."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert has_screen() is seen


def test_names_the_terminal_cannot_show_do_not_end_a_batch(tmp_path: Path) -> None:
    """With an ASCII terminal a Japanese file name is printed escaped."""
    tifffile.imwrite(tmp_path / "細胞.tif", np.zeros((64, 64), np.uint8))
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    truth = str(tmp_path)

    result = subprocess.run(
        [*PROGRAM, "evaluate", truth, truth],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert "\\u7d30\\u80de" in result.stdout
