"""Public functions that are given what they do not take: the message says what was meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_unet as unet
from napari_unet.engine.starter import starter_model

IMAGE = np.zeros((40, 50), np.float32)
LABELS = np.zeros((40, 50), np.uint8)
RNG = np.random.default_rng(0)

WITH_A_MODEL: dict[str, Callable[[Any], Any]] = {
    "segment": lambda model: unet.segment(model, IMAGE),
    "probabilities": lambda model: unet.probabilities(model, IMAGE),
    "predict": lambda model: list(unet.predict(model, IMAGE, LABELS)),
    "segment_volume": lambda model: unet.segment_volume(model, IMAGE[np.newaxis]),
    "segment_files": lambda model: unet.segment_files(model, __file__, "out"),
    "find_magnification": lambda model: unet.find_magnification(model, [IMAGE]),
    "export_model": lambda model: unet.export_model(model, IMAGE, "model.zip"),
    "train": lambda model: list(unet.train([], segmenter=model)),
}


@pytest.mark.parametrize("name", WITH_A_MODEL)
def test_what_is_no_model_is_refused_in_words(name: str) -> None:
    """The path of one says how it is read; an image in the place of the model what is meant."""
    call = WITH_A_MODEL[name]
    for path in ("a/cells.safetensors", Path("a", "cells.safetensors")):
        read = f"The model is the path {str(path)!r}; give a Segmenter, such as Segmenter.load("
        with pytest.raises(unet.InputError, match=re.escape(f"{read}{str(path)!r}) returns")):
            call(path)
    with pytest.raises(unet.InputError, match="The model is of type ndarray; give a Segmenter"):
        call(IMAGE)


@pytest.mark.parametrize(
    "call",
    [
        lambda path: unet.segment(starter_model(), path),
        lambda path: unet.segment_volume(starter_model(), path),
        lambda path: unet.find_magnification(starter_model(), [path]),
        lambda path: unet.Annotation(path, LABELS),
    ],
)
def test_the_path_of_an_image_is_refused_in_words(call: Callable[[Any], Any]) -> None:
    """It says which function reads the pixels."""
    with pytest.raises(unet.InputError, match=r"'a\.tif' is the path of the image.*read_image\('"):
        call("a.tif")
    with pytest.raises(unet.InputError, match="is the path of the image"):
        call(Path("a.tif"))


TAKING_PIXELS = [
    ("image", lambda pixels: unet.segment(starter_model(), pixels)),
    ("image", lambda pixels: unet.segment_volume(starter_model(), pixels[np.newaxis])),
    ("image", lambda pixels: unet.Annotation(pixels, LABELS)),
    ("labels", lambda pixels: unet.Annotation(IMAGE, pixels)),
    ("truth", lambda pixels: unet.metrics.iou(pixels, LABELS)),
    ("prediction", lambda pixels: unet.metrics.seg_score(LABELS, pixels)),
    ("labels", lambda pixels: unet.metrics.touching_cells(pixels)),
    ("labels", lambda pixels: unet.boundary_weight_map(pixels)),
    ("labels", lambda pixels: unet.link_planes(pixels[np.newaxis])),
    ("labels", lambda pixels: unet.object_classes(np.zeros((3, 40, 50)), pixels)),
    ("image", lambda pixels: unet.elastic_deform(pixels, LABELS, rng=RNG)),
    ("labels", lambda pixels: unet.elastic_deform(IMAGE, pixels, rng=RNG)),
]
"""What is given, and a function of ours that takes it."""


@pytest.mark.parametrize(("what", "call"), TAKING_PIXELS)
def test_what_is_masked_counts_as_nothing_else_in_silence(
    what: str, call: Callable[[Any], Any]
) -> None:
    """It is refused with what to do; where nothing is masked, an array is an array."""
    call(np.ma.masked_array(LABELS, mask=np.zeros(LABELS.shape, bool)))
    with pytest.raises(unet.InputError, match=f"The {what} has masked pixels.*Fill them first"):
        call(np.ma.masked_array(LABELS, mask=np.eye(*LABELS.shape, dtype=bool)))


@pytest.mark.parametrize(("what", "call"), TAKING_PIXELS)
def test_a_tensor_that_is_still_learned_from_is_refused_in_words(
    what: str, call: Callable[[Any], Any]
) -> None:
    """PyTorch makes no array of it."""
    with pytest.raises(
        unet.InputError, match=rf"The {what} cannot be read as an array.*detach\(\)"
    ):
        call(torch.ones(LABELS.shape, requires_grad=True))


def test_lists_of_several_lengths_are_no_image() -> None:
    """NumPy makes no array of them; of other lists and of tensors, it does."""
    assert unet.segment(starter_model(), torch.as_tensor(IMAGE)).shape == IMAGE.shape
    assert unet.metrics.iou(LABELS.tolist(), torch.as_tensor(LABELS)) == 1.0
    with pytest.raises(unet.InputError, match=r"The image cannot be read .* lists of one length"):
        unet.segment(starter_model(), [[1, 2], [3]])


@pytest.mark.parametrize(
    "call",
    [
        lambda path: unet.Annotation(IMAGE, path),
        lambda path: unet.metrics.touching_cells(path),
        lambda path: unet.boundary_weight_map(path),
        lambda path: unet.link_planes(path),
        lambda path: unet.object_classes(np.zeros((3, 40, 50)), path),
        lambda path: unet.elastic_deform(IMAGE, path, rng=RNG),
    ],
)
def test_the_path_of_labels_is_refused_in_words(call: Callable[[Any], Any]) -> None:
    """They are read by another function than images."""
    with pytest.raises(unet.InputError, match=r"path of the labels.*read_labels\('b\.tif'\)"):
        call("b.tif")


@pytest.mark.parametrize(
    "call",
    [
        lambda config: unet.segment(starter_model(), IMAGE, config),
        lambda config: list(unet.predict(starter_model(), IMAGE, LABELS, config)),
        lambda config: unet.segment_volume(starter_model(), IMAGE[np.newaxis], config),
        lambda config: unet.segment_files(starter_model(), __file__, "out", config),
        lambda config: unet.find_magnification(starter_model(), [IMAGE], config),
    ],
)
@pytest.mark.parametrize("config", [{"threshold": 0.3}, unet.TrainConfig()])
def test_what_is_no_configuration_is_refused_in_words(
    call: Callable[[Any], Any], config: Any
) -> None:
    """A dictionary of settings, and the configuration of training."""
    kind = type(config).__name__
    with pytest.raises(unet.InputError, match=f"is of type {kind}; give a PredictConfig"):
        call(config)


def test_what_are_no_options_of_a_batch_is_refused_in_words() -> None:
    """The name of a format, where options hold it."""
    options: Any = "ome-zarr"
    with pytest.raises(unet.InputError, match="'ome-zarr'; give a BatchOptions"):
        unet.segment_files(starter_model(), __file__, "out", None, options)


def test_what_is_no_list_of_annotations_is_refused_in_words() -> None:
    """One alone, pairs of arrays, and paths; and with the configuration of segmenting."""
    single = unet.Annotation(IMAGE, LABELS)
    given: list[tuple[Any, str]] = [
        (single, "of type Annotation"),
        ([(IMAGE, LABELS)], "of type tuple"),
        ("images/", "the path 'images/'"),
        (["images/a.tif"], "the path 'images/a.tif'"),
    ]
    for wrong, told in given:
        with pytest.raises(unet.InputError, match=f"What to train on is {told}; give a list of"):
            next(unet.train(wrong))
    with pytest.raises(unet.InputError, match="is of type PredictConfig; give a TrainConfig"):
        next(unet.train([single], unet.PredictConfig()))  # type: ignore[arg-type]
