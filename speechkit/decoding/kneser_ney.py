"""N-gram models from text, by interpolated modified Kneser-Ney smoothing.

Chen and Goodman, "An empirical study of smoothing techniques for language modeling", Computer Speech and
Language 13, 1999: p(w | h) = max(c(hw) - D(c(hw)), 0) / c(h.) + gamma(h) p(w | h without its first word)
with gamma(h) = (D1 N1(h.) + D2 N2(h.) + D3+ N3+(h.)) / c(h.), where N1(h.) words follow h once, and so on.
Counts at the begin of sentences, and of `<unk>`, as in Heafield et al., "Scalable modified Kneser-Ney
language model estimation", ACL 2013.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from speechkit.decoding.arpa import LN10, NEVER
from speechkit.decoding.ngram import BEGIN, END, UNKNOWN, Context, NGramModel
from speechkit.errors import UserError

Counts = dict[Context, int]


class Discounts(NamedTuple):
    """What is taken from n-grams that were counted once, twice, and more often."""

    one: float
    two: float
    more: float

    def of(self, count: int) -> float:
        """The discount of one count.

        >>> Discounts(0.5, 1.0, 1.5).of(7)
        1.5
        """
        return self[min(count, 3) - 1]


# Where counts of counts do not tell, as of characters, which all are frequent (KenLM's --discount_fallback).
FALLBACK = Discounts(0.5, 1.0, 1.5)


def train_kneser_ney(sentences: Iterable[Sequence[str]], order: int) -> NGramModel:
    """A model of all n-grams of the sentences, none cut off.

    It knows the words of the text, `</s>` and `<unk>`, which share what is taken from single words equally:
    `<unk>` has no more than that.

    >>> model = train_kneser_ney([["a", "b"], ["a", "a"]], order=2)
    >>> sum(math.exp(model.score(word, ["a"])) for word in ["a", "b", "</s>", "<unk>"])
    1.0
    """
    counts = adjust_counts(sentences, order)
    vocabulary = [*(word for (word,) in counts[0]), UNKNOWN]
    uniform = -math.log(len(vocabulary))
    model = NGramModel({(): dict.fromkeys(vocabulary, uniform)}, {})
    for of_order in counts:
        successors, backoffs = _interpolate(of_order, estimate_discounts(of_order.values()), model)
        model = NGramModel({**model.successors, **successors}, {**model.backoffs, **backoffs})
    single = model.successors[()]
    single[UNKNOWN] = model.backoffs.pop(()) + uniform
    single[BEGIN] = NEVER * LN10
    return model


def adjust_counts(sentences: Iterable[Sequence[str]], order: int) -> list[Counts]:
    """Counts of n-grams, of orders 1 to `order`, as Kneser and Ney take them.

    Of the highest order how often an n-gram occurs; of others before how many different words it does. An
    n-gram that begins with `<s>`, before which nothing stands, is counted as often as it occurs; `<s>` alone,
    which is never predicted, is not.

    >>> adjust_counts([["a", "a"]], order=2)[0]
    {('a',): 2, ('</s>',): 1}
    """
    if order < 1:
        raise UserError(f"order {order}", expected="1 at least", key="order")
    counts: list[Counter[Context]] = [Counter() for _ in range(order)]
    for words in sentences:
        for word in words:
            if word in (BEGIN, END, UNKNOWN):
                raise UserError(
                    f"the word {word} in the text", expected="none that stands for something else"
                )
        whole = (BEGIN, *words, END)
        counts[-1].update(whole[n : n + order] for n in range(len(whole) - order + 1))
        for size in range(2, min(order, len(whole) + 1)):
            counts[size - 1][whole[:size]] += 1
    if not any(counts):
        raise UserError("the text has no sentences", expected="one at least")
    for size in range(order - 1, 0, -1):
        counts[size - 1].update(ngram[1:] for ngram in counts[size])
    del counts[0][BEGIN,]
    return [dict(each) for each in counts if each]


def estimate_discounts(counts: Iterable[int]) -> Discounts:
    """Discounts from the numbers n1 to n4 of n-grams counted once to four times (Chen and Goodman, 1999).

    With Y = n1 / (n1 + 2 n2): D1 = 1 - 2 Y n2 / n1, D2 = 2 - 3 Y n3 / n2, D3+ = 3 - 4 Y n4 / n3.
    `FALLBACK` where some count from 1 to 4 never occurs, or they tell of a discount that is below 0 or
    above its count.

    >>> estimate_discounts([1] * 8 + [2] * 4 + [3] * 2 + [4])
    Discounts(one=0.5, two=1.25, more=2.0)
    """
    often = Counter(counts)
    n = [often[count] for count in range(5)]
    if not all(n[1:]):
        return FALLBACK
    share = n[1] / (n[1] + 2 * n[2])
    found = [count - (count + 1) * share * n[count + 1] / n[count] for count in (1, 2, 3)]
    if any(not 0 <= discount <= count for count, discount in enumerate(found, start=1)):
        return FALLBACK
    return Discounts(*found)


def _interpolate(
    counts: Counts, discounts: Discounts, lower: NGramModel
) -> tuple[dict[Context, dict[str, float]], dict[Context, float]]:
    """Scores of the n-grams of an order and weights of their contexts, over the model of the lower orders."""
    by_context: defaultdict[Context, list[tuple[str, int]]] = defaultdict(list)
    for ngram, count in counts.items():
        by_context[ngram[:-1]].append((ngram[-1], count))
    successors, backoffs = {}, {}
    for context, listed in by_context.items():
        total = sum(count for _, count in listed)
        gamma = sum(discounts.of(count) for _, count in listed) / total
        backoffs[context] = math.log(gamma) if gamma else NEVER * LN10
        successors[context] = {
            word: math.log(
                (count - discounts.of(count)) / total + gamma * math.exp(lower.score(word, context[1:]))
            )
            for word, count in listed
        }
    return successors, backoffs
