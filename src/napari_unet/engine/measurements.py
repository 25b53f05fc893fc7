"""Tables of objects as files: CSV, or Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.atomic import write_atomically
from napari_unet.engine.formats.source import MICROMETRES, PixelSize
from napari_unet.errors import InputError

__all__ = ["check_writer", "physical", "write_table"]

Columns = dict[str, NDArray[Any]]


def physical(columns: Columns, size: PixelSize) -> Columns:
    """Add area_um2, centroid_y_um and centroid_x_um where the size of a pixel is known.

    Of 3D objects, with the spacing of the planes, also volume_um3 and centroid_z_um.
    """
    if size.yx is None or size.unit not in MICROMETRES:
        return columns
    y, x, z = (side * MICROMETRES[size.unit] for side in (*size.yx, size.z or 0.0))
    added = {}
    if "area" in columns:
        added["area_um2"] = columns["area"] * (y * x)
    if "volume" in columns and z:
        added["volume_um3"] = columns["volume"] * (z * y * x)
        added["centroid_z_um"] = columns["centroid_z"] * z
    for name, side in (("centroid_y", y), ("centroid_x", x)):
        if name in columns:
            added[f"{name}_um"] = columns[name] * side
    return {**columns, **added}


def check_writer(form: str) -> None:
    """Raise `InputError` where a format of tables needs a package that is missing."""
    if form == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise InputError(
                "Parquet needs the package pyarrow: run 'pip install pyarrow', or choose csv."
            ) from error


def write_table(path: Path, parts: Iterable[Columns]) -> None:
    """Write parts of a table below each other, whole or not at all; only one is in memory.

    Parameters
    ----------
    path : Path
        Its suffix, .csv or .parquet, is the format.
    parts : iterable of dict of str to array
        All with the same columns, of the same types; at least one, which may have no rows.

    Raises
    ------
    InputError
        If a package is missing.
    OSError
        If the file cannot be written.
    """
    form = path.suffix.removeprefix(".")
    check_writer(form)
    write = _write_parquet if form == "parquet" else _write_csv
    write_atomically(path, lambda file: write(file, parts))


def _write_csv(file: BinaryIO, parts: Iterable[Columns]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text)
    for number, columns in enumerate(parts):
        if number == 0:
            writer.writerow(columns)
        writer.writerows(zip(*map(_written, columns.values()), strict=True))
    text.detach()


def _written(column: NDArray[Any]) -> list[Any]:
    """Return the values of a column as they stand in a CSV file; what is not known is empty."""
    if column.dtype.kind == "f":
        return ["" if np.isnan(value) else f"{value:.7g}" for value in column]
    values: list[Any] = (column.astype(np.uint8) if column.dtype.kind == "b" else column).tolist()
    return values


def _write_parquet(file: BinaryIO, parts: Iterable[Columns]) -> None:
    import pyarrow
    import pyarrow.parquet

    tables = (pyarrow.table(dict(columns)) for columns in parts)
    first = next(tables)
    with pyarrow.parquet.ParquetWriter(file, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
