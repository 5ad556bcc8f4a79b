"""Recurrent layers over an algebra against loops over frames of numbers, by table or torch's complex."""

import pytest
import torch
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet import (
    CGRU,
    CLSTM,
    CRNN,
    GRU,
    LSTM,
    QGRU,
    QLSTM,
    QRNN,
    RNN,
    CLiGRU,
    HyperGRU,
    HyperLiGRU,
    HyperLSTM,
    HyperRNN,
    LiGRU,
    QLiGRU,
)
from speechkit.ops.algebra import from_complex, multiply, to_complex
from speechkit.ops.ligru import ligru_states

COMPLEX = (CRNN, CLSTM, CGRU, CLiGRU)
QUATERNION = (QRNN, QLSTM, QGRU, QLiGRU)
KINDS = {"rnn": HyperRNN, "lstm": HyperLSTM, "gru": HyperGRU, "ligru": HyperLiGRU}
LENGTHS = torch.tensor([6, 3, 5])


def randomized(layer):
    for parameter in layer.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, dtype=torch.float64)
    return layer.double().eval()


def step(kind, a, u, h, c):
    """One frame, gate by gate: `a` and `u` are what input and state add, as real parts."""
    if kind == "rnn":
        return torch.tanh(a[0] + u[0]), c
    if kind == "lstm":
        i, f, g, o = (x + y for x, y in zip(a, u, strict=True))
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
    if kind == "gru":
        r, z = (a[0] + u[0]).sigmoid(), (a[1] + u[1]).sigmoid()
        return (1 - z) * (a[2] + r * u[2]).tanh() + z * h, c
    z = (a[0] + u[0]).sigmoid()
    return z * h + (1 - z) * (a[1] + u[1]).relu(), c


def gates_of(weight, bias, x, algebra, n_gates):
    """W x + b for each gate, number by number: weights (n, G H, I), x (n I,)."""
    n = weight.algebra.n_parts
    n_hidden = weight.parts.shape[1] // n_gates
    numbers, found = x.view(n, -1), []
    for gate in range(n_gates):
        rows = []
        for row in range(gate * n_hidden, (gate + 1) * n_hidden):
            total = sum(
                multiply(weight.parts[:, row, column], numbers[:, column], algebra)
                for column in range(numbers.shape[1])
            )
            rows.append(total)
        found.append(torch.stack(rows, 1).flatten())
    return found if bias is None else [g + b for g, b in zip(found, bias.chunk(n_gates), strict=True)]


def by_loop(kind, cell, frames, algebra):
    n_state = cell.recurrent.parts.shape[2] * cell.recurrent.algebra.n_parts
    h = c = torch.zeros(n_state, dtype=torch.float64)
    outputs = []
    n_gates = {"rnn": 1, "lstm": 4, "gru": 3, "ligru": 2}[kind]
    if kind == "ligru":  # a bias part by part, then gate by gate
        n = cell.input.algebra.n_parts
        first, second = cell.bias.view(n, n_gates, -1).transpose(0, 1).flatten(), None
    else:
        first, second = cell.input_bias, cell.recurrent_bias
    for frame in frames:
        a = gates_of(cell.input, first, frame, algebra, n_gates)
        h, c = step(kind, a, gates_of(cell.recurrent, second, h, algebra, n_gates), h, c)
        outputs.append(h)
    return torch.stack(outputs), h, c


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algebra", ["complex", "quaternion", "dual"])
def test_layers_equal_a_loop_over_numbers(kind, algebra):
    extra = {"normalization": None} if kind == "ligru" else {}
    n = 4 if algebra == "quaternion" else 2
    layer = KINDS[kind](
        2, input_size=3, algebra=algebra, bidirectional=True, num_layers=2, return_hidden=True, **extra
    )
    layer, x = randomized(layer), torch.randn(3, 6, 3 * n, dtype=torch.float64)
    with torch.no_grad():
        y, state = layer(x, LENGTHS)
        for item, length in enumerate(LENGTHS):
            frames, depth = x[item, :length], 0
            for cells in layer.layers:
                forward, last_f, c_f = by_loop(kind, cells[0], frames, algebra)
                backward, last_b, c_b = by_loop(kind, cells[1], frames.flip(0), algebra)
                both = [forward.unflatten(1, (n, -1)), backward.flip(0).unflatten(1, (n, -1))]
                frames = torch.cat(both, 2).flatten(1)
                h = state[0] if kind == "lstm" else state
                torch.testing.assert_close(h[depth : depth + 2, item], torch.stack((last_f, last_b)))
                if kind == "lstm":
                    torch.testing.assert_close(state[1][depth : depth + 2, item], torch.stack((c_f, c_b)))
                depth += 2
            torch.testing.assert_close(y[item, :length], frames)


