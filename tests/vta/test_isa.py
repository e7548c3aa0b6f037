"""The instruction set: bit positions computed by hand, round trips, refusals."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhnas.errors import ProgramError
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.disassemble import describe, disassemble, listing
from rhnas.vta.isa import (
    KINDS,
    Alu,
    AluOp,
    Finish,
    Gemm,
    Load,
    Memory,
    Opcode,
    Store,
    assemble,
    decode,
    decode_table,
    encode,
    layout,
)
from rhnas.vta.uops import MicroOp, decode_uop, encode_uops, uop_layout

DEFAULT = AcceleratorConfig()
CONFIGS = [
    DEFAULT,
    AcceleratorConfig(log_block_out=5, log_wgt_buff_size=17, log_inp_buff_size=14),
    AcceleratorConfig(
        log_batch=2, log_block_in=3, log_block_out=3, log_uop_buff_size=11, log_inp_buff_size=15
    ),
    AcceleratorConfig(log_block_in=5, log_block_out=2, log_inp_buff_size=12, shl_mem_axi_data_bits=64),
]

GOLDEN = [  # upstream's layout, added up by hand: (instruction, high word, low word)
    (
        Load(
            memory_type=Memory.INP,
            sram_base=0x123,
            dram_base=0x4567,
            y_size=2,
            x_size=3,
            x_stride=4,
            push_next=True,
            y_pad_0=1,
            y_pad_1=2,
            x_pad_0=3,
            x_pad_1=5,
        ),
        0x5321_0004_0003_0002,
        0x0000_0115_9C04_8D40,
    ),
    (
        Load(memory_type=Memory.ACC_8BIT, is_pad_min_value=True, pop_next=True),
        0x0000_0001_0001_0001,
        0x0400_0000_0000_0290,
    ),
    (Store(dram_base=1, pop_prev=True, push_prev=True), 0x0000_0001_0001_0001, 0x0000_0000_0400_0229),
    (
        Gemm(
            reset=True,
            uop_bgn=1,
            uop_end=5,
            iter_out=3,
            iter_in=7,
            pop_prev=True,
            dst_factor_out=1,
            dst_factor_in=2,
            src_factor_out=3,
            src_factor_in=4,
            wgt_factor_out=5,
            wgt_factor_in=6,
        ),
        0x0180_5008_00C0_1001,
        0x000E_0018_00A0_018A,
    ),
    (
        Alu(alu_opcode=AluOp.SHR, use_imm=True, imm=-8, iter_in=2, dst_factor_in=1, src_factor_in=1),
        0xFFF8_B002_0000_0800,
        0x0004_0008_0020_0004,
    ),
    (Finish(pop_prev=True, pop_next=True), 0, 0x1B),
]


@pytest.mark.parametrize(("instruction", "high", "low"), GOLDEN)
def test_bits_of_the_default_lie_where_upstream_puts_them(instruction, high, low):
    assert encode(instruction, DEFAULT) == high << 64 | low
    assert decode(high << 64 | low, DEFAULT) == instruction


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("opcode", list(Opcode))
def test_fields_do_not_overlap_nor_straddle_the_words(config, opcode):
    used = 0
    for field in layout(opcode, config):
        bits = (1 << field.width) - 1 << field.low
        assert not used & bits
        assert field.low // 64 == (field.low + field.width - 1) // 64
        used |= bits
    assert used < 1 << 128


def test_factor_fields_have_the_widths_of_their_indices():
    config = CONFIGS[1]
    widths = {f.name: f.width for f in layout(Opcode.ALU, config)}
    assert widths["dst_factor_in"] == config.acc_index_bits
    assert widths["src_factor_in"] == config.inp_index_bits
    assert [f.width for f in uop_layout(Opcode.ALU, config)] == [config.acc_index_bits] * 2


@st.composite
def instructions(draw, config):
    opcode = draw(st.sampled_from(list(Opcode)))
    values = {field.name: draw(st.integers(*field.limits)) for field in layout(opcode, config)[1:]}
    if opcode in (Opcode.LOAD, Opcode.STORE):
        loads = [Memory.UOP, Memory.WGT, Memory.INP, Memory.ACC, Memory.ACC_8BIT]
        values["memory_type"] = draw(st.sampled_from(loads)) if opcode is Opcode.LOAD else Memory.OUT
        values["y_size"] = max(1, values["y_size"])
    if opcode in (Opcode.GEMM, Opcode.ALU):
        values |= {"iter_out": max(1, values["iter_out"]), "iter_in": max(1, values["iter_in"])}
        values["uop_end"] = max(values["uop_end"], values["uop_bgn"] + 1)
    if opcode is Opcode.ALU:
        values["alu_opcode"] = draw(st.sampled_from(list(AluOp)))
    kind = KINDS[opcode]
    flags = {f.name for f in fields(kind) if f.type == "bool"}
    return kind(**{name: bool(value) if name in flags else value for name, value in values.items()})


@given(st.data(), st.sampled_from(CONFIGS))
def test_decode_undoes_encode(data, config):
    instruction = data.draw(instructions(config))
    word = encode(instruction, config)
    assert decode(word, config) == instruction
    row = decode_table(assemble([instruction], config), config)[0]
    assert all(int(row[f.name]) == int(getattr(instruction, f.name)) for f in fields(instruction))
    assert disassemble(instruction) == describe(word, config)


@given(st.integers(0, (1 << 128) - 1), st.sampled_from(CONFIGS))
def test_any_word_decodes_or_says_why_not(word, config):
    try:
        text = disassemble(decode(word, config))
    except ProgramError as error:
        text = str(error)
    assert text in describe(word, config)
    words = np.array([[word & (1 << 64) - 1, word >> 64]], dtype=np.uint64)
    assert len(list(listing(words, config))) == 1
    decode_table(words, config)


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (Gemm(iter_out=0), r"iter_out must be at least 1; got 0"),
        (Alu(alu_opcode=AluOp.ADD, iter_in=0), r"iter_in must be at least 1; got 0"),
        (Gemm(uop_bgn=3, uop_end=3), r"uop_bgn < uop_end; got 3 to 3"),
        (Gemm(iter_in=16384), r"GEMM field iter_in must fit its 14 bits \(0 to 16383\); got 16384"),
        (Gemm(wgt_factor_in=1024), r"wgt_factor_in must fit its 10 bits"),
        (Alu(alu_opcode=AluOp.ADD, imm=32768), r"imm must fit its 16 bits \(-32768 to 32767\); got 32768"),
        (Load(memory_type=Memory.INP, x_pad_0=16), r"x_pad_0 must fit its 4 bits"),
        (Load(memory_type=Memory.INP, sram_base=-1), r"sram_base must fit its 16 bits"),
        (Load(memory_type=Memory.OUT), r"memory_type must be OUT for a STORE and only there"),
        (Store(memory_type=Memory.ACC), r"memory_type must be OUT for a STORE"),
        (Store(y_size=0), r"y_size must be at least 1"),
    ],
)
def test_what_overflows_or_wraps_is_refused_by_name(instruction, message):
    with pytest.raises(ProgramError, match=message):
        encode(instruction, DEFAULT)
    with pytest.raises(ProgramError, match="instruction 1: "):
        assemble([Finish(), instruction], DEFAULT)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (5, "opcode must be"),
        (6 << 7, "memory_type must be one of"),
        (4 | 7 << 108 | 1 << 21, "alu_opcode must be"),
    ],
)
def test_unknown_codes_are_refused(word, message):
    with pytest.raises(ProgramError, match=message):
        decode(word, DEFAULT)


def test_micro_ops_pack_and_unpack():
    uops = [MicroOp(1, 2, 3), MicroOp(2047, 2047, 1023)]
    words = encode_uops(uops, Opcode.GEMM, DEFAULT)
    assert words.tolist() == [1 | 2 << 11 | 3 << 22, 0xFFFF_FFFF]
    assert [decode_uop(word, Opcode.GEMM, DEFAULT) for word in words] == uops
    with pytest.raises(ProgramError, match=r"micro-op 1: field src must fit its 11 bits .*; got 2048"):
        encode_uops([uops[0], MicroOp(0, 2048)], Opcode.ALU, DEFAULT)


def test_synchronisation_only_is_a_transfer_of_nothing():
    nothing = Load(memory_type=Memory.INP, x_size=0, y_size=0, push_next=True)
    assert disassemble(decode(encode(nothing, DEFAULT), DEFAULT)) == "LOAD INP nothing; push next"
    waiting = Store(
        memory_type=Memory.UOP, x_size=0, y_size=0, pop_prev=True
    )  # as upstream's runtime writes it
    assert decode(encode(waiting, DEFAULT), DEFAULT) == waiting
    assert replace(nothing, push_next=False) == decode(2 << 7 | 1 << 96, DEFAULT)
