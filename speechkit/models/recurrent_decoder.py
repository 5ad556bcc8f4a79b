"""Attention decoder with recurrent layers, of Listen, Attend and Spell."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from speechkit.models.contexts import ContentAttention, Context
from speechkit.models.layers import layers_over
from speechkit.models.recurrent_cells import RecurrentCells
from speechkit.models.token_input import TokenEmbedding, begin_with_boundary, to_log_probs
from speechkit.nnet import Dropout, HyperLinear
from speechkit.nnet.recurrent import join_directions
from speechkit.nnet.sizes import input_size_of
from speechkit.ops.search_state import State, Tree

# B utterances, K beams of each, N = B K, T frames, U tokens of a text, V tokens there are


class RecurrentDecoder(nn.Module):
    """The speller of Listen, Attend and Spell (Chan et al., 2016, equations 6 to 8).

    Recurrent layers (lstm, gru, rnn) get the last token and the last context; `context` makes what finds the
    next one in the encoded frames (B, T, input_size), given the layers' state: `ContentAttention`,
    `LocationAttention`, `MultiheadContext`, or `MeanContext`, the naive decoder without attention. A net of
    one hidden layer makes logits of state and context. Token 0 is the boundary: it begins and ends a text.
    Sizes count real values, multiples of the algebra's parts.

    >>> decoder = RecurrentDecoder(30, input_size=24, hidden_size=16)
    >>> encoded, lengths = torch.randn(2, 9, 24), torch.tensor([9, 4])
    >>> decoder(torch.ones(2, 5, dtype=torch.long), torch.tensor([5, 3]), encoded, lengths).shape
    torch.Size([2, 6, 30])
    """

    def __init__(
        self,
        n_tokens: int,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        context: Callable[..., Context] = ContentAttention,
        algebra: str = "real",
        recurrent: str = "lstm",
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        kind = layers_over(algebra)
        memory_width = input_size_of(input_shape, input_size, layer="RecurrentDecoder")
        kind.count_numbers(memory_width, "input_size")
        self.n_parts, n_hidden = kind.n_parts, kind.count_numbers(hidden_size, "hidden_size")
        self.embedding = TokenEmbedding(n_tokens, hidden_size)
        self.context: Context = context(query_width=hidden_size, memory_width=memory_width, algebra=algebra)
        n_both = n_hidden + kind.count_numbers(self.context.output_size, "context")
        self.cells = RecurrentCells(recurrent, algebra, (n_both, n_hidden), num_layers, dropout)
        hidden = HyperLinear(n_hidden, input_size=n_both, algebra=algebra)
        self.output = nn.Sequential(hidden, nn.Tanh(), Dropout(dropout), nn.Linear(hidden_size, n_tokens))

    def forward(
        self, tokens: Tensor, token_lengths: Tensor, encoded: Tensor, encoded_lengths: Tensor | None = None
    ) -> Tensor:
        """Texts (B, U), frames (B, T, W), and their true lengths (B,), to logits (B, U + 1, V)."""
        return self.output(self._read(tokens, token_lengths, encoded, encoded_lengths)[0])

    def align(
        self, tokens: Tensor, token_lengths: Tensor, encoded: Tensor, encoded_lengths: Tensor | None = None
    ) -> Tensor:
        """Where each token, and the end, looks: weights (B, U + 1, T), of sum 1."""
        return self._read(tokens, token_lengths, encoded, encoded_lengths)[1]

    def start(self, encoded: Tensor, lengths: Tensor | None = None) -> State:
        """The state before the first token of each of B utterances."""
        moving = {
            "cells": self.cells.empty(encoded),
            "context": encoded.new_zeros(len(encoded), self.context.output_size),
            "attending": self.context.start(encoded, lengths),
            "attention": encoded.new_zeros(
                encoded.shape[:2]
            ),  # the last weights (N, T), for a coverage penalty
        }
        return State(self.context.prepare(encoded, lengths), moving)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The last tokens (N,) to log-probabilities (N, V) of the next, and the state with them."""
        n_beams = len(tokens) // _count_utterances(state.fixed)
        both, _, moving = self._advance(self.embedding(tokens), state, self.cells.weights(), n_beams)
        return to_log_probs(self.output(both)), State(state.fixed, moving)

    def _read(
        self, tokens: Tensor, token_lengths: Tensor, encoded: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """States and contexts side by side (B, U + 1, .), and weights (B, U + 1, T), of given texts."""
        embedded = self.embedding(begin_with_boundary(tokens, token_lengths))
        state, matrices = self.start(encoded, lengths), self.cells.weights()
        read, looks = [], []
        for x in embedded.unbind(1):
            both, weights, moving = self._advance(x, state, matrices, 1)
            state = State(state.fixed, moving)
            read.append(both)
            looks.append(weights)
        return torch.stack(read, 1), torch.stack(looks, 1)

    def _advance(
        self, x: Tensor, state: State, matrices: list[list[Tensor]], n_beams: int
    ) -> tuple[Tensor, Tensor, Tree]:
        """One token (N, W) on: state and context (N, .), weights (N, T), and what moves."""
        both = join_directions([x, state.moving["context"]], self.n_parts)
        y, cells = self.cells(both.unsqueeze(1), state.moving["cells"], matrices)
        query = y.view(-1, n_beams, y.shape[-1])
        context, weights, attending = self.context(query, state.fixed, state.moving["attending"])
        context, weights = context.flatten(0, 1), weights.flatten(0, 1)
        moving = {"cells": cells, "context": context, "attending": attending, "attention": weights}
        return join_directions([y.squeeze(1), context], self.n_parts), weights, moving


def _count_utterances(fixed: Tree) -> int:
    """The first axis of a tree's first tensor."""
    return len(fixed) if isinstance(fixed, Tensor) else _count_utterances(fixed[0])
