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


def test_rows_about_labels_that_no_image_has_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The classes of the others are learned; a class by mistake is not silently lost."""
    rows = "".join(f"b.tif,{number},dead\n" for number in (1, *range(901, 908)))
    with (folder / "classes.csv").open("a") as file:
        file.write(f"a.tif,777,alive\n{rows}")

    assert main(train(folder, "--classes", str(folder / "classes.csv"))) == 0
    (told,) = (line for line in capsys.readouterr().err.splitlines() if "classes.csv" in line)
    assert told == (
        f"napari-unet: {folder / 'classes.csv'} has classes for labels that are in no image: "
        f"777 (a.tif), 901 (b.tif), 902 (b.tif), 903 (b.tif), 904 (b.tif) and 3 more. They are "
        f"left out."
    )


def test_names_of_classes_of_pixels_need_no_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are the same in all images, and one image need not have them all."""
    for name, last in (("a", 2), ("b", 3)):
        labels = np.repeat(np.arange(96) % last + 1, 96).reshape(96, 96)
        tifffile.imwrite(folder / "labels" / f"{name}.tif", labels.astype(np.uint8))
    (folder / "classes.csv").write_text("label,class\n1,soma\n2,axon\n3,myelin\n4,rim\n")
    command = train(folder, "--classes", str(folder / "classes.csv"), "--meaning", "classes")

    assert main(command) == 0
    assert Segmenter.load(folder / "model.unet").class_names == ("soma", "axon", "myelin")
    assert "that are in no image: 4. They are left out." in capsys.readouterr().err


def test_several_images_need_the_file_of_each_row(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cell 3 of one image is another cell than cell 3 of the next."""
    (folder / "classes.csv").write_text("label,class\n1,dead\n2,alive\n")

    assert main(train(folder, "--classes", str(folder / "classes.csv"))) == 3
    complaint = capsys.readouterr().err
    assert "classes.csv has no column file, and there are 2 images" in complaint


def test_one_class_of_cells_is_no_class_to_learn(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model finds cells, and a remark tells that it will not tell them apart."""
    (folder / "classes.csv").write_text("file,label,class\na,1,dead\na,2,dead\n")

    assert main(train(folder, "--classes", str(folder / "classes.csv"))) == 0
    assert "has 1 class of cells, and two are needed" in capsys.readouterr().err
    assert Segmenter.load(folder / "model.unet").class_names == ()
