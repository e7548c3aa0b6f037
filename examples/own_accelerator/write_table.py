"""Writes measured.csv: what the layers of resnet20 cost on seven arrays. Put your own measurements there.

The numbers here come from the model of the systolic array: python write_table.py > measured.csv
"""

import csv
import sys

from rhnas import load_network, load_platform
from rhnas.pricing import price_network

platform = load_platform("systolic")
network = load_network("resnet20")
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(["ROWS", "COLS", "network", "layer", "cycles", "energy_pj", "macs_per_cycle"])
for rows in (8, 16, 32):
    for cols in (8, 16, 32):
        if max(rows, cols) <= 2 * min(rows, cols):
            design = platform.default() | {"ROWS": rows, "COLS": cols, "VECTOR_LANES": 4}
            for layer in price_network(platform, design, network, platform.cost_model()).layers:
                cost = [layer.cycles, round(layer.energy_uj * 1e6)]
                out.writerow([rows, cols, network.name, layer.name, *cost, rows * cols])
