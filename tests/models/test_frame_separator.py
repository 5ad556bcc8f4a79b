"""The separator that reads sources off frames: against a loop over frames, and padding."""

from functools import partial

import pytest
import torch
from torch import nn

from speechkit.errors import UserError
from speechkit.losses import separation_loss
from speechkit.models import FrameSeparator
from speechkit.nnet import LSTM, Linear, Sequential

SIZES = [(1, 1), (4, 4), (5, 2), (16, 4)]


@pytest.mark.parametrize(("kernel_size", "stride"), SIZES)
def test_every_frame_is_read_and_what_it_gives_added_up(kernel_size: int, stride: int) -> None:
    separator = FrameSeparator(3, partial(Linear, 6), kernel_size, stride).double()
    x = torch.randn(2, 23, dtype=torch.float64)
    expected = torch.zeros(2, 3, 23, dtype=torch.float64)
    for start in range(stride - kernel_size, 23, stride):
        inside = [n for n in range(start, start + kernel_size) if 0 <= n < 23]
        frame = torch.zeros(2, 1, kernel_size, dtype=torch.float64)
        for n in inside:
            frame[:, 0, n - start] = x[:, n]
        samples = separator.layers(frame)[:, 0].view(2, 3, kernel_size)
        for n in inside:
            expected[:, :, n] += samples[:, :, n - start]
    assert torch.allclose(separator(x), expected, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("kernel_size", "stride"), SIZES)
def test_padding_never_matters(kernel_size: int, stride: int, bidirectional: bool) -> None:
    layers = {"hidden": partial(Linear, 5), "lstm": partial(LSTM, 4, bidirectional=bidirectional)}
    separator = FrameSeparator(2, partial(Sequential, **layers), kernel_size, stride).double().eval()
    lengths = torch.tensor([31, 30, 17, 3, 1, 0])
    x = torch.randn(6, 31, dtype=torch.float64)
    for row, n in enumerate(lengths):
        x[row, n:] = torch.nan
    estimates = separator(x, lengths)
    assert estimates.shape == (6, 2, 31)
    for row, n in enumerate(lengths):
        alone = separator(x[row : row + 1, :n])[0]
        assert torch.allclose(estimates[row, :, :n], alone, rtol=1e-9, atol=1e-12)
        assert not estimates[row, :, n:].any()
        assert n < 17 or alone.abs().max() > 0


@pytest.mark.parametrize("signal", [0.0, 0.1])
def test_gradients_are_finite_on_silence_and_on_identical_sources(signal: float) -> None:
    separator = FrameSeparator(2, partial(Sequential, lstm=partial(LSTM, 4)), 4, 2)
    source = signal * torch.randn(2, 1, 60)
    separation_loss(separator(2 * source[:, 0]), source.repeat(1, 2, 1)).sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in separator.parameters())


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(UserError, match="stride: stride 5; expected 1 to 4"):
        FrameSeparator(2, partial(Linear, 4), kernel_size=4, stride=5)
    with pytest.raises(UserError, match="n_sources: n_sources 0"):
        FrameSeparator(0, partial(Linear, 4))
    with pytest.raises(UserError, match="net: 3 frames of 7; expected a network that keeps"):
        FrameSeparator(2, partial(Pooled, input_shape=None), 4, 4)(torch.zeros(1, 28))


class Pooled(nn.Module):
    def __init__(self, input_shape: object) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, : x.shape[1] // 2]
