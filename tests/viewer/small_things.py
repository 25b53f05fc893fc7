"""A compute process that outlives viewers, and models that need no training."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_unet.engine.host import Host
from napari_unet.engine.modelfile import weight_shapes
from napari_unet.engine.segmenter import Segmenter


class LastingHost(Host):
    """A host that viewers cannot close: importing torch takes longer than any of these tests."""

    def close(self) -> None:
        """Stay."""

    def leave(self) -> None:
        """End the process; the next run starts another one."""
        self._end_child()


def make_segmenter(
    channels: int = 1, kind: str = "cells", seed: int = 1, **architecture: Any
) -> Segmenter:
    """Make a small model with random weights: as good as any where only pixels count."""
    rng = np.random.default_rng(seed)
    settings: dict[str, Any] = {
        "in_channels": channels,
        "n_classes": 2 if kind == "cells" else 3,
        "base_channels": 4,
        "depth": 2,
        "kind": kind,
        "diameter": 8.0,
    } | architecture
    shapes = weight_shapes(Segmenter(weights={}, **settings))
    weights = {
        name: rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
        if len(shape) > 1
        else np.zeros(shape, np.float32)
        for name, shape in shapes.items()
    }
    return Segmenter(weights=weights, **settings)
