"""Choosing designs to build: every width of every field, every pair of values of any two keys."""

import itertools

import numpy as np

from rhnas.space import Space
from rhnas.vta.rules import DerivedDepths, macs_per_cycle


def one_per_word(space: Space) -> np.ndarray:
    """Flat indices of realizable designs with every (I, W, A), and with every U.

    An instruction has two words of 64 bits: micro-op bounds are in the low one, loop factors in the high one.
    """
    flat = np.flatnonzero(space.feasible().allowed.reshape(-1))
    depths = DerivedDepths.of(space.at(flat))
    high = depths.inp + 32 * depths.wgt + 1024 * depths.acc
    chosen = [np.unique(word, return_index=True)[1] for word in (high, depths.uop)]
    return flat[np.unique(np.concatenate(chosen))]


def all_pairs(space: Space, *, macs: int, seed: int, candidates: int = 60) -> np.ndarray:
    """Flat indices of realizable designs with every realizable pair of values of any two keys, greedily few.

    Args:
        space: Where the designs are.
        macs: Largest array.
        seed: Of the candidates.
        candidates: From how many the next design is chosen.
    """
    flat = np.flatnonzero(space.feasible().allowed.reshape(-1))
    flat = flat[macs_per_cycle(space.at(flat)) <= macs]
    rows = space.unravel(flat).astype(np.int8)  # (B, D)
    keys = list(itertools.combinations(range(len(space.shape)), 2))
    missing = {both: np.zeros([space.shape[axis] for axis in both], dtype=bool) for both in keys}
    for left, right in keys:
        missing[left, right][rows[:, left], rows[:, right]] = True
    rng, chosen = np.random.default_rng(seed), []
    while wanted := [(*both, *pair) for both in keys for pair in np.argwhere(missing[both])]:
        left, right, a, b = wanted[rng.integers(len(wanted))]
        holding = np.flatnonzero((rows[:, left] == a) & (rows[:, right] == b))
        tried = rng.choice(holding, size=min(candidates, len(holding)), replace=False)
        gains = sum(missing[i, j][rows[tried, i], rows[tried, j]].astype(int) for i, j in keys)
        best = tried[np.argmax(gains)]
        for i, j in keys:
            missing[i, j][rows[best, i], rows[best, j]] = False
        chosen.append(flat[best])
    return np.array(chosen)
