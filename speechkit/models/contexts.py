"""What a recurrent decoder gets to hear of an utterance, given its state: attentions, and a plain mean.

Each is made by `(query_width=, memory_width=, algebra=)`, real widths, and knows its `output_size`.
`prepare(encoded, lengths)` computes what is fixed for an utterance, `start(encoded, lengths)` what moves from
token to token (first axis B); `forward(query, fixed, moving)` takes the states (B, K, W) of K beams, or of K
tokens where nothing moves, to their contexts (B, K, C), weights (B, K, T) and what moves on (first axis B K).
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.models.layers import layers_over
from speechkit.nnet import HyperLinear, HyperMultiheadAttention
from speechkit.nnet.hyper_attention import KeysValues, memory_mask
from speechkit.nnet.sizes import check_positive
from speechkit.ops.lengths import mask_padding
from speechkit.ops.search_state import Tree

# B utterances, K beams of each, T frames, W query, M memory, E attention space


class Memory(NamedTuple):
    """Frames (B, T, M), what is computed of them, and the mask of the true ones or None."""

    values: Tensor
    keys: Tensor | KeysValues
    mask: Tensor | None


class Context(Protocol):
    """What every one of them offers."""

    output_size: int

    def prepare(self, encoded: Tensor, lengths: Tensor | None) -> Tree:
        """What is fixed for an utterance."""

    def start(self, encoded: Tensor, lengths: Tensor | None) -> Tree:
        """What moves, before the first token."""

    def __call__(self, query: Tensor, fixed: Tree, moving: Tree) -> tuple[Tensor, Tensor, Tree]:
        """Contexts, weights, and what moves on."""


class ContentAttention(nn.Module):
    """Content-based attention (Chan et al., 2016, equations 9 to 11): the inner product of phi(s) and psi(h).

    phi of the decoder's state and psi of the frames are nets of one hidden layer over the algebra, to `size`
    real values; the product is divided by the root of `size`.
    """

    def __init__(
        self, size: int = 128, *, query_width: int, memory_width: int, algebra: str = "real"
    ) -> None:
        super().__init__()
        n_values = layers_over(algebra).count_numbers(size, "size")
        self.query = _perceptron(algebra, query_width, n_values)
        self.key = _perceptron(algebra, memory_width, n_values)
        self.output_size = memory_width

    def prepare(self, encoded: Tensor, lengths: Tensor | None) -> Memory:
        """Frames (B, T, M) and psi of them."""
        return _remember(encoded, lengths, self.key)

    def start(self, encoded: Tensor, lengths: Tensor | None) -> Tree:
        """Nothing moves."""
        return None

    def forward(self, query: Tensor, fixed: Memory, moving: Tree) -> tuple[Tensor, Tensor, Tree]:
        """(B, K, W) to contexts (B, K, M) and weights (B, K, T)."""
        keys = fixed.keys
        assert isinstance(keys, Tensor)
        scores = self.query(query) @ keys.transpose(1, 2) * keys.shape[-1] ** -0.5
        weights = _softmax(scores, fixed.mask)
        return weights @ fixed.values, weights, moving


class LocationAttention(nn.Module):
    """Location-aware attention (Chorowski et al., 2015, equations 8 and 9).

    A frame's score is w tanh(W s + V h + U f + b) with f what `n_filters` of `kernel_size` frames see of the
    weights at the token before, at first equal for all frames. W and V are products over the algebra, to
    `size` real values.
    """

    def __init__(
        self,
        size: int = 128,
        n_filters: int = 10,
        kernel_size: int = 101,
        *,
        query_width: int,
        memory_width: int,
        algebra: str = "real",
    ) -> None:
        super().__init__()
        check_positive("LocationAttention", n_filters=n_filters, kernel_size=kernel_size)
        kind = layers_over(algebra)
        n_values = kind.count_numbers(size, "size")
        self.query = HyperLinear(n_values, input_shape=(query_width,), bias=False, algebra=algebra)
        self.key = HyperLinear(n_values, input_shape=(memory_width,), algebra=algebra)
        self.filters = nn.Conv1d(1, n_filters, kernel_size, bias=False)
        self.zeros = ((kernel_size - 1) // 2, kernel_size // 2)
        self.location = nn.Linear(n_filters, size, bias=False)
        self.score = nn.Linear(size, 1, bias=False)
        self.output_size = memory_width

    def prepare(self, encoded: Tensor, lengths: Tensor | None) -> Memory:
        """Frames (B, T, M) and V h."""
        return _remember(encoded, lengths, self.key)

    def start(self, encoded: Tensor, lengths: Tensor | None) -> Tree:
        """The weights (B, T) before the first token."""
        zeros = encoded.new_zeros(encoded.shape[0], 1, encoded.shape[1])
        return _softmax(zeros, memory_mask(lengths, encoded)).squeeze(1)

    def forward(self, query: Tensor, fixed: Memory, moving: Tree) -> tuple[Tensor, Tensor, Tree]:
        """(B, K, W), weights (B K, T) of the token before, to contexts (B, K, M) and weights (B, K, T)."""
        keys = fixed.keys
        assert isinstance(keys, Tensor)
        seen = self.filters(F.pad(moving.unsqueeze(1), self.zeros)).transpose(1, 2)  # (B K, T, filters)
        located = self.location(seen).unflatten(0, query.shape[:2])
        hidden = torch.tanh(self.query(query).unsqueeze(2) + keys.unsqueeze(1) + located)
        weights = _softmax(self.score(hidden).squeeze(-1), fixed.mask)
        return weights @ fixed.values, weights, weights.flatten(0, 1)


class MultiheadContext(nn.Module):
    """Multi-head attention (Vaswani et al., 2017) over the algebra, with the decoder's state as the query."""

    def __init__(
        self, n_heads: int = 4, *, query_width: int, memory_width: int, algebra: str = "real"
    ) -> None:
        super().__init__()
        count = layers_over(algebra).count_numbers
        self.attention = HyperMultiheadAttention(
            n_heads,
            input_size=count(query_width, "hidden_size"),
            memory_size=count(memory_width, "input_size"),
            algebra=algebra,
        )
        self.output_size = query_width

    def prepare(self, encoded: Tensor, lengths: Tensor | None) -> Memory:
        """Keys and values of frames (B, T, M)."""
        return _remember(encoded, lengths, self.attention.project)

    def start(self, encoded: Tensor, lengths: Tensor | None) -> Tree:
        """Nothing moves."""
        return None

    def forward(self, query: Tensor, fixed: Memory, moving: Tree) -> tuple[Tensor, Tensor, Tree]:
        """(B, K, W) to contexts (B, K, W), and the weights (B, K, T) as the mean over heads."""
        assert isinstance(fixed.keys, KeysValues)
        context = self.attention.attend(query, fixed.keys, fixed.mask)
        return context, self.attention.weights(query, fixed.keys, fixed.mask).mean(1), moving


