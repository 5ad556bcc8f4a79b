"""What counts when texts are scored."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.errors import UserError
from speechkit.metrics import TextNormalizer, normalize_text

CASES = st.sampled_from(["keep", "lower", "upper"])
PUNCTUATION = st.sampled_from(["keep", "remove"])
SIGNS = st.text(st.sampled_from("aBé\u0301ßİ'’-.,$ \t\n1"))


@settings(max_examples=50)
@given(SIGNS | st.text(max_size=20), CASES, PUNCTUATION)
def test_a_normal_text_is_its_own_form(text: str, case: str, punctuation: str) -> None:
    once = normalize_text(text, case, punctuation)
    assert normalize_text(once, case, punctuation) == once
    assert once.split(" ") == [*once.split()] or once == ""
    assert unicodedata.is_normalized("NFC", once)


@given(SIGNS)
def test_letters_and_digits_all_stay(text: str) -> None:
    form = normalize_text(text, punctuation="remove")
    composed = unicodedata.normalize("NFC", text)
    assert [c for c in form if c.isalnum()] == [c for c in composed if c.isalnum()]
    assert not {*form} & {*"’-.,$"}


@pytest.mark.parametrize(
    ("text", "case", "punctuation", "form"),
    [
        ("  The cat,\tsat. ", "keep", "keep", "The cat, sat."),
        ("MISTER QUILTER'S", "lower", "remove", "mister quilter's"),
        ("mother-in-law’s 'quoted' dogs'", "upper", "remove", "MOTHER IN LAW'S QUOTED DOGS"),
        ("cafe\u0301", "keep", "keep", "café"),
        ('5$ + 3 = "8" … o\'clock', "keep", "remove", "5 3 8 o'clock"),
        ("''", "keep", "remove", ""),
        ("STRAẞE", "lower", "keep", "straße"),
    ],
)
def test_examples(text: str, case: str, punctuation: str, form: str) -> None:
    assert normalize_text(text, case, punctuation) == form
    assert TextNormalizer(case, punctuation)(text) == form


def test_the_rule_says_what_is_done() -> None:
    rules = {TextNormalizer(c, p).rule for c in ("keep", "lower", "upper") for p in ("keep", "remove")}
    assert len(rules) == 6
    assert "Unicode NFC; upper case; punctuation kept; one space between words" in rules
    with pytest.raises(UserError, match="case: 'Lower'; expected keep, lower or upper"):
        TextNormalizer("Lower")
    with pytest.raises(UserError, match="punctuation: True"):
        TextNormalizer("lower", True)
