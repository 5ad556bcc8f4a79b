"""Multi-head attention over an algebra: to itself, to another sequence, and step by step with a cache."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet.hyper_linear import HyperLinear
from speechkit.nnet.hyper_weight import algebra_of, count_numbers
from speechkit.nnet.positions import check_even, rotate
from speechkit.nnet.relative_positions import RelativePositions
from speechkit.nnet.sizes import check_positive, check_probability
from speechkit.ops.lengths import is_padded, length_mask

# B batch, T frames, n parts, H heads, D numbers of a head, Q queries, K keys


class KeysValues(NamedTuple):
    """What is attended to, (B, H, K, n D) each."""

    keys: Tensor
    values: Tensor


class HyperMultiheadAttention(nn.Module):
    """Attention (Vaswani et al., 2017) of numbers: (B, T, n F) to the same shape, F = H D.

    Queries, keys, values and the output are products of the algebra. A frame's weights are real and sum to 1:
    the softmax of the real parts of sum_d conj(q_d) k_d / sqrt(n D), which is the inner product of all parts.
    So multiplying all numbers of the input by one unit from the right does the same to the output (without
    biases). Padding is not attended to; `causal` looks at no later frame.

    `positions`: `rotary` (Su et al., 2021) or `relative` (Dai et al., 2019); without them the order of frames
    is not seen. Called, it is self-attention; `attend` looks at what `project` made of another sequence, of
    `memory_size` numbers, and `step` adds one token to the keys and values of those before it.

    >>> import torch
    >>> HyperMultiheadAttention(2, input_shape=(3, 7, 16), algebra="complex")(torch.zeros(3, 7, 16)).shape
    torch.Size([3, 7, 16])
    """

    own_algebra: str | None = None

    def __init__(
        self,
        n_heads: int,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        dropout: float = 0.0,
        causal: bool = False,
        bias: bool = True,
        positions: str | None = None,
        memory_size: int | None = None,
        algebra: str | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_positive(name, n_heads=n_heads)
        check_probability(name, dropout=dropout)
        kind = algebra_of(self, algebra)
        self.n_heads, self.dropout, self.causal = n_heads, dropout, causal
        n_numbers = count_numbers(kind, input_shape, input_size, layer=name)
        if n_numbers % n_heads:
            raise UserError(
                f"{name}: {n_numbers} numbers in {n_heads} heads", expected="a multiple of the heads"
            )
        self.n_parts = kind.n_parts
        sizes = {"query": n_numbers, "key": memory_size, "value": memory_size, "output": n_numbers}
        self.query, self.key, self.value, self.output = (
            HyperLinear(n_numbers, input_size=size or n_numbers, bias=bias, algebra=kind.name)
            for size in sizes.values()
        )
        self.is_rotary = _is_rotary(name, positions, kind.n_parts * n_numbers // n_heads)
        self.relative = RelativePositions(n_heads, n_numbers, kind.name) if positions == "relative" else None

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, n F), true lengths (B,) in frames, to the same shape."""
        own, query = self.project(x), self._heads(self.query(x))
        if self.is_rotary:
            own, query = own._replace(keys=rotate(own.keys)), rotate(query)
        return self._weigh(query, own, memory_mask(lengths, x), self.causal)

    def project(self, memory: Tensor) -> KeysValues:
        """Keys and values of a sequence (B, K, n M), computed once however often it is attended to."""
        return KeysValues(self._heads(self.key(memory)), self._heads(self.value(memory)))

    def attend(self, x: Tensor, memory: KeysValues, mask: Tensor | None = None) -> Tensor:
        """Queries (B, Q, n F) to `memory`, where `mask` (see `memory_mask`) is true; same shape.

        Queries do not see each other: they may be tokens of one text, or beams at one token.
        """
        return self._weigh(self._heads(self.query(x)), memory, mask, False)

    def weights(self, x: Tensor, memory: KeysValues, mask: Tensor | None = None) -> Tensor:
        """What `attend` weighs the values by, (B, H, Q, K), but for dropout: to look at."""
        query = self._heads(self.query(x))
        scores = query @ memory.keys.transpose(2, 3) * query.shape[-1] ** -0.5
        return (scores if mask is None else scores.masked_fill(~mask, float("-inf"))).softmax(-1)

    def empty(self, x: Tensor) -> KeysValues:
        """The cache of no token, for rows as in `x` (B, ...)."""
        n_values = self.query.input_size // self.n_heads
        return KeysValues(*(x.new_zeros(len(x), self.n_heads, 0, n_values) for _ in range(2)))

    def step(self, x: Tensor, before: KeysValues) -> tuple[Tensor, KeysValues]:
        """The next token (N, 1, n F) of self-attention, and the cache with it; `before` stays as it is."""
        query, new = self._heads(self.query(x)), self.project(x)
        if self.is_rotary:
            position = before.keys.shape[2]
            query, new = rotate(query, position), new._replace(keys=rotate(new.keys, position))
        cache = KeysValues(*(torch.cat(pair, 2) for pair in zip(before, new, strict=True)))
        return self._weigh(query, cache, None, False), cache

    def _weigh(self, query: Tensor, memory: KeysValues, mask: Tensor | None, causal: bool) -> Tensor:
        """Queries (B, H, Q, n D) to the output (B, Q, n F)."""
        if self.relative is not None:
            query, bias = self.relative(query, memory.keys.shape[2])
            allowed = _with_causal(mask, bias) if causal else mask
            mask, causal = bias if allowed is None else bias.masked_fill(~allowed, float("-inf")), False
        elif causal and mask is not None:
            mask, causal = _with_causal(mask, memory.keys.new_empty(query.shape[2], query.shape[2])), False
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(
            query, memory.keys, memory.values, attn_mask=mask, dropout_p=dropout, is_causal=causal
        )
        numbers = attended.unflatten(-1, (self.n_parts, -1))  # (B, H, Q, n, D)
        return self.output(numbers.permute(0, 2, 3, 1, 4).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, n H D) to (B, H, T, n D)."""
        numbers = x.unflatten(-1, (self.n_parts, self.n_heads, -1))
        return numbers.permute(0, 3, 1, 2, 4).flatten(3)


class MultiheadAttention(HyperMultiheadAttention):
    """`HyperMultiheadAttention` of real numbers: Vaswani et al.'s own.

    >>> import torch
    >>> MultiheadAttention(2, input_shape=(3, 7, 16), positions="rotary")(torch.zeros(3, 7, 16)).shape
    torch.Size([3, 7, 16])
    """

    own_algebra = "real"


class CMultiheadAttention(HyperMultiheadAttention):
    """`HyperMultiheadAttention` of complex numbers."""

    own_algebra = "complex"


class QMultiheadAttention(HyperMultiheadAttention):
    """`HyperMultiheadAttention` of quaternions."""

    own_algebra = "quaternion"


def memory_mask(lengths: Tensor | None, memory: Tensor) -> Tensor | None:
    """True at the true frames of (B, K, ...), as (B, 1, 1, K); None where all are true.

    The first frame counts as true even where there is none, so that weights are defined.
    """
    if lengths is None or not is_padded(lengths, memory.shape[1]):
        return None
    return length_mask(lengths.clamp_min(1), memory.shape[1]).to(memory.device)[:, None, None]


def _with_causal(mask: Tensor | None, like: Tensor) -> Tensor:
    """`mask`, and no later frame, for scores (..., Q, Q) as in `like`."""
    earlier = torch.ones(like.shape[-2:], dtype=torch.bool, device=like.device).tril()
    return earlier if mask is None else mask & earlier


def _is_rotary(layer: str, positions: str | None, n_values: int) -> bool:
    if positions not in (None, "rotary", "relative"):
        raise UserError(f"{layer}: positions is {positions!r}", expected="rotary, relative or null")
    if positions == "rotary":
        check_even(n_values)
    return positions == "rotary"
