"""A weight-stationary systolic array: a second accelerator, with choices, rules and costs of its own.

It has a cost model and no generator, compiler or simulator: its figures are estimates and stay so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self, final

from rhnas.errors import SettingsError
from rhnas.platform import CostModel, Platform
from rhnas.platforms.rows import only_space, parse_row, refuse_fpga, require_realizable
from rhnas.platforms.systolic_rules import CHAINABLE, DEFAULT, KEYS, SPACE, label, limit_rules
from rhnas.space import Rule, Space
from rhnas.workload import Layer


@dataclass(frozen=True, kw_only=True)
class SystolicConfig:
    """A realizable array.

    Attributes:
        rows: Of the array: products added in a column.
        cols: Of the array: output channels at a time.
        input_kib: Input buffer, both halves.
        weight_kib: Weight buffer, both halves.
        acc_kib: Accumulators, both halves.
        bus_bits: Width of the one memory port.
        vector_lanes: For pooling and additions; 0 without a vector unit.

    Raises:
        InfeasibleDesignError: A structural rule is broken; names each, its slack and the nearest fix.

    Example:
        >>> SystolicConfig(rows=48)
        Traceback (most recent call last):
        ...
        rhnas.errors.InfeasibleDesignError: the accelerator must keep \
input.lines: each half of the input buffer is whole lines of ROWS bytes (slack -32); \
got 48x16_32_32_32_b64_v16; nearest realizable: ROWS=32
    """

    rows: int = DEFAULT["ROWS"]
    cols: int = DEFAULT["COLS"]
    input_kib: int = DEFAULT["INPUT_KIB"]
    weight_kib: int = DEFAULT["WEIGHT_KIB"]
    acc_kib: int = DEFAULT["ACC_KIB"]
    bus_bits: int = DEFAULT["BUS_BITS"]
    vector_lanes: int = DEFAULT["VECTOR_LANES"]

    def __post_init__(self) -> None:
        row = self.to_row()
        for key, value in row.items():
            if value < 1 and key != KEYS[-1]:
                raise SettingsError(f"{key} must be at least 1", got=value)
        require_realizable(SPACE, row, DEFAULT, label(row))

    @classmethod
    def from_row(cls, row: Mapping[str, int]) -> Self:
        """The configuration of a full row."""
        return cls(**{key.lower(): int(row[key]) for key in KEYS})

    def to_row(self) -> dict[str, int]:
        """The keys of the space and their values."""
        return {key: getattr(self, key.lower()) for key in KEYS}


@final
class SystolicPlatform(Platform):
    """The systolic array with its space ``systolic``.

    Example:
        >>> SystolicPlatform().space("systolic").points
        165888
    """

    name = "systolic"
    spaces = (SPACE.name,)
    options = ("technology",)
    limits = MappingProxyType({"macs": (16, 4096), "bus_bits": (32, 256), "sram_kib": (16, 800)})

    def parse(self, text: str) -> dict[str, int]:
        """``default``, a JSON object in a file, or ``KEY=VAL,KEY=VAL`` changes to the default."""
        return parse_row(text, DEFAULT)

    def label(self, row: Mapping[str, int]) -> str:
        """``ROWSxCOLS_input_weight_acc_bBUS_vLANES``, buffers in KiB."""
        return label(row)

    def space(self, name: str) -> Space:
        """``systolic``."""
        return only_space(SPACE, name)

    def cost_model(self, **options: Any) -> CostModel:
        """The analytical model; its option is ``technology``."""
        from rhnas.platforms.systolic_cost import SystolicCostModel

        return SystolicCostModel(**options)

    def rules(
        self,
        *,
        layers: Sequence[Layer] = (),
        chainable: bool = False,
        fpga: str | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> tuple[Rule, ...]:
        """Rules of the levels limit, chainable and mapping as asked for; no FPGA is modelled."""
        from rhnas.platforms.systolic_cost import mapping_rules

        refuse_fpga(fpga)
        return (
            *limit_rules(limits or {}),
            *((CHAINABLE,) if chainable else ()),
            *mapping_rules(layers),
        )

    def default(self) -> dict[str, int]:
        """16 x 16, 32 KiB each, 64-bit port, 16 vector lanes."""
        return dict(DEFAULT)

    def config(self, row: Mapping[str, int]) -> SystolicConfig:
        """The configuration; exists only if realizable."""
        return SystolicConfig.from_row(row)
