"""A scorer of the next token, asked for prefixes that grow at different times."""

import torch
from torch import Tensor

from speechkit.decoding.scorers import Scorer
from speechkit.ops.search_state import State, Tree, map_tree, repeat_rows, select_rows

# B utterances, K prefixes of each, N = B K rows ordered by utterance, V tokens with the end (0), C of them


class PrefixScores:
    """What a scorer says of the tokens that may follow each prefix of a beam.

    In a search along frames some prefixes stay while others grow: a step is taken for those that grow. States
    that grow with the tokens (a Transformer's caches) are kept apart by the number of tokens, as states of
    different sizes are no rows of one tensor.
    """

    def __init__(self, scorer: Scorer, n_utterances: int, beam_size: int, device: torch.device) -> None:
        self._scorer, self._shape = scorer, (n_utterances, beam_size)
        start = torch.zeros(n_utterances, dtype=torch.int64, device=device)
        log_probs, state = scorer.step(start, scorer.state)
        self._next = repeat_rows(self._weighted(log_probs), beam_size)  # N, V
        self._states: dict[int, Tree] = {0: repeat_rows(state.moving, beam_size)}
        self._lengths = start.repeat_interleave(beam_size)
        self._grows: bool | None = None  # not known before the second step

    def _weighted(self, log_probs: Tensor) -> Tensor:
        return log_probs.double() * self._scorer.weight

    def following(self, tokens: Tensor) -> Tensor:
        """Weighted log-probabilities of tokens (B, C) after each prefix, (B, K, C)."""
        return self._next.view(*self._shape, -1).gather(2, tokens.unsqueeze(1).expand(-1, self._shape[1], -1))

    def ended(self) -> Tensor:
        """Weighted log-probabilities of the end after each prefix, (B, K)."""
        return self._next[:, 0].view(self._shape)

    def advance(self, parents: Tensor, added: Tensor) -> None:
        """Each prefix (B, K) is now one of before, by its place in the beam, and a token more; 0: none."""
        first = torch.arange(len(parents), device=parents.device).unsqueeze(1) * self._shape[1]
        rows, tokens = (parents + first).flatten(), added.flatten()
        self._next, self._lengths = self._next[rows], self._lengths[rows]
        self._states = {length: select_rows(tree, rows) for length, tree in self._states.items()}
        growing = tokens.nonzero().squeeze(1)
        if len(growing):
            self._take_steps(growing, tokens)

    def _take_steps(self, growing: Tensor, tokens: Tensor) -> None:
        """A step for the rows `growing` (M,), a call for each number of tokens if states depend on that."""
        lengths = self._lengths[growing]
        if self._grows is False:
            self._take_step(0, growing, tokens)
        else:
            for length in lengths.unique().tolist():
                self._take_step(length, growing[lengths == length], tokens)
        self._lengths[growing] += 1
        if self._grows:
            in_use = set(self._lengths.unique().tolist())
            self._states = {length: tree for length, tree in self._states.items() if length in in_use}

    def _take_step(self, length: int, rows: Tensor, tokens: Tensor) -> None:
        # Each row comes as an utterance of its own: what is fixed is repeated for it.
        fixed = select_rows(self._scorer.state.fixed, rows // self._shape[1])
        before = select_rows(self._states[length], rows)
        log_probs, state = self._scorer.step(tokens[rows], State(fixed, before))
        self._next[rows] = self._weighted(log_probs)
        if self._grows is None:
            self._grows = [each.shape for each in leaves(before)] != [
                each.shape for each in leaves(state.moving)
            ]
        place = length + 1 if self._grows else length
        if place not in self._states:
            n_rows = len(tokens)
            self._states[place] = map_tree(lambda x: x.new_zeros(n_rows, *x.shape[1:]), state.moving)
        for kept, new in zip(leaves(self._states[place]), leaves(state.moving), strict=True):
            kept[rows.to(kept.device)] = new


def leaves(tree: Tree) -> list[Tensor]:
    """The tensors of a tree, in order.

    >>> leaves({"a": (torch.tensor(1), None), "b": [torch.tensor(2)]})
    [tensor(1), tensor(2)]
    """
    found: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        found.append(x)
        return x

    map_tree(keep, tree)
    return found
