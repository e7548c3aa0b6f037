"""What layers cost on the example accelerator: reads a question, prints the answer. Any language will do."""

import json
import math
import sys

question = json.load(sys.stdin)
chip = question["accelerator"]
lanes, bus = chip["LANES"], chip["BUS_BITS"] // 8
buffer = chip["BUFFER_KIB"] * 1024


def price(layer):
    """Cycles and energy of one layer, or why it cannot run."""
    inputs = layer["in_channels"] * layer["in_height"] * layer["in_width"]
    inputs *= 2 if layer["kind"] == "add" else 1
    outputs = layer["out_channels"] * layer["out_height"] * layer["out_width"]
    row = layer["in_channels"] * layer["in_width"] * layer["kernel_height"]
    if row > buffer:
        return {"infeasible": "row_buffer: the rows under the kernel must fit the buffer"}
    taps = layer["kernel_height"] * layer["kernel_width"]
    depth = math.ceil(layer["in_channels"] // layer["groups"] * taps / lanes)
    compute = math.ceil(layer["out_channels"] / lanes) * depth * layer["out_height"] * layer["out_width"]
    again = math.ceil(layer["parameters"] / buffer)  # the picture is read once for each part of the weights
    moved = inputs * max(again, 1) + outputs + layer["parameters"]
    return {
        "cycles": max(compute, math.ceil(moved / bus)) + 100,
        "energy_pj": layer["macs"] * 0.56 + moved * 100 + compute * lanes,
    }


json.dump({"layers": [price(layer) for layer in question["layers"]]}, sys.stdout)
