"""The instruction set: 128-bit instructions with fields sized by the configuration.

For the default configuration every bit lies where upstream VTA puts it (apache/tvm-vta ``hw_spec.h``,
``hw_spec_const.h``). An instruction is two 64-bit words, least significant bit first, and no field straddles
them.
Ours beyond upstream: ALU operations CLP and MOV, loads padded with the least value (bit 58), and the int8
accumulator load that upstream has in its functional simulator only. ``docs/isa.md`` draws the layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rhnas.errors import ProgramError
from rhnas.vta.config import AcceleratorConfig

INSTRUCTION_BYTES = 16
WORD_BITS = 64
"""Half an instruction."""
UOP_BYTES = 4
LOOP_BITS, IMMEDIATE_BITS, ALU_OPCODE_BITS = 14, 16, 3
"""Loop counts, the ALU immediate (signed) and the ALU operation (``hw_spec_const.h``)."""


class Opcode(IntEnum):
    """What an instruction does, bits 0 to 2."""

    LOAD = 0
    STORE = 1
    GEMM = 2
    FINISH = 3
    ALU = 4


class Memory(IntEnum):
    """The scratchpad a transfer fills or empties; ACC_8BIT sign-extends bytes into the accumulators."""

    UOP = 0
    WGT = 1
    INP = 2
    ACC = 3
    OUT = 4
    ACC_8BIT = 5


class AluOp(IntEnum):
    """``x op y``: x is the destination (tensor form) or the source (immediate form), y source or immediate.

    SHR shifts left where y is negative; CLP clips x to [-y, y]; MOV gives y.
    """

    MIN = 0
    MAX = 1
    ADD = 2
    SHR = 3
    MUL = 4
    CLP = 5
    MOV = 6


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """What all instructions share: the tokens taken at their start and posted at their end.

    Attributes:
        pop_prev: Wait for and take a token of the module before (load < compute < store).
        pop_next: Likewise of the module after.
        push_prev: Post a token to the module before.
        push_next: Likewise to the module after.
    """

    pop_prev: bool = False
    pop_next: bool = False
    push_prev: bool = False
    push_next: bool = False


@dataclass(frozen=True, kw_only=True)
class Transfer(Instruction):
    """A strided 2-D copy; bases, sizes, stride and pads count tensors of the memory type.

    ``x_size = 0`` copies nothing: the instruction only takes and posts its tokens (upstream's compiler names
    UOP as the memory of such a STORE).
    """

    memory_type: Memory
    sram_base: int = 0
    dram_base: int = 0
    y_size: int = 1
    x_size: int = 1
    x_stride: int = 1


@dataclass(frozen=True, kw_only=True)
class Load(Transfer):
    """From DRAM into a scratchpad, with pads around the rows: zeros, or the least value of the type.

    Example:
        >>> hex(encode(Load(memory_type=Memory.INP, push_next=True), AcceleratorConfig()))
        '0x1000100010000000000000140'
    """

    is_pad_min_value: bool = False
    y_pad_0: int = 0
    y_pad_1: int = 0
    x_pad_0: int = 0
    x_pad_1: int = 0


@dataclass(frozen=True, kw_only=True)
class Store(Transfer):
    """From the output scratchpad, the accumulators' low bytes, to DRAM."""

    memory_type: Memory = Memory.OUT


@dataclass(frozen=True, kw_only=True)
class Loop(Instruction):
    """Micro-ops ``uop_bgn`` to ``uop_end - 1`` run ``iter_out * iter_in`` times, indices moved by factors."""

    uop_bgn: int = 0
    uop_end: int = 1
    iter_out: int = 1
    iter_in: int = 1
    dst_factor_out: int = 0
    dst_factor_in: int = 0
    src_factor_out: int = 0
    src_factor_in: int = 0


@dataclass(frozen=True, kw_only=True)
class Gemm(Loop):
    """``acc[dst] += inp[src] x wgt[wgt]`` per micro-op; ``reset`` writes zeros instead."""

    reset: bool = False
    wgt_factor_out: int = 0
    wgt_factor_in: int = 0


@dataclass(frozen=True, kw_only=True)
class Alu(Loop):
    """``acc[dst] = acc[src] op imm``, or ``acc[dst] = acc[dst] op acc[src]`` without ``use_imm``."""

    alu_opcode: AluOp
    use_imm: bool = False
    imm: int = 0


@dataclass(frozen=True, kw_only=True)
class Finish(Instruction):
    """Ends the program."""


