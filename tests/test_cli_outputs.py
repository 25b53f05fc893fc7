"""No command replaces a file of the user's, and what cannot be written is told before the work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet import Segmenter
from napari_unet.cli import main
from napari_unet.engine.files import write_labels
from napari_unet.engine.starter import starter_model
from napari_unet.sample_data import touching_cells

TINY = ("--seconds", "0", "--steps", "3", "--base-channels", "4", "--depth", "2", "--device", "cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make images/, truth/ and found/ with two images of cells."""
    for name, seed in (("a", 0), ("b", 1)):
        image, truth = touching_cells((96, 96), seed=seed)
        labels = truth.astype(np.uint16)
        for kind, pixels in (("images", image), ("truth", labels), ("found", labels)):
            (tmp_path / kind).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / kind / f"{name}.tif", pixels)
    return tmp_path


def training(folder: Path, output: Path, *more: str) -> list[str]:
    """Spell a tiny training."""
    given = ["train", str(folder / "images"), "--labels", str(folder / "truth")]
    return [*given, "--meaning", "instances", "-o", str(output), *TINY, *more]


def scoring(folder: Path, *more: str) -> list[str]:
    """Spell a scoring of labels that are the truth."""
    return ["evaluate", str(folder / "truth"), str(folder / "found"), *more]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Check that a command ends with code 3 before it prints a result; return its complaint."""
    assert main(arguments) == 3
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


@pytest.mark.parametrize("name", ["images/a.tif", "truth/b.tif", "notes.txt", "images"])
def test_a_training_replaces_nothing_but_models(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever else lies at the place of the new model stays, and nothing is trained."""
    (folder / "notes.txt").write_text("exposure 20 ms")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    complaint = refused(training(folder, folder / name), capsys)

    assert f"{folder / name} exists and is not a model of this program" in complaint
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_training_replaces_an_earlier_model(folder: Path) -> None:
    """Also the one that it goes on from."""
    model = folder / "cells.unet"
    starter_model().save(model)

    assert main(training(folder, model, "--continue", str(model))) == 0
    assert Segmenter.load(model).provenance["steps"] == 3 + starter_model().provenance["steps"]


