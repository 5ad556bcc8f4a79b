"""What tells a search how good each next token is, and how several such scores are added."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from speechkit.errors import UserError
from speechkit.ops.search_state import State

# B utterances, K beams of each, N = B K rows ordered by utterance, T frames, V tokens with the boundary (0)
Step = Callable[[Tensor, State], tuple[Tensor, State]]


class Scorer(NamedTuple):
    """One part of a score: an attention decoder, a CTC prefix score, a language model.

    step: tokens (N,), the last of each row (0, the boundary, at first), and a state to the log-probability
        of each next token (N, V), of which 0 is the end, and the next state.
    state: that of B utterances, before the first step.
    weight: factor of its log-probabilities in the sum.
    may_rise: whether it may give more than 0, as one that takes back what it took before (look-ahead).
    """

    step: Step
    state: State
    weight: float = 1.0
    may_rise: bool = False


def add_scores(
    scorers: Sequence[Scorer], tokens: Tensor, states: Sequence[State]
) -> tuple[Tensor, Tensor, list[State]]:
    """The weighted sum of the log-probabilities (N, V) in float64, those of the first scorer, next states.

    >>> even = lambda tokens, state: (torch.full((len(tokens), 4), 0.25).log(), state)
    >>> scorers = [Scorer(even, State(None, None), 0.5), Scorer(even, State(None, None), 1.5)]
    >>> total, first, states = add_scores(scorers, torch.tensor([0]), [each.state for each in scorers])
    >>> [round(each.exp()[0, 3].item(), 4) for each in (total, first)]
    [0.0625, 0.25]
    """
    found = [scorer.step(tokens, state) for scorer, state in zip(scorers, states, strict=True)]
    first = found[0][0].double()
    total = scorers[0].weight * first
    for scorer, (log_probs, _) in zip(scorers[1:], found[1:], strict=True):
        total = total.add(log_probs, alpha=scorer.weight)
    return total, first, [state for _, state in found]


def with_coverage(scorer: Scorer, penalty: float, threshold: float = 0.5) -> Scorer:
    """The scorer, less a penalty for listening to the same frames again: a guard against loops.

    The attention that a frame has had over all steps, beyond `threshold`, costs `penalty` nats a unit (after
    See, Liu, Manning, 2017). A step's cost is due with the token that it gives. The scorer's state must hold
    its last step's attention as `state.moving["attention"]`, (N, T), as that of a `RecurrentDecoder` does.
    """
    if not isinstance(scorer.state.moving, Mapping) or "attention" not in scorer.state.moving:
        found = "a coverage penalty for a decoder that does not tell its attention"
        raise UserError(found, expected="a recurrent decoder", do="leave the penalty out")

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        inner, before = state.moving
        log_probs, after = scorer.step(tokens, State(state.fixed, inner))
        attention = after.moving["attention"]
        covered = attention if before is None else before + attention
        cost = (covered - threshold).clamp_min(0).sum(-1)
        if before is not None:
            cost = cost - (before - threshold).clamp_min(0).sum(-1)
        return log_probs - penalty * cost.unsqueeze(-1), State(after.fixed, (after.moving, covered))

    return scorer._replace(step=step, state=State(scorer.state.fixed, (scorer.state.moving, None)))


def only_end(log_probs: Tensor, is_last: Tensor) -> Tensor:
    """Log-probabilities (..., V) with -inf for all but the end where `is_last` (...)."""
    real = torch.arange(log_probs.shape[-1], device=log_probs.device) > 0
    return log_probs.masked_fill(is_last.unsqueeze(-1) & real, -torch.inf)
