"""Images that are spread over several OME-TIFF files, each of which describes all of them."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from napari_unet.engine.formats.tiff import DAMAGED, is_tiff

__all__ = ["image_files"]


def image_files(path: Path) -> tuple[Path, ...]:
    """Return the files that an image is read from, by name: itself, and what its OME-XML names.

    They need not be there. What is no file, no TIFF or damaged is one.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if not path.is_file() or not is_tiff(path):
        return (path,)
    try:
        with tifffile.TiffFile(path) as tif:
            root = ElementTree.fromstring(tif.ome_metadata or "<OME/>")
    except DAMAGED:
        return (path,)
    names = {part.get("FileName") for part in root.iter() if part.tag.endswith("UUID")}
    if not any(names):
        return (path,)
    # as they are called from the root, so that all files of an image give the same
    files = [path.absolute(), *(path.absolute().parent / name for name in names if name)]
    return tuple(sorted({Path(os.path.normpath(file)) for file in files}))
