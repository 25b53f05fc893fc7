"""The model file: what goes in comes out, and what is not a model is refused in words."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from napari_unet.core.unet import UNet
from napari_unet.engine.events import Trained
from napari_unet.engine.modelfile import FORMAT
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import ModelFileError

torch.set_num_threads(1)
needs_posix = pytest.mark.skipif(os.name != "posix", reason="uses POSIX limits and signals")


def make_segmenter(seed: int = 0, **settings_: Any) -> Segmenter:
    """A tiny untrained network."""
    torch.manual_seed(seed)
    shape = {"in_channels": 1, "n_classes": 2, "base_channels": 2, "depth": 1} | settings_
    network = UNet(*(shape[k] for k in ("in_channels", "n_classes", "base_channels", "depth")))
    provenance = {"steps": 7, "seconds": 1.5, "labelled": "5 cells, 97 % unlabelled"}
    return Segmenter(weights={}, **shape, provenance=provenance).with_weights(network)


def same(one: Segmenter, two: Segmenter) -> bool:
    """Whether two Segmenters agree in all settings and to the last bit of their weights."""
    settings_ = [
        {name: getattr(s, name) for name in Segmenter.__slots__ if name != "weights"}
        for s in (one, two)
    ]
    return settings_[0] == settings_[1] and all(
        one.weights[k].dtype == two.weights[k].dtype
        and np.array_equal(one.weights[k], two.weights[k])
        for k in one.weights.keys() | two.weights.keys()
    )


def write_model(path: Path, weights: Any = None, **changes: Any) -> Path:
    """Write a model file by hand, with some of its settings changed."""
    good = make_segmenter()
    header = {name: getattr(good, name) for name in Segmenter.__slots__ if name != "weights"}
    header = {"format": FORMAT, **header, **changes}
    header = {k: v for k, v in header.items() if v is not ...}
    content = save(weights or dict(good.weights), metadata={"napari_unet": json.dumps(header)})
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "settings_",
    [
        {},
        {"in_channels": 3, "n_classes": 4, "kind": "classes"},
        {"base_channels": 3, "depth": 3, "downsample": 4, "diameter": 31.5, "split": 0.5},
        {"scales": 2, "n_classes": 3, "kind": "classes"},
    ],
)
def test_a_model_survives_its_file(settings_: dict[str, Any], tmp_path: Path) -> None:
    """All settings and every bit of the weights; folders are made on the way."""
    segmenter = make_segmenter(**settings_)
    path = tmp_path / "a new folder" / "cells æøå 細胞.unet"
    segmenter.save(path)
    loaded = Segmenter.load(str(path))
    assert same(loaded, segmenter)
    assert loaded.describe() == segmenter.describe()
    side = loaded.network().valid_size(60)
    image = torch.rand(1, segmenter.in_channels, side, side)
    with torch.no_grad():
        assert torch.equal(loaded.network()(image), segmenter.network()(image))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_model_crosses_process_boundaries() -> None:
    """Pickling keeps everything; nothing in it is a tensor."""
    segmenter = make_segmenter()
    assert same(pickle.loads(pickle.dumps(segmenter)), segmenter)  # noqa: S301 - our own bytes


def test_a_description_says_what_it_is() -> None:
    """Size, channels, what it finds, and at which resolution."""
    assert make_segmenter().describe() == (
        "U-Net of depth 1, 2 channels (434 weights): 1 channel to cells"
    )
    classes = make_segmenter(in_channels=3, n_classes=4, kind="classes", downsample=2)
    assert "3 channels to 4 classes, at 1/2 of the resolution" in classes.describe()
    averaged = make_segmenter(downsample=3, scales=2)
    assert "at 1/3 of the resolution, averaged with 1/6" in averaged.describe()


def test_a_notebook_shows_a_model_in_a_line() -> None:
    """What it is and what it learned from, not its weights; also where an event carries it."""
    assert repr(make_segmenter()) == (
        "<Segmenter: U-Net of depth 1, 2 channels (434 weights): 1 channel to cells; "
        "7 steps on 5 cells, 97 % unlabelled>"
    )
    sized = make_segmenter(diameter=23.4)
    sized.provenance["pixel_size"] = 0.325
    assert "; objects of about 23 pixels of 0.325 µm; 7 steps" in repr(sized)
    assert repr(replace(sized, provenance={"steps": 9})).endswith("about 23 pixels; 9 steps>")
    new = replace(make_segmenter(), provenance={})
    assert repr(new) == f"<Segmenter: {new.describe()}>"
    assert repr(Trained(steps=7, seconds=1.5, segmenter=new)) == (
        f"Trained(steps=7, seconds=1.5, segmenter={new!r}, score=None)"
    )


def test_a_model_knows_the_geometry_of_its_network() -> None:
    """Without building it."""
    for depth in range(1, 5):
        model = make_segmenter(depth=depth)
        network = model.network()
        assert (model.context, model.stride) == (network.context, network.stride)


def test_building_the_network_leaves_no_trace() -> None:
    """Torch's random numbers go on as before, and training the network spares the Segmenter."""
    segmenter = make_segmenter()
    before = {k: v.copy() for k, v in segmenter.weights.items()}
    state = torch.get_rng_state()
    network = segmenter.network()
    assert torch.equal(torch.get_rng_state(), state)
    assert not network.training
    assert all(p.requires_grad for p in network.parameters())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert all(np.array_equal(segmenter.weights[k], v) for k, v in before.items())


