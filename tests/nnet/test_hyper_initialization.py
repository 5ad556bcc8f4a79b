"""First values of hypercomplex weights: the variance they must have, where they come from."""

from functools import partial

import pytest
import torch

from speechkit.nnet import CLinear, QConv1d, QConv2d, QLinear, hyper_init
from speechkit.ops.algebra import find_algebra

ALGEBRAS = ("real", "complex", "quaternion", "octonion", "split-complex", "dual", "phm:3")


@pytest.mark.parametrize("algebra", ALGEBRAS)
@pytest.mark.parametrize("weight_init", [None, "unitary"])
@pytest.mark.parametrize(("criterion", "power"), [("glorot", 2 / (150 + 120)), ("he", 2 / 150)])
def test_first_weights_have_the_variance_of_the_criterion(algebra, weight_init, criterion, power):
    n = find_algebra(algebra).n_parts
    weights = hyper_init((n, 40, 50, 3), criterion, weight_init)
    assert abs(weights.square().sum(0).mean() / power - 1) < 0.05
    assert (weights.mean((1, 2, 3)).abs() < 5 * (power / 6000) ** 0.5).all()


def test_complex_weights_at_256_are_as_large_as_trabelsi_says():
    """Elsewhere they are 23 times too small: a square root is missing."""
    parts = CLinear(256, input_size=256, init_criterion="glorot", weight_init="complex").weight.parts
    modulus = parts.square().sum(0).sqrt()
    sigma = 1 / (256 + 256) ** 0.5
    assert (
        abs(modulus.mean() / (sigma * (torch.pi / 2) ** 0.5) - 1) < 0.01
    )  # the mean of Rayleigh's distribution
    assert abs(parts.std() / sigma - 1) < 0.01


def test_quaternion_weights_have_the_moduli_of_four_normal_parts():
    modulus = QLinear(100, input_size=100).weight.parts.square().sum(0)
    sigma = 1 / (2 * 200) ** 0.5
    assert abs(modulus.mean() / (4 * sigma**2) - 1) < 0.03
    assert abs(modulus.var() / (8 * sigma**4) - 1) < 0.2  # chi-square of 4 degrees


def test_first_weights_come_from_torchs_generator_and_differ():
    """Elsewhere numpy is reseeded, and layers of the same shape get the same moduli."""
    torch.manual_seed(3)
    one, two = QLinear(3, input_size=2), QLinear(3, input_size=2)
    torch.manual_seed(3)
    again = QLinear(3, input_size=2)
    assert torch.equal(one.weight.parts, again.weight.parts)
    assert not torch.allclose(one.weight.parts.norm(dim=0), two.weight.parts.norm(dim=0))


@pytest.mark.parametrize("layer", [partial(CLinear, 3), partial(QConv1d, 3, 3), partial(QConv2d, 3, 3)])
def test_bias_starts_at_zero(layer):
    """Elsewhere `CLinear`'s is memory that nobody wrote."""
    assert layer(input_size=2).bias.abs().max() == 0
