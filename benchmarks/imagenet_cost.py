"""Accelerators for the zoo's networks at 224x224 pixels: cost only, no training.

``python benchmarks/imagenet_cost.py`` searches the accelerator of least EDP for each network on the same chip
as the default, with the default's own resources, and in the open space, and writes one line per case to
``results/imagenet/cost.jsonl``; cases that stand there are skipped. ``--table`` prints them as Markdown. The
search counts energy by the first profile; ratios are given by both, the design the same.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task, optimize
from rhnas.platform import load_platform
from rhnas.pricing import price_network
from rhnas.provenance import provenance

RESULTS = Path(__file__).parents[1] / "results" / "imagenet" / "cost.jsonl"
NETWORKS = ("resnet18", "resnet34", "resnet50", "mobilenet_v2")
TECHNOLOGIES = ("dosa40", "horowitz45")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What the accelerator may be."""

    fpga: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict)


CONDITIONS = {
    "same chip, xczu3eg": Condition(fpga="xczu3eg"),
    "same chip, xc7z020": Condition(fpga="xc7z020"),
    "equal resources": Condition(limits={"macs": 256, "bus_bits": 64, "sram_kib": 448}),
    "open space": Condition(limits={"macs": 4096, "bus_bits": 512}),
}


def case(network: str, name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Search one accelerator; its costs beside the default's, and how far it can be from the best."""
    platform, workload, condition = load_platform(), load_network(network), CONDITIONS[name]
    question = Question(network=workload, space="vta", fpga=condition.fpga, limits=condition.limits)
    task = Task(platform, question)
    agent = task.agent(given.agent, given.seed)
    answer = optimize(task, agent, budget=given.budget, effort=given.effort)
    row = answer.best.accelerator
    costs = {
        technology: [
            price_network(platform, design, workload, platform.cost_model(technology=technology))
            for design in (platform.default(), row)
        ]
        for technology in TECHNOLOGIES
    }
    default, found = costs[TECHNOLOGIES[0]]
    return {
        "network": network,
        "condition": name,
        "accelerator": platform.label(row),
        "cycles_default": default.cycles,
        "cycles": found.cycles,
        "utilisation_default": default.bound_cycles / default.cycles,
        "utilisation": found.bound_cycles / found.cycles,
        "latency": default.cycles / found.cycles,
        "edp": {name: a.edp_uj_ms / b.edp_uj_ms for name, (a, b) in costs.items()},
        "certified_gap": answer.certified_gap,
        "evaluations": answer.evaluations,
        "how": "modelled",
        "agent": given.agent,
        "seed": given.seed,
        "provenance": provenance(seed=given.seed),
    }


def table(rows: list[dict[str, Any]]) -> None:
    """The cases as Markdown."""
    print(
        "| network | condition | accelerator | cycles | latency | EDP | EDP, second profile | certified gap |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        first, second = (f"{row['edp'][name]:.2f}x" for name in TECHNOLOGIES)
        gap = "-" if row["certified_gap"] is None else f"{row['certified_gap']:.1%}"
        print(
            f"| {row['network']} | {row['condition']} | {row['accelerator']} | {row['cycles']:,}"
            f" | {row['latency']:.2f}x | {first} | {second} | {gap} |"
        )


def main() -> None:
    """Search what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--agent", default="pretrained")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=300, help="evaluations of a search")
    parser.add_argument("--effort", type=int, default=300, help="boxes of designs that a proof may price")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    given = parser.parse_args()
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {(row["network"], row["condition"]) for row in rows}
    todo = [] if given.table else [(n, c) for n in NETWORKS for c in CONDITIONS if (n, c) not in done]
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    for network, name in todo:
        rows.append(case(network, name, given))
        with RESULTS.open("a") as stream:
            stream.write(json.dumps(rows[-1]) + "\n")
    table(rows)


if __name__ == "__main__":
    main()
