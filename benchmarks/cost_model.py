"""Speed of the cost model: (layer, design) pairs a second on every realizable design of vta-intel.

Run: python benchmarks/cost_model.py [--network resnet18] [--space vta-intel] [--designs 20]

Prints the rate of one call on the whole space, where equal layers, equal designs and the mappings of a group
are priced once, and the rate where every pair is asked for alone and nothing is shared.
"""

import argparse
import resource
import time

import numpy as np

from rhnas.networks.zoo import load_network
from rhnas.platform import load_platform


def main() -> None:
    """Time both ways of asking, and say how much memory the larger one took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--space", default="vta-intel")
    parser.add_argument("--designs", type=int, default=20, help="designs of the rate without sharing")
    given = parser.parse_args()
    platform = load_platform()
    model, layers = platform.cost_model(), load_network(given.network).layers
    feasible = platform.space(given.space).feasible()
    batch = feasible.space.decode(feasible.all())
    model.evaluate(batch.take(slice(0, 1)), layers[:1])  # compiles, or reads what was compiled

    start = time.perf_counter()
    cost = model.evaluate(batch, layers)
    seconds = time.perf_counter() - start
    pairs = len(batch) * len(layers)
    print(f"{given.space} x {given.network}: {len(batch):,} designs x {len(layers)} layers = {pairs:,} pairs")
    print(f"  shared:    {seconds:8.2f} s, {pairs / seconds:12,.0f} pairs/s")
    bounds = model.bounds(batch, layers)
    assert (cost.cycles[cost.mapped].min(axis=-1) >= bounds[cost.mapped]).all()

    chosen = np.random.default_rng(0).choice(len(batch), size=given.designs, replace=False)
    start = time.perf_counter()
    for design in chosen:
        alone = batch.take(slice(int(design), int(design) + 1))
        for layer in layers:
            model.evaluate(alone, [layer])
    seconds = time.perf_counter() - start
    pairs = given.designs * len(layers)
    print(f"  unshared:  {seconds:8.2f} s, {pairs / seconds:12,.0f} pairs/s ({given.designs} random designs)")
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
