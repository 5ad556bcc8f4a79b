"""What is wrong in the hypercomplex layers of SpeechBrain 1.1, each a test that it is right here."""

import gc
import random
import weakref
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import torch

from speechkit.nnet import (
    CGRU,
    CLSTM,
    CRNN,
    QGRU,
    QLSTM,
    QRNN,
    CBatchNorm,
    CConv1d,
    CConv2d,
    CLayerNorm,
    CLiGRU,
    CLinear,
    LiGRU,
    QBatchNorm,
    QConv1d,
    QConv2d,
    QLayerNorm,
    QLiGRU,
    QLinear,
    QPooling2d,
)
from speechkit.ops.algebra import conjugate, from_complex, multiply, normalize, split_parts, to_complex

RECURRENT = (LiGRU, CRNN, CLSTM, CGRU, CLiGRU, QRNN, QLSTM, QGRU, QLiGRU)


@pytest.fixture
def memory_that_nobody_wrote() -> Iterator[None]:
    """Makes it NaN, in place of whatever stood there."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_defect_complex_weights_23_times_too_small():
    """A square root is missing there: at 256 x 256 the mean of |w|^2 is not 2 / (256 + 256)."""
    parts = CLinear(256, input_size=256, init_criterion="glorot", weight_init="complex").weight.parts
    modulus = parts.square().sum(0).sqrt()
    sigma = 1 / (256 + 256) ** 0.5  # of Rayleigh's distribution (Trabelsi et al., section 3.6)
    assert abs(modulus.mean() / (sigma * (torch.pi / 2) ** 0.5) - 1) < 0.01
    assert abs(modulus.square().mean() / (2 / 512) - 1) < 0.02
    assert abs(parts.std() / sigma - 1) < 0.01


@pytest.mark.parametrize(
    "layer",
    [
        partial(CLinear, 3),
        partial(QLinear, 3, spinor=True, vector_scale=True),
        partial(CConv1d, 3, 3),
        partial(QConv2d, 3, 3),
        partial(CLSTM, 3),
        partial(QLiGRU, 3),
        CBatchNorm,
        QLayerNorm,
    ],
)
def test_defect_bias_of_unwritten_memory(layer, memory_that_nobody_wrote):
    """`CLinear`'s bias there is what stood in memory. Biases start at zero, and everything is written."""
    layer = layer(input_size=2)
    assert all(value.isfinite().all() for value in layer.state_dict().values())
    biases = [value for name, value in layer.named_parameters() if "bias" in name]
    assert biases
    assert all((bias == 0).all() for bias in biases)


