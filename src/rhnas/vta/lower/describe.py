"""What a driver has to know of a compiled network, as plain values for a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from rhnas.vta.lower.layer import LoweredLayer
from rhnas.vta.lower.network import CompiledNetwork, picture_name
from rhnas.vta.mapping_nest import FOLDED
from rhnas.workload import PICTURE

ORDER = "[storage group][row][column][picture][channel of the group]"
"""Of every activation, one byte each; channels and pictures that are not there are zeros."""


def describe_pictures(compiled: CompiledNetwork) -> list[dict[str, Any]]:
    """Where the driver writes the picture, and how; once for every layer that reads it.

    ``pixels.bin`` is int8 [channel][256]: what becomes of a pixel. Where kernel columns are folded, the
    tensor's channel ``c * columns + k`` holds at column ``w`` the picture's channel ``c`` at column
    ``w * stride + k - padding``, zero beyond the edges.
    """
    found = []
    for lowered in compiled.layers:
        if PICTURE not in lowered.quantized.layer.inputs:
            continue
        place = compiled.region(picture_name(lowered))
        layer, n = lowered.quantized.layer, lowered.numbers
        folded = lowered.form == FOLDED
        width = lowered.widths[0]
        columns = layer.kernel[1] if folded else 1
        found.append(
            {
                "region": place.name,
                "address": place.address,
                "bytes": place.size,
                "picture": [layer.channels[0], *layer.size],
                "fraction_bits": compiled.network.picture_bits,
                "pixels": "pixels.bin",
                "order": ORDER,
                "shape": [n["groups_in"], n["in_h"], n["in_w"], lowered.config.batch, width],
                "channels": layer.channels[0] * columns,
                "folded_columns": {"columns": columns, "stride": layer.stride[1], "padding": layer.padding[1]}
                if folded
                else None,
            }
        )
    return found


def describe_scores(compiled: CompiledNetwork) -> dict[str, Any]:
    """Where the driver reads the class scores, and how."""
    last = compiled.layers[-1]
    place = compiled.region(last.quantized.layer.name)
    n = last.numbers
    return {
        "region": place.name,
        "address": place.address,
        "bytes": place.size,
        "order": ORDER,
        "shape": [n["groups_out"], n["out_h"], n["out_w"], last.config.batch, last.widths[1]],
        "channels": last.quantized.layer.channels[1],
        "fraction_bits": last.quantized.fraction_bits,
    }


def describe_layers(compiled: CompiledNetwork, cycles: Mapping[str, int]) -> list[dict[str, Any]]:
    """Each layer's mapping, its range of instructions and its cycles by the cost model."""
    first = compiled.first_instruction.tolist()
    return [
        _layer(lowered, begin, end) | {"modelled_cycles": cycles[lowered.quantized.layer.name]}
        for lowered, (begin, end) in zip(compiled.layers, pairwise(first), strict=True)
    ]


def _layer(lowered: LoweredLayer, begin: int, end: int) -> dict[str, Any]:
    layer = lowered.quantized.layer
    return {
        "name": layer.name,
        "kind": layer.kind.name.lower(),
        "mapping": lowered.mapping.to_json(),
        "first_instruction": begin,
        "instructions": end - begin,
    }