KINDS: dict[Opcode, type[Instruction]] = {
    Opcode.LOAD: Load,
    Opcode.STORE: Store,
    Opcode.GEMM: Gemm,
    Opcode.FINISH: Finish,
    Opcode.ALU: Alu,
}
OPCODES = {kind: opcode for opcode, kind in KINDS.items()}


@dataclass(frozen=True)
class Field:
    """Bits ``low`` to ``low + width - 1`` of an instruction."""

    name: str
    low: int
    width: int
    signed: bool = False

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest value."""
        return (
            (-(1 << self.width - 1), (1 << self.width - 1) - 1) if self.signed else (0, (1 << self.width) - 1)
        )

    def place(self, value: int, where: str) -> int:
        """The value in its bits; a ProgramError naming field, value and width where it does not fit."""
        least, greatest = self.limits
        if not least <= value <= greatest:
            raise ProgramError(
                f"{where} field {self.name} must fit its {self.width} bits ({least} to {greatest})", got=value
            )
        return (value & ((1 << self.width) - 1)) << self.low

    def take(self, word: int) -> int:
        """The value in ``word``'s bits."""
        value = word >> self.low & ((1 << self.width) - 1)
        return value - (1 << self.width) if value > self.limits[1] else value


def pack(low: int, *widths: tuple[str, int]) -> Iterator[Field]:
    """Fields of these names and widths, one above the other from bit ``low`` on."""
    for name, width in widths:
        yield Field(name, low, width, signed=name == "imm")
        low += width


_TOKENS = (("opcode", 3), ("pop_prev", 1), ("pop_next", 1), ("push_prev", 1), ("push_next", 1))
_ADDRESS = (("memory_type", 3), ("sram_base", 16), ("dram_base", 32), ("is_pad_min_value", 1))
_SIZES = (("y_size", 16), ("x_size", 16), ("x_stride", 16))
_PADS = (("y_pad_0", 4), ("y_pad_1", 4), ("x_pad_0", 4), ("x_pad_1", 4))


@lru_cache(maxsize=256)
def layout(opcode: Opcode, config: AcceleratorConfig) -> tuple[Field, ...]:
    """The fields of one kind of instruction, from bit 0 up.

    Loop factors are as wide as the index they move: A bits for accumulators, I for inputs (also for the ALU's
    source), W for weights; micro-op bounds have U and U + 1 bits.

    Example:
        >>> [f.low for f in layout(Opcode.GEMM, AcceleratorConfig()) if f.name == "wgt_factor_out"]
        [108]
    """
    if opcode is Opcode.FINISH:
        return tuple(pack(0, *_TOKENS))
    if opcode in (Opcode.LOAD, Opcode.STORE):
        wide = (*pack(0, *_TOKENS, *_ADDRESS), *pack(WORD_BITS, *_SIZES, *_PADS))
        known = {field.name for field in fields(KINDS[opcode])} | {"opcode"}
        return tuple(field for field in wide if field.name in known)
    uop, inp, wgt, acc = index_bits(config)
    bounds = (
        ("reset", 1),
        ("uop_bgn", uop),
        ("uop_end", uop + 1),
        ("iter_out", LOOP_BITS),
        ("iter_in", LOOP_BITS),
    )
    factors = (
        ("dst_factor_out", acc),
        ("dst_factor_in", acc),
        ("src_factor_out", inp),
        ("src_factor_in", inp),
    )
    if opcode is Opcode.GEMM:
        last = (("wgt_factor_out", wgt), ("wgt_factor_in", wgt))
        return (*pack(0, *_TOKENS, *bounds), *pack(WORD_BITS, *factors, *last))
    operation = (("alu_opcode", ALU_OPCODE_BITS), ("use_imm", 1), ("imm", IMMEDIATE_BITS))
    low = (field for field in pack(0, *_TOKENS, *bounds) if field.name != "reset")
    return (*low, *pack(WORD_BITS, *factors, *operation))


def index_bits(config: AcceleratorConfig) -> tuple[int, int, int, int]:
    """(U, I, W, A): widths of micro-op, input, weight and accumulator indices."""
    return config.uop_index_bits, config.inp_index_bits, config.wgt_index_bits, config.acc_index_bits


