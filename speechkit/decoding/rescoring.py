"""N-best lists in another order, by scores that a search could not afford."""

from collections.abc import Sequence

import torch

from speechkit.decoding.hypothesis import Hypothesis
from speechkit.decoding.scorers import Step
from speechkit.ops.search_state import State

BOUNDARY = 0


def rescore(
    n_best: Sequence[Hypothesis], lm_scores: Sequence[float], gamma: float, length_bonus: float = 0.0
) -> list[Hypothesis]:
    """The hypotheses of one utterance by `score + gamma * lm + length_bonus * n_tokens`, the best first.

    n_best: with acoustic scores, natural log. lm_scores: one each, natural log of the whole text.
    Of equal scores the earlier stays before.

    >>> heard = [Hypothesis([1], [0], -1.0), Hypothesis([1, 2], [0, 3], -1.5)]
    >>> [(each.tokens, each.score) for each in rescore(heard, [-4.0, -2.0], gamma=0.5, length_bonus=0.25)]
    [([1, 2], -2.0), ([1], -2.75)]
    """
    rescored = [
        hypothesis._replace(score=hypothesis.score + gamma * lm + length_bonus * len(hypothesis.tokens))
        for hypothesis, lm in zip(n_best, lm_scores, strict=True)
    ]
    return sorted(rescored, key=lambda hypothesis: -hypothesis.score)


def score_tokens(
    step: Step, state: State, texts: Sequence[Sequence[int]], device: torch.device | str = "cpu"
) -> list[float]:
    """Natural log of the probability of whole texts, their ends included.

    step: `(tokens (N,), state) -> (log_probs (N, V), state)` of a language model; state: the first, of
        N = len(texts) rows. device: of the tokens that it gets.

    >>> even = torch.full((2, 4), 0.25).log()
    >>> score_tokens(lambda tokens, state: (even, state), State(None, None), [[1], [3, 2, 1]])
    [-2.772..., -5.545...]
    """
    lengths = [len(text) for text in texts]
    totals = torch.zeros(len(texts), dtype=torch.float64)
    before = torch.full((len(texts),), BOUNDARY)
    for position in range(max(lengths, default=-1) + 1):
        log_probs, state = step(before.to(device), state)
        now = torch.tensor([text[position] if position < len(text) else BOUNDARY for text in texts])
        counts = torch.tensor([position <= length for length in lengths])
        scores = log_probs.gather(1, now[:, None].to(log_probs.device))[:, 0].double().cpu()
        totals += scores.where(counts, 0.0)
        before = now
    return totals.tolist()
