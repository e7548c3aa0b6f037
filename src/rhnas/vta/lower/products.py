"""Which input blocks meet which weights: dense layers as loops, block-diagonal ones as lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rhnas.vta.lower.kernels import Dim, Index
from rhnas.vta.lower.tiles import Channels
from rhnas.vta.mapping_nest import Nest

Part = tuple[list[Index], list[Dim]]
"""Points and dimensions of one GEMM, without taps and pixels."""


class Planes(NamedTuple):
    """Scratchpad tensors between storage groups, and between an addition's operands."""

    out: int
    inp: int
    operand: int


class Reads(NamedTuple):
    """Input storage groups that a step has on chip, and blocks of them that are not all padding."""

    first_group: int
    groups: int
    blocks: int


class Pair(NamedTuple):
    """An output block, the input block it reads, and their weight: numbers of blocks and of kernels."""

    block_out: int
    operand: int
    block_in: int
    weight: int


def dense_reads(nest: Nest, tile_ci: int, reduction: int) -> Reads:
    """What one reduction step of a dense layer reads."""
    first = reduction * tile_ci
    groups = min(tile_ci, int(nest["groups_in"]) - first)
    lanes = int(nest["lanes_in"])
    return Reads(first, groups, min(groups * lanes, int(nest["blocks_in"]) - first * lanes))


def diagonal_reads(nest: Nest, channels: Channels) -> Reads:
    """What a tile of a block-diagonal layer reads: the storage groups of its channels' groups."""
    n = {name: int(nest[name]) for name in ("width_in", "width_out", "group_in", "group_out", "channels_out")}
    end = min((channels.first_group + channels.groups) * n["width_out"], n["channels_out"])
    first = channels.first_group * n["width_out"]
    low = first // n["group_out"] * n["group_in"] // n["width_in"]
    high = -(-((end - 1) // n["group_out"] + 1) * n["group_in"] // n["width_in"])
    return Reads(low, high - low, (high - low) * int(nest["lanes_in"]))


def diagonal_pairs(nest: Nest, channels: Channels, block_in: int, block_out: int) -> list[Pair]:
    """Blocks of a tile that meet; weights are numbered as they come, or by diagonal where they are shared."""
    group_in, group_out, outputs = (int(nest[name]) for name in ("group_in", "group_out", "channels_out"))
    ways = max(block_in, block_out) // min(block_in, block_out)
    pairs: list[Pair] = []
    for block in range(channels.first_block, channels.first_block + channels.blocks):
        last = min((block + 1) * block_out, outputs) - 1
        low = block * block_out // group_out * group_in // block_in
        high = -(-(last // group_out + 1) * group_in // block_in)
        for read in range(low, high):
            way = (read if block_out > block_in else block) % ways
            for operand in range(int(nest["operands"])):
                weight = operand * ways + way if nest["shared"] else len(pairs)
                pairs.append(Pair(block, operand, read, weight))
    return pairs


def dense_parts(nest: Nest, channels: Channels, reads: Reads, planes: Planes, taps: int) -> list[Part]:
    """Loops over output and input blocks; an incomplete last storage group is a part of its own."""
    parts: list[Part] = []
    row = reads.blocks * taps
    lanes_out, lanes_in = int(nest["lanes_out"]), int(nest["lanes_in"])
    for group, groups, lanes in _rectangles(channels.blocks, lanes_out):
        for read, read_groups, read_lanes in _rectangles(reads.blocks, lanes_in):
            weight = group * lanes_out * row + read * lanes_in * taps
            dims = [
                Dim(groups, Index(planes.out, 0, lanes_out * row)),
                Dim(lanes, Index(1, 0, row)),
                Dim(read_groups, Index(0, planes.inp, lanes_in * taps)),
                Dim(read_lanes, Index(0, 1, taps)),
            ]
            parts.append(([Index(group * planes.out, read * planes.inp, weight)], dims))
    return parts


def _rectangles(blocks: int, lanes: int) -> list[tuple[int, int, int]]:
    """(first group, groups, lanes) of blocks in storage groups of so many lanes.

    Example:
        >>> _rectangles(5, 2)
        [(0, 2, 2), (2, 1, 1)]
    """
    whole, rest = divmod(blocks, lanes)
    parts = [(0, whole, lanes), (whole, 1, rest)]
    return [part for part in parts if part[1] * part[2] > 0]


def diagonal_parts(nest: Nest, reads: Reads, planes: Planes, pairs: Sequence[Pair], taps: int) -> list[Part]:
    """The listed pairs of a tile; a loop over storage groups where all of them look alike."""
    lanes_out, lanes_in = int(nest["lanes_out"]), int(nest["lanes_in"])
    first_block = min(pair.block_out for pair in pairs)
    by_group: dict[int, list[tuple[int, int, int]]] = {}
    for pair in pairs:
        out_group, out_lane = divmod(pair.block_out - first_block, lanes_out)
        in_group, in_lane = divmod(pair.block_in - reads.first_group * lanes_in, lanes_in)
        dst = out_group * planes.out + out_lane
        src = pair.operand * planes.operand + in_group * planes.inp + in_lane
        by_group.setdefault(out_group, []).append((dst, src, pair.weight * taps))
    groups = [np.array(points) for points in by_group.values()]
    origins = np.stack([points[0] for points in groups])
    steps = np.diff(origins, axis=0)
    alike = all(
        len(points) == len(groups[0]) and (points - points[0] == groups[0] - groups[0][0]).all()
        for points in groups
    )
    if alike and (len(steps) == 0 or ((steps == steps[0]).all() and steps[0].min() >= 0)):
        step = Index(*steps[0].tolist()) if len(steps) else Index()
        return [([Index(*point) for point in groups[0].tolist()], [Dim(len(groups), step)])]
    return [([Index(*point) for points in groups for point in points.tolist()], [])]