def check(instruction: Instruction) -> None:
    """Refuse what the fields could say but the hardware would not do.

    Its counters compare with the end minus one, so that a count of zero would run 2^14 times.

    Raises:
        ProgramError: An empty loop, rows of a transfer without any row, or an impossible memory.
    """
    name = type(instruction).__name__.upper()
    if isinstance(instruction, Loop):
        for field in ("iter_out", "iter_in"):
            if getattr(instruction, field) == 0:
                raise ProgramError(f"{name} field {field} must be at least 1", got=0)
        if instruction.uop_bgn >= instruction.uop_end:
            bounds = f"{instruction.uop_bgn} to {instruction.uop_end}"
            raise ProgramError(f"{name} must have uop_bgn < uop_end", got=bounds)
    if isinstance(instruction, Transfer):
        stores = isinstance(instruction, Store)
        if (instruction.memory_type is Memory.OUT) != stores and (instruction.x_size or not stores):
            what = f"{name} field memory_type must be OUT for a STORE and only there"
            raise ProgramError(what, got=instruction.memory_type.name)
        if instruction.x_size and not instruction.y_size:
            raise ProgramError(f"{name} field y_size must be at least 1 where x_size is", got=0)


def encode(instruction: Instruction, config: AcceleratorConfig) -> int:
    """The instruction as a 128-bit number.

    Raises:
        ProgramError: A field does not fit (names field, value and width), or the hardware would wrap.

    Example:
        >>> hex(encode(Finish(pop_next=True), AcceleratorConfig()))
        '0x13'
    """
    check(instruction)
    opcode = OPCODES[type(instruction)]
    word = int(opcode)
    for field in layout(opcode, config)[1:]:
        word |= field.place(int(getattr(instruction, field.name)), opcode.name)
    return word


def decode(word: int, config: AcceleratorConfig) -> Instruction:
    """The instruction of a 128-bit number; spare bits are ignored, as the hardware does.

    Raises:
        ProgramError: The opcode, memory or ALU operation is unknown, or the hardware would wrap.

    Example:
        >>> decode(0x13, AcceleratorConfig())
        Finish(pop_prev=False, pop_next=True, push_prev=False, push_next=False)
    """
    code = word & (1 << _TOKENS[0][1]) - 1
    if code not in list(Opcode):
        raise ProgramError("opcode must be 0 to 4 (LOAD, STORE, GEMM, FINISH, ALU)", got=code)
    opcode = Opcode(code)
    values = {field.name: field.take(word) for field in layout(opcode, config)[1:]}
    typed = {name: _typed(name, value, opcode) for name, value in values.items()}
    instruction = KINDS[opcode](**typed)  # type: ignore[arg-type]
    check(instruction)
    return instruction


_FLAGS = frozenset({"pop_prev", "pop_next", "push_prev", "push_next", "reset", "use_imm", "is_pad_min_value"})


def _typed(name: str, value: int, opcode: Opcode) -> int | bool | Memory | AluOp:
    if name in _FLAGS:
        return bool(value)
    kind = {"memory_type": Memory, "alu_opcode": AluOp}.get(name)
    if kind is None:
        return value
    if value not in list(kind):
        names = ", ".join(f"{item.name} {item.value}" for item in kind)
        raise ProgramError(f"{opcode.name} field {name} must be one of {names}", got=value)
    return kind(value)


def assemble(instructions: Sequence[Instruction], config: AcceleratorConfig) -> NDArray[np.uint64]:
    """Encode a stream.

    Returns:
        uint64 (n, 2): low word, high word.

    Raises:
        ProgramError: As ``encode``, with the instruction's index.
    """
    words = np.empty((len(instructions), 2), dtype=np.uint64)
    for index, instruction in enumerate(instructions):
        try:
            word = encode(instruction, config)
        except ProgramError as error:
            raise ProgramError(f"instruction {index}: {error.what}", got=error.got, fix=error.fix) from None
        words[index] = word & (1 << WORD_BITS) - 1, word >> WORD_BITS
    return words


DECODED = np.dtype(
    [
        ("opcode", np.int64),
        *((name, np.int64) for name in dict.fromkeys(f.name for k in KINDS.values() for f in fields(k))),
    ]
)
"""One decoded instruction as a record: the fields of all kinds; those its kind has not are zero."""


def decode_table(words: NDArray[np.uint64], config: AcceleratorConfig) -> NDArray[np.void]:
    """Decode a whole stream at once, unchecked; opcodes may be unknown.

    Args:
        words: uint64 (n, 2).
        config: Sizes the fields.

    Returns:
        DECODED (n,).
    """
    table = np.zeros(len(words), dtype=DECODED)
    table["opcode"] = words[:, 0] & np.uint64(7)
    for opcode in Opcode:
        rows = np.flatnonzero(table["opcode"] == opcode)
        for field in layout(opcode, config)[1:]:
            half = words[rows, field.low // WORD_BITS] >> np.uint64(field.low % WORD_BITS)
            value = (half & np.uint64((1 << field.width) - 1)).astype(np.int64)
            table[field.name][rows] = np.where(value > field.limits[1], value - (1 << field.width), value)
    return table
