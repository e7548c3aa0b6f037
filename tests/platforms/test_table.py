"""A platform that is a table of measurements: the contract, look-ups, bad rows."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rhnas.errors import DataError, InfeasibleDesignError, SettingsError
from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task, optimize
from rhnas.platform import Objective, feasible_designs, load_platform
from rhnas.platforms.table import TablePlatform
from rhnas.platforms.table_read import OPTIONAL_SHAPE, SHAPE
from rhnas.pricing import price_network
from rhnas.space import DesignBatch
from rhnas.workload import SHAPE_FIELDS, Layer, Workload
from tests.platform_contract import LAYERS, PlatformContract

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "own_accelerator"
HEADER = "LANES,network,layer,cycles,energy_pj"


def shape_cells(layer: Layer) -> dict[str, object]:
    cells = dict(zip(SHAPE_FIELDS, layer.shape, strict=True)) | {"kind": layer.kind.name.lower()}
    return {name: cells[name] for name in (*SHAPE, *OPTIONAL_SHAPE)}


@pytest.fixture
def measured(tmp_path) -> Path:
    """The contract's layers on arrays of the systolic model, some of them missing."""
    systolic = load_platform("systolic")
    path = tmp_path / "measured.csv"
    with path.open("w", newline="") as file:
        out = None
        for rows in (4, 8, 16, 32):
            for kib in (8, 16, 32):
                design = systolic.default() | {"ROWS": rows, "INPUT_KIB": kib}
                if (rows, kib) in {(4, 8), (8, 16), (32, 32), (32, 8)}:
                    continue
                cost = systolic.cost_model().evaluate(DesignBatch.of(design), LAYERS)
                for at, layer in enumerate(LAYERS):
                    if (rows, kib, layer.name) == (16, 8, "fc"):
                        continue
                    for k, (cycles, pj) in enumerate(
                        zip(cost.cycles[0, at].tolist(), cost.energy_pj[0, at].tolist(), strict=True)
                    ):
                        row = {"ROWS": rows, "KIB": kib, "mapping": k, **shape_cells(layer)}
                        row |= {"cycles": cycles, "energy_pj": pj, "macs_per_cycle": rows * 16}
                        out = out or csv.DictWriter(file, list(row))
                        if file.tell() == 0:
                            out.writeheader()
                        out.writerow(row)
    return path


class TestTable(PlatformContract):
    @pytest.fixture
    def platform(self, measured):
        return load_platform(f"table:{measured}")

    @pytest.fixture
    def space(self, platform):
        return platform.space("measured")

    @pytest.fixture
    def limits(self):
        return {"ROWS": 16}


