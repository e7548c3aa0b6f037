"""How many pictures a second a preset's supernet and networks learn from: what its budgets rest on.

``RHNAS_DATA=... python benchmarks/step_rates.py cifar10-cpu`` times a few steps of the supernet and of the
networks of several sizes among 200 random ones, in float32 and in bfloat16, with the preset's batches and
threads, and prints the minutes that an epoch takes. The fastest step counts: the others wait for other work.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rhnas.codesign.problem import device_of
from rhnas.codesign.run import use_threads
from rhnas.nas.arithmetic import Arithmetic, has_bfloat16
from rhnas.nas.batches import Batches
from rhnas.nas.data.load import task_data
from rhnas.nas.network import Network
from rhnas.nas.search import DifferentiableSearch
from rhnas.nas.supernet import SuperNet
from rhnas.nas.train import Training
from rhnas.networks.spaces.registry import network_space
from rhnas.seeds import Seeds
from rhnas.settings import load_settings

SAMPLED = 200


def seconds(step: Callable[[], object], steps: int) -> float:
    """Of the fastest step; the first two warm up."""
    found = []
    for _ in range(steps + 2):
        begun = time.perf_counter()
        step()
        found.append(time.perf_counter() - begun)
    return min(found[2:])


def main() -> None:
    """Print one row per network and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--set", action="append", default=[], metavar="a.b=v")
    given = parser.parse_args()
    settings, seeds = load_settings(given.preset, given.set), Seeds(root=0)
    use_threads(settings.run.threads)
    device = device_of(settings)
    space = network_space(settings.task.space, settings.task.classes)
    data = task_data(settings, space.picture)
    data = replace(data, train=data.train.to(device), device=device)
    workloads = [space.workload(space.sample(np.random.default_rng(seed))) for seed in range(SAMPLED)]
    workloads.sort(key=lambda workload: workload.macs)
    print(f"{device}, {settings.run.threads} threads, bfloat16 in hardware: {has_bfloat16(device)}")
    for precision in given.precisions:
        arithmetic = Arithmetic.of(precision, device)
        supernet = SuperNet(space, seeds, arithmetic).to(device)
        search = DifferentiableSearch(supernet, settings.nas, data, seeds)
        rows: list[tuple[str, Callable[[], object], Batches]] = [("supernet", search.step, search.batches)]
        for share in (0.0, 0.25, 0.5, 0.75):
            workload = workloads[int(share * SAMPLED)]
            network = Network(workload, seeds).to(device)
            training = Training(network, settings.train, data, seeds, arithmetic)
            rows.append((f"{workload.macs / 1e6:.1f} M MACs", training.step, training.batches))
        for name, step, batches in rows:
            taken = seconds(step, given.steps)
            epoch = batches.per_epoch * taken / 60
            print(
                f"{precision:8} {name:14} {batches.size / taken:8.0f} pictures/s, epoch {epoch:6.2f} minutes"
            )


if __name__ == "__main__":
    main()
