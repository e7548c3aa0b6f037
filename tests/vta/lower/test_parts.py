"""The compiler's parts: layouts, loop nests as micro-ops, transfers cut to their fields, windows."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhnas.errors import ProgramError
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import AluOp, Load, Loop, Memory, Opcode, encode
from rhnas.vta.lower.kernels import Dim, Index, Item, alu, gemm, merged, place_uops
from rhnas.vta.lower.layout import fold_columns, pack_activations, unpack_activations
from rhnas.vta.lower.stream import MAX_SIZE, Block
from rhnas.vta.lower.tiles import window
from rhnas.vta.uops import decode_uop
from rhnas.workload import Layer

CONFIG = AcceleratorConfig()


def visited(items: list[Item], opcode: Opcode, config: AcceleratorConfig) -> list[tuple[int, int, int]]:
    """All indices that loops visit, sorted."""
    found = []
    for item in items:
        loop = item.instruction
        assert isinstance(loop, Loop)
        encode(loop, config)
        for o, i, word in product(range(loop.iter_out), range(loop.iter_in), item.uops):
            uop = decode_uop(word, opcode, config)
            dst = uop.dst + o * loop.dst_factor_out + i * loop.dst_factor_in
            src = uop.src + o * loop.src_factor_out + i * loop.src_factor_in
            wgt = 0
            if opcode is Opcode.GEMM:
                wgt = uop.wgt + o * loop.wgt_factor_out + i * loop.wgt_factor_in
            found.append((dst, src, wgt))
    return sorted(found)


@given(
    st.lists(
        st.builds(
            Dim, st.integers(1, 4), st.builds(Index, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
        ),
        max_size=5,
    )
)
def test_kernels_visit_every_point_once(dims):
    points = [Index(1, 2, 3), Index(0, 5, 7)]
    wanted = sorted(
        tuple(
            start + sum(turn * dim.step[axis] for turn, dim in zip(turns, dims, strict=True))
            for axis, start in enumerate(point)
        )
        for point in points
        for turns in product(*(range(dim.size) for dim in dims))
    )
    assert visited(gemm(points, dims, CONFIG), Opcode.GEMM, CONFIG) == wanted


def test_sources_that_a_factor_cannot_reach_become_micro_ops():
    config = AcceleratorConfig(log_inp_buff_size=6, log_acc_buff_size=14)  # I = 2, A = 8
    dims = [Dim(3, Index(1, 8)), Dim(5, Index(3, 1))]
    items = alu(AluOp.MAX, [Index(0, 0)], dims, config)
    assert [len(item.uops) for item in items] == [3]
    wanted = sorted((a + 3 * b, 8 * a + b, 0) for a in range(3) for b in range(5))
    assert visited(items, Opcode.ALU, config) == wanted


def test_an_index_beyond_its_field_is_refused():
    with pytest.raises(ProgramError, match="micro-op field src must fit its 11 bits"):
        gemm([Index(0, 1 << 11)], [], CONFIG)


def test_merging_keeps_loops_within_their_counters():
    dims = [Dim(4, Index(10000)), Dim(10000, Index(1))]
    assert merged(dims) == dims


def test_micro_ops_are_loaded_once_where_they_fit_and_again_where_not():
    config = AcceleratorConfig(log_uop_buff_size=10)  # 256 micro-ops
    each = [gemm([Index(k, i) for i in range(100)], [], config)[0] for k in range(3)]
    once, image = place_uops([*each[:2], each[0]], config, 7)
    assert [i for i in once if isinstance(i, Load)] == [Load(memory_type=Memory.UOP, dram_base=7, x_size=200)]
    assert len(image) == 200
    instructions, image = place_uops([*each, each[0], each[2]], config, 0)
    fills = [i for i in instructions if isinstance(i, Load)]
    assert [(i.sram_base, i.dram_base) for i in fills] == [(0, 0), (100, 100), (0, 200), (100, 0)]
    assert len(image) == 300


@given(st.integers(1, 3), st.integers(1, 9), st.sampled_from((1, 2, 4, 8)), st.sampled_from((1, 2, 4)))
def test_activations_survive_packing(count, channels, width, batch):
    count = min(count, batch)
    shape = (count, channels, 2, 3)
    tensor = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    content = pack_activations(tensor, batch, width)
    assert len(content) == -(-channels // width) * 6 * batch * width
    np.testing.assert_array_equal(unpack_activations(content, shape, batch, width), tensor)


def test_folded_columns_are_the_windows_of_a_row():
    layer = Layer(name="stem", channels=(2, 1), size=(3, 5), kernel=(3, 3), stride=(1, 2), padding=(1, 1))
    tensor = np.arange(30, dtype=np.int8).reshape(1, 2, 3, 5)
    folded = fold_columns(layer, tensor)
    assert folded.shape == (1, 6, 3, 3)
    assert folded[0, :3, 0].T.tolist() == [[0, 0, 1], [1, 2, 3], [3, 4, 0]]


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(1, 5))
def test_windows_hold_what_their_outputs_read(size, kernel, stride, pad, tile):
    out = (size + 2 * pad - kernel) // stride + 1
    for first in range(0, out, tile):
        count = min(tile, out - first)
        for skip in (False, kernel == 1):
            w = window(first, count, (size, kernel, stride, pad), skip=skip)
            held = [-1] * w.before + [w.start + i * w.spacing for i in range(w.count)] + [-1] * w.after
            for pixel, tap in product(range(count), range(kernel)):
                wanted = (first + pixel) * stride + tap - pad
                at = pixel * (stride // w.spacing) + tap
                assert held[at] == (wanted if 0 <= wanted < size else -1)
            assert len(held) == (count if skip else (count - 1) * stride + kernel)


@pytest.mark.parametrize(
    ("rows", "size", "stride"),
    [(3, 4, 10), (2, MAX_SIZE + 5, 1 << 20), (3, 7, 1 << 17), (MAX_SIZE + 3, 1, 0)],
)
def test_cut_blocks_move_the_same_tensors(rows, size, stride):
    block = Block(sram=11, dram=5, rows=rows, size=size, stride=stride)
    moved = {}
    for piece in block.cut():
        assert max(piece.rows, piece.size, piece.stride) <= MAX_SIZE
        for row in range(piece.rows):
            start = piece.sram + row * piece.size
            moved |= {start + i: piece.dram + row * piece.stride + i for i in range(piece.size)}
    assert moved == {11 + row * size + i: 5 + row * stride + i for row in range(rows) for i in range(size)}
