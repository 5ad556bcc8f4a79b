"""Fewer frames for what is costly in their number."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.nnet.hyper_convolution import HyperConv2d
from speechkit.nnet.hyper_linear import HyperLinear
from speechkit.nnet.hyper_weight import algebra_of
from speechkit.nnet.join_bands import JoinBands
from speechkit.nnet.sequential import Sequential
from speechkit.nnet.sizes import check_positive
from speechkit.ops.algebra import find_algebra
from speechkit.ops.lengths import mask_padding

# B batch, T frames, F bands, n parts, C numbers


class ConvSubsampling(nn.Module):
    """Two convolutions of stride 2 over time and frequency, then one product of all bands.

    (B, T, F) or (B, T, F, n C) to (B, ceil(T / 4), n `n_neurons`), as in front of Transformers for speech
    (Dong et al., 2018; Gulati et al., 2020). Kernels of 3 x 3, ReLU, `channels` each; sizes count numbers.

    >>> import torch
    >>> layer = ConvSubsampling(12, 4, input_shape=(2, 9, 40))
    >>> layer(torch.zeros(2, 9, 40)).shape, layer.output_lengths(torch.tensor([9, 4])).tolist()
    (torch.Size([2, 3, 12]), [3, 1])
    """

    def __init__(
        self, n_neurons: int, channels: int, input_shape: Sequence[int | None], algebra: str = "real"
    ) -> None:
        super().__init__()
        check_positive("ConvSubsampling", n_neurons=n_neurons, channels=channels)
        kind = algebra_of(self, algebra)
        conv = partial(HyperConv2d, channels, 3, stride=2, init_criterion="he", algebra=kind.name)
        shape = tuple(input_shape) if len(input_shape) == 4 else (*input_shape, 1)
        self.layers = Sequential(
            shape,
            conv1=conv,
            activation1=nn.ReLU(),
            conv2=conv,
            activation2=nn.ReLU(),
            join=JoinBands(kind.name),
            linear=partial(HyperLinear, n_neurons, algebra=kind.name),
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F) or (B, T, F, n C), true lengths (B,) in frames, to (B, T', n n_neurons)."""
        return self.layers(x if x.dim() == 4 else x.unsqueeze(-1), lengths)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        after = self.layers.output_lengths(lengths)
        assert after is not None
        return after


class JoinFrames(nn.Module):
    """Numbers of `n_frames` neighbouring frames side by side: (B, T, n F) to (B, ceil(T / k), n k F).

    Zeros stand for frames that are missing at the end (the pyramid of Chan et al., 2016).

    >>> import torch
    >>> JoinFrames(2)(torch.tensor([[[1.0], [2.0], [3.0]]])).tolist()
    [[[1.0, 2.0], [3.0, 0.0]]]
    """

    def __init__(self, n_frames: int = 2, algebra: str = "real") -> None:
        super().__init__()
        check_positive("JoinFrames", n_frames=n_frames)
        self.n_frames, self.n_parts = n_frames, find_algebra(algebra).n_parts

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, n F), true lengths (B,) in frames, to (B, T', n k F)."""
        x = F.pad(mask_padding(x, lengths), (0, 0, 0, -x.shape[1] % self.n_frames))
        groups = x.unflatten(1, (-1, self.n_frames)).unflatten(-1, (self.n_parts, -1))  # (B, T', k, n, F)
        return groups.transpose(2, 3).flatten(2)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return (lengths + self.n_frames - 1) // self.n_frames
