"""N-best lists in the order that a language model gives them: a second pass over what a search has found."""

from collections.abc import Sequence
from itertools import islice

import torch

from speechkit.decoding.hypothesis import Hypothesis
from speechkit.decoding.rescoring import rescore, score_tokens
from speechkit.decoding.searches import (
    CTCSearch,
    Heard,
    JointSearch,
    LanguageModel,
    check_lm,
    check_number,
    name_lm,
)
from speechkit.errors import UserError

N_TOGETHER = 64  # texts that are scored at once: the memory of a network grows with each of their tokens


class RescoredSearch:
    """The results of another search, put in order anew by a language model that reads whole texts.

    For a model that would be asked too often within the search: here once a token of each result. A text's
    score is that of the search, plus `lm_weight` times the natural log of the text's probability, its end
    included, plus `length_bonus` nats a token.

    search: its beam's `n_best`, 2 at least, says among how many texts is chosen; no others are found.
        It may have a language model of its own.
    """

    weights = ("lm_weight", "length_bonus")

    def __init__(
        self,
        search: CTCSearch | JointSearch,
        lm: LanguageModel,
        lm_weight: float = 0.5,
        length_bonus: float = 0.0,
    ) -> None:
        _check_search(search)
        if lm is None:
            raise UserError("no language model", do="give lm, or take the search alone", key="lm")
        check_lm(lm)
        check_number(lm_weight, "lm_weight", low=0)
        check_number(length_bonus, "length_bonus")
        self.search, self.lm, self.lm_weight, self.length_bonus = search, lm, lm_weight, length_bonus

    @property
    def needs(self) -> tuple[str, ...]:
        """What the model must have."""
        return self.search.needs

    @torch.no_grad()
    def __call__(self, heard: Heard) -> list[list[Hypothesis]]:
        """The results of each utterance, best first."""
        lists = self.search(heard)
        texts = [each.tokens for results in lists for each in results]
        scores = iter(self._score(texts, heard.lengths.device))
        return [
            rescore(results, list(islice(scores, len(results))), self.lm_weight, self.length_bonus)
            for results in lists
        ]

    def describe(self) -> str:
        """For a report."""
        bonus = f", bonus of {self.length_bonus:g} a token" if self.length_bonus else ""
        lm = f" with {name_lm(self.lm)} {self.lm_weight:g}" if self.lm_weight else ""
        return f"{self.search.describe()}; {self.search.beam.n_best} results rescored{lm}{bonus}"

    def _score(self, texts: Sequence[Sequence[int]], device: torch.device) -> list[float]:
        """Natural log of the probability of each text of all utterances; a weight of 0 asks for none."""
        if not self.lm_weight:
            return [0.0] * len(texts)
        scores: list[float] = []
        for begin in range(0, len(texts), N_TOGETHER):
            some = texts[begin : begin + N_TOGETHER]
            scores += score_tokens(self.lm.step, self.lm.start(len(some)), some, device)
        return scores


def _check_search(search: object) -> None:
    if not isinstance(search, (CTCSearch, JointSearch)):
        found = f"the search is a {type(search).__name__}"
        raise UserError(found, expected="CTCSearch or JointSearch", key="search")
    if search.beam.n_best < 2:
        found = f"n_best {search.beam.n_best}: of one result nothing can be chosen"
        do = "give the beam more: n_best: 10"
        raise UserError(found, expected="2 at least", do=do, key="search.beam.n_best")
