"""Texts to tokens and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.data import CharacterTokenizer, WordTokenizer
from speechkit.errors import UserError

ALPHABET = "abc 'é"
PHONES = ["AH0", "K", "AE1", "T"]


@given(st.text(st.sampled_from(ALPHABET)))
def test_characters_come_back(text: str) -> None:
    tokenizer = CharacterTokenizer(ALPHABET)
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert len(tokens) == len(text)
    assert all(0 < token < tokenizer.n_tokens for token in tokens), "0 is the blank's"


@given(st.lists(st.sampled_from(PHONES)), st.sampled_from([" ", "  ", "\n"]))
def test_words_come_back_with_one_space_between(words: list[str], gap: str) -> None:
    tokenizer = WordTokenizer(PHONES)
    tokens = tokenizer.encode(gap.join(words))
    assert tokenizer.decode(tokens) == " ".join(words)
    assert len(tokens) == len(words)
    assert all(0 < token < tokenizer.n_tokens for token in tokens)


def test_different_symbols_have_different_numbers() -> None:
    for tokenizer in (
        CharacterTokenizer(ALPHABET),
        CharacterTokenizer(list(ALPHABET)),
        WordTokenizer(PHONES),
    ):
        numbers = [tokenizer.encode(symbol) for symbol in tokenizer.symbols]
        assert numbers == [[number] for number in range(1, tokenizer.n_tokens)]
    assert WordTokenizer(" ".join(PHONES)).symbols == PHONES


def test_a_symbol_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="no symbol 'A'"):
        CharacterTokenizer(ALPHABET).encode("cAb")
    with pytest.raises(UserError, match=r"no symbol 'AE' \(did you mean 'AE1'\?\)"):
        WordTokenizer(PHONES).encode("K AE T")


@pytest.mark.parametrize("token", [0, -1, 5])
def test_a_token_that_is_no_symbol_is_refused(token: int) -> None:
    with pytest.raises(ValueError, match=f"token {token}"):
        WordTokenizer(PHONES).decode([1, token])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CharacterTokenizer("aba"), "'a' stands twice"),
        (lambda: CharacterTokenizer(["a", "bc"]), "'bc' is of 2 characters"),
        (lambda: CharacterTokenizer(""), "no symbols"),
        (lambda: WordTokenizer(["yes", True]), "True is no text; put it in quotes"),
        (lambda: WordTokenizer(["yes", "oh no"]), "'oh no'; expected a word without blanks"),
        (lambda: WordTokenizer("  "), "no symbols"),
    ],
)
def test_symbols_that_cannot_be_are_told(make, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()
