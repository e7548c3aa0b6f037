"""The page: well-formed, self-contained, complete, escaped, and plain about what is missing or worse."""

import json
import math
from html.parser import HTMLParser

import pytest

from rhnas.errors import RhnasError
from rhnas.report import plots
from rhnas.report.render import page_of, render
from rhnas.report.run import Run
from tests.report.runs import VERIFY, write_run

VOID = {"meta", "link", "br"}
SECTIONS = ("chips", "gains", "schemes", "pareto", "networks", "layers", "convergence", "cost", "proof")


class Page(HTMLParser):
    """Collects ids, text, loads and figures; fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.figures: dict[str, dict] = {}
        self.text = ""
        self.unlabelled_drawings = 0
        self._figure = ""
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.loads += [given[key] for key in ("src", "href", "data") if key in given]
        if tag == "svg" or "plot" in (given.get("class") or "").split():
            self.unlabelled_drawings += not given.get("aria-label") or given.get("role") != "img"
        self._figure = given.get("data-plot", "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        if self._figure:
            self.figures[self._figure] = json.loads(data)
            self._figure = ""
        elif self.open and self.open[-1] not in {"style", "script"}:
            self.text += data


@pytest.fixture(scope="module")
def without_plotly():
    """Pages without the 4.8 MB that are not ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rhnas.report.render._plotly", lambda: "")
        yield


@pytest.fixture
def page(run_directory, without_plotly):
    return Page(page_of(Run.load(run_directory)))


def test_every_section_is_there_once_and_every_drawing_is_described(page):
    for name in SECTIONS:
        assert page.ids.count(name) == 1
    assert len(page.ids) == len(set(page.ids))
    assert page.unlabelled_drawings == 0


def test_nothing_is_loaded_from_anywhere(run_directory):
    page = Page(render(run_directory).read_text())
    assert all(load.startswith("data:") for load in page.loads)
    assert not any(word in page.text for word in ("http://", "https://"))


def test_rendering_writes_one_file_atomically_and_reads_files_only(run_directory):
    before = {path.name for path in run_directory.iterdir()}
    assert render(run_directory) == run_directory / "report.html"
    assert {path.name for path in run_directory.iterdir()} == before | {"report.html"}


def test_the_headline_is_what_result_json_says(page, result):
    ratio = result["ratios"]["edp"]
    assert f"{ratio:.3g}" in page.text.split("energy-delay product")[0]
    assert f"{100 * result['found']['accuracy']:.2f}" in page.text
    assert "int8 not run" in page.text


def test_the_decomposition_multiplies_up(page, result):
    edp = {name: result[name]["edp_uj_ms"] for name in ("baseline", "two_stage", "found")}
    hardware, joint = edp["baseline"] / edp["two_stage"], edp["two_stage"] / edp["found"]
    gains = page.text.split("Where the gain comes from")[1].split("Schemes at one budget")[0]
    for factor in (hardware, joint, hardware * joint):
        assert f"{factor:.3g}" in gains


@pytest.mark.parametrize("key", ["latency", "energy", "edp"])
def test_a_worse_result_is_called_worse(tmp_path, result, key, without_plotly):
    result["ratios"][key] = 0.5
    text = page_of(Run.load(write_run(tmp_path, result)))
    name = {"latency": "latency", "energy": "energy", "edp": "energy × delay"}[key]
    assert f"higher {name}" in text
    assert 'class="tile worse"' in text


def test_co_design_that_adds_nothing_is_said_to(tmp_path, result, without_plotly):
    result["two_stage"]["edp_uj_ms"] = result["found"]["edp_uj_ms"] / 1.5
    assert "two separate searches did better" in page_of(Run.load(write_run(tmp_path, result)))
    result["two_stage"]["edp_uj_ms"] = result["found"]["edp_uj_ms"]
    assert "adds nothing" in page_of(Run.load(write_run(tmp_path, result)))


def test_a_run_that_has_not_finished_still_has_a_page(tmp_path, without_plotly):
    page = Page(page_of(Run.load(write_run(tmp_path, None))))
    assert "has not finished" in page.text
    assert "rhnas verify has not been run" in page.text
    assert "plot-alpha" in page.figures


@pytest.mark.parametrize("scheme", ["baseline", "hardware_only", "two_stage", "found"])
def test_a_missing_scheme_is_named(tmp_path, result, scheme, without_plotly):
    del result[scheme]
    page = Page(page_of(Run.load(write_run(tmp_path, result))))
    assert "Not run: " in page.text


