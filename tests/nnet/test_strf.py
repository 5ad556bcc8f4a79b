"""STRF filters against the published formula as a plain double loop, and their routes against each other."""

import copy
import json
import math

import pytest
import torch

from speechkit.errors import UserError
from speechkit.nnet import STRFConv2d
from speechkit.nnet.strf import NUMBERS

ROUTES = ("dense", "separable", "fourier")


def published_kernel(layer, number, wave):
    """w(f, t) value by value, as in the paper's code."""
    n_bands, n_frames = layer.kernel_size
    g, m = layer.direction[number].item(), layer.modulation[number].item()
    s_f, s_t = layer.width_f[number].item(), layer.width_t[number].item()
    half_f, half_t = math.ceil(n_bands / 2), math.ceil(n_frames / 2)
    kernel = torch.zeros(n_bands, n_frames, dtype=torch.float64)
    for i in range(n_bands):
        for j in range(n_frames):
            f = -half_f + 1 + i * (2 * half_f - 1) / (n_bands - 1)
            t = -half_t + 1 + j * (2 * half_t - 1) / (n_frames - 1)
            envelope = math.exp(-0.5 * (f**2 / (s_f + 1e-3) ** 2 + t**2 / (s_t + 1e-3) ** 2))
            kernel[i, j] = envelope * wave(m * (t * math.cos(g) + f * math.sin(g)))
            kernel[i, j] /= 2 * math.pi * s_f * s_t
    return kernel


@pytest.mark.parametrize("kernel_size", [(4, 7), (9, 12)])
def test_kernels_are_the_published_formula(kernel_size):
    layer = STRFConv2d(3, kernel_size, carrier="both").double()
    for number in range(3):
        for wave, row in ((math.cos, number), (math.sin, 3 + number)):
            expected = published_kernel(layer, number, wave)
            torch.testing.assert_close(layer.kernels()[row], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("carrier", "padding"), [("cos", "same"), ("sin", "causal"), ("both", "valid")])
def test_every_route_equals_a_loop_over_frames_and_bands(route, carrier, padding):
    layer = STRFConv2d(2, (4, 5), stride=(3, 2), padding=padding, carrier=carrier, route=route).double()
    x = torch.randn(2, 11, 10, dtype=torch.float64)
    before_t = {"same": 2, "causal": 4, "valid": 0}[padding]
    before_f = 0 if padding == "valid" else 1
    padded = torch.zeros(2, 30, 30, dtype=torch.float64)
    padded[:, before_t : before_t + 11, before_f : before_f + 10] = x
    kernels = layer.kernels()
    n_frames, n_bands = (4, 3) if padding == "valid" else (6, 4)
    expected = torch.zeros(2, n_frames, n_bands, len(kernels), dtype=torch.float64)
    for t in range(n_frames):
        for f in range(n_bands):
            window = padded[:, 2 * t : 2 * t + 5, 3 * f : 3 * f + 4]
            expected[:, t, f] = torch.einsum("btf,cft->bc", window, kernels)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("carrier", ["cos", "both"])
def test_routes_agree_in_float32_at_the_published_size(carrier):
    layer, x = STRFConv2d(8, (9, 111), carrier=carrier), torch.randn(2, 60, 20)
    outputs, gradients = [], []
    for layer.route in ROUTES:
        y = layer(x)
        outputs.append(y.detach())
        gradients.append(torch.stack(torch.autograd.grad(y.square().sum(), list(layer.parameters()))))
    for y, gradient in zip(outputs[1:], gradients[1:], strict=True):
        assert (y - outputs[0]).abs().max() < 1e-5 * outputs[0].abs().max()
        assert (gradient - gradients[0]).abs().max() < 1e-4 * gradients[0].abs().max()


@pytest.mark.parametrize("route", ROUTES)
def test_gradients(route):
    layer = STRFConv2d(2, (3, 4), carrier="both", route=route).double()
    x = torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x, *values):
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(layer, given, (x, torch.tensor([6, 4])))

    assert torch.autograd.gradcheck(run, (x, *values))


def test_the_wave_turns_with_its_direction():
    """A filter answers to a ripple of its own direction, not to the mirrored one."""
    layer = STRFConv2d(1, (16, 16), carrier="both")
    with torch.no_grad():
        for value, of in zip((0.7, 1.2, 4.0, 4.0), layer.parameters(), strict=True):
            of.fill_(value)
    t, f = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    ripple = torch.cos(1.2 * (t * math.cos(0.7) + f * math.sin(0.7)))
    own, mirrored = layer(ripple[None]), layer(ripple.flip(1)[None])
    centre = slice(10, 30)
    assert own[0, centre, centre].norm() > 20 * mirrored[0, centre, centre].norm()
    power = own[0, centre, centre].square().sum(-1)  # cosine and sine: the phase of the ripple drops out
    assert power.std() < 0.02 * power.mean()


