"""The files in a package of bioimage.io. Needs the extra ``export``.

::

    rdf.yaml                       what the model is, see `description`; JSON, which is YAML too
    model.pt, model.onnx           the graph of `napari_unet.core.portable`, twice
    image.npy, probabilities.npy   what goes in and what must come out
    README.md, cover.png           for people, see `card`
    live-unet.safetensors          the model as it was, for this program
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.normalise import HIGH, LOW, as_float32, grey_statistics, of_stretched
from napari_unet.core.onnxgraph import onnx_model
from napari_unet.core.portable import PortableNetwork, PortablePlan
from napari_unet.core.tiles import read_mirrored
from napari_unet.engine.exporting.card import cover, readme
from napari_unet.engine.exporting.description import FOUND, GIVEN, described
from napari_unet.engine.modelfile import PACKED
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

__all__ = ["write_contents"]

Floats = NDArray[np.float32]

SIDE = 512
"""Largest side in pixels of the image in the package, unless the graph needs more."""


def write_contents(
    segmenter: Segmenter, plane: Any, folder: Path, *, name: str, fixed: bool
) -> None:
    """Write the files of a package.

    Parameters
    ----------
    segmenter : Segmenter
        The trained network.
    plane : array
        (C, Y, X), read region by region.
    folder : Path
        Where the files go.
    name, fixed
        As for `napari_unet.export_model`.

    Raises
    ------
    InputError
        If the plane shows nothing.
    """
    statistics = grey_statistics(plane)
    plan = PortablePlan(
        grey=statistics if fixed else of_stretched(statistics),
        depth=segmenter.depth,
        downsample=segmenter.downsample,
        scales=segmenter.scales,
    )
    part = _part(plane, statistics, plan)
    found = _trace(segmenter, plan, part if fixed else _stretched(part), folder / "model.pt")
    graph = onnx_model(plan, segmenter.weights, GIVEN, FOUND)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    segmenter.save(folder / PACKED)
    np.save(folder / "image.npy", part[None])
    np.save(folder / "probabilities.npy", found[None])
    (folder / "cover.png").write_bytes(cover(part, statistics, found))
    text = readme(segmenter, plan, name, fixed=fixed)
    (folder / "README.md").write_text(text, encoding="utf-8")
    fields = described(segmenter, plan, name, fixed=fixed)
    (folder / "rdf.yaml").write_text(json.dumps(fields, indent=2), encoding="utf-8")


def _part(plane: Any, statistics: Floats, plan: PortablePlan) -> Floats:
    """Return the middle of a plane with sides that the graph takes, mirrored where it is small."""
    spans = []
    for n in plane.shape[1:]:
        side = max(min(n, SIDE) // plan.step * plan.step, plan.smallest)
        start = max((n - side) // 2, 0)
        spans.append(slice(start, start + side))
    part = as_float32(read_mirrored(plane, spans))
    finite: Floats = np.where(np.isfinite(part), part, statistics[:, :1, None])
    return finite


def _stretched(part: Floats) -> Floats:
    """Stretch grey values as the other programs are told to."""
    low, high = np.percentile(part, [LOW, HIGH], axis=(1, 2), keepdims=True)
    for channel in np.flatnonzero(low == high):
        raise InputError(
            f"In the middle of the image, nearly all pixels of channel {channel} are "
            f"{low.flat[channel]:g}; give an image that shows more."
        )
    stretched: Floats = ((part - low) / (high - low)).astype(np.float32)
    return stretched


def _trace(segmenter: Segmenter, plan: PortablePlan, given: Floats, path: Path) -> Floats:
    """Save the graph as TorchScript, and return the probabilities (K, Y, X) of what is given."""
    network = segmenter.network().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    portable = PortableNetwork(network, plan).eval()
    batch = torch.from_numpy(given[None])
    with torch.no_grad(), warnings.catch_warnings():
        # PyTorch would rather have another form, which none of the programs reads
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        traced = torch.jit.trace(portable, batch[:, :, : plan.smallest, : plan.smallest])
        # not into the file: where the disk is full, torch ends the program
        path.write_bytes(traced.save_to_buffer())
        found: Floats = traced(batch)[0].numpy()
    return found
