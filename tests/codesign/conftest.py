"""Small worlds in which the joint search can be checked by brute force."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from rhnas.networks.spaces.registry import network_space
from rhnas.networks.spaces.residual import ResidualSpace
from rhnas.platform import Cost, CostModel, Platform
from rhnas.settings import Settings, load_settings
from rhnas.space import Choice, DesignBatch, Rule, Space
from rhnas.workload import IntArray, Layer


class ToyModel(CostModel):
    """Lanes split channels with rounding loss, buffers trade cycles for energy; counts its calls."""

    def __init__(self) -> None:
        self.evaluated = 0

    def evaluate(self, batch: DesignBatch, layers: Sequence[Layer]) -> Cost:
        self.evaluated += len(batch)
        macs = np.array([max(layer.macs, 64) for layer in layers], dtype=np.float64)
        cin = np.array([layer.channels[0] // layer.groups for layer in layers])
        rows, columns = 2 ** batch["rows"][:, None], 2 ** batch["columns"][:, None]
        cout = np.array([layer.channels[1] for layer in layers])
        lost = (-(-cin // rows) * rows / cin) * (-(-cout // columns) * columns / cout)
        base = np.ceil(macs * lost / (rows * columns)).astype(np.int64)  # (B, L)
        energy = macs * (1 + 0.02 * rows * columns + 0.3 * batch["buffer"][:, None])
        steps = np.array([10, 13, 20])
        savings = np.array([1.0, 0.8, 0.7])
        ones = np.ones(len(batch))
        return Cost(
            cycles=base[..., None] * steps,
            energy_pj=energy[..., None] * savings,
            mapped=np.ones(base.shape, dtype=np.bool_),
            launch_cycles=(100 * ones).astype(np.int64),
            launch_energy_pj=50 * ones,
        )

    def bounds(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        return np.zeros((len(batch), len(layers)), dtype=np.int64)


@pytest.fixture
def model() -> ToyModel:
    return ToyModel()


@pytest.fixture
def toy_space() -> Space:
    """Sixty-four points, of which those with more than 64 lanes cannot be built."""
    lanes = Rule(
        name="lanes",
        level="structural",
        invariant="rows + columns <= 6",
        reason="toy",
        source="toy",
        slack=lambda batch: (6 - batch["rows"] - batch["columns"]).astype(np.float64),
    )
    choices = (
        Choice(name="rows", values=(0, 1, 2, 3, 4, 5)),
        Choice(name="columns", values=(0, 1, 2, 3, 4, 5)),
        Choice(name="buffer", values=(0, 1)),
    )
    return Space(name="toy", choices=choices, rules=(lanes,))


@pytest.fixture(scope="session")
def digits() -> ResidualSpace:
    return network_space("digits")


class ToyPlatform(Platform):
    """The toy space as a platform."""

    name = "toy"
    options = ("technology", "timing", "schedule")

    def __init__(self, space: Space) -> None:
        self._space = space

    def parse(self, text: str) -> dict[str, int]:
        raise NotImplementedError

    def label(self, row: Mapping[str, int]) -> str:
        return "x".join(str(value) for value in row.values())

    def space(self, name: str) -> Space:
        return self._space

    def cost_model(self, **options: Any) -> CostModel:
        return ToyModel()

    def rules(self, **levels: Any) -> tuple[Rule, ...]:
        fits = levels["limits"]["lanes"] if levels["limits"] else 6
        return (
            Rule(
                name="lanes",
                level="limit",
                invariant="few lanes",
                reason="toy",
                source="toy",
                slack=lambda batch: (fits - batch["rows"] - batch["columns"]).astype(np.float64),
            ),
        )

    def default(self) -> dict[str, int]:
        return {"rows": 2, "columns": 2, "buffer": 0}

    def config(self, row: Mapping[str, int]) -> Mapping[str, int]:
        return row


@pytest.fixture
def toy_platform(toy_space: Space, monkeypatch: pytest.MonkeyPatch) -> ToyPlatform:
    """Makes every run search the toy space."""
    platform = ToyPlatform(toy_space)
    monkeypatch.setattr("rhnas.codesign.problem.load_platform", lambda name: platform)
    return platform


@pytest.fixture(scope="session")
def tiny() -> Settings:
    """Seconds of search on a few real digits."""
    return load_settings(
        "digits",
        [
            *("task.train=96", "task.validation=48", "task.test=64", "platform.fpga=none"),
            *("nas.epochs=3", "nas.warmup=1", "nas.batch=48", "nas.candidates=3", "nas.finalists=1"),
            *("train.epochs=2", "train.batch=48", "agent.evaluations=16", "agent.batch=4", "agent.every=1"),
            *("run.checkpoint_s=0", "run.optimum=true", "run.threads=1", "objective.weight=0.3"),
        ],
    )
