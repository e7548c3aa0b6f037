"""The joint search on accelerators other than VTA, from the settings to the result."""

from pathlib import Path

import pytest

from rhnas.codesign.run import run
from rhnas.errors import InfeasibleDesignError, SettingsError
from rhnas.platform import load_platform
from rhnas.settings import Settings
from rhnas.space import DesignBatch
from rhnas.study import Study
from rhnas.workload import Layer

LAYER = Layer(name="fc", channels=(8, 4))
CHIP = Path(__file__).parent.parent.parent / "examples" / "own_accelerator" / "chip.toml"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def on(tiny: Settings, name: str, space: str, **further: object) -> Settings:
    platform = tiny.platform.model_copy(update={"name": name, "space": space, **further})
    free = tiny.run.model_copy(update={"optimum": False})
    return tiny.model_copy(update={"platform": platform, "run": free})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "space", "technologies"),
    [("systolic", "systolic", ["dosa40", "horowitz45"]), (f"command:{CHIP}", "chip", ["priced"])],
)
def test_a_search_ends_with_estimates_where_there_is_no_simulator(tiny, tmp_path, name, space, technologies):
    result = run(Study(tmp_path / "run", on(tiny, name, space)))
    platform = load_platform(name)
    for scheme in ("baseline", "hardware_only", "two_stage", "found"):
        row = result[scheme]
        platform.config(row["accelerator"])
        assert row["realizable"]
        assert row["cycles_simulated"] is None
        assert list(row["by_technology"]) == technologies
        assert row["cycles"] == sum(layer["cycles"] for layer in row["layers"])
        assert all(layer["cycles"] >= layer["bound_cycles"] for layer in row["layers"])
    assert result["baseline"]["accelerator"] == platform.default()
    assert result["found"]["edp_uj_ms"] <= result["baseline"]["edp_uj_ms"]


@pytest.mark.parametrize(
    ("platform", "told"),
    [
        ({"name": "systolic", "space": "vta"}, "space must be one of"),
        ({"name": "systolic", "space": "systolic", "timing": "public"}, "timing must be an option"),
        ({"name": "systolic", "space": "systolic", "technologies": ("gold",)}, "technology must be one of"),
        ({"name": "systolic", "space": "systolic", "fpga": "xc7z020"}, "no model of FPGAs"),
    ],
)
def test_what_a_platform_lacks_is_told_before_anything_is_spent(tiny, tmp_path, platform, told):
    with pytest.raises(SettingsError, match=told):
        run(Study(tmp_path / "run", on(tiny, **platform)))


def test_a_design_that_is_refused_in_a_joint_search_is_told(tiny, tmp_path):
    """Without masks a design may turn out to run not every layer: the fix is in the error."""
    (tmp_path / "chip.toml").write_text(
        'name = "no"\ncommand = ["python", "-S", "no.py"]\n[choices]\nA = [1, 2]\n[default]\nA = 1\n'
    )
    (tmp_path / "no.py").write_text('print(\'{"infeasible": "too small"}\')')
    name = f"command:{tmp_path / 'chip.toml'}"
    model = load_platform(name).cost_model()
    assert "too small" in str(model.mappings(DesignBatch.of({"A": 1}), [LAYER], 0.0))
    with pytest.raises(InfeasibleDesignError, match=r'infeasible = "mask"'):
        run(Study(tmp_path / "run", on(tiny, name, "no")))
