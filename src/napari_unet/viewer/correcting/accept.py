"""Copy predicted cells into the painted labels: one undo step, and nothing painted is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from skimage.segmentation import flood

from napari_unet.core.acceptance import match_objects
from napari_unet.core.annotation import first_cell
from napari_unet.core.cellclasses import ModelKind
from napari_unet.core.summary import grouped
from napari_unet.errors import InputError
from napari_unet.viewer.correcting.picking import numbers_in, pixel_at
from napari_unet.viewer.correcting.verified import verified_ids
from napari_unet.viewer.field import Box
from napari_unet.viewer.layers import set_visible
from napari_unet.viewer.notes import is_result, meaning_of
from napari_unet.viewer.segmenting.kept import KeptPlane
from napari_unet.viewer.segmenting.results import UNFINISHED, segmentations
from napari_unet.viewer.stack import PlaneIndex, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Accepted", "accept", "kind_of", "object_at", "objects_in", "shown_result"]

ROOM = 64
"""Pixels around the objects in which strokes are looked at."""

NOTHING = "Nothing to accept: everything predicted here is already labelled."


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What was copied, and what was not.

    Attributes
    ----------
    new : int
        Objects that became cells of their own.
    extended : int
        Painted cells that were completed.
    pixels : int
        Pixels that were unlabelled before.
    joining : int
        Objects left out because they would join cells that are painted apart.
    on_background : int
        Objects left out because they lie mostly on painted background.
    on_verified : int
        Objects left out because they cover a verified cell and much beside it.
    kind : {"cells", "classes"}
        What was copied.
    """

    new: int = 0
    extended: int = 0
    pixels: int = 0
    joining: int = 0
    on_background: int = 0
    on_verified: int = 0
    kind: ModelKind = "cells"

    @property
    def sentence(self) -> str:
        """The same in words."""
        if self.kind == "classes":
            return f"Accepted {grouped(self.pixels)} pixels." if self.pixels else NOTHING
        done = []
        if self.new:
            done.append(f"Accepted {_objects(self.new, 'cell')}.")
        if self.extended:
            done.append(f"{_objects(self.extended, 'painted cell')} completed.")
        why = [
            _left_out(self.joining, "it joins", "they join", "painted cells"),
            _left_out(self.on_background, "it lies", "they lie", "on painted background"),
            _left_out(self.on_verified, "it goes", "they go", "far beyond verified cells"),
        ]
        return " ".join([*(done or [NOTHING]), *filter(None, why)])


def shown_result(viewer: ViewerModel, image: Image, plane: PlaneIndex) -> Labels:
    """Return the topmost visible layer that shows predicted objects of a plane of an image.

    Raises
    ------
    InputError
        If there is none, or the cells of that plane have no numbers yet.
    """
    for layer in reversed(segmentations(viewer, image)):
        highest = int(layer.data[plane].max(initial=0)) if layer.visible else 0
        if UNFINISHED in layer.name and highest == 1:
            # while tiles come in, all of the foreground is 1
            raise InputError(
                f"The cells of layer {layer.name!r} are not told apart yet in this plane: wait "
                f"until it is segmented, or segment it again."
            )
        if highest:
            return layer
    if any(is_result(layer, "preview", image) and layer.visible for layer in viewer.layers):
        # it shows where cells are and where they touch; they have no numbers
        raise InputError("A preview cannot be accepted: press Finish, or Segment.")
    raise InputError(
        f"Nothing is predicted in this plane of layer {image.name!r}, or its layer is hidden: "
        f"segment first, or show the layer."
    )


def kind_of(result: Labels, known: KeptPlane | None) -> ModelKind:
    """Return what a plane of a result shows.

    Parameters
    ----------
    result : Labels
        Whose meaning is that of what was segmented last.
    known : KeptPlane or None
        What is kept of the plane.
    """
    if known is not None:
        return known.segmenter.kind
    return "classes" if meaning_of(result) == "classes" else "cells"


def objects_in(result: Labels, plane: PlaneIndex, box: Box, kind: ModelKind) -> NDArray[np.bool_]:
    """Return the pixels (Y, X) of the predicted objects in view.

    Of cells, those that lie in the box by more than half, as a whole; of classes, all pixels in
    the box.
    """
    predicted = np.asarray(finest(result)[plane])
    if kind == "cells":
        return np.isin(predicted, numbers_in(predicted, box))
    chosen = np.zeros(predicted.shape, dtype=bool)
    chosen[box] = predicted[box] > 0
    return chosen


def object_at(
    result: Labels, plane: PlaneIndex, position: Sequence[float], kind: ModelKind
) -> NDArray[np.bool_]:
    """Return the pixels (Y, X) of the predicted object at a position in the world.

    Of classes, the connected region of that class.

    Raises
    ------
    InputError
        If there is none.
    """
    predicted = np.asarray(finest(result)[plane])
    pixel = pixel_at(result, position)
    if pixel is None or not predicted[pixel]:
        raise InputError(
            f"No object of layer {result.name!r} lies under the mouse: point at one and press "
            f"the key again."
        )
    if kind == "cells":
        chosen: NDArray[np.bool_] = predicted == predicted[pixel]
        return chosen
    region: NDArray[np.bool_] = flood(predicted, pixel, connectivity=1)
    return region


