"""What a conditioned agent sees: workload, objective and chip budget as numbers of fixed length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rhnas.agents.base import SearchContext
from rhnas.agents.moves import nearest
from rhnas.platform import Objective
from rhnas.space import Choice, FeasibleSet, Space
from rhnas.workload import SHAPE_FIELDS, FloatArray, IntArray, Layer, LayerKind, layer_table

BIN_CENTRES = np.arange(0.0, 13.0, 2.0)
"""Centres, in log2, of the soft histograms of channels and pixels."""

TOTALS = 4
SHARES = 6
WORKLOAD_FEATURES = TOTALS + SHARES + 3 * len(BIN_CENTRES)

ARRAY = 16
"""Lanes of the reference array whose rounding losses are a feature; any fixed number would do."""


def workload_features(layers: Sequence[Layer], weights: FloatArray | None = None) -> FloatArray:
    """A workload as totals, shares and histograms weighted by MACs; knows nothing of any accelerator.

    Args:
        layers: L layers.
        weights: float64 (L,): multiplicity of each, expected counts during a joint search; ones if None.

    Returns:
        float64 (WORKLOAD_FEATURES,), each roughly within -2 and 2.

    Example:
        >>> layer = Layer(name="conv", channels=(16, 32), size=(8, 8), kernel=(3, 3), padding=(1, 1))
        >>> np.allclose(workload_features([layer]), workload_features([layer, layer], np.array([0.5, 0.5])))
        True
    """
    weight = np.ones(len(layers)) if weights is None else weights
    column = dict(zip(SHAPE_FIELDS, layer_table(layers).T, strict=True))
    macs = np.array([layer.macs for layer in layers], dtype=np.float64)
    weight_bytes = np.array([layer.parameters for layer in layers], dtype=np.float64)
    pixels = np.array([np.prod(layer.output_size) for layer in layers], dtype=np.float64)
    read_bytes = column["in_channels"] * column["in_height"] * column["in_width"]
    written_bytes = column["out_channels"] * pixels
    activation_bytes = read_bytes + written_bytes
    depth = column["in_channels"] // column["groups"]
    kernel = column["kernel_height"] * column["kernel_width"]

    total = max(float(weight @ macs), 1.0)
    share = weight * macs / total  # (L,)
    totals = [
        (np.log10(total) - 8) / 2,
        (np.log10(weight @ weight_bytes + 1) - 6) / 2,
        (np.log10(weight @ activation_bytes + 1) - 6) / 2,
        np.log10(total / (weight @ (weight_bytes + activation_bytes) + 1)) - 1,
    ]
    shares = [
        share @ (column["groups"] > 1),
        share @ (kernel == 1),
        share @ (column["kind"] == LayerKind.DENSE),
        share @ column["reads_picture"],
        share @ np.log2(-(-depth // ARRAY) * ARRAY / depth) / 4,
        share @ np.log2(-(-column["out_channels"] // ARRAY) * ARRAY / column["out_channels"]) / 4,
    ]
    histograms = [_soft_histogram(np.log2(sizes), share) for sizes in (depth, column["out_channels"], pixels)]
    return np.concatenate([totals, shares, *histograms])


def _soft_histogram(values: FloatArray, share: FloatArray) -> FloatArray:
    """Each value spread linearly over its two nearest bins, so that features move smoothly with shapes."""
    clipped = np.clip(values, BIN_CENTRES[0], BIN_CENTRES[-1])
    width = BIN_CENTRES[1] - BIN_CENTRES[0]
    closeness = np.maximum(0.0, 1.0 - np.abs(clipped[:, None] - BIN_CENTRES) / width)  # (L, bins)
    return np.asarray(share @ closeness)


def budget_features(designs: FeasibleSet) -> FloatArray:
    """What limits and rules leave of a space: how much, and where it lies along each choice.

    Args:
        designs: The feasible designs. Legend: D choices.

    Returns:
        float64 (2 + 2 D,): log10 of the count and of its share; each choice's mean and highest position.
    """
    space = designs.space
    remaining = designs.allowed.reshape(-1)
    marginals = []  # (values of the choice,) each, the last choice first
    for size in reversed(space.shape):
        table = remaining.reshape(-1, size)
        marginals.append(table.sum(axis=0, dtype=np.int64))
        remaining = table.sum(axis=1, dtype=np.int64)
    count = max(int(remaining[0]), 1)
    means, highest = [], []
    for marginal in reversed(marginals):
        position = np.arange(len(marginal)) / max(len(marginal) - 1, 1)
        means.append(float(marginal @ position) / count)
        highest.append(float(position[marginal > 0].max(initial=0.0)))
    return np.array([np.log10(count) / 6, np.log10(count / space.points), *means, *highest])


def feature_count(space: Space) -> int:
    """Length of ``SearchContext.features`` in a space."""
    return WORKLOAD_FEATURES + len(Objective) + 2 + 2 * len(space.choices)


def context_features(workload: FloatArray, objective: Objective, budget: FloatArray) -> FloatArray:
    """Workload, objective and budget side by side, as a conditioned agent sees them, float64 (F,)."""
    one_hot = np.array([float(objective is other) for other in Objective])
    return np.concatenate([workload, one_hot, budget])


def search_context(
    designs: FeasibleSet,
    objective: Objective,
    default: Mapping[str, int],
    layers: Sequence[Layer],
    *,
    weights: FloatArray | None = None,
    budget: int,
) -> SearchContext:
    """All an agent may know before it proposes.

    Args:
        designs: The feasible designs.
        objective: What is minimised.
        default: The platform's default accelerator, by name of the choice.
        layers: L layers.
        weights: float64 (L,): multiplicity of each layer; ones if None.
        budget: Evaluations in all.

    Raises:
        InfeasibleDesignError: No design is feasible.
    """
    return SearchContext(
        designs=designs,
        objective=objective,
        start=nearest(designs, closest_indices(designs.space, default)),
        features=context_features(workload_features(layers, weights), objective, budget_features(designs)),
        budget=budget,
    )


def closest_indices(space: Space, row: Mapping[str, int]) -> IntArray:
    """For each choice the position of the value closest to the row's, int64 (D,); a row may lie outside."""

    def position(choice: Choice) -> int:
        wanted = row.get(choice.name, choice.values[0])
        return int(np.abs(np.array(choice.values) - wanted).argmin())

    return np.array([position(choice) for choice in space.choices], dtype=np.int64)
