"""Fully connected layer."""

from collections.abc import Sequence

from torch import Tensor, nn

from speechkit.nnet.sizes import check_positive, check_width, input_size_of


class Linear(nn.Module):
    """y = x W^T + b over the last axis: (..., F) to (..., n_neurons), initialised as `torch.nn.Linear`.

    >>> import torch
    >>> Linear(12, input_shape=(8, 10, 32))(torch.zeros(8, 10, 32)).shape
    torch.Size([8, 10, 12])
    """

    def __init__(
        self,
        n_neurons: int,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_positive("Linear", n_neurons=n_neurons)
        self.input_size = input_size_of(input_shape, input_size, layer="Linear")
        self.linear = nn.Linear(self.input_size, n_neurons, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., F) to (..., n_neurons)."""
        check_width(x, self.input_size, "Linear")
        return self.linear(x)
