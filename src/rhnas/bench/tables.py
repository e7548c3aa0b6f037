"""Accuracies of whole network spaces: published tables, and a predictor fitted to trained networks.

Legend: N networks of a space, in the order of ``numpy.unravel_index`` over its decisions; D decisions.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from rhnas.errors import DataError
from rhnas.files import find_data
from rhnas.networks.spaces.base import NetworkSpace
from rhnas.networks.spaces.macro import Macro
from rhnas.networks.spaces.nasbench201 import OPS
from rhnas.networks.tables import LayerCounts
from rhnas.workload import FloatArray, IntArray

MACRO = "tables/nas-bench-macro_cifar10.json"
NASBENCH201 = "tables/nasbench201.npz"
SOURCES = {
    MACRO: "data/nas-bench-macro_cifar10.json of github.com/xiusu/NAS-Bench-Macro (Apache-2.0)",
    NASBENCH201: "NATS-Bench's accuracies after 200 epochs: arrays arch_ops, op_names, test_acc, datasets",
}
"""Where each table comes from, for whoever lacks it."""


def all_networks(space: NetworkSpace) -> IntArray:
    """Every network of a space by its options, int64 (N, D)."""
    sizes = [len(decision.options) for decision in space.decisions]
    return np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1).astype(np.int64)


def network_weights(counts: LayerCounts, options: IntArray) -> FloatArray:
    """How often each distinct layer runs, float64 (N, L).

    Args:
        counts: Of the space.
        options: int64 (N, D).
    """
    total = np.zeros((len(options), counts.counts[0].shape[-1]))
    for decisions, count in zip(counts.decisions, counts.counts, strict=True):
        total += count[tuple(options[:, decision] for decision in decisions)]
    return total


def macro_accuracy(space: Macro) -> FloatArray:
    """NAS-Bench-Macro: mean test accuracy of three trainings in percent, float64 (N,).

    Raises:
        DataError: The table is not there or lacks networks.
    """
    path = table_path(MACRO)
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return np.array([rows[space.key(tuple(row))]["mean_acc"] for row in all_networks(space).tolist()])
    except KeyError as error:
        raise _incomplete(path, f"none for {error}") from error
    except (OSError, ValueError, TypeError) as error:
        raise _incomplete(path, error) from error


def nasbench201_accuracy(space: NetworkSpace, dataset: str) -> FloatArray:
    """NAS-Bench-201: test accuracy in percent after 200 epochs, float64 (N,).

    Args:
        space: ``nasbench201``, or its cells on other pictures.
        dataset: ``cifar10``, ``cifar100`` or ``ImageNet16-120``.

    Raises:
        DataError: The table is not there, lacks networks or knows no such data set.
    """
    path = table_path(NASBENCH201)
    try:
        with np.load(path, allow_pickle=False) as table:
            names, known = table["op_names"].tolist(), table["datasets"].tolist()
            options = np.array([OPS.index(name) for name in names])[table["arch_ops"]]  # (N, 6)
            accuracy = table["test_acc"][:, known.index(dataset)]
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise _incomplete(path, error) from error
    sizes = [len(decision.options) for decision in space.decisions]
    found = np.full(int(np.prod(sizes)), np.nan)
    found[np.ravel_multi_index(tuple(options.T), sizes)] = accuracy
    if np.isnan(found).any():
        raise _incomplete(path, f"{int(np.isnan(found).sum())} networks without a value")
    return found


def sizes_accuracy(space: NetworkSpace) -> FloatArray:
    """``digits-sizes``: the predictor's accuracy in percent, float64 (N,); see ``SizesPredictor``."""
    return SizesPredictor(space, trained_sizes()).accuracy(all_networks(space))


def trained_sizes() -> list[dict[str, Any]]:
    """Networks of ``digits-sizes`` that were trained: ``options`` and ``accuracies`` of each."""
    text = files("rhnas.bench").joinpath("data", "digits-sizes.json").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = json.loads(text)["networks"]
    return rows


RIDGE = 1.0
"""Penalty on the predictor's squared coefficients."""


class SizesPredictor:
    """Ridge regression of the log odds of a right answer on what a network is made of.

    Features are each width's logarithm and its square, the operations in every block that runs (and, per
    stage, their products with the logarithm of the width), and depths; so two networks that are the same have
    one value. It is a stand-in for a table: schemes are compared on it, no network is claimed to reach it.

    Args:
        space: ``digits-sizes``, or another space of residual networks.
        trained: Rows with ``options`` and ``accuracies``, fractions.
    """

    def __init__(self, space: NetworkSpace, trained: list[dict[str, Any]]) -> None:
        self._space = space
        options = np.array([row["options"] for row in trained], dtype=np.int64)
        odds = np.array([_log_odds(float(np.mean(row["accuracies"]))) for row in trained])
        features = self._features(options)
        self._mean, self._scale = features.mean(axis=0), features.std(axis=0) + 1e-9
        normal = (features - self._mean) / self._scale
        self._offset = odds.mean()
        gram = normal.T @ normal + RIDGE * np.eye(normal.shape[1])
        self._coefficients = np.linalg.solve(gram, normal.T @ (odds - self._offset))

    def accuracy(self, options: IntArray) -> FloatArray:
        """Predicted accuracy in percent of networks int64 (N, D), float64 (N,)."""
        normal = (self._features(options) - self._mean) / self._scale
        odds = normal @ self._coefficients + self._offset
        return np.asarray(100.0 / (1.0 + np.exp(-odds)))

    def _features(self, options: IntArray) -> FloatArray:
        """float64 (N, F)."""
        decisions = self._space.decisions
        named = {decision.name: options[:, at] for at, decision in enumerate(decisions)}
        values = {d.name: d.options for d in decisions}
        columns, width = [], np.zeros(len(options))
        for name, chosen in named.items():
            _stage, _, what = name.partition(".")
            if what == "width":
                width = np.log(np.array([float(value) for value in values[name]]))[chosen]
                columns += [width, width**2]
            elif what == "depth":
                depth = chosen
                columns.append(depth.astype(np.float64))
            else:
                runs = depth >= int(what.removeprefix("block").removesuffix(".op")) - 1
                for op in range(1, len(values[name])):
                    present = ((chosen == op) & runs).astype(np.float64)
                    columns += [present, present * width]
        return np.stack(columns, axis=1)


def _log_odds(accuracy: float) -> float:
    bounded = min(max(accuracy, 1e-3), 1 - 1e-3)
    return float(np.log(bounded / (1 - bounded)))


def table_path(name: str) -> Path:
    """Where a table lies under ``RHNAS_DATA``.

    Raises:
        DataError: Nowhere; says what it is and where it comes from.
    """
    path = find_data(name)
    if path is None:
        raise DataError(
            f"{name} must lie under an entry of RHNAS_DATA", fix=f"it is {SOURCES[name]}; docs/bench.md"
        )
    return path


def _incomplete(path: Path, got: object) -> DataError:
    return DataError(
        f"{path} must hold every network of its space", got=got, fix="fetch it again; docs/bench.md"
    )
