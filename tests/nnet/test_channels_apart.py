"""Convolutions of each channel by itself and PReLU, against torch's own."""

import pytest
import torch
from torch import nn

from speechkit.nnet import Conv1d, GlobalLayerNorm, PReLU


@pytest.mark.parametrize("n_frames", [1, 7, 12, 50])
@pytest.mark.parametrize(("kernel_size", "dilation"), [(3, 1), (3, 4), (2, 5), (5, 16)])
def test_equal_to_torch(n_frames, kernel_size, dilation):
    torch.manual_seed(0)
    layer = Conv1d(6, kernel_size, input_size=6, dilation=dilation, groups=6).double()
    x = torch.randn(2, n_frames, 6, dtype=torch.float64, requires_grad=True)
    before, after = layer.window.zeros
    expected = layer.conv(nn.functional.pad(x.transpose(1, 2), (before, after))).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected)
    found = torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])
    for one, other in zip(
        found, torch.autograd.grad(expected.square().sum(), [x, *layer.parameters()]), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_prelu_is_torchs():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    ours, theirs = PReLU(-0.3).double(), nn.PReLU(init=-0.3).double()
    torch.testing.assert_close(ours(x), theirs(x))
    for layer in (ours, theirs):
        layer.zero_grad()
    torch.testing.assert_close(
        torch.autograd.grad((ours(x) ** 3).sum(), [x, ours.weight]),
        torch.autograd.grad((theirs(x) ** 3).sum(), [x, theirs.weight]),
    )


@pytest.mark.parametrize("layer", [PReLU(), GlobalLayerNorm(input_size=5)])
def test_a_second_gradient_is_refused_and_not_wrong(layer):
    """Their gradients take slopes and moments for given."""
    x = torch.randn(2, 3, 5, requires_grad=True)
    (first,) = torch.autograd.grad(layer(x).pow(3).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