@pytest.mark.parametrize("flag", ["--csv", "--objects"])
@pytest.mark.parametrize("name", ["truth/b.tif", "samples.csv", "truth"])
def test_a_table_replaces_nothing_but_such_tables(
    folder: Path, flag: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The truth, and tables of others, stay as they are, and nothing is scored."""
    (folder / "samples.csv").write_text("sample,medium\n1,agar\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    complaint = refused(scoring(folder, flag, str(folder / name)), capsys)

    assert f"{folder / name} exists and is not a table of 'evaluate'" in complaint
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_the_tables_of_an_earlier_scoring_are_replaced(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run twice it writes the same, but two tables do not fit into one file."""
    scores, objects = folder / "scores.csv", folder / "objects.csv"
    more = ["--csv", str(scores), "--objects", str(objects)]

    assert main(scoring(folder, *more)) == 0
    before = scores.read_text()
    assert main(scoring(folder, *more)) == 0
    assert scores.read_text() == before
    assert main(scoring(folder, *more, "--classes")) == 3
    capsys.readouterr()
    both = ["--csv", str(scores), "--objects", str(folder / "truth" / ".." / "scores.csv")]
    assert "give each table a file of its own" in refused(scoring(folder, *both), capsys)


def test_model_and_state_of_a_training_are_two_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one, the state would replace the model, and be removed with it at the end."""
    one, same = folder / "cells.unet", folder / "images" / ".." / "cells.unet"

    with pytest.raises(SystemExit) as ended:
        main(training(folder, one, "--checkpoint", str(same)))
    assert ended.value.code == 2
    assert "--checkpoint and -o are both" in capsys.readouterr().err
    assert not one.exists()


def test_nobody_is_told_to_delete_a_file_that_is_no_state(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be an image; what to do is to choose another name."""
    image = folder / "images" / "a.tif"

    complaint = refused(training(folder, folder / "m", "--checkpoint", str(image)), capsys)

    assert f"{image} is damaged or not the state of a training. Choose another file" in complaint
    assert "delete" not in complaint.replace(str(folder), "").lower()
    assert "BadZipFile" not in complaint


@pytest.mark.parametrize(
    "more",
    [("--csv", "no/s.csv"), ("--objects", "no/o.csv"), ("--errors", "no"), ("--errors", "no/e")],
)
def test_where_scores_cannot_be_written_is_told_before_they_are_computed(
    folder: Path, more: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A file lies where a folder should be."""
    (folder / "no").write_text("in the way")

    complaint = refused(scoring(folder, more[0], str(folder / more[1])), capsys)

    assert f"{folder / more[1]} cannot be written: {folder / 'no'} is no folder." in complaint
    assert "Errno" not in complaint


def test_where_the_demo_and_models_cannot_be_written_is_told_before_they_are_trained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits a minute for that."""
    (folder / "no").write_text("in the way")
    demo = ["demo", "--headless", "--seconds", "60", "-o", str(folder / "no")]
    for command in (
        demo,
        training(folder, folder / "no" / "m.unet"),
        training(folder, folder / "m.unet", "--checkpoint", str(folder / "no" / "state")),
    ):
        assert "cannot be written: " in refused(command, capsys)
    assert not (folder / "m.unet").exists()


WITHOUT_RIGHTS = """
import contextlib, ctypes, io, json, struct, sys
from napari_unet.cli import main
if sys.platform == "linux":  # the rights of the superuser go beyond those of files
    assert ctypes.CDLL(None).capset(struct.pack("Ii", 0x20080522, 0), bytes(24)) == 0
ended = []
for command in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(command)
    ended.append((code, out.getvalue(), err.getvalue()))
json.dump(ended, sys.stdout)
"""

restricted = pytest.mark.skipif(
    os.name != "posix" or (sys.platform != "linux" and os.geteuid() == 0),
    reason="the rights of files mean something else there",
)


def without_rights(*commands: list[str]) -> list[tuple[int, str, str]]:
    """Run commands as somebody to whom the rights of files apply; return how they ended."""
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_RIGHTS, json.dumps(commands)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.stderr == ""
    return [(code, out, err) for code, out, err in json.loads(process.stdout)]


@restricted
def test_a_folder_of_somebody_else_is_refused_where_it_is_given(tmp_path: Path) -> None:
    """As images, as truth and as labels."""
    closed, model = tmp_path / "closed", tmp_path / "cells.unet"
    closed.mkdir()
    starter_model().save(model)
    closed.chmod(0)
    ended = without_rights(
        ["segment", str(model), str(closed), "-o", str(tmp_path / "out")],
        ["evaluate", str(closed), str(closed)],
        ["train", str(closed), "--labels", str(tmp_path), "--meaning", "classes", "-o", str(model)],
    )
    closed.chmod(0o755)

    said = f"napari-unet: {closed} cannot be looked into: Permission denied. Check the permissions"
    assert [code for code, _, _ in ended] == [3, 3, 3]
    assert all(err.startswith(said) for _, _, err in ended)


@restricted
def test_a_model_of_somebody_else_is_not_called_damaged(tmp_path: Path) -> None:
    """The system says why it cannot be read, and so does the message."""
    closed = tmp_path / "closed"
    models = tmp_path / "cells.unet", closed / "cells.unet"
    closed.mkdir()
    for model in models:
        starter_model().save(model)
    models[0].chmod(0)
    closed.chmod(0o600)
    ended = without_rights(*(["info", str(model)] for model in models))
    closed.chmod(0o755)

    assert [code for code, _, _ in ended] == [3, 3]
    (_, _, unreadable), (_, _, hidden) = ended
    assert f"{models[0]} cannot be opened: Permission denied." in unreadable
    assert "damaged" not in unreadable
    assert len(unreadable.splitlines()) == 1
    assert "Permission denied" in hidden


@restricted
def test_a_folder_that_may_not_be_written_to_is_told_before_the_work(folder: Path) -> None:
    """In a sentence, for each of the commands."""
    closed = folder / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    for code, out, err in without_rights(
        scoring(folder, "--csv", str(closed / "s.csv")),
        scoring(folder, "--errors", str(closed / "e")),
        training(folder, closed / "m.unet"),
        ["demo", "--headless", "-o", str(closed / "demo")],
    ):
        assert code == 3
        assert f"you may not write into {closed}." in err
        assert out == ""


@pytest.mark.skipif(os.name != "posix", reason="the shell of Windows closes nothing")
def test_a_closed_output_is_no_reason_for_a_traceback(tmp_path: Path) -> None:
    """Nor a closed place for complaints; what is opened next must not take its number."""
    starter_model().save(tmp_path / "cells.unet")
    program = [sys.executable, "-m", "napari_unet.cli"]
    for closing in (">&-", "2>&-", ">&- 2>&-"):
        ended = subprocess.run(
            ["sh", "-c", f'exec "$@" {closing}', "sh", *program, "info", "cells.unet"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="what stands for a full disk")
def test_a_log_on_a_full_disk_does_not_change_how_a_command_ends(tmp_path: Path) -> None:
    """What is beside the results may get lost, and the work goes on."""
    program = [sys.executable, "-m", "napari_unet.cli", "info", str(tmp_path / "none.unet")]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = subprocess.run(program, stderr=full, timeout=60, check=False)
    assert ended.returncode == 3


def test_events_are_the_same_in_every_encoding_of_the_output(tmp_path: Path) -> None:
    """Programs read them as JSON, in which a byte of Latin-1 cannot be written as in Python."""
    cells = np.ones((9, 9), np.uint8)
    for folder in ("truth", "found"):
        write_labels(tmp_path / folder / "Käfer 🪲.tif", cells)
    program = [sys.executable, "-m", "napari_unet.cli", *scoring(tmp_path, "--json")]
    printed = {
        subprocess.run(
            program,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            timeout=60,
            check=True,
        ).stdout
        for encoding in ("ascii", "utf-8")
    }
    (events,) = printed
    assert json.loads(events.splitlines()[0])["image"] == "Käfer 🪲"


def test_an_export_replaces_nothing_but_packages(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A zip file of raw images stays; a package that was exported before does not."""
    model, image = folder / "cells.unet", folder / "images" / "a.tif"
    starter_model().save(model)
    raw, package = folder / "raw.zip", folder / "cells.zip"
    with zipfile.ZipFile(raw, "w") as file:
        file.write(image)
    before = raw.read_bytes()
    command = ["export", str(model), str(image), "-o"]

    complaint = refused([*command, str(raw)], capsys)
    assert f"{raw} exists and is not a package of this program" in complaint
    assert raw.read_bytes() == before
    assert main([*command, str(package)]) == main([*command, str(package)]) == 0
