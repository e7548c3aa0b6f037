"""Reading a table of measured costs: every complaint names its line."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rhnas.errors import DataError, RhnasError, did_you_mean
from rhnas.networks.zoo import load_network
from rhnas.platforms.points import Point
from rhnas.pricing import LAUNCH
from rhnas.workload import SHAPE_FIELDS, Layer, LayerKind, compulsory

COSTS = ("cycles", "energy_pj")
NAMED = ("network", "layer")
"""Columns that name a layer of a network of the zoo, or of an ONNX file."""
OPTIONAL_SHAPE = ("relu", "reads_picture")
SHAPE = tuple(name for name in SHAPE_FIELDS if name not in OPTIONAL_SHAPE)
"""Columns that give a layer's shape instead."""
PEAKS = ("macs_per_cycle", "bytes_per_cycle")
MAPPING = "mapping"
"""Column that tells several mappings of one layer apart."""

Key = tuple[int, ...]
"""A layer's shape as far as the table tells shapes apart."""
Design = tuple[int, ...]


@dataclass
class Table:
    """Measured costs.

    Attributes:
        choices: Names of the columns that make up a design.
        fields: Positions of ``Layer.shape`` that make up a ``Key``.
        costs: For each design and layer the points of its mappings.
        launches: For each design what a program costs beside its layers, where the table says so.
        peaks: For each design MACs and bytes per cycle; 0 where the table does not say.
    """

    choices: tuple[str, ...]
    fields: tuple[int, ...]
    costs: dict[Design, dict[Key, list[Point]]] = field(default_factory=dict)
    launches: dict[Design, Point] = field(default_factory=dict)
    peaks: dict[Design, tuple[float, float]] = field(default_factory=dict)

    def key(self, layer: Layer) -> Key:
        """What stands for a layer in ``costs``."""
        return tuple(layer.shape[at] for at in self.fields)


