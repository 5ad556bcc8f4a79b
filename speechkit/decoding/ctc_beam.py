"""CTC prefix beam search: the texts of the highest summed probability, not the most probable path.

Hannun, Maas, Jurafsky, Ng: First-pass large vocabulary continuous speech recognition using bi-directional
recurrent DNNs, 2014.

A beam holds prefixes of texts, each with the summed probability of the paths that have written it so far and
end with a blank, or with its last token. A frame leaves a prefix as it is, or adds a token to it. What that
gives may be a prefix that the beam holds already: then their paths are summed. Prefixes are told apart by a
hash of 64 bits, so all utterances and prefixes are lengthened, compared and merged at once.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechkit.decoding.blank_frames import clear_padding, merge_blanks
from speechkit.decoding.hypothesis import Hypothesis
from speechkit.decoding.prefix_scores import PrefixScores
from speechkit.decoding.scorers import Scorer
from speechkit.errors import UserError
from speechkit.ops.alignment import forced_align, token_spans

BLANK = 0
NOTHING, EMPTY = 1, 2  # hashes: of what is before the empty prefix, and of that
FACTORS = (-7046029254386353131, -4658895280553007687, -7723592293110705685)  # odd: products lose no bit
FACTOR = 6364136223846793005  # a hash is FACTOR times that of the tokens before, plus the last one's code
CHUNK = 2**24  # values of log-probabilities that are aligned at once

# B utterances, K prefixes of each, T frames, V tokens with the blank, C tokens tried at a frame, R results


class CTCBeam:
    """For each utterance the texts of the highest score, of those that a prefix beam search meets.

    A score is the log of the summed probability of a text's paths (those that the beam kept), plus that of
    other scorers (language models), their end included, plus `length_bonus` a token. The frames of a result
    are where its tokens begin on its most probable path.

    beam_size: K prefixes go on at each frame. If there are no more prefixes than that, scores are exact.
    n_best: results of each utterance; fewer where there are no more.
    length_bonus: nats a token.
    n_tokens: how many tokens, the most probable of a frame, may lengthen a prefix. By default all, of which
        without other scorers `beam_size + 1` are as good as all.
    blank_skip: frames with a blank at least as probable are taken for blanks of that probability, and take
        next to no time; 1: none. Worth it for a trained model, whose frames are mostly such, at 0.99 say.

    >>> log_probs = torch.tensor([[[0.6, 0.4], [0.55, 0.45]]]).log()  # blank, a; best path: empty
    >>> [found] = CTCBeam(n_best=2)(log_probs, torch.tensor([2]))
    >>> [(each.tokens, each.frames, round(each.score, 4)) for each in found]  # log(0.67), log(0.33)
    [([1], [1], -0.4005), ([], [], -1.1087)]
    """

    def __init__(
        self,
        beam_size: int = 10,
        n_best: int = 1,
        length_bonus: float = 0.0,
        n_tokens: int | None = None,
        blank_skip: float = 1.0,
    ) -> None:
        for key, size in (("beam_size", beam_size), ("n_best", n_best), ("n_tokens", n_tokens)):
            if size is not None and size < 1:
                raise UserError(f"{key} {size}", expected="at least 1", key=key)
        if not 0 < blank_skip <= 1:
            found = f"blank_skip {blank_skip}"
            raise UserError(found, expected="a probability above 0, at most 1", key="blank_skip")
        self.beam_size, self.n_best, self.length_bonus = beam_size, n_best, length_bonus
        self.n_tokens, self.blank_skip = n_tokens, blank_skip

    @torch.no_grad()
    def __call__(
        self, log_probs: Tensor, lengths: Tensor, scorers: Sequence[Scorer] = ()
    ) -> list[list[Hypothesis]]:
        """The results of each utterance, best first; an empty text of score -inf if none is possible.

        log_probs: (B, T, V), normalised over V; token 0 is the blank, for other scorers the end.
        lengths: (B,) true frames; what lies behind does not matter.
        scorers: language models; those of weight 0 are not asked.
        """
        lengths = lengths.to(log_probs.device)
        log_probs = clear_padding(log_probs.double(), lengths)
        others = [
            PrefixScores(scorer, len(lengths), self.beam_size, lengths.device)
            for scorer in scorers
            if scorer.weight
        ]
        frames = merge_blanks(log_probs, self.blank_skip)
        scores, history = self._search(frames, others)
        scores, order = scores.topk(min(self.n_best, self.beam_size), 1)
        texts = _read_texts(history, order)
        return _make_hypotheses(texts, scores, log_probs, lengths)

    def _search(
        self, frames: Tensor, others: list[PrefixScores]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Scores (B, K) of the last prefixes; and of each frame whence each prefix came, with which token."""
        n_most = frames.shape[2] - 1
        n_tried = min(self.n_tokens or n_most, n_most if others else self.beam_size + 1, n_most)
        tried_scores, tried = frames[..., 1:].topk(n_tried, sorted=False)
        tried_scores += 0 if others else self.length_bonus
        prefixes, history = start_prefixes(frames, self.beam_size, self.length_bonus), []
        choice = Choice(self.beam_size, n_tried, frames.shape[2], frames.device)
        tried = F.pad(tried + 1, (0, 1))  # a column more: no token
        for emission, values, columns in zip(
            frames.unbind(1), tried_scores.unbind(1), tried.unbind(1), strict=True
        ):
            tokens = columns[:, :-1]
            extra = self._score_by_others(others, tokens)
            grown = lengthen(prefixes, emission, values, tokens, extra)
            prefixes, parents, added = choice(prefixes, grown, columns, extra)
            for scorer in others:
                scorer.advance(parents, added)
            history.append((parents, added))
        return sum((scorer.ended() for scorer in others), prefixes.total), history

    def _score_by_others(self, others: list[PrefixScores], tokens: Tensor) -> Tensor | None:
        """What others than CTC, and the bonus, add to each prefix for tokens (B, C), (B, K, C)."""
        if not others:
            return None
        return torch.stack([each.following(tokens) for each in others]).sum(0) + self.length_bonus


