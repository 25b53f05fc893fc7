"""One plane at the working resolution, whose labels may change while a network is trained on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from napari_unet.core.annotation import IGNORE, Annotation, encode
from napari_unet.core.boundary import around, boundary_weights_in
from napari_unet.core.cellclasses import class_targets
from napari_unet.core.normalise import grey_statistics, normalise
from napari_unet.core.resolution import coarse_pixels, coarsen, coarsen_labels
from napari_unet.core.tiles import widened, within
from napari_unet.engine.learning.heldout import count_blocks, fingerprint

if TYPE_CHECKING:
    import torch

__all__ = ["PaintedPlane"]

Box = tuple[slice, slice]


class PaintedPlane:
    """Image, targets and border weights of one annotated plane.

    Parameters
    ----------
    annotation : Annotation
        Of a (C, Y, X) image.
    factor : int
        Working resolution: image pixels per network pixel and side.
    w0, sigma : float
        Height, and width in network pixels, of the border weights.
    names : sequence of str, optional
        The classes of cells that are told apart; without two of them, a cell is a cell.
    device : torch.device or str, optional
        Where torch is to weigh the whole plane, as for `boundary_weights_in`. What is painted
        later is weighed on the CPU: that takes less time than starting the work on a GPU.

    Attributes
    ----------
    annotation : Annotation
        With the labels as they are now.
    image : (C, y, x) float32 array
        Normalised.
    target : (y, x) uint8 array
        Class of each pixel, or `IGNORE`.
    cells : (y, x) integer array
        The painted cells, separated where they touch; 0 elsewhere.
    painted : (y, x) integer array
        The same as they were painted.
    border : (y, x) float32 array
        What the boundary weight adds to the class weight.
    key : str
        Fingerprint of the image.
    version : int
        Grows whenever something is painted.
    """

    def __init__(
        self,
        annotation: Annotation,
        factor: int,
        w0: float,
        sigma: float,
        device: torch.device | str | None = None,
        *,
        names: Sequence[str] = (),
    ) -> None:
        native = annotation.labels.astype(annotation.labels.dtype.newbyteorder("="), copy=False)
        self.annotation = Annotation(
            annotation.image, native, annotation.meaning, annotation.region, annotation.classes
        )
        self._names = names if annotation.meaning != "classes" and len(names) > 1 else ()
        self._factor, self._w0, self._sigma = factor, w0, sigma
        self.image = normalise(coarsen(annotation.image, factor), grey_statistics(annotation.image))
        self.key = fingerprint(self.image)
        self.version = 0
        self._counted: tuple[int, dict[tuple[int, int], NDArray[np.intp]]] | None = None
        self._named: tuple[int, str] | None = None
        everything = (slice(0, native.shape[0]), slice(0, native.shape[1]))
        shape = self.image.shape[1:]
        self.target = np.full(shape, IGNORE, dtype=np.uint8)
        self.cells: NDArray[np.integer] = np.zeros_like(native, shape=shape)
        self.painted = self.cells.copy()
        self.border = np.zeros(shape, dtype=np.float32)
        self._encode(everything, device)

    def repaint(
        self,
        box: Box,
        labels: NDArray[np.integer],
        region: NDArray[np.bool_] | None,
        classes: Mapping[int, str] | None = None,
    ) -> None:
        """Take over what was painted; only what can have changed is computed again.

        Parameters
        ----------
        box : (slice, slice)
            Image pixels (Y, X) that changed.
        labels, region : array
            Labels and, where there are any, training regions of the box.
        classes : mapping of label to class, optional
            The classes of all cells, where they may have changed.
        """
        old = self.annotation
        # the arrays that came may be read-only, or somebody else's
        dtype = np.result_type(old.labels, labels)
        every_label = old.labels.astype(dtype)
        every_label[box] = labels
        every_region = old.region
        if region is not None:
            every_region = (
                np.zeros(every_label.shape, bool) if every_region is None else every_region.copy()
            )
            every_region[box] = region
        others = classes is not None and classes != old.class_of
        known = classes if others else old.classes
        self.annotation = Annotation(old.image, every_label, old.meaning, every_region, known)
        self.cells = self.cells.astype(dtype, copy=False)
        self.painted = self.painted.astype(dtype, copy=False)
        self.version += 1
        if every_label[box].size:
            self._encode(box)
        if others and self._names:
            self._classify((slice(None), slice(None)))

    def blocks(self, n_classes: int) -> dict[tuple[int, int], NDArray[np.intp]]:
        """Return the labelled blocks, and how many pixels of each class they have."""
        if self._counted is None or self._counted[0] != self.version:
            self._counted = self.version, count_blocks(self.target, n_classes)
        return self._counted[1]

    def learned_from(self) -> str:
        """Return a fingerprint of the image and what is painted on it; "" where that is nothing."""
        if self._named is None or self._named[0] != self.version:
            name = ""
            if (self.target != IGNORE).any():
                # whatever the labels are stored as
                cells = self.cells.astype(np.int64)
                name = f"{self.key} {fingerprint(self.target)} {fingerprint(cells)}"
            self._named = self.version, name
        return self._named[1]

    def pieces(self) -> NDArray[np.integer]:
        """Return the connected pieces of the cells as they were painted, 1 ... n; 0 elsewhere."""
        # pieces and not ids: many people paint all cells with one number
        pieces: NDArray[np.integer] = label(self.painted, background=0, connectivity=1)
        return pieces

    def _encode(self, box: Box, device: torch.device | str | None = None) -> None:
        """Renew target, cells and border weights where the labels of a box can matter."""
        factor, shape = self._factor, self.target.shape
        # touching cells are separated by a look at the pixel before, so one pixel more can change
        inner = widened(coarse_pixels(box, factor), (0, 0), (1, 1), shape)
        read = widened(inner, (1, 1), (0, 0), shape)
        pixels = tuple(slice(s.start * factor, s.stop * factor) for s in read)
        labels, region = self.annotation.labels, self.annotation.region
        part = None
        if region is not None:
            part = coarsen_labels(region[pixels].astype(np.uint8), factor) > 0
        meaning = self.annotation.meaning
        target = encode(coarsen_labels(labels[pixels], factor), meaning, part)
        there = within(inner, read)
        self.target[inner] = target.classes[there]
        self.cells[inner] = target.cells[there]
        self.painted[inner] = target.painted[there]
        if self._names:
            self._classify(inner)
        if meaning == "classes":
            return
        near = around(inner, shape, w0=self._w0, sigma=self._sigma)
        weights = boundary_weights_in(
            self.cells, near, w0=self._w0, sigma=self._sigma, device=device
        )
        self.border[near] = weights - 1

    def _classify(self, box: tuple[slice, ...]) -> None:
        """Write the classes of the cells in a box into the target."""
        classes = class_targets(self.cells[box], self.annotation.class_of, self._names)
        np.copyto(self.target[box], classes, where=classes > 0)
