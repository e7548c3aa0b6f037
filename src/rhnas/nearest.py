"""The smallest change that makes a design realizable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rhnas.space import Choice, Rule, Space
from rhnas.workload import IntArray


def nearest_design(
    space: Space, row: Mapping[str, int], rules: Sequence[Rule], prefer: Mapping[str, int]
) -> dict[str, int] | None:
    """The design that meets all rules with the fewest index steps from ``row``.

    Ties go to fewer changed keys, then to more keys in common with ``prefer``, then to the lexicographically
    smallest row. Values of ``row`` that the space does not have may stay as they are: a fix never changes
    what no rule forbids.

    Args:
        space: Where to look.
        row: One value per choice of the space.
        rules: What must hold.
        prefer: A well-known design, the platform's default.

    Returns:
        A full row, ``row`` itself if it meets the rules, or None where no design does.

    Example:
        >>> from rhnas.vta.spaces import DEFAULT, VTA_INTEL
        >>> found = nearest_design(VTA_INTEL, DEFAULT | {"LOG_ACC_BUFF_SIZE": 18}, VTA_INTEL.rules, DEFAULT)
        >>> describe_change(DEFAULT | {"LOG_ACC_BUFF_SIZE": 18}, found)
        'LOG_ACC_BUFF_SIZE=17'
    """
    wide = _including(space, row)
    start = wide.encode(row)  # (D,)
    distance = _steps(wide.shape, start)
    for radius in range(int(distance.max()) + 1):
        ring = np.flatnonzero(distance == radius).astype(np.int64)
        found = wide.unravel(_holds(wide, ring, rules))  # (B, D), rows ascending
        if len(found):
            return _best(wide, found, start, prefer)
    return None


def single_change(
    space: Space, row: Mapping[str, int], rule: Rule, prefer: Mapping[str, int]
) -> dict[str, int] | None:
    """The smallest change of one key that satisfies one rule; other rules may then break.

    Args:
        space: Where to look.
        row: One value per choice of the space.
        rule: What must hold.
        prefer: Breaks ties, as in ``nearest_design``.

    Returns:
        A full row; None where no single key suffices.
    """
    wide = _including(space, row)
    start = wide.encode(row)
    changed = sorted(
        (*start[:d], value, *start[d + 1 :])
        for d, size in enumerate(wide.shape)
        for value in range(size)
        if value != start[d]
    )
    candidates = np.array(changed, dtype=np.int64).reshape(len(changed), len(start))
    holding = candidates[rule.slack(wide.decode(candidates)) >= 0]
    return _best(wide, holding, start, prefer) if len(holding) else None


def describe_change(row: Mapping[str, int], fixed: Mapping[str, int]) -> str:
    """The keys in which ``fixed`` differs from ``row``, as ``KEY=VAL,KEY=VAL``."""
    return ",".join(f"{key}={value}" for key, value in fixed.items() if value != row[key])


def _best(space: Space, found: IntArray, start: IntArray, prefer: Mapping[str, int]) -> dict[str, int]:
    """The first by steps, changed keys, keys that differ from ``prefer``, and position."""
    batch = space.decode(found)
    steps = np.abs(found - start).sum(axis=1)
    changed = (found != start).sum(axis=1)
    unusual = np.stack([batch[name] != prefer[name] for name in space.names]).sum(axis=0)
    return batch.row(int(np.lexsort((unusual, changed, steps))[0]))


def _including(space: Space, row: Mapping[str, int]) -> Space:
    """The space, enlarged where it lacks a value of ``row``."""
    choices = tuple(
        Choice(name=choice.name, values=tuple(sorted({*choice.values, row[choice.name]})))
        for choice in space.choices
    )
    return replace(space, choices=choices)


def _steps(shape: tuple[int, ...], start: IntArray) -> IntArray:
    """Index steps from ``start`` to every point, flat."""
    total = np.zeros(shape, dtype=np.int64)
    for axis, (size, origin) in enumerate(zip(shape, start, strict=True)):
        along = np.ones(len(shape), dtype=np.int64)
        along[axis] = size
        total += np.abs(np.arange(size) - origin).reshape(along)
    return total.reshape(-1)


def _holds(space: Space, flat: IntArray, rules: Sequence[Rule]) -> IntArray:
    """Those of the flat positions that meet all rules; later rules look only at what is left."""
    for rule in rules:
        if len(flat):
            flat = flat[rule.slack(space.at(flat)) >= 0]
    return flat
