"""Tables of objects can be read by others, in pixels and in micrometres."""

from __future__ import annotations

import csv
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_unet import InputError
from napari_unet.engine.formats.source import PixelSize
from napari_unet.engine.measurements import check_writer, physical, write_table

Columns = dict[str, NDArray[np.generic]]


def part(*labels: int) -> Columns:
    """Make some rows."""
    n = len(labels)
    return {
        "label": np.array(labels, np.int64),
        "area": np.full(n, 12, np.int64),
        "centroid_y": np.full(n, 1 / 3),
        "touches_border": np.full(n, True),
        "intensity_mean_0": np.full(n, np.nan),
    }


def test_parts_become_one_csv_file(tmp_path: Path) -> None:
    """One heading; whole numbers stay whole, true is 1, and what is not known is empty."""
    path = tmp_path / "new" / "objects.csv"
    write_table(path, iter([part(1, 2), part(), part(70_000)]))

    with path.open(newline="", encoding="utf-8") as file:
        heading, *rows = csv.reader(file)
    assert heading == list(part())
    assert [row[0] for row in rows] == ["1", "2", "70000"]
    assert rows[0] == ["1", "12", "0.3333333", "1", ""]


def test_parts_become_one_parquet_file(tmp_path: Path) -> None:
    """With the types of the columns."""
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "objects.parquet"
    write_table(path, iter([part(), part(1, 2), part(3)]))

    table = parquet.read_table(path)
    assert table.column("label").to_pylist() == [1, 2, 3]
    assert [str(kind) for kind in table.schema.types] == ["int64"] * 2 + [
        "double",
        "bool",
        "double",
    ]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_that_breaks_off_leaves_nothing_behind(tmp_path: Path, form: str) -> None:
    """No file, and no complaint of a writer that nobody closed."""
    if form == "parquet":
        pytest.importorskip("pyarrow")

    def parts() -> Iterator[Columns]:
        yield part(1, 2, 3)
        raise InputError("The next plane cannot be read.")

    with pytest.raises(InputError):
        write_table(tmp_path / f"objects.{form}", parts())
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is segmented."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)
    with pytest.raises(InputError, match="pip install pyarrow"):
        check_writer("parquet")
    check_writer("csv")


def test_sizes_in_micrometres_follow_the_pixel_size() -> None:
    """From whichever unit; nothing is added where no size is known."""
    columns = part(1) | {"centroid_x": np.array([3.0])}

    found = physical(columns, PixelSize((500.0, 250.0), "nanometer"))
    assert found["area_um2"].tolist() == [1.5]
    assert found["centroid_x_um"].tolist() == [0.75]
    np.testing.assert_allclose(found["centroid_y_um"], [1 / 6])
    assert list(physical(columns, PixelSize())) == list(columns)
    assert list(physical(columns, PixelSize((1.0, 1.0)))) == list(columns)
