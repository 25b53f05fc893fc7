"""A model knows how large the pixels were that it learned from, and says what fits other images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from small_things import make_segmenter

from napari_unet import Annotation, Segmenter, TrainConfig, segment_files, train
from napari_unet.core.config import PredictConfig
from napari_unet.engine.formats.imagefile import open_image
from napari_unet.engine.items.events import ItemProgress, ItemStarted
from napari_unet.engine.pixelsize import about_pixels, magnification_by_pixels
from napari_unet.errors import InputError
from napari_unet.sample_data import touching_cells

IMAGE, TRUTH = touching_cells((96, 96))
QUICK = TrainConfig(seconds=0, steps=2, base_channels=4, depth=2, device="cpu", validate=False)


def knowing(pixel_size: float) -> Segmenter:
    """Return a model that knows the size of its pixels."""
    return replace(make_segmenter(), provenance={"pixel_size": pixel_size})


class Here:
    """An executor that has no other place."""

    def map(
        self, function: Callable[..., Any], arguments: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Call it in this process."""
        yield from ((n, function(*one)) for n, one in enumerate(arguments))


def written(path: Path, width: float) -> Path:
    """Write an image as ImageJ does, with pixels so many micrometres wide."""
    resolution = (1 / width, 1 / width)
    tifffile.imwrite(path, IMAGE, imagej=True, resolution=resolution, metadata={"unit": "um"})
    return path


@pytest.mark.parametrize(
    ("learned", "seen", "magnification"),
    [
        (0.65, 0.325, 2.0),
        (0.325, 0.65, 0.5),
        (0.65, 0.32, 2.03),
        (0.65, 0.62, 1.0),  # alike
        (0.65, 0.0, 1.0),
        (0.0, 0.65, 1.0),
        (10.0, 0.1, 4.0),  # the most that can be set
        (0.1, 10.0, 0.25),
    ],
)
def test_smaller_pixels_show_objects_larger(
    learned: float, seen: float, magnification: float
) -> None:
    """Where both sizes are known, and are not nearly the same."""
    assert magnification_by_pixels(knowing(learned), seen) == magnification
    PredictConfig(magnification=magnification)


def test_what_fits_is_said_unless_it_is_set() -> None:
    """With both sizes, and the number to set."""
    model = knowing(0.65)
    assert about_pixels(model, 0.325, 1.0) == (
        "Pixels are 0.325 µm wide, those of the painted images 0.65 µm: magnification 2 would fit."
    )
    assert about_pixels(model, 0.325, 2.1) == ""
    assert about_pixels(model, 0.65, 2.0) == ""  # somebody knows better
    assert about_pixels(make_segmenter(), 0.325, 1.0) == ""


def test_a_model_keeps_the_size_that_it_learned_from(tmp_path: Path) -> None:
    """In its file, and through a training whose images do not tell it."""
    known = [Annotation(IMAGE, TRUTH, pixel_size=size) for size in (0.5, 0.65, 0.7)]
    *_, first = train([*known, Annotation(IMAGE, TRUTH)], QUICK)
    first.segmenter.save(tmp_path / "cells.unet")
    loaded = Segmenter.load(tmp_path / "cells.unet")
    *_, second = train([Annotation(IMAGE, TRUTH)], QUICK, segmenter=loaded)
    *_, third = train([Annotation(IMAGE, TRUTH, pixel_size=0.3)], QUICK, segmenter=loaded)

    assert loaded.pixel_size == 0.65
    assert second.segmenter.pixel_size == 0.65
    assert third.segmenter.pixel_size == 0.3


def test_every_plane_of_a_stack_has_the_size_of_its_image() -> None:
    """As what is painted on it is one annotation."""
    stack = Annotation(np.stack([IMAGE, IMAGE])[None], np.stack([TRUTH, TRUTH]), pixel_size=0.4)
    assert [plane.pixel_size for plane in stack.planes()] == [0.4, 0.4]


@pytest.mark.parametrize("size", [-1.0, float("nan"), float("inf"), (0.65, 0.65), None])
def test_a_size_that_no_pixel_has_is_refused(size: Any) -> None:
    """With what was given."""
    with pytest.raises(InputError, match=r"pixel_size is .*: give the width of a pixel in microm"):
        Annotation(IMAGE, TRUTH, pixel_size=size)


@pytest.mark.parametrize("odd", ["wide", -0.5, float("nan"), None])
def test_a_size_that_no_training_writes_is_unknown(odd: object) -> None:
    """Whoever wrote it into the file."""
    assert replace(make_segmenter(), provenance={"pixel_size": odd}).pixel_size == 0


def test_files_tell_the_width_of_their_pixels(tmp_path: Path) -> None:
    """In micrometres, or not at all."""
    assert open_image(written(tmp_path / "a.tif", 0.25)).pixel_width == pytest.approx(0.25)
    tifffile.imwrite(tmp_path / "b.tif", IMAGE)
    assert open_image(tmp_path / "b.tif").pixel_width == 0


@pytest.mark.parametrize("executor", [None, Here()])
def test_a_batch_says_what_fits_its_images(tmp_path: Path, executor: Here | None) -> None:
    """Of each that is not complete; and not if it is set."""
    written(tmp_path / "a.tif", 0.325)
    written(tmp_path / "b.tif", 0.65)
    model, out = knowing(0.65), tmp_path / "out"

    def said(config: PredictConfig) -> list[tuple[str, str]]:
        events = [*segment_files(model, tmp_path / "*.tif", out, config, executor=executor)]
        notes = [event for event in events if isinstance(event, ItemProgress) and event.note]
        for note in notes if executor is None else ():  # no image seems to run before its turn
            assert isinstance(events[events.index(note) - 1], ItemStarted)
        return [(event.item.image.name, event.note) for event in notes]

    cpu = PredictConfig(device="cpu")
    assert said(cpu) == [("a.tif", about_pixels(model, 0.325, 1.0))]
    assert said(cpu) == []
    assert said(replace(cpu, magnification=2.0)) == []
