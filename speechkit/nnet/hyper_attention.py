"""Multi-head self-attention over an algebra."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet.hyper_linear import HyperLinear
from speechkit.nnet.hyper_weight import algebra_of, count_numbers
from speechkit.nnet.sizes import check_positive, check_probability
from speechkit.ops.lengths import is_padded, length_mask

# B batch, T frames, n parts, H heads, D numbers of a head


class HyperMultiheadAttention(nn.Module):
    """Self-attention (Vaswani et al., 2017) of numbers: (B, T, n F) to the same shape, F = H D.

    Queries, keys, values and the output are products of the algebra. A frame's weights are real and sum to 1:
    the softmax of the real parts of sum_d conj(q_d) k_d / sqrt(n D), which is the inner product of all parts.
    So multiplying all numbers of the input by one unit from the right does the same to the output (without
    biases). Padding is not attended to; `causal` looks at no later frame.

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
        self.query, self.key, self.value, self.output = (
            HyperLinear(n_numbers, input_size=n_numbers, bias=bias, algebra=kind.name) for _ in range(4)
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, n F), true lengths (B,) in frames, to the same shape."""
        query, key, value = (self._heads(layer(x)) for layer in (self.query, self.key, self.value))
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=self._mask(x, lengths),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal and not is_padded(lengths, x.shape[1]),
        )
        numbers = attended.unflatten(-1, (self.n_parts, -1))  # (B, H, T, n, D)
        return self.output(numbers.permute(0, 2, 3, 1, 4).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, n H D) to (B, H, T, n D)."""
        numbers = x.unflatten(-1, (self.n_parts, self.n_heads, -1))
        return numbers.permute(0, 3, 1, 2, 4).flatten(3)

    def _mask(self, x: Tensor, lengths: Tensor | None) -> Tensor | None:
        """True where a frame may look: (B, 1, 1, T) or (B, 1, T, T)."""
        if lengths is None or not is_padded(lengths, x.shape[1]):
            return None
        mask = length_mask(lengths.clamp_min(1), x.shape[1]).to(x.device)[:, None, None]
        return mask & mask.new_ones(x.shape[1], x.shape[1]).tril() if self.causal else mask


class CMultiheadAttention(HyperMultiheadAttention):
    """`HyperMultiheadAttention` of complex numbers."""

    own_algebra = "complex"


class QMultiheadAttention(HyperMultiheadAttention):
    """`HyperMultiheadAttention` of quaternions."""

    own_algebra = "quaternion"
