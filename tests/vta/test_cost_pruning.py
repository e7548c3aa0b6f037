"""Pruned search = full enumeration: every tiling, order and thread count, priced one by one."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from rhnas.platform import load_platform
from rhnas.space import DesignBatch
from rhnas.vta.cost import VtaCostModel, arrays_of, room_of
from rhnas.vta.cost_kernel import price_tiles
from rhnas.vta.cost_price import Laws
from rhnas.vta.cost_stairs import FIXED_EVENTS, fixed_energy
from rhnas.vta.energy import event_energy
from rhnas.vta.mapping_nest import FORMS, nests_of
from rhnas.vta.rules import KEYS
from rhnas.workload import PICTURE, Layer, LayerKind
from tests.test_platform import lower_hull

LAYERS = [
    Layer(name="dense", channels=(24, 40), size=(7, 9), kernel=(3, 3), padding=(1, 1)),
    Layer(name="stem", channels=(3, 16), size=(8, 8), kernel=(3, 3), padding=(1, 1), inputs=(PICTURE,)),
    Layer(name="depthwise", channels=(48, 48), size=(6, 6), kernel=(3, 3), padding=(1, 1), groups=48),
    Layer(name="pool", kind=LayerKind.MAX_POOL, channels=(16, 16), size=(8, 8), kernel=(2, 2), stride=(2, 2)),
    Layer(name="add", kind=LayerKind.ADD, channels=(32, 32), size=(5, 5)),
    Layer(name="fc", kind=LayerKind.DENSE, channels=(100, 10)),
]

CROSSING = [
    Layer(name="average", kind=LayerKind.AVG_POOL, channels=(512, 512), size=(7, 7), kernel=(7, 7)),
    Layer(name="add", kind=LayerKind.ADD, channels=(512, 512), size=(7, 7)),
]


def ceil_distinct(size: int) -> list[int]:
    return sorted({-(-size // parts) for parts in range(1, size + 1)})


def tilings(nest: np.void) -> itertools.product:
    inner = ceil_distinct(int(nest["groups_in"])) if nest["dense"] else [1]
    orders = (0,) if nest["vector"] else (0, 1)
    sizes = (ceil_distinct(int(nest[name])) for name in ("out_h", "out_w"))
    return itertools.product(*sizes, inner, ceil_distinct(int(nest["groups_out"])), orders, (1, 2))


def enumerated(model: VtaCostModel, design: DesignBatch, layer: Layer) -> Sequence[tuple[int, float]]:
    nests = nests_of([layer], arrays_of(design), 0)[0, 0]
    laws = Laws.of(model.timing, int(design["SHL_MEM_AXI_DATA_BITS"][0])).record
    room, event_pj = room_of(design)[0], event_energy(model.technology, design)[0]
    points = []
    for form in range(FORMS):
        nest = nests[form]
        if not nest["valid"]:
            continue
        for tile_h, tile_w, tile_ci, tile_co, order, threads in tilings(nest):
            codes = np.array([form, tile_h, tile_w, tile_ci, tile_co, order, threads])
            price, needs = price_tiles(nests, laws, codes)
            counted = ((nest["out_h"], tile_h), (nest["out_w"], tile_w), (nest["groups_out"], tile_co))
            alone = np.prod([-(-int(size) // tile) for size, tile in counted]) == 1
            if (np.array(needs) > room).any() or (threads == 2 and alone):
                continue
            counts = (price.inp_fill, price.wgt_fill, price.acc_fill, price.instructions, needs[3])
            counts = (price.read_beats + price.write_beats, *counts)
            energy = fixed_energy(nest, event_pj) + event_pj[FIXED_EVENTS:] @ np.array(counts)
            points.append((int(price.cycles), float(energy)))
    return lower_hull(points)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_the_hull_over_all_mappings_is_found_exactly(layer):
    space = load_platform().space("vta")
    designs = space.decode(space.feasible().sample(8, np.random.default_rng(5)))
    compare(VtaCostModel(), designs, layer)


@pytest.mark.parametrize("layer", CROSSING, ids=lambda layer: layer.name)
@pytest.mark.parametrize("row", [(3, 4, 3, 15, 15, 18, 16, 64), (1, 6, 4, 15, 17, 16, 16, 64)], ids=str)
def test_output_tiles_that_read_more_groups_than_smaller_ones_bound_nothing(layer, row):
    """Where BATCH > 1 and blocks differ, 11 of 64 output groups read more input groups in all than 8 do."""
    compare(VtaCostModel(), DesignBatch.of(dict(zip(KEYS, row, strict=True))), layer)


def compare(model: VtaCostModel, designs: DesignBatch, layer: Layer) -> None:
    cost = model.evaluate(designs, [layer])
    for row in range(len(designs)):
        hull = enumerated(model, designs.take(slice(row, row + 1)), layer)
        assert bool(cost.mapped[row, 0]) == bool(hull)
        found = np.stack([cost.cycles[row, 0], cost.energy_pj[row, 0]], axis=1)
        if hull:
            padded = np.array([*hull, *[hull[-1]] * (len(found) - len(hull))])
            np.testing.assert_allclose(found, padded, rtol=1e-9)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_designs_that_are_searched_together_get_what_each_gets_alone(layer):
    space = load_platform().space("vta")
    batch = space.decode(space.feasible().sample(60_000, np.random.default_rng(3)))
    alike = (batch["LOG_BATCH"] == 0) & (batch["LOG_BLOCK_IN"] == 2) & (batch["LOG_BLOCK_OUT"] == 3)
    designs = batch.take(np.flatnonzero(alike & (batch["SHL_MEM_AXI_DATA_BITS"] == 64))[:40])
    assert len(designs) == 40
    together = VtaCostModel().evaluate(designs, [layer])
    for row in range(len(designs)):
        alone = VtaCostModel().evaluate(designs.take(slice(row, row + 1)), [layer])
        points = alone.cycles.shape[-1]
        np.testing.assert_array_equal(together.cycles[row, :, :points], alone.cycles[0])
        np.testing.assert_array_equal(together.cycles[row, :, points - 1 :], alone.cycles[0, 0, -1])
        np.testing.assert_allclose(together.energy_pj[row, :, :points], alone.energy_pj[0], rtol=1e-12)
