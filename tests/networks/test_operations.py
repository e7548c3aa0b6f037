"""Every operation of ``cifar`` earns its place: some realizable design runs it cheapest."""

from dataclasses import replace

import numpy as np
import pytest

from rhnas.networks.spaces.registry import network_space
from rhnas.networks.tables import LayerCounts
from rhnas.platform import Objective, load_platform
from rhnas.space import DesignBatch
from rhnas.workload import Workload

# Op, log2 of (batch, block in, block out), of the inp, wgt and acc buffers, bus bits; stage, block, widths.
WINNERS = [
    ("dense", (0, 4, 4), (15, 18, 17), 64, 0, 1, (16, 16)),
    ("bottleneck", (0, 5, 5), (15, 17, 17), 256, 0, 1, (64, 64)),
    ("fused_e2", (0, 6, 6), (16, 17, 17), 512, 2, 0, (32, 256)),
    ("inverted_e3_k3", (0, 1, 1), (12, 13, 13), 64, 0, 0, (16, 64)),
    ("grouped", (0, 3, 3), (14, 16, 16), 128, 1, 1, (128, 128)),
]


def design(blocks, buffers, bus):
    names = ("LOG_BATCH", "LOG_BLOCK_IN", "LOG_BLOCK_OUT", "LOG_UOP_BUFF_SIZE", "LOG_INP_BUFF_SIZE")
    names += ("LOG_WGT_BUFF_SIZE", "LOG_ACC_BUFF_SIZE", "SHL_MEM_AXI_DATA_BITS")
    return dict(zip(names, (*blocks, 14, *buffers, bus), strict=True))


def test_every_operation_is_in_the_list():
    assert tuple(winner[0] for winner in WINNERS) == network_space("cifar").settings.ops


@pytest.mark.parametrize("winner", WINNERS, ids=[winner[0] for winner in WINNERS])
def test_operation_is_the_cheapest_somewhere(winner, capsys):
    op, blocks, buffers, bus, stage, block, widths = winner
    platform, space = load_platform("vta"), network_space("cifar")
    row = design(blocks, buffers, bus)
    platform.config(row)  # exists only if realizable
    model, batch = platform.cost_model(), DesignBatch.of(row)
    edp = {}
    for name in space.settings.ops:
        layers = space.block(stage, block, name, widths)
        distinct, inverse = Workload(name=name, layers=tuple(replace(x, inputs=()) for x in layers)).unique
        cost = model.evaluate(batch, distinct)
        cost = replace(cost, launch_cycles=0 * cost.launch_cycles, launch_energy_pj=0 * cost.launch_energy_pj)
        totals = cost.totals(Objective.EDP, np.bincount(inverse, minlength=len(distinct)).astype(float))
        edp[name] = float(totals.cycles[0] * totals.energy_pj[0])
    others = {name: value / edp[op] for name, value in edp.items() if name != op}
    size = "x".join(str(1 << bits) for bits in blocks)
    with capsys.disabled():
        ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in others.items())
        print(  # noqa: T201
            f"\n{op} is the cheapest of stage {stage + 1}, {widths[0]} to {widths[1]} channels, on {size},"
            f" {bus}-bit bus; EDP of the others over its own: {ratios}"
        )
    assert min(others.values()) > 1


def test_table_is_the_cost_models_answer_for_the_whole_network():
    """Priced through the space's distinct layers, or asked for the workload itself: the same at one mu."""
    platform, space, rng = load_platform("vta"), network_space("digits"), np.random.default_rng(0)
    model, batch = platform.cost_model(), DesignBatch.of(platform.default())
    cost = model.evaluate(batch, space.layers)
    counts = LayerCounts.of(space)
    even = [np.full(len(d.options), 1 / len(d.options)) for d in space.decisions]
    mu = cost.totals(Objective.EDP, counts.expected(even)).mu
    table = counts.table(cost, mu)
    for _ in range(5):
        architecture = space.sample(rng)
        distinct, inverse = space.workload(architecture).unique
        own = model.evaluate(batch, distinct)
        cycles, energy = own.at(mu)
        got = table.of(architecture)
        np.testing.assert_allclose(got[0], cycles[:, inverse].sum(1) + own.launch_cycles, rtol=1e-12)
        np.testing.assert_allclose(got[1], energy[:, inverse].sum(1) + own.launch_energy_pj, rtol=1e-12)
