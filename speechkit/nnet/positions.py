"""Where a frame or token stands, told by sines and cosines: added to it, or as a rotation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.nnet.sizes import check_width, input_size_of

# B batch, T frames or tokens, W width, H heads, E values of a head
LONGEST_PERIOD = 10_000  # of the slowest sine in radians per position (Vaswani et al., 2017)


def angles(positions: Tensor, width: int) -> Tensor:
    """Angles in radians of positions (T,), of any sign, to (T, width / 2): p / 10000^(2 k / width)."""
    half = width // 2
    steps = torch.arange(half, device=positions.device, dtype=positions.dtype) / half
    return positions.unsqueeze(-1) * LONGEST_PERIOD**-steps


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of positions (T,) to (T, width).

    Over complex numbers these are exp(i p w): a shift of all positions turns each number by an angle.

    >>> sinusoids(torch.tensor([0.0, 1.0]), 4)[0].tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    turns = angles(positions, width)
    return torch.cat([turns.cos(), turns.sin()], -1)


def rotate(x: Tensor, first: int = 0) -> Tensor:
    """Rotary positions (Su et al., 2021) of queries or keys (B, H, T, E), from position `first` on.

    Value k and value k + E / 2 are turned by the position times a frequency of their own, so that the inner
    product of a query and a key depends on the difference of their positions. Over complex numbers these
    pairs are the numbers, and position p multiplies by exp(i p w).

    >>> x = torch.randn(1, 1, 5, 8)
    >>> torch.allclose(rotate(x, first=2)[:, :, :3], rotate(torch.cat([x[:, :, :2], x], 2))[:, :, 2:5])
    True
    """
    positions = torch.arange(first, first + x.shape[2], device=x.device, dtype=_type_of_angles(x))
    turns = angles(positions, x.shape[-1])
    cosine, sine = turns.cos().to(x.dtype), turns.sin().to(x.dtype)
    left, right = x.chunk(2, -1)
    return torch.cat([left * cosine - right * sine, right * cosine + left * sine], -1)


class SinusoidalPositions(nn.Module):
    """Adds sines and cosines of the position to each frame (Vaswani et al., 2017): (B, T, W), W even.

    >>> SinusoidalPositions(input_shape=(None, None, 4))(torch.zeros(1, 2, 4))[0, 0].tolist()
    [1.0, 1.0, 0.0, 0.0]
    """

    def __init__(
        self, input_shape: Sequence[int | None] | None = None, input_size: int | None = None
    ) -> None:
        super().__init__()
        self.input_size = check_even(input_size_of(input_shape, input_size, layer="SinusoidalPositions"))

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """(B, T, W), whose first frame is at position `first`, to the same shape."""
        check_width(x, self.input_size, "SinusoidalPositions")
        positions = torch.arange(first, first + x.shape[1], device=x.device, dtype=_type_of_angles(x))
        return x + sinusoids(positions, self.input_size).to(x.dtype)


def check_even(width: int) -> int:
    """Each frequency has a cosine and a sine."""
    if width % 2:
        raise UserError(f"positions of {width} values", expected="an even number: a cosine for each sine")
    return width


def _type_of_angles(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
