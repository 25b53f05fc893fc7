"""Whether what a function of ours is given is of the kind that it takes."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from napari_unet.errors import InputError, first_line

__all__ = ["CHANNELS_LAST", "check_array", "check_pixels", "chosen", "is_path", "told"]

Config = TypeVar("Config")

CHANNELS_LAST = "The channels seem to come last; move them first with np.moveaxis(image, -1, 0)."


def is_path(value: object) -> bool:
    """Return whether a value is the path of a file, not what is in it."""
    return isinstance(value, str) or hasattr(value, "__fspath__")


def told(value: object) -> str:
    """Say what a value of a wrong kind is, for a message."""
    return f"the path {str(value)!r}" if is_path(value) else f"of type {type(value).__name__}"


def check_pixels(what: str, value: object, read: str) -> None:
    """`InputError` for a path where an array is meant, and for what `check_array` refuses."""
    if is_path(value):
        raise InputError(
            f"{str(value)!r} is the path of the {what}; give the pixels, which "
            f"{read}({str(value)!r}) of napari_unet.engine.files returns."
        )
    check_array(what, value)


def check_array(what: str, value: object) -> None:
    """`InputError` for what NumPy makes no array of, or masked pixels, which nobody would heed."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InputError(
            f"The {what} has masked pixels, which would count like all others. Fill them first: an "
            f"image by .astype(float).filled(numpy.nan), for what is not a number counts as dark; "
            f"labels by .filled(0)."
        )
    if isinstance(getattr(value, "dtype", None), np.dtype):
        return  # an array, maybe a large one on a disk
    try:
        np.asarray(value)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"The {what} cannot be read as an array ({first_line(error)}); give an array of NumPy: "
            f"tensor.detach().cpu().numpy() of a tensor, or lists of one length."
        ) from error


def chosen(config: Config | None, kind: type[Config]) -> Config:
    """Return a configuration, or the default one for None; `InputError` for anything else."""
    if config is None:
        return kind()
    if not isinstance(config, kind):
        raise InputError(f"The configuration is {told(config)}; give a {kind.__name__}(...).")
    return config
