"""Design spaces: choices, rules with named slack, and exact masks over partly chosen designs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress, groupby

import numpy as np

from rhnas.errors import InfeasibleDesignError, SettingsError
from rhnas.workload import BoolArray, FloatArray, IntArray

CHUNK = 1 << 18
"""Designs decoded at a time when a whole space is swept; bounds the memory of a sweep."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One factor of a design: a name and the values it may take, in ascending order.

    Example:
        >>> Choice(name="LOG_BATCH", values=(0, 1, 2)).index(1)
        1
    """

    name: str
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.values or list(self.values) != sorted(set(self.values)):
            raise SettingsError(
                f"the values of choice {self.name!r} must ascend without repeats", got=self.values
            )

    def index(self, value: int) -> int:
        """The position of ``value``.

        Raises:
            InfeasibleDesignError: The value is not in the space.
        """
        if value not in self.values:
            raise InfeasibleDesignError(
                f"{self.name} must be one of the space's values {self.values}", got=value
            )
        return self.values.index(value)


@dataclass(frozen=True)
class DesignBatch:
    """Any designs of a space, realizable or not, as physical values.

    Attributes:
        columns: For each choice by name its values, int64 (B,).
    """

    columns: Mapping[str, IntArray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> IntArray:
        return self.columns[name]

    def row(self, index: int) -> dict[str, int]:
        """One design as plain numbers."""
        return {name: int(column[index]) for name, column in self.columns.items()}

    def take(self, indices: IntArray | slice) -> DesignBatch:
        """Some of the designs."""
        return DesignBatch({name: column[indices] for name, column in self.columns.items()})

    @classmethod
    def of(cls, *rows: Mapping[str, int]) -> DesignBatch:
        """A batch from plain rows; a single design is a batch of one."""
        return cls({name: np.array([row[name] for row in rows], dtype=np.int64) for name in rows[0]})


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One condition of realizability.

    Attributes:
        name: Short and stable, as reports print it (``R4``, ``fpga.dsp``).
        level: ``structural``, ``mapping``, ``chainable``, ``fpga`` or ``limit``.
        invariant: What must hold, as a formula or sentence.
        reason: Why a design that breaks it cannot be built or used.
        source: Where the condition comes from.
        slack: ``slack(batch)`` is float64 (B,), >= 0 exactly where the rule holds.
        reads: The choices that the slack depends on, None for all of them. A sweep then looks at their
            combinations only and hands over no other column.
    """

    name: str
    level: str
    invariant: str
    reason: str
    source: str
    slack: Callable[[DesignBatch], FloatArray]
    reads: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Space:
    """A product of choices with the structural rules that say which points can be built.

    Legend: B designs, D choices, C rules. Indices are int64 (B, D), positions within each choice.

    Example:
        >>> even = Rule(name="even", level="structural", invariant="a + b even", reason="toy", source="toy",
        ...             slack=lambda batch: -((batch["a"] + batch["b"]) % 2).astype(float))
        >>> space = Space(name="toy", rules=(even,), choices=(
        ...     Choice(name="a", values=(0, 1)), Choice(name="b", values=(0, 2))))
        >>> space.feasible().mask(np.empty((1, 0), dtype=np.int64))
        array([[ True, False]])
    """

    name: str
    choices: tuple[Choice, ...]
    rules: tuple[Rule, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the choices, in the order of the index columns."""
        return tuple(choice.name for choice in self.choices)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each choice."""
        return tuple(len(choice.values) for choice in self.choices)

    @property
    def points(self) -> int:
        """Size of the product, realizable or not."""
        return int(np.prod(self.shape))

    def decode(self, indices: IntArray) -> DesignBatch:
        """Indices to physical values.

        Args:
            indices: int64 (B, D).

        Raises:
            SettingsError: The array has another shape or an index is out of range.
        """
        if indices.ndim != 2 or indices.shape[1] != len(self.choices):
            raise SettingsError(f"indices must have shape (B, {len(self.choices)})", got=indices.shape)
        if len(indices) and ((indices < 0).any() or (indices >= np.array(self.shape)).any()):
            raise SettingsError(f"indices must lie within {self.shape}", got=indices.min(0))
        return DesignBatch(
            {c.name: np.asarray(c.values, dtype=np.int64)[indices[:, i]] for i, c in enumerate(self.choices)}
        )

    def encode(self, row: Mapping[str, int]) -> IntArray:
        """A plain row to indices int64 (D,); keys the space does not have are ignored.

        Raises:
            InfeasibleDesignError: A value is not in the space.
        """
        return np.array([choice.index(row[choice.name]) for choice in self.choices], dtype=np.int64)

    def slack(self, batch: DesignBatch, rules: Sequence[Rule] | None = None) -> FloatArray:
        """Slack of every rule.

        Returns:
            float64 (B, C); a design is realizable where all are >= 0.
        """
        chosen = self.rules if rules is None else rules
        return (
            np.stack([rule.slack(batch) for rule in chosen], axis=1) if chosen else np.zeros((len(batch), 0))
        )

    def unravel(self, flat: IntArray) -> IntArray:
        """Flat positions (B,) to indices (B, D), row-major."""
        return np.stack(np.unravel_index(flat, self.shape), axis=1).astype(np.int64)

    def ravel(self, indices: IntArray) -> IntArray:
        """Indices (B, D) to flat positions (B,), row-major."""
        return np.asarray(np.ravel_multi_index(tuple(indices.T), self.shape), dtype=np.int64)

    def at(self, flat: IntArray) -> DesignBatch:
        """The designs at flat positions (B,), row-major; faster than ``decode`` of ``unravel``."""
        positions = np.unravel_index(flat, self.shape)
        return DesignBatch(
            {
                choice.name: np.asarray(choice.values, dtype=np.int64)[position]
                for choice, position in zip(self.choices, positions, strict=True)
            }
        )

    @cached_property
    def _structural(self) -> FeasibleSet:
        return FeasibleSet(space=self, allowed=np.ones(self.shape, dtype=np.bool_)).restrict(self.rules)

    def feasible(self, extra: Sequence[Rule] = ()) -> FeasibleSet:
        """Every design that satisfies the structural rules and ``extra`` ones, found by a full sweep."""
        return self._structural.restrict(extra)

    def violations(self) -> dict[str, int]:
        """For each structural rule the number of points that break it; overlaps are counted."""
        counts = {}
        for rule in self.rules:
            held = self.holds((rule,))
            counts[rule.name] = int((~held).sum()) * (self.points // held.size)
        return counts

    def holds(self, rules: Sequence[Rule], among: BoolArray | None = None) -> BoolArray:
        """Where rules that read the same choices hold, asked once per combination of these choices.

        Args:
            rules: At least one; their ``reads`` are equal.
            among: bool, the space's shape: the designs that matter, None for all; a combination that no
                such design has is not asked for and counts as False.

        Returns:
            bool, one axis per choice, of length 1 for choices that the rules do not read.
        """
        reads = rules[0].reads
        kept = [reads is None or choice.name in reads for choice in self.choices]
        part = Space(name=self.name, rules=(), choices=tuple(compress(self.choices, kept)))
        if among is None:
            asked = np.arange(part.points)
        else:
            asked = np.flatnonzero(among.any(axis=tuple(a for a, keep in enumerate(kept) if not keep)))
        found = np.zeros(part.points, dtype=np.bool_)
        for first in range(0, len(asked), CHUNK):
            flat = asked[first : first + CHUNK]
            batch = part.at(flat)
            found[flat] = np.logical_and.reduce([rule.slack(batch) >= 0 for rule in rules])
        return found.reshape([size if keep else 1 for size, keep in zip(self.shape, kept, strict=True)])


@dataclass(frozen=True)
class FeasibleSet:
    """The designs of a space that meet a set of rules, with exact prefix masks.

    Attributes:
        space: The space.
        allowed: bool, the space's shape.
    """

    space: Space
    allowed: BoolArray

    @property
    def count(self) -> int:
        """Number of feasible designs."""
        return int(self.allowed.sum())

    @cached_property
    def flat(self) -> IntArray:
        """Flat positions of the feasible designs, ascending, int64 (count,)."""
        return np.flatnonzero(self.allowed.reshape(-1)).astype(np.int64)

    @cached_property
    def _reach(self) -> tuple[BoolArray, ...]:
        """``_reach[d]`` is (points of the first d choices, values of choice d): has a completion."""
        shape = self.space.shape
        remaining: BoolArray = self.allowed.reshape(-1)
        reach: list[BoolArray] = []
        for size in reversed(shape):
            table: BoolArray = remaining.reshape(-1, size)
            reach.append(table)
            remaining = np.asarray(table.any(axis=1))
        return tuple(reversed(reach))

    def mask(self, partial: IntArray) -> BoolArray:
        """Which values of the next choice still have a feasible completion; exact, by enumeration.

        Args:
            partial: int64 (B, d): the first d < D choices.

        Returns:
            bool (B, number of values of choice d).
        """
        depth = partial.shape[1]
        if depth == 0:
            return np.repeat(self._reach[0], len(partial), axis=0)
        rows = np.ravel_multi_index(tuple(partial.T), self.space.shape[:depth])
        return np.asarray(self._reach[depth][rows])

    def contains(self, indices: IntArray) -> BoolArray:
        """Which designs are feasible.

        Args:
            indices: int64 (B, D).

        Returns:
            bool (B,).
        """
        return np.asarray(self.allowed.reshape(-1)[self.space.ravel(indices)])

    def sample(self, n: int, rng: np.random.Generator) -> IntArray:
        """``n`` feasible designs, uniform and independent, int64 (n, D).

        Raises:
            InfeasibleDesignError: The set is empty.
        """
        self.require_some()
        return self.space.unravel(rng.choice(self.flat, size=n))

    def all(self) -> IntArray:
        """Every feasible design, int64 (count, D)."""
        return self.space.unravel(self.flat)

    def restrict(self, rules: Sequence[Rule]) -> FeasibleSet:
        """The designs of this set that meet further rules."""
        allowed = self.allowed
        for _, group in groupby(rules, key=lambda rule: rule.reads):
            allowed = allowed & self.space.holds(tuple(group), allowed)
        return FeasibleSet(space=self.space, allowed=allowed) if rules else self

    def require_some(self) -> None:
        """Raise if no design is left.

        Raises:
            InfeasibleDesignError: The set is empty.
        """
        if not self.allowed.any():
            raise InfeasibleDesignError(
                f"space {self.space.name!r} must hold at least one design within the given limits",
                got="none of its points meets all rules",
                fix="loosen a --limit or choose a larger --fpga",
            )
