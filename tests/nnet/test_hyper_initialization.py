"""First values of hypercomplex weights: the variance they must have, where they come from."""

import pytest

from speechkit.nnet import QLinear, hyper_init
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


def test_quaternion_weights_have_the_moduli_of_four_normal_parts():
    modulus = QLinear(100, input_size=100).weight.parts.square().sum(0)
    sigma = 1 / (2 * 200) ** 0.5
    assert abs(modulus.mean() / (4 * sigma**2) - 1) < 0.03
    assert abs(modulus.var() / (8 * sigma**4) - 1) < 0.2  # chi-square of 4 degrees
