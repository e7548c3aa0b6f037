"""rhnas cost, as a user or a script meets it."""

import json
import subprocess
import sys

import pytest

from rhnas.cli.app import main

KEYS = {"cycles", "latency_ms", "energy_uj", "edp_uj_ms", "macs", "bound_cycles", "layers"}
ROW_KEYS = {"name", "cycles", "energy_uj", "macs", "bound_cycles", "mapping"}


def run(capsys, *arguments):
    """Exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as caught:
        main(["cost", *arguments])
    return caught.value.code, *capsys.readouterr()


def priced(capsys, *arguments):
    """The JSON of ResNet-18 on the default accelerator."""
    code, out, _ = run(capsys, "--network", "resnet18", "--accelerator", "default", *arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_rows_add_up_and_none_beats_its_bound(capsys):
    found = priced(capsys)
    rows = found["layers"]
    assert set(found) >= KEYS
    assert all(set(row) == ROW_KEYS for row in rows)
    assert [row["name"] for row in rows][:3] == ["conv1", "maxpool", "layer1.0.conv1"]
    assert rows[-1]["name"] == "launch"
    assert found["cycles"] == sum(row["cycles"] for row in rows)
    assert found["energy_uj"] == pytest.approx(sum(row["energy_uj"] for row in rows))
    assert found["macs"] == sum(row["macs"] for row in rows) == 1_814_073_344
    assert found["latency_ms"] == pytest.approx(found["cycles"] / 100e3)
    assert found["edp_uj_ms"] == pytest.approx(found["energy_uj"] * found["latency_ms"])
    assert all(row["bound_cycles"] <= row["cycles"] for row in rows)
    # 256 MACs a cycle at most; the bound of the sum is at most the sum of the bounds.
    assert 1_814_073_344 / 256 <= found["bound_cycles"] <= sum(row["bound_cycles"] for row in rows)


def test_a_row_costs_what_its_mapping_does(capsys):
    *layers, launch = priced(capsys)["layers"]
    assert launch["mapping"] == {}
    for row in layers:
        assert row["cycles"] == row["mapping"]["cycles"], row["name"]
        assert row["energy_uj"] == pytest.approx(row["mapping"]["energy_pj"] / 1e6, rel=1e-9)


def test_each_objective_wins_at_what_it_minimises(capsys):
    found = {name: priced(capsys, "--objective", name) for name in ("latency", "energy", "edp")}
    for name, key in (("latency", "cycles"), ("energy", "energy_uj"), ("edp", "edp_uj_ms")):
        assert found[name][key] == min(other[key] for other in found.values())


def test_options_reach_the_model(capsys):
    here = priced(capsys)
    assert priced(capsys, "--schedule", "upstream", "--timing", "public")["cycles"] > here["cycles"]
    assert priced(capsys, "--technology", "horowitz45")["energy_uj"] != here["energy_uj"]


def test_text_shows_totals_first_and_fits_a_hundred_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = run(capsys, "--network", "resnet18")
    lines = out.splitlines()
    assert code == 0
    assert "resnet18" in lines[0]
    assert "EDP" in lines[1]
    assert max(map(len, lines)) <= 100
    assert sum("layer4.1.conv2" in line for line in lines) == 1
    assert len(lines) == 3 + 1 + 1 + 32 + 1, "one line per layer"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--accelerator", "LOG_ACC_BUFF_SIZE=18"), "R"),
        (("--network", "resnet81"), "resnet18"),
        (("--objective", "beauty"), "edp"),
        (("--schedule", "none"), "upstream"),
        (("--timing", "none"), "public"),
        (("--technology", "none"), "dosa40"),
    ],
)
def test_mistakes_are_told(capsys, arguments, told):
    given = dict.fromkeys(["--network"], "resnet18") | {arguments[0]: arguments[1]}
    code, out, _ = run(capsys, *[word for pair in given.items() for word in pair], "--json")
    assert code == 2
    assert told in str(json.loads(out)["error"])


def test_a_layer_that_cannot_run_is_named(capsys):
    tiny = "LOG_UOP_BUFF_SIZE=3"
    code, out, _ = run(capsys, "--network", "resnet18", "--accelerator", tiny, "--json")
    assert code == 2
    assert "conv1" in json.loads(out)["error"]["got"]


def test_torch_is_not_imported():
    code = (
        "import sys\nfrom rhnas.cli.app import main\n"
        "try:\n    main(['cost', '--network', 'resnet18', '--json'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
