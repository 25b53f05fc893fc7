"""The Segmenter: a trained network and all that is needed to use it again.

Nothing here needs torch until `Segmenter.network` builds the module. Its file is described in
`napari_unet.engine.modelfile`.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.cellclasses import ModelKind, class_title
from napari_unet.core.given import is_path, told
from napari_unet.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from napari_unet.core.unet import UNet

__all__ = ["Segmenter", "check_segmenter"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Segmenter:
    """A trained network, its normalisation, its classes and where it comes from.

    Attributes
    ----------
    weights : dict of str to float32 array
        The state of the `UNet`.
    in_channels, n_classes, base_channels, depth : int
        Its architecture.
    kind : {"cells", "classes"}
        What the classes are: background and cells (of one class or several), or the painted
        classes 1, 2, ...
    downsample : int
        Working resolution: image pixels per network pixel and side.
    scales : int
        How many resolutions are averaged: the working resolution, half of it, ...
    core, split : float
        How touching cells are told apart, fitted to the painted cells: probability of the cores
        of cells, and depth of the necks at which they are cut; see `napari_unet.core.instances`.
    diameter : float
        Typical equivalent diameter of the painted objects in image pixels; 0 when unknown.
    smallest : float
        Diameter of the smallest ones, but for specks; 0 when unknown.
    provenance : dict
        How it was made: steps, seconds, what was labelled, size of the pixels, versions, date.
    seen : dict
        Which labelled blocks of which images it was trained on, and which were held out; see
        `napari_unet.engine.learning.heldout.Seen`.
    class_names : tuple of str
        What the painted classes, or the classes of cells, are called, 1 first; or empty.
    """

    weights: dict[str, NDArray[np.float32]]
    in_channels: int
    n_classes: int
    base_channels: int
    depth: int
    kind: ModelKind = "cells"
    downsample: int = 1
    scales: int = 1
    core: float = 0.8
    split: float = 0.2
    diameter: float = 0.0
    smallest: float = 0.0
    provenance: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Take a list, as JSON has it."""
        object.__setattr__(self, "class_names", tuple(self.class_names))

    def __repr__(self) -> str:
        """Say what it is and what it learned from; its arrays would fill pages of a notebook."""
        facts = [self.describe()]
        if self.diameter:
            width = f" of {self.pixel_size:.3g} µm" if self.pixel_size else ""
            facts.append(f"objects of about {self.diameter:.0f} pixels{width}")
        if steps := self.provenance.get("steps"):
            labelled = self.provenance.get("labelled")
            facts.append(f"{steps} steps{f' on {labelled}' if labelled else ''}")
        return f"<Segmenter: {'; '.join(facts)}>"

    @property
    def cell_classes(self) -> int:
        """How many classes of cells it tells apart: 0 of a model of classes, else 1 or more."""
        return self.n_classes - 1 if self.kind == "cells" else 0

    @property
    def output_names(self) -> list[str]:
        """What each output of the network is called; the first of cells is the background."""
        if self.cell_classes == 1:
            return ["background", "cell"]
        count = self.cell_classes or self.n_classes
        names = [class_title(self.class_names, number) for number in range(1, count + 1)]
        return ["background", *names] if self.cell_classes else names

    @property
    def pixel_size(self) -> float:
        """Width in micrometres of the pixels of the painted images; 0 when unknown."""
        size = self.provenance.get("pixel_size", 0.0)
        return float(size) if isinstance(size, int | float) and 0 < size < math.inf else 0.0

    @property
    def stride(self) -> int:
        """As of the `UNet`, which is not built for it."""
        return 1 << self.depth

    @property
    def context(self) -> int:
        """As of the `UNet`."""
        return 12 * self.stride - 8

    @property
    def coarser_factors(self) -> tuple[int, ...]:
        """Pixels of the working resolution per pixel and side of what is averaged with it."""
        return tuple(2**k for k in range(1, self.scales))

    def network(self, device: torch.device | str = "cpu") -> UNet:
        """Build the network with these weights, on a device, in evaluation mode."""
        import torch

        from napari_unet.core.unet import UNet

        with torch.device("meta"):  # no weights to initialise, no random numbers used up
            unet = UNet(self.in_channels, self.n_classes, self.base_channels, self.depth)
        weights = {name: torch.from_numpy(array.copy()) for name, array in self.weights.items()}
        unet.load_state_dict(weights, assign=True)
        unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return unet.to(device).eval()

    def hash_weights(self, update: Callable[[Any], object]) -> None:
        """Tell the weights, and what they are called, to the ``update`` of a digest."""
        for name, array in sorted(self.weights.items()):
            update(name.encode())
            update(np.ascontiguousarray(array).data)

    def with_weights(self, network: UNet, **provenance: Any) -> Segmenter:
        """Return a copy with the present weights of a network and more provenance."""
        weights = {
            name: tensor.detach().cpu().contiguous().numpy().copy()
            for name, tensor in network.state_dict().items()
        }
        return replace(self, weights=weights, provenance=self.provenance | provenance)

    def for_magnification(self, magnification: float) -> Segmenter:
        """Return a copy that expects objects so many times as large as the painted ones."""
        return replace(
            self, diameter=self.diameter * magnification, smallest=self.smallest * magnification
        )

    def smallest_cell(self, min_size: int = -1) -> int:
        """Return the pixels a cell must have: ``min_size``, or for -1 what is painted says.

        That is a tenth of a typical cell, or half of the smallest ones if that is less.
        """
        if min_size >= 0:
            return min_size
        areas = 0.1 * self.diameter**2, 0.5 * (self.smallest or self.diameter) ** 2
        return round(np.pi / 4 * min(areas))

    def smallest_cut_cell(self, min_size: int = -1) -> int:
        """Return the pixels a cell must have that the edge of the image cuts.

        For -1 half of what a whole one must have, so that one in the middle of which the image ends
        stays.
        """
        smallest = self.smallest_cell(min_size)
        return smallest if min_size >= 0 else (smallest + 1) // 2

    def largest_hole(self) -> int:
        """Return the pixels of a hole to fill: 0.3 typical cells; 0 when their size is unknown.

        Of cells as small as a spot it is one pixel, so that they are not taken for unknown.
        """
        return max(3 * round(0.1 * np.pi / 4 * self.diameter**2), 1) if self.diameter else 0

    def describe(self) -> str:
        """Say in a line what this model is."""
        parameters = sum(w.size for w in self.weights.values())
        resolution = "" if self.downsample == 1 else f", at 1/{self.downsample} of the resolution"
        if self.scales > 1:
            halves = ", ".join(f"1/{self.downsample * k}" for k in self.coarser_factors)
            resolution += f", averaged with {halves}"
        return (
            f"U-Net of depth {self.depth}, {self.base_channels} channels ({parameters:,} weights)"
            f": {self.in_channels} channel{'s' * (self.in_channels > 1)} to {self.finds}"
            f"{self._names()}{resolution}"
        )

    @property
    def finds(self) -> str:
        """What it finds, in words: "cells", "cells of 2 classes" or "3 classes"."""
        if self.kind == "classes":
            return f"{self.n_classes} classes"
        return "cells" if self.cell_classes == 1 else f"cells of {self.cell_classes} classes"

    def _names(self) -> str:
        named = [name for name in self.class_names if name and not name.isdecimal()]
        return f" ({', '.join(named)})" if named else ""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file; it is either complete or the old one is still there.

        Raises
        ------
        ModelFileError
            If a weight is not finite or the file cannot be written.
        """
        from napari_unet.engine.modelfile import write_model

        write_model(self, Path(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Segmenter:
        """Read a model file.

        Raises
        ------
        ModelFileError
            If there is no such file, it is damaged, or it is not a model of this program.
        """
        from napari_unet.engine.modelfile import read_model

        return read_model(Path(path))


def check_segmenter(given: object) -> None:
    """`InputError` for what is given as a model and is none, such as the path of one."""
    if isinstance(given, Segmenter):
        return
    path = repr(str(given)) if is_path(given) else "path"
    raise InputError(
        f"The model is {told(given)}; give a Segmenter, such as Segmenter.load({path}) returns."
    )