def test_schemes_asked_for_beside_the_four_stand_beside_them(tmp_path, result):
    alone = Page(page_of(Run.load(write_run(tmp_path / "alone", result)))).text
    assert "Exact best response" not in alone
    result["exact"] = result["found"] | {"accuracy": 0.8765}
    page = Page(page_of(Run.load(write_run(tmp_path / "beside", result))))
    assert "Exact best response" in page.text
    assert "87.65" in page.text
    assert "exact best response" in [trace["name"] for trace in page.figures["plot-pareto"]["data"]]


OPTIONAL = (
    "layers",
    "gap",
    "evaluations",
    "seconds",
    "by_technology",
    "accuracy",
    "edp_uj_ms",
    "accelerator",
)


@pytest.mark.parametrize("key", [*OPTIONAL, "architecture", "accuracy_validation", "cycles", "realizable"])
def test_any_missing_key_leaves_a_page(tmp_path, result, key, without_plotly):
    for scheme in ("baseline", "hardware_only", "two_stage", "found"):
        result[scheme].pop(key)
    page = Page(page_of(Run.load(write_run(tmp_path, result))))
    assert "nan" not in page.text.lower().split()


@pytest.mark.parametrize("key", ["ratios", "ratios_by_technology", "provenance", "how", "fpga", "limits"])
def test_any_missing_key_of_the_result_leaves_a_page(tmp_path, result, key, without_plotly):
    result.pop(key)
    text = page_of(Run.load(write_run(tmp_path, result)))
    Page(text)
    if key == "how":
        assert "unlabelled" in text


def test_text_from_files_is_escaped(tmp_path, result, without_plotly):
    evil = "<img src=http://x onerror=1>"
    result["provenance"]["version"] = evil
    result["fpga"] = evil
    result["how"] = evil
    result["found"]["layers"][0]["name"] = "</script>" + evil
    result["found"]["architecture"]["stage1.block1.op"] = evil
    page = Page(page_of(Run.load(write_run(tmp_path, result))))
    assert not any("x" in load for load in page.loads)


def test_proof_shows_each_count_under_its_own_label(page):
    proof = page.text.split("Proof")[1]
    for label in ("modelled", "simulated", "rtl", "synthesized"):
        assert label in proof
    assert "20\u202f345" in proof
    assert "LFE5U-85F" in proof
    assert "yes, 20 pictures" in proof
    assert "no, 1 picture" in proof
    assert "not the simulator’s" in proof, "other cycles than the simulator's are a failure, not a count"
    assert "32\u202f001" not in proof
    assert "−1.20\u202f%" in proof
    assert "Baseline: every layer" in proof
    assert "12\u202f345−345" in proof, "every layer with its difference"
    assert "7\u202f950+100" in proof


def test_synthesis_shows_what_is_taken_of_what_the_part_has(page, result, tmp_path):
    assert "Found together: synthesis" in page.text
    directory = write_run(tmp_path, result)
    budget = {"luts": {"used": 31984, "available": 70560}}
    synthesis = {"accelerator": {"LOG_BATCH": 5}, "part": "xczu3eg", "luts": 31984, "flip_flops": 22752}
    verified = VERIFY | {
        "schemes": {},
        "synthesis": synthesis | {"budget": budget, "seconds": 7.1, "tool": "Yosys 7"},
    }
    (directory / "verify.json").write_text(json.dumps(verified))
    text = Page(page_of(Run.load(directory))).text
    assert "of xczu3eg" in text
    assert "look-up tables31\u202f98470\u202f56045.33\u202f%" in text
    assert "flip-flops22\u202f752––" in text
    assert "LOG BATCH5" not in text
    assert "synthesis by Yosys 7" in text


def test_a_placement_shows_its_clock_what_limits_it_and_both_latencies(page):
    proof = page.text.split("Proof")[1]
    assert "Fmax 103.40\u202fMHz on LFE5U-85F, speed grade 8" in proof
    assert "limited by the path through compute.acc_8bit_loader → compute.alu." in proof
    assert "takes 0.197\u202fms at that clock, at the run’s 100\u202fMHz 0.203\u202fms." in proof
    assert "TRELLIS_COMB20\u202f12383\u202f640" in proof, "used and available"


