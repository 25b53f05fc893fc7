"""Images and labels as files: read, write, find and pair them.

A folder of labels is paired with a folder of images by name: the path inside the folder, without
its suffix and without a last word labels, label, masks, mask, regions or region behind one of
``_ - .``, in any case. ``day1/a.tif`` is the image of ``day1/a.tif``, ``day1/a_labels.tif`` and
``day1/a-mask.png`` in the other folder. In a folder given for both, files with such a word are the
labels and files without it the images.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_unet.engine.tiff import DAMAGED, is_tiff, read_tiff, write_tiff
from napari_unet.errors import InputError

__all__ = [
    "find_images",
    "pair_files",
    "read_image",
    "read_labels",
    "relative_name",
    "write_labels",
    "write_probabilities",
]

Array = NDArray[Any]
AnyPath = str | os.PathLike[str]

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"})
"""Files of a folder that are taken for images; one that is named is read whatever its suffix."""

LABEL_ENDING = re.compile(r"[_.-](labels?|masks?|regions?)$", re.IGNORECASE)


def read_image(path: AnyPath) -> Array:
    """Read an image from a TIFF, PNG, JPEG or BMP file, in the dtype it is stored in.

    The axes come from the file's OME, ImageJ or tifffile metadata: C and the samples S of colour
    pixels become channels, Y and X stay, and everything else (T, Z, ...) becomes one axis of
    planes, in the file's order. Where the metadata is silent about the axes of an array of more
    than two, a last axis of 3 or 4 holds the samples of colour pixels and every other axis is
    planes. Alpha is dropped.

    Returns
    -------
    array
        (C, Y, X), or (C, Z, Y, X) of more than one plane.

    Raises
    ------
    InputError
        If there is no such file, or it is cut short, damaged, or not a picture.
    """
    pixels, axes = _read(Path(path), palette=False)
    return _channels_first(pixels, axes, Path(path))


def read_labels(path: AnyPath) -> NDArray[np.integer]:
    """Read labels; the numbers of a palette PNG are its indices, and grey colour counts as grey.

    Returns
    -------
    integer array
        (Y, X), or (Z, Y, X) of more than one plane.

    Raises
    ------
    InputError
        As for `read_image`, and if the values are not whole numbers or the file has channels.
    """
    path = Path(path)
    pixels, axes = _read(path, palette=True)
    if "SYX" in axes:
        axes = axes.replace("S", "Q")
    channels = _channels_first(pixels, axes, path)
    if len(channels) > 1 and not ("S" in axes and (channels == channels[0]).all()):
        raise InputError(
            f"{path} has {len(channels)} channels, but labels are one number per pixel; "
            f"save them as a single channel."
        )
    labels: NDArray[Any] = channels[0]
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    if labels.dtype.kind == "f" and np.array_equal(labels, np.round(labels)):
        return labels.astype(np.int64)
    if labels.dtype.kind not in "iu":
        raise InputError(f"{path} holds {labels.dtype} values; labels are whole numbers.")
    return labels


def write_labels(path: AnyPath, labels: NDArray[np.integer]) -> None:
    """Write labels (Y, X) or (Z, Y, X) as an OME-TIFF, whole or not at all.

    uint16, or uint32 above 65 535; compressed with zlib; a BigTIFF where 4 GB may not do.

    Raises
    ------
    InputError
        If the labels are not such numbers, or the file cannot be written.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iub" or labels.ndim not in (2, 3) or labels.size == 0:
        raise InputError(
            f"Labels of shape {labels.shape} and dtype {labels.dtype} cannot be written to {path}; "
            f"give whole numbers of shape (Y, X) or (Z, Y, X)."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > 2**32 - 1:
        raise InputError(f"The labels for {path} run from {low} to {high}; use 0 to 4294967295.")
    dtype = np.uint16 if high <= 65535 else np.uint32
    write_tiff(Path(path), labels.astype(dtype, copy=False), "ZYX"[-labels.ndim :])


def write_probabilities(path: AnyPath, probabilities: NDArray[np.floating]) -> None:
    """Write (K, Y, X) or (K, Z, Y, X) probabilities as a float32 OME-TIFF, whole or not at all."""
    axes = "CYX" if probabilities.ndim == 3 else "CZYX"
    write_tiff(Path(path), probabilities.astype(np.float32, copy=False), axes)


def find_images(path: AnyPath) -> list[Path]:
    """List the images of a file, a folder (with its subfolders) or a glob pattern.

    Of folders and patterns, files with another suffix than an image's and hidden files (also
    macOS's ``._`` files) are left out; the order is natural, ``a2`` before ``a10``.

    Raises
    ------
    InputError
        If there is nothing.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if path.is_dir():
        candidates: Iterable[Path] = path.rglob("*")
    elif glob.has_magic(str(path)):
        candidates = _root(path).glob(path.relative_to(_root(path)).as_posix())
    else:
        raise InputError(f"There is no file or folder {path}.")
    start = len(_root(path).parts)
    found = [
        file
        for file in candidates
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in file.parts[start:])
        and file.is_file()
    ]
    if not found:
        raise InputError(f"There is no image in {path}; looked for {', '.join(sorted(SUFFIXES))}.")
    return sorted(found, key=_natural)


def relative_name(file: Path, given: AnyPath) -> Path:
    """Return where a file of `find_images` lies inside what was given, without its suffix."""
    inside = file.relative_to(_root(Path(given)))
    return inside.with_name(re.sub(r"\.ome$", "", inside.stem, flags=re.IGNORECASE) or inside.stem)


def pair_files(images: Sequence[AnyPath], labels: Sequence[AnyPath]) -> list[tuple[Path, Path]]:
    """Pair files, folders or patterns of images and labels by name (see the module).

    A single file and a single file are a pair whatever their names. A folder may hold more than
    the files that are named for the other side.

    Raises
    ------
    InputError
        If a name is there twice, or a file has no partner; all of them are listed.
    """
    first, second = _listed(images), _listed(labels)
    if len(first) == len(second) == 1:
        return [(first[0][0], second[0][0])]
    both = {file for file, _ in first} & {file for file, _ in second}
    left = _by_key([(f, n) for f, n in first if f not in both or not LABEL_ENDING.search(n.name)])
    right = _by_key([(f, n) for f, n in second if f not in both or LABEL_ENDING.search(n.name)])
    lonely = []
    images_named, labels_named = (all(Path(p).is_file() for p in side) for side in (images, labels))
    if images_named or not labels_named:
        lonely += [left[key] for key in left if key not in right]
    if labels_named or not images_named:
        lonely += [right[key] for key in right if key not in left]
    if lonely or not left.keys() & right.keys():
        names = ", ".join(map(str, lonely)) or "any file"
        raise InputError(
            f"There is no partner for {names}. An image and its labels have the same name, the "
            f"labels optionally with _labels or _mask behind it."
        )
    return [(left[key], right[key]) for key in left if key in right]


def _read(path: Path, palette: bool) -> tuple[Array, str]:
    if path.name.startswith("._"):
        raise InputError(f"{path} is a companion file of macOS, not an image.")
    try:
        pixels, axes = read_tiff(path) if is_tiff(path) else _read_picture(path, palette)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}.") from error
    except (OSError, Image.DecompressionBombError, *DAMAGED) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read as an image: {reason}.") from error
    except MemoryError as error:
        raise InputError(f"{path} is too large for the memory of this computer.") from error
    if 0 in pixels.shape:
        raise InputError(f"{path} has shape {pixels.shape}: it has no pixels.")
    return pixels, axes


def _read_picture(path: Path, palette: bool) -> tuple[Array, str]:
    """Read what is not a TIFF; `palette` asks for the indices of one instead of its colours."""
    with Image.open(path) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise InputError(f"{path} is an animation; save its pictures as a TIFF stack.")
        if palette and image.format == "JPEG":
            raise InputError(
                f"{path} is a JPEG, which changes numbers; save labels as TIFF or PNG."
            )
        if image.mode in ("LA", "La"):
            pixels = np.array(image)[..., 0]
        elif image.mode in ("1", "L", "I", "I;16", "I;16B", "F", "RGB") or (
            palette and image.mode == "P"
        ):
            pixels = np.array(image)
        else:
            pixels = np.array(image.convert("RGB"))
    return pixels, "YXS" if pixels.ndim == 3 else "YX"


def _channels_first(pixels: Array, axes: str, path: Path) -> Array:
    """Return (C, Y, X) or (C, Z, Y, X) of an array whose axes have letters."""
    if "Y" not in axes or "X" not in axes:
        raise InputError(f"{path} has shape {pixels.shape}, which is not a picture.")
    channels = [i for i, axis in enumerate(axes) if axis in "CS"]
    planes = [i for i, axis in enumerate(axes) if axis not in "CSYX"]
    pixels = pixels.transpose(*channels, *planes, axes.index("Y"), axes.index("X"))
    height, width = pixels.shape[-2:]
    counts = pixels.shape[: len(channels)], pixels.shape[len(channels) : -2]
    n_channels, n_planes = (int(np.prod(count)) for count in counts)
    shape = (n_channels, height, width) if n_planes == 1 else (n_channels, n_planes, height, width)
    return pixels.reshape(shape)


def _root(path: Path) -> Path:
    """Return the folder that names are relative to: itself, a file's, or before a wildcard."""
    if path.is_dir():
        return path
    if path.is_file():
        return path.parent
    # a folder may have brackets in its name
    return next(parent for parent in path.parents if parent.exists() or parent == Path(path.anchor))


def _natural(path: Path) -> list[str | int]:
    parts = re.split(r"(\d+)", path.as_posix().casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def _listed(given: Sequence[AnyPath]) -> list[tuple[Path, Path]]:
    return [(file, relative_name(file, path)) for path in given for file in find_images(path)]


def _by_key(files: list[tuple[Path, Path]]) -> dict[str, Path]:
    keyed: dict[str, Path] = {}
    for file, name in files:
        key = name.with_name(LABEL_ENDING.sub("", name.name) or name.name).as_posix()
        if keyed.setdefault(key, file) != file:
            raise InputError(f"{keyed[key]} and {file} are both called {key}; keep one of them.")
    return keyed
