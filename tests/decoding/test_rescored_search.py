"""N-best lists put in order anew, beside the same by hand."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from speechkit.decoding import (
    AttentionBeam,
    CTCBeam,
    CTCSearch,
    GreedySearch,
    Heard,
    Hypothesis,
    JointSearch,
    RescoredSearch,
)
from speechkit.errors import UserError
from speechkit.ops.search_state import State

N_TOKENS = 4
WEIGHT, BONUS = 1.3, 0.4


class Bigrams:
    """A language model that is a table, and counts its steps."""

    may_rise = False

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(2)
        table = torch.randn(N_TOKENS, N_TOKENS, generator=generator, dtype=torch.float64)
        self.table, self.n_steps = (2 * table).log_softmax(-1), 0

    def start(self, n_rows: int) -> State:
        return State(None, torch.zeros(n_rows))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        self.n_steps += 1
        return self.table[tokens], state

    def score(self, text: list[int]) -> float:
        """By hand: from the begin to the end."""
        return sum(float(self.table[before, after]) for before, after in pairwise([0, *text, 0]))


@pytest.fixture
def heard() -> Heard:
    generator = torch.Generator().manual_seed(1)
    log_probs = torch.randn(3, 5, N_TOKENS, generator=generator, dtype=torch.float64).log_softmax(-1)
    return Heard(log_probs, torch.tensor([5, 2, 4]), None)


def take(heard: Heard, row: int) -> Heard:
    """One utterance, without padding."""
    assert heard.log_probs is not None
    length = heard.lengths[row : row + 1]
    return Heard(heard.log_probs[row : row + 1, : int(length)], length, None)


SEARCHES = {
    "CTC": CTCSearch(CTCBeam(8, n_best=6)),
    "CTC prefixes": JointSearch(AttentionBeam(8, n_best=6), ctc_weight=1.0),
    "CTC with a model of its own": CTCSearch(CTCBeam(8, n_best=6, length_bonus=0.2), Bigrams(), 0.3),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_it_is_what_one_computes_by_hand(name: str, heard: Heard) -> None:
    lm, inner = Bigrams(), SEARCHES[name]
    lists, before = RescoredSearch(inner, lm, WEIGHT, BONUS)(heard), inner(heard)
    assert lm.n_steps == 1 + max(len(each.tokens) for found in before for each in found), "one batch of all"
    for found, results in zip(lists, before, strict=True):
        expected = [
            (each.score + WEIGHT * lm.score(each.tokens) + BONUS * len(each.tokens), each.tokens, each.frames)
            for each in results
        ]
        expected.sort(reverse=True)
        assert [(each.tokens, each.frames) for each in found] == [each[1:] for each in expected]
        assert [each.score for each in found] == pytest.approx([each[0] for each in expected], rel=1e-12)
    assert [found[0].tokens for found in lists] != [found[0].tokens for found in before], "it has a say"


def test_an_utterance_gets_in_a_batch_what_it_gets_alone(heard: Heard) -> None:
    search = RescoredSearch(CTCSearch(CTCBeam(8, n_best=6)), Bigrams(), WEIGHT, BONUS)
    for row, found in enumerate(search(heard)):
        (alone,) = search(take(heard, row))
        assert [(each.tokens, each.frames) for each in found] == [
            (each.tokens, each.frames) for each in alone
        ]
        assert [each.score for each in found] == pytest.approx([each.score for each in alone], rel=1e-9)


def test_many_results_are_scored_some_at_a_time(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a network whose memory grows with each token of each text: no more of them than stated."""
    started = []

    class Growing(Bigrams):
        def start(self, n_rows: int) -> State:
            started.append(n_rows)
            return State(None, torch.zeros(n_rows, 0, dtype=torch.int64))

        def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
            written = torch.cat([state.moving, tokens.unsqueeze(1)], 1)
            return self.table[written].sum(1).log_softmax(-1), State(None, written)

    search = RescoredSearch(CTCSearch(CTCBeam(8, n_best=6)), Growing(), WEIGHT, BONUS)
    expected = search(heard)
    monkeypatch.setattr("speechkit.decoding.rescored_search.N_TOGETHER", 5)
    for found, results in zip(search(heard), expected, strict=True):
        assert [each.tokens for each in found] == [each.tokens for each in results]
        assert [each.score for each in found] == pytest.approx([each.score for each in results], rel=1e-12)
    n_texts = sum(map(len, expected))
    assert started == [n_texts] + [5] * (n_texts // 5) + [n_texts % 5] * (n_texts % 5 > 0)


def test_without_weight_all_stays_and_the_model_is_not_asked(heard: Heard) -> None:
    lm, inner = Bigrams(), CTCSearch(CTCBeam(8, n_best=6))
    assert RescoredSearch(inner, lm, lm_weight=0)(heard) == inner(heard)
    assert lm.n_steps == 0


def test_an_utterance_that_says_nothing_keeps_its_one_result() -> None:
    """No text is possible where the probabilities are none; the others are put in order."""
    log_probs = torch.full((1, 2, N_TOKENS), -torch.inf)
    search = RescoredSearch(CTCSearch(CTCBeam(4, n_best=4)), Bigrams())
    assert search(Heard(log_probs, torch.tensor([2]), None)) == [[Hypothesis([], [], -torch.inf)]]


def test_it_tells_what_it_does() -> None:
    inner = CTCSearch(CTCBeam(8, n_best=6))
    assert RescoredSearch(inner, Bigrams(), 0.7, -0.5).describe() == (
        "CTC prefix beam search, 8 beams; 6 results rescored with Bigrams 0.7, bonus of -0.5 a token"
    )
    joint = JointSearch(AttentionBeam(8, n_best=6), ctc_weight=0.3)
    assert RescoredSearch(joint, Bigrams()).needs == joint.needs == ("decoder", "ctc")


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match=r"search\.beam\.n_best: n_best 1: .*expected 2 at least"):
        RescoredSearch(CTCSearch(CTCBeam(8)), Bigrams())
    with pytest.raises(UserError, match="the search is a GreedySearch; expected CTCSearch or JointSearch"):
        RescoredSearch(GreedySearch(), Bigrams())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="lm: no language model"):
        RescoredSearch(CTCSearch(CTCBeam(8, n_best=2)), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["0.5", None, True, -0.1, float("inf"), float("nan")])
@pytest.mark.parametrize("key", ["lm_weight", "coverage_penalty", "ctc_weight"])
def test_weights_are_numbers_from_0_on(key: str, wrong: object) -> None:
    with pytest.raises(UserError, match=f"{key}: {key} .*; expected a number from 0"):
        JointSearch(AttentionBeam(), **{key: wrong})
    if key == "lm_weight":
        with pytest.raises(UserError, match=r"lm_weight: lm_weight .*; expected a number from 0 on"):
            CTCSearch(CTCBeam(), lm_weight=wrong)  # type: ignore[arg-type]


def test_a_language_model_can_be_asked() -> None:
    with pytest.raises(UserError, match=r"lm: lm is a str; expected decoding\.WordNGramScorer"):
        CTCSearch(CTCBeam(), "words.arpa")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="lm: lm is a str"):
        JointSearch(AttentionBeam(), 0.3, "words.arpa")  # type: ignore[arg-type]
