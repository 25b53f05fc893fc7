"""The copied script and commands run, and do what the dock does."""

from __future__ import annotations

import ast
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari_builtins.io import napari_write_image, napari_write_labels
from npe2 import PluginManager
from small_things import make_segmenter

from napari_unet.cli import _parser
from napari_unet.cli.arguments import config_from
from napari_unet.core.config import PredictConfig, TrainConfig, knobs
from napari_unet.engine.files import read_image, read_labels, write_labels
from napari_unet.engine.formats.pairfiles import pair_files
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError
from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.learning.sources import Source
from napari_unet.viewer.notes import set_meaning
from napari_unet.viewer.regions import region_masks
from napari_unet.viewer.scripts.as_code import (
    _arguments,
    _flags,
    _quoted,
    as_command_line,
    as_python,
)
from napari_unet.viewer.scripts.as_files import Plan, Work
from napari_unet.viewer.stack import ImageStack

IMAGE, TRUTH = touching_cells((128, 128))
SCRIBBLES = painted_scribbles(TRUTH).astype(np.uint16)
SMALL = TrainConfig(seconds=0, steps=3, base_channels=4, depth=2, seed=5, device="cpu")
PREDICT = PredictConfig(threshold=0.6, device="cpu")
CORNER = np.array([[10, 10], [10, 60], [50, 60], [50, 10]])


def work_of(viewer: ViewerModel, *sources: Source, **changes: Any) -> Work:
    """Return what a dock would do with these sources."""
    kept: dict[str, Any] = {
        "viewer": viewer,
        "sources": sources,
        "image": sources[0].image if sources else viewer.layers[0],
        "scope": "current plane",
        "segmenter": None,
        "training": SMALL,
        "prediction": PREDICT,
    }
    return Work(**(kept | changes))


def sample(viewer: ViewerModel, name: str = "cells") -> Source:
    """Add the sample with a few painted cells."""
    image = viewer.add_image(IMAGE, name=name)
    labels = viewer.add_labels(SCRIBBLES.copy(), name=f"{name} painted")
    set_meaning(labels, "scribbles")
    return Source(image, labels)


def save(layer: Layer, path: Path) -> None:
    """Save a layer as File > Save Selected Layers does."""
    write = napari_write_labels if isinstance(layer, Labels) else napari_write_image
    assert write(str(path), layer.data, {})


def save_what_the_text_says(text: str, viewer: ViewerModel, folder: Path) -> list[str]:
    """Follow the first lines of a text; return the files that were saved."""
    remarks = re.findall(r"First save layer '(.+)' as (.+\.tif): select it", text)
    for name, file in remarks:
        save(viewer.layers[name], folder / file)
    return [file for _, file in remarks]


def open_file(viewer: ViewerModel, path: Path, **options: Any) -> Any:
    """Open a file as napari does."""
    PluginManager.instance().discover()
    (layer,) = viewer.open(path, plugin="napari", **options)
    return layer


def words(line: str) -> list[str]:
    """Return the arguments of one of our commands, to be run without being installed."""
    program, *arguments = shlex.split(line)
    run = {"napari-unet": [sys.executable, "-m", "napari_unet.cli"], "python": [sys.executable]}
    return [*run[program], *arguments]


def end_well(process: subprocess.Popen[str]) -> None:
    """Wait for a process, which must do well."""
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints


