"""One accelerator of the VTA family: exists only if it can be built; reads and writes ``vta_config.json``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from rhnas.assignments import assignments
from rhnas.errors import InfeasibleDesignError, SettingsError
from rhnas.files import read_json
from rhnas.nearest import describe_change, nearest_design
from rhnas.space import DesignBatch, Rule, Space
from rhnas.vta.rules import (
    BATCH,
    BLOCK_IN,
    BLOCK_OUT,
    BUS,
    INT8_BITS,
    KEYS,
    KIB,
    LOG_ACC_BITS,
    LOG_BYTE_BITS,
    LOG_INP_BITS,
    LOG_UOP_BITS,
    LOG_WGT_BITS,
    STRUCTURAL,
    DerivedDepths,
    sram_bytes,
)
from rhnas.vta.spaces import DEFAULT, SPACES, VTA_WIDE

LOG_BLOCK = "LOG_BLOCK"
"""Upstream's key for both block sizes."""

EXAMPLE = "LOG_BLOCK_IN=5,LOG_WGT_BUFF_SIZE=17"
"""What errors show of how an accelerator is written."""

MAX_LOG_ARRAY, MAX_LOG_BUFFER, MAX_BUS_BITS = 16, 30, 4096
"""Largest values that are taken as meant; beyond them numbers are typing errors, not designs."""

FIXED: Mapping[str, int] = {
    "LOG_INP_WIDTH": LOG_INP_BITS,
    "LOG_WGT_WIDTH": LOG_WGT_BITS,
    "LOG_ACC_WIDTH": LOG_ACC_BITS,
    "LOG_OUT_WIDTH": LOG_INP_BITS,
    "LOG_UOP_WIDTH": LOG_UOP_BITS,
    "LOG_INP_FACTOR_RESTRICT": 0,
    "LOG_WGT_FACTOR_RESTRICT": 0,
    "LOG_ACC_FACTOR_RESTRICT": 0,
}
"""Standard keys that this generator supports at one value only (IL ``config/pkg_config.py``)."""

CARRIED = (
    *("TARGET", "HW_VER", "HW_FREQ", "HW_CLK_TARGET", "MAX_BURST_LENGTH", "VTHREAD_NAME"),
    *("ENABLE_INSTRUCTION_CLP", "ENABLE_VTHREAD", "SHL_VME_CLT_TAG_BITS"),
    *("DPI_DELAY", "DPI_LEN_BITS", "DPI_ADDR_BITS", "DPI_TAG_BITS"),
)
"""Standard keys about other tools or simulators: accepted and kept, without meaning here."""
CARRIED_PREFIXES = ("VTA_CORE_", "VTA_FEATURE_")
"""Families of such keys: pipelining and compatibility switches of the Chisel sources (IL ``README.md``)."""

BUS_ALIAS = "DPI_DATA_BITS"
"""Must equal the bus width (IL ``README.md``)."""

Scalar = int | str | bool | float


