"""A hardware agent of one's own: a small evolution, beside hill climbing at the same budget.

    python examples/own_agent.py

The agent sees only what every agent sees: feasible designs, and what they cost once it has asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rhnas import HardwareAgent, Outcome, SearchContext, load_network, load_platform
from rhnas.optimize import Question, Task, optimize
from rhnas.workload import IntArray


class Evolution(HardwareAgent):
    """Crosses two of the eight best designs so far; what comes out unrealizable is never proposed."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.scores: dict[tuple[int, ...], float] = {}

    def ask(self, n: int, context: SearchContext) -> IntArray:
        """Children of the best, a quarter of them fresh samples, (B, D)."""
        fresh = context.designs.sample(n, self.rng)  # (n, D)
        best = np.array(sorted(self.scores, key=self.scores.__getitem__)[:8] or fresh)
        first, second = best[self.rng.integers(len(best), size=(2, n))]  # (n, D) each
        children = np.where(self.rng.random(fresh.shape) < 0.5, first, second)
        children = np.where(self.rng.random(fresh.shape) < 0.15, fresh, children)
        return np.concatenate([children[context.designs.contains(children)], fresh[: n // 4 or 1]])[:n]

    def tell(self, designs: IntArray, outcome: Outcome) -> None:
        """Remember every score."""
        self.scores |= zip(map(tuple, designs.tolist()), outcome.objectives[:, 0].tolist(), strict=True)

    def state(self) -> dict[str, Any]:
        """What a resumed search needs."""
        return {"scores": list(self.scores.items()), "rng": self.rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self.scores = {tuple(design): score for design, score in state["scores"]}
        self.rng.bit_generator.state = state["rng"]


def main(budget: int = 300) -> None:
    """Compare the two on ResNet-18 over Intel Labs' space, 3 seeds each."""
    task = Task(load_platform("vta"), Question(network=load_network("resnet18"), space="vta-intel"))
    for seed in range(3):
        ours = optimize(task, Evolution(np.random.default_rng(seed)), budget=budget)
        rival = optimize(task, task.agent("hill_climbing", seed), budget=budget)
        print(f"seed {seed}: evolution {ours.gap:.2%} above the optimum, hill climbing {rival.gap:.2%}")


if __name__ == "__main__":
    main()
