"""What our machine's laws cost or gain over the published RTL's: ``python benchmarks/published_laws.py``.

Random networks of the space ``digits``, compiled for random chainable accelerators of the space ``vta``, run
by the simulator under both timing profiles; those that take more than 5,000 cycles count.
"""

import argparse
from collections.abc import Iterator

import numpy as np

from rhnas.networks.spaces.registry import network_space
from rhnas.quantized import QuantizedNetwork
from rhnas.space import DesignBatch
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.cost import SCHEDULES, VtaCostModel
from rhnas.vta.lower.network import compile_network, stored_layers
from rhnas.vta.program import Program
from rhnas.vta.retime import numberless
from rhnas.vta.rules import CHAINABLE
from rhnas.vta.simulate.run import simulate
from rhnas.vta.spaces import DEFAULT, VTA_WIDE

MARGIN, LONG_CYCLES, SEED = 0.05, 5_000, 0


def random_programs(count: int) -> Iterator[Program]:
    """Of as many networks, each on another accelerator, the first on the default; fewer where none maps."""
    space, rng = network_space("digits", 10), np.random.default_rng(SEED)
    points = VTA_WIDE.feasible().restrict((CHAINABLE,)).sample(count, rng)
    drawn = VTA_WIDE.decode(points)
    for index in range(count):
        config = AcceleratorConfig.from_row(drawn.row(index) if index else DEFAULT)
        layers = tuple(numberless(layer) for layer in space.workload(space.sample(rng)))
        pixels = np.zeros((1, 256), np.int8)
        network = QuantizedNetwork(name="random", layers=layers, picture_bits=0, pixels=pixels)
        model, batch = VtaCostModel(), DesignBatch.of(config.to_row())
        best = [model.best_mapping(batch, each.layer, 0.0) for each in stored_layers(network, config)]
        mappings = [found[0] for found in best if found is not None]
        if len(mappings) == len(best):
            yield compile_network(network, mappings, config, SCHEDULES[model.schedule]).program


def main() -> None:
    """Print how many stay within the margin, and the extremes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", type=int, default=400)
    given = parser.parse_args()
    seen = []
    for program in random_programs(given.networks):
        ours, published = (simulate(program, timing=name).cycles for name in ("rhnas", "public"))
        if published > LONG_CYCLES:
            seen.append((ours / published - 1, program.config.name))
    seen.sort()
    ratios = np.array([ratio for ratio, _ in seen])
    print(
        f"{len(seen)} programs of more than {LONG_CYCLES:,} cycles: median {np.median(ratios):+.1%}, ", end=""
    )
    print(f"{np.mean(ratios <= MARGIN):.0%} at most {MARGIN:.0%} slower")
    for ratio, name in (*seen[:3], *seen[-3:]):
        print(f"  {ratio:+.1%} on {name}")


if __name__ == "__main__":
    main()
