"""Fronts over finished runs: ratios at equal accuracy against closed forms, and what the files say."""

import json
import shutil
import xml.etree.ElementTree as ET
from math import log
from pathlib import Path
from statistics import fmean, geometric_mean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhnas.cli.app import main
from rhnas.errors import RhnasError
from rhnas.report.browser import find_chromium
from rhnas.report.front_page import drawing, page
from rhnas.report.fronts import compare, front_of, points_of, ratio
from rhnas.report.outcomes import load_runs, outcomes

RESULTS = Path(__file__).parents[2] / "results"
DIGITS = [RESULTS / f"digits-seed{seed}" for seed in range(3)]

points = st.lists(
    st.tuples(st.floats(0.5, 0.99), st.floats(-3, 3)),
    min_size=1,
    max_size=6,
    unique_by=lambda point: point[0],
)


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict]:
    with pytest.raises(SystemExit) as end:
        main(["front", *map(str, arguments), "--json"])
    return int(end.value.code or 0), json.loads(capsys.readouterr().out)


class TestEqualAccuracy:
    def test_parallel_fronts_differ_by_their_factor(self):
        first = [(0.95, log(9.0)), (0.92, log(6.0)), (0.90, log(3.0))]
        found = ratio(first, [(a, s - log(3)) for a, s in first])
        assert found.interpolated == pytest.approx(3)
        assert found.no_worse == pytest.approx(3)
        assert [accuracy for accuracy, _ in found.held] == [0.95, 0.92, 0.90]

    @given(points, points)
    def test_interpolation_is_the_mean_of_many_samples(self, one, other):
        first, second = front_of(one), front_of(other)
        found = ratio(first, second)
        if found.overlap is None:
            assert found.interpolated is None
            assert first[0][0] < second[-1][0] or second[0][0] < first[-1][0]
            assert "do not overlap" in found.why
            return
        low, high = found.overlap
        middles = low + (high - low) * (np.arange(20_000) + 0.5) / 20_000
        lines = [np.interp(middles, *np.array(front[::-1]).T) for front in (first, second)]
        assert log(found.interpolated) == pytest.approx((lines[0] - lines[1]).mean(), abs=1e-3)
        back = ratio(second, first)
        assert found.interpolated * back.interpolated == pytest.approx(1)

    def test_a_point_counts_down_to_the_margin_and_no_further(self):
        first = [(0.900, log(4.0))]
        assert ratio(first, [(0.897, log(2.0))]).no_worse == pytest.approx(2)
        found = ratio(first, [(0.8969, log(2.0))])
        assert (found.no_worse, found.interpolated, found.held) == (None, None, [(0.900, None)])
        assert "(baseline 90.00%, found together 89.69%)" in found.why

    def test_only_undominated_points_count(self):
        assert front_of([(0.9, 1.0), (0.8, 1.5), (0.95, 2.0)]) == [(0.95, 2.0), (0.9, 1.0)]


