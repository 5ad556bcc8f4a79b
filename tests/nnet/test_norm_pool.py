"""Batch norm, max pool and ReLU in one, beside the three in a row."""

import pytest
import torch
from torch import nn

from speechkit.errors import UserError
from speechkit.nnet import BatchNorm2d, NormPool2d, Pooling2d, Sequential


def three_layers(kernel_size: int | list[int], n_channels: int) -> Sequential:
    norm, pool = BatchNorm2d(input_size=n_channels), Pooling2d("max", kernel_size)
    return Sequential((None, None, 40, n_channels), norm=norm, pool=pool, relu=nn.ReLU())


@pytest.mark.parametrize("kernel_size", [2, [1, 3], [3, 2]])
@pytest.mark.parametrize("lengths", [None, [13, 5, 2, 8], [13] * 4])
def test_equal_to_the_three_in_a_row(kernel_size, lengths) -> None:
    """Also their gradients and running statistics, with weights of both signs, one of them 0."""
    fused, row = NormPool2d(kernel_size, input_size=6).double(), three_layers(kernel_size, 6).double()
    with torch.no_grad():
        fused.batch_norm.norm.weight.copy_(torch.tensor([1.0, -0.5, 2.0, -3.0, 0.0, 0.1]))
        fused.batch_norm.norm.bias.copy_(torch.randn(6))
    row.norm.load_state_dict(fused.batch_norm.state_dict())
    lengths = None if lengths is None else torch.tensor(lengths)
    x = (3 * torch.randn(4, 13, 21, 6, dtype=torch.float64) + 5).requires_grad_()
    other_x = x.detach().clone().requires_grad_()
    kept = fused.output_lengths(torch.full((4,), 13) if lengths is None else lengths)
    for _ in range(2):  # the second time with other running statistics
        ours, theirs = fused(x, lengths), row(other_x, lengths)
        true = (torch.arange(ours.shape[1]) < kept[:, None])[:, :, None, None]
        torch.testing.assert_close(ours * true, theirs * true, rtol=1e-9, atol=1e-10)
        weights = torch.randn_like(ours) * true
        (ours * weights).sum().backward()
        (theirs * weights).sum().backward()
    torch.testing.assert_close(x.grad, other_x.grad, rtol=1e-8, atol=1e-10)
    for (name, value), other in zip(fused.batch_norm.named_parameters(), row.norm.parameters(), strict=True):
        torch.testing.assert_close(value.grad, other.grad, rtol=1e-8, atol=1e-9, msg=name)
    for value, other in zip(fused.batch_norm.buffers(), row.norm.buffers(), strict=True):
        torch.testing.assert_close(value, other, rtol=1e-9, atol=1e-10)
    fused.eval(), row.eval()
    torch.testing.assert_close(fused(x, lengths) * true, row(x, lengths) * true)


def test_under_autocast() -> None:
    layer, x = NormPool2d(2, input_size=3), torch.randn(2, 8, 8, 3).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert x.grad.isfinite().all()
    torch.testing.assert_close(y.float(), layer(x.detach().float()), rtol=1e-2, atol=1e-2)


def test_an_input_smaller_than_the_window() -> None:
    with pytest.raises(UserError):
        NormPool2d(2, input_size=3)(torch.zeros(2, 1, 8, 3))
