"""What painted labels mean, and how they become targets (design: the three label meanings).

=============  ===============  ==========  ======================================
meaning        0                1           2, 3, ...
=============  ===============  ==========  ======================================
``scribbles``  not labelled     background  cells (each id one cell)
``instances``  background       a cell      cells
``classes``    not labelled     class 1     class 2, ...
=============  ===============  ==========  ======================================

A training region turns 0 into background inside and into "not labelled" outside. Cells can be of
several classes, and painted classes can have names: `Annotation.classes` says which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.boundary import separate_touching
from napari_unet.core.cellclasses import ANY_CELL, Classes, classes_by_label
from napari_unet.core.given import CHANNELS_LAST, check_pixels
from napari_unet.errors import InputError

__all__ = [
    "IGNORE",
    "MAX_CLASSES",
    "Annotation",
    "Meaning",
    "Target",
    "encode",
    "first_cell",
    "whole_numbers",
]

IGNORE = 255
"""Target value of a pixel that is not labelled."""

Meaning = Literal["scribbles", "instances", "classes"]

MAX_CLASSES = ANY_CELL
"""Classes are 0 ... in a target, where this number and `IGNORE` mean something else."""


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """An image and the labels painted on it.

    Parameters
    ----------
    image : array
        (Y, X), (C, Y, X) or (C, Z, Y, X); any real dtype. Z are independent planes.
    labels : integer array
        (Y, X), or (Z, Y, X) for a stack.
    meaning : {"instances", "scribbles", "classes"}
        What the numbers in ``labels`` say. Instances: 0 is background, every other number a
        cell. Scribbles: 0 is not labelled, 1 background, every other number a cell. Classes: 0
        is not labelled, 1, 2, ... are classes of pixels.
    region : bool array, optional
        Training regions, of the shape of ``labels`` (or of one plane): inside, unpainted pixels
        are background; outside, they are not labelled.
    classes : mapping or pandas.Series of label to class, or sequence indexed by label, optional
        For cells, the class of each: a name, or a number of at least 1; cells that are left out
        may be of any class. For labels that are classes, their names. Kept as a dictionary of
        text.
    pixel_size : float
        Width of a pixel of the image in micrometres; 0 when unknown. The model keeps it.

    Raises
    ------
    InputError
        If shapes, dtypes or values do not fit together.
    """

    image: NDArray[np.generic]
    labels: NDArray[np.integer]
    meaning: Meaning = "instances"
    region: NDArray[np.bool_] | None = None
    classes: Classes | None = None
    pixel_size: float = 0.0

    def __post_init__(self) -> None:
        check_pixels("image", self.image, "read_image")
        check_pixels("labels", self.labels, "read_labels")
        set_ = object.__setattr__
        set_(self, "image", _checked_image(np.asarray(self.image)))
        set_(self, "labels", _checked_labels(np.asarray(self.labels), self.image.shape))
        if self.meaning not in get_args(Meaning):
            raise InputError(
                f"The meaning of labels is {self.meaning!r}; "
                f"choose one of {', '.join(get_args(Meaning))}."
            )
        if self.meaning == "classes" and self.labels.max(initial=0) > MAX_CLASSES:
            raise InputError(
                f"The labels hold the value {self.labels.max()}, but as classes they can be 1 to "
                f"{MAX_CLASSES}. If the numbers are cells, set their meaning to instances."
            )
        if self.region is not None:
            set_(self, "region", self._checked_region(np.asarray(self.region, dtype=bool)))
        set_(self, "classes", classes_by_label({} if self.classes is None else self.classes))
        known = isinstance(self.pixel_size, int | float | np.number)
        if not (known and 0 <= self.pixel_size < float("inf")):
            raise InputError(
                f"pixel_size is {self.pixel_size}: give the width of a pixel in micrometres, or 0."
            )

    def __repr__(self) -> str:
        """Say what it is made of: arrays, and the classes of a plate of cells, would fill pages."""
        image, labels = (f"{array.shape} {array.dtype}" for array in (self.image, self.labels))
        facts = [f"image {image}", f"labels {labels}, {self.meaning}"]
        if self.region is not None:
            facts.append("within a training region")
        if self.class_of:
            facts.append(f"{len(self.class_of)} labels with a class")
        if self.pixel_size:
            facts.append(f"pixels of {self.pixel_size:.3g} µm")
        return f"<Annotation: {'; '.join(facts)}>"

    @property
    def class_of(self) -> dict[int, str]:
        """The class of every label that has one, present in the labels or not."""
        assert isinstance(self.classes, dict)
        return self.classes

    @property
    def channels(self) -> int:
        """Number of channels of the image."""
        return int(self.image.shape[0])

    def planes(self) -> Iterator[Annotation]:
        """Yield every plane that has a labelled pixel, as an annotation of a (C, Y, X) image."""
        if self.labels.ndim == 2:
            yield self
            return
        for z, labels in enumerate(self.labels):
            region = None if self.region is None else self.region[z]
            # an empty plane of a stack says nothing, except inside a training region
            if labels.any() or (region is not None and region.any()):
                image = self.image[:, z]
                yield replace(self, image=image, labels=labels, region=region)

    def _checked_region(self, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if self.meaning == "classes":
            raise InputError(
                "Training regions say where unpainted pixels are background, but labels that are "
                "classes have no background; paint the background class instead."
            )
        if region.shape == self.labels.shape[-2:]:
            region = np.broadcast_to(region, self.labels.shape)
        if region.shape != self.labels.shape:
            raise InputError(
                f"The training region has shape {region.shape}, the labels {self.labels.shape}; "
                f"they must be equal."
            )
        return region


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What the network should say at each pixel of a plane.

    Attributes
    ----------
    classes : uint8 array
        (Y, X): class 0 ... K-1, or `IGNORE`.
    cells : integer array
        (Y, X): separated instances for the boundary weights; 0 elsewhere.
    painted : integer array
        (Y, X): the same as they were painted, which may touch.
    """

    classes: NDArray[np.uint8]
    cells: NDArray[np.integer]
    painted: NDArray[np.integer]


