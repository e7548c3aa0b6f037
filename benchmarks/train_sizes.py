"""Accuracies of random networks of ``digits-sizes``: what the benchmark's accuracy predictor is fitted to.

``python benchmarks/train_sizes.py --out FILE.json`` trains networks from scratch on scikit-learn's digits and
writes one row per network as it goes; started again, it goes on where it was. Each is tested on the 797 test
pictures after a short recipe, so that accuracy is a matter of the network and not of patience.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rhnas.files import read_json, write_json
from rhnas.nas.data.load import load_data
from rhnas.nas.network import Network
from rhnas.nas.train import Training, evaluate
from rhnas.networks.spaces.base import Architecture, NetworkSpace
from rhnas.networks.spaces.registry import network_space
from rhnas.provenance import provenance
from rhnas.seeds import Seeds
from rhnas.settings import TrainSettings

RECIPE = TrainSettings(epochs=12, batch=50, learning_rate=0.1)
TRAIN = 500
"""Training pictures; few, so that networks differ by more than the 797 test pictures' noise."""


def random_networks(space: NetworkSpace, count: int, seeds: Seeds) -> list[Architecture]:
    """Networks without repetition; options of blocks that do not run are 0."""
    rng = seeds.child("networks").numpy()
    found: dict[object, Architecture] = {}
    while len(found) < count:
        drawn = space.sample(rng)
        found[tuple(layer.shape for layer in space.workload(drawn))] = drawn
    return list(found.values())


def accuracy_of(space: NetworkSpace, architecture: Architecture, seeds: Seeds) -> float:
    """Test accuracy of one network, trained from scratch."""
    data = load_data("digits", seeds, train=TRAIN)
    network = Network(space.workload(architecture), seeds)
    training = Training(network, RECIPE, data, seeds)
    while not training.finished:
        training.step()
    return evaluate(network, data, data.read_test())


def main() -> None:
    """Train what is still missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=1, help="trainings of each, of other seeds")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    space, started = network_space("digits-sizes"), time.perf_counter()
    rows: list[dict[str, Any]] = read_json(given.out)["networks"] if given.out.exists() else []
    for architecture in random_networks(space, given.networks, Seeds(root=0))[len(rows) :]:
        found = [accuracy_of(space, architecture, Seeds(root=seed)) for seed in range(given.repeats)]
        rows.append({"options": list(architecture), "accuracies": found})
        recipe = {**RECIPE.model_dump(), "train": TRAIN, "repeats": given.repeats}
        write_json(given.out, {"schema": 1, "recipe": recipe, "networks": rows, "provenance": provenance()})
        seconds = time.perf_counter() - started
        print(f"{len(rows)} networks, {seconds:.0f} s, last {np.mean(found):.4f}", flush=True)


if __name__ == "__main__":
    main()
