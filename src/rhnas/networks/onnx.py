"""Import of a fixed network from an ONNX file: shapes and wiring, no weights."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from rhnas.errors import DataError, MissingToolError, UnsupportedNetworkError
from rhnas.workload import PICTURE, Layer, LayerKind, Workload

Shape = tuple[int, ...]

_SHAPE_OPERATORS = frozenset({"Constant", "Shape", "Gather", "Concat", "Unsqueeze", "Slice", "Cast"})
"""Allowed where they compute constants, as exporters emit for ``x.view(x.size(0), -1)``."""


def read_onnx(path: Path) -> Workload:
    """The network of an ONNX file as a workload for one picture.

    Batch norm, bias, ReLU and ReLU6 belong to the layer they follow; flattening, dropout and identity
    vanish. Layer names are node names, or the name of the node's output where a node has none.

    Args:
        path: A model with one input (batch, channels, height, width); only the batch may be dynamic.

    Raises:
        MissingToolError: The ``onnx`` extra is not installed.
        DataError: The file is absent or not a valid ONNX model.
        UnsupportedNetworkError: An operator, attribute or shape the accelerator cannot run; the message
            names the node and its operator.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingToolError(
            "reading an ONNX file needs the package onnx", fix="pip install 'rhnas[onnx]'"
        ) from error
    model = _load(onnx, path)
    _check_operators(model.graph)
    return _Importer(onnx, _infer_shapes(onnx, model, path)).workload(path.stem)


def _load(onnx: Any, path: Path) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise DataError(f"{path} must be readable", got=error.strerror or error) from error
    except (DecodeError, ValueError) as error:
        raise DataError(f"{path} must be an ONNX model", got=error, fix="export the network again") from error
    if not model.graph.node:
        raise DataError(f"{path} must be an ONNX model with a graph", got="no nodes")
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _check_operators(graph: Any) -> None:
    for node in graph.node:
        known = node.op_type in _HANDLERS or node.op_type in _SHAPE_OPERATORS
        if not known or node.domain not in ("", "ai.onnx"):
            near = difflib.get_close_matches(node.op_type, _HANDLERS, n=1)
            hint = f"; the nearest supported one is {near[0]}" if near else ""
            raise _unsupported(
                node, f"operators must be one of {', '.join(_HANDLERS)}", f"{node.op_type}{hint}"
            )


def _infer_shapes(onnx: Any, model: Any, path: Path) -> Any:
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        dimensions = value.type.tensor_type.shape.dim
        # Only a batch nobody has fixed becomes one picture; other free sizes are refused when they are met.
        if value.name not in constants and dimensions and not dimensions[0].HasField("dim_value"):
            dimensions[0].dim_value = 1
    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError) as error:
        raise DataError(f"the shapes of {path} must be consistent", got=error) from error


def _unsupported(node: Any, what: str, got: object) -> UnsupportedNetworkError:
    return UnsupportedNetworkError(
        f"node {_label(node)!r} ({node.op_type}): {what}",
        got=got,
        fix="export a network of convolutions, dense layers, additions, pooling and ReLU only",
    )


def _label(node: Any) -> str:
    return str(node.name or node.output[0])