def read_table(path: Path) -> Table:
    """The costs of a CSV file.

    Layers of equal shape cost the same here, so that rows of several such layers of a network are averaged.

    Raises:
        DataError: The file cannot be read, lacks a column, or a row is wrong, impossible or there twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a readable text file", got=str(error)) from error
    rows = csv.reader(lines, strict=True)
    try:
        reader = _Reader(path, [name.strip() for name in next(rows, [])])
        for row in rows:
            if row:
                reader.add(rows.line_num, row)
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: must be CSV", got=str(error)) from error
    return reader.table()


class _Reader:
    """Collects rows; ``table`` averages them."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        self._path, self._columns = path, columns
        self._by_shape = not set(NAMED) <= set(columns)
        identity = SHAPE if self._by_shape else NAMED
        needed = (*COSTS, *identity)
        missing = [name for name in needed if name not in columns]
        if missing or len(set(columns)) < len(columns):
            wanted = f"{', '.join(COSTS)}, and {', '.join(NAMED)} or a layer's shape ({', '.join(SHAPE)})"
            raise DataError(
                f"{path}, line 1: the columns must be the choices, {wanted}, each once",
                got=f"no {', '.join(missing)}" if missing else ",".join(columns),
            )
        known = {*needed, *PEAKS, MAPPING, *(OPTIONAL_SHAPE if self._by_shape else ())}
        self._choices = tuple(name for name in columns if name not in known)
        if not self._choices:
            raise DataError(f"{path}, line 1: at least one column must be a choice", got=",".join(columns))
        told = {*SHAPE, *columns} if self._by_shape else set(SHAPE_FIELDS)
        self._fields = tuple(at for at, name in enumerate(SHAPE_FIELDS) if name in told)
        self._found: dict[tuple[Design, Key, str], list[Point]] = {}
        self._lines: dict[tuple[str, ...], int] = {}
        self._made = Table(self._choices, self._fields)
        self._networks: dict[str, Mapping[str, Layer]] = {}

    def add(self, line: int, row: Sequence[str]) -> None:
        """One more row."""
        where = f"{self._path}, line {line}"
        if len(row) != len(self._columns):
            raise DataError(f"{where}: a row must have {len(self._columns)} values", got=str(len(row)))
        cells = dict(zip(self._columns, (cell.strip() for cell in row), strict=True))
        same = tuple(cells[name] for name in self._columns if name not in (*COSTS, *PEAKS))
        if same in self._lines:
            raise DataError(
                f"{where}: a measurement must be there once", got=f"line {self._lines[same]} again"
            )
        self._lines[same] = line
        design = tuple(_whole(where, name, cells[name]) for name in self._choices)
        launch = not self._by_shape and cells["layer"] == LAUNCH
        point = (
            round(_number(where, "cycles", cells["cycles"], zero=launch)),
            _number(where, "energy_pj", cells["energy_pj"], zero=launch),
        )
        self._made.costs.setdefault(design, {})
        if launch:
            self._made.launches[design] = point
            return
        layer = self._layer(where, cells)
        self._check_possible(where, layer, design, cells, point)
        key = design, self._made.key(layer), cells.get(MAPPING, "")
        self._found.setdefault(key, []).append(point)

    def table(self) -> Table:
        """All that was read."""
        if not self._found:
            raise DataError(f"{self._path} must have rows below its header", got="none")
        for (design, key, _), points in self._found.items():
            cycles = round(sum(point[0] for point in points) / len(points))
            pj = sum(point[1] for point in points) / len(points)
            self._made.costs[design].setdefault(key, []).append((cycles, pj))
        return self._made

    def _layer(self, where: str, cells: Mapping[str, str]) -> Layer:
        if self._by_shape:
            return _shaped(where, cells)
        network = cells["network"]
        if network not in self._networks:
            try:
                self._networks[network] = {layer.name: layer for layer in load_network(network)}
            except RhnasError as error:
                raise DataError(f"{where}: {error.what}", got=error.got, fix=error.fix) from error
        layers = self._networks[network]
        if cells["layer"] not in layers:
            raise DataError(
                f"{where}: layer must be one of {network}, or {LAUNCH}",
                got=repr(cells["layer"]),
                fix=did_you_mean(cells["layer"], layers),
            )
        return layers[cells["layer"]]

    def _check_possible(
        self, where: str, layer: Layer, design: Design, cells: Mapping[str, str], point: Point
    ) -> None:
        peaks = [_number(where, name, cells[name]) if cells.get(name) else 0.0 for name in PEAKS]
        macs, read, written = compulsory(layer)
        for amount, peak in zip((macs, read + written), peaks, strict=True):
            if peak and point[0] < amount / peak:
                raise DataError(
                    f"{where}: cycles must not be below their physical bound of {amount / peak:.1f}",
                    got=point[0],
                    fix="correct the row or its peaks",
                )
        before = self._made.peaks.get(design, (0.0, 0.0))
        self._made.peaks[design] = max(before[0], peaks[0]), max(before[1], peaks[1])


def _shaped(where: str, cells: Mapping[str, str]) -> Layer:
    kinds = {kind.name.lower(): kind for kind in LayerKind}
    if cells["kind"] not in kinds:
        raise DataError(f"{where}: kind must be one of {', '.join(kinds)}", got=repr(cells["kind"]))
    number = {name: _whole(where, name, cells.get(name, "0")) for name in (*SHAPE[1:], *OPTIONAL_SHAPE)}

    def pair(first: str, second: str) -> tuple[int, int]:
        return number[first], number[second]

    try:
        return Layer(
            name=where,
            kind=kinds[cells["kind"]],
            channels=pair("in_channels", "out_channels"),
            size=pair("in_height", "in_width"),
            kernel=pair("kernel_height", "kernel_width"),
            stride=pair("stride_vertical", "stride_horizontal"),
            padding=pair("pad_vertical", "pad_horizontal"),
            groups=number["groups"],
            relu=bool(number["relu"]),
            inputs=("",) if number["reads_picture"] else (),
        )
    except RhnasError as error:
        raise DataError(error.what, got=error.got) from error


def _whole(where: str, column: str, text: str) -> int:
    if not text.isdecimal():
        raise DataError(f"{where}: {column} must be a whole number, not negative", got=repr(text))
    return int(text)


def _number(where: str, column: str, text: str, *, zero: bool = False) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (0 < value < float("inf") or (value == 0 and zero)):
        raise DataError(f"{where}: {column} must be a positive number", got=repr(text))
    return value
