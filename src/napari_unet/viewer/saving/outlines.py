"""Save a labels layer as outlines, from *File > Save Selected Layers*: for ImageJ or QuPath."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_unet.core.annotation import first_cell
from napari_unet.core.outlines import Outline, outlines
from napari_unet.engine.outlinefile import OutlinedPlane, place_along, write_outlines
from napari_unet.errors import InputError, JobError
from napari_unet.viewer.cellclasses import classes_of
from napari_unet.viewer.notes import meaning_of
from napari_unet.viewer.stack import finest

__all__ = ["write_layer"]


def write_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the outlines of the labels of a layer.

    Parameters
    ----------
    path : str
        Ends in .zip or .geojson.
    data : integer array
        (Y, X), or with axes of planes before them; of several resolutions the first counts.
    meta : dict
        The other things of the layer.

    Raises
    ------
    JobError
        If a package is missing, a class is none, or the file cannot be written. Napari takes a
        ValueError, which an `InputError` is, for a file that is none of ours, and says nothing of
        it.
    """
    layer = Labels(data, **meta)
    try:
        write_outlines(Path(path), _planes(layer))
    except OSError as error:
        raise JobError(f"The outlines could not be written to {path}: {error}.") from error
    except InputError as error:
        raise JobError(str(error)) from error
    return [path]


def _planes(layer: Labels) -> Iterator[OutlinedPlane]:
    """Outline the labels of every plane of a layer."""
    pixels = finest(layer)
    leading = pixels.shape[:-2]
    whole = slice(0, pixels.shape[-2]), slice(0, pixels.shape[-1])
    names = [str(name).lower() for name in layer.axis_labels[: len(leading)]]
    axes = "".join(name if name in ("t", "z") else "q" for name in names)
    classes = classes_of(layer)
    first = first_cell(meaning_of(layer))
    for at in np.ndindex(*leading):
        blocks = [(whole, np.asarray(pixels[at]))]
        found = outlines(partial(iter, blocks))
        yield OutlinedPlane(objects=_told(found, classes, first), place=place_along(axes, at))


def _told(
    found: Iterator[Outline], classes: dict[int, str], first: int
) -> Iterator[tuple[Outline, str]]:
    """Say the classes of those that are cells."""
    for outline in found:
        if outline.label >= first:
            yield outline, classes.get(outline.label, "")
