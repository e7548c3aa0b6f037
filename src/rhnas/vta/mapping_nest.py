"""A layer as the loop nest that the machine runs: storage groups, lanes, reduction blocks, epilogue.

Activations lie in memory as [groups][height][width][BATCH][L] with L = max(BLOCK_IN, BLOCK_OUT): a pixel of
one storage group holds L channels, that is L / BLOCK_IN input tensors or L / BLOCK_OUT output tensors, its
*lanes*. Where BATCH > 1 and the blocks differ, lanes cannot be cut by the memory unit, and a layer is priced
as if its input lay in BLOCK_IN and its output in BLOCK_OUT; such designs are not chainable.

Everything here is compiled: it runs once per (layer shape, array shape) inside the cost kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rhnas.vta.compiled import inlined
from rhnas.workload import SHAPE_FIELDS, BoolArray, IntArray, Layer, LayerKind, layer_table

PLAIN, FOLDED, VECTOR = 0, 1, 2
"""Forms of a layer: on the GEMM as it is; with kernel columns folded into channels (the driver writes the
picture, so it may repeat columns); on the ALU from 8-bit accumulator loads."""

FORM_NAMES = ("gemm", "gemm, kernel columns folded into channels", "alu")
FORMS = len(FORM_NAMES)

CHANNELS_OUTER, PIXELS_OUTER = 0, 1
"""Loop orders: output-channel tiles outermost (a weight tile stays when it covers the whole reduction), or
pixel tiles outermost (an input tile stays likewise). The reduction is always innermost."""

ORDER_NAMES = ("channels outer", "pixels outer")

BEST, UPSTREAM = 0, 1
"""Schedules: what our compiler does; what TVM's VTA schedule does for convolutions."""

WEIGHTED = (LayerKind.CONV, LayerKind.DENSE)
"""Kinds whose weights are the network's; those of the others are diagonals the compiler makes."""

ADD_IMMEDIATES = 4
"""Residual addition on the ALU: align scales, add the rounding term, clip, shift."""
EPILOGUE_IMMEDIATES = 3
"""Shift, clip below, clip above."""
SHORT_IMMEDIATES = 2
"""Both clips in one, before the shift (``vta/lower/epilogue.py``): shifts up to 8, with a ReLU up to 9."""
SMALL_AVERAGE = 4
"""Pixels of the largest average whose shift is that small (``quantize.calibrate.reciprocal``)."""

NEST_FIELDS: Mapping[str, str] = {
    "valid": "0 where the layer does not have this form",
    "vector": "1 where the ALU does the work and inputs are loaded into accumulators",
    "out_h": "output rows",
    "out_w": "output columns",
    "in_h": "input rows",
    "in_w": "input columns",
    "kernel_h": "kernel rows",
    "kernel_w": "kernel columns; 1 after folding",
    "stride_h": "vertical stride",
    "stride_w": "horizontal stride; 1 after folding",
    "pad_h": "zero rows on each side",
    "pad_w": "zero columns on each side; 0 after folding",
    "lanes_in": "input tensors per pixel of a storage group",
    "lanes_out": "output tensors per pixel of a storage group",
    "pixel_in": "bytes of an input pixel of a storage group",
    "pixel_out": "bytes of an output pixel of a storage group",
    "tensor_wgt": "bytes of a weight tensor",
    "tensor_out": "bytes of an output tensor",
    "rows": "rows of an input or output tensor: BATCH",
    "groups_in": "storage groups of the input",
    "groups_out": "storage groups of the output",
    "blocks_in": "BLOCK_IN blocks of the whole input",
    "blocks_out": "BLOCK_OUT blocks of the output",
    "dense": "1 where every output reads every input channel, so that the reduction can be tiled",
    "steps": "GEMM steps per output pixel and kernel tap, over all output blocks",
    "touched": "most input blocks that an output block reads",
    "weights": "weight tensors",
    "shared": "1 where a few weight tensors serve all channels (pooling, addition) and stay",
    "operands": "input tensors of equal shape: 2 for an addition",
    "start_immediates": "ALU steps per output tensor that initialise the accumulators",
    "start_resets": "GEMM reset steps per output tensor that do",
    "end_immediates": "ALU steps with an immediate per output tensor of the epilogue",
    "end_tensors": "ALU steps on two tensors per output tensor of the epilogue",
    "bias": "1 where accumulators start from one value per output channel, 0 from one constant",
    "group_in": "input channels per group of a grouped convolution",
    "group_out": "output channels per group of a grouped convolution",
    "width_in": "channels per input storage group",
    "width_out": "channels per output storage group",
    "channels_out": "output channels",
    "reach": "most input storage groups that an output storage group reads (not dense)",
}
"""What describes a nest: name and meaning of each number."""

