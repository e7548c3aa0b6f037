"""Whether anybody's cycle counts are physically possible.

An array of m multipliers does at most m MACs a cycle, a memory port of b bytes moves at most b bytes a cycle:
a claim below either quotient is impossible, whatever the schedule.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rhnas.errors import DataError

REQUIRED = ("name", "macs", "macs_per_cycle", "cycles")
TRAFFIC = ("dram_bytes", "bytes_per_cycle")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One row of a table of claims.

    Attributes:
        line: Of the file, the header being line 1.
        name: Of the claim.
        macs: Multiply-accumulates done.
        macs_per_cycle: The most the array does in a cycle.
        cycles: Claimed.
        dram_bytes: Bytes moved; 0 where nothing is said.
        bytes_per_cycle: The most the memory port moves in a cycle; 0 where nothing is said.

    Example:
        >>> claim = Claim(line=2, name="conv", macs=1000, macs_per_cycle=256, cycles=3.0)
        >>> claim.bound_cycles, claim.possible
        (3.90625, False)
    """

    line: int
    name: str
    macs: float
    macs_per_cycle: float
    cycles: float
    dram_bytes: float = 0.0
    bytes_per_cycle: float = 0.0

    @property
    def bound_cycles(self) -> float:
        """Below which nothing gets; not rounded up, for a claim may be a mean."""
        traffic = self.dram_bytes / self.bytes_per_cycle if self.bytes_per_cycle else 0.0
        return max(self.macs / self.macs_per_cycle, traffic)

    @property
    def possible(self) -> bool:
        """Whether the claim respects its bound."""
        return self.cycles >= self.bound_cycles

    def to_json(self) -> dict[str, Any]:
        """The claim as ``rhnas audit --json`` prints it."""
        return asdict(self) | {"bound_cycles": self.bound_cycles, "possible": self.possible}


def read_claims(path: Path) -> tuple[Claim, ...]:
    """The claims of a CSV file; ``TRAFFIC`` may be left out, as columns or in single rows.

    Raises:
        DataError: The file cannot be read, is empty, lacks a column, or a value is no number; says the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a readable text file", got=str(error)) from error
    rows = csv.reader(lines, strict=True)
    try:
        columns = _columns(path, next(rows, []))
        claims = tuple(_claim(path, rows.line_num, columns, row) for row in rows if row)
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: must be CSV", got=str(error)) from error
    if not claims:
        raise DataError(f"{path} must have rows below its header", got="none")
    return claims


def _columns(path: Path, header: Sequence[str]) -> list[str]:
    columns = [name.strip() for name in header]
    known = (*REQUIRED, *TRAFFIC)
    traffic = [name for name in TRAFFIC if name in columns]
    if (
        not set(REQUIRED) <= set(columns) <= set(known)
        or len(set(columns)) < len(columns)
        or len(traffic) == 1
    ):
        raise DataError(
            f"{path}, line 1: the columns must be {','.join(REQUIRED)} and, together, {','.join(TRAFFIC)}",
            got=",".join(columns) or "an empty line",
        )
    return columns


def _claim(path: Path, line: int, columns: Sequence[str], row: Sequence[str]) -> Claim:
    where = f"{path}, line {line}"
    if len(row) != len(columns):
        raise DataError(f"{where}: a row must have {len(columns)} values", got=str(len(row)))
    cells = dict(zip(columns, (cell.strip() for cell in row), strict=True))
    if not any(cells.get(key) for key in TRAFFIC):
        cells = {key: cells[key] for key in REQUIRED}
    name = cells.pop("name")
    return Claim(line=line, name=name, **{key: _number(where, key, text) for key, text in cells.items()})


def _number(where: str, column: str, text: str) -> float:
    positive = column.endswith("per_cycle")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (0 < value < float("inf") or (value == 0 and not positive)):
        kind = "positive" if positive else "non-negative"
        raise DataError(f"{where}: {column} must be a {kind} number", got=repr(text))
    return value
