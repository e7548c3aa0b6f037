"""Bounds that let whole sets of tiles go unpriced: never above the price of any mapping they stand for."""

import itertools

import numpy as np
import pytest

from rhnas.platform import load_platform
from rhnas.vta.compiled import entry
from rhnas.vta.cost import arrays_of
from rhnas.vta.cost_kernel import price_tiles
from rhnas.vta.cost_price import Laws, counts_of, least_cycles, pixels_of
from rhnas.vta.mapping_nest import FORMS, nests_of
from rhnas.vta.mapping_tiles import (
    Tiling,
    channel_groups,
    column_axis,
    held_of,
    needs_of,
    row_axis,
    streams_of,
)
from rhnas.vta.timing import PROFILES
from rhnas.workload import PICTURE, Layer, LayerKind

LAYERS = [
    Layer(name="dense", channels=(96, 160), size=(14, 14), kernel=(3, 3), padding=(1, 1)),
    Layer(name="point", channels=(256, 48), size=(9, 9), stride=(2, 2)),
    Layer(name="stem", channels=(3, 32), size=(32, 32), kernel=(5, 5), stride=(2, 2), inputs=(PICTURE,)),
    Layer(name="depthwise", channels=(72, 72), size=(14, 14), kernel=(3, 3), padding=(1, 1), groups=72),
    Layer(name="grouped", channels=(64, 64), size=(8, 8), kernel=(3, 3), padding=(1, 1), groups=8),
    Layer(
        name="pool", kind=LayerKind.MAX_POOL, channels=(64, 64), size=(12, 12), kernel=(2, 2), stride=(2, 2)
    ),
    Layer(name="add", kind=LayerKind.ADD, channels=(96, 96), size=(14, 14)),
    Layer(name="average", kind=LayerKind.AVG_POOL, channels=(512, 512), size=(7, 7), kernel=(7, 7)),
    Layer(name="fc", kind=LayerKind.DENSE, channels=(1280, 100)),
]


@entry
def least(nests, laws, codes, parts, most_tiles):
    """Of all mappings with no more than these tiles of channels: least cycles, events, needs.

    ``codes`` are a mapping's, of which ``parts`` (tile_ci, tile_co) is the smallest.
    """
    nest = nests[codes[0]]
    h, w = row_axis(nest, codes[1]), column_axis(nest, codes[2])
    pass_groups, most = channel_groups(nest, codes[4])
    t = Tiling(codes[3], codes[4], codes[3] if nest.dense else most, pass_groups, codes[5], 0)
    s, p = streams_of(nest, h, w, t), pixels_of(nest, laws, h, w)
    c = counts_of(nest, laws, p, s)
    pass_groups, most = channel_groups(nest, parts[1])
    small = Tiling(parts[0], parts[1], parts[0] if nest.dense else most, pass_groups, codes[5], 0)
    held = held_of(nest, h, w, small, streams_of(nest, h, w, small))
    beats = c.read_beats + p.write_beats
    events = beats, c.inp_fill, c.wgt_fill, c.acc_fill, c.instructions
    return least_cycles(c, s, codes[6], most_tiles), events, needs_of(nest, held, s, codes[6], 0)


def tiles(nest, h, w, co):
    cut = (("out_h", h), ("out_w", w), ("groups_out", co))
    return int(np.prod([-(-int(nest[name]) // tile) for name, tile in cut]))


@entry
def read_groups(nests, form, tile_co):
    return channel_groups(nests[form], tile_co)[0]


def sizes(size):
    return sorted({-(-int(size) // parts) for parts in range(1, int(size) + 1)})


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_no_mapping_undercuts_the_bounds_on_it_and_on_all_smaller_channel_tiles(layer):
    rng, space = np.random.default_rng(11), load_platform().space("vta")
    designs, checked = space.decode(space.feasible().sample(6, rng)), 0
    for array, bus in zip(arrays_of(designs), designs["SHL_MEM_AXI_DATA_BITS"], strict=True):
        nests = nests_of([layer], array[None], 0)[0, 0]
        laws = Laws.of(PROFILES["rhnas"], int(bus)).record
        for form in np.flatnonzero(nests["valid"][:FORMS]):
            nest = nests[form]
            inner = sizes(nest["groups_in"]) if nest["dense"] else [1]
            outer, orders = sizes(nest["groups_out"]), (0,) if nest["vector"] else (0, 1)
            rows, columns = rng.choice(sizes(nest["out_h"]), 3), rng.choice(sizes(nest["out_w"]), 3)
            for h, w, order in itertools.product(rows, columns, orders):
                pairs = list(itertools.product(inner, outer))
                for at in rng.choice(len(pairs), min(8, len(pairs)), replace=False):
                    ci, co = pairs[at]
                    for threads in (1, 2):
                        check(nests, laws, [form, h, w, ci, co, order, threads], inner, outer)
                        checked += 1
    assert checked > 50


def check(nests, laws, codes, inner, outer):
    """All sets that the search drops at once and that hold this mapping bound it."""
    form, h, w, ci, co, order, threads = codes
    nest = nests[form]
    price, needs = price_tiles(nests, laws, np.array(codes))
    events = price.read_beats + price.write_beats, price.inp_fill, price.wgt_fill, price.acc_fill
    for larger in (size for size in inner if size >= ci and (size < inner[-1]) == (ci < inner[-1])):
        top = np.array([form, h, w, larger, co, order, threads])
        below(least(nests, laws, top, (1, co), tiles(nest, h, w, co)), price.cycles, events, needs)
    for larger in (size for size in outer if size >= co):
        groups = read_groups(nests, form, larger)
        if groups <= min(read_groups(nests, form, size) for size in outer if size <= larger):
            top = np.array([form, h, w, inner[-1], larger, order, threads])
            most_tiles = tiles(nest, h, w, 1)
            below(least(nests, laws, top, (1, 1), most_tiles), price.cycles, events, needs)


def below(bound, cycles, events, needs):
    assert bound[0] <= cycles
    assert all(np.array(bound[1][:4]) <= events)
    assert all(np.array(bound[2]) <= needs)
