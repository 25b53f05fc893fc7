"""Exported models are packages that the programs of bioimage.io accept and compute alike."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from napari_unet import export_model, probabilities, sample_data
from napari_unet.core.portable import PortablePlan
from napari_unet.core.unet import UNet
from napari_unet.engine.exporting.description import described
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.starter import starter_model
from napari_unet.errors import InputError, ModelFileError

torch.set_num_threads(1)

INNER = (slice(None), slice(48, -48), slice(48, -48))
"""Without the halo of the starter model."""

OTHER = Path(__file__).with_name("other_program.py")


def cells(shape: tuple[int, int] = (200, 232)) -> NDArray[np.uint16]:
    """The sample as a camera counts it."""
    return (1000 + 5000 * sample_data.touching_cells(shape)[0]).astype(np.uint16)


def rdf_of(package: Path) -> dict[str, Any]:
    """What a package says about itself."""
    with zipfile.ZipFile(package) as files:
        fields: dict[str, Any] = json.loads(files.read("rdf.yaml"))
    return fields


class OtherProgram:
    """It runs, and does one thing after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def tests(self, package: Path, *arguments: object) -> str:
        """Return what it says of a package."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(package), *map(str, arguments)]) + "\n")
        self.process.stdin.flush()
        well, said = json.loads(self.process.stdout.readline())
        assert well, said
        return str(said)

    def finds(
        self, package: Path, image: NDArray[Any], form: str = "onnx", blocks: int | str = ""
    ) -> NDArray[np.float32]:
        """Return what it finds in a plane (Y, X), at once or in tiles."""
        given, found = package.with_name("given.npy"), package.with_name("found.npy")
        np.save(given, image)
        self.tests(package, given, found, form, blocks)
        values: NDArray[np.float32] = np.load(found)
        return values


@pytest.fixture(scope="module")
def other_program() -> Iterator[OtherProgram]:
    """Start it once: that takes longer than most of what it is asked for."""
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen([sys.executable, OTHER], **pipes) as process:
        yield OtherProgram(process)


def a_model(**settings: int) -> Segmenter:
    """A tiny network with random weights."""
    torch.manual_seed(5)
    shape = {"in_channels": 3, "n_classes": 3, "base_channels": 4, "depth": 2} | settings
    made = Segmenter(weights={}, kind="classes", class_names=("my elin", "×", "→"), **shape)
    return made.with_weights(
        UNet(3, shape["n_classes"], 4, 2), pixel_size=0.25, labelled="3 classes", steps=7
    )


MODELS: dict[str, Segmenter] = {
    "starter": starter_model(),
    "three classes in colour at two resolutions": a_model(scales=2, downsample=2),
}


@pytest.mark.parametrize(("kind", "fixed"), [*zip(MODELS, (False, True), strict=True)])
def test_bioimage_io_accepts_the_package_and_computes_the_same(
    kind: str, fixed: bool, tmp_path: Path, other_program: OtherProgram
) -> None:
    """Its own test: the description, both forms of the network, sizes and batches."""
    segmenter = MODELS[kind]
    image = np.stack([cells()] * segmenter.in_channels)

    export_model(segmenter, image, tmp_path / "model.zip", name="Käfer/1", fixed=fixed)

    passed = other_program.tests(tmp_path / "model.zip")
    for form in ("onnx", "torchscript"):
        assert f"passed Reproduce test outputs from test inputs ({form})" in passed
        assert f"passed Run {form} inference for inputs with batch_size: 2" in passed


@pytest.mark.parametrize(("form", "blocks"), [("onnx", ""), ("onnx", 0), ("torchscript", 1)])
def test_another_program_finds_in_an_image_what_this_one_finds(
    form: str, blocks: int | str, tmp_path: Path, other_program: OtherProgram
) -> None:
    """Also in tiles; but for the edge, beyond which that program repeats the outermost pixels."""
    segmenter, image = starter_model(), cells((208, 312))
    export_model(segmenter, image, tmp_path / "cells.zip", fixed=True)
    wanted = probabilities(segmenter, image)

    found = other_program.finds(tmp_path / "cells.zip", image, form, blocks)

    assert found.shape == wanted.shape
    np.testing.assert_allclose(found[INNER], wanted[INNER], rtol=0, atol=1e-4)


def test_the_other_program_stretches_grey_values_unless_they_are_fixed(
    tmp_path: Path, other_program: OtherProgram
) -> None:
    """An image of another exposure needs it; it is alike then, not equal: the edge counts twice."""
    segmenter, image = starter_model(), cells((208, 312))
    darker = (image // 9).astype(np.uint16)
    wanted = probabilities(segmenter, darker)[INNER]
    for name, fixed in (("fixed", True), ("stretched", False)):
        export_model(segmenter, image, tmp_path / f"{name}.zip", fixed=fixed)

    fixed_values = other_program.finds(tmp_path / "fixed.zip", darker)[INNER]
    stretched = other_program.finds(tmp_path / "stretched.zip", darker)[INNER]

    np.testing.assert_allclose(stretched, wanted, rtol=0, atol=2e-2)
    assert np.abs(fixed_values - wanted).max() > 0.5


def test_outputs_are_named_as_variables_of_python() -> None:
    """Older programs of bioimage.io take no other names; of two that are alike none is lost."""
    names = ("2n", "class", "my elin", "×", "→", "Käfer", "my-elin", "", "9")
    segmenter = replace(a_model(n_classes=len(names)), class_names=names)
    plan = PortablePlan(grey=np.ones((3, 4), np.float32), depth=2)

    found = described(segmenter, plan, "any", fixed=False)["outputs"][0]["axes"][1]

    assert found["channel_names"] == [
        *("class_2n", "class_class", "my_elin_2", "class__3", "class__4", "Käfer", "my_elin_6"),
        *("class_8", "class_9"),
    ]
    assert all(name.isidentifier() for name in found["channel_names"])
    # as one that is alike would be called with its number
    segmenter = replace(a_model(n_classes=4), class_names=("a+", "a-", "a 1", "b"))
    found = described(segmenter, plan, "any", fixed=False)["outputs"][0]["axes"][1]
    assert found["channel_names"] == ["a_0", "a_1_1", "a_1_2", "b"]


@given(size=st.floats(0.001, 100), depth=st.integers(1, 4), downsample=st.integers(1, 9))
def test_a_halo_is_whole_pixels_whatever_their_size(
    size: float, depth: int, downsample: int
) -> None:
    """Bioimage.io multiplies by the size and divides by it again; it stays what it was, nearly."""
    segmenter = replace(starter_model(), depth=depth, downsample=downsample)
    segmenter = replace(segmenter, provenance={"pixel_size": size})
    plan = PortablePlan(grey=np.ones((1, 4), np.float32), depth=depth, downsample=downsample)

    fields = described(segmenter, plan, "any", fixed=False)

    axis, out = fields["inputs"][0]["axes"][2], fields["outputs"][0]["axes"][2]
    assert out["halo"] * out["scale"] / axis["scale"] == out["halo"] == plan.halo
    assert axis["scale"] == pytest.approx(size, rel=1e-5)


def test_the_package_says_what_goes_in_and_comes_out(tmp_path: Path) -> None:
    """Names of classes, size of pixels, sides, halo, and how it was made; a picture and a text."""
    segmenter = a_model(scales=2, downsample=2)
    export_model(segmenter, np.stack([cells()] * 3), tmp_path / "axons.zip", name="Axons")

    fields = rdf_of(tmp_path / "axons.zip")
    (given,), (found,) = fields["inputs"], fields["outputs"]
    with zipfile.ZipFile(tmp_path / "axons.zip") as files:
        readme, names = files.read("README.md").decode(), set(files.namelist())
        with files.open("cover.png") as file:
            cover = Image.open(file).size

    assert fields["name"] == "Axons (Live U-Net)"
    assert found["axes"][1]["channel_names"] == ["my_elin", "class__1", "class__2"]
    assert (given["axes"][2]["scale"], given["axes"][2]["unit"]) == (0.25, "micrometer")
    assert given["axes"][3]["size"] == {"min": 13 * 16, "step": 16}
    assert found["axes"][3]["halo"] == 6 * 16
    assert names >= {"model.pt", "model.onnx", "image.npy", "probabilities.npy"}
    assert cover == (416, 208)
    for words in ("# Axons", "my elin, ×, →", "208 pixels or more", "steps of 16", "- steps: 7"):
        assert words in readme


def test_the_package_is_read_again_here(tmp_path: Path) -> None:
    """As the model that it was made of; packages of other programs are named as such."""
    segmenter = a_model(scales=2, downsample=2)
    export_model(segmenter, np.stack([cells()] * 3), tmp_path / "axons.zip")

    again = Segmenter.load(tmp_path / "axons.zip")

    assert again.describe() == segmenter.describe()
    assert again.provenance == segmenter.provenance
    for name, weight in segmenter.weights.items():
        np.testing.assert_array_equal(again.weights[name], weight)
        assert again.weights[name].flags.writeable
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as package:
        package.writestr("rdf.yaml", "{}")
    with pytest.raises(ModelFileError, match=r"other\.zip is a package of another program"):
        Segmenter.load(tmp_path / "other.zip")
    whole = (tmp_path / "axons.zip").read_bytes()
    at = whole.index(b"live-unet.safetensors") + 600
    (tmp_path / "axons.zip").write_bytes(whole[:at] + b"damaged" + whole[at + 7 :])
    with pytest.raises(ModelFileError, match=r"axons\.zip is damaged"):
        Segmenter.load(tmp_path / "axons.zip")


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: a full disk."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.skipif(sys.platform == "win32", reason="a limit that stands for a full disk")
def test_a_package_is_read_where_no_file_can_be_written(tmp_path: Path) -> None:
    """Such as in a container, or where the folder for temporary files is full."""
    export_model(starter_model(), cells(), tmp_path / "a.zip")
    with files_up_to(0):
        again = Segmenter.load(tmp_path / "a.zip")

    assert again.describe() == starter_model().describe()


def test_of_a_stack_the_middle_plane_is_taken_and_small_images_are_mirrored(
    tmp_path: Path, other_program: OtherProgram
) -> None:
    """An image of a few pixels is enough; what is not finite in it is left out."""
    stack = np.zeros((1, 3, 20, 30), np.float32)
    stack[0, 1] = cells()[100:120, 100:130]
    stack[0, 1, 0, 0] = np.nan

    export_model(starter_model(), stack, tmp_path / "small.zip")

    assert "passed Reproduce" in other_program.tests(tmp_path / "small.zip")


@pytest.mark.parametrize(
    ("image", "name", "words"),
    [
        (np.full((90, 90), 7.0), "a.zip", "nearly all pixels of channel 0 are 7; give an image"),
        (np.zeros((2, 90, 90)), "a.zip", "trained on 1 channel"),
        (cells((90, 90)), "a.tif", "exported as a .zip file, not as a.tif"),
    ],
)
def test_what_cannot_be_exported_is_said_and_the_old_file_stays(
    image: NDArray[Any], name: str, words: str, tmp_path: Path
) -> None:
    """One sentence, and nothing half written."""
    (tmp_path / name).write_bytes(b"old")

    with pytest.raises(InputError, match=words):
        export_model(starter_model(), image, tmp_path / name)

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"old")]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The folder of the file is a file."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ModelFileError, match="could not be exported"):
        export_model(starter_model(), cells(), tmp_path / "file" / "a.zip")


@pytest.mark.skipif(sys.platform == "win32", reason="a limit that stands for a full disk")
@pytest.mark.parametrize("room", [1000, 2_500_000])
def test_a_full_disk_is_said_and_nothing_is_left(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it that of the files that go into the package, or of the package."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    image = np.random.default_rng(0).random((300, 300))

    with (
        pytest.raises(ModelFileError, match=r"could not be (saved|exported) to .*File too large"),
        files_up_to(room),
    ):
        export_model(starter_model(), image, tmp_path / "a.zip")

    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    """In a Python without ``onnx``, the rest of the program works as ever."""
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "import numpy as np, napari_unet\n"
        "from napari_unet.engine.starter import starter_model\n"
        "try:\n"
        "    napari_unet.export_model(starter_model(), np.zeros((9, 9)), 'a.zip')\n"
        "except napari_unet.InputError as error:\n"
        "    print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True
    ).stdout

    assert 'pip install "napari-live-unet[export]"' in said
