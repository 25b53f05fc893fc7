"""Write a model as a package of bioimage.io: for Fiji, ilastik, QuPath and other programs."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from napari_unet.engine.atomic import write_atomically
from napari_unet.engine.checkedimage import checked_image
from napari_unet.engine.lazyplane import middle_plane
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError, ModelFileError

__all__ = ["export_model"]


def export_model(
    segmenter: Segmenter,
    image: Any,
    path: str | os.PathLike[str],
    *,
    name: str = "U-Net",
    fixed: bool = False,
) -> None:
    """Write a model as a package for other programs: a ``.zip`` of bioimage.io.

    It holds the network with all that is done around it (`napari_unet.core.portable`) as
    TorchScript and as ONNX, a description of what goes in and comes out, and a part of the image
    with its probabilities, by which a program can tell whether it computes the same.

    Parameters
    ----------
    segmenter : Segmenter
        The trained network.
    image : array
        (Y, X), (C, Y, X) or (C, Z, Y, X), like those that the model is for; of a stack, the middle
        plane is used. A part of it goes into the package, where everybody can see it.
    path : path
        The file.
    name : str
        What the model is called.
    fixed : bool
        False: the other program stretches the grey values of each image between two percentiles,
        much as this one does. True: all images are mapped as ``image`` is, for programs that see
        only tiles of an image; then all must be taken with the same exposure.

    Raises
    ------
    InputError
        If the image does not fit the model or shows nothing, the file does not end in
        .zip, or the packages of the extra ``export`` are not installed.
    ModelFileError
        If the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".zip":
        raise InputError(f"A model is exported as a .zip file, not as {path.name}; rename it.")
    try:
        from napari_unet.engine.exporting.contents import write_contents
    except ImportError as error:
        raise InputError(
            f"A model is exported with packages that are not installed ({error}); run: pip install "
            f'"napari-live-unet[export]".'
        ) from error
    plane = middle_plane(checked_image(segmenter, image))
    try:
        with TemporaryDirectory() as folder:
            write_contents(segmenter, plane, Path(folder), name=name, fixed=fixed)
            write_atomically(path, lambda file: _zip(Path(folder), file))
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: not a possible name of a file
        raise ModelFileError(f"The model could not be exported to {path}: {error}.") from error


def _zip(folder: Path, into: Any) -> None:
    with ZipFile(into, "w", ZIP_DEFLATED) as package:
        for file in sorted(folder.iterdir()):
            package.write(file, file.name)
