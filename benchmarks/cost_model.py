"""Speed of the cost model: (layer, design) pairs a second on every realizable design of vta-intel.

Run: python benchmarks/cost_model.py [--network resnet18] [--space vta-intel] [--designs 20] [--large]

Prints the rate of one call on the whole space, where equal layers, equal designs and the mappings of a group
are priced once, the rate where every pair is asked for alone and nothing is shared, and that of the NumPy
version (``cost_numpy.py``), which prices every mapping of a pair at once and must find the same least cycles
and energy. Beside the clock's rate stands what two cores would reach by the processor time taken, which other
work disturbs less.
With --large it prices 10,000 random designs of vta on 100 layers of the zoo instead, in pieces as the sweeps
do, and prints the memory.
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cost_numpy import mappings
from rhnas.agents.optimum import CHUNK
from rhnas.networks.zoo import load_network
from rhnas.platform import Objective, Platform, load_platform
from rhnas.vta.cost import VtaCostModel

REPETITIONS = 3


def timed(what: str, pairs: int, run: Callable[[], Any], note: str = "") -> Any:
    """Run, print the rate by the clock and by processor time, and return the result."""
    clock, processor = time.perf_counter(), time.process_time()
    result = run()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    print(
        f"  {what}: {clock:7.2f} s by the clock, {pairs / clock:9,.0f} pairs/s;"
        f" {processor:7.2f} s of processor time, {2 * pairs / processor:9,.0f} pairs/s on two cores{note}"
    )
    return result


def peak_memory() -> str:
    """The most memory this process has had."""
    return f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"


def large(platform: Platform) -> None:
    """Price many designs on many layers: the total of each and the peak of memory."""
    model, feasible = platform.cost_model(), platform.space("vta").feasible()
    batch = feasible.space.decode(feasible.sample(10_000, np.random.default_rng(0)))
    layers = [layer for name in ("mobilenet_v2", "resnet50") for layer in load_network(name).layers][:100]
    print(f"vta: {len(batch):,} designs x {len(layers)} layers; {peak_memory()} before")

    def priced() -> None:
        for start in range(0, len(batch), CHUNK):
            model.evaluate(batch.take(slice(start, start + CHUNK)), layers).totals(Objective.EDP)

    timed("shared  ", len(batch) * len(layers), priced, f" (in pieces of {CHUNK:,} designs)")
    print(f"  {peak_memory()}")


def main() -> None:
    """Time both ways of asking, and say how much memory the larger one took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--space", default="vta-intel")
    parser.add_argument("--designs", type=int, default=20, help="designs of the other two rates")
    parser.add_argument("--large", action="store_true", help="10,000 designs of vta x 100 layers")
    given = parser.parse_args()
    platform = load_platform()
    if given.large:
        large(platform)
        return
    model, layers = VtaCostModel(), load_network(given.network).layers
    feasible = platform.space(given.space).feasible()
    batch = feasible.space.decode(feasible.all())
    model.evaluate(batch.take(slice(0, 1)), layers[:1])  # compiles, or reads what was compiled

    pairs = len(batch) * len(layers)
    print(f"{given.space} x {given.network}: {len(batch):,} designs x {len(layers)} layers = {pairs:,} pairs")
    print(f"  {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    for _ in range(REPETITIONS):
        cost = timed("shared  ", pairs, lambda: model.evaluate(batch, layers))
        bounds = model.bounds(batch, layers)
        assert (cost.cycles[cost.mapped].min(axis=-1) >= bounds[cost.mapped]).all()
    print(f"  {peak_memory()}")

    chosen = np.random.default_rng(0).choice(len(batch), size=given.designs, replace=False)
    designs, told = [batch.take(slice(at, at + 1)) for at in chosen], f" ({given.designs} random designs)"
    asked = [(design, layer) for design in designs for layer in layers]
    timed("unshared", len(asked), lambda: [model.evaluate(design, [layer]) for design, layer in asked], told)
    found = timed(
        "in NumPy", len(asked), lambda: [mappings(layer, design, model) for design, layer in asked], told
    )
    for (design, layer), (cycles, energy_pj) in zip(asked, found, strict=True):
        cost = model.evaluate(design, [layer])
        assert bool(cost.mapped.all()) == (len(cycles) > 0)
        if len(cycles):
            np.testing.assert_equal(cycles.min(), cost.cycles.min())
            np.testing.assert_allclose(energy_pj.min(), cost.energy_pj.min(), rtol=1e-12)


if __name__ == "__main__":
    main()
