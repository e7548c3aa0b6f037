"""rhnas audit: claims below a physical bound are named."""

import json

import pytest

from rhnas.cli.app import main

HEADER = "name,macs,macs_per_cycle,cycles"
TRAFFIC = f"{HEADER},dram_bytes,bytes_per_cycle"


@pytest.fixture
def audit(tmp_path, capsys):
    """Audits a table given as lines: exit code and stdout."""

    def run(*lines, json_output=True):
        path = tmp_path / "claims.csv"
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(SystemExit) as caught:
            main(["audit", str(path), *(["--json"] if json_output else [])])
        return caught.value.code, capsys.readouterr().out

    return run


def test_claims_at_their_bound_are_possible(audit):
    code, out = audit(TRAFFIC, "array,2560,256,10,8,8", "port,256,256,100,800,8", "silent,256,256,1,,")
    found = json.loads(out)
    assert code == 0
    assert found["possible"]
    assert [row["bound_cycles"] for row in found["rows"]] == [10, 100, 1]


def test_claims_below_it_are_named(audit):
    lines = (TRAFFIC, "fine,2560,256,11,8,8", "array,2560,256,9.5,8,8", '"port, 64 bit",256,256,99,800,8')
    code, out = audit(*lines)
    found = json.loads(out)
    assert code == 1
    assert found["impossible"] == ["array", "port, 64 bit"]
    code, out = audit(*lines, json_output=False)
    assert code == 1
    assert "line 3, array" in out
    assert "1 of 3 rows" in out


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ((), "line 1"),
        (("name,macs,cycles", "a,1,1"), "line 1"),
        ((f"{HEADER},dram_bytes", "a,1,1,1,1"), "line 1"),
        ((f"{HEADER},cycles", "a,1,1,1,1"), "line 1"),
        ((HEADER,), "rows"),
        ((HEADER, "a,1,1,1", "b,many,1,1"), "line 3"),
        ((HEADER, "a,1,0,1"), "line 2: macs_per_cycle"),
        ((HEADER, "a,1,1,nan"), "line 2: cycles"),
        ((HEADER, "a,1,1,inf"), "line 2: cycles"),
        ((HEADER, "a,1,1,-1"), "line 2: cycles"),
        ((HEADER, "a,1,1,"), "line 2: cycles"),
        ((HEADER, "", "a,1,1"), "line 3"),
        ((TRAFFIC, "a,1,1,1,,", "b,1,1,1,8,"), "line 3: bytes_per_cycle"),
        ((HEADER, '"a,1,1,1'), "line 2: must be CSV"),
    ],
)
def test_malformed_tables_are_refused_with_the_line(audit, lines, told):
    code, out = audit(*lines)
    assert code == 2
    assert told in json.loads(out)["error"]["what"]


def test_an_absent_file_is_the_users_mistake(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["audit", "absent.csv", "--json"])
    assert caught.value.code == 2
    assert "absent.csv" in json.loads(capsys.readouterr().out)["error"]["what"]


def test_our_own_cost_model_passes(audit, capsys):
    with pytest.raises(SystemExit):
        main(["cost", "--network", "resnet18", "--json"])
    rows = json.loads(capsys.readouterr().out)["layers"]
    code, _ = audit(HEADER, *(f"{row['name']},{row['macs']},256,{row['cycles']}" for row in rows))
    assert code == 0
