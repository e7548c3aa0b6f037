"""The exact joint front of ``macro`` x ``vta-intel``: ``RHNAS_DATA=... python benchmarks/joint_front.py``.

All 6,561 networks of NAS-Bench-Macro on all 6,472 designs (those that run every layer): every layer is priced
on every design once, then each network's best design is found exactly. Printed are seconds without compiling,
by the clock and of processor time (all threads together: what an idle machine of one core would take), the
peak of memory, and the front. ``--check`` compares random networks with full enumeration.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from rhnas.bench.tables import all_networks, macro_accuracy, network_weights
from rhnas.codesign.pairs import PairCosts
from rhnas.networks.spaces.macro import Macro
from rhnas.networks.tables import LayerCounts
from rhnas.pareto import pareto
from rhnas.platform import Objective, feasible_designs, load_platform


def main() -> None:
    """Print the front and what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", type=int, default=20, help="networks that are enumerated as well")
    given = parser.parse_args()
    networks, platform = Macro(), load_platform()
    space, model = platform.space("vta-intel"), platform.cost_model()
    accuracy, options = macro_accuracy(networks), all_networks(networks)
    model.evaluate(space.decode(space.feasible().all()[:1]), networks.layers[:1])  # compiles

    started, used = time.perf_counter(), time.process_time()
    designs = feasible_designs(platform, space, layers=networks.layers)
    weights = network_weights(LayerCounts.of(networks), options)
    cost = model.evaluate(space.decode(designs.all()), networks.layers)
    priced = time.perf_counter()
    best, chosen = PairCosts(cost, Objective.EDP).best(weights)
    front = pareto(accuracy, best)
    seconds, used = time.perf_counter() - started, time.process_time() - used

    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    feasible = space.feasible().count
    print(f"{len(options):,} networks x {feasible:,} realizable designs, {designs.count:,} run every layer")
    print(
        f"{seconds:.1f} s by the clock, of which pricing {priced - started:.1f} s; {used:.1f} s of processors"
    )
    print(f"{memory:.2f} GiB at most")
    print(f"{len(front)} networks on the front, {len(np.unique(chosen))} designs best for some network")
    for at in np.random.default_rng(0).integers(len(options), size=given.check):
        totals = cost.totals(Objective.EDP, weights[at])
        assert abs(np.log(totals.cycles * totals.energy_pj).min() - best[at]) < 1e-9
    print(f"{given.check} networks agree with full enumeration")
    for percent, score in front:
        print(f"  {percent:6.2f}%  {np.exp(score) / 1e11:12.2f} uJ ms at 100 MHz")


if __name__ == "__main__":
    main()
