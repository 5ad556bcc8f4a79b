"""Linear layers and convolutions over an algebra: against loops over numbers, torch, and laws."""

import inspect
from functools import partial

import pytest
import torch
from torch.nn import functional

import speechkit.nnet
from speechkit.config.names import Sources, locate
from speechkit.config.signatures import signature_of
from speechkit.errors import UserError
from speechkit.nnet import (
    CConv1d,
    CLinear,
    Conv1d,
    Conv2d,
    HyperConv1d,
    HyperConv2d,
    HyperLinear,
    Linear,
    QConv1d,
    QLinear,
    hyper_weight,
)
from speechkit.ops import bilinear
from speechkit.ops.algebra import find_algebra, multiply, to_complex

ALGEBRAS = ("real", "complex", "quaternion", "octonion", "split-complex", "dual", "phm:3")


def randomized(layer):
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer.double()


def number(x, index, n_parts):
    """One number, (..., n), of the parts side by side."""
    return x.unflatten(-1, (n_parts, -1))[..., index]


def product(a, b, table):
    return torch.einsum("abc,...a,...b->...c", table, a, b)


@pytest.mark.parametrize("algebra", ALGEBRAS)
def test_linear_equals_a_loop_over_numbers(algebra):
    layer = randomized(HyperLinear(3, input_size=2, algebra=algebra))
    n, table = find_algebra(algebra).n_parts, layer.weight.table
    x = torch.randn(2, 5, 2 * n, dtype=torch.float64)
    expected = []
    for out in range(3):
        terms = [
            product(layer.weight.parts[:, out, i].expand(2, 5, n), number(x, i, n), table) for i in range(2)
        ]
        expected.append(sum(terms) + number(layer.bias, out, n))
    torch.testing.assert_close(layer(x), torch.stack(expected, -1).flatten(-2))


@pytest.mark.parametrize("algebra", ["complex", "quaternion", "phm:3"])
@pytest.mark.parametrize(("kernel", "stride", "groups"), [(3, 1, 1), (4, 3, 2)])
@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
def test_conv1d_equals_a_loop_over_numbers(algebra, kernel, stride, groups, padding):
    layer = randomized(
        HyperConv1d(
            4,
            kernel,
            input_size=6,
            stride=stride,
            padding=padding,
            groups=groups,
            algebra=algebra,
            bias=False,
        )
    )
    n, table = find_algebra(algebra).n_parts, layer.weight.table
    x = torch.randn(2, 9, 6 * n, dtype=torch.float64)
    span = kernel - 1
    before = {"same": span // 2, "causal": span, "valid": 0}[padding]
    n_frames = (9 - span - 1) // stride + 1 if padding == "valid" else -(-9 // stride)
    expected = torch.zeros(2, n_frames, n, 4, dtype=torch.float64)
    for frame in range(n_frames):
        for out in range(4):
            first = out // (4 // groups) * (6 // groups)
            for i in range(6 // groups):
                for tap in range(kernel):
                    at = frame * stride + tap - before
                    if 0 <= at < 9:
                        weight = layer.weight.parts[:, out, i, tap].expand(2, n)
                        expected[:, frame, :, out] += product(weight, number(x[:, at], first + i, n), table)
    torch.testing.assert_close(layer(x), expected.flatten(-2))


@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
def test_conv2d_of_one_band_is_conv1d(padding):
    layer = randomized(HyperConv2d(4, (3, 1), input_size=2, padding=padding, groups=2, algebra="octonion"))
    other = HyperConv1d(4, 3, input_size=2, padding=padding, groups=2, algebra="octonion").double()
    other.load_state_dict({k: v.squeeze(-1) if "parts" in k else v for k, v in layer.state_dict().items()})
    x = torch.randn(2, 9, 5, 16, dtype=torch.float64)
    expected = torch.stack([other(x[:, :, band]) for band in range(5)], 2)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("hyper", "real"),
    [
        (partial(HyperLinear, 3, input_size=4), partial(Linear, 3, input_size=4)),
        (partial(HyperConv1d, 6, 3, input_size=4, groups=2), partial(Conv1d, 6, 3, input_size=4, groups=2)),
        (partial(HyperConv2d, 6, (3, 2), input_size=4), partial(Conv2d, 6, (3, 2), input_size=4)),
    ],
)
def test_over_real_numbers_a_layer_is_the_real_one(hyper, real):
    layer, other = hyper(algebra="real"), real()
    inner = other.linear if hasattr(other, "linear") else other.conv
    inner.load_state_dict({"weight": layer.weight.parts[0], "bias": layer.bias})
    x = torch.randn(2, 9, *[5] * (real.func is Conv2d), 4)
    torch.testing.assert_close(layer(x), other(x))


def test_complex_layers_are_torchs_complex_numbers():
    linear, conv = randomized(CLinear(3, input_size=4)), randomized(CConv1d(3, 3, input_size=4))
    x = torch.randn(2, 9, 8, dtype=torch.float64)
    weight, bias = torch.complex(*linear.weight.parts), to_complex(linear.bias)
    torch.testing.assert_close(to_complex(linear(x)), functional.linear(to_complex(x), weight, bias))
    weight, bias = torch.complex(*conv.weight.parts), to_complex(conv.bias)
    expected = functional.conv1d(to_complex(x).transpose(1, 2), weight, bias, padding=1)
    torch.testing.assert_close(to_complex(conv(x)), expected.transpose(1, 2))


@pytest.mark.parametrize("layer", [partial(HyperLinear, 3), partial(HyperConv1d, 3, 3)])
@pytest.mark.parametrize("algebra", ["complex", "quaternion"])
def test_units_go_through_a_layer(layer, algebra):
    """f(z u) = f(z) u: complex linearity f(iz) = i f(z), and its quaternion like with units on the right."""
    layer = layer(input_size=2, algebra=algebra, bias=False).double()
    n = find_algebra(algebra).n_parts
    x = torch.randn(2, 5, 2 * n, dtype=torch.float64)
    for part in range(1, n):
        unit = torch.eye(n, dtype=torch.float64)[part]

        def times_unit(x, unit=unit):
            return multiply(x, unit.repeat_interleave(x.shape[-1] // n).expand_as(x), algebra)

        torch.testing.assert_close(layer(times_unit(x)), times_unit(layer(x)))


@pytest.mark.parametrize("algebra", ["real", "complex", "quaternion", "split-complex"])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (partial(HyperLinear, 3, input_size=5), (4, 5)),
        (partial(HyperConv1d, 4, 3, input_size=6, groups=2, stride=2), (2, 7)),
        (partial(HyperConv2d, 4, (3, 2), input_size=6, groups=2, dilation=(2, 1)), (2, 7, 4)),
    ],
)
def test_both_routes_give_the_same(algebra, layer, shape, monkeypatch):
    monkeypatch.setattr(bilinear, "ROWS_AT_A_TIME", 3)  # so that some blocks are whole and one is not
    layer, sides = randomized(layer(algebra=algebra)), []
    x = torch.randn(*shape, layer.input_size, dtype=torch.float64, requires_grad=True)
    for width in (10**9, 1):
        for widths in hyper_weight.BILINEAR_WIDTH.values():
            monkeypatch.setitem(widths, algebra, width)
        assert layer.weight.prefers_bilinear(x) == (width == 1)
        y = layer(x)
        whole = torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])
        layer.weight.requires_grad_(False)
        alone = torch.autograd.grad(layer(x).square().sum(), x)
        layer.weight.requires_grad_(True)
        sides.append((y, *whole, *alone))
    torch.testing.assert_close(*sides)