def test_a_design_that_does_not_fit_its_part_is_said(result, tmp_path):
    directory = write_run(tmp_path, result)
    for fits in (True, None, False):
        (directory / "verify.json").write_text(json.dumps(VERIFY | {"schemes": {}, "fits": fits}))
        said = "does not fit LFE5U-85F, as synthesized." in Page(page_of(Run.load(directory))).text
        assert said is (fits is False)


def test_a_clock_without_its_placement_or_without_routing_is_shown_as_it_is(result, tmp_path):
    directory = write_run(tmp_path, result)
    for placement, said in (
        (None, "103"),
        ({"fmax_mhz": 96.7, "routed": False}, "Fmax 96.70\u202fMHz, the placer’s estimate before routing."),
    ):
        verify = VERIFY | {"placement": placement}
        verify.pop("schemes")
        (directory / "verify.json").write_text(json.dumps(verify))
        proof = Page(page_of(Run.load(directory))).text.split("Proof")[1]
        assert said in proof
        assert "limited by" not in proof


def test_a_proof_without_the_found_design_says_so(result, tmp_path):
    directory = write_run(tmp_path, result)
    nothing = {"bit_exact": None, "cycles": {"modelled": None, "simulated": None, "rtl": None}}
    (directory / "verify.json").write_text(
        json.dumps(nothing | {"schemes": {"baseline": VERIFY["schemes"]["baseline"]}})
    )
    proof = Page(page_of(Run.load(directory))).text.split("Proof")[1]
    assert "Baseline" in proof
    assert "Found together" not in proof.split("Bit exact:")[0]


def test_bars_add_up_to_the_layers_cycles(run_directory, result):
    run = Run.load(run_directory)
    figure = plots.layers(list(run.schemes.values()))
    assert len(figure["data"]) == 8
    for index, name in enumerate(run.schemes):
        bound, above = figure["data"][2 * index : 2 * index + 2]
        rows = result[name]["layers"]
        assert [b + a for b, a in zip(bound["y"], above["y"], strict=True)] == [r["cycles"] for r in rows]
        assert all(a >= 0 for a in above["y"])


def test_pareto_shows_schemes_and_visited_candidates(tmp_path, result):
    run = Run.load(write_run(tmp_path, result))
    assert len(plots.pareto(run)["data"]) == 8
    candidate = {"accuracy_validation": 0.9, "latency_ms": 0.2, "edp_uj_ms": 2.0}
    result["found"]["candidates"] = [candidate, candidate | {"latency_ms": None}]
    named = [t["name"] for t in plots.pareto(Run.load(write_run(tmp_path, result)))["data"]]
    assert named.count("visited candidates") == 2


def test_the_agents_curve_is_the_exponential_of_the_logs(run_directory):
    run = Run.load(run_directory)
    trace = next(t for t in plots.agent(run)["data"] if t["name"] == "found together")
    records = [*run.series("search")["found"], *run.series("hardware")["found"]]
    assert trace["y"] == [math.exp(record["best"]) for record in records]


@pytest.mark.parametrize("low", [0.001, 0.07, 1.0, 300.0])
@pytest.mark.parametrize("span", [1.001, 1.3, 4.0, 1e3, 1e7])
def test_a_logarithmic_axis_always_has_a_few_labels_inside(low, span):
    axis = plots.log_axis("x", [low, low * span])
    ticks = [math.log10(tick) for tick in axis["tickvals"]]
    assert len(ticks) <= 12
    assert all(axis["range"][0] <= tick <= axis["range"][1] for tick in ticks)
    assert ticks or span < 1.2


def test_not_a_run_directory(tmp_path):
    with pytest.raises(RhnasError, match="directory of a search"):
        render(tmp_path)


def test_what_is_proved_stands_on_the_page(tmp_path, result, without_plotly):
    proof = {"objective": 24.0, "bound": 23.9, "proved": False, "gap": 0.105, "boxes": 400}
    result["certificate"] = {
        "hardware": {"found": proof | {"proved": True}},
        "trained": proof | {"networks": 5},
        "candidates": proof | {"networks": 8, "objective": 0.0321, "bound": 0.0287},
        "space": proof | {"bound": -0.0123},
        "as_large": proof | {"gap": 1.25},
    }
    page = Page(page_of(Run.load(write_run(tmp_path, result))))
    for part in ("accelerators costs less.", "5 trained", "1/1.105", "0.0321", "-0.0123", "1/2.250"):
        assert part in page.text