def test_complex_product_is_torchs():
    layer, x = randomized(CRNN(3, input_size=4)), torch.randn(2, 5, 8, dtype=torch.float64)
    kernel = layer.layers[0][0]
    w, u = (torch.complex(*each.parts.unbind()) for each in (kernel.input, kernel.recurrent))
    bias = to_complex(kernel.input_bias + kernel.recurrent_bias)
    h, expected = torch.zeros(2, 3, dtype=torch.complex128), []
    for frame in to_complex(x).unbind(1):
        total = frame @ w.T + h @ u.T + bias
        h = torch.complex(total.real.tanh(), total.imag.tanh())
        expected.append(from_complex(h))
    torch.testing.assert_close(layer(x), torch.stack(expected, 1))


@pytest.mark.parametrize(("hyper", "real"), [(HyperRNN, RNN), (HyperLSTM, LSTM), (HyperGRU, GRU)])
def test_over_the_reals_it_is_torchs_layer(hyper, real):
    ours = randomized(hyper(3, input_size=4, algebra="real", bidirectional=True, return_hidden=True))
    theirs = real(3, input_size=4, bidirectional=True, return_hidden=True).double()
    for own, kernel in zip(ours.layers[0], theirs.layers[0], strict=True):
        kernel.weight_ih_l0.data, kernel.weight_hh_l0.data = own.input.parts[0], own.recurrent.parts[0]
        kernel.bias_ih_l0.data, kernel.bias_hh_l0.data = own.input_bias.data, own.recurrent_bias.data
    x = torch.randn(3, 6, 4, dtype=torch.float64)
    torch.testing.assert_close(ours(x, LENGTHS), theirs(x, LENGTHS))


@pytest.mark.parametrize("has_mask", [False, True])
@pytest.mark.parametrize("n_parts", [1, 2])
def test_the_ligrus_recurrence_and_its_gradients(has_mask, n_parts):
    """Against torch's gradients of a loop."""
    inputs = torch.randn(2, 3, 4, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 8, 4, dtype=torch.float64, requires_grad=True)
    mask = 2.0 * torch.randint(2, (2, 3, 4)).double() if has_mask else torch.ones(2, 3, 4).double()
    got = ligru_states(inputs.unbind(), weight, mask if has_mask else None, n_parts)
    state, expected = torch.zeros(2, 3, 4, dtype=torch.float64), []
    for frame in inputs.unbind(2):
        gates = (frame + state @ weight.mT).unflatten(-1, (n_parts, 2, -1))
        z, c = gates[..., 0, :].flatten(-2).sigmoid(), gates[..., 1, :].flatten(-2).relu() * mask
        state = z * state + (1 - z) * c
        expected.append(state)
    got, expected = torch.stack(got), torch.stack(expected, 2)
    torch.testing.assert_close(got, expected)
    upstream = torch.randn_like(got)
    sides = [torch.autograd.grad(y, [inputs, weight], upstream) for y in (got, expected)]
    torch.testing.assert_close(*sides)


@pytest.mark.parametrize("layer_class", [CLSTM, QGRU, CRNN, QLiGRU, LiGRU])
def test_gradients(layer_class):
    layer = randomized(layer_class(1, input_size=1)).train()
    n = layer.n_parts
    x = torch.randn(2, 3, n, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *values))


