"""Our PPO beside sb3-contrib's MaskablePPO: steps a second, and time to a 2% gap, in one run.

Run ``python benchmarks/ppo_speed.py``. Both have the same network (two layers of 64), epochs, minibatch
passes (one, of the whole batch), batch, learning rate and masks, and one thread. A step is one factor chosen
and learnt from. How many designs are under way at once is free: ours are all of a batch, for MaskablePPO
several counts are tried and the fastest stands. Costs are looked up in a table, so that learning is timed.
Seconds are of processor time: with one thread that is the wall time of an idle machine, on a busy one too.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import DummyVecEnv

from agents import PROBLEMS, table_of
from rhnas.agents.base import SearchContext
from rhnas.agents.environment import AcceleratorEnv
from rhnas.agents.evaluator import Evaluator
from rhnas.agents.ppo import PPOOnlyAgent, PPOSettings
from rhnas.files import write_json
from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task
from rhnas.platform import load_platform
from rhnas.provenance import provenance
from rhnas.seeds import Seeds
from rhnas.workload import IntArray

PARALLEL = (1, 8, 32, 128)
"""Environments at once that MaskablePPO is tried with; the batch is a multiple of each."""

WANTED_GAP = 0.02
MOST_DESIGNS = 4_000
"""Where a run that does not reach the wanted gap is given up; it then counts as infinitely slow."""

Scores = Callable[[np.ndarray], np.ndarray]


class _ReachedError(Exception):
    """The wanted gap is reached, or the run is given up."""


def maskable(envs: list[AcceleratorEnv], batch: int, seed: int) -> MaskablePPO:
    """MaskablePPO with the hyperparameters of our PPO, on a batch of ``batch`` designs."""
    settings, choices = PPOSettings(), len(envs[0].context.designs.space.choices)
    return MaskablePPO(
        "MlpPolicy",
        DummyVecEnv([lambda env=env: env for env in envs]),
        n_steps=batch * choices // len(envs),
        batch_size=batch * choices,
        n_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        clip_range=settings.clip,
        ent_coef=sum(settings.entropy) / 2,
        max_grad_norm=settings.gradient_norm,
        gamma=1.0,
        gae_lambda=1.0,
        policy_kwargs={"net_arch": [settings.hidden] * 2},
        seed=seed,
        device="cpu",
    )


def our_rate(context: SearchContext, scores: Scores, batch: int, updates: int) -> float:
    """Steps a second of our PPO."""
    agent = PPOOnlyAgent(context.designs, Seeds(root=0), batch=batch, fresh=batch)
    evaluator, steps, started = Evaluator(context.designs.space, scores), 0, 0.0
    for update in range(updates + 1):  # the first warms up
        if update == 1:
            steps, started = 0, time.process_time()
        told = 0
        while told < batch:
            designs = agent.ask(batch - told, context)
            agent.tell(designs, evaluator(designs))
            told += len(designs)
        steps += told * designs.shape[1]
    return steps / (time.process_time() - started)


def their_rate(context: SearchContext, scores: Scores, batch: int, updates: int, parallel: int) -> float:
    """Steps a second of MaskablePPO."""

    def price(design: IntArray | None) -> float | None:
        return None if design is None else float(scores(design[None])[0])

    envs = [AcceleratorEnv(context, price) for _ in range(parallel)]
    model = maskable(envs, batch, seed=0)
    steps = batch * len(context.designs.space.choices)
    model.learn(total_timesteps=steps)
    started = time.process_time()
    model.learn(total_timesteps=updates * steps, reset_num_timesteps=False)
    return updates * steps / (time.process_time() - started)


def our_time(context: SearchContext, scores: Scores, wanted: float, seed: int) -> float:
    """Seconds until our PPO has found a design no dearer than ``wanted``, inf if given up."""
    started = time.process_time()
    agent, evaluator = (
        PPOOnlyAgent(context.designs, Seeds(root=seed)),
        Evaluator(context.designs.space, scores),
    )
    while evaluator.evaluations < MOST_DESIGNS:
        designs = agent.ask(64, context)
        agent.tell(designs, evaluator(designs))
        if evaluator.best()[1] <= wanted:
            return time.process_time() - started
    return math.inf


def their_time(context: SearchContext, scores: Scores, wanted: float, seed: int) -> float:
    """The same of MaskablePPO, one design at a time with our batch."""
    seen: set[int] = set()
    best = math.inf

    def price(design: IntArray | None) -> float | None:
        nonlocal best
        if design is None:
            return None
        seen.add(int(context.designs.space.ravel(design[None])[0]))
        value = float(scores(design[None])[0])
        best = min(best, value)
        if value <= wanted or len(seen) >= MOST_DESIGNS:
            raise _ReachedError
        return value

    started = time.process_time()
    try:
        model = maskable([AcceleratorEnv(context, price)], PPOSettings().batch, seed)
        model.learn(total_timesteps=50 * MOST_DESIGNS)
    except _ReachedError:
        pass
    return time.process_time() - started if best <= wanted else math.inf


def main() -> None:
    """Parse options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problem", default="resnet18", choices=PROBLEMS)
    parser.add_argument("--batch", type=int, default=512, help="designs per update in the rate")
    parser.add_argument("--parallel", type=int, nargs="*", default=list(PARALLEL), help="of MaskablePPO")
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5, help="of the time to a 2%% gap")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    given = parser.parse_args()
    torch.set_num_threads(1)
    problem = PROBLEMS[given.problem]
    question = Question(network=load_network(problem.network), space=problem.space, limits=problem.limits)
    task = Task(load_platform("vta"), question)
    table, context = table_of(task), task.context(300)

    def scores(designs: np.ndarray) -> np.ndarray:
        return table[task.space.ravel(designs)]

    figures: dict[str, Any] = {"ours": our_rate(context, scores, given.batch, given.updates)}
    print(f"{problem.title}, batches of {given.batch} designs, one thread; steps a second")
    print(f"  ours                        {figures['ours']:>9,.0f}")
    theirs = {}
    for parallel in given.parallel:
        theirs[parallel] = their_rate(context, scores, given.batch, max(given.updates // 5, 1), parallel)
        print(f"  MaskablePPO, {parallel:>3} at once    {theirs[parallel]:>9,.0f}", flush=True)
    figures |= {"maskable": theirs, "ratio": figures["ours"] / max(theirs.values())}
    print(f"  ratio to the fastest        {figures['ratio']:>9.1f}")

    wanted = float(np.nanmin(table)) + math.log1p(WANTED_GAP)
    pairs = [
        (our_time(context, scores, wanted, seed), their_time(context, scores, wanted, seed))
        for seed in range(given.seeds)
    ]
    ours, rival = np.median(pairs, axis=0)
    print(f"seconds to a {WANTED_GAP:.0%} gap, median of {given.seeds} seeds: ours {ours:.2f}, ", end="")
    print(f"MaskablePPO {rival:.2f}, ratio {rival / ours:.1f}")
    if given.json:
        finite = [[None if math.isinf(second) else second for second in pair] for pair in pairs]
        setting = {"problem": given.problem, "batch": given.batch, "seconds_to_gap": finite}
        write_json(given.json, {"schema": 1, **setting, **figures, "provenance": provenance()})


if __name__ == "__main__":
    main()