@dataclass(frozen=True, kw_only=True)
class AcceleratorConfig:
    """A realizable accelerator; sizes are base-2 logarithms as in ``vta_config.json``.

    Attributes:
        log_batch: Rows of the array that work on different pictures or pixels.
        log_block_in: Input channels per cycle.
        log_block_out: Output channels per cycle.
        log_uop_buff_size: Micro-op scratchpad, bytes.
        log_inp_buff_size: Input scratchpad, bytes.
        log_wgt_buff_size: Weight scratchpad, bytes.
        log_acc_buff_size: Accumulator scratchpad, bytes.
        shl_mem_axi_data_bits: Width of the memory bus (not a logarithm).
        carried: Keys of the file it came from that have no meaning here, kept for other tools.

    Raises:
        InfeasibleDesignError: A structural rule is broken; names each, its slack and the nearest fix.
        SettingsError: A value is no size at all.

    Example:
        >>> AcceleratorConfig().macs_per_cycle
        256
        >>> AcceleratorConfig(log_acc_buff_size=18)
        Traceback (most recent call last):
        ...
        rhnas.errors.InfeasibleDesignError: the accelerator must keep \
R2: 2 (W + I + A) <= 64 bits (slack -2), \
R4: 20 + 2 (A + I) <= 64 bits (slack -2); got 1x16x16_15_15_18_18_64; nearest realizable: LOG_ACC_BUFF_SIZE=17
    """

    log_batch: int = DEFAULT["LOG_BATCH"]
    log_block_in: int = DEFAULT["LOG_BLOCK_IN"]
    log_block_out: int = DEFAULT["LOG_BLOCK_OUT"]
    log_uop_buff_size: int = DEFAULT["LOG_UOP_BUFF_SIZE"]
    log_inp_buff_size: int = DEFAULT["LOG_INP_BUFF_SIZE"]
    log_wgt_buff_size: int = DEFAULT["LOG_WGT_BUFF_SIZE"]
    log_acc_buff_size: int = DEFAULT["LOG_ACC_BUFF_SIZE"]
    shl_mem_axi_data_bits: int = DEFAULT["SHL_MEM_AXI_DATA_BITS"]
    carried: tuple[tuple[str, Scalar], ...] = ()

    def __post_init__(self) -> None:
        row = self.to_row()
        for key, value in row.items():
            _check_size(key, value)
        require_realizable(row)

    @classmethod
    def from_row(cls, row: Mapping[str, int]) -> Self:
        """The configuration of a row of ``vta_config`` keys, as ``DesignBatch.row`` gives it."""
        batch, block_in, block_out, uop, inp, wgt, acc, bus = (int(row[key]) for key in KEYS)
        return cls(
            log_batch=batch,
            log_block_in=block_in,
            log_block_out=block_out,
            log_uop_buff_size=uop,
            log_inp_buff_size=inp,
            log_wgt_buff_size=wgt,
            log_acc_buff_size=acc,
            shl_mem_axi_data_bits=bus,
        )

    def to_row(self) -> dict[str, int]:
        """The eight keys of a space and their values."""
        return {key: getattr(self, key.lower()) for key in KEYS}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The configuration of a ``vta_config.json`` object; what is left out is the default's.

        Example:
            >>> AcceleratorConfig.from_json({"LOG_BLOCK": 5, "TARGET": "tsim"}).block_out
            32
        """
        row, carried = read_keys(value)
        return replace(cls.from_row(row), carried=carried)

    def to_json(self) -> dict[str, Scalar]:
        """The object other VTA tools read: carried keys, fixed widths, sizes; ``from_json`` undoes it."""
        return {**dict(self.carried), **FIXED, **self.to_row()}

    @property
    def name(self) -> str:
        """Short name in Intel Labs' form, bus last.

        Example:
            >>> AcceleratorConfig().name
            '1x16x16_15_15_18_17_64'
        """
        return row_name(self.to_row())

    @property
    def batch(self) -> int:
        """BATCH, the rows of an input tensor."""
        return 1 << self.log_batch

    @property
    def block_in(self) -> int:
        """BLOCK_IN, input channels per cycle."""
        return 1 << self.log_block_in

    @property
    def block_out(self) -> int:
        """BLOCK_OUT, output channels per cycle."""
        return 1 << self.log_block_out

    @property
    def bus_bits(self) -> int:
        """Width of the memory bus."""
        return self.shl_mem_axi_data_bits

    @property
    def bus_bytes(self) -> int:
        """Bytes per beat of the memory bus."""
        return self.bus_bits // INT8_BITS

    @property
    def macs_per_cycle(self) -> int:
        """Multipliers of the array."""
        return self.batch * self.block_in * self.block_out

    @cached_property
    def uop_index_bits(self) -> int:
        """U, width of a micro-op address."""
        return int(self._depths.uop[0])

    @cached_property
    def inp_index_bits(self) -> int:
        """I, width of an input index and of its loop factors."""
        return int(self._depths.inp[0])

    @cached_property
    def wgt_index_bits(self) -> int:
        """W, width of a weight index and of its loop factors."""
        return int(self._depths.wgt[0])

    @cached_property
    def acc_index_bits(self) -> int:
        """A, width of an accumulator index and of its loop factors."""
        return int(self._depths.acc[0])

    @property
    def uop_depth(self) -> int:
        """Micro-ops on chip."""
        return 1 << self.uop_index_bits

    @property
    def inp_depth(self) -> int:
        """Input tensors on chip, BATCH x BLOCK_IN int8 each."""
        return 1 << self.inp_index_bits

    @property
    def wgt_depth(self) -> int:
        """Weight tensors on chip, BLOCK_OUT x BLOCK_IN int8 each."""
        return 1 << self.wgt_index_bits

    @property
    def acc_depth(self) -> int:
        """Accumulator tensors on chip, BATCH x BLOCK_OUT int32 each."""
        return 1 << self.acc_index_bits

    @property
    def out_depth(self) -> int:
        """Output tensors on chip, BATCH x BLOCK_OUT int8 each; as many as accumulators."""
        return self.acc_depth

    @property
    def inp_tensor_bytes(self) -> int:
        """Bytes of one input tensor."""
        return self.batch * self.block_in

    @property
    def wgt_tensor_bytes(self) -> int:
        """Bytes of one weight tensor."""
        return self.block_out * self.block_in

    @property
    def acc_tensor_bytes(self) -> int:
        """Bytes of one accumulator tensor."""
        return self.out_tensor_bytes << (LOG_ACC_BITS - LOG_BYTE_BITS)

    @property
    def out_tensor_bytes(self) -> int:
        """Bytes of one output tensor."""
        return self.batch * self.block_out

    @property
    def sram_kib(self) -> float:
        """Micro-op, input, weight and accumulator scratchpads; the output one is derived and not counted."""
        return int(sram_bytes(DesignBatch.of(self.to_row()))[0]) / KIB

    @property
    def _depths(self) -> DerivedDepths:
        return DerivedDepths.of(DesignBatch.of(self.to_row()))


def row_name(row: Mapping[str, int]) -> str:
    """Short name of any row, realizable or not: ``BATCHxINxOUT_uop_inp_wgt_acc_bus``."""
    blocks = "x".join(str(1 << row[key]) for key in KEYS[:3])
    return "_".join([blocks, *(str(row[key]) for key in KEYS[3:])])


def home_space(row: Mapping[str, int]) -> Space:
    """The first space that holds the row; the wide one where none does."""
    holding = (s for s in SPACES.values() if all(row[c.name] in c.values for c in s.choices))
    return next(holding, VTA_WIDE)


def require_realizable(row: Mapping[str, int], further: tuple[Rule, ...] = ()) -> None:
    """Raise unless the row keeps every structural rule and further ones.

    Raises:
        InfeasibleDesignError: Names each broken rule with its slack, and the nearest realizable design.
    """
    batch, rules = DesignBatch.of(row), (*STRUCTURAL, *further)
    slacks = [(rule, int(rule.slack(batch)[0])) for rule in rules]
    broken = [_broken(rule, slack) for rule, slack in slacks if slack < 0]
    if not broken:
        return
    fixed = nearest_design(home_space(row), row, rules, DEFAULT)
    raise InfeasibleDesignError(
        f"the accelerator must keep {', '.join(broken)}",
        got=row_name(row),
        fix=None if fixed is None else f"nearest realizable: {describe_change(row, fixed)}",
    )


def _broken(rule: Rule, slack: int) -> str:
    return f"{rule.name}: {rule.invariant} (slack {slack})"


def parse_accelerator(text: str) -> dict[str, int]:
    """A full row from what a user wrote, not checked for realizability.

    Args:
        text: ``default``, the path of a ``vta_config.json``, or ``KEY=VAL,KEY=VAL`` changes to the default.

    Raises:
        SettingsError: An unknown key (the nearest known one is named) or a value that is no size.
        RhnasError: The file cannot be read.

    Example:
        >>> parse_accelerator("LOG_BLOCK=5")["LOG_BLOCK_OUT"]
        5
    """
    if text == "default":
        return dict(DEFAULT)
    if "=" in text and not Path(text).is_file():
        return read_keys(assignments(text, EXAMPLE))[0]
    return read_keys(read_json(Path(text)))[0]


def read_keys(value: Mapping[str, Any]) -> tuple[dict[str, int], tuple[tuple[str, Scalar], ...]]:
    """A full row and the carried keys of a ``vta_config.json`` object.

    Raises:
        SettingsError: A key is unknown, a value is no size, or two keys contradict each other.
    """
    carried = []
    for key, given in value.items():
        if key in FIXED:
            _check_fixed(key, given)
        elif key in CARRIED or key.startswith(CARRIED_PREFIXES):
            carried.append((key, given))
        elif key not in (*KEYS, LOG_BLOCK, BUS_ALIAS):
            raise SettingsError(f"{key!r} must be a key of vta_config.json", got=given, fix=_similar(key))
        else:
            _check_size(key, given)
    row = dict(DEFAULT) | {key: value[key] for key in KEYS if key in value}
    if LOG_BLOCK in value:
        for key in (BLOCK_IN, BLOCK_OUT):
            _check_agrees(value, key, LOG_BLOCK)
            row[key] = value[LOG_BLOCK]
    if BUS_ALIAS in value:
        _check_agrees(value, BUS, BUS_ALIAS)
        row[BUS] = value[BUS_ALIAS]
    return row, tuple(carried)


def _check_size(key: str, value: object) -> None:
    low, high = 0, MAX_LOG_BUFFER
    if key in (BUS, BUS_ALIAS):
        low, high = 1, MAX_BUS_BITS
    elif key in (BATCH, BLOCK_IN, BLOCK_OUT, LOG_BLOCK):
        high = MAX_LOG_ARRAY
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SettingsError(f"{key} must be a whole number between {low} and {high}", got=repr(value))


def _check_fixed(key: str, value: object) -> None:
    if value != FIXED[key]:
        raise SettingsError(
            f"{key} must be {FIXED[key]}, the one value this generator builds", got=repr(value)
        )


def _check_agrees(value: Mapping[str, Any], key: str, alias: str) -> None:
    if value.get(key, value[alias]) != value[alias]:
        raise SettingsError(f"{key} must agree with {alias}={value[alias]}", got=value[key], fix="give one")


def _similar(key: str) -> str:
    known = (*KEYS, LOG_BLOCK, BUS_ALIAS, *FIXED, *CARRIED)
    longer = [name for name in known if key.upper() in name]
    close = longer or difflib.get_close_matches(key.upper(), known, n=1, cutoff=0.0)
    return f"did you mean {close[0]}?"
