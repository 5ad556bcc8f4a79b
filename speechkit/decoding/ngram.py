"""N-gram language models that back off: what an ARPA file holds."""

import math
from collections.abc import Iterable, Sequence

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
# Of unknown words where a model has no <unk>, as KenLM takes it: log10 p = -100.
NO_UNKNOWN = -100 * math.log(10)

Context = tuple[str, ...]


class NGramModel:
    """Probabilities of words after words, by the longest context that was seen (Katz, 1987).

    log p(w | h) is the score of hw where there is one; else the weight of h, or 0 where it has none, plus
    log p(w | h without its first word). All logs are natural.

    successors: {context: {word: log-probability}}; a context is a tuple of words, () holds single words.
    backoffs: {context: log-weight}.

    >>> half = math.log(0.5)
    >>> model = NGramModel({(): {"a": half, "</s>": half}, ("a",): {"a": 2 * half}}, {("a",): half})
    >>> model.order, model.score("a", ["a"]) / half, model.score("</s>", ["a"]) / half
    (2, 2.0, 2.0)
    """

    def __init__(self, successors: dict[Context, dict[str, float]], backoffs: dict[Context, float]) -> None:
        self.successors, self.backoffs = successors, backoffs
        self.order = 1 + max(len(context) for context in successors)

    @property
    def words(self) -> list[str]:
        """All words but `<s>`, `</s>` and `<unk>`."""
        return [word for word in self.successors[()] if word not in (BEGIN, END, UNKNOWN)]

    def known(self, word: str) -> str:
        """The word, or `<unk>`."""
        return word if word in self.successors[()] else UNKNOWN

    def score(self, word: str, context: Sequence[str] = ()) -> float:
        """log p(word | context); of the context, which may be longer, the last order - 1 words count."""
        word = self.known(word)
        seen = tuple(map(self.known, context[max(0, len(context) - self.order + 1) :]))
        weight = 0.0
        while True:
            listed = self.successors.get(seen)
            if listed is not None and word in listed:
                return weight + listed[word]
            if not seen:
                return weight + NO_UNKNOWN
            weight += self.backoffs.get(seen, 0.0)
            seen = seen[1:]

    def score_sentence(self, words: Sequence[str]) -> float:
        """log p of the words and of the sentence's end, after its beginning."""
        whole = [BEGIN, *words, END]
        return sum(self.score(whole[n], whole[max(0, n - self.order + 1) : n]) for n in range(1, len(whole)))

    def shorten(self, context: Context) -> Context:
        """The longest end of a context that matters to the next word."""
        context = tuple(map(self.known, context[max(0, len(context) - self.order + 1) :]))
        while context and context not in self.successors and context not in self.backoffs:
            context = context[1:]
        return context


def perplexity(model: NGramModel, sentences: Iterable[Sequence[str]]) -> float:
    """exp of the mean of -log p over words and sentence ends; unknown words count as `<unk>`.

    >>> coin = NGramModel({(): {"a": math.log(0.5), "</s>": math.log(0.5)}}, {})
    >>> round(perplexity(coin, [["a"], ["a", "a"]]), 6)
    2.0
    """
    total, n_words = 0.0, 0
    for words in sentences:
        total += model.score_sentence(words)
        n_words += len(words) + 1
    return math.exp(-total / n_words) if n_words else math.nan
