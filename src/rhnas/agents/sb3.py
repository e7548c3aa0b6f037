"""Stable-Baselines3's algorithms as agents, each in its own training loop."""

from __future__ import annotations

import inspect
import queue
import random
import threading
import weakref
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, final

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, DQN, PPO

from rhnas.agents.base import SearchContext
from rhnas.agents.environment import AcceleratorEnv
from rhnas.agents.unmasked import UnmaskedAgent
from rhnas.seeds import Seeds
from rhnas.space import FeasibleSet
from rhnas.workload import IntArray

HIDDEN = 64
"""Width of the two hidden layers, as of our PPO."""


class _ClosedError(Exception):
    """The agent is gone; its training loop may end."""


class _Exchange:
    """Hands designs from the training loop to the agent and values back; one side runs at a time."""

    def __init__(self) -> None:
        self._designs: queue.SimpleQueue[IntArray | BaseException | None] = queue.SimpleQueue()
        self._values: queue.SimpleQueue[float | BaseException | None] = queue.SimpleQueue()

    def price(self, design: IntArray | None) -> float | None:
        """Called by the training loop: waits until the agent has been told the value."""
        self._designs.put(design)
        value = self._values.get()
        if isinstance(value, BaseException):
            raise value
        return value

    def fail(self, error: BaseException) -> None:
        """Called by the training loop when it breaks."""
        self._designs.put(error)

    def answer(self, value: float | None) -> None:
        """Called by the agent: lets the training loop run on."""
        self._values.put(value)

    def next_design(self) -> IntArray | None:
        """Called by the agent: waits for the training loop's next episode."""
        design = self._designs.get()
        if isinstance(design, BaseException):
            raise design
        return design

    def close(self) -> None:
        """Called when the agent goes: ends the training loop where it waits."""
        self._values.put(_ClosedError())


class _GlobalGenerators:
    """The library draws from the global generators; these are the agent's own while its loop runs."""

    def __init__(self, seed: int) -> None:
        legacy = np.random.RandomState(seed % 2**32)
        self._python = random.Random(seed).getstate()  # noqa: S311 - nothing secret
        self._numpy: Any = legacy.get_state()
        self._torch = torch.Generator().manual_seed(seed).get_state()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the global generators are the agent's; outside they are as they were."""
        outer = self._exchange(self._python, self._numpy, self._torch)
        try:
            yield
        finally:
            self._python, self._numpy, self._torch = self._exchange(*outer)

    @staticmethod
    def _exchange(python: Any, legacy: Any, own: torch.Tensor) -> tuple[Any, Any, torch.Tensor]:
        before = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        torch.random.set_rng_state(own)
        return before


