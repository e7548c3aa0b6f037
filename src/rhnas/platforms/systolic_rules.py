"""Choices and rules of the weight-stationary systolic array, which docs/platforms.md describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rhnas.errors import SettingsError
from rhnas.space import Choice, DesignBatch, Rule, Space
from rhnas.workload import IntArray

ROWS, COLS = "ROWS", "COLS"
INPUT, WEIGHT, ACC = "INPUT_KIB", "WEIGHT_KIB", "ACC_KIB"
BUS, VECTOR = "BUS_BITS", "VECTOR_LANES"
KEYS = (ROWS, COLS, INPUT, WEIGHT, ACC, BUS, VECTOR)
"""The choices in order: rows and columns of the array, buffers, memory port, lanes to pool and add."""

KIB = 1024
BYTE_BITS = 8
WORD_BYTES = 4
"""Bytes of an accumulator."""

_LENGTHS = (4, 8, 16, 24, 32, 48, 64, 128)
_KIBS = (8, 16, 32, 48, 96, 192)

MACHINE = "docs/platforms.md, the systolic array"
SCALE_SIM = "Samajdar et al., SCALE-Sim, arXiv:1811.02883: double-buffered scratchpads"
TPU = "Jouppi et al., TPU, arXiv:1704.04760: the matrix unit holds one tile, the next is shifted in"

IntSlack = Callable[[DesignBatch], IntArray]


def _rule(name: str, reads: tuple[str, ...], slack: IntSlack, texts: tuple[str, str, str]) -> Rule:
    invariant, reason, source = texts
    level, _, rest = name.partition(":")
    return Rule(
        name=rest,
        level=level,
        invariant=invariant,
        reason=reason,
        source=source,
        slack=lambda batch: np.asarray(slack(batch)).astype(np.float64),
        reads=reads,
    )


def _whole(amount: IntArray, unit: IntArray) -> IntArray:
    """0 where a unit divides an amount, else minus what is left over."""
    return np.asarray(-(amount % unit))


def _port(lanes: str) -> IntSlack:
    """0 where a bus word is whole lines, or a line whole bus words."""

    def slack(batch: DesignBatch) -> IntArray:
        line, word = batch[lanes], batch[BUS] // BYTE_BITS
        return np.maximum(_whole(line, word), _whole(word, line))

    return slack


STRUCTURAL: tuple[Rule, ...] = (
    _rule(
        "structural:input.lines",
        (ROWS, INPUT),
        lambda batch: _whole(batch[INPUT] * KIB, 2 * batch[ROWS]),
        (
            "each half of the input buffer is whole lines of ROWS bytes",
            "every row of the array has a bank of its own, all of one depth, and the halves swap",
            SCALE_SIM,
        ),
    ),
    _rule(
        "structural:weight.lines",
        (COLS, WEIGHT),
        lambda batch: _whole(batch[WEIGHT] * KIB, 2 * batch[COLS]),
        (
            "each half of the weight buffer is whole lines of COLS bytes",
            "weights enter the array from the top, one line of COLS a cycle, and the halves swap",
            SCALE_SIM,
        ),
    ),
    _rule(
        "structural:weight.tile",
        (ROWS, COLS, WEIGHT),
        lambda batch: batch[WEIGHT] * KIB - 2 * batch[ROWS] * batch[COLS],
        (
            "WEIGHT_KIB x 1024 >= 2 x ROWS x COLS",
            "while one tile of weights is in use the next is fetched: each half holds a whole tile",
            TPU,
        ),
    ),
    _rule(
        "structural:acc.lines",
        (COLS, ACC),
        lambda batch: _whole(batch[ACC] * KIB, 2 * WORD_BYTES * batch[COLS]),
        (
            "each half of the accumulators is whole lines of COLS 32-bit words",
            "every column of the array adds into a bank of its own, all of one depth, and the halves swap",
            SCALE_SIM,
        ),
    ),
    _rule(
        "structural:input.port",
        (ROWS, BUS),
        _port(ROWS),
        (
            "BUS_BITS / 8 divides ROWS, or ROWS divides it",
            "the memory port writes whole lines or whole parts of one: it has no shifter across banks",
            MACHINE,
        ),
    ),
    _rule(
        "structural:weight.port",
        (COLS, BUS),
        _port(COLS),
        (
            "BUS_BITS / 8 divides COLS, or COLS divides it",
            "the memory port writes whole lines or whole parts of one: it has no shifter across banks",
            MACHINE,
        ),
    ),
    _rule(
        "structural:vector.line",
        (COLS, VECTOR),
        lambda batch: _whole(batch[COLS], np.maximum(batch[VECTOR], 1)),
        (
            "VECTOR_LANES divides COLS, or is 0: no vector unit",
            "the vector unit reads a line of the accumulators in whole parts",
            MACHINE,
        ),
    ),
)
"""What every array must meet, whatever runs on it."""

CHAINABLE = _rule(
    "chainable:vector.present",
    (VECTOR,),
    lambda batch: batch[VECTOR] - 1,
    (
        "VECTOR_LANES >= 1",
        "pooling and residual additions have no weights to hold: without a vector unit the host does them",
        MACHINE,
    ),
)

SPACE = Space(
    name="systolic",
    choices=tuple(
        Choice(name=key, values=values)
        for key, values in zip(
            KEYS, (_LENGTHS, _LENGTHS, _KIBS, _KIBS, _KIBS, (32, 64, 128, 256), (0, 4, 16)), strict=True
        )
    ),
    rules=STRUCTURAL,
)
"""165,888 points."""

DEFAULT: Mapping[str, int] = dict(zip(KEYS, (16, 16, 32, 32, 32, 64, 16), strict=True))
"""16 x 16, 32 KiB each, 64-bit port: the multipliers and the port of VTA's default."""