class MeanContext(nn.Module):
    """The mean of the frames whatever the state: no attention, the baseline that shows what it is for."""

    def __init__(self, *, query_width: int, memory_width: int, algebra: str = "real") -> None:
        super().__init__()
        self.output_size = memory_width

    def prepare(self, encoded: Tensor, lengths: Tensor | None) -> Tree:
        """Weights (B, 1, T), equal for all true frames, and the mean (B, 1, M)."""
        encoded = mask_padding(encoded, lengths)
        weights = _softmax(
            encoded.new_zeros(len(encoded), 1, encoded.shape[1]), memory_mask(lengths, encoded)
        )
        return weights, weights @ encoded

    def start(self, encoded: Tensor, lengths: Tensor | None) -> Tree:
        """Nothing moves."""
        return None

    def forward(self, query: Tensor, fixed: Tree, moving: Tree) -> tuple[Tensor, Tensor, Tree]:
        """(B, K, W) to the mean (B, K, M) and weights (B, K, T)."""
        weights, mean = (each.expand(-1, query.shape[1], -1) for each in fixed)
        return mean, weights, moving


def _perceptron(algebra: str, width: int, n_values: int) -> nn.Sequential:
    hidden = HyperLinear(n_values, input_shape=(width,), algebra=algebra)
    return nn.Sequential(hidden, nn.Tanh(), HyperLinear(n_values, input_size=n_values, algebra=algebra))


def _remember(
    encoded: Tensor, lengths: Tensor | None, keys: Callable[[Tensor], Tensor | KeysValues]
) -> Memory:
    encoded = mask_padding(encoded, lengths)
    return Memory(encoded, keys(encoded), memory_mask(lengths, encoded))


def _softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Over the true frames of (B, K, T); `mask` is (B, 1, 1, T)."""
    return (scores if mask is None else scores.masked_fill(~mask[:, 0], float("-inf"))).softmax(-1)
