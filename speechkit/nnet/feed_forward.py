"""The part of a Transformer that sees one frame at a time."""

from collections.abc import Sequence

from torch import Tensor, nn

from speechkit.nnet.dropout import Dropout
from speechkit.nnet.hyper_linear import HyperLinear
from speechkit.nnet.hyper_weight import algebra_of, count_numbers


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
        return self.output(self.drop(self.activation(self.hidden(x))))