def macs_per_cycle(batch: DesignBatch) -> IntArray:
    """Multipliers of the array, int64 (B,)."""
    return batch[ROWS] * batch[COLS]


_LIMITS: Mapping[str, tuple[str, IntSlack, tuple[str, ...]]] = {
    "macs": ("multipliers", macs_per_cycle, (ROWS, COLS)),
    "bus_bits": ("bits of memory port", lambda batch: batch[BUS], (BUS,)),
    "sram_kib": ("KiB of buffers", lambda batch: batch[INPUT] + batch[WEIGHT] + batch[ACC], KEYS[2:5]),
}


def limit_rules(limits: Mapping[str, int]) -> tuple[Rule, ...]:
    """Rules that hold a design within a chip budget.

    Args:
        limits: Upper bounds by name: ``macs``, ``bus_bits``, ``sram_kib``, as VTA has them.

    Raises:
        SettingsError: A name is unknown or a bound is not positive.

    Example:
        >>> float(limit_rules({"macs": 256})[0].slack(DesignBatch.of(DEFAULT))[0])
        0.0
    """
    for name, bound in limits.items():
        if name not in _LIMITS:
            raise SettingsError(f"a limit must be one of {sorted(_LIMITS)}", got=name)
        if bound <= 0:
            raise SettingsError(f"limit {name!r} must be positive", got=bound)
    return tuple(_limit_rule(name, bound) for name, bound in limits.items())


def _limit_rule(name: str, bound: int) -> Rule:
    unit, amount, reads = _LIMITS[name]
    texts = f"at most {bound} {unit}", "the chip budget asked for is exceeded", "--limit"
    return _rule(f"limit:limit.{name}", reads, lambda batch: bound - amount(batch), texts)


def label(row: Mapping[str, int]) -> str:
    """Short name of any row: array, buffers in KiB, port, vector lanes.

    Example:
        >>> label(DEFAULT)
        '16x16_32_32_32_b64_v16'
    """
    buffers = "_".join(str(row[key]) for key in KEYS[2:5])
    return f"{row[ROWS]}x{row[COLS]}_{buffers}_b{row[BUS]}_v{row[VECTOR]}"


def half_bytes(batch: DesignBatch, key: str) -> IntArray:
    """Bytes of half a buffer, int64 (B,)."""
    return np.asarray(batch[key] * (KIB // 2))
