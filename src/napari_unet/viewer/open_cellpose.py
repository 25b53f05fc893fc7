"""Open what the window of Cellpose saves, ``NAME_seg.npy``, as labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.engine.files import read_labels
from napari_unet.engine.formats.cellposefile import is_cellpose

__all__ = ["get_reader", "read"]

Paths = str | Sequence[str]
LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """Return what reads a file, or None if it is none of Cellpose: npe2 asks so."""
    return read if isinstance(path, str) and is_cellpose(Path(path)) else None


def read(path: Paths) -> list[LayerData]:
    """Return a layer of labels that can be painted on."""
    file = Path(path if isinstance(path, str) else path[0])
    return [(np.array(read_labels(file)), {"name": file.stem}, "labels")]