def test_large_layers_take_the_bilinear_route():
    layer, x = QLinear(128, input_size=128), torch.randn(3, 2, 512)
    assert layer.weight.prefers_bilinear(x)
    assert not QLinear(128, input_size=16).weight.prefers_bilinear(x)
    torch.testing.assert_close(
        layer(x), functional.linear(x, layer.weight.matrix(), layer.bias), rtol=1e-4, atol=1e-4
    )
    with torch.autocast("cpu", torch.bfloat16):
        assert not layer.weight.prefers_bilinear(x)


@pytest.mark.parametrize("layer", [partial(HyperLinear, 2), partial(HyperConv1d, 2, 2)])
@pytest.mark.parametrize(
    "options",
    [
        {"algebra": "complex"},
        {"algebra": "phm:2"},
        {"algebra": "quaternion", "spinor": True, "vector_scale": True},
    ],
)
def test_gradients_are_those_of_differences(layer, options):
    layer = randomized(layer(input_size=1, **options))
    x = torch.randn(2, 3, layer.input_size, dtype=torch.float64, requires_grad=True)
    parameters = dict(layer.named_parameters())

    def apply(x, *values):
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(apply, (x, *parameters.values()))


def test_the_table_of_phm_is_learned_and_saved():
    layer = HyperLinear(3, input_size=2, algebra="phm:3")
    layer(torch.randn(4, 6)).square().sum().backward()
    assert layer.weight.table.grad.abs().max() > 0
    assert "weight.table" in layer.state_dict()
    assert "weight.table" not in QLinear(3, input_size=2).state_dict()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: HyperLinear(3, input_size=2), "without algebra"),
        (lambda: CLinear(3, input_size=2, algebra="quaternion"), "HyperLinear"),
        (lambda: QLinear(3, input_shape=(None, None, 6)), "multiple of 4"),
        (lambda: QConv1d(3, 3, input_size=2, groups=2), "divisor of both"),
        (lambda: QConv1d(3, 3, input_size=2, padding="sam"), "same, valid or causal"),
        (lambda: CLinear(3, input_size=2, spinor=True), "quaternion"),
        (lambda: QLinear(3, input_size=2, vector_scale=True), "spinor"),
        (lambda: CLinear(3, input_size=2, weight_init="quaternion"), "complex or unitary"),
        (lambda: CLinear(3, input_size=2, init_criterion="kaiming"), "glorot or he"),
    ],
)
def test_mistakes_are_told(make, told):
    with pytest.raises(UserError, match=told):
        make()


@pytest.mark.parametrize("name", ["CLinear", "CConv1d", "QConv2d", "QBatchNorm", "CLayerNorm", "QPooling2d"])
def test_a_yamls_arguments_are_known_without_importing(name):
    read = signature_of(locate(f"speechkit.nnet.{name}", Sources()), Sources(), inspect.signature)
    assert list(read.parameters) == list(inspect.signature(getattr(speechkit.nnet, name)).parameters)
    assert "kwargs" not in read.parameters
