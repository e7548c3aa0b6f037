"""Importing this registers the search with Gymnasium, so that anybody's agent can compete.

``gymnasium.make("rhnas.gym:rhnas/Accelerator-v0", network="resnet18")`` imports it by itself.
"""

from __future__ import annotations

import gymnasium
import numpy as np

from rhnas.agents.environment import AcceleratorEnv
from rhnas.agents.evaluator import Evaluator
from rhnas.networks.zoo import load_network
from rhnas.optimize import BUDGET, Question, Task
from rhnas.platform import Objective, load_platform
from rhnas.workload import IntArray

ENVIRONMENT = "rhnas/Accelerator-v0"


class Counter:
    """Prices the designs of an environment, and keeps the count that makes agents comparable.

    Args:
        task: What is searched.

    Attributes:
        evaluator: Distinct designs so far, the best of them, and the trace.
        unrealizable: Dead ends so far.
    """

    def __init__(self, task: Task) -> None:
        self.evaluator = Evaluator(task.space, task.costs)
        self.unrealizable = 0

    def __call__(self, design: IntArray | None) -> float | None:
        """The log objective of a design int64 (D,); None for a dead end or where a layer has no mapping."""
        if design is None:
            self.unrealizable += 1
            return None
        value = float(self.evaluator(design[None]).objectives[0, 0])
        return None if np.isnan(value) else value


def accelerator_env(
    network: str = "resnet18",
    space: str | None = None,
    objective: str = "edp",
    fpga: str | None = None,
    limits: dict[str, int] | None = None,
    *,
    platform: str = "vta",
) -> AcceleratorEnv:
    """The environment behind ``ENVIRONMENT``; its ``price`` is a ``Counter``.

    Args:
        network: A name of the zoo, or FILE.onnx.
        space: Name of the design space; the platform's usual one if None.
        objective: ``latency``, ``energy`` or ``edp``.
        fpga: The part the design must fit.
        limits: Upper bounds in the platform's own names.
        platform: Whose accelerators.

    Raises:
        SettingsError: An unknown name or limit.
    """
    family = load_platform(platform)
    question = Question(
        network=load_network(network),
        space=space or family.spaces[0],
        objective=Objective(objective),
        fpga=fpga,
        limits=limits or {},
    )
    task = Task(family, question)
    return AcceleratorEnv(task.context(BUDGET), Counter(task))


gymnasium.register(id=ENVIRONMENT, entry_point=accelerator_env)