def test_what_was_measured_is_what_is_told(measured):
    table, systolic = TablePlatform(measured), load_platform("systolic")
    row = {"ROWS": 16, "KIB": 32}
    told = table.cost_model().evaluate(DesignBatch.of(row), LAYERS)
    design = systolic.default() | {"ROWS": 16, "INPUT_KIB": 32}
    true = systolic.cost_model().evaluate(DesignBatch.of(design), LAYERS)
    for objective in Objective:
        one, other = told.totals(objective), true.totals(objective)
        assert one.cycles[0] == other.cycles[0] - true.launch_cycles[0]
    assert table.cost_model().bounds(DesignBatch.of(row), LAYERS)[0, 1] == -(-LAYERS[1].macs // 256)


def test_masks_leave_out_what_is_missing(measured):
    table = TablePlatform(measured)
    space = table.space("measured")
    assert space.points == 12
    assert space.feasible().count == 8
    assert feasible_designs(table, space, layers=LAYERS).count == 7
    with pytest.raises(InfeasibleDesignError, match=r"measured: the design has rows.*nearest realizable"):
        table.config({"ROWS": 4, "KIB": 8})
    network = Workload(name="one", layers=(LAYERS[-1],))
    with pytest.raises(InfeasibleDesignError, match=r"fc \(the table has no row for it\)"):
        price_network(table, {"ROWS": 16, "KIB": 8}, network, table.cost_model())


def test_agents_search_it_like_any_other(measured):
    network = Workload(name="all", layers=LAYERS)
    task = Task(TablePlatform(measured), Question(network=network, space="measured"))
    answer = optimize(task, task.agent("local_search", 0), budget=7)
    assert answer.gap == 0
    assert answer.feasible == 7


def test_layers_that_were_never_measured_are_named(measured):
    with pytest.raises(DataError, match=r"rows for every layer.*conv1 \(conv, 3 to 64 .* and 19 more"):
        TablePlatform(measured).rules(layers=load_network("resnet18").layers)


def test_equal_layers_of_a_network_are_averaged_and_the_launch_is_its_own(tmp_path):
    path = tmp_path / "t.csv"
    rows = ["4,resnet20,layer1.0.conv1,100,7", "4,resnet20,layer1.1.conv1,110,9", "4,resnet20,launch,5,2"]
    path.write_text("\n".join([HEADER, *rows]))
    [layer] = [layer for layer in load_network("resnet20") if layer.name == "layer1.2.conv1"]
    cost = TablePlatform(path).cost_model().evaluate(DesignBatch.of({"LANES": 4}), [layer])
    assert (cost.cycles[0, 0, 0], cost.energy_pj[0, 0, 0]) == (105, 8)
    assert (cost.launch_cycles[0], cost.launch_energy_pj[0]) == (5, 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("LANES,cycles\n", "line 1: the columns must be .* got no energy_pj, kind"),
        (f"{HEADER},LANES\n", "each once"),
        ("network,layer,cycles,energy_pj\nresnet20,conv1,1,1", "at least one column must be a choice"),
        (HEADER, "rows below its header"),
        (f"{HEADER}\n4,resnet20,conv1,10", "line 2: a row must have 5 values; got 4"),
        (f"{HEADER}\n4,resnet20,conv1,10,1\n\nx,resnet20,conv1,10,1", "line 4: LANES must be a whole number"),
        (f"{HEADER}\n4,resnet20,conv1,-1,1", "line 2: cycles must be a positive number; got '-1'"),
        (f"{HEADER}\n4,resnet20,conv1,1,nan", "line 2: energy_pj must be a positive number"),
        (f"{HEADER}\n4,resnet20,conv2,1,1", "line 2: layer must be one of resnet20.*did you mean conv1"),
        (f"{HEADER}\n4,resnet21,conv1,1,1", "line 2: .*resnet21"),
        (
            f"{HEADER}\n4,resnet20,conv1,1,1\n4,resnet20,conv1,2,2",
            "line 3: a measurement must be there once; got line 2 again",
        ),
        (f'{HEADER}\n4,"resnet20,conv1,1,1', "must be CSV"),
        (
            f"{HEADER},macs_per_cycle\n4,resnet20,conv1,1000,1,16",
            "line 2: cycles must not be below their physical bound of 27648.0; got 1000",
        ),
    ],
)
def test_bad_tables_are_told_with_their_line(tmp_path, text, told):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=told):
        TablePlatform(path)


def test_bad_shapes_are_told_with_their_line(tmp_path):
    layer = Layer(name="x", channels=(4, 8))
    good = {"LANES": 4, **shape_cells(layer), "cycles": 9, "energy_pj": 1}
    for wrong, told in (
        ({"kind": "lstm"}, "line 2: kind must be one of conv"),
        ({"groups": 3}, "line 2.* must divide into its groups"),
        ({"stride_vertical": ""}, "line 2: stride_vertical must be a whole number"),
    ):
        row = good | wrong
        path = tmp_path / "t.csv"
        path.write_text(f"{','.join(row)}\n{','.join(map(str, row.values()))}\n")
        with pytest.raises(DataError, match=told):
            TablePlatform(path)


def test_what_does_not_tell_layers_apart_need_not_be_there(tmp_path):
    layer = Layer(name="x", channels=(4, 8), relu=True, inputs=("",))
    row = {"LANES": 4, **shape_cells(layer), "cycles": 9, "energy_pj": 1}
    for name in OPTIONAL_SHAPE:
        del row[name]
    path = tmp_path / "t.csv"
    path.write_text(f"{','.join(row)}\n{','.join(map(str, row.values()))}\n")
    assert TablePlatform(path).cost_model().evaluate(DesignBatch.of({"LANES": 4}), [layer]).mapped.all()


def test_a_limit_is_a_choice(measured):
    with pytest.raises(SettingsError, match="one of"):
        TablePlatform(measured).rules(limits={"macs": 3})


def test_the_example_is_what_its_script_writes():
    script = EXAMPLE / "write_table.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == (EXAMPLE / "measured.csv").read_text()
    table = load_platform(f"table:{EXAMPLE / 'measured.csv'}")
    assert table.space("measured").feasible().count == 7
    assert np.isfinite(
        table.cost_model()
        .evaluate(DesignBatch.of(table.default()), load_network("resnet20").layers)
        .totals(Objective.EDP)
        .cycles
    ).all()
