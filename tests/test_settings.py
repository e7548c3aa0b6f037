"""Settings: TOML round trips, identities, overrides, and errors that help."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhnas.errors import SettingsError
from rhnas.settings import Settings, load_settings, parse_settings, preset_names, preset_text


@pytest.mark.parametrize("name", preset_names())
def test_presets_load_and_survive_a_round_trip(name: str) -> None:
    settings = load_settings(name)
    again = parse_settings(settings.to_toml())
    assert again == settings
    assert again.identity() == settings.identity()
    assert preset_text(name).startswith("#"), "a preset says what it is for"


@given(
    weight=st.floats(min_value=0, max_value=1e6),
    seed=st.integers(min_value=0, max_value=2**62),
    fpga=st.none() | st.text(min_size=1).filter(lambda s: s.isprintable()),
    limits=st.dictionaries(st.sampled_from(["macs", "bus_bits", "sram_kib"]), st.integers(1, 2**40)),
    options=st.dictionaries(st.sampled_from(["a", "b"]), st.booleans() | st.integers(-5, 5) | st.text()),
)
def test_any_tree_survives_a_round_trip(weight, seed, fpga, limits, options) -> None:
    settings = Settings.model_validate(
        {
            "objective": {"weight": weight},
            "run": {"seed": seed},
            "platform": {"fpga": fpga, "limits": limits},
            "agent": {"options": options},
        }
    )
    assert parse_settings(settings.to_toml()) == settings


def test_identity_depends_on_every_value_and_on_nothing_else() -> None:
    base = parse_settings("[run]\nseed = 1\n[nas]\nepochs = 3\n")
    assert base.identity() == parse_settings("[nas]\nepochs = 3\n[run]\nseed = 1\n").identity()
    assert base.identity() != parse_settings("[run]\nseed = 2\n[nas]\nepochs = 3\n").identity()


def test_a_group_that_came_later_counts_only_where_it_is_used() -> None:
    base = parse_settings("[run]\nseed = 1\n")
    assert base.identity() == parse_settings("[run]\nseed = 1\n[quantize]\nepochs = 5\n").identity()
    assert base.identity() != parse_settings("[run]\nseed = 1\n[quantize]\nper_channel = true\n").identity()


@pytest.mark.parametrize(
    ("text", "got", "fix"),
    [
        ("[agent]\nevaluation = 3\n", "agent.evaluation", "agent.evaluations"),
        ("[platform]\nfgpa = 'x'\n", "platform.fgpa", "platform.fpga"),
        ("[platfrom]\nspace = 'vta'\n", "platfrom", "platform"),
        ("[task]\nseed = 3\n", "task.seed", "run.seed"),
    ],
)
def test_unknown_keys_name_the_nearest_known_one(text: str, got: str, fix: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text)
    assert caught.value.got == got
    assert caught.value.fix is not None
    assert f"{fix}?" in caught.value.fix


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["run.seed=-1"], "run.seed"),
        (["run.device=tpu"], "run.device"),
        (["nas.epochs=many"], "nas.epochs"),
        (["objective.minimize=speed"], "objective.minimize"),
        (["seed=1"], "group.key=value"),
        (["run.seed"], "group.key=value"),
        (["run.seed.low=1"], "no keys of its own"),
    ],
)
def test_wrong_values_are_named(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings("[run]\nseed = 0\n", overrides)


def test_overrides_take_toml_values_words_and_none() -> None:
    settings = load_settings(
        "digits",
        [
            "run.seed=7",
            "platform.fpga=none",
            "platform.limits.macs=256",
            "task.data=digits",
            "nas.freeze=0.5",
        ],
    )
    assert (settings.run.seed, settings.platform.fpga, settings.nas.freeze) == (7, None, 0.5)
    assert settings.platform.limits == {"macs": 256}


def test_differences_name_the_keys() -> None:
    assert parse_settings("").differences(parse_settings("[run]\nseed = 4\n")) == ["run.seed = 0 against 4"]


def test_what_cannot_be_read_says_what_to_do(tmp_path) -> None:
    with pytest.raises(SettingsError, match="did you mean digits"):
        load_settings("digit")
    with pytest.raises(SettingsError, match="rhnas new"):
        load_settings(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[run\n")
    with pytest.raises(SettingsError, match="must be TOML"):
        load_settings(broken)
