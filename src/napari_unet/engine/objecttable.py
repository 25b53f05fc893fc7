"""What became of every object, as CSV: for the dock and for the command line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from napari_unet.core.comparison import ObjectScore

__all__ = ["IN_PLANES", "IN_VOLUMES", "object_table"]

IN_PLANES: Final = ("side", "label", "fate", "area", "y", "x", "partner", "iou")
"""The columns of an object: fields of `napari_unet.core.comparison.ObjectScore`."""

IN_VOLUMES: Final = ("side", "label", "fate", "area", "z", "y", "x", "partner", "iou")
"""The same of an object of a volume."""


def object_table(
    compared: Iterable[tuple[str, int, Iterable[ObjectScore]]], *, in_3d: bool
) -> bytes:
    """Return a file with a line for every object.

    Parameters
    ----------
    compared : iterable of (str, int, iterable of ObjectScore)
        The name of the image, the number of the plane or volume in it, and its objects.
    in_3d : bool
        Whether they are objects of volumes.
    """
    columns = IN_VOLUMES if in_3d else IN_PLANES
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["image", "volume" if in_3d else "plane", *columns])
    for name, number, objects in compared:
        for one in objects:
            values = (getattr(one, column) for column in columns)
            cells = (f"{v:.4f}" if isinstance(v, float) else v for v in values)
            writer.writerow([name, number, *cells])
    # names of files may be no text
    return text.getvalue().encode(errors="backslashreplace")
