"""The file of a `Segmenter`: its weights as tensors, everything else as JSON in the header.

It is a safetensors file. No pickle, so opening a model never runs code from it. A package for other
programs has it among its files, and is read, too.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from napari_unet.core.annotation import MAX_CLASSES
from napari_unet.engine.atomic import write_atomically
from napari_unet.engine.learning.heldout import Seen
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import ModelFileError

__all__ = [
    "FORMAT",
    "PACKED",
    "is_model",
    "is_package",
    "read_model",
    "weight_shapes",
    "write_model",
]

PACKED = "live-unet.safetensors"
"""What the file is called in a package for other programs."""

LARGEST = 2**31
"""Bytes of a model in a package; what unpacks to more is a bomb, or a network nobody can train."""

UNREADABLE = (
    BadZipFile,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    zlib.error,
)
"""What is raised where a file is damaged, encrypted, or of a kind that is not known."""

UNFIT = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What is raised where settings are not of the kind that this program writes."""

FORMAT = 3
"""Version of the file's meaning; a newer one is refused, never guessed at.

3 is written only where several resolutions are averaged, and 2 only for cells of several classes
and for names of classes. So older programs read all other models, and say that they are too old for
these.
"""

SINCE = {"class_names": 2, "scales": 3}
"""First versions that have these settings."""


def write_model(segmenter: Segmenter, path: Path) -> None:
    """Write a file; `Segmenter.save` says what is raised."""
    bad = [name for name, w in segmenter.weights.items() if not np.isfinite(w).all()]
    if bad:
        raise ModelFileError(
            f"The model was not saved to {path}: its weights {bad[0]} are not finite. "
            f"Go back to an earlier model, or train a new one."
        )
    settings = {
        f.name: getattr(segmenter, f.name) for f in fields(segmenter) if f.name != "weights"
    }
    named = segmenter.class_names or segmenter.cell_classes > 1
    version = 3 if segmenter.scales > 1 else 2 if named else 1
    settings = {name: v for name, v in settings.items() if SINCE.get(name, 1) <= version}
    header = {"napari_unet": json.dumps({"format": version, **settings})}
    try:
        content = save(dict(segmenter.weights), metadata=header)
        write_atomically(path, lambda file: file.write(content))
    except (OSError, ValueError) as error:  # ValueError: not a possible name of a file
        raise ModelFileError(f"The model could not be saved to {path}: {error}.") from error


def read_model(path: Path) -> Segmenter:
    """Read a file; `Segmenter.load` says what is raised."""
    _check_reachable(path)
    try:
        metadata, weights = _content(path)
    except UNREADABLE as error:
        raise ModelFileError(
            f"{path} is damaged or not a model file ({error}). Use a file that this program saved."
        ) from error
    if (header := metadata.get("napari_unet")) is None:
        raise ModelFileError(f"{path} is a safetensors file, but not a Live U-Net model.")
    return _from_settings(path, header, weights)


def _check_reachable(path: Path) -> None:
    """Raise a `ModelFileError` that says why a file cannot be opened; safetensors does not."""
    try:
        if not path.is_file():
            raise ModelFileError(f"There is no model file {path}.")
        with path.open("rb"):
            pass
    except OSError as error:
        raise ModelFileError(
            f"{path} cannot be opened: {error.strerror}. Check the permissions of the file and its "
            f"folders."
        ) from error


def is_model(path: Path) -> bool:
    """Whether a file says that it is a model of this program, be it of a newer version."""
    try:
        with safe_open(path, framework="np") as file:
            return "napari_unet" in (file.metadata() or {})
    except UNREADABLE:
        return False


def is_package(path: Path) -> bool:
    """Whether a file is a package for other programs with a model of this one in it."""
    try:
        with ZipFile(path) as package:
            return PACKED in package.namelist()
    except UNREADABLE:
        return False


def _content(path: Path) -> tuple[dict[str, str], dict[str, NDArray[np.float32]]]:
    """Return what is said in the header of a file, or of the one in a package, and the weights."""
    if not is_zipfile(path):
        with safe_open(path, framework="np") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return file.metadata() or {}, weights
    content = _packed(path)
    weights = load(content)  # the header is sound, if this succeeds
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]).get("__metadata__", {}), weights


