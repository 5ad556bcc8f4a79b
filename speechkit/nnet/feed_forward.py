"""The part of a Transformer that sees one frame at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechkit.nnet.dropout import Dropout
from speechkit.nnet.hyper_linear import HyperLinear
from speechkit.nnet.hyper_weight import algebra_of, count_numbers
from speechkit.ops.feed_forward import feed_forward

LARGE = 1 << 22  # values of the hidden layer, 16 MB of float32: from here on memory is what takes time


class FeedForward(nn.Module):
    """W_2 f(W_1 x + b_1) + b_2 at each frame (Vaswani et al., 2017): (B, T, n F) to the same shape.

    Sizes count numbers of the `algebra`; `activation` acts on each part.

    >>> import torch
    >>> FeedForward(64, input_shape=(2, 7, 16), algebra="quaternion")(torch.zeros(2, 7, 16)).shape
    torch.Size([2, 7, 16])
    """

    def __init__(
        self,
        hidden_size: int,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        dropout: float = 0.0,
        activation: nn.Module | None = None,
        algebra: str = "real",
    ) -> None:
        super().__init__()
        kind = algebra_of(self, algebra)
        n_numbers = count_numbers(kind, input_shape, input_size, layer="FeedForward")
        self.hidden = HyperLinear(hidden_size, input_size=n_numbers, algebra=kind.name)
        self.activation = nn.ReLU() if activation is None else activation
        self.drop = Dropout(dropout)
        self.output = HyperLinear(n_numbers, input_size=hidden_size, algebra=kind.name)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n F) to the same shape."""
        if self._is_large(x):
            assert self.hidden.bias is not None
            assert self.output.bias is not None
            hidden = self.hidden.weight.matrix(), self.hidden.bias
            return feed_forward(x, hidden, (self.output.weight.matrix(), self.output.bias))
        return self.output(self.drop(self.activation(self.hidden(x))))

    def _is_large(self, x: Tensor) -> bool:
        """Whether it pays to go a cacheful of rows at a time, and nothing stands between the products."""
        weight = self.hidden.weight
        if x.device.type != "cpu" or torch.compiler.is_compiling() or x.shape[-1] != self.hidden.input_size:
            return False
        if x.shape[:-1].numel() * weight.parts.shape[1] < LARGE or weight.algebra.name != "real":
            return False
        has_dropout = self.training and self.drop.p > 0
        is_exact = x.dtype == weight.parts.dtype and not torch.is_autocast_enabled("cpu")
        is_watched = any(module._forward_hooks or module._forward_pre_hooks for module in self.modules())
        return type(self.activation) is nn.ReLU and is_exact and not has_dropout and not is_watched
