"""Global layer norm against torch's group norm of one group, and by small steps."""

import torch
from torch.nn import functional as F

from speechkit.nnet import GlobalLayerNorm


def make(n_features: int) -> GlobalLayerNorm:
    norm = GlobalLayerNorm(input_size=n_features).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    return norm


def test_it_is_a_group_norm_of_one_group():
    for shape in ((3, 7, 5), (3, 7, 4, 5)):
        norm, x = make(5), 3 + 2 * torch.randn(shape, dtype=torch.float64)
        expected = F.group_norm(x.movedim(-1, 1), 1, norm.weight, norm.bias, norm.eps).movedim(1, -1)
        torch.testing.assert_close(norm(x), expected)


def test_gradients_are_those_of_small_steps():
    for lengths in (None, torch.tensor([4, 2, 0])):
        norm = make(2)
        x = torch.randn(3, 4, 3, 2, dtype=torch.float64, requires_grad=True)
        weights = (norm.weight.detach().requires_grad_(), norm.bias.detach().requires_grad_())

        def compute(x, weight, bias, norm=norm, lengths=lengths):
            values = {"weight": weight, "bias": bias}
            return torch.func.functional_call(norm, values, (x, lengths))

        assert torch.autograd.gradcheck(compute, (x, *weights))


def test_silence_and_constants_have_defined_values():
    norm = make(2)
    for value in (0.0, 5.0):
        x = torch.full((1, 3, 2), value, dtype=torch.float64, requires_grad=True)
        y = norm(x)
        torch.testing.assert_close(y, norm.bias.expand(1, 3, 2))
        y.square().sum().backward()
        assert x.grad.isfinite().all()
