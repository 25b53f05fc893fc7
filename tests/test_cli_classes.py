"""Cells of several classes on the command line: a table in, tables out."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet import Segmenter
from napari_unet.cli import main
from napari_unet.engine.files import read_labels
from napari_unet.sample_data import touching_cells

TINY = ("--seconds", "0", "--steps", "3", "--base-channels", "4", "--depth", "2", "--device", "cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make images and labels of two images, and a table of the classes of the cells of one."""
    for name, seed in (("a", 0), ("b", 1)):
        image, truth = touching_cells((96, 96), seed=seed)
        for kind, pixels in (("images", image), ("labels", truth.astype(np.uint16))):
            (tmp_path / kind).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / kind / f"{name}.tif", pixels)
    rows = "".join(f"a.tif,{label},{('dead', 'alive')[label % 2]}\n" for label in (1, 2, 3, 4))
    (tmp_path / "classes.csv").write_text(f"file,label,class\n{rows}")
    return tmp_path


def train(folder: Path, *more: str) -> list[str]:
    """Spell a tiny training."""
    given = ["train", str(folder / "images"), "--labels", str(folder / "labels")]
    return [*given, "--meaning", "instances", "-o", str(folder / "model.unet"), *TINY, *more]


def test_a_table_of_classes_goes_in_and_tables_come_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model knows the names, and every cell that is found has one of them."""
    assert main(train(folder, "--classes", str(folder / "classes.csv"))) == 0
    said = capsys.readouterr().out
    assert "(2 alive, 2 dead, " in said
    assert "without a class)" in said
    assert Segmenter.load(folder / "model.unet").class_names == ("alive", "dead")
    out = folder / "out"
    command = ["segment", str(folder / "model.unet"), str(folder / "images"), "-o", str(out)]
    assert main([*command, "--min-size", "0", "--measure", "csv"]) == 0
    for name in ("a", "b"):
        cells = int(read_labels(out / f"{name}_labels.tif").max())
        with (out / f"{name}_objects.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [int(row["label"]) for row in rows] == list(range(1, cells + 1))
        assert {row["class"] for row in rows} <= {"alive", "dead"}


def test_a_table_that_does_not_fit_ends_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is trained, with the row."""
    (folder / "classes.csv").write_text("file,label,class\nc.tif,1,dead\n")
    assert main(train(folder, "--classes", str(folder / "classes.csv"))) == 3
    assert "row 2: 'c.tif' is the name of none" in capsys.readouterr().err
