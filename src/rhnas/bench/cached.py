"""Exact costs of all pairs of a problem, remembered on disk so that runs and workers share one table."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable

import numpy as np

from rhnas.codesign.pairs import PairCosts
from rhnas.errors import RhnasError
from rhnas.files import cache_folder, write_atomically
from rhnas.platform import Cost
from rhnas.workload import FloatArray

Progress = Callable[[int, int], None]
"""Told how many designs of how many are done."""


def pair_table(pairs: PairCosts, weights: FloatArray, progress: Progress = lambda _d, _t: None) -> FloatArray:
    """Log objective of every network on every design.

    The key covers the hulls, the networks and the objective, so a changed cost model is another entry. A
    folder that cannot be written costs time, not the result.

    Args:
        pairs: Exact costs of pairs.
        weights: float64 (N, L).
        progress: Told how far it is.

    Returns:
        float64 (B, N), mapped from the cached file where there is one.
    """
    path = cache_folder() / "pairs" / f"{_key(pairs, weights)}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        known = np.load(path, mmap_mode="r", allow_pickle=False)
        if known.shape == (len(pairs), len(weights)) and known.dtype == np.float64:
            return np.asarray(known)
    found = np.empty((len(pairs), len(weights)))
    for design in range(len(pairs)):
        found[design] = pairs.scores(weights, design)
        progress(design + 1, len(pairs))
    content = io.BytesIO()
    np.save(content, found)
    with contextlib.suppress(RhnasError):
        write_atomically(path, content.getvalue())
    return found


def _key(pairs: PairCosts, weights: FloatArray) -> str:
    cost: Cost = pairs.cost
    digest = hashlib.sha256(str(pairs.objective).encode())
    for array in (cost.cycles, cost.energy_pj, cost.launch_cycles, cost.launch_energy_pj, weights):
        digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]
