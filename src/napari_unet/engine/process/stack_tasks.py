"""What the compute process is asked to do with stacks: link their planes, find 3D objects.

As in `napari_unet.engine.process.tasks`, importing this module loads no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.cellclasses import class_sums, likeliest_classes
from napari_unet.core.config import PredictConfig
from napari_unet.core.linking import Kind, Links
from napari_unet.core.linkstack import linking
from napari_unet.core.necks3d import Necks
from napari_unet.core.normalise import oddity
from napari_unet.engine.cells import necks_in_3d
from napari_unet.engine.events import OddPlane, PlaneDone
from napari_unet.engine.segmenter import Segmenter

__all__ = ["SEGMENTING", "link_stack", "segment_volume"]

SEGMENTING = 0.95
"""Of the work on 3D objects, what it takes to find the cells of planes; the rest links them."""


def link_stack(
    planes: Sequence[Any],
    leading: tuple[int, ...],
    out: NDArray[np.uint32],
    kind: Kind,
    necks: Necks,
) -> Iterator[float | Links]:
    """Run `napari_unet.core.linkstack.linking`; yield the share that is done, then the tables.

    Parameters
    ----------
    planes : sequence of array
        (1, Y, X) labels of every plane, or the `Remote` of them: one is read at a time.
    leading : tuple of int
        Sizes of the axes that count them.
    out : uint32 array
        (*leading, Y, X), shared with the program; receives the numbers.
    kind : {"objects", "tracks"}
        What is linked.
    necks : Necks
        Where 3D objects are cut.
    """
    yield (yield from linking(_Stacked(planes, leading), out, kind, necks))


def segment_volume(
    segmenter: Segmenter,
    planes: Sequence[Any],
    leading: tuple[int, ...],
    out: NDArray[np.uint32],
    foreground: NDArray[np.float32],
    evidence: NDArray[np.uint16] | None,
    spacing: float,
    config: PredictConfig,
) -> Iterator[float | OddPlane | PlaneDone]:
    """Find 3D objects along all three axes; yield the share that is done, then what was found.

    Planes with odd grey values are told as soon as they are read.

    Parameters
    ----------
    segmenter, spacing, config
        As of `napari_unet.engine.volume.segment_volume`.
    planes : sequence of array
        (C, Y, X), or the `Remote` of them; all those of a volume are in memory.
    leading : tuple of int
        (Z,) or (T, Z): sizes of the axes that count them.
    out, foreground : uint32 array, float32 array
        (*leading, Y, X) zeros, shared with the program; receive the numbers of the objects and the
        mean probability.
    evidence : uint16 array, optional
        (K, *leading, Y, X), shared too; receives what the classes of cells are told by.
    """
    from napari_unet.engine.volume import segmenting_planes

    deep, plane = leading[-1], out.shape[-2:]
    times = len(planes) // deep
    labels, mean = out.reshape(times, deep, *plane), foreground.reshape(times, deep, *plane)
    told = None if evidence is None else evidence.reshape(-1, times, deep, *plane)
    for t in range(times):
        pixels = [np.asarray(plane) for plane in planes[t * deep : (t + 1) * deep]]
        for z, plane_read in enumerate(pixels):
            if said := oddity(plane_read):
                yield OddPlane(plane=t * deep + z, oddity=said)
        of_time = None if told is None else told[:, t]
        for share in segmenting_planes(
            segmenter, np.stack(pixels, axis=1), labels[t], mean[t], spacing, config, of_time
        ):
            yield SEGMENTING * (t + share) / times
    for share in linking(out, out, "objects", necks_in_3d(segmenter, config, spacing)):
        yield SEGMENTING + (1 - SEGMENTING) * share
    count = int(out.max(initial=0))
    classes: tuple[int, ...] = ()
    if told is not None:
        places = np.ndindex(times, deep)
        sums = sum(class_sums(told[:, t, z], labels[t, z], count + 1) for t, z in places)
        classes = tuple(likeliest_classes(np.asarray(sums))[1:].tolist())
    yield PlaneDone(plane=1, planes=1, objects=count, classes=classes)


class _Stacked:
    """Planes as one array, of which a plane is read when it is indexed."""

    def __init__(self, planes: Sequence[Any], leading: tuple[int, ...]) -> None:
        self._planes, self._leading = planes, leading
        self.shape = (*leading, *planes[0].shape[1:])

    def __getitem__(self, place: tuple[int, ...]) -> NDArray[Any]:
        number = int(np.ravel_multi_index(place, self._leading))
        plane: NDArray[Any] = np.asarray(self._planes[number])[0]
        return plane
