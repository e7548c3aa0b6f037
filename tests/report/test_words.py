"""Numbers as text: checked against arithmetic done the long way round."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhnas.report import words


def value_of(text: str) -> float:
    return float(text.replace(words.THIN, "").replace("−", "-"))


@given(st.floats(min_value=1e-9, max_value=1e15), st.booleans())
def test_significant_reads_back_within_half_a_unit_of_the_last_digit(value, negative):
    signed = -value if negative else value
    text = words.significant(signed)
    assert "e" not in text
    assert math.isclose(value_of(text), signed, rel_tol=5.1e-3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1.00"),
        (9.999, "10.0"),
        (0.09996, "0.100"),
        (123456.0, "123\u202f000"),
        (0.5, "0.500"),
    ],
)
def test_significant_at_the_edges(value, text):
    assert words.significant(value) == text


@given(st.floats(min_value=0.01, max_value=100))
def test_lower_is_true_in_both_directions(ratio):
    text = words.lower(ratio)
    if text == "equal":
        assert abs(ratio - 1) < 0.005
    else:
        assert text.endswith("lower") == (ratio > 1)
        assert value_of(text.split(words.THIN + "×")[0]) >= 0.995


@pytest.mark.parametrize(
    ("bytes_", "text"), [(1024, "1\u202fKiB"), (262144, "256\u202fKiB"), (512, "0.500\u202fKiB")]
)
def test_kib(bytes_, text):
    assert words.kib(bytes_) == text


@pytest.mark.parametrize(("value", "unit"), [(3.0, "s"), (300.0, "min"), (90000.0, "h")])
def test_seconds_choose_a_unit(value, unit):
    assert words.seconds(value).endswith(unit)


def test_a_badge_says_what_the_file_says_and_never_guesses():
    assert ">rtl<" in words.badge("rtl")
    assert "unlabelled" in words.badge(None)
    assert "<script>" not in words.badge("<script>")


def test_a_cell_without_a_value_shows_a_dash():
    assert "–" in words.cell(None)
    assert "not recorded" in words.cell(None)
