"""The demonstration over several seeds: test accuracy and cost of every scheme, mean over the runs.

Run ``python benchmarks/digits_accuracy.py --seeds 3`` (minutes per seed on two cores). Every seed is a run of
its own, ``rhnas search digits --set run.seed=SEED``, with its own validation part; the 797 test pictures are
the same. Runs are kept in ``--out`` and resumed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import geometric_mean, mean
from typing import Any

from rhnas.codesign.run import run
from rhnas.settings import load_settings
from rhnas.study import open_study

SCHEMES = ("baseline", "hardware_only", "two_stage", "found")


def result(seed: int, out: Path, workers: int) -> dict[str, Any]:
    """One whole run, or what it left."""
    settings = load_settings("digits", [f"run.seed={seed}"])
    return run(open_study(out / f"seed{seed}", settings, resume=True, overwrite=False), workers=workers)


def main() -> None:
    """Print one row per scheme."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="runs, with seeds 0, 1, ...")
    parser.add_argument("--out", type=Path, default=Path("runs/digits-accuracy"))
    parser.add_argument("--workers", type=int, default=2, help="searches or trainings at a time")
    arguments = parser.parse_args()
    results = []
    for seed in range(arguments.seeds):
        begun = time.perf_counter()
        results.append(result(seed, arguments.out, arguments.workers))
        print(f"seed {seed}: {time.perf_counter() - begun:.0f} s", flush=True)
    print(f"{'scheme':14} {'test':>7} {'int8':>7} {'by seed':24} {'EDP against baseline'}")
    for scheme in SCHEMES:
        rows = [r[scheme] for r in results]
        accuracies = [row["accuracy"] for row in rows]
        gains = [r["baseline"]["edp_uj_ms"] / row["edp_uj_ms"] for r, row in zip(results, rows, strict=True)]
        print(
            f"{scheme:14} {mean(accuracies):7.2%} {mean(row['accuracy_int8'] for row in rows):7.2%} "
            f"{' '.join(f'{a:.2%}' for a in accuracies):24} "
            f"{geometric_mean(gains):.2f}x less ({' '.join(f'{gain:.2f}' for gain in gains)})"
        )


if __name__ == "__main__":
    main()