def test_holding_saving_and_loading_a_model_needs_no_torch(tmp_path: Path) -> None:
    """The dock and the command line show models without waiting for torch."""
    path = tmp_path / "model.unet"
    make_segmenter().save(path)
    code = (
        "import pickle, sys; from napari_unet.engine.segmenter import Segmenter\n"
        "s = Segmenter.load(sys.argv[1]); s.describe(); s.save(sys.argv[1])\n"
        "pickle.loads(pickle.dumps(s)); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 0


def test_saving_replaces_the_old_file(tmp_path: Path) -> None:
    """A second model under the same name is the one that is loaded."""
    path = tmp_path / "model.unet"
    make_segmenter(0).save(path)
    make_segmenter(1).save(path)
    assert same(Segmenter.load(path), make_segmenter(1))


@needs_posix
def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    """The write fails half-way (a limit on the size of files), and nothing is left of it."""
    path = tmp_path / "model.unet"
    make_segmenter(0).save(path)
    make_segmenter(1, base_channels=16).save(tmp_path / "large.unet")
    code = (
        "import resource, sys\n"
        "from napari_unet.engine.segmenter import Segmenter\n"
        "from napari_unet.errors import ModelFileError\n"
        "large = Segmenter.load(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "try:\n    large.save(sys.argv[2])\n"
        "except ModelFileError as error:\n    sys.exit(7 if sys.argv[2] in str(error) else 8)"
    )
    command = [sys.executable, "-c", code, tmp_path / "large.unet", path]
    assert subprocess.run(command, check=False).returncode == 7
    assert same(Segmenter.load(path), make_segmenter(0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["large.unet", "model.unet"]


@needs_posix
def test_a_killed_process_leaves_a_whole_model(tmp_path: Path) -> None:
    """Killed at any moment while it saves again and again, the file is one model or the other."""
    path = tmp_path / "model.unet"
    models = [make_segmenter(seed, base_channels=8, depth=2) for seed in (0, 1)]
    models[0].save(path)
    models[1].save(tmp_path / "other.unet")
    code = (
        "import sys; from napari_unet.engine.segmenter import Segmenter\n"
        "models = [Segmenter.load(p) for p in sys.argv[1:]]\n"
        "print('saving', flush=True)\n"
        "while True:\n    for model in models: model.save(sys.argv[1])"
    )
    for pause in (0.01, 0.023, 0.05):
        command = [sys.executable, "-c", code, path, tmp_path / "other.unet"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(pause)
            process.kill()
        loaded = Segmenter.load(path)
        assert same(loaded, models[0]) or same(loaded, models[1])


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere"
)
def test_a_read_only_folder_is_an_error_in_words(tmp_path: Path) -> None:
    """The path is named, and the old file stays."""
    path = tmp_path / "model.unet"
    make_segmenter(0).save(path)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ModelFileError, match=r"could not be saved to .*model\.unet"):
            make_segmenter(1).save(path)
    finally:
        tmp_path.chmod(0o700)
    assert same(Segmenter.load(path), make_segmenter(0))


@pytest.mark.parametrize("name", ["folder", "file/below.unet", "n" * 300, ".", "a\0b"])
def test_where_nothing_can_be_saved_is_said(name: str, tmp_path: Path) -> None:
    """A folder, below a file, too long a name, no name at all."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("not a folder")
    target = tmp_path / name if name != "." else Path("/")
    with pytest.raises(ModelFileError, match="could not be saved"):
        make_segmenter().save(target)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_broken_network_is_not_saved(bad: float, tmp_path: Path) -> None:
    """The old file stays, and the weights that are not numbers are named."""
    path = tmp_path / "model.unet"
    good = make_segmenter()
    good.save(path)
    weights = {k: v.copy() for k, v in good.weights.items()}
    weights["bottom.0.bias"][1] = bad
    with pytest.raises(ModelFileError, match=r"bottom\.0\.bias are not finite"):
        replace(good, weights=weights).save(path)
    assert same(Segmenter.load(path), good)
    with pytest.raises(ModelFileError, match="not finite"):
        Segmenter.load(write_model(path, weights))


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a good model file."""
    path = tmp_path_factory.mktemp("good") / "model.unet"
    make_segmenter().save(path)
    return path.read_bytes()


def test_a_truncated_file_is_refused_wherever_it_ends(content: bytes, tmp_path: Path) -> None:
    """Cut within the length, the header, the weights, and one byte before the end."""
    path = tmp_path / "model.unet"
    cuts = {*range(20), *range(20, len(content), 41), len(content) - 1}
    for cut in sorted(cuts):
        path.write_bytes(content[:cut])
        with pytest.raises(ModelFileError, match=r"model\.unet"):
            Segmenter.load(path)
    path.write_bytes(content + b"more")
    with pytest.raises(ModelFileError):
        Segmenter.load(path)


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_harmless(
    content: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    """Bytes changed anywhere: either a ModelFileError, or a network that can be built."""
    path = tmp_path / "model.unet"
    header = 8 + int.from_bytes(content[:8], "little")
    damaged = bytearray(content)
    places = st.one_of(st.integers(0, header - 1), st.integers(0, len(content) - 1))
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        segmenter = Segmenter.load(path)
    except ModelFileError:
        return
    segmenter.describe()
    assert segmenter.network().depth == segmenter.depth


class Dangerous:
    """Unpickling this makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("kind", ["pickle", "torch", "zip"])
def test_opening_a_file_never_runs_code_from_it(kind: str, tmp_path: Path) -> None:
    """A pickle, bare or as torch writes it, is refused and not executed."""
    mark, path = tmp_path / "executed", tmp_path / "model.unet"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Dangerous(mark)))
    elif kind == "torch":
        torch.save(Dangerous(mark), path)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../model.unet", b"x")
    with pytest.raises(ModelFileError, match=r"damaged or not a model file|of another program"):
        Segmenter.load(path)
    assert not mark.exists()


PACKAGES: dict[str, tuple[int, int, str]] = {
    "encrypted": (8, 1, "damaged or not a model file"),
    "compressed in a way that nobody knows": (10, 99, "damaged or not a model file"),
    "compressed in a way that is not ours": (10, zipfile.ZIP_LZMA, "damaged or not a model file"),
    "of a version that is not there yet": (6, 255, "damaged or not a model file"),
    "of 4 GB, as bombs are": (24, 0xFFFFFFF0, "of 4,294,967,280 bytes, and 2,147,483,648 is"),
}
"""Where in the entry of a directory that is said, how, and what the user reads."""


@pytest.mark.parametrize("case", PACKAGES)
def test_a_package_that_cannot_be_unpacked_is_refused(
    case: str, content: bytes, tmp_path: Path
) -> None:
    """Before any of it is unpacked."""
    at, value, words = PACKAGES[case]
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("live-unet.safetensors", content)
    assert same(Segmenter.load(path), make_segmenter())
    whole = path.read_bytes()
    entry = whole.rindex(b"PK\x01\x02") + at
    changed = value.to_bytes(4 if at == 24 else 2, "little")
    path.write_bytes(whole[:entry] + changed + whole[entry + len(changed) :])
    with pytest.raises(ModelFileError, match=rf"model\.zip.*{words}"):
        Segmenter.load(path)


@pytest.mark.parametrize("what", [b"", b"GIF89a", b"\xff" * 64, b"{}" * 40])
def test_other_files_are_refused(what: bytes, tmp_path: Path) -> None:
    """Empty, an image, a header longer than the file, text."""
    path = tmp_path / "model.unet"
    path.write_bytes(what)
    with pytest.raises(ModelFileError, match="damaged or not a model file"):
        Segmenter.load(path)


def test_no_file_is_said_in_words(tmp_path: Path) -> None:
    """Nothing there, or a folder."""
    for path in (tmp_path / "absent.unet", tmp_path):
        with pytest.raises(ModelFileError, match="no model file"):
            Segmenter.load(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    """Somebody else's tensors, with and without somebody else's header."""
    path = tmp_path / "bert.safetensors"
    for metadata in (None, {"format": "pt"}):
        path.write_bytes(save({"bert.weight": np.zeros(3, np.float32)}, metadata=metadata))
        with pytest.raises(ModelFileError, match="not a Live U-Net model"):
            Segmenter.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": FORMAT + 1}, f"format {FORMAT + 1}, this program reads format {FORMAT}"),
        ({"format": ...}, "settings"),
        ({"format": None}, "format None"),
        ({"depth": ...}, "settings.*depth"),
        ({"activation": "gelu"}, "settings.*activation"),
        ({"depth": 2}, "do not fit"),
        ({"in_channels": 3}, "do not fit"),
        ({"base_channels": 64}, "do not fit"),
        ({"n_classes": 3, "kind": "classes"}, "do not fit"),
        ({"n_classes": 3}, "do not fit.*cells of 2 classes"),
        ({"n_classes": 1}, "settings.*n_classes is 1"),
        ({"n_classes": 255, "kind": "classes"}, "settings.*n_classes is 255"),
        ({"class_names": ["a", "b"]}, "settings.*class_names are .* for 1"),
        ({"class_names": [1]}, "settings.*class_names"),
        ({"class_names": 1}, "settings"),
        ({"depth": 10**9}, "settings.*depth"),
        ({"depth": 0}, "settings.*depth"),
        ({"depth": "1"}, "settings.*depth"),
        ({"depth": True}, "settings.*depth"),
        ({"base_channels": 2.0}, "settings.*base_channels"),
        ({"kind": "nuclei"}, "settings.*kind"),
        ({"downsample": 0}, "settings.*downsample"),
        ({"downsample": 1.5}, "settings.*downsample"),
        ({"diameter": "large"}, "settings.*diameter"),
        ({"diameter": float("nan")}, "settings.*diameter"),
        ({"split": -1}, "settings.*split"),
        ({"provenance": []}, "settings.*provenance"),
        ({"provenance": {"steps": "many"}}, "settings.*steps is 'many'"),
        ({"provenance": {"seconds": -1}}, "settings.*seconds is -1"),
        ({"seen": {"trained": []}}, "settings"),
        ({"seen": {"trained": {"a": [[0]]}}}, "settings"),
        ({"seen": {"held_out": {"a": [[0, float("inf")]]}}}, "settings"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """Never run with another meaning: another format, network, or nonsense."""
    assert same(Segmenter.load(write_model(tmp_path / "good.unet")), make_segmenter())
    with pytest.raises(ModelFileError, match=message):
        Segmenter.load(write_model(tmp_path / "model.unet", **changes))


@pytest.mark.parametrize("text", ["[1]", '"x"', "3", "{", "[" * 100_000, ""])
def test_a_header_that_is_no_settings_is_refused(text: str, tmp_path: Path) -> None:
    """Other JSON, broken JSON, and JSON as deep as a well."""
    path = tmp_path / "model.unet"
    path.write_bytes(save(dict(make_segmenter().weights), metadata={"napari_unet": text}))
    with pytest.raises(ModelFileError, match="settings"):
        Segmenter.load(path)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """One missing, one too many, one of another shape, one of another type."""
    good = dict(make_segmenter().weights)
    path = tmp_path / "model.unet"
    without = {k: v for k, v in good.items() if k != "head.bias"}
    for weights in (
        without,
        good | {"head.extra": good["head.bias"]},
        good | {"head.bias": np.zeros(5, np.float32)},
    ):
        with pytest.raises(ModelFileError, match=r"do not fit.*head\.(bias|extra)"):
            Segmenter.load(write_model(path, weights))
    for dtype in (np.float64, np.int32):
        with pytest.raises(ModelFileError, match="not float32"):
            Segmenter.load(write_model(path, good | {"head.bias": good["head.bias"].astype(dtype)}))


def test_two_processes_can_save_under_one_name(tmp_path: Path) -> None:
    """Saving at the same time leaves one of the two models, whole."""
    path = tmp_path / "model.unet"
    names = [tmp_path / f"{seed}.unet" for seed in (0, 1)]
    for seed, name in enumerate(names):
        make_segmenter(seed).save(name)
    code = (
        "import sys; from napari_unet.engine.segmenter import Segmenter\n"
        "model = Segmenter.load(sys.argv[1])\n"
        "for _ in range(20): model.save(sys.argv[2])"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, name, path]) for name in names]
    assert [process.wait() for process in running] == [0, 0]
    loaded = Segmenter.load(path)
    assert same(loaded, make_segmenter(0)) or same(loaded, make_segmenter(1))