class _Importer:
    """Walks the nodes in order; knows for every tensor which layer wrote it."""

    def __init__(self, onnx: Any, model: Any) -> None:
        self._onnx = onnx
        self._graph = model.graph
        self._values: dict[str, Any] = {
            tensor.name: onnx.numpy_helper.to_array(tensor) if not tensor.external_data else None
            for tensor in self._graph.initializer
        }
        self._shapes: dict[str, Shape] = {
            tensor.name: tuple(tensor.dims) for tensor in self._graph.initializer
        }
        for value in (*self._graph.input, *self._graph.value_info, *self._graph.output):
            sizes = [d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim]
            self._shapes.setdefault(value.name, tuple(sizes))
        self._readers = Counter(name for node in self._graph.node for name in node.input)
        self._readers.update(value.name for value in self._graph.output)
        self._layers: dict[str, Layer] = {}
        self._writers: dict[str, str] = {}

    def workload(self, name: str) -> Workload:
        """All layers, in the order of the file."""
        pictures = [value.name for value in self._graph.input if value.name not in self._values]
        if len(pictures) != 1 or len(self._shapes[pictures[0]]) != 4:
            raise UnsupportedNetworkError(
                f"network {name!r} must have one input (batch, channels, height, width)",
                got={name: self._shapes[name] for name in pictures},
            )
        self._writers[pictures[0]] = PICTURE
        for node in self._graph.node:
            if node.op_type in _SHAPE_OPERATORS and self._computes_constant(node):
                self._values.update(dict.fromkeys(node.output, self._constant(node)))
            elif node.op_type in _HANDLERS:
                _HANDLERS[node.op_type](self, node)
            else:
                raise _unsupported(node, "must work on constants only", node.input[0])
        return Workload(name=name, layers=tuple(self._layers.values()))

    def conv(self, node: Any) -> None:
        """A convolution, depthwise and grouped ones included."""
        channels, height, width = self._picture(node, node.input[0])
        weight = self._weight(node, 4)
        attributes = self._attributes(node)
        if set(attributes.get("dilations", [1])) != {1}:
            raise _unsupported(node, "dilations must be 1", attributes["dilations"])
        groups = attributes.get("group", 1)
        if weight[1] * groups != channels:
            raise _unsupported(node, f"the weight must read {channels} channels", weight[1] * groups)
        kernel = (weight[2], weight[3])
        stride = self._pair(attributes, "strides")
        self._append(
            node,
            channels=(channels, weight[0]),
            size=(height, width),
            kernel=kernel,
            stride=stride,
            padding=self._padding(node, attributes, kernel, stride, (height, width)),
            groups=groups,
        )

    def gemm(self, node: Any) -> None:
        """A dense layer, with ``Gemm`` or with ``MatMul``."""
        attributes = self._attributes(node)
        weight = self._weight(node, 2)
        given = self._shape(node, node.input[0])
        if attributes.get("transA", 0) or len(given) != 2:
            raise _unsupported(node, "must multiply (pictures, features) by a constant matrix", given)
        inputs, outputs = weight[::-1] if attributes.get("transB", 0) else weight
        if inputs != given[1]:
            raise _unsupported(node, f"the weight must read {given[1]} features", inputs)
        self._append(node, kind=LayerKind.DENSE, channels=(inputs, outputs))

    def pool(self, node: Any) -> None:
        """Maximum and average pooling."""
        channels, height, width = self._picture(node, node.input[0])
        attributes = self._attributes(node)
        kernel, stride = self._pair(attributes, "kernel_shape"), self._pair(attributes, "strides")
        padding = self._padding(node, attributes, kernel, stride, (height, width))
        average = node.op_type == "AveragePool"
        if set(attributes.get("dilations", [1])) != {1}:
            raise _unsupported(node, "dilations must be 1", attributes["dilations"])
        if average and any(padding) and not attributes.get("count_include_pad", 0):
            raise _unsupported(node, "an average must count its padding (count_include_pad=1)", padding)
        self._append(
            node,
            kind=LayerKind.AVG_POOL if average else LayerKind.MAX_POOL,
            channels=(channels, channels),
            size=(height, width),
            kernel=kernel,
            stride=stride,
            padding=padding,
        )

    def global_average(self, node: Any) -> None:
        """``GlobalAveragePool``, or ``ReduceMean`` over height and width."""
        channels, height, width = self._picture(node, node.input[0])
        if node.op_type == "ReduceMean":
            axes = self._attributes(node).get("axes")
            if axes is None and len(node.input) > 1:
                axes = self._values.get(node.input[1])
            if axes is None or {int(axis) % 4 for axis in np.ravel(axes)} != {2, 3}:
                raise _unsupported(node, "a mean must be over height and width", axes)
        self._append(
            node,
            kind=LayerKind.AVG_POOL,
            channels=(channels, channels),
            size=(height, width),
            kernel=(height, width),
        )

    def add(self, node: Any) -> None:
        """A sum of two tensors, or the bias of the layer before it."""
        tensors = [name for name in node.input if name not in self._values]
        if len(tensors) == 1:
            self._absorb(node, tensors[0], (LayerKind.CONV, LayerKind.DENSE), before_relu=True)
            return
        first, second = (self._shape(node, name) for name in tensors)
        if first != second:
            raise _unsupported(node, "must add tensors of one shape", f"{first} and {second}")
        channels, height, width = self._picture(node, tensors[0])
        self._append(node, kind=LayerKind.ADD, channels=(channels, channels), size=(height, width))

    def batch_norm(self, node: Any) -> None:
        """A batch norm, which folds into the convolution or dense layer before it."""
        self._absorb(node, node.input[0], (LayerKind.CONV, LayerKind.DENSE), before_relu=True)

    def relu(self, node: Any) -> None:
        """``Relu``, or ``Clip`` from zero (ReLU6)."""
        if node.op_type == "Clip" and self._clip_minimum(node) != 0:
            raise _unsupported(node, "must clip from 0 (ReLU or ReLU6)", self._clip_minimum(node))
        layer = self._absorb(node, node.input[0], tuple(LayerKind))
        self._layers[layer.name] = replace(layer, relu=True)

    def view(self, node: Any) -> None:
        """Flattening, dropout and identity: the same numbers in the same order."""
        if node.input[0] in self._values:
            self._values[node.output[0]] = self._values[node.input[0]]
            self._shapes[node.output[0]] = self._shapes.get(node.input[0], ())
            return
        given, got = self._shape(node, node.input[0]), self._shape(node, node.output[0])
        flat = (given[0], math.prod(given[1:]))
        if got not in (given, flat) and [s for s in got if s != 1] != [s for s in given if s != 1]:
            raise _unsupported(node, "a reshape must flatten the picture", f"{given} to {got}")
        self._writers[node.output[0]] = self._source(node, node.input[0])

    def _append(self, node: Any, **shape: Any) -> None:
        name = _label(node)
        while name in self._layers:
            name += "_"
        tensors = [tensor for tensor in node.input if tensor and tensor not in self._values]
        sources = tuple(self._source(node, tensor) for tensor in tensors)
        try:
            layer = Layer(name=name, inputs=sources, **shape)
        except UnsupportedNetworkError as error:
            raise _unsupported(node, error.what, error.got) from error
        expected = (layer.channels[1], *layer.output_size)
        written = (*self._shape(node, node.output[0])[1:], 1, 1)[:3]
        if written != expected:
            raise _unsupported(node, f"must write (channels, height, width) {expected}", written)
        self._layers[name] = layer
        self._writers[node.output[0]] = name

    def _absorb(
        self, node: Any, tensor: str, kinds: Sequence[LayerKind], *, before_relu: bool = False
    ) -> Layer:
        """Let the node belong to the layer that wrote ``tensor``, if nothing else reads that tensor."""
        layer = self._layers.get(self._source(node, tensor))
        fits = layer is not None and layer.kind in kinds and not (before_relu and layer.relu)
        if layer is None or not fits or self._readers[tensor] != 1:
            raise _unsupported(node, "must follow a layer whose result nothing else reads", repr(tensor))
        self._writers[node.output[0]] = layer.name
        return layer

    def _source(self, node: Any, tensor: str) -> str:
        if tensor not in self._writers:
            raise _unsupported(node, "must read the picture or a layer", repr(tensor))
        return self._writers[tensor]

    def _shape(self, node: Any, tensor: str) -> Shape:
        shape = self._shapes.get(tensor, ())
        if not shape or min(shape) < 1:
            raise _unsupported(node, f"tensor {tensor!r} must have a fixed shape", shape or "no shape")
        return shape

    def _picture(self, node: Any, tensor: str) -> tuple[int, int, int]:
        shape = self._shape(node, tensor)
        if len(shape) not in (2, 4):
            raise _unsupported(node, f"tensor {tensor!r} must be (batch, channels, height, width)", shape)
        return cast("tuple[int, int, int]", (*shape[1:], 1, 1)[:3])

    def _weight(self, node: Any, rank: int) -> Shape:
        shape = self._shapes.get(node.input[1], ())
        if node.input[1] not in self._values or len(shape) != rank:
            raise _unsupported(node, f"the weight must be a constant of rank {rank}", shape)
        return shape

    def _attributes(self, node: Any) -> dict[str, Any]:
        return {a.name: self._onnx.helper.get_attribute_value(a) for a in node.attribute}

    def _pair(self, attributes: dict[str, Any], name: str) -> tuple[int, int]:
        first, second = attributes.get(name, (1, 1))
        return int(first), int(second)

    def _padding(
        self, node: Any, attributes: dict[str, Any], kernel: Shape, stride: Shape, size: Shape
    ) -> tuple[int, int]:
        """Padding on both (vertical, horizontal) sides; ONNX lists top, left, bottom, right."""
        automatic = attributes.get("auto_pad", b"NOTSET")
        if automatic in (b"SAME_UPPER", b"SAME_LOWER"):
            totals = [
                max(0, (-(-pixels // step) - 1) * step + window - pixels)
                for pixels, step, window in zip(size, stride, kernel, strict=True)
            ]
            if any(total % 2 for total in totals):
                raise _unsupported(
                    node, "padding must be symmetric", f"{totals} in all ({automatic.decode()})"
                )
            return totals[0] // 2, totals[1] // 2
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
        if (top, left) != (bottom, right):
            raise _unsupported(node, "padding must be symmetric", [top, left, bottom, right])
        return int(top), int(left)

    def _clip_minimum(self, node: Any) -> float | None:
        if len(node.input) > 1 and node.input[1]:
            value = self._values.get(node.input[1])
            return None if value is None else float(np.ravel(value)[0])
        minimum = self._attributes(node).get("min")
        return None if minimum is None else float(minimum)

    def _computes_constant(self, node: Any) -> bool:
        return node.op_type == "Shape" or all(name in self._values for name in node.input)

    def _constant(self, node: Any) -> Any:
        value = self._attributes(node).get("value")
        if node.op_type != "Constant" or not isinstance(value, self._onnx.TensorProto):
            return None
        array = self._onnx.numpy_helper.to_array(value)
        self._shapes[node.output[0]] = array.shape
        return array


_HANDLERS: dict[str, Callable[[_Importer, Any], None]] = {
    "Conv": _Importer.conv,
    "Gemm": _Importer.gemm,
    "MatMul": _Importer.gemm,
    "Add": _Importer.add,
    "Relu": _Importer.relu,
    "Clip": _Importer.relu,
    "BatchNormalization": _Importer.batch_norm,
    "MaxPool": _Importer.pool,
    "AveragePool": _Importer.pool,
    "GlobalAveragePool": _Importer.global_average,
    "ReduceMean": _Importer.global_average,
    "Flatten": _Importer.view,
    "Reshape": _Importer.view,
    "Squeeze": _Importer.view,
    "Identity": _Importer.view,
    "Dropout": _Importer.view,
}