class Prefixes(NamedTuple):
    """The beam of each utterance, (B, K).

    What other scorers say of a token, and its bonus, is added to all paths when they first write it.
    """

    total: Tensor  # log of the summed probability of all paths
    blank: Tensor  # of those that end with a blank
    token: Tensor  # and of those that end with the prefix's last token
    gain: Tensor  # what others than CTC added for that token
    last: Tensor  # that token; the blank if there is none
    key: Tensor  # hash of the tokens
    parent: Tensor  # hash of all but the last


class Grown(NamedTuple):
    """The scores of what a frame makes of the prefixes: as they were (B, K), a token longer (B, K, C)."""

    blank: Tensor  # as they were, ended with a blank now
    token: Tensor  # or with their last token
    longer: Tensor


def start_prefixes(frames: Tensor, beam_size: int, gain: float) -> Prefixes:
    """The empty prefix, and others that no path writes, for log-probabilities (B, T, V)."""
    none = frames.new_full((len(frames), beam_size), -torch.inf)
    blank = none.clone()
    blank[:, 0] = 0
    last = torch.full_like(none, BLANK, dtype=torch.int64)
    key, parent = torch.full_like(last, EMPTY), torch.full_like(last, NOTHING)
    return Prefixes(blank, blank, none, torch.full_like(none, gain), last, key, parent)


def lengthen(
    prefixes: Prefixes, emission: Tensor, values: Tensor, tokens: Tensor, extra: Tensor | None
) -> Grown:
    """A frame more: its scores (B, V), those of tokens (B, C) that may be added, and what others add."""
    total, last = prefixes.total, prefixes.last
    blank_of, total_of, last_of = prefixes.blank.unsqueeze(2), total.unsqueeze(2), last.unsqueeze(2)
    # A prefix's last token is added to it again only after a blank.
    is_last = last_of == tokens.unsqueeze(1)
    longer = torch.where(is_last, blank_of, total_of).add_(values.unsqueeze(1))
    if extra is not None:
        longer += extra
    # Where prefix j is prefix i and a token more, the paths that lengthen i are j's. What no path writes any
    # more has no paths to take.
    parent = prefixes.parent.where(total > -torch.inf, NOTHING)
    is_child = prefixes.key.unsqueeze(2) == parent.unsqueeze(1)  # B, i, j
    ready = torch.where(last_of == last.unsqueeze(1), blank_of, total_of)
    joining = torch.where(is_child, ready, -torch.inf).amax(1).add_(prefixes.gain)
    is_held = is_child.to(values.dtype) @ is_last.to(values.dtype)
    return Grown(
        total + emission[:, :1],
        torch.logaddexp(prefixes.token, joining).add_(emission.gather(1, last)),
        longer.masked_fill_(is_held > 0, -torch.inf),
    )