@pytest.mark.parametrize("layer_class", [LiGRU, *COMPLEX, *QUATERNION])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_published_shapes(layer_class, bidirectional):
    layer = layer_class(hidden_size=12, input_shape=(10, 16, 40), bidirectional=bidirectional)
    assert layer(torch.randn(10, 16, 40)).shape == (10, 16, 12 * layer.n_parts * (1 + bidirectional))
    y, state = layer_class(6, input_shape=(10, 16, 40), num_layers=2, return_hidden=True)(
        torch.randn(3, 7, 40)
    )
    h = state[0] if isinstance(state, tuple) else state
    torch.testing.assert_close(h[-1], y[:, -1])
    assert h.shape == (2, 3, 6 * layer.n_parts)


@pytest.mark.parametrize("layer_class", [LiGRU, CLiGRU, QLiGRU])
def test_ligru_batch_norm_counts_true_frames_only(layer_class):
    layer = layer_class(3, input_size=2, bidirectional=True).double()
    x = torch.randn(2, 6, 2 * layer.n_parts, dtype=torch.float64)
    padded = F.pad(x, (0, 0, 0, 4), value=1e3)
    torch.testing.assert_close(layer(padded, torch.tensor([6, 6]))[:, :6], layer(x))


@pytest.mark.parametrize("layer_class", [LiGRU, CLiGRU])
def test_ligru_dropout_is_the_same_in_every_frame_and_off_in_evaluation(layer_class):
    layer = layer_class(40, input_size=3, dropout=0.5)
    x = torch.randn(4, 9, 3 * layer.n_parts)
    active = (layer(x) != 0).any(1)
    assert 0.3 < active.float().mean() < 0.7
    layer.eval()
    torch.testing.assert_close(layer(x), layer(x), rtol=0, atol=0)
    assert (layer(x) != 0).any(1).float().mean() > 0.9


def test_dropout_between_layers_is_off_in_evaluation():
    layer = CLSTM(4, input_size=2, num_layers=2, dropout=0.5)
    x = torch.randn(2, 5, 4)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    torch.testing.assert_close(layer(x), layer(x), rtol=0, atol=0)


RECURRENT = (RNN, LSTM, GRU, LiGRU, *COMPLEX, *QUATERNION)


@pytest.mark.parametrize("layer_class", [*COMPLEX, *QUATERNION])
def test_dropout_drops_all_parts_of_a_number(layer_class):
    """Between layers, and of a LiGRU's candidates in every frame."""
    torch.manual_seed(0)
    is_ligru = layer_class in (CLiGRU, QLiGRU)
    layer = layer_class(20, input_size=2, num_layers=1 if is_ligru else 2, bidirectional=True, dropout=0.25)
    n = layer.n_parts
    x = torch.randn(3, 5, 2 * n)
    if is_ligru:
        weight = layer.layers[0][0].recurrent.matrix().unsqueeze(0)
        drawn = layer._mask(torch.zeros(30, 5, 2 * n), weight)
    else:
        kernel = layer.layers[1][0]
        given = []
        kernel.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0]))
        layer(x)
        drawn = given[0]
    is_dropped = drawn.unflatten(-1, (n, -1)) == 0
    assert torch.equal(is_dropped, is_dropped[..., :1, :].expand_as(is_dropped))
    assert 0.15 < is_dropped.float().mean() < 0.35
    kept = drawn[drawn != 0]
    if is_ligru:
        torch.testing.assert_close(kept, torch.full_like(kept, 4 / 3))


@pytest.mark.parametrize("layer_class", [RNN, LSTM, GRU])
def test_dropout_of_real_layers_is_torchs_dropout(layer_class):
    layer = layer_class(3, input_size=2, num_layers=2, dropout=0.5)
    x = torch.randn(2, 5, 2)
    torch.manual_seed(0)
    got = layer(x)
    torch.manual_seed(0)
    expected = layer.layers[1][0](F.dropout(layer.layers[0][0](x)[0], 0.5))[0]
    assert torch.equal(got, expected)


def states_of(layer, x, lengths=None):
    y, state = layer(x, lengths)
    return y, torch.stack(state) if isinstance(state, tuple) else state.unsqueeze(0)