def accept(
    result: Labels, labels: Labels, plane: PlaneIndex, chosen: NDArray[np.bool_], kind: ModelKind
) -> Accepted:
    """Copy predicted objects into the painted labels of a plane, as one undo step, and show them.

    No painted pixel is changed. An object on one painted cell completes it, unless that cell is
    verified; one on none becomes a new cell with a free number; one on several painted cells, or
    mostly on painted background, is left out. Most of it verified: it is that cell, left as it is.
    One that covers a verified cell, and more beside it than of it, is left out too.

    Parameters
    ----------
    result : Labels
        The predicted cells, or classes.
    labels : Labels
        Of the same shape, in memory and editable.
    plane : tuple of int
        Index of the plane.
    chosen : (Y, X) bool array
        Pixels of the objects: what `objects_in` and `object_at` return.
    kind : {"cells", "classes"}
        What the result shows.

    Raises
    ------
    InputError
        If the labels cannot be written, mean something else, or have no numbers left.
    """
    _check(result, labels, kind)
    box = _around(chosen)
    predicted = np.asarray(finest(result)[plane])[box] * chosen[box]
    painted = labels.data[plane][box]
    if kind == "classes":
        values, told = predicted, Accepted(kind=kind)
    else:
        values, told = _as_cells(predicted, painted, labels, plane)
    ys, xs = np.nonzero((values > 0) & (painted == 0))
    if not len(ys):
        return told
    where = (ys + box[0].start, xs + box[1].start)
    with labels.block_history():
        labels.data_setitem((*(np.full(len(ys), i) for i in plane), *where), values[ys, xs])
    set_visible(labels, True)  # or it looks as if nothing had been accepted
    return replace(told, pixels=len(ys))


def _as_cells(
    predicted: NDArray[Any], painted: NDArray[Any], labels: Labels, plane: PlaneIndex
) -> tuple[NDArray[np.int64], Accepted]:
    """Return the number that every predicted pixel gets (0: none), and what that does."""
    first, verified = first_cell(meaning_of(labels)), verified_ids(labels, plane)
    matching = match_objects(predicted, painted, first=first, verified=verified)
    new, target = matching.new, matching.partner.copy()
    target[new] = _free_numbers(labels, plane, int(new.sum()), first, verified)
    told = Accepted(
        new=int(new.sum()),
        extended=len({*matching.partner.tolist()} - {0}),
        joining=int(matching.joining.sum()),
        on_background=int(matching.on_background.sum()),
        on_verified=int(matching.on_verified.sum()),
    )
    return target[matching.objects], told


def _free_numbers(
    labels: Labels, plane: PlaneIndex, count: int, first: int, verified: frozenset[int]
) -> NDArray[np.int64]:
    """Return numbers for new cells: after all of the layer, or free in the plane."""
    limit = np.iinfo(labels.data.dtype).max
    start = max(int(labels.data.max()), first - 1, *verified) + 1
    if start + count - 1 <= limit:
        return np.arange(start, start + count)
    used = {*np.unique(labels.data[plane]).tolist(), *verified}
    free = [n for n in range(first, min(limit, len(used) + count + first) + 1) if n not in used]
    if len(free) < count:
        raise InputError(
            f"Layer {labels.name!r} of dtype {labels.data.dtype} numbers cells up to {limit}, and "
            f"{count} more do not fit: right-click the layer and choose a wider type under "
            f"Convert data type, or make new labels (New beside Labels)."
        )
    return np.array(free[:count])


def _around(chosen: NDArray[np.bool_]) -> Box:
    """Return the box of some pixels, with room in which to see the strokes that touch them."""
    box = []
    for axis, n in enumerate(chosen.shape):
        found = np.flatnonzero(chosen.any(axis=1 - axis))
        low, high = (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 0)
        box.append(slice(max(low - ROOM, 0), min(high + ROOM, n)))
    return box[0], box[1]


def _left_out(count: int, one: str, several: str, where: str) -> str:
    does = one if count == 1 else several
    return f"{_objects(count, 'object')} left out: {does} {where}." if count else ""


def _objects(count: int, name: str) -> str:
    return f"1 {name}" if count == 1 else f"{count} {name}s"


def _check(result: Labels, labels: Labels, kind: ModelKind) -> None:
    name, shape, wanted = labels.name, finest(labels).shape, finest(result).shape
    if shape != wanted:
        raise InputError(
            f"Labels layer {name!r} has shape {shape}, layer {result.name!r} has {wanted}; choose "
            f"or make labels of this image."
        )
    if (meaning_of(labels) == "classes") != (kind == "classes"):
        raise InputError(
            f"Layer {result.name!r} shows {kind}, but the meaning of layer {name!r} is "
            f"{meaning_of(labels)}; choose a labels layer that fits, or make one (New)."
        )
    if not isinstance(labels.data, np.ndarray) or not labels.data.flags.writeable:
        raise InputError(
            f"Layer {name!r} is not held in memory ({type(labels.data).__module__}."
            f"{type(labels.data).__name__}), so nothing can be accepted into it; load it, or make "
            f"new labels (New beside Labels)."
        )
    if not labels.editable:
        raise InputError(
            f"Layer {name!r} cannot be edited, so nothing can be accepted into it; choose another "
            f"one, or make new labels (New beside Labels)."
        )
