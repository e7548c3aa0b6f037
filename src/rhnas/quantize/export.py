"""An integer network as an ONNX model of standard operators whose scores are the golden model's, bit for bit.

The model reads raw pixels. Sums are taken in int32 by ConvInteger and MatMulInteger; the shift right is a
product with a power of two in float64, which is exact for every int32, and Floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rhnas.errors import MissingToolError, ToolFailedError
from rhnas.files import write_atomically
from rhnas.quantize import golden
from rhnas.quantized import QuantizedLayer, QuantizedNetwork
from rhnas.workload import PICTURE, Layer, LayerKind

OPSET = 17
IR_VERSION = 8
"""Of opset 17 (2022); every runtime since reads it."""
INPUT, OUTPUT = "pixels", "scores"
PIXEL_VALUES = 256


def write_onnx(network: QuantizedNetwork, path: Path, pictures: npt.NDArray[np.uint8]) -> None:
    """Write a network as ONNX and have onnxruntime reproduce its scores.

    Args:
        network: In integers.
        path: The file.
        pictures: uint8 (N, C, H, W), what it is checked on before anything is written.

    Raises:
        MissingToolError: The ``onnx`` extra is not installed.
        ToolFailedError: onnxruntime's scores are not the golden model's.
    """
    content = onnx_model(network).SerializeToString()
    got = onnx_scores(content, pictures)
    expected = golden.run(network, network.read_pixels(pictures))
    if not np.array_equal(got, expected):
        wrong = int((got != expected).any(axis=1).sum())
        raise ToolFailedError(
            "the written ONNX model must give the golden model's scores",
            got=f"others for {wrong} of {len(pictures)} pictures",
            fix="compare the versions of onnx and onnxruntime with constraints.txt",
        )
    write_atomically(path, content)


def onnx_scores(model: bytes, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    """What onnxruntime computes, int8 (N, classes), of uint8 (N, C, H, W).

    Raises:
        MissingToolError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingToolError(
            "checking an ONNX model needs onnxruntime", fix="pip install 'rhnas[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (scores,) = session.run([OUTPUT], {INPUT: pictures})
    return np.asarray(scores)


def onnx_model(network: QuantizedNetwork) -> Any:
    """The network as an ``onnx.ModelProto``: uint8 (N, C, H, W) ``pixels`` to int8 (N, classes) ``scores``.

    Raises:
        MissingToolError: onnx is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingToolError("writing an ONNX model needs onnx", fix="pip install 'rhnas[onnx]'") from error
    graph = _Graph(onnx)
    graph.read_pixels(network)
    for layer in network:
        graph.add_layer(layer)
    last = network.layers[-1].layer
    graph.node("Reshape", [last.name, graph.constant("score_shape", np.array([0, -1]))], OUTPUT)
    model = graph.model(network, classes=last.channels[1] * last.output_size[0] * last.output_size[1])
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Nodes and constants of a model under construction; a tensor is named after the layer that gives it."""

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        """Add a constant; its name."""
        self._constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node; its output's name."""
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def cast(self, source: str, kind: str, output: str) -> str:
        """Add a conversion to ``INT8``, ``INT32``, ``INT64`` or ``DOUBLE``."""
        return self.node("Cast", [source], output, to=getattr(self._onnx.TensorProto, kind))

    def read_pixels(self, network: QuantizedNetwork) -> None:
        """The picture: each channel's pixels through its own table."""
        channels = len(network.pixels)
        start = self.constant(
            "pixel_table_of_channel", PIXEL_VALUES * np.arange(channels).reshape(1, channels, 1, 1)
        )
        table = self.constant("pixel_table", network.pixels.reshape(-1))
        index = self.node("Add", [self.cast(INPUT, "INT64", "pixel"), start], "pixel_index")
        self.node("Gather", [table, index], "picture")

    def add_layer(self, quantized: QuantizedLayer) -> None:
        """A layer's sums, then bias, rounding, shift and clip."""
        layer = quantized.layer
        sources = ["picture" if source == PICTURE else source for source in layer.inputs]
        dense = layer.kind is LayerKind.DENSE
        sums = self._dense(quantized, sources[0]) if dense else self._sums(quantized, sources)
        shape = (-1,) if dense else (-1, 1, 1)
        offset = self.constant(f"{layer.name}.offset", quantized.offset.reshape(shape))
        value = self.node("Add", [sums, offset], f"{layer.name}.accumulator")
        value = self.cast(value, "DOUBLE", f"{layer.name}.exact")
        scale = self.constant(f"{layer.name}.scale", np.ldexp(1.0, -quantized.shift).reshape(shape))
        value = self.node("Mul", [value, scale], f"{layer.name}.scaled")
        value = self.node("Floor", [value], f"{layer.name}.shifted")
        low, high = (
            self.constant(f"{layer.name}.{name}", np.array(float(limit)))
            for name, limit in zip(("low", "high"), quantized.clip, strict=True)
        )
        value = self.node("Clip", [value, low, high], f"{layer.name}.clipped")
        self.cast(value, "INT8", layer.name)

    def _dense(self, quantized: QuantizedLayer, source: str) -> str:
        name = quantized.layer.name
        flat = self.node(
            "Reshape", [source, self.constant(f"{name}.flat", np.array([0, -1]))], f"{name}.input"
        )
        weight = self.constant(f"{name}.weight", np.asarray(quantized.weight).T)
        return self.node("MatMulInteger", [flat, weight], f"{name}.sums")

    def _sums(self, quantized: QuantizedLayer, sources: list[str]) -> str:
        layer = quantized.layer
        if layer.kind is LayerKind.ADD:
            return self._addition(quantized, sources)
        if layer.kind is LayerKind.MAX_POOL:
            maxima = self.node("MaxPool", sources, f"{layer.name}.maxima", **_window(layer))
            return self.cast(maxima, "INT32", f"{layer.name}.sums")
        weight, groups = np.asarray(quantized.weight), layer.groups
        if layer.kind is LayerKind.AVG_POOL:
            groups = layer.channels[0]
            weight = np.full((groups, 1, *layer.kernel), quantized.multiplier, np.int8)
        inputs = [*sources, self.constant(f"{layer.name}.weight", weight)]
        return self.node("ConvInteger", inputs, f"{layer.name}.sums", group=groups, **_window(layer))

    def _addition(self, quantized: QuantizedLayer, sources: list[str]) -> str:
        name = quantized.layer.name
        shifted = []
        for position, (source, left) in enumerate(zip(sources, quantized.left, strict=True)):
            wide = self.cast(source, "INT32", f"{name}.operand{position}")
            factor = self.constant(f"{name}.factor{position}", np.array(1 << left, np.int32))
            shifted.append(self.node("Mul", [wide, factor], f"{name}.shifted{position}"))
        return self.node("Add", shifted, f"{name}.sums")

    def model(self, network: QuantizedNetwork, classes: int) -> Any:
        """The finished model."""
        helper, types = self._onnx.helper, self._onnx.TensorProto
        stem = network.layers[0].layer
        shape = ["N", stem.channels[0], *stem.size]
        graph = helper.make_graph(
            self._nodes,
            network.name,
            [helper.make_tensor_value_info(INPUT, types.UINT8, shape)],
            [helper.make_tensor_value_info(OUTPUT, types.INT8, ["N", classes])],
            initializer=self._constants,
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="rhnas")


def _window(layer: Layer) -> dict[str, Any]:
    """Attributes of a sliding window."""
    return {
        "kernel_shape": list(layer.kernel),
        "strides": list(layer.stride),
        "pads": [*layer.padding, *layer.padding],
    }
