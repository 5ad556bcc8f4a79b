"""Activations, dropout and pooling of whole numbers, against closed forms and explicit loops."""

import pytest
import torch

from speechkit.errors import UserError
from speechkit.nnet import (
    Cardioid,
    HyperDropout,
    HyperPooling1d,
    HyperPooling2d,
    ModReLU,
    PhaseTanh,
    QPooling2d,
    ZReLU,
)
from speechkit.ops.algebra import (
    find_algebra,
    from_complex,
    norm,
    normalize,
    real_part,
    split_parts,
    to_complex,
)


def numbers(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_modrelu_shortens_numbers_and_keeps_their_phase():
    layer, x = ModReLU("complex", input_size=3).double(), numbers(5, 6)
    torch.nn.init.normal_(layer.bias)
    z = to_complex(x)
    expected = torch.polar((z.abs() + layer.bias).clamp_min(0), z.angle())
    torch.testing.assert_close(to_complex(layer(x)), expected)


def test_zrelu_keeps_the_first_quarter_of_phases():
    x = numbers(50, 6)
    z = to_complex(x)
    is_kept = (z.angle() > 0) & (z.angle() < torch.pi / 2)
    torch.testing.assert_close(to_complex(ZReLU()(x)), z * is_kept)
    assert 0.1 < is_kept.double().mean() < 0.4


def test_cardioid_is_weighted_by_the_phase():
    x = numbers(5, 6)
    z = to_complex(x)
    torch.testing.assert_close(to_complex(Cardioid()(x)), (1 + z.angle().cos()) * z / 2)
    real = numbers(5, 6)
    torch.testing.assert_close(Cardioid("real")(real), real.relu())


@pytest.mark.parametrize("algebra", ["complex", "quaternion", "octonion"])
def test_phase_tanh_squashes_the_length_alone(algebra):
    x = numbers(5, 16)
    y = PhaseTanh(algebra)(x)
    torch.testing.assert_close(norm(y, algebra), norm(x, algebra).tanh())
    torch.testing.assert_close(normalize(y, algebra), normalize(x, algebra))


@pytest.mark.parametrize(
    "layer",
    [
        ModReLU("quaternion", input_size=2),
        ZReLU("quaternion"),
        Cardioid("quaternion"),
        PhaseTanh("quaternion"),
    ],
)
def test_activations_are_differentiable_also_at_zero(layer):
    x = numbers(3, 8).requires_grad_()
    assert torch.autograd.gradcheck(layer.double(), x)
    zeros = torch.zeros(3, 8, dtype=torch.float64, requires_grad=True)
    y = layer(zeros)
    assert y.abs().max() == 0
    assert torch.autograd.grad(y.sum(), zeros)[0].isfinite().all()


@pytest.mark.parametrize("bias", [0.5, 10.0])
def test_modrelu_has_no_steep_slope_at_zero_and_is_as_published_elsewhere(bias):
    """Zeros of padding or of a ReLU, next to a bias that has been learned, in float32."""
    layer = ModReLU("complex", input_size=3)
    torch.nn.init.constant_(layer.bias, bias)
    for size, bound in ((0.0, 1.0), (1e-38, 1 + bias / 1e-4), (1e-6, 1 + bias / 1e-4)):
        x = (size * torch.randn(4, 6)).requires_grad_()
        y = layer(x)
        slopes = torch.autograd.grad(y.sum(), [x, layer.bias])
        assert y.abs().max() <= size * 10 * bound
        assert slopes[0].abs().max() <= 2 * bound
        assert slopes[1].isfinite().all()
    x = numbers(50, 6).requires_grad_()
    z = to_complex(x)
    expected = from_complex(z * ((z.abs() + bias).relu() / z.abs()))
    torch.testing.assert_close(layer.double()(x), expected)
    upstream = numbers(50, 6)
    torch.testing.assert_close(*[torch.autograd.grad(y, x, upstream)[0] for y in (layer(x), expected)])


@pytest.mark.parametrize("layer", [PhaseTanh("quaternion"), Cardioid("quaternion"), ZReLU("quaternion")])
@pytest.mark.parametrize("size", [0.0, 1e-44, 1e-38, 1e-30, 1e-24, 1e-20, 1e-12])
def test_no_slope_is_steep_however_short_a_number(layer, size):
    """The squares of numbers below 1e-23 are lost, and with them the length."""
    x = (size * torch.randn(20, 8)).requires_grad_()
    assert torch.autograd.grad(layer(x).sum(), x)[0].abs().max() <= 4


def test_dropout_drops_all_parts_of_a_number():
    layer = HyperDropout(0.25, "quaternion")
    kept = split_parts(layer(torch.ones(50, 40, 8)), "quaternion")
    assert kept.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(kept, kept[..., :1, :].expand_as(kept))
    assert abs((kept == 0).double().mean() - 0.25) < 0.03
    assert torch.equal(layer.eval()(torch.ones(2, 8)), torch.ones(2, 8))


@pytest.mark.parametrize("algebra", ["complex", "quaternion"])
def test_max_pooling_equals_a_loop_that_keeps_the_longest_number(algebra):
    n = find_algebra(algebra).n_parts
    x = numbers(3, 7, 5, 2 * n)
    got = split_parts(HyperPooling2d("max", (3, 2), (2, 2), algebra=algebra)(x), algebra)
    assert got.shape == (3, 3, 2, n, 2)
    parts = split_parts(x, algebra)
    for item in range(3):
        for frame in range(3):
            for band in range(2):
                for index in range(2):
                    window = parts[item, 2 * frame : 2 * frame + 3, 2 * band : 2 * band + 2, :, index]
                    longest = max(window.reshape(-1, n), key=lambda number: float(number.norm()))
                    assert torch.equal(got[item, frame, band, :, index], longest)


def test_zeros_of_same_padding_never_win():
    """Valid windows over the numbers with zeros around them, the shortest of all."""
    x = numbers(3, 7, 5, 8)
    same, valid = (QPooling2d("max", 3, (2, 1), padding=each) for each in ("same", "valid"))
    assert torch.equal(same(x), valid(torch.nn.functional.pad(x, (0, 0, 1, 1, 1, 1))))


def test_pooling_in_one_dimension_is_that_of_one_band():
    x = numbers(3, 7, 8)
    for kind in ("max", "avg"):
        one = HyperPooling1d(kind, 3, 2, padding="same", algebra="quaternion")(x, torch.tensor([7, 4, 5]))
        two = QPooling2d(kind, (3, 1), (2, 1), padding="same")(x.unsqueeze(2), torch.tensor([7, 4, 5]))
        assert torch.equal(one, two.squeeze(2))


def test_average_pooling_is_the_mean_of_numbers():
    x = numbers(3, 6, 4, 8)
    got = QPooling2d("avg", 2)(x)
    torch.testing.assert_close(got, x.unflatten(1, (3, 2)).unflatten(3, (2, 2)).mean((2, 4)))
    assert real_part(got, "quaternion").shape == (3, 3, 2, 2)


@pytest.mark.parametrize("make", [lambda: QPooling2d("median", 2), lambda: ZReLU("quaternoin")])
def test_mistakes_are_told(make):
    with pytest.raises(UserError, match=r"max or avg|did you mean 'quaternion'"):
        make()
