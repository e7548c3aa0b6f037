"""How many points the public explorer accepts that cannot be built: ``python benchmarks/realizability.py``.

Intel Labs' explorer (IL ``apps/params/dsexplorer.py``) keeps a point if every scratchpad index has a bit,
the three of them fit 32 bits and every buffer has at least 2^15 bytes. Their Chisel refuses some of these.
"""

import time

import numpy as np

from rhnas.vta.rules import ACC_BUFFER, INP_BUFFER, STRUCTURAL, WGT_BUFFER, DerivedDepths
from rhnas.vta.spaces import VTA_INTEL, VTA_WIDE


def main() -> None:
    """Print the counts of docs/realizability.md."""
    batch = VTA_INTEL.at(np.arange(VTA_INTEL.points))
    depth = DerivedDepths.of(batch)
    indices = [depth.inp, depth.wgt, depth.acc]
    buffers = [batch[key] for key in (INP_BUFFER, WGT_BUFFER, ACC_BUFFER)]
    explorer = (
        (np.min(indices, axis=0) > 0) & (np.sum(indices, axis=0) <= 32) & (np.min(buffers, axis=0) >= 15)
    )
    holds = VTA_INTEL.slack(batch) >= 0
    realizable = holds.all(axis=1)
    between = explorer & ~realizable
    print(f"vta-intel: {VTA_INTEL.points:,} points")
    print(f"  accepted by the explorer's own check: {explorer.sum():,}")
    print(f"  realizable:                           {realizable.sum():,}")
    print(f"  accepted, yet impossible to build:    {between.sum():,} ({between.sum() / explorer.sum():.0%})")
    for index, rule in enumerate(VTA_INTEL.rules):
        broken = int((between & ~holds[:, index]).sum())
        if broken:
            print(f"    {broken:5,} break {rule.name}: {rule.invariant}")

    built = (between & holds[:, : len(STRUCTURAL)].all(axis=1)).sum()
    print(f"  {built:,} of these upstream's generator cannot build and ours can")

    start = time.perf_counter()
    count = VTA_WIDE.feasible().count
    seconds = time.perf_counter() - start
    print(f"vta: {VTA_WIDE.points:,} points, {count:,} realizable; full sweep {seconds:.2f} s")


if __name__ == "__main__":
    main()