def _packed(path: Path) -> bytes:
    """Return the file in a package."""
    with ZipFile(path) as package:
        if PACKED not in package.namelist():
            raise ModelFileError(
                f"{path} is a package of another program: there is no {PACKED} in it. Models of "
                f"other programs cannot be read."
            )
        packed = package.getinfo(PACKED)
        if packed.file_size > LARGEST:
            raise ModelFileError(
                f"{path} holds a model of {packed.file_size:,} bytes, and {LARGEST:,} is the most "
                f"that is unpacked. Use the model file that the package was made of."
            )
        if packed.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise BadZipFile(f"{PACKED} is compressed in a way that is not known here")
        return package.read(packed)


def _from_settings(path: Path, header: str, weights: dict[str, NDArray[np.float32]]) -> Segmenter:
    try:
        settings = json.loads(header)
        version = settings.pop("format")
        if version not in range(1, FORMAT + 1):
            raise ModelFileError(
                f"{path} has model format {version}, this program reads format {FORMAT} and "
                f"older; update the program."
            )
        segmenter = Segmenter(weights=weights, **settings)
        _check_settings(segmenter)
    except UNFIT as error:
        raise ModelFileError(f"The settings in {path} cannot be read ({error}).") from error
    expected = weight_shapes(segmenter)
    found = {name: w.shape for name, w in weights.items()}
    if found != expected:
        odd = sorted(set(found.items()) ^ set(expected.items()))[0]
        raise ModelFileError(
            f"The weights in {path} do not fit the network it describes "
            f"({segmenter.describe()}); first difference: {odd[0]} {odd[1]}."
        )
    if {w.dtype for w in weights.values()} != {np.dtype(np.float32)}:
        raise ModelFileError(f"{path} holds weights that are not float32; it is not usable.")
    if not all(np.isfinite(w).all() for w in weights.values()):
        raise ModelFileError(f"{path} holds weights that are not finite; it is unusable.")
    return segmenter


def _check_settings(segmenter: Segmenter) -> None:
    """Raise ValueError for settings that no training writes, before anything is built of them."""
    names = ("in_channels", "n_classes", "base_channels", "depth", "downsample", "scales")
    for name in names:
        value = getattr(segmenter, name)
        if type(value) is not int or not 1 <= value <= 65536:
            raise ValueError(f"{name} is {value!r}")
    for name, most in (("depth", 16), ("scales", 8)):
        if getattr(segmenter, name) > most:
            raise ValueError(f"{name} is {getattr(segmenter, name)}")
    if segmenter.kind not in ("cells", "classes"):
        raise ValueError(f"kind is {segmenter.kind!r}")
    _check_outputs(segmenter)
    for name in ("core", "split", "diameter", "smallest"):
        value = getattr(segmenter, name)
        if type(value) not in (int, float) or not 0 <= value < 1e9:
            raise ValueError(f"{name} is {value!r}")
    _check_past(segmenter)


def _check_past(segmenter: Segmenter) -> None:
    """Raise one of `UNFIT` for what no training writes, and a further training would stumble on."""
    if type(segmenter.provenance) is not dict:
        raise ValueError(f"provenance is {segmenter.provenance!r}")
    for name in ("steps", "seconds"):
        value = segmenter.provenance.get(name, 0)
        if type(value) not in (int, float) or not 0 <= value < 1e18:
            raise ValueError(f"{name} is {value!r}")
    Seen.of(segmenter.seen)


def _check_outputs(segmenter: Segmenter) -> None:
    """Raise ValueError for numbers and names of classes that no training writes."""
    if not 2 <= segmenter.n_classes <= MAX_CLASSES:
        raise ValueError(f"n_classes is {segmenter.n_classes}")
    names, count = segmenter.class_names, segmenter.cell_classes or segmenter.n_classes
    if not all(type(name) is str for name in names) or len(names) not in (0, count):
        raise ValueError(f"class_names are {names!r} for {count}")


def weight_shapes(segmenter: Segmenter) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight of the described network, without building it."""
    widths = [segmenter.base_channels * 2**level for level in range(segmenter.depth + 1)]
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, *shape: int, bias: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, (bias,)

    def double(name: str, i: int, o: int) -> None:
        convolution(f"{name}.0", o, i, 3, 3, bias=o)
        convolution(f"{name}.2", o, o, 3, 3, bias=o)

    for level, width in enumerate(widths[:-1]):
        double(f"down.{level}", segmenter.in_channels if level == 0 else widths[level - 1], width)
    double("bottom", widths[-2], widths[-1])
    for index, width in enumerate(reversed(widths[1:])):
        convolution(f"up.{index}", width, width // 2, 2, 2, bias=width // 2)
        double(f"merge.{index}", width, width // 2)
    k, base = segmenter.n_classes, segmenter.base_channels
    convolution("head", k, base, 1, 1, bias=k)
    return shapes