NEST = np.dtype([(name, np.int64) for name in NEST_FIELDS])
"""A nest as a record, so that compiled code passes it by reference."""

Nest = Any
"""A record of ``NEST``."""


def nests_of(layers: Sequence[Layer], arrays: IntArray, schedule: int) -> npt.NDArray[np.void]:
    """Every form of every layer on every array shape.

    Args:
        layers: L layers.
        arrays: int64 (N, 3): LOG_BATCH, LOG_BLOCK_IN, LOG_BLOCK_OUT.
        schedule: ``BEST`` or ``UPSTREAM``; upstream's epilogue is that of ungrouped convolutions only.

    Returns:
        Records of ``NEST``, (N, L, FORMS).
    """
    nests = np.zeros((len(arrays), len(layers), FORMS), dtype=NEST)
    columns = [np.int64(1) << arrays[:, None, i] for i in range(3)]  # (N, 1) each
    table = layer_table(layers)
    for form in range(FORMS):
        _fill(nests[:, :, form], table, columns, form, schedule)
    for position, layer in enumerate(layers):
        if layer.groups > 1 or layer.kind not in WEIGHTED:
            _count_touched(nests[:, position], layer, arrays)
    return nests


def _fill(
    nests: npt.NDArray[np.void], table: IntArray, columns: Sequence[IntArray], form: int, schedule: int
) -> None:
    """Set every field of one form, (N, L); ``_count_touched`` corrects those of grouped layers."""
    batch, block_in, block_out = columns
    layer = dict(zip(SHAPE_FIELDS, table.T, strict=True))  # (L,) each
    kind, picture = layer["kind"], layer["reads_picture"] == 1
    weighted = np.isin(kind, WEIGHTED)
    dense = weighted & (layer["groups"] == 1)
    adds, vector = kind == LayerKind.ADD, form == VECTOR
    _fill_loops(nests, layer, form)
    cin = layer["in_channels"] * (layer["kernel_width"] if form == FOLDED else 1)
    cout = layer["out_channels"]

    cuts = np.maximum(block_in, block_out)
    width_out = np.where(batch > 1, block_out, cuts)
    width_in = np.where(dense & picture, block_in, np.where(batch > 1, block_in, cuts))
    if vector:
        width_in = width_out
    nests["valid"] = (
        (kind != LayerKind.MAX_POOL, dense & picture & (layer["kernel_width"] > 1), ~weighted)[form]
        & ~(vector & (kind == LayerKind.AVG_POOL))
    )  # fmt: skip
    nests["vector"], nests["dense"], nests["shared"] = vector, dense, ~weighted
    nests["width_in"], nests["width_out"], nests["channels_out"] = width_in, width_out, cout
    nests["lanes_in"] = width_in // (block_out if vector else block_in)
    nests["lanes_out"] = width_out // block_out
    nests["pixel_in"], nests["pixel_out"] = batch * width_in, batch * width_out
    nests["tensor_wgt"], nests["tensor_out"] = block_in * block_out, batch * block_out
    nests["rows"] = batch
    nests["groups_in"], nests["groups_out"] = -(-cin // width_in), -(-cout // width_out)
    nests["blocks_in"], nests["blocks_out"] = -(-cin // block_in), -(-cout // block_out)
    nests["group_in"] = np.where(weighted, layer["in_channels"] // layer["groups"], 1)
    nests["group_out"] = np.where(weighted, cout // layer["groups"], 1)
    nests["operands"] = np.where(adds, 2, 1)
    nests["touched"] = nests["blocks_in"]
    nests["steps"] = nests["blocks_in"] * nests["blocks_out"]
    nests["weights"] = nests["steps"] * nests["kernel_h"] * nests["kernel_w"]
    nests["bias"] = weighted
    _fill_epilogue(nests, kind, dense, vector, schedule)
    if not vector:
        small = layer["kernel_height"] * layer["kernel_width"] <= SMALL_AVERAGE
        short = ((kind != LayerKind.AVG_POOL) | small) & (nests["end_tensors"] == 0)
        nests["end_immediates"] = np.where(short, SHORT_IMMEDIATES, nests["end_immediates"])


def _fill_loops(nests: npt.NDArray[np.void], layer: Mapping[str, IntArray], form: int) -> None:
    """Pixels, kernel, stride and padding; folding leaves one kernel column per output column."""
    for side, name, stride in (("h", "height", "vertical"), ("w", "width", "horizontal")):
        size, kernel = layer[f"in_{name}"], layer[f"kernel_{name}"]
        step, pad = layer[f"stride_{stride}"], layer[f"pad_{stride}"]
        out = (size + 2 * pad - kernel) // step + 1
        nests[f"out_{side}"] = out
        if form == FOLDED and side == "w":
            size, kernel, step, pad = out, np.ones_like(out), np.ones_like(out), np.zeros_like(out)
        nests[f"in_{side}"], nests[f"kernel_{side}"] = size, kernel
        nests[f"stride_{side}"], nests[f"pad_{side}"] = step, pad


def _fill_epilogue(
    nests: npt.NDArray[np.void], kind: IntArray, dense: BoolArray, vector: bool, schedule: int
) -> None:
    """Steps per output tensor before and after the reduction."""
    upstream = (kind == LayerKind.CONV) & dense & (schedule == UPSTREAM)
    nests["start_immediates"], nests["start_resets"] = ~upstream, upstream
    nests["end_immediates"], nests["end_tensors"] = EPILOGUE_IMMEDIATES, upstream
    if vector:
        pools = kind == LayerKind.MAX_POOL
        nests["start_immediates"] = 0
        nests["end_immediates"] = np.where(pools, 1, ADD_IMMEDIATES)
        nests["end_tensors"] = np.where(pools, nests["kernel_h"] * nests["kernel_w"] - 1, 1)


def _count_touched(nests: npt.NDArray[np.void], layer: Layer, arrays: IntArray) -> None:
    """Steps and weights of a block-diagonal GEMM: which input blocks each output block reads; (N, FORMS)."""
    grouped = layer.kind in WEIGHTED
    group = (layer.channels[0] // layer.groups, layer.channels[1] // layer.groups) if grouped else (1, 1)
    cout, operands = layer.channels[1], nests["operands"]
    counts = np.array([touched_blocks(cout, group, 1 << int(i), 1 << int(o)) for _, i, o in arrays])
    widths = zip(nests["width_in"][:, PLAIN], nests["width_out"][:, PLAIN], strict=True)
    nests["reach"] = np.array([touched_blocks(cout, group, int(i), int(o))[1] for i, o in widths])[:, None]
    nests["steps"], nests["touched"] = counts[:, :1] * operands, counts[:, 1:]
    nests["weights"] = counts[:, :1] * layer.kernel[0] * layer.kernel[1]
    if not grouped:
        # One diagonal per way a block of one side lies in a block of the other, and per operand's scale.
        nests["weights"] = operands << np.abs(arrays[:, 1:2] - arrays[:, 2:3])
    nests["reach"][:, VECTOR] = 1
    nests["steps"][:, VECTOR] = nests["weights"][:, VECTOR] = 0


@lru_cache(maxsize=1 << 16)
def touched_blocks(
    channels_out: int, group: tuple[int, int], block_in: int, block_out: int
) -> tuple[int, int]:
    """(sum, most) over output blocks of the input blocks that a block's groups read.

    Args:
        channels_out: Output channels.
        group: (input, output) channels of one group.
        block_in: Channels per input block.
        block_out: Channels per output block.

    Example:
        >>> touched_blocks(32, (1, 1), 16, 16)  # depthwise: the diagonal
        (2, 1)
    """
    first = np.arange(0, channels_out, block_out)
    last = np.minimum(first + block_out, channels_out) - 1
    low = first // group[1] * group[0] // block_in
    high = -(-(last // group[1] + 1) * group[0] // block_in)
    return int((high - low).sum()), int((high - low).max())


@inlined
def quotient(a: int, b: int) -> int:
    """``a // b`` of non-negative numbers below 2^53, where a rounded quotient never reaches the next integer.

    Integer division takes several times as long, and pricing a mapping is mostly divisions.
    """
    return int(a / b)


@inlined
def ceil_div(a: int, b: int) -> int:
    """``a / b`` rounded up; limits as for ``quotient``."""
    return int((a + b - 1) / b)