@pytest.mark.parametrize("layer", [CLayerNorm, QLayerNorm])
def test_defect_layer_norm_over_time(layer):
    """`CLayerNorm` there takes its mean and covariance over the frames; a frame's own numbers count."""
    layer = layer(input_shape=(2, 5, 80)).double()
    x = 3 * torch.randn(2, 5, 80, dtype=torch.float64) + 1
    y = layer(x)
    torch.testing.assert_close(layer(x[:, 3:4]), y[:, 3:4])
    numbers = split_parts(y, layer.algebra)
    assert numbers.mean(-1).abs().max() < 1e-9
    identity = torch.eye(layer.algebra.n_parts, dtype=torch.float64)
    for frame in numbers.flatten(0, 1):
        torch.testing.assert_close(frame.cov(correction=0), identity, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layer", [CLayerNorm, QLayerNorm])
def test_defect_layer_norm_of_two_axes_is_zero(layer):
    """`CLayerNorm` there gives zeros for (B, F)."""
    layer, x = layer(input_shape=(7, 24)), torch.randn(7, 24)
    assert layer(x).abs().max() > 0.5
    torch.testing.assert_close(layer(x), layer(x.unsqueeze(0))[0])


@pytest.mark.parametrize("layer", [LiGRU, CLiGRU, QLiGRU])
def test_defect_ligru_with_layer_norm_ignores_its_input(layer):
    """`CLiGRU` there returns the same for every input with layer norm."""
    layer = layer(16, input_size=4, normalization="layernorm").double()
    x = torch.randn(2, 5, 4 * layer.n_parts, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    assert (y - layer(torch.randn_like(x))).abs().max() > 0.1
    assert torch.autograd.grad(y.sum(), x)[0].abs().amax(-1).min() > 1e-6


def test_defect_gates_of_some_parts_of_other_numbers():
    """In LSTM and LiGRU there, a gate is made of one part of several numbers: no complex product.

    Here the first frame's gates are W x, in torch's complex numbers.
    """
    x = torch.randn(5, 1, 6, dtype=torch.float64)
    lstm = CLSTM(4, input_size=3).double()
    ligru = CLiGRU(4, input_size=3, normalization=None).double()

    def gates(layer):
        weight = torch.complex(*layer.layers[0][0].input.parts)
        return [from_complex(z) for z in torch.nn.functional.linear(to_complex(x), weight).split(4, -1)]

    enter, _, candidate, leave = gates(lstm)
    cell = enter.sigmoid() * candidate.tanh()
    torch.testing.assert_close(lstm(x), leave.sigmoid() * cell.tanh())
    update, candidate = gates(ligru)
    torch.testing.assert_close(ligru(x), (1 - update.sigmoid()) * candidate.relu())


@pytest.mark.parametrize("layer", RECURRENT)
def test_defect_crash_when_the_batch_size_changes(layer):
    """`CRNN`, `CLiGRU` and `QRNN` there keep a state of the first batch's size."""
    layer = layer(3, input_size=2, bidirectional=True).double()
    x = torch.randn(5, 4, 2 * layer.n_parts, dtype=torch.float64)
    layer(x)  # in training
    layer.eval()
    whole = layer(x)
    for item in range(5):
        torch.testing.assert_close(layer(x[item : item + 1]), whole[item : item + 1], rtol=1e-9, atol=1e-12)
    layer.train()(x[:2, :3])


@pytest.mark.parametrize("layer", [CConv1d, QConv1d, CConv2d, QConv2d])
def test_defect_groups_are_no_hypercomplex_convolution(layer):
    """With groups > 1 there, an output hears single parts of numbers. A group is a convolution of its own."""
    grouped = layer(6, 3, input_size=4, groups=2).double()
    n = grouped.weight.algebra.n_parts
    torch.nn.init.normal_(grouped.bias)
    x = torch.randn(2, 7, *[5] * (layer in (CConv2d, QConv2d)), 4 * n, dtype=torch.float64)
    outputs = []
    for numbers, weight, bias in zip(
        split_parts(x, grouped.weight.algebra).chunk(2, -1),
        grouped.weight.parts.chunk(2, 1),
        grouped.bias.view(n, 6).chunk(2, 1),
        strict=True,
    ):
        alone = layer(3, 3, input_size=2).double()
        alone.weight.parts.data, alone.bias.data = weight, bias.flatten()
        outputs.append(split_parts(alone(numbers.flatten(-2)), grouped.weight.algebra))
    torch.testing.assert_close(grouped(x), torch.cat(outputs, -1).flatten(-2))


def test_defect_spinor_linear_and_convolution_rotate_opposite_ways():
    conv = QConv1d(3, 1, input_size=2, spinor=True, vector_scale=True).double()
    torch.nn.init.normal_(conv.weight.parts)
    linear = QLinear(3, input_size=2, spinor=True, vector_scale=True).double()
    linear.load_state_dict(
        {k: v.squeeze(-1) if k.startswith("weight") else v for k, v in conv.state_dict().items()}
    )
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(conv(x), linear(x))
    numbers, expected = split_parts(x, "quaternion"), torch.zeros(2, 5, 4, 3, dtype=torch.float64)
    for out in range(3):
        for i in range(2):  # q v q*, with the learned length
            q = normalize(conv.weight.parts[:, out, i, 0], "quaternion").expand(2, 5, 4)
            turned = multiply(
                multiply(q, numbers[..., i], "quaternion"), conjugate(q, "quaternion"), "quaternion"
            )
            expected[..., out] += conv.weight.scale[out, i] * turned
    torch.testing.assert_close(linear(x), expected.flatten(-2))


@pytest.mark.parametrize(
    "layer", [partial(QLinear, 3), partial(QConv1d, 3, 2), partial(QLSTM, 3), partial(CGRU, 2)]
)
def test_defect_first_weights_reseed_numpy(layer):
    """`quaternion_init` there seeds numpy anew for each layer, so layers of one shape get the same moduli."""
    np.random.seed(7)
    random.seed(7)
    numpy_before, python_before = np.random.get_state()[1].copy(), random.getstate()
    torch.manual_seed(3)
    one, two = layer(input_size=2).state_dict(), layer(input_size=2).state_dict()
    assert (np.random.get_state()[1] == numpy_before).all()
    assert random.getstate() == python_before
    assert torch.initial_seed() == 3
    for name in (name for name in one if name.endswith("parts")):
        assert not torch.allclose(one[name].norm(dim=0), two[name].norm(dim=0))
    torch.manual_seed(3)
    again = layer(input_size=2).state_dict()
    assert all(torch.equal(again[name], value) for name, value in one.items())


class Witness(torch.autograd.Function):
    """The identity; its node of the graph holds `token` as long as it lives."""

    @staticmethod
    def forward(ctx, x, token):
        ctx.token = token
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad, None


@pytest.mark.parametrize("layer", [CBatchNorm, QBatchNorm, partial(QBatchNorm, whiten="shared")])
def test_defect_batch_norm_keeps_its_graph(layer):
    """`QBatchNorm`'s running mean there is part of the graph: memory grows, a second backward pass fails."""
    layer, x = layer(input_shape=(None, None, 8)), torch.randn(3, 50, 8, requires_grad=True)
    for _ in range(2):
        layer(x).square().sum().backward()
    token = torch.nn.Module()
    y, alive = layer(Witness.apply(x, token)), weakref.ref(token)
    del token
    assert alive() is not None  # held by the graph of y
    del y
    gc.collect()
    assert alive() is None
    assert all(buffer.grad_fn is None and not buffer.requires_grad for buffer in layer.buffers())


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_defect_max_pooling_of_a_batch(padding):
    """`QPooling2d("max")` there takes the parts of all items from the first. Item by item gives the same."""
    layer, x = QPooling2d("max", (3, 2), (2, 2), padding=padding), torch.randn(4, 7, 6, 12)
    whole = layer(x)
    for item in range(4):
        torch.testing.assert_close(whole[item : item + 1], layer(x[item : item + 1]), rtol=0, atol=0)
    # what is taken is whole numbers of that very item
    for item in range(4):
        numbers = set(
            map(tuple, split_parts(x[item], "quaternion").transpose(-1, -2).flatten(0, -2).tolist())
        )
        taken = split_parts(whole[item], "quaternion").transpose(-1, -2).flatten(0, -2).tolist()
        assert {tuple(number) for number in taken} <= numbers