class Choice:
    """Takes the best of K prefixes as they were and of K C longer ones, for the next beam."""

    def __init__(self, beam_size: int, n_tried: int, n_tokens: int, device: torch.device) -> None:
        beams = torch.arange(beam_size, device=device)
        columns = torch.arange(n_tried, device=device)
        # By place among the K + K C: the prefix it comes from, and the column of its token; C: none.
        self._parents = torch.cat([beams, beams.repeat_interleave(n_tried)])
        self._columns = torch.cat([torch.full_like(beams, n_tried), columns.repeat(beam_size)])
        self._codes = mix(torch.arange(n_tokens, device=device))

    def __call__(
        self, prefixes: Prefixes, grown: Grown, tokens: Tensor, extra: Tensor | None
    ) -> tuple[Prefixes, Tensor, Tensor]:
        """The next beam, whence each of its prefixes came, (B, K), and the token added (0: none).

        tokens: (B, C + 1), those that may be added, and 0.
        """
        as_they_were = torch.logaddexp(grown.blank, grown.token)
        total, chosen = torch.cat([as_they_were, grown.longer.flatten(1)], 1).topk(as_they_were.shape[1], 1)
        parents = self._parents.take(chosen)
        added = tokens.gather(1, self._columns.take(chosen))
        is_longer = added > 0
        key = prefixes.key.gather(1, parents)
        gain = prefixes.gain
        if extra is not None:
            gain = torch.cat([gain, extra.flatten(1)], 1).gather(1, chosen)
        return (
            Prefixes(
                total,
                grown.blank.gather(1, parents).masked_fill_(is_longer, -torch.inf),
                torch.where(is_longer, total, grown.token.gather(1, parents)),
                gain,
                torch.where(is_longer, added, prefixes.last.gather(1, parents)),
                torch.where(is_longer, torch.add(self._codes.take(added), key, alpha=FACTOR), key),
                torch.where(is_longer, key, prefixes.parent.gather(1, parents)),
            ),
            parents,
            added,
        )


def mix(numbers: Tensor) -> Tensor:
    """Whole numbers to 64 bits that look random (SplitMix: Steele, Lea, Flood, 2014)."""
    mixed = (numbers + 1) * FACTORS[0]
    mixed = (mixed ^ (mixed >> 30)) * FACTORS[1]
    mixed = (mixed ^ (mixed >> 27)) * FACTORS[2]
    return mixed ^ (mixed >> 31)


def _read_texts(history: list[tuple[Tensor, Tensor]], order: Tensor) -> list[list[list[int]]]:
    """The tokens of the prefixes `order` (B, R) of the last beam, followed back to the first frame."""
    added_at = [order[:, :, None][..., :0]]
    for parents, added in reversed(history):
        added_at.append(added.gather(1, order).unsqueeze(2))
        order = parents.gather(1, order)
    columns = torch.cat(added_at, 2).flip(2).tolist()
    return [[[token for token in row if token] for row in rows] for rows in columns]


def _make_hypotheses(
    texts: list[list[list[int]]], scores: Tensor, log_probs: Tensor, lengths: Tensor
) -> list[list[Hypothesis]]:
    """Texts with scores (B, R) above minus infinity, and the frames at which their tokens begin."""
    rows, ranks = (scores > -torch.inf).nonzero(as_tuple=True)
    found: list[list[Hypothesis]] = [[] for _ in texts]
    per_chunk = max(1, CHUNK // max(1, log_probs[:1].numel()))
    for part, rank in zip(rows.split(per_chunk), ranks.split(per_chunk), strict=True):
        tokens = [texts[row][place] for row, place in zip(part.tolist(), rank.tolist(), strict=True)]
        if not tokens:
            break
        longest = max(map(len, tokens))
        padded = torch.tensor([text + [BLANK] * (longest - len(text)) for text in tokens], dtype=torch.int64)
        sizes = torch.tensor([len(text) for text in tokens])
        spans = token_spans(*forced_align(log_probs[part], lengths[part], padded, sizes), lengths[part])
        fields = zip(part.tolist(), tokens, spans, scores[part, rank].tolist(), strict=True)
        for row, text, places, score in fields:
            found[row].append(Hypothesis(text, [each.start for each in places], score))
    return [results or [Hypothesis([], [], -math.inf)] for results in found]
