"""Beam search over the steps of an attention decoder and other scorers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from speechkit.decoding.hypothesis import Hypothesis
from speechkit.decoding.scorers import Scorer, add_scores, only_end
from speechkit.errors import UserError
from speechkit.ops.search_state import select_beams, select_utterances, start_beams

# B utterances, K beams of each, N = B K rows ordered by utterance, V tokens with the boundary (0), R results


class AttentionBeam:
    """For each utterance the texts of the highest score, of those that a beam search meets.

    A score is the scorers' weighted sum over the tokens and the end, plus `length_bonus` a token. All
    utterances and beams take a step together; an utterance leaves when no beam can beat its results.

    beam_size: K texts go on at each step; a text that ends has taken the place of one that goes on.
    n_best: results of each utterance.
    max_ratio, min_ratio: tokens of a text over encoded frames; at most these, then it must end.
    length_bonus: nats a token, against the preference for short texts.
    end_threshold: a text may end only where the first scorer's log-probability of the end is above this many
        times that of its best token (Hannun et al., 2019, 3.1.2; 1.5 there), or nothing else can follow. Both
        without what takes the same from all tokens (`with_coverage`).
    margin: a beam that is this many nats behind the last result is given up though its score may still rise,
        by bonuses, by a scorer that `may_rise` or has a weight below 0. Else scores only fall, and the search
        stops as soon as nothing can change.

    >>> from speechkit.ops.search_state import State
    >>> table = torch.tensor([[0.0, 0.6, 0.4], [0.5, 0.3, 0.2], [0.9, 0.1, 0.0]]).log()  # by the last token
    >>> scorer = Scorer(lambda tokens, state: (table[tokens], state), State(None, None))
    >>> [found] = AttentionBeam(beam_size=3, n_best=2)([scorer], torch.tensor([9]))
    >>> [(each.tokens, round(each.score, 4)) for each in found]
    [([2], -1.0217), ([1], -1.204)]
    """

    def __init__(
        self,
        beam_size: int = 10,
        n_best: int = 1,
        max_ratio: float = 1.0,
        min_ratio: float = 0.0,
        length_bonus: float = 0.0,
        end_threshold: float | None = None,
        margin: float = 20.0,
    ) -> None:
        for key, size in (("beam_size", beam_size), ("n_best", n_best)):
            if size < 1:
                raise UserError(f"{key} {size}", expected="at least 1", key=key)
        if not 0 <= min_ratio <= max_ratio:
            found = f"min_ratio {min_ratio} and max_ratio {max_ratio}"
            raise UserError(found, expected="0 <= min_ratio <= max_ratio", key="min_ratio")
        self.beam_size, self.n_best = beam_size, n_best
        self.max_ratio, self.min_ratio = max_ratio, min_ratio
        self.length_bonus, self.end_threshold, self.margin = length_bonus, end_threshold, margin

    @torch.no_grad()
    def __call__(self, scorers: Sequence[Scorer], lengths: Tensor) -> list[list[Hypothesis]]:
        """The results of each utterance, best first, at least one: an empty text of score -inf if none ended.

        scorers: the first is the attention decoder, if there is one; those of weight 0 are not asked.
        lengths: (B,) encoded frames, on the scorers' device.
        """
        scorers = [scorer for scorer in scorers if scorer.weight]
        if not scorers:
            raise UserError("no scorer has a weight", expected="at least one", key="scorers")
        states = [start_beams(scorer.state, self.beam_size) for scorer in scorers]
        beams, written = self._start(lengths), _Written(len(lengths), self.n_best)
        tokens = torch.zeros(len(lengths) * self.beam_size, dtype=torch.long, device=lengths.device)
        for step in range(int(beams.most.max()) + 1):
            log_probs, first, states = add_scores(scorers, tokens, states)
            beams, parents, chosen = self._advance(beams, step, log_probs, first)
            written.add(beams.utterance, parents, chosen)
            is_over = self._is_over(beams, step, any(each.may_rise or each.weight < 0 for each in scorers))
            rows = parents + torch.arange(len(parents), device=parents.device).unsqueeze(1) * self.beam_size
            if is_over.any():
                written.finish(beams, is_over)
                going = (~is_over).nonzero().squeeze(1)
                if not len(going):
                    break
                beams = _Beams(*(each.index_select(0, going) for each in beams))
                rows, chosen = rows.index_select(0, going), chosen.index_select(0, going)
                states = [select_utterances(state, going, rows.flatten()) for state in states]
            else:
                states = [select_beams(state, rows.flatten()) for state in states]
            tokens = chosen.flatten()
        return written.read()

    def _start(self, lengths: Tensor) -> "_Beams":
        """One beam of each utterance lives: the others would be its copies."""
        scores = torch.full(
            (len(lengths), self.beam_size), -torch.inf, dtype=torch.float64, device=lengths.device
        )
        scores[:, 0] = 0
        best = scores.new_full((len(lengths), self.n_best), -torch.inf)
        return _Beams(
            torch.arange(len(lengths), device=lengths.device),
            (lengths * self.min_ratio).ceil().long().minimum(most := (lengths * self.max_ratio).long()),
            most,
            scores,
            best,
            torch.zeros_like(best, dtype=torch.long),
        )

    def _advance(
        self, beams: "_Beams", step: int, log_probs: Tensor, first: Tensor
    ) -> tuple["_Beams", Tensor, Tensor]:
        """The best K of all beams with all tokens, from which beam each came, and its token, (B, K)."""
        n_tokens = log_probs.shape[-1]
        scores = beams.scores.unsqueeze(-1) + log_probs.view(*beams.scores.shape, n_tokens)
        scores[..., 1:] += self.length_bonus
        is_last = (beams.most <= step).unsqueeze(1)
        may_end = (beams.least <= step).unsqueeze(1)
        if self.end_threshold is not None:
            first = first.log_softmax(-1)  # a penalty for coverage, the same for all tokens, is no part of it
            likely = first[:, 0] > self.end_threshold * first[:, 1:].amax(-1)
            only_choice = is_last | (scores[..., 1:].amax(-1) == -torch.inf)
            may_end = may_end & (likely.view_as(beams.scores) | only_choice)
        scores[..., 0].masked_fill_(~may_end, -torch.inf)
        scores, index = only_end(scores, is_last).flatten(1).topk(self.beam_size)
        parents, tokens = index // n_tokens, index % n_tokens
        has_ended = tokens == 0
        candidates = torch.cat([beams.best, scores.where(has_ended, -torch.inf)], 1)
        slots = torch.arange(self.beam_size, device=index.device) + step * self.beam_size
        best, kept = candidates.topk(self.n_best)
        where = torch.cat([beams.where, slots.expand_as(index)], 1).gather(1, kept)
        scores = scores.masked_fill(has_ended, -torch.inf)
        return beams._replace(scores=scores, best=best, where=where), parents, tokens

    def _is_over(self, beams: "_Beams", step: int, may_rise: bool) -> Tensor:
        """Whether no beam of an utterance (B,) can come to be among its results."""
        leading = beams.scores.amax(1)
        bonus = torch.inf if may_rise else max(self.length_bonus, 0)
        rise = (bonus * (beams.most - step - 1).clamp_min(1).double()).clamp_max(self.margin)
        return (leading == -torch.inf) | (leading + rise <= beams.best[:, -1])


class _Beams(NamedTuple):
    """The utterances that are still searched; first axis B."""

    utterance: Tensor  # its number in the batch
    least: Tensor  # tokens
    most: Tensor
    scores: Tensor  # (B, K), -inf for a beam that has ended
    best: Tensor  # (B, R) scores of the texts that have ended, best first, -inf where there is none yet
    where: Tensor  # (B, R) the step at which they ended times K, plus the beam


class _Written:
    """What the beams wrote at each step, and where the results ended."""

    def __init__(self, n_utterances: int, n_best: int) -> None:
        self.results: list[tuple[list[float], list[int]]] = [([], [])] * n_utterances
        self.steps: list[Tensor] = []
        self.n_best = n_best

    def add(self, utterance: Tensor, parents: Tensor, tokens: Tensor) -> None:
        step = parents.new_zeros(len(self.results), *parents.shape[1:], 2)
        self.steps.append(step.index_copy_(0, utterance, torch.stack([parents, tokens], -1)))

    def finish(self, beams: _Beams, is_over: Tensor) -> None:
        found = (beams.utterance, beams.best, beams.where)
        for utterance, best, where in zip(*(each[is_over].tolist() for each in found), strict=True):
            self.results[utterance] = best, where

    def read(self) -> list[list[Hypothesis]]:
        """The results, read backwards from where they ended."""
        steps = torch.stack(self.steps, 1).tolist()
        n_beams = self.steps[0].shape[1]
        found = []
        for of_utterance, (best, where) in zip(steps, self.results, strict=True):
            ended = [(score, end) for score, end in zip(best, where, strict=True) if score > -torch.inf]
            texts = [
                Hypothesis(_backwards(of_utterance, *divmod(end, n_beams)), None, score)
                for score, end in ended
            ]
            found.append(texts or [Hypothesis([], None, -torch.inf)])
        return found


def _backwards(steps: list[list[list[int]]], step: int, beam: int) -> list[int]:
    """The tokens of the text that ended at this step in this beam, without its end."""
    tokens = []
    beam = steps[step][beam][0]
    for parents in reversed(steps[:step]):
        beam, token = parents[beam]
        tokens.append(token)
    return tokens[::-1]