def encode(
    labels: NDArray[np.integer], meaning: Meaning, region: NDArray[np.bool_] | None = None
) -> Target:
    """Turn the labels of one plane into a target; touching cells get a background border."""
    if meaning == "classes":
        classes = np.where(labels == 0, IGNORE, labels - 1).astype(np.uint8)
        return Target(classes, *[np.zeros_like(labels)] * 2)
    painted = np.where(labels >= first_cell(meaning), labels, 0)
    unlabelled = (labels == 0) if meaning == "scribbles" else np.zeros(labels.shape, dtype=bool)
    if region is not None:
        unlabelled = (labels == 0) & ~region
    cells = separate_touching(painted)
    classes = (cells > 0).astype(np.uint8)
    classes[unlabelled] = IGNORE
    return Target(classes, cells, painted)


def first_cell(meaning: Meaning) -> int:
    """Return the lowest number that is a cell, not background; of classes, that is a class."""
    return 2 if meaning == "scribbles" else 1


def _checked_image(image: NDArray[np.generic]) -> NDArray[np.generic]:
    if image.dtype == bool:
        image = image.astype(np.uint8)
    if image.dtype.kind not in "iuf":
        raise InputError(f"The image has dtype {image.dtype}; convert it to real numbers first.")
    if image.ndim == 2:
        image = image[None]
    if image.ndim not in (3, 4):
        raise InputError(
            f"The image has shape {image.shape}; give (Y, X), (C, Y, X) or (C, Z, Y, X)."
        )
    if 0 in image.shape:
        raise InputError(f"The image has shape {image.shape}: it has no pixels.")
    return image


def _checked_labels(
    labels: NDArray[np.integer], image_shape: tuple[int, ...]
) -> NDArray[np.integer]:
    labels = whole_numbers(labels)
    if labels.shape != image_shape[1:]:
        hint = ""
        if labels.shape == image_shape[:-1] or labels.shape == image_shape[:2]:
            hint = f" {CHANNELS_LAST}"
        elif labels.shape == image_shape:
            hint = " If these are planes of one channel, give image[np.newaxis]."
        raise InputError(
            f"The labels have shape {labels.shape}, the image {image_shape[1:]} "
            f"({image_shape[0]} channels); they must be equal.{hint}"
        )
    if labels.size and labels.min() < 0:
        raise InputError(
            f"The labels hold {labels.min()}; labels start at 0. Set the negative ones to 0."
        )
    return labels


def whole_numbers(labels: NDArray[Any], where: str = "") -> NDArray[np.integer]:
    """Return labels as integers; `InputError` if they are none, which begins with where."""
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    if labels.dtype.kind in "iu":
        return labels
    if labels.dtype.kind == "f":
        if _is_whole(labels):
            return labels.astype(np.int64)
        without = np.isnan(labels)
        if _is_whole(labels[~without]):
            raise InputError(
                f"{where}The labels hold NaN ({np.count_nonzero(without):,} px); labels are "
                f"whole numbers. Save 0 there, with numpy.nan_to_num in Python."
            )
    raise InputError(f"{where}The labels hold {labels.dtype} values; labels are whole numbers.")


def _is_whole(labels: NDArray[np.generic]) -> bool:
    """Return whether every value of a float array is an integer that int64 can hold."""
    with np.errstate(invalid="ignore"):
        return bool((np.abs(labels) < 2.0**63).all() and np.array_equal(labels, np.round(labels)))