class SB3Agent(UnmaskedAgent):
    """An algorithm of Stable-Baselines3 over ``AcceleratorEnv``, a design per episode.

    The library owns its loop, so it runs in a thread that waits wherever a design must be priced. The agent
    and the thread take turns and never run together, which keeps a run a function of its seed.

    Args:
        designs: The feasible designs.
        seeds: Where its randomness comes from.
        episodes: Designs per update, for DQN before it learns; 0 for the agent's own.
        options: Arguments of the library's algorithm, instead of the agent's own.

    Attributes:
        algorithm: The library's class.
        episodes: Where none are given.
    """

    algorithm: ClassVar[Any]
    episodes: ClassVar[int]

    def __init__(self, designs: FeasibleSet, seeds: Seeds, *, episodes: int = 0, **options: Any) -> None:
        self._close: weakref.finalize[Any, Any] | None = None
        self._space = designs.space
        steps = (episodes or self.episodes) * len(self._space.choices)
        self._options = {"gamma": 1.0, "device": "cpu", **self.settings(steps), **options}
        inspect.signature(self.algorithm).bind("MlpPolicy", None, seed=0, **self._options)
        super().__init__(designs, seeds.child("sb3"))

    @abstractmethod
    def settings(self, steps: int) -> dict[str, Any]:
        """The algorithm's arguments unless others are given; ``steps`` are those of ``episodes``."""

    def model(self, env: AcceleratorEnv, seed: int) -> Any:
        """The algorithm, seeded, on the CPU."""
        # A2C writes into the dictionary of its policy.
        options = {"policy_kwargs": {"net_arch": [HIDDEN, HIDDEN]}, **self._options}
        return self.algorithm("MlpPolicy", env, seed=seed, **options)

    def begin(self, seed: int) -> None:
        """A new exchange; the loop itself starts with the first context."""
        if self._close is not None:
            self._close()
        self._generators = _GlobalGenerators(seed)
        self._exchange = _Exchange()
        self._env: AcceleratorEnv | None = None
        self._proposed: tuple[int, ...] | None = None  # None also for a dead end
        self._answer_due = False
        self._value: float | None = None

    def propose(self, context: SearchContext) -> IntArray | None:
        """Let the loop run to the end of its next episode."""
        with self._generators.in_place():
            if self._env is None:
                self._env = AcceleratorEnv(context, self._exchange.price)
                self._start(self._env, context)
            self._env.context = context
            if self._answer_due:
                self._exchange.answer(self._value)
            self._answer_due = False
            design = self._exchange.next_design()
        self._proposed = _key(design)
        return design

    def _start(self, env: AcceleratorEnv, context: SearchContext) -> None:
        model = self.model(env, self._seed % 2**32)
        steps = context.budget * len(self._space.choices)
        exchange = self._exchange
        self._close = weakref.finalize(self, exchange.close)
        threading.Thread(target=_learn, args=(model, steps, exchange), daemon=True).start()

    def learn(self, design: IntArray | None, value: float | None) -> None:
        """Keep the value until the loop runs again; what it did not propose it does not hear of."""
        if self._env is None or self._answer_due:
            return
        if _key(design) == self._proposed:
            self._value, self._answer_due = value, True


def _key(design: IntArray | None) -> tuple[int, ...] | None:
    return None if design is None else tuple(design.tolist())


def _learn(model: Any, steps: int, exchange: _Exchange) -> None:
    """The thread: train for one budget after another, until the agent is gone."""
    try:
        first = True
        while True:
            model.learn(total_timesteps=steps, reset_num_timesteps=first)
            first = False
    except _ClosedError:
        return
    except BaseException as error:
        exchange.fail(error)


@final
class SB3PPOAgent(SB3Agent):
    """PPO without masks."""

    algorithm = PPO
    episodes = 32

    def settings(self, steps: int) -> dict[str, Any]:
        """Our PPO's batch, epochs and network."""
        return _as_our_ppo(steps)


@final
class SB3MaskablePPOAgent(SB3Agent):
    """PPO with the same exact masks as ours (sb3-contrib)."""

    algorithm = MaskablePPO
    episodes = 32

    def settings(self, steps: int) -> dict[str, Any]:
        """Our PPO's batch, epochs and network."""
        return _as_our_ppo(steps)


@final
class SB3A2CAgent(SB3Agent):
    """Advantage actor-critic without masks."""

    algorithm = A2C
    episodes = 8

    def settings(self, steps: int) -> dict[str, Any]:
        """The library's, but for the entropy bonus."""
        return {"n_steps": steps, "ent_coef": 0.02}


@final
class SB3DQNAgent(SB3Agent):
    """Deep Q-learning without masks."""

    algorithm = DQN
    episodes = 16

    def settings(self, steps: int) -> dict[str, Any]:
        """Learning from the first designs on; exploration falls over the first third of the budget."""
        choices = len(self._space.choices)
        return {
            "learning_rate": 1e-3,
            "learning_starts": steps,
            "buffer_size": 50_000,
            "train_freq": choices,
            "gradient_steps": choices,
            "target_update_interval": steps,
            "exploration_fraction": 1 / 3,
        }


def _as_our_ppo(steps: int) -> dict[str, Any]:
    """Our PPO's hyperparameters where the algorithms share them: whole batch, one episode is one return."""
    return {
        "n_steps": steps,
        "batch_size": steps,
        "n_epochs": 6,
        "learning_rate": 3e-3,
        "ent_coef": 0.02,
        "gae_lambda": 1.0,
    }
