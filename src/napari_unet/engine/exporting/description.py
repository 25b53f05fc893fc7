"""What other programs are told about an exported model, as bioimage.io wants it.

The fields are those of https://bioimage.io/docs/#/bioimageio_model_spec.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from keyword import iskeyword
from typing import Any

import numpy as np
import torch

import napari_unet
from napari_unet.core.normalise import HIGH, LOW
from napari_unet.core.onnxgraph import OPERATORS
from napari_unet.core.portable import PortablePlan
from napari_unet.engine.modelfile import PACKED
from napari_unet.engine.segmenter import Segmenter

__all__ = ["FOUND", "GIVEN", "described"]

GIVEN, FOUND = "image", "probabilities"
"""What goes into a model and comes out of it."""

FORMAT = "0.5.3"
"""Of the description: one that programs of the last years know, and none of them is too new for."""

PAPER = (
    "Ronneberger, Fischer and Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation"
)

Fields = dict[str, Any]


def described(segmenter: Segmenter, plan: PortablePlan, name: str, *, fixed: bool) -> Fields:
    """Describe a model whose files lie beside the description."""
    return {
        "format_version": FORMAT,
        "type": "model",
        "name": _allowed(name),
        "description": f"Finds {segmenter.finds}. {segmenter.describe()}."[:512],
        "authors": [{"name": "unknown"}],
        "cite": [{"text": PAPER, "doi": "10.1007/978-3-319-24574-4_28"}],
        "documentation": "README.md",
        "covers": ["cover.png"],
        "attachments": [{"source": PACKED}],
        "tags": ["unet", "2d", "segmentation", "semantic-segmentation"],
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [_input(segmenter, plan, fixed=fixed)],
        "outputs": [_output(segmenter, plan)],
        "weights": {
            "torchscript": {
                "source": "model.pt",
                "pytorch_version": torch.__version__.split("+", maxsplit=1)[0],
            },
            "onnx": {"source": "model.onnx", "opset_version": OPERATORS, "parent": "torchscript"},
        },
        "config": {"napari_unet": {"version": napari_unet.__version__, **_settings(segmenter)}},
    }


def _settings(segmenter: Segmenter) -> Fields:
    """Return what this program tells touching cells apart by, for who wants to do it too."""
    names = ("kind", "core", "split", "diameter", "smallest", "downsample", "scales")
    return {name: getattr(segmenter, name) for name in names}


def _input(segmenter: Segmenter, plan: PortablePlan, *, fixed: bool) -> Fields:
    channels = [f"channel{k}" for k in range(segmenter.in_channels)]
    axes = [
        {**axis, "size": {"min": plan.smallest, "step": plan.step}} for axis in _space(segmenter)
    ]
    dtype: Fields = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
    percentiles = {"min_percentile": LOW, "max_percentile": HIGH, "eps": 1e-12}
    stretch: Fields = {"id": "scale_range", "kwargs": {"axes": ["y", "x"], **percentiles}}
    return {
        "id": GIVEN,
        "axes": [{"type": "batch"}, {"type": "channel", "channel_names": channels}, *axes],
        "data": {"type": "float32"},
        "preprocessing": [dtype] if fixed else [dtype, stretch],
        "test_tensor": {"source": "image.npy"},
    }


def _output(segmenter: Segmenter, plan: PortablePlan) -> Fields:
    axes = [
        {**axis, "size": {"tensor_id": GIVEN, "axis_id": axis["id"]}, "halo": plan.halo}
        for axis in _space(segmenter)
    ]
    return {
        "id": FOUND,
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": _outputs(segmenter)},
            *axes,
        ],
        "data": {"type": "float32", "range": [0.0, 1.0]},
        "test_tensor": {"source": "probabilities.npy"},
    }


def _outputs(segmenter: Segmenter) -> list[str]:
    """Name the outputs as variables of Python may be named, no two alike."""
    names = [re.sub(r"\W+", "_", name).strip("_") for name in segmenter.output_names]
    names = [n if n.isidentifier() and not iskeyword(n) else f"class_{n}" for n in names]
    while alike := {name for name in names if names.count(name) > 1}:
        names = [f"{name}_{k}" if name in alike else name for k, name in enumerate(names)]
    return names


def _space(segmenter: Segmenter) -> list[Fields]:
    # of so few digits that the halo times it, divided by it again, is the halo: that is checked
    size = float(np.float32(segmenter.pixel_size))
    scale = {"scale": size, "unit": "micrometer"} if size else {}
    return [{"type": "space", "id": axis, **scale} for axis in ("y", "x")]


def _allowed(name: str) -> str:
    """Return a name without the signs that are not allowed, and not too short."""
    return re.sub(r"[^\w+\- ()]", " ", f"{name} (Live U-Net)", flags=re.ASCII)[:64]
