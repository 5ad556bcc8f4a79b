"""Masks by one network over all frames: recurrent or convolutional, over any algebra."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.models.layers import layers_over
from speechkit.nnet import Sequential

# B batch, S sources, T frames, F values of a frame, W width of the network


class NetworkMasker(nn.Module):
    """Masks (B, S, T, F) for frames (B, T, F) of S sources: a network, a linear layer, an activation.

    With LSTMs over magnitudes that is Kolbaek et al., "Multitalker speech separation with utterance-level
    permutation invariant training", 2017; over learned filters Luo and Mesgarani, "TasNet", ICASSP 2018.

    n_filters: values of a frame, F; over an algebra of n parts F / n numbers, parts side by side.
    net: (B, T, F), lengths -> (B, T, W), ready or a factory, which gets the `input_shape`: such as
        `!name:speechkit.nnet.LSTM`, `CLSTM`, `Sequential`. It keeps the number of frames.
    algebra: of the linear layer's numbers. activation: of the masks, (B, S, T, F); none unless given.

    >>> import torch
    >>> from speechkit.nnet import QLSTM
    >>> masker = NetworkMasker(16, n_sources=3, net=partial(QLSTM, 5), algebra="quaternion")
    >>> masker(torch.randn(2, 7, 16), torch.tensor([7, 4])).shape
    torch.Size([2, 3, 7, 16])
    """

    def __init__(
        self,
        n_filters: int,
        n_sources: int,
        net: nn.Module | Callable[..., nn.Module],
        algebra: str = "real",
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if n_sources < 1:
            raise UserError(f"n_sources {n_sources}", expected="1 or more", key="n_sources")
        kind = layers_over(algebra)
        n_numbers = n_sources * kind.count_numbers(n_filters, "n_filters")
        self.n_sources, self.n_parts = n_sources, kind.n_parts
        self.layers = Sequential(
            (None, None, n_filters), net=net, masks=partial(kind.linear, n_neurons=n_numbers)
        )
        self.activation = nn.Identity() if activation is None else activation

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F), true lengths (B,) in frames, to (B, S, T, F)."""
        y = self.layers(frames, lengths)
        if y.shape[1] != frames.shape[1]:
            found = f"{y.shape[1]} frames of {frames.shape[1]}"
            raise UserError(found, expected="a network that keeps the number of frames", key="net")
        numbers = y.unflatten(2, (self.n_parts, self.n_sources, -1))  # (B, T, n, S, F / n)
        return self.activation(numbers.permute(0, 3, 1, 2, 4).flatten(3))
