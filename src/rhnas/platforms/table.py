"""Anybody's accelerator by measurement: designs, layers and their costs are the rows of a CSV file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from rhnas.errors import DataError, SettingsError
from rhnas.platform import Cost, CostModel, Platform
from rhnas.platforms.points import ROUNDING, cost_of, shape_text
from rhnas.platforms.rows import only_space, parse_row, refuse_fpga, require_realizable
from rhnas.platforms.table_read import Design, Key, Table, read_table
from rhnas.space import Choice, DesignBatch, Rule, Space
from rhnas.workload import FloatArray, IntArray, Layer, compulsory

NAMED = 3
"""Layers without any row that an error writes out."""


@final
class TableCostModel(CostModel):
    """Looks costs up; what is not in the table has no mapping.

    Args:
        table: The measurements.
        fingerprint: Of their file.
    """

    def __init__(self, table: Table, fingerprint: str) -> None:
        self._table = table
        self.fingerprint = fingerprint

    def evaluate(self, batch: DesignBatch, layers: Sequence[Layer]) -> Cost:
        """Hulls over the mappings measured."""
        keys = [self._table.key(layer) for layer in layers]
        designs = designs_of(batch, self._table)
        measured = [self._table.costs.get(design, {}) for design in designs]
        launches = [self._table.launches.get(design, (0, 0.0)) for design in designs]
        return cost_of([[costs.get(key) for key in keys] for costs in measured], launches)

    def bounds(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        """The larger of ``bound_terms``, (B, L); 0 where the table gives no peaks."""
        return np.asarray(self.bound_terms(batch, layers).max(axis=0))

    def bound_terms(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        """MACs / array and bytes / memory port by the peaks of the table, (2, B, L)."""
        peaks = [self._table.peaks.get(design, (0.0, 0.0)) for design in designs_of(batch, self._table)]
        macs, read, written = np.array([compulsory(layer) for layer in layers], dtype=np.float64).T
        amounts = np.stack([macs, read + written])[:, None]  # (2, 1, L)
        peak = np.array(peaks, dtype=np.float64).T[:, :, None]  # (2, B, 1)
        quotient = np.divide(amounts, peak, out=np.zeros((2, len(batch), len(layers))), where=peak > 0)
        return np.asarray(np.ceil(quotient * (1 - ROUNDING)), dtype=np.int64)

    def mappings(self, batch: DesignBatch, layers: Sequence[Layer], mu: float) -> list[dict[str, Any]]:
        """For each layer ``infeasible`` where the table has no row for it, else nothing."""
        costs = self._table.costs.get(designs_of(batch, self._table)[0], {})
        absent = {"infeasible": "the table has no row for it"}
        return [{} if self._table.key(layer) in costs else dict(absent) for layer in layers]


@final
class TablePlatform(Platform):
    """Accelerators that somebody has measured; see docs/platforms.md.

    Args:
        path: The CSV file.

    Raises:
        DataError: It cannot be read, or a row is wrong; names the line.
    """

    how = "measured"

    def __init__(self, path: Path) -> None:
        self._table = read_table(path)
        self._path = path
        self._fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
        self.name = path.stem
        self.spaces = (self.name,)
        values = [sorted(set(column)) for column in zip(*self._table.costs, strict=True)]
        self._space = Space(
            name=self.name,
            choices=tuple(
                Choice(name=name, values=tuple(column))
                for name, column in zip(self._table.choices, values, strict=True)
            ),
            rules=(self._rule("measured", "structural", "the design has rows", self._has_rows),),
        )

    def parse(self, text: str) -> dict[str, int]:
        """``default``, a JSON object in a file, or ``KEY=VAL,KEY=VAL`` changes to the default."""
        return parse_row(text, self.default())

    def label(self, row: Mapping[str, int]) -> str:
        """The values in the order of the columns."""
        return "_".join(str(row[name]) for name in self._table.choices)

    def space(self, name: str) -> Space:
        """The one space, named like the file: every combination of the values that occur."""
        return only_space(self._space, name)

    def cost_model(self, **options: Any) -> CostModel:
        """The measurements; no options."""
        return TableCostModel(self._table, self._fingerprint, **options)

    def rules(
        self,
        *,
        layers: Sequence[Layer] = (),
        chainable: bool = False,
        fpga: str | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> tuple[Rule, ...]:
        """Limits on the choices by their names, and for every layer that it was measured.

        Raises:
            DataError: Layers were measured on no design at all; names them.
        """
        refuse_fpga(fpga)
        limited = tuple(self._limit(name, bound) for name, bound in (limits or {}).items())
        return (*limited, *self._mappings(layers))

    def default(self) -> dict[str, int]:
        """The design of the first row."""
        return dict(zip(self._table.choices, next(iter(self._table.costs)), strict=True))

    def config(self, row: Mapping[str, int]) -> dict[str, int]:
        """The row itself; exists only if it was measured."""
        require_realizable(self._space, row, self.default(), self.label(row))
        return {name: row[name] for name in self._table.choices}

    def _has_rows(self, design: Design) -> bool:
        return design in self._table.costs

    def _rule(self, name: str, level: str, invariant: str, holds: Any) -> Rule:
        def slack(batch: DesignBatch) -> FloatArray:
            held = [holds(design) for design in designs_of(batch, self._table)]
            return np.where(held, 0.0, -1.0)

        return Rule(
            name=name,
            level=level,
            invariant=invariant,
            reason="nobody has measured it: the table has no row",
            source=str(self._path),
            slack=slack,
        )

    def _limit(self, name: str, bound: int) -> Rule:
        if name not in self._table.choices:
            raise SettingsError(f"a limit must be one of {sorted(self._table.choices)}", got=name)
        return Rule(
            name=f"limit.{name}",
            level="limit",
            invariant=f"{name} <= {bound}",
            reason="the limit asked for is exceeded",
            source="--limit",
            slack=lambda batch: (bound - batch[name]).astype(np.float64),
            reads=(name,),
        )

    def _mappings(self, layers: Sequence[Layer]) -> tuple[Rule, ...]:
        known: set[Key] = {key for costs in self._table.costs.values() for key in costs}
        distinct = {self._table.key(layer): layer for layer in reversed(layers)}
        absent = [layer for key, layer in reversed(distinct.items()) if key not in known]
        if absent:
            more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
            raise DataError(
                f"{self._path} must have rows for every layer of the network",
                got=f"none for {'; '.join(shape_text(layer) for layer in absent[:NAMED])}{more}",
                fix="measure them, or choose another network",
            )
        return tuple(self._mapping(key, layer) for key, layer in reversed(distinct.items()))

    def _mapping(self, key: Key, layer: Layer) -> Rule:
        def holds(design: Design) -> bool:
            return key in self._table.costs.get(design, {})

        return self._rule(
            f"mapping.{layer.name}", "mapping", f"layer {layer.name!r} was measured on the design", holds
        )


def designs_of(batch: DesignBatch, table: Table) -> list[Design]:
    """The designs of a batch as the table knows them."""
    return list(zip(*(batch[name].tolist() for name in table.choices), strict=True))