@pytest.mark.parametrize("layer_class", RECURRENT)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_items_of_no_frame_or_one(layer_class, bidirectional):
    """Each item as if it were alone, and zeros for the state of one without frames, whatever its padding."""
    layer = layer_class(2, input_size=3, num_layers=2, bidirectional=bidirectional, return_hidden=True)
    layer, n_frames = layer.double().eval(), [6, 1, 0, 4]
    x = torch.randn(4, 6, 3 * getattr(layer, "n_parts", 1), dtype=torch.float64)
    for item, count in enumerate(n_frames):
        x[item, count:] = 1e3
    y, states = states_of(layer, x, torch.tensor(n_frames))
    for item, count in enumerate(n_frames):
        alone, own = states_of(layer, x[item : item + 1, :count])
        torch.testing.assert_close(y[item, :count], alone[0])
        torch.testing.assert_close(states[:, :, item], own[:, :, 0])
    assert states[:, :, 2].abs().max() == 0
    assert states[:, :, 1].abs().min() > 0 or layer_class.__name__.endswith("LiGRU")


@pytest.mark.parametrize("layer_class", RECURRENT)
@pytest.mark.parametrize("training", [False, True])
def test_a_batch_without_frames(layer_class, training):
    layer = layer_class(3, input_size=2, num_layers=2, bidirectional=True, return_hidden=True)
    n = getattr(layer, "n_parts", 1)
    before = {name: value.clone() for name, value in layer.state_dict().items() if "running" in name}
    for lengths in (None, torch.tensor([0, 0])):
        y, states = states_of(layer.train(training), torch.zeros(2, 0, 2 * n), lengths)
        assert y.shape == (2, 0, 6 * n)
        assert states.shape[1:] == (4, 2, 3 * n)
        assert states.abs().max() == 0
    after = layer.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("layer_class", RECURRENT)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths_that_are_none_are_told(layer_class, bidirectional):
    layer = layer_class(3, input_size=2, bidirectional=bidirectional)
    x = torch.zeros(2, 4, 2 * getattr(layer, "n_parts", 1))
    with pytest.raises(UserError, match="expected integer counts"):
        layer(x, torch.tensor([1.0, 0.5]))
    with pytest.raises(UserError, match="a length of 5 in a batch padded to 4"):
        layer(x, torch.tensor([5, 3]))


@pytest.mark.parametrize("layer_class", [LiGRU, CLiGRU])
@pytest.mark.parametrize("shape", [(3, 5), (1, 5), (3, 1)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_next_layer_may_work_in_place(layer_class, shape, bidirectional):
    layer = layer_class(4, input_size=2, num_layers=2, bidirectional=bidirectional, normalization=None)
    x = torch.randn(*shape, 2 * layer.n_parts)
    sides = []
    for is_inplace in (False, True):
        y = layer(x)
        y = F.relu(y - 0.05) if not is_inplace else F.relu(y.sub_(0.05), inplace=True)
        sides.append(torch.autograd.grad(y.square().sum(), list(layer.parameters())))
    assert any(gradient.abs().max() > 0 for gradient in sides[0])
    torch.testing.assert_close(*sides)


def test_first_weights_have_the_variance_of_a_gate_of_their_own():
    torch.manual_seed(0)
    for layer_class, n_gates in ((CLSTM, 4), (QGRU, 3), (CRNN, 1), (QLiGRU, 2)):
        cell = layer_class(40, input_size=60).layers[0][0]
        for weight, fans in ((cell.input, 60 + 40), (cell.recurrent, 40 + 40)):
            for gate in weight.parts.chunk(n_gates, 1):
                assert abs(gate.square().sum(0).mean().item() * fans / 2 - 1) < 0.1
    for gate in LiGRU(20, input_size=5).layers[0][0].recurrent.parts[0].chunk(2):
        torch.testing.assert_close(gate @ gate.T, torch.eye(20), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("layer_class", "arguments", "words"),
    [
        (HyperLSTM, {"input_size": 4}, "without algebra"),
        (CLiGRU, {"input_size": 4, "normalization": "batch"}, "expected batchnorm, layernorm or null"),
        (QRNN, {"input_shape": (None, None, 30)}, "30 input features; expected a multiple of 4"),
        (CGRU, {"input_size": 4, "dropout": 1.5}, "dropout is 1.5"),
        (CLSTM, {"input_size": 4, "weight_init": "quaternion"}, "weight_init 'quaternion'"),
    ],
)
def test_mistakes_are_told(layer_class, arguments, words):
    with pytest.raises(UserError, match=words):
        layer_class(3, **arguments)
