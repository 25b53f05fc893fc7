"""Count what is labelled, block by block, so that painting never waits for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Shapes
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation, Meaning, encode, first_cell
from napari_unet.core.summary import Summary
from napari_unet.viewer.cellclasses import classes_of
from napari_unet.viewer.notes import meaning_of
from napari_unet.viewer.painted import check_same_grid
from napari_unet.viewer.regions import region_mask, region_masks
from napari_unet.viewer.stack import ImageStack, finest

__all__ = ["advice", "count"]

BLOCK = 512
"""Side of a block in pixels; one takes about 10 ms."""


def count(image: Image, labels: Labels, regions: Shapes | None = None) -> Iterator[Summary]:
    """Yield what is labelled after every block; the last one counts everything.

    The pixels of the image are not read.

    Raises
    ------
    InputError
        If the shapes differ, or the labels cannot be used.
    """
    stack = ImageStack.of(image)
    check_same_grid(image, labels, stack)
    meaning, data = meaning_of(labels), finest(labels)
    masks = None if regions is None else region_masks(regions, image)
    tally = _Tally(meaning, int(np.prod(stack.shape)), classes_of(labels))
    for index in stack.indices():
        plane, region = np.asarray(data[index]), region_mask(masks, index, stack)
        if len(stack.leading) and not plane.any() and not (region is not None and region.any()):
            yield tally.summary()  # an empty plane of a stack says nothing
            continue
        tally.begin_plane()
        for y in range(0, plane.shape[0], BLOCK):
            for x in range(0, plane.shape[1], BLOCK):
                tally.add(plane, region, y, x)
                yield tally.summary()
    yield tally.summary()


def advice(summary: Summary, meaning: Meaning) -> str:
    """Return what is still missing before something can be learned, if anything."""
    if meaning == "classes":
        missing = sum(n > 0 for n in summary.classes) < 2
        return ". Paint at least two classes." if missing else ""
    if meaning == "instances":
        return "" if summary.objects else ". Paint a few cells."
    wanted = []
    if not summary.objects:
        wanted.append("a few cells with label 2 and up")
    if not summary.background:
        wanted.append("some background with label 1")
    return f". Paint {' and '.join(wanted)}." if wanted else ""


class _Tally:
    """Adds up blocks to what `napari_unet.core.summary.summarise` says of the whole."""

    def __init__(self, meaning: Meaning, total: int, classes: dict[int, str]) -> None:
        self._meaning, self._total, self._classes = meaning, total, classes
        self._kinds: Counter[str] = Counter()
        self._counts = np.zeros(256, dtype=np.int64)
        self._objects = 0
        self._ids: set[int] = set()

    def begin_plane(self) -> None:
        self._objects += len(self._ids)
        self._ids = set()

    def add(self, plane: NDArray[Any], region: NDArray[np.bool_] | None, y: int, x: int) -> None:
        # one pixel more than is counted: whether cells touch is seen from the pixel before
        where = (slice(max(y - 1, 0), y + BLOCK), slice(max(x - 1, 0), x + BLOCK))
        counted = (slice(y - where[0].start, None), slice(x - where[1].start, None))
        block = plane[where]
        part = None if region is None else region[where]
        nothing = np.broadcast_to(np.uint8(0), (1, *block.shape))
        checked = Annotation(nothing, block, self._meaning, part)
        target = encode(checked.labels, checked.meaning, checked.region)
        self._counts += np.bincount(target.classes[counted].ravel(), minlength=256)
        ids = np.unique(checked.labels[counted])
        cells = ids[ids >= first_cell(self._meaning)].tolist()
        new = set(cells) - self._ids
        self._kinds.update(self._classes[i] for i in new if i in self._classes)
        self._ids |= new

    def summary(self) -> Summary:
        if self._meaning == "classes":
            return Summary.of_classes(self._counts, self._total, self._classes)
        objects = self._objects + len(self._ids)
        return Summary.of_cells(self._counts, self._total, objects, self._kinds)
