"""What a report tells of a search: all by which its texts may differ from those of another."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from speechkit.data import CharacterTokenizer
from speechkit.decoding import (
    AttentionBeam,
    CTCBeam,
    CTCSearch,
    GreedySearch,
    Heard,
    JointSearch,
    RescoredSearch,
    Scorer,
    WordNGramScorer,
)
from speechkit.decoding.arpa import format_arpa
from speechkit.decoding.changes import tell_changes
from speechkit.decoding.kneser_ney import train_kneser_ney
from speechkit.errors import UserError
from speechkit.ops.search_state import State

GREEDY = "greedy: the likeliest token at each frame (CTC), or, without CTC, at each step"


@pytest.mark.parametrize(
    ("search", "told"),
    [
        (GreedySearch(), GREEDY),
        (GreedySearch(max_ratio=2), f"{GREEDY}, max_ratio 2"),
        (CTCSearch(CTCBeam(7)), "CTC prefix beam search, 7 beams"),
        (
            CTCSearch(CTCBeam(7, 3, 0.5, n_tokens=20, blank_skip=0.9999999)),
            "CTC prefix beam search, 7 beams, bonus of 0.5 a token, n_tokens 20, blank_skip 0.9999999",
        ),
        (JointSearch(AttentionBeam(n_best=4)), "beam search, 10 beams, attention 0.7, CTC 0.3"),
        (
            JointSearch(AttentionBeam(5, 1, 1.5, 0.25, end_threshold=2, margin=9.0), coverage_penalty=0.5),
            "beam search, 5 beams, max_ratio 1.5, min_ratio 0.25, end_threshold 2, margin 9, "
            "attention 0.7, CTC 0.3, coverage penalty 0.5",
        ),
    ],
)
def test_what_is_not_as_by_default_is_told(search: GreedySearch | CTCSearch | JointSearch, told: str) -> None:
    assert search.describe() == told
    if not isinstance(search, GreedySearch):
        search.beam.n_best = 2
        lm = WordNGramScorer("none.arpa", CharacterTokenizer("ab "))  # not asked
        rescored = RescoredSearch(search, lm, lm_weight=0)
        assert rescored.describe() == f"{told}; 2 results rescored"


def test_so_is_a_language_model(tmp_path: Path) -> None:
    path = tmp_path / "words.arpa"
    sentences = [["a"], ["b"], ["a", "b"]]
    path.write_text("".join(format_arpa(train_kneser_ney(sentences, 2))))
    tokenizer = CharacterTokenizer("ab ")
    usual = WordNGramScorer(str(path), tokenizer)
    other = WordNGramScorer(str(path), tokenizer, look_ahead=False, unknown=-2.5)
    assert other.describe() == f"{usual.describe()}, look_ahead False, unknown -2.5"


def test_attributes_of_no_argument_and_arguments_without_default_are_not_told() -> None:
    class Part:
        def __init__(self, needed: str, size: int = 3, kind: str | None = None) -> None:
            self.needed, self.size, self.kind, self.made = needed, size, kind, 7

    assert tell_changes(Part("it")) == ""
    assert tell_changes(Part("it", 4, "big")) == ", size 4, kind big"
    assert tell_changes(Part("it", 4, "big"), told=["size"]) == ", kind big"


@pytest.mark.parametrize(("max_ratio", "n_tokens"), [(1.0, 3), (0.5, 1), (2, 6), (3.5, 8)])
def test_the_greedy_search_cuts_where_it_is_told_to(max_ratio: float, n_tokens: int) -> None:
    """Of a decoder that writes eight tokens in three frames."""

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        n = state.moving
        ends = torch.full_like(n, 0.1).where(n < 8, 0.9).unsqueeze(1)
        return torch.cat([ends, 1 - ends], 1).log(), State(None, n + 1)

    scorer = Scorer(step, State(None, torch.zeros(1)))
    [[found]] = GreedySearch(max_ratio)(Heard(None, torch.tensor([3]), scorer))
    assert found.tokens == [1] * n_tokens


@pytest.mark.parametrize("wrong", [-1, "2", None, math.inf])
def test_a_ratio_is_a_number(wrong: object) -> None:
    with pytest.raises(UserError, match=r"max_ratio: max_ratio .*; expected a number from 0 on"):
        GreedySearch(wrong)  # type: ignore[arg-type]
