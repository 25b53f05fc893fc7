"""What the dock would do now in terms of files: what is read from where, what to save first.

A layer that is as its file has it is read from there. Of every other layer, above all of what is
painted, a remark says under which name to save it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from PIL import Image as Picture

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.files import read_labels
from napari_unet.engine.formats.findfiles import relative_name
from napari_unet.engine.formats.imagefile import open_image
from napari_unet.engine.formats.labelnames import without_label_word
from napari_unet.engine.formats.tiff import DAMAGED, is_tiff
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError
from napari_unet.viewer.filenames import free_name
from napari_unet.viewer.layers import image_layers
from napari_unet.viewer.learning.sources import Source
from napari_unet.viewer.notes import Meaning
from napari_unet.viewer.painted import painted
from napari_unet.viewer.segmenting.segmenting_job import Scope
from napari_unet.viewer.stack import ImageStack, finest, shown_plane

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Box", "LayerFile", "Lesson", "Plan", "Work"]

Box = tuple[tuple[int, int], ...]
"""(start, stop) on every axis of the labels."""

SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Work:
    """What the dock would do now: train, then segment.

    Attributes
    ----------
    viewer : napari viewer
        Whose open images and shown plane count.
    sources : sequence of Source
        What is trained on; none to segment with the present model.
    image : Image
        What is segmented, by itself or with all that are open.
    scope : Scope
        How much of it.
    segmenter : Segmenter or None
        The present model, from which training goes on.
    training : TrainConfig
        How to train.
    prediction : PredictConfig
        How to segment.
    """

    viewer: ViewerModel
    sources: Sequence[Source]
    image: Image
    scope: Scope
    segmenter: Segmenter | None
    training: TrainConfig
    prediction: PredictConfig


@dataclass(frozen=True, slots=True, eq=False)
class LayerFile:
    """An image as a file.

    Attributes
    ----------
    path : str
        With ``/``, which Windows understands, too.
    stack : ImageStack
        How the layer is understood.
    loses_channels : bool
        Whether the file will not say which axis holds the channels: napari does not write it.
    """

    path: str
    stack: ImageStack
    loses_channels: bool

    @property
    def stem(self) -> str:
        """The name of the file, as the names of its results begin."""
        return relative_name(Path(self.path), Path(self.path).parent).name


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """An image to learn from, and its labels as a file.

    Attributes
    ----------
    file : LayerFile
        The image.
    labels : str
        Path of the labels.
    meaning : Meaning
        What their numbers say.
    shape : tuple of int
        Of the labels: (Y, X), or (Z, Y, X) of more than one plane.
    region : list of Box or None
        Where everything is labelled, in boxes without overlap; None without training regions.
    classes : dict
        The class of every label that has one.
    """

    file: LayerFile
    labels: str
    meaning: Meaning
    shape: tuple[int, ...]
    region: list[Box] | None
    classes: dict[int, str]


class Plan:
    """The work in terms of files.

    Attributes
    ----------
    remarks : list of str
        What to save first.
    lessons : list of Lesson
        What to train on, if anything.
    segmented : list of LayerFile
        What to segment.
    plane : int or None
        The only plane of it to segment, if it is one of several.
    start, model : str
        File of the model to begin with, "" to begin with a new one, and of the one to segment with.

    Raises
    ------
    InputError
        If layers do not fit, nothing is painted, or there is nothing to train on and no model.
    """

    def __init__(self, work: Work) -> None:
        if not work.sources and work.segmenter is None:
            raise InputError(
                "There is nothing to copy yet: choose labels to train on, or load a model."
            )
        self.remarks: list[str] = []
        self._files: dict[Image, LayerFile] = {}
        self._taken: set[str] = set()
        self.start = "" if work.segmenter is None else free_name("model", self._taken, SUFFIX)
        if self.start:
            self.remarks.append(f"First save the model of the dock as {self.start} (Save ...).")
        alone = len(work.sources) == 1
        self.lessons = [self._lesson(source, alone=alone) for source in work.sources]
        name = self.lessons[0].file.stem if self.lessons else ""
        self.model = free_name(name, self._taken, SUFFIX) if name else self.start
        self.segmented = [self._image(image) for image in _images(work)]
        self.plane = _only_plane(work)

    def _lesson(self, source: Source, *, alone: bool) -> Lesson:
        snapshot = painted(source.image, source.labels, source.regions)
        file, path = self._image(source.image), _unchanged(source.labels)
        # of several, the command line finds the labels of an image by their name
        if path is None or not (alone or without_label_word(path.stem) == file.stem):
            name = source.labels.name if alone else f"{file.stem}_labels"
            path = Path(self._save(source.labels, name))
        stack = snapshot.stack
        planes = math.prod(stack.leading)
        region: list[Box] | None = None if source.regions is None else []
        for index, _, mask in snapshot.planes:
            if region is not None and mask is not None:
                z = _number(index, stack)
                region += [((z, z + 1), *box) if planes > 1 else box for box in _boxes(mask)]
        shape = (planes, *stack.plane_shape) if planes > 1 else stack.plane_shape
        labels = path.as_posix()
        return Lesson(file, labels, snapshot.meaning, shape, region, snapshot.classes)

    def _image(self, layer: Image) -> LayerFile:
        if layer not in self._files:
            stack, path = ImageStack.of(layer), _file_of(layer)
            if path is not None and _holds(path, stack) and _is_unchanged(path, stack):
                self._files[layer] = LayerFile(path.as_posix(), stack, loses_channels=False)
            else:
                loses = stack.channel_axis is not None and not stack.rgb
                self._files[layer] = LayerFile(self._save(layer, layer.name), stack, loses)
        return self._files[layer]

    def _save(self, layer: Layer, name: str) -> str:
        file = free_name(name, self._taken, ".tif")
        self.remarks.append(
            f"First save layer {layer.name!r} as {file}: select it, File > Save Selected Layers."
        )
        return file


def _images(work: Work) -> list[Image]:
    """Return what is segmented: of all open images, those with the channels the model knows."""
    if work.scope != "all open images":
        return [work.image]
    known = work.segmenter.in_channels if work.segmenter is not None else 0
    if work.sources:
        known = ImageStack.of(work.sources[0].image).channels
    return [i for i in image_layers(work.viewer) if ImageStack.of(i).fits(known)]


def _only_plane(work: Work) -> int | None:
    stack = ImageStack.of(work.image)
    if work.scope in ("whole layer", "all open images") or math.prod(stack.leading) == 1:
        return None
    return _number(shown_plane(work.viewer, work.image), stack)


def _number(index: tuple[int, ...], stack: ImageStack) -> int:
    """Return which plane of a file an index is: files have one axis of planes."""
    return int(np.ravel_multi_index(index, stack.leading)) if index else 0


def _boxes(mask: NDArray[np.bool_]) -> list[Box]:
    """Cut a mask (Y, X) into boxes without overlap."""
    boxes: list[Box] = []
    changes = (np.flatnonzero((mask[1:] != mask[:-1]).any(axis=1)) + 1).tolist()
    for top, bottom in pairwise([0, *changes, len(mask)]):
        edges = np.flatnonzero(np.diff(mask[top].astype(np.int8), prepend=0, append=0)).tolist()
        runs = zip(edges[::2], edges[1::2], strict=True)
        boxes += [((top, bottom), (left, right)) for left, right in runs]
    return boxes


def _file_of(layer: Layer) -> Path | None:
    path = layer.source.path
    return Path(path) if path is not None and Path(path).is_file() else None


def _unchanged(labels: Labels) -> Path | None:
    """Return the file that a labels layer comes from, if it still is as the file has it."""
    path, data = _file_of(labels), finest(labels)
    if path is None:
        return None
    try:
        read = read_labels(path)
    except InputError:
        return None
    same = read.size == math.prod(data.shape)
    return path if same and np.array_equal(read.reshape(data.shape), np.asarray(data)) else None


def _is_unchanged(path: Path, stack: ImageStack) -> bool:
    """Whether some planes of an image in memory are as its file has them; others are not read."""
    if not stack.in_memory:
        return True
    indices = list(stack.indices())
    try:
        data = open_image(path).data
        for number in {0, len(indices) // 2, len(indices) - 1}:
            read = np.asarray(data[:, number] if len(indices) > 1 else data)
            if not np.array_equal(read, stack.plane(indices[number]), equal_nan=True):
                return False
    except InputError:
        return False
    return True


def _holds(path: Path, stack: ImageStack) -> bool:
    """Whether a file says of itself what the layer is understood to be; its pixels are not read."""
    try:
        if is_tiff(path):
            with tifffile.TiffFile(path) as tif:
                (series,) = tif.series
                sizes = list(zip(series.axes, series.shape, strict=True))
        else:
            with Picture.open(path) as picture:
                sizes = [
                    ("Y", picture.height),
                    ("X", picture.width),
                    ("S", len(picture.getbands())),
                ]
    except (OSError, *DAMAGED):
        return False
    colour = sizes[-1][0] == "S"  # in front, they are planes that were saved as if they were colour
    channels = [n for axis, n in sizes if axis == "C" or (colour and axis == "S")]
    y, x = (math.prod(n for axis, n in sizes if axis == wanted) for wanted in "YX")
    planes = math.prod(n for _, n in sizes) // (math.prod(channels) * y * x)
    expected = (math.prod(stack.leading), stack.plane_shape)
    return (planes, (y, x)) == expected and stack.channels == (
        min(math.prod(channels), 3) if stack.rgb else math.prod(channels)
    )
