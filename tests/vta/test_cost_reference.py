"""The compiled price of every mapping of an enumerated small space = the plain-Python reference's."""

import itertools

import numpy as np
import pytest

from rhnas.space import DesignBatch
from rhnas.vta.cost import SCHEDULES, arrays_of
from rhnas.vta.cost_kernel import price_tiles
from rhnas.vta.cost_price import Laws
from rhnas.vta.mapping import Mapping
from rhnas.vta.mapping_nest import FORM_NAMES, ORDER_NAMES, nests_of
from rhnas.vta.spaces import DEFAULT
from rhnas.vta.timing import PROFILES
from rhnas.workload import PICTURE, Layer, LayerKind
from tests.vta.reference_cost import Array, Shape, needs, price

LAYERS = [
    Layer(name="conv", channels=(12, 20), size=(4, 5), kernel=(3, 3), padding=(1, 1)),
    Layer(name="point", channels=(16, 24), size=(6, 6), stride=(2, 2)),
    Layer(
        name="stem",
        channels=(3, 8),
        size=(7, 7),
        kernel=(3, 3),
        stride=(2, 2),
        padding=(1, 1),
        inputs=(PICTURE,),
    ),
    Layer(name="depthwise", channels=(24, 24), size=(5, 5), kernel=(3, 3), padding=(1, 1), groups=24),
    Layer(name="grouped", channels=(24, 16), size=(4, 4), kernel=(3, 3), padding=(1, 1), groups=4),
    Layer(
        name="pool",
        kind=LayerKind.MAX_POOL,
        channels=(12, 12),
        size=(6, 6),
        kernel=(3, 3),
        stride=(2, 2),
        padding=(1, 1),
    ),
    Layer(name="average", kind=LayerKind.AVG_POOL, channels=(20, 20), size=(4, 4), kernel=(4, 4)),
    Layer(name="add", kind=LayerKind.ADD, channels=(20, 20), size=(3, 5)),
    Layer(name="fc", kind=LayerKind.DENSE, channels=(40, 10)),
]
ARRAYS = [(0, 2, 2, 64), (0, 1, 3, 128), (0, 3, 1, 64), (2, 2, 2, 64), (1, 3, 3, 512)]


def tiles(size: int) -> list[int]:
    return sorted({-(-size // parts) for parts in range(1, size + 1)})


@pytest.mark.parametrize("array", ARRAYS, ids=str)
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize(("schedule", "profile"), [("best", "rhnas"), ("upstream", "public")])
def test_prices_are_the_reference_s(layer, array, schedule, profile):
    log_batch, log_in, log_out, bus_bits = array
    row = dict(DEFAULT) | {"LOG_BATCH": log_batch, "LOG_BLOCK_IN": log_in, "LOG_BLOCK_OUT": log_out}
    nests = nests_of([layer], arrays_of(DesignBatch.of(row)), SCHEDULES[schedule])[0, 0]
    timing = PROFILES[profile]
    laws = Laws.of(timing, bus_bits).record
    plain = Array(1 << log_batch, 1 << log_in, 1 << log_out, bus_bits // 8)
    checked = 0
    for form, name in enumerate(FORM_NAMES):
        if not nests[form]["valid"]:
            continue
        shape = Shape(layer, plain, name, schedule)
        inner = tiles(shape.groups_in) if shape.dense else [1]
        orders = ORDER_NAMES[:1] if name == "alu" or shape.upstream else ORDER_NAMES
        sizes = (tiles(shape.out[0]), tiles(shape.out[1]), inner, tiles(shape.groups_out))
        for h, w, ci, co, order, threads in itertools.product(*sizes, orders, (1, 2)):
            mapping = Mapping(
                form=name, tile_h=h, tile_w=w, tile_ci=ci, tile_co=co, order=order, threads=threads
            )
            found, held = price_tiles(nests, laws, np.array(mapping.codes))
            wanted = price(shape, mapping, timing, held[3])
            for field, value in vars(wanted).items():
                assert getattr(found, field) == value, (field, mapping)
            room = needs(shape, mapping)
            # A grouped layer keeps room for its widest output block in every block.
            assert held[:3] == room or (not shape.dense and min(np.subtract(held[:3], room)) >= 0)
            checked += 1
    assert checked
