"""Kneser-Ney against its formula, written out; and on real sentences."""

import math
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import pytest

from speechkit.decoding.kneser_ney import FALLBACK, adjust_counts, estimate_discounts, train_kneser_ney
from speechkit.decoding.ngram import perplexity
from speechkit.errors import UserError

# Few words, of which some n-grams of each order occur once, twice, three and four times.
TEXTS = [
    "",
    "c",
    "c a e",
    "g",
    "a c",
    "",
    "d f f b a",
    "b f d",
    "c a a",
    "a g c c a b",
    "a f b",
    "d f",
    "a f a a",
]
SENTENCES = [text.split() for text in (*TEXTS, "")]
WORDS = ["a", "b", "c", "d", "e", "f", "g", "</s>", "<unk>"]


@cache
def occurrences(ngram: tuple[str, ...]) -> int:
    """How often words follow each other in the sentences, by looking."""
    wholes = [("<s>", *words, "</s>") for words in SENTENCES]
    n = len(ngram)
    return sum(whole[i : i + n] == ngram for whole in wholes for i in range(len(whole) - n + 1))


@cache
def adjusted(ngram: tuple[str, ...], order: int) -> int:
    if len(ngram) == order or ngram[0] == "<s>":
        return occurrences(ngram)
    return sum(occurrences((left, *ngram)) > 0 for left in ["<s>", *WORDS])


def probability(word: str, context: tuple[str, ...], order: int) -> float:
    """Chen and Goodman's formula, with every sum written out."""
    histories = list(product(["<s>", *WORDS], repeat=len(context)))
    all_counts = [adjusted((*h, w), order) for h in histories for w in WORDS]
    n1, n2, n3, n4 = (all_counts.count(k) for k in (1, 2, 3, 4))
    if min(n1, n2, n3, n4) > 0:
        y = n1 / (n1 + 2 * n2)
        discounts = [0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
    else:
        discounts = [0.0, 0.5, 1.0, 1.5]
    counts = {w: adjusted((*context, w), order) for w in WORDS}
    total = sum(counts.values())
    lower = probability(word, context[1:], order) if context else 1 / len(WORDS)
    if total == 0:
        return lower
    gamma = sum(discounts[min(count, 3)] for count in counts.values()) / total
    return max(counts[word] - discounts[min(counts[word], 3)], 0) / total + gamma * lower


@pytest.mark.parametrize("order", [1, 2, 3])
def test_it_is_the_formula(order: int) -> None:
    model = train_kneser_ney(SENTENCES, order)
    discounts = [estimate_discounts(counts.values()) for counts in adjust_counts(SENTENCES, order)]
    assert any(each != FALLBACK for each in discounts), "the sentences try nothing"
    for size in range(order):
        for context in product(["<s>", "a", "f", "e"], repeat=size):
            for word in WORDS:
                expected = math.log(probability(word, context, order))
                assert model.score(word, context) == pytest.approx(expected, rel=1e-9), (word, context)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_every_context_sums_to_1(order: int) -> None:
    model = train_kneser_ney(SENTENCES, order)
    contexts = {*model.successors, *model.backoffs, ("x",), ("b", "x"), ("d", "d", "d", "d")}
    for context in contexts:
        total = math.fsum(math.exp(model.score(word, context)) for word in WORDS)
        assert total == pytest.approx(1, abs=1e-12), context


def test_discounts_where_counts_tell_and_where_not() -> None:
    assert estimate_discounts([1] * 6 + [2] * 3 + [3] * 2 + [4]) == (0.5, 1.0, 2.0)
    assert estimate_discounts([1, 1, 2, 3, 5]) == FALLBACK
    assert estimate_discounts([1] + [2] * 9 + [3] * 9 + [4] * 200) == FALLBACK  # the third would be below 0


def test_a_text_shorter_than_the_order_has_the_orders_it_has() -> None:
    assert train_kneser_ney([["a"], []], order=5).order == 3
    assert adjust_counts([["a"]], order=5) == [{("a",): 1, ("</s>",): 1}, {("<s>", "a"): 1, ("a", "</s>"): 1},
                                               {("<s>", "a", "</s>"): 1}]  # fmt: skip


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(UserError, match="no sentences"):
        train_kneser_ney([], 2)
    with pytest.raises(UserError, match="the word <s> in the text"):
        train_kneser_ney([["a", "<s>"]], 2)
    with pytest.raises(UserError, match="order 0; expected 1 at least"):
        train_kneser_ney([["a"]], 0)


@pytest.mark.integration
def test_on_real_sentences_longer_contexts_help(real_data: Path) -> None:
    """Sentences of dev-clean, every tenth held out: of 2,703."""
    path = real_data / "librispeech" / "text" / "dev-clean.txt"
    if not path.is_file():
        pytest.skip(f"no sentences at {path}: set SPEECHKIT_DATA to a folder that has LibriSpeech's")
    sentences = [line.split()[1:] for line in path.read_text().splitlines()]
    held_out = sentences[::10]
    seen = [words for number, words in enumerate(sentences) if number % 10]
    of_words = [perplexity(train_kneser_ney(seen, order), held_out) for order in (1, 2, 3)]
    assert of_words[0] > 1.5 * of_words[1]
    assert of_words[1] > of_words[2]
    letters = [list(" ".join(words)) for words in sentences[::5]]
    of_letters = [perplexity(train_kneser_ney(letters[1::2], order), letters[::2]) for order in (1, 2, 3, 4)]
    assert all(longer < 0.9 * shorter for shorter, longer in pairwise(of_letters))
