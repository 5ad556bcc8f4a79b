"""The checker of JSON values, against what it is told to accept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.report.shapes import AMOUNT, COUNT, LOSSY, NUMBER, MapOf, Row, find_misfits, fits

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
SHAPE = {"a": str, "b?": (NUMBER, None), "c": [COUNT], "d": MapOf(AMOUNT), "e": {"f": bool}}

SHAPES = (SHAPE, [SHAPE], MapOf(SHAPE), (SHAPE, None), str, NUMBER)


def misfits(value, shape) -> list[tuple[str, str, str]]:
    return [(each.key, each.found, each.expected) for each in find_misfits(value, shape)]


def test_all_that_is_wrong_is_told_at_once() -> None:
    value = {"b": "x", "c": [1, -1, 2.5], "d": {"g": 1, "h": True}, "e": {"f": 1}}
    assert misfits(value, SHAPE) == [
        ("a", "nothing", "text"),
        ("b", "'x'", "a number or null"),
        ("c[1]", "-1", "a whole number from 0 on"),
        ("c[2]", "2.5", "a whole number from 0 on"),
        ("d.h", "true", "a number from 0 on"),
        ("e.f", "1", "true or false"),
    ]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400])
def test_numbers_that_are_none(number) -> None:
    assert len(misfits(number, NUMBER)) == 1


def test_a_loss_may_be_nan() -> None:
    assert misfits(float("nan"), LOSSY) == []
    assert misfits("nan", LOSSY) == [("", "'nan'", "a number")]


def test_a_row_has_its_items_and_no_more() -> None:
    row = Row((("S", "D"), (str, None)))
    assert misfits(["S", None], row) == []
    assert misfits(["S"], row) == [("", "a list", "a list of 2")]
    assert misfits(["S", "a", "b"], row) == [("", "a list", "a list of 2")]
    assert misfits(["X", 1], row) == [("[0]", "'X'", "'S' or 'D'"), ("[1]", "1", "text or null")]


def test_a_constant_is_itself_and_not_what_equals_it() -> None:
    assert misfits(1, 1) == []
    assert misfits(True, 1) == [("", "true", "1")]
    assert misfits(2, 1) == [("", "2", "1")]


def test_other_keys_are_welcome() -> None:
    assert misfits({"a": "", "c": [], "d": {}, "e": {"f": True}, "new": object()}, SHAPE) == []


@given(JSON)
def test_any_value_is_judged_without_an_exception(value) -> None:
    for shape in SHAPES:
        found = list(find_misfits(value, shape))
        assert fits(value, shape) == (not found), "what does not fit is told where"
        for misfit in found:
            assert misfit.expected
            assert len(misfit.found) < 400
