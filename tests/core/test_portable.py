"""A model as one graph for other programs gives what this program gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.normalise import HIGH, LOW, grey_statistics, normalise, of_stretched
from napari_unet.core.onnxgraph import onnx_model
from napari_unet.core.portable import PortableNetwork, PortablePlan
from napari_unet.core.unet import UNet
from napari_unet.engine.inference import probabilities
from napari_unet.engine.segmenter import Segmenter

torch.set_num_threads(1)

Array = NDArray[np.float32]
Graph = Callable[[Array], Array]

KINDS: list[dict[str, int]] = [
    {},
    {"depth": 1, "in_channels": 3, "n_classes": 4},
    {"downsample": 3},
    {"scales": 3},
    {"downsample": 2, "scales": 2, "in_channels": 2},
]


def model(**settings: int) -> Segmenter:
    """A small network with random weights that says something about noise."""
    torch.manual_seed(3)
    shape = {"in_channels": 1, "n_classes": 3, "base_channels": 4, "depth": 2} | settings
    sizes = [shape[name] for name in ("in_channels", "n_classes", "base_channels", "depth")]
    return Segmenter(weights={}, kind="classes", **shape).with_weights(UNet(*sizes))


def image(shape: tuple[int, ...]) -> Array:
    """Smooth noise as a camera counts it, with a few very bright pixels."""
    rng = np.random.default_rng(4)
    counts = 400 + 3000 * ndimage.gaussian_filter(rng.normal(size=shape), (0, 2, 2))
    counts[:, 3:6, 40:44] = 60_000
    return counts.astype(np.float32)


def plan_of(segmenter: Segmenter, grey: Array) -> PortablePlan:
    """What is done around the network of a model."""
    return PortablePlan(
        grey=grey,
        depth=segmenter.depth,
        downsample=segmenter.downsample,
        scales=segmenter.scales,
    )


def in_torchscript(segmenter: Segmenter, plan: PortablePlan) -> Graph:
    """Traced on the smallest image that the graph takes."""
    network = segmenter.network().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    small = torch.rand(1, segmenter.in_channels, plan.smallest, plan.smallest)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced: Any = torch.jit.trace(PortableNetwork(network, plan).eval(), small)

    def run(values: Array) -> Array:
        with torch.no_grad():
            found: Array = traced(torch.from_numpy(values[None]))[0].numpy()
        return found

    return run


def in_onnx(segmenter: Segmenter, plan: PortablePlan) -> Graph:
    """Run by ONNX's own runtime, of a batch of two."""
    graph = onnx_model(plan, segmenter.weights, "in", "out").SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def run(values: Array) -> Array:
        batch = np.stack([np.zeros_like(values), values])
        found: Array = np.asarray(session.run(["out"], {"in": batch})[0])[1]
        return found

    return run


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("form", [in_torchscript, in_onnx])
def test_the_graph_gives_an_image_the_probabilities_that_this_program_gives_it(
    form: Callable[[Segmenter, PortablePlan], Graph], kind: dict[str, int]
) -> None:
    """Edges, working resolution and several resolutions included; any sides of whole steps."""
    segmenter = model(**kind)
    step = plan_of(segmenter, np.zeros((1, 4), np.float32)).step
    whole = image((segmenter.in_channels, 13 * step, 15 * step))
    graph = form(segmenter, plan_of(segmenter, grey_statistics(whole)))

    found = graph(whole)

    assert np.ptp(found) > 0.1
    np.testing.assert_allclose(found, probabilities(segmenter, whole), rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_tiles_without_their_halo_are_the_whole(kind: dict[str, int]) -> None:
    """So a program that cuts an image into tiles finds the same; with less it would not."""
    segmenter = model(**kind)
    step = plan_of(segmenter, np.zeros((1, 4), np.float32)).step
    whole = image((segmenter.in_channels, 16 * step, 18 * step))
    plan = plan_of(segmenter, grey_statistics(whole))
    graph, halo = in_onnx(segmenter, plan), plan.halo
    everything = graph(whole)
    y, x = 2 * step, 4 * step
    tile = graph(whole[:, y : y + plan.smallest, x : x + plan.smallest + step])

    inner = tile[:, halo:-halo, halo:-halo]
    wanted = everything[:, y + halo :, x + halo :][:, : inner.shape[1], : inner.shape[2]]

    assert inner.shape[1:] == (step, 2 * step)
    np.testing.assert_allclose(inner, wanted, rtol=0, atol=2e-5)
    edge = np.abs(tile - everything[:, y:, x:][:, : tile.shape[1], : tile.shape[2]])
    assert edge[:, step:].max() > 1e-3


def test_grey_values_stretched_by_others_are_compressed_like_those_of_the_file() -> None:
    """Percentiles to 0 and 1 first; brighter or darker images then look the same."""
    counts = image((2, 120, 130))
    low, high = np.percentile(counts, [LOW, HIGH], axis=(1, 2), keepdims=True)
    statistics = grey_statistics(counts)

    stretched = normalise((counts - low) / (high - low), of_stretched(statistics))

    np.testing.assert_allclose(stretched, normalise(counts, statistics), rtol=0, atol=1e-5)


def test_fiji_can_read_the_graph() -> None:
    """Its newest ONNX engine, 1.13, knows operators up to version 17 in files up to version 8."""
    segmenter = model(scales=2, downsample=2)
    graph = onnx_model(plan_of(segmenter, np.ones((1, 4), np.float32)), segmenter.weights, "a", "b")

    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 17)]
    assert graph.ir_version == 8
