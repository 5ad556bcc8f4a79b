"""The grammar of `speechkit synth librispeech`, written once more: all forms of a sentence with their odds.

A form is a list of kinds of words; a word that is no kind stands for itself.
"""

import math
from collections import Counter
from itertools import product

from speechkit.data.sentences import WORDS

Form = tuple[str, ...]
Odds = dict[Form, float]


def mix(*parts: tuple[float, Odds]) -> Odds:
    """One of several, each with its probability."""
    forms: Counter[Form] = Counter()
    for weight, odds in parts:
        for form, probability in odds.items():
            forms[form] += weight * probability
    return dict(forms)


def join(*parts: Odds | str) -> Odds:
    """One after another."""
    sides = [{(part,): 1.0} if isinstance(part, str) else part for part in parts]
    joined: Counter[Form] = Counter()
    for chosen in product(*(side.items() for side in sides)):
        joined[tuple(word for form, _ in chosen for word in form)] += math.prod(odds for _, odds in chosen)
    return dict(joined)


def noun(kind: str) -> Odds:
    return {("determiner", kind): 0.6, ("determiner", "adjective", kind): 0.4}


SOMEONE = mix((0.25, {("name",): 1.0}), (0.75, noun("animate")))
SEVERAL: Odds = {("number", "plural"): 1.0}
SOMETHING = mix((0.2, SEVERAL), (0.8, noun("thing")))
WHERE = join("near", noun("place"))
CLAUSE = mix(
    (0.3, join(SOMEONE, "acted", SOMETHING)),
    (0.2, join(SOMEONE, "moved", WHERE)),
    (0.1, join(SOMEONE, "moved", "manner")),
    (0.15, join(SOMEONE, "was", {(): 0.5, ("very",): 0.5}, "adjective")),
    (0.15, join(SOMEONE, "acted", SOMETHING, WHERE)),
    (0.1, join(SEVERAL, "were", WHERE)),
)
SENTENCE = mix(
    (0.15, join(CLAUSE, "joined", CLAUSE)),
    (0.15, join("time", CLAUSE)),
    (0.15, join("name", "said", "that", CLAUSE)),
    (0.55, CLAUSE),
)
ODDS = {kind: {word: n / len(words) for word, n in Counter(words).items()} for kind, words in WORDS.items()}


def log_probability(words: list[str]) -> float:
    """Natural log of the probability of a sentence: the sum over all forms that it has."""
    total = 0.0
    for form, odds in SENTENCE.items():
        if len(form) == len(words):
            for kind, word in zip(form, words, strict=True):
                odds *= ODDS[kind].get(word, 0.0) if kind in ODDS else float(kind == word)
            total += odds
    return math.log(total)