def test_initial_values_are_the_published_distributions():
    torch.manual_seed(0)
    layer = STRFConv2d(4000, (3, 3))
    exponents = {
        "modulation": -torch.log(layer.modulation / (math.pi / 2)) / math.log(1.41) / 5,
        "width_f": torch.log(layer.width_f / 2) / math.log(1.41) / 6,
        "width_t": torch.log(layer.width_t / 2) / math.log(1.41) / 6,
        "direction": (layer.direction / math.pi + 1) / 2,
    }
    for values in exponents.values():
        ordered = values.detach().sort().values
        uniform = torch.linspace(0, 1, 4000)
        assert (ordered - uniform).abs().max() < 1.63 / math.sqrt(4000)  # Kolmogorov and Smirnov, 1%


def test_a_pair_is_its_cosine_and_its_sine():
    both, x = STRFConv2d(3, (4, 6), carrier="both"), torch.randn(2, 9, 8)
    parts = []
    for carrier in ("cos", "sin"):
        one = STRFConv2d(3, (4, 6), carrier=carrier)
        one.load_state_dict(both.state_dict())
        parts.append(one(x.unsqueeze(-1)))
    torch.testing.assert_close(both(x), torch.cat(parts, -1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"carrier": "tan"}, "carrier is 'tan'; expected cos, sin, both"),
        ({"route": "fast"}, "route is 'fast'"),
        ({"input_shape": (None, None, 40, 2)}, "got 2 channels"),
        ({"kernel_size": (9, 0)}, "kernel_size is 0"),
    ],
)
def test_mistakes_are_told(arguments, words):
    with pytest.raises(UserError, match=words):
        STRFConv2d(**{"out_channels": 2, "kernel_size": (3, 3), **arguments})


def test_a_kernel_longer_than_the_input_is_told():
    with pytest.raises(UserError, match="less than its kernel spans"):
        STRFConv2d(2, (3, 9), padding="valid")(torch.zeros(1, 5, 10))


def moved_layer(**arguments) -> STRFConv2d:
    layer = STRFConv2d(4, (5, 7), **arguments)
    with torch.no_grad():
        for number in layer.parameters():
            number.add_(0.25)
    return layer


def numbers_of(layer: STRFConv2d) -> torch.Tensor:
    return torch.stack([layer.direction, layer.modulation, layer.width_f, layer.width_t]).detach()


def test_the_start_goes_wherever_the_filters_go():
    layer = moved_layer()
    start = numbers_of(layer) - 0.25
    loaded = STRFConv2d(4, (5, 7))
    loaded.load_state_dict(layer.state_dict())
    for each in (layer, copy.deepcopy(layer), loaded):
        torch.testing.assert_close(each.start, start)
        assert torch.equal(numbers_of(each), numbers_of(layer))
    layer.mark_start()
    assert torch.equal(layer.start, numbers_of(layer))
    torch.testing.assert_close(loaded.start, start)


def test_what_is_described_is_exact():
    layer = moved_layer(carrier="both")
    described = json.loads(json.dumps(layer.describe_filters()))
    for when, expected in (("start", layer.start), ("end", numbers_of(layer))):
        values = torch.tensor([described[when][name] for name in NUMBERS])
        assert torch.equal(values, expected)
    assert described["kernel_size"] == {"bands": 5, "frames": 7}
    assert (described["carrier"], described["trainable"]) == ("both", True)


def test_frozen_filters_stay_and_the_rest_learns():
    torch.manual_seed(0)
    layers = {"learned": STRFConv2d(4, (3, 5)), "frozen": STRFConv2d(4, (3, 5), trainable=False)}
    for name, layer in layers.items():
        head = torch.nn.Linear(4, 1)
        weights = [*layer.parameters(), *head.parameters()]
        before = [weight.detach().clone() for weight in weights]
        optimizer = torch.optim.AdamW([each for each in weights if each.requires_grad], weight_decay=0.1)
        for _ in range(3):
            head(layer(torch.randn(2, 9, 6))).square().mean().backward()
            optimizer.step()
        changed = [not torch.equal(*pair) for pair in zip(before, weights, strict=True)]
        assert changed == [name == "learned"] * 4 + [True] * 2
        assert layer.describe_filters()["trainable"] == (name == "learned")
        assert torch.equal(layer.start, torch.stack(before[:4]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_comes_back_as_it_went_in(dtype):
    layer, x = STRFConv2d(3, (4, 5), route="fourier"), torch.randn(2, 9, 8)
    y = layer.to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), layer.float()(x), rtol=0.05, atol=0.05)
