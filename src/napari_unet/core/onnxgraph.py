"""The graph of `napari_unet.core.portable` in ONNX, node by node.

PyTorch's own exporter writes newer versions of ONNX than Fiji can read (operators of version 17
and files of version 8 at most), and cannot write the mirroring in an older one. The network is a
chain of a dozen kinds of nodes, so they are put together here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from napari_unet.core.normalise import HIGHEST, LOWEST
from napari_unet.core.portable import SPARE, PortablePlan

__all__ = ["OPERATORS", "onnx_model"]

OPERATORS, FILE_VERSION = 17, 8

Weights: TypeAlias = Mapping[str, NDArray[np.float32]]
Value: TypeAlias = str
"""The name of what a node gives."""


def onnx_model(plan: PortablePlan, weights: Weights, given: str, found: str) -> onnx.ModelProto:
    """Return the graph that `napari_unet.core.portable.PortableNetwork` computes.

    Parameters
    ----------
    plan : PortablePlan
        What is done around the network.
    weights : dict of str to float32 array
        The state of the `UNet`.
    given, found : str
        Names of the input (N, C, Y, X) and the output (N, K, Y, X), both float32.
    """
    nodes = _Nodes()
    parts = _Network(nodes, plan, weights)
    factor = plan.downsample
    values = _compressed(nodes, nodes.mean_of_blocks(given, factor), plan)
    factors = [2**k for k in range(plan.scales)]
    looks = [nodes.larger(parts.look(nodes.mean_of_blocks(values, k)), k) for k in factors]
    nodes.add("Identity", nodes.larger(nodes.add("Mean", *looks), factor), name=found)
    sizes = len(plan.grey), len(weights["head.bias"])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, "y", "x"])
        for name, channels in zip((given, found), sizes, strict=True)
    ]
    graph = helper.make_graph(nodes.nodes, "U-Net", ends[:1], ends[1:], nodes.constants)
    operators = [helper.make_opsetid("", OPERATORS)]
    model = helper.make_model(graph, ir_version=FILE_VERSION, opset_imports=operators)
    onnx.checker.check_model(model)
    return model


class _Nodes:
    """Nodes and constants of a graph that is being put together."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: Value, name: str = "", **attributes: Any) -> Value:
        """Append a node, and return the name of what it gives."""
        name = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: object, dtype: str = "float32") -> Value:
        """Keep values, and return their name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def mean_of_blocks(self, values: Value, factor: int) -> Value:
        """Average blocks of so many pixels a side."""
        if factor == 1:
            return values
        return self.add("AveragePool", values, kernel_shape=[factor] * 2, strides=[factor] * 2)

    def larger(self, values: Value, factor: int) -> Value:
        """Interpolate as `napari_unet.core.resolution.refine` does."""
        if factor == 1:
            return values
        by = self.constant([1, 1, factor, factor])
        place = "half_pixel"
        return self.add(
            "Resize", values, "", by, mode="linear", coordinate_transformation_mode=place
        )

    def cut(self, values: Value, before: int, after: int) -> Value:
        """Cut so many rows and columns off."""
        starts, ends = self.constant([before] * 2, "int64"), self.constant([-after] * 2, "int64")
        return self.add("Slice", values, starts, ends, self.constant([2, 3], "int64"))


class _Network:
    """The nodes of the network."""

    def __init__(self, nodes: _Nodes, plan: PortablePlan, weights: Weights) -> None:
        self._nodes, self._plan = nodes, plan
        self._named = {name: nodes.constant(values) for name, values in weights.items()}

    def look(self, values: Value) -> Value:
        """Append the mirroring and a pass through the network (Fig. 1), up to the softmax."""
        nodes, (before, after) = self._nodes, self._plan.mirrored
        pads = nodes.constant([0, 0, before, before, 0, 0, after, after], "int64")
        x = nodes.add("Pad", values, pads, mode="reflect")
        skips = []
        for level in range(self._plan.depth):
            x = self._two_convolutions(f"down.{level}", x)
            skips.append(x)
            x = nodes.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = self._two_convolutions("bottom", x)
        crop = 4  # what the convolutions below lost on each side
        for index, skip in enumerate(reversed(skips)):
            x = self._convolution("ConvTranspose", f"up.{index}", x, 2, strides=[2, 2])
            x = nodes.add("Concat", nodes.cut(skip, crop, crop), x, axis=1)
            x = self._two_convolutions(f"merge.{index}", x)
            crop = 2 * (crop + 4)
        x = nodes.add("Softmax", self._convolution("Conv", "head", x, 1), axis=1)
        return nodes.cut(x, 0, SPARE)

    def _two_convolutions(self, name: str, x: Value) -> Value:
        for index in (0, 2):
            x = self._nodes.add("Relu", self._convolution("Conv", f"{name}.{index}", x, 3))
        return x

    def _convolution(self, kind: str, name: str, x: Value, side: int, **how: Any) -> Value:
        kernels, bias = self._named[f"{name}.weight"], self._named[f"{name}.bias"]
        return self._nodes.add(kind, x, kernels, bias, kernel_shape=[side] * 2, **how)


def _compressed(nodes: _Nodes, values: Value, plan: PortablePlan) -> Value:
    """Append what `napari_unet.core.normalise.normalise` does."""
    median, width, offset, scale = (nodes.constant(column[:, None, None]) for column in plan.grey.T)
    x = nodes.add("Asinh", nodes.add("Div", nodes.add("Sub", values, median), width))
    x = nodes.add("Div", nodes.add("Sub", x, offset), scale)
    return nodes.add("Clip", x, nodes.constant(LOWEST), nodes.constant(HIGHEST))