class TestRealRuns:
    def test_seeds_of_a_configuration_are_averaged(self):
        results = [json.loads((run / "result.json").read_text()) for run in DIGITS]
        found = points_of(outcomes(load_runs(DIGITS)))
        assert [point.scheme for point in found] == ["baseline", "hardware_only", "two_stage", "found"]
        for point in found:
            rows = [result[point.scheme] for result in results]
            assert (point.seeds, point.how) == ((0, 1, 2), "rtl")
            assert point.accuracy == fmean(row["accuracy_int8"] for row in rows)
            edp = [
                row["by_technology"]["dosa40"]["energy_uj"] * row["cycles_simulated"] / 1e5 for row in rows
            ]
            assert point.costs["edp_uj_ms.dosa40"] == pytest.approx(geometric_mean(edp))
        by_scheme = {point.scheme: point.costs["latency_ms"] for point in found}
        told = compare(found)["latency_ms"]["ratios"]["baseline/two_stage"]
        assert told["no_worse"] == pytest.approx(by_scheme["baseline"] / by_scheme["two_stage"])

    def test_cost_weights_make_a_front(self, tmp_path):
        """A second weight: a tenth of the accuracy lost, a third of the cycles, for every scheme."""
        config = (DIGITS[0] / "config.toml").read_text()
        (tmp_path / "config.toml").write_text(config.replace("weight = 0.02", "weight = 0.2"))
        result = json.loads((DIGITS[0] / "result.json").read_text())
        for scheme in ("baseline", "hardware_only", "two_stage", "found"):
            result[scheme]["accuracy_int8"] *= 0.9
            result[scheme]["cycles_simulated"] //= 3
        (tmp_path / "result.json").write_text(json.dumps(result))
        found = points_of(outcomes(load_runs([tmp_path, DIGITS[0]])))
        assert [(p.scheme, p.weight) for p in found][:2] == [("baseline", 0.02), ("baseline", 0.2)]
        told = compare(found)["latency_ms"]
        assert [len(front) for front in told["fronts"].values()] == [2] * 4
        assert told["ratios"]["baseline/found"]["interpolated"] == pytest.approx(8370 / 5121, rel=1e-3)

    def test_a_scheme_beside_the_four_has_a_front_of_its_own(self, tmp_path):
        (tmp_path / "config.toml").write_text((DIGITS[0] / "config.toml").read_text())
        result = json.loads((DIGITS[0] / "result.json").read_text())
        result["exact"] = result["found"] | {"cycles_simulated": 1}
        (tmp_path / "result.json").write_text(json.dumps(result))
        points = points_of(outcomes(load_runs([tmp_path])))
        assert [point.scheme for point in points][-1] == "exact"
        found = compare(points)
        assert found["latency_ms"]["hypervolume"]["exact"] == pytest.approx(1)
        assert "exact best response" in drawing(points, found)
        assert "exact best response" in page(points, found)

    def test_a_front_that_dominates_all_others_has_the_whole_hypervolume(self):
        found = points_of(outcomes(load_runs(DIGITS)))
        for entry in compare(found).values():
            assert 0 <= min(entry["hypervolume"].values()) <= max(entry["hypervolume"].values()) <= 1 + 1e-9
        best = next(point for point in found if point.scheme == "found")
        alone = [
            *found,
            type(best)(**{**vars(best), "accuracy": 1.0, "costs": dict.fromkeys(best.costs, 1e-6)}),
        ]
        assert compare(alone)["latency_ms"]["hypervolume"]["found"] == pytest.approx(1)

    def test_cycles_of_the_verilog_win_where_they_were_counted(self, tmp_path):
        for name in ("config.toml", "result.json"):
            shutil.copy(DIGITS[0] / name, tmp_path)
        verified = json.loads((DIGITS[0] / "verify.json").read_text())
        for scheme in ("baseline", "hardware_only", "two_stage"):
            verified["schemes"][scheme]["cycles"]["rtl"] = None
        verified["schemes"]["found"]["cycles"]["rtl"] = 1_234
        (tmp_path / "verify.json").write_text(json.dumps(verified))
        found = outcomes(load_runs([tmp_path]))
        assert {o.scheme: o.how for o in found} == {
            "baseline": "simulated",
            "hardware_only": "simulated",
            "two_stage": "simulated",
            "found": "rtl",
        }
        assert [o.cycles for o in found if o.how == "rtl"] == [1_234]

    def test_a_run_without_simulated_cycles_makes_all_modelled(self, tmp_path):
        result = json.loads((DIGITS[0] / "result.json").read_text())
        result["found"]["cycles_simulated"] = None
        (tmp_path / "result.json").write_text(json.dumps(result))
        assert {o.how for o in outcomes(load_runs([DIGITS[1], tmp_path]))} == {"modelled"}

    def test_what_cannot_be_compared_is_refused(self, tmp_path):
        with pytest.raises(RhnasError, match="must have one task"):
            outcomes(load_runs([DIGITS[0], RESULTS / "cifar10-quick-seed0"]))
        shutil.copy(DIGITS[0] / "config.toml", tmp_path)
        with pytest.raises(RhnasError, match="must be finished"):
            outcomes(load_runs([tmp_path]))
        with pytest.raises(RhnasError, match="at least one run"):
            outcomes([])


class TestCommand:
    def test_a_joint_search_that_is_less_accurate_gets_no_ratio(self, capsys, tmp_path):
        shutil.copy(DIGITS[0] / "config.toml", tmp_path)
        result = json.loads((DIGITS[0] / "result.json").read_text())
        result["found"]["accuracy_int8"] -= 0.025
        (tmp_path / "result.json").write_text(json.dumps(result))
        code, said = call(capsys, tmp_path)
        assert code == 0
        told = said["costs"]["edp_uj_ms.dosa40"]["ratios"]["baseline/found"]
        assert told["no_worse"] is told["interpolated"] is told["overlap"] is None
        assert "do not overlap in accuracy" in told["why"]

    def test_the_drawing_places_points_where_their_figures_are(self, capsys, tmp_path):
        _, said = call(capsys, *DIGITS, "--out", tmp_path / "front.svg")
        svg = ET.parse(tmp_path / "front.svg").getroot()
        space = "{http://www.w3.org/2000/svg}"
        told = [group.findtext(f"{space}title") for group in svg.iter(f"{space}g")]
        assert len(told) == 3 * len(said["points"])
        assert all("seeds 0, 1, 2" in text and "cycles rtl" in text for text in told)
        latencies = {point["scheme"]: point["costs"]["latency_ms"] for point in said["points"]}
        cheapest = {scheme for scheme, latency in latencies.items() if latency == min(latencies.values())}
        firsts = [g.find(f"{space}path").get("d")[1:].split()[0] for g in list(svg.iter(f"{space}g"))[:4]]
        at = dict(zip([point["scheme"] for point in said["points"]], map(float, firsts), strict=True))
        assert min(at, key=at.get) in cheapest

    def test_the_page_stands_alone(self, capsys, tmp_path):
        call(capsys, *DIGITS, "--out", tmp_path / "front.html")
        page = (tmp_path / "front.html").read_text()
        assert "<svg" in page
        assert "http" not in page.replace("http://www.w3.org/2000/svg", "")

    def test_another_suffix_is_refused(self, capsys):
        code, said = call(capsys, DIGITS[0], "--out", "front.pdf")
        assert (code, said["error"]["got"]) == (2, "front.pdf")

    @pytest.mark.skipif(find_chromium() is None, reason="no Chromium")
    def test_a_picture_comes_from_the_same_drawing(self, capsys, tmp_path):
        call(capsys, DIGITS[0], "--out", tmp_path / "front.png")
        assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
