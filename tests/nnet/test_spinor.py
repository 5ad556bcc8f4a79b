"""Spinor layers: v' = q v q*, told by products, compositions and lengths."""

from functools import partial

import torch

from speechkit.nnet import HyperLinear, QConv1d, QLinear
from speechkit.ops.algebra import conjugate, multiply, norm, normalize


def randomized(layer):
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer.double()


def test_spinor_linear_rotates_as_q_v_q_conjugate():
    layer = QLinear(1, input_size=1, spinor=True, bias=False).double()
    q = normalize(layer.weight.parts.flatten(), "quaternion")
    v = torch.randn(7, 4, dtype=torch.float64)
    expected = multiply(
        multiply(q.expand_as(v), v, "quaternion"), conjugate(q, "quaternion").expand_as(v), "quaternion"
    )
    torch.testing.assert_close(layer(v), expected)
    torch.testing.assert_close(norm(layer(v), "quaternion"), norm(v, "quaternion"))
    torch.testing.assert_close(layer(v)[:, 0], v[:, 0])


def test_spinor_rotates_about_its_axis_by_twice_its_phase():
    layer = QLinear(1, input_size=1, spinor=True, bias=False).double()
    half = torch.tensor(0.3, dtype=torch.float64)
    layer.weight.parts.data = torch.stack([half.cos(), 0 * half, 0 * half, half.sin()]).view(4, 1, 1) * 5
    expected = torch.stack([0 * half, (2 * half).cos(), (2 * half).sin(), 0 * half])
    torch.testing.assert_close(layer(torch.tensor([0.0, 1, 0, 0], dtype=torch.float64)), expected)


def test_spinor_rotations_compose_as_products_do():
    first, second, both = (QLinear(1, input_size=1, spinor=True, bias=False).double() for _ in range(3))
    product = multiply(second.weight.parts.flatten(), first.weight.parts.flatten(), "quaternion")
    both.weight.parts.data = product.view(4, 1, 1)
    v = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(second(first(v)), both(v))


def test_vector_scale_scales_each_rotation():
    layer = randomized(QLinear(2, input_size=1, spinor=True, vector_scale=True, bias=False))
    v = torch.randn(7, 4, dtype=torch.float64)
    expected = norm(v, "quaternion") * layer.weight.scale.abs().T
    torch.testing.assert_close(norm(layer(v), "quaternion"), expected)


def test_autocast_multiplies_by_the_rotations_of_full_precision():
    """Rotations made of bfloat16 products would no longer keep lengths."""
    for layer in (
        QLinear(3, input_size=5, spinor=True, vector_scale=True),
        HyperLinear(3, input_size=5, algebra="phm:3"),
    ):
        expected = layer.weight.matrix()
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(layer.weight.matrix(), expected)
            assert layer(torch.randn(2, layer.input_size)).dtype == torch.bfloat16


def test_tutorial_spinor_shapes():
    x = torch.zeros(8, 80, 16)
    for layer in (partial(QLinear, 12), partial(QConv1d, 12, 3)):
        assert layer(input_shape=x.shape, spinor=True, vector_scale=True)(x).shape == (8, 80, 48)