def begin(command: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start a command in a folder."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True)


def test_script_and_commands_make_the_model_and_the_cells_that_the_dock_makes(
    viewer: ViewerModel, session: Any, finish: Any, tmp_path: Path
) -> None:
    """To the last bit of every weight, with training regions, from layers saved by napari."""
    source = sample(viewer, "my cells")
    regions = viewer.add_shapes([CORNER, CORNER + 40], shape_type=["rectangle", "ellipse"])
    work = work_of(viewer, Source(source.image, source.labels, regions))
    script, commands = as_python(work), as_command_line(work)
    by_script, by_commands = tmp_path / "script", tmp_path / "commands"
    for folder in (by_script, by_commands):
        folder.mkdir()
        assert len(save_what_the_text_says(script, viewer, folder)) == 2
    (by_script / "script.py").write_text(script, encoding="utf-8")
    running = begin([sys.executable, "script.py"], by_script)
    *remarks, mask, train, segment = commands.splitlines()
    for line in (mask, train, segment):
        end_well(begin(words(line), by_commands))
    end_well(running)
    session.train(source.image, source.labels, regions, SMALL)
    finish()
    session.segment(source.image, "current plane", PREDICT)
    finish()

    assert remarks == [f"echo {_quoted(remark)}" for remark in Plan(work).remarks]
    for folder in (by_script, by_commands):
        model = Segmenter.load(folder / "my cells.safetensors")
        for name, weights in session.segmenter.weights.items():
            np.testing.assert_array_equal(model.weights[name], weights)
        found = read_labels(folder / "segmented" / "my cells_labels.tif")
        np.testing.assert_array_equal(found, viewer.layers["my cells segmentation"].data)


LAYOUTS = {
    "plane": ((20, 30), None),
    "colour": ((40, 50, 3), None),
    "colour with alpha": ((40, 50, 4), None),
    "stack": ((5, 20, 30), None),
    "stack of three": ((3, 20, 30), None),
    "film of stacks": ((2, 5, 20, 30), None),
    "channels": ((2, 20, 30), 0),
    "channels of a stack": ((2, 5, 20, 30), 0),
    "channels of a film of stacks": ((3, 2, 4, 20, 30), 0),
    "channels of one plane": ((2, 1, 20, 30), 0),
}


# of tifffile, about how napari calls it
@pytest.mark.filterwarnings("ignore:.*are stored as RGB with:DeprecationWarning")
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_script_reads_what_the_dock_sees(layout: str, dtype: type, tmp_path: Path) -> None:
    """Channels, planes and colours of a layer that was saved first, whatever its axes."""
    shape, channels = LAYOUTS[layout]
    names = [f"axis{i}" for i in range(len(shape))]
    if channels is not None:
        names[channels] = "c"
    rgb = "colour" in layout
    pixels = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    viewer = ViewerModel()
    layer = viewer.add_image(
        pixels / 255 if rgb and dtype is np.float32 else pixels,
        rgb=rgb,
        axis_labels=None if rgb else names,
        name="image",
    )
    work = work_of(viewer, segmenter=make_segmenter(), scope="whole layer", image=layer)
    script = as_python(work)
    save_what_the_text_says(script, viewer, tmp_path)
    (expression,) = re.findall(r"^image = (.*)$", script, flags=re.MULTILINE)
    read = eval(  # noqa: S307 (of a text that we wrote)
        expression, {"np": np, "read_image": lambda name: read_image(tmp_path / name)}
    )

    stack = ImageStack.of(layer)
    seen = np.stack([stack.plane(index) for index in stack.indices()], axis=1)
    np.testing.assert_array_equal(read, seen if seen.shape[1] > 1 else seen[:, 0])


def test_layers_that_are_as_their_files_have_them_are_read_from_there(tmp_path: Path) -> None:
    """Nothing has to be saved; the paths are whole, with slashes on every system."""
    viewer, folder = ViewerModel(), tmp_path / "a folder"
    folder.mkdir()
    tifffile.imwrite(folder / "cells.tif", IMAGE)
    write_labels(folder / "cells_labels.tif", SCRIBBLES)
    image = open_file(viewer, folder / "cells.tif")
    labels = open_file(viewer, folder / "cells_labels.tif", layer_type="labels")
    plan = Plan(work_of(viewer, Source(image, labels)))

    assert plan.remarks == []
    (lesson,) = plan.lessons
    assert lesson.file.path == (folder / "cells.tif").as_posix()
    assert lesson.labels == (folder / "cells_labels.tif").as_posix()


def test_labels_that_were_painted_on_have_to_be_saved(tmp_path: Path) -> None:
    """The file they come from has something else."""
    viewer = ViewerModel()
    write_labels(tmp_path / "painted.tif", SCRIBBLES)
    image = viewer.add_image(IMAGE, name="cells")
    labels = open_file(viewer, tmp_path / "painted.tif", layer_type="labels")
    labels.data_setitem((np.array([3]), np.array([4])), 7)
    plan = Plan(work_of(viewer, Source(image, labels)))

    assert plan.lessons[0].labels == "painted.tif"
    assert "First save layer 'painted' as painted.tif" in plan.remarks[-1]


@pytest.mark.parametrize("shape", [(64, 60), (5, 64, 60), (64, 60, 3)])
def test_an_image_that_was_changed_in_memory_has_to_be_saved(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    """The script would else learn from, or segment, other pixels than the dock."""
    viewer = ViewerModel()
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    tifffile.imwrite(tmp_path / "cells.tif", pixels)
    image = open_file(viewer, tmp_path / "cells.tif")
    model = make_segmenter(3 if image.rgb else 1)

    def path() -> str:
        plan = Plan(work_of(viewer, image=image, segmenter=model, scope="whole layer"))
        return plan.segmented[0].path

    assert path() == (tmp_path / "cells.tif").as_posix()
    image.data = 255 - image.data
    assert path() == "cells.tif"


def test_a_part_of_a_file_has_to_be_saved(tmp_path: Path) -> None:
    """A crop, or one of several channels, is not what the file has; a picture that is, is read."""
    viewer = ViewerModel()
    colours = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((2, 64, 64), np.uint8), imagej=True,
                     metadata={"axes": "CYX"})  # fmt: skip
    assert napari_write_image(str(tmp_path / "colours.png"), colours, {})
    colour = open_file(viewer, tmp_path / "colours.png")
    planes = open_file(viewer, tmp_path / "stack.tif")
    named = open_file(viewer, tmp_path / "stack.tif", axis_labels=["c", "y", "x"])
    cropped = open_file(viewer, tmp_path / "colours.png")
    cropped.data = cropped.data[:32]
    several = {"segmenter": make_segmenter(3), "scope": "whole layer"}
    where = [Plan(work_of(viewer, image=i, **several)) for i in (colour, planes, named, cropped)]

    assert [plan.segmented[0].path for plan in where] == [
        (tmp_path / "colours.png").as_posix(),
        "stack.tif",
        (tmp_path / "stack.tif").as_posix(),
        "colours [1].tif".replace("[", "_").replace("]", "_"),
    ]


def test_of_several_images_the_labels_are_found_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the command line pairs files; layers of one name get files of two."""
    viewer = ViewerModel()
    first, second = sample(viewer, "a/1"), sample(viewer, "a:1")
    work = work_of(viewer, first, second)
    for text in (as_python(work), as_command_line(work)):
        assert len(save_what_the_text_says(text, viewer, tmp_path)) == 4
    args = _parser().parse_args(shlex.split(as_command_line(work).splitlines()[-2])[1:])
    monkeypatch.chdir(tmp_path)

    assert args.images == ["a_1.tif", "a_1 2.tif"]
    assert pair_files(args.images, args.labels) == [
        (Path("a_1.tif"), Path("a_1_labels.tif")),
        (Path("a_1 2.tif"), Path("a_1 2_labels.tif")),
    ]
    assert as_python(work).count("annotations.append(") == 2


def test_training_goes_on_from_the_present_model() -> None:
    """Which is to be saved first, and is not written over."""
    viewer = ViewerModel()
    work = work_of(viewer, sample(viewer, "model"), segmenter=make_segmenter())
    script, command = as_python(work), as_command_line(work).splitlines()[-2]
    args = _parser().parse_args(shlex.split(command)[1:])

    assert "# First save the model of the dock as model.safetensors" in script
    assert "segmenter = Segmenter.load('model.safetensors')\nannotations" in script
    assert ", segmenter=segmenter):" in script
    assert "segmenter.save('model 2.safetensors')" in script
    assert (args.continued, args.output) == ("model.safetensors", "model 2.safetensors")


def test_without_labels_the_present_model_segments() -> None:
    """And there is nothing about training."""
    viewer = ViewerModel()
    viewer.add_image(IMAGE, name="cells")
    work = work_of(viewer, segmenter=make_segmenter(), prediction=PredictConfig())

    assert as_python(work).splitlines()[3:] == [
        "from napari_unet import Segmenter, segment",
        "from napari_unet.engine.files import read_image, write_labels",
        "",
        "segmenter = Segmenter.load('model.safetensors')",
        "",
        "image = read_image('cells.tif')",
        "write_labels('segmented/cells_labels.tif', segment(segmenter, image))",
    ]
    *_, last = as_command_line(work).splitlines()
    assert last == "napari-unet segment model.safetensors cells.tif -o segmented --overwrite"


def test_of_a_stack_the_shown_plane_or_all_is_segmented() -> None:
    """The command line can only do all, and says so."""
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((2, 3, 20, 30)), name="worm")
    viewer.dims.set_point((0, 1), (1, 2))
    now = {"segmenter": make_segmenter(), "image": image}
    shown, whole = (work_of(viewer, scope=s, **now) for s in ("current plane", "whole layer"))

    assert "'segmented/worm_5_labels.tif', segment(segmenter, image[:, 5]," in as_python(shown)
    assert "'segmented/worm_labels.tif', segment(segmenter, image," in as_python(whole)
    assert "would segment plane 5 only, counted from 0." in as_command_line(shown)
    assert "plane" not in as_command_line(whole)


def test_of_all_open_images_those_that_fit_the_model_are_segmented() -> None:
    """One after the other, into files of their own."""
    viewer = ViewerModel()
    source = sample(viewer)
    viewer.add_image(IMAGE, name="more")
    viewer.add_image(np.full((40, 50, 3), (0, 0, 1.0)), name="photograph", rgb=True)
    work = work_of(viewer, source, scope="all open images")
    *_, last = as_command_line(work).splitlines()

    assert shlex.split(last)[3:5] == ["cells.tif", "more.tif"]
    assert re.findall(r"'segmented/(.*?)'", as_python(work)) == [
        "cells_labels.tif",
        "more_labels.tif",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_an_endless_training_can_be_finished_in_the_script(tmp_path: Path) -> None:
    """By Ctrl-C, and what it learned is fitted and kept; a limited one needs no such lines."""
    viewer = ViewerModel()
    source = sample(viewer)
    unlimited = replace(SMALL, seconds=0, steps=0)
    endless = as_python(work_of(viewer, source, training=unlimited))
    save_what_the_text_says(endless, viewer, tmp_path)
    telling = endless.replace("        pass\n", "        print(type(event).__name__, flush=True)\n")
    (tmp_path / "script.py").write_text(telling, encoding="utf-8")
    running = begin([sys.executable, "script.py"], tmp_path)
    assert running.stdout is not None
    while running.stdout.readline() not in ("StepDone\n", ""):
        pass
    running.send_signal(signal.SIGINT)
    told, complaints = running.communicate(timeout=60)

    assert running.returncode == 0, complaints
    assert "Finishing: the model is fitted" in complaints
    assert told.endswith("Trained\n")
    assert Segmenter.load(tmp_path / "cells.safetensors").provenance["steps"] > 0
    assert (tmp_path / "segmented" / "cells_labels.tif").is_file()
    assert "ctrl_c" not in as_python(work_of(viewer, source))


def configs(kind: type) -> st.SearchStrategy[Any]:
    """Draw legal configurations."""
    drawn: dict[str, Any] = {"device": st.sampled_from(["auto", "cuda:1"])}
    for name, (type_, _, _) in knobs(kind).items():
        limits = kind.__dataclass_fields__[name].metadata
        low, high = limits["minimum"], limits["maximum"]
        if type_ is bool:
            drawn[name] = st.booleans()
        elif low is not None:
            drawn[name] = st.floats(low, high) if type_ is float else st.integers(low, high)
    return st.builds(kind, **drawn)


@settings(max_examples=60)
@given(st.one_of(configs(TrainConfig), configs(PredictConfig)))
def test_every_setting_comes_through_a_script_and_a_command(config: Any) -> None:
    """To the last digit; what is as it always is is not written."""
    kind = type(config)
    command = ["segment", "model", "image", "-o", "there"]
    if kind is TrainConfig:
        command = ["train", "image", "--labels", "l", "--meaning", "classes", "-o", "model"]
    args = _parser().parse_args([*command, *_flags(config)])

    assert config_from(args, kind) == config
    assert eval(f"kind({_arguments(config)})") == config  # noqa: S307 (of a text that we wrote)
    assert _flags(kind()) == []


@pytest.mark.skipif(os.name == "nt", reason="for the shells of Linux and macOS")
def test_every_word_comes_through_a_shell() -> None:
    """In double quotes, which Windows knows, too, unless something in it means more there."""
    plain = ["cells.tif", "/data/day 1/a (2).tif", "C:/My Images/ä.tif", "it's", "", "a;b", "*"]
    special = ['say "ä"', "$HOME", "`ls`", "a\\b", "!!", "it's $5"]
    line = " ".join(map(_quoted, ["printf", "%s\\n", *plain, *special]))
    shown = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout

    assert shown.splitlines() == [*plain, *special]
    assert [_quoted(word)[0] for word in plain[1:]] == ['"', '"', '"', '"', '"', '"']


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-5, 25)] * 4), min_size=0, max_size=4))
def test_training_regions_come_through(corners: list[tuple[int, ...]]) -> None:
    """Boxes, also those that overlap or lie half outside, and none at all."""
    viewer = ViewerModel()
    source = Source(viewer.add_image(np.zeros((20, 22))), viewer.add_labels(np.ones((20, 22), int)))
    regions = viewer.add_shapes([[[a, b], [c, d]] for a, b, c, d in corners], ndim=2)
    (lesson,) = Plan(work_of(viewer, Source(source.image, source.labels, regions))).lessons
    assert lesson.region is not None
    covered = np.zeros(lesson.shape, dtype=int)
    for box in lesson.region:
        covered[tuple(slice(*span) for span in box)] += 1

    expected = region_masks(regions, source.image).get((), np.zeros((20, 22), bool))
    np.testing.assert_array_equal(covered, expected)


def test_training_regions_lie_on_their_planes() -> None:
    """Counted as the planes of a file are."""
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((2, 3, 20, 30)), name="worm")
    labels = viewer.add_labels(np.ones((2, 3, 20, 30), int), name="painted")
    box = [[1, 2, y, x] for y, x in ((2, 4), (2, 8), (6, 8), (6, 4))]
    regions = viewer.add_shapes([np.array(box)], shape_type="rectangle")
    (lesson,) = Plan(work_of(viewer, Source(image, labels, regions))).lessons

    assert lesson.shape == (6, 20, 30)
    assert lesson.region == [((5, 6), (2, 7), (4, 9))]


def test_what_only_a_script_can_say_is_no_command() -> None:
    """The message says why, and what to do."""
    viewer = ViewerModel()
    axes = ["c", "y", "x"]
    channels = viewer.add_image(np.zeros((2, 20, 30)), axis_labels=axes, name="two")
    lossy = work_of(viewer, segmenter=make_segmenter(2), image=channels)
    first, second = sample(viewer, "a"), sample(viewer, "b")
    set_meaning(second.labels, "instances")
    mixed = work_of(viewer, first, second)

    with pytest.raises(InputError, match=r"two.tif .*channels.* Copy as Python\."):
        as_command_line(lossy)
    with pytest.raises(InputError, match=r"a, b with instances and scribbles. Copy as Python\."):
        as_command_line(mixed)
    assert "meaning='instances'" in as_python(mixed)
    assert "np.moveaxis(" in as_python(lossy)


@pytest.mark.parametrize("write", [as_python, as_command_line])
def test_with_nothing_to_do_there_is_nothing_to_copy(write: Any) -> None:
    """Neither labels nor a model; and labels without paint cannot be trained on."""
    viewer = ViewerModel()
    image = viewer.add_image(IMAGE)
    empty = viewer.add_labels(np.zeros(IMAGE.shape, int))

    with pytest.raises(InputError, match="nothing to copy yet: choose labels to train on, or load"):
        write(work_of(viewer))
    with pytest.raises(InputError, match="Nothing is painted in layer"):
        write(work_of(viewer, Source(image, empty)))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cells", "cells.tif"),
        ("a/b:c*?", "a_b_c__.tif"),
        ("$HOME `rm`", "_HOME _rm_.tif"),
        ("-x. ", "x.tif"),
        ("Größe µm", "Größe µm.tif"),
        ("a\nimport os", "a_import os.tif"),
        ("..", "layer.tif"),
    ],
)
def test_a_layer_of_any_name_gets_a_file_name_that_every_system_allows(
    name: str, file: str
) -> None:
    """And the name cannot break out of the remark that names it."""
    viewer = ViewerModel()
    image: Image = viewer.add_image(IMAGE, name=name)
    work = work_of(viewer, segmenter=make_segmenter(), image=image)

    assert Plan(work).segmented[0].path == file
    assert len(ast.parse(as_python(work)).body) == 5
