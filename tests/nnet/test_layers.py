"""Layers against torch's own on true frames, or against explicit loops."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from speechkit.errors import UserError
from speechkit.nnet import (
    GRU,
    LSTM,
    RNN,
    BatchNorm1d,
    BatchNorm2d,
    Conv1d,
    Conv2d,
    Dropout,
    Dropout2d,
    LayerNorm,
    Linear,
    Pooling1d,
    Pooling2d,
    StatisticsPooling,
    SubSpectralNorm,
)

LENGTHS = torch.tensor([7, 3, 5])


def true_frames(x, lengths=LENGTHS):
    return torch.cat([x[item, :length] for item, length in enumerate(lengths)])


def test_linear_is_torchs():
    layer, x = Linear(3, input_shape=(None, None, 5)), torch.randn(2, 7, 5)
    torch.testing.assert_close(layer(x), x @ layer.linear.weight.T + layer.linear.bias)


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (4, 2), (1, 1)])
@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
def test_conv1d_equals_a_loop_over_frames(kernel, dilation, padding, stride):
    layer = Conv1d(2, kernel, input_size=3, stride=stride, dilation=dilation, padding=padding).double()
    x = torch.randn(2, 11, 3, dtype=torch.float64)
    span = dilation * (kernel - 1)
    before = {"same": span // 2, "causal": span, "valid": 0}[padding]
    n_frames = (11 - span - 1) // stride + 1 if padding == "valid" else -(-11 // stride)
    expected = torch.zeros(2, n_frames, 2, dtype=torch.float64) + layer.conv.bias
    for out in range(n_frames):
        for tap in range(kernel):
            frame = out * stride + tap * dilation - before
            if 0 <= frame < 11:
                expected[:, out] += x[:, frame] @ layer.conv.weight[:, :, tap].T
    torch.testing.assert_close(layer(x), expected)


def test_causal_conv_looks_at_no_later_frame():
    layer, x = Conv2d(2, (4, 3), input_size=3, padding="causal"), torch.randn(2, 9, 6, 3)
    changed = x.clone()
    changed[:, 5:] += 1
    difference = (layer(x) - layer(changed)).abs().amax((0, 2, 3))
    assert difference[:5].max() == 0
    assert difference[5:].min() > 0


def test_conv2d_is_torchs_with_axes_moved():
    layer = Conv2d(8, (3, 5), input_shape=(None, None, 10, 4), stride=(2, 1), dilation=(1, 2), groups=2)
    x = torch.randn(2, 9, 10, 4)
    expected = functional.conv2d(
        x.permute(0, 3, 1, 2), layer.conv.weight, layer.conv.bias, (2, 1), (1, 4), (1, 2), groups=2
    )
    torch.testing.assert_close(layer(x), expected.permute(0, 2, 3, 1))


def test_conv2d_reads_features_as_one_channel():
    layer, x = Conv2d(8, 3, input_shape=(None, None, 10)), torch.randn(2, 9, 10)
    torch.testing.assert_close(layer(x), layer(x.unsqueeze(-1)))


@pytest.mark.parametrize(
    ("layer", "oracle", "size"), [(BatchNorm1d, nn.BatchNorm1d, ()), (BatchNorm2d, nn.BatchNorm2d, (4,))]
)
def test_batch_norm_is_torchs_on_the_true_frames_in_a_row(layer, oracle, size):
    ours = layer(input_size=3, momentum=0.3).double()
    theirs = oracle(3, momentum=0.3).double()
    for parameter, name in ((theirs.weight, "weight"), (theirs.bias, "bias")):
        nn.init.normal_(parameter)
        getattr(ours.norm, name).data.copy_(parameter.data.view(1, 1, 3))
    for _ in range(2):  # twice, for the running statistics
        x = (torch.randn(3, 7, *size, 3, dtype=torch.float64) * 2 + 1).requires_grad_()
        # (1, C, frames, ...), contiguous: torch 2.11's gradient is wrong for one item channels last.
        row = true_frames(x).movedim(-1, 0).unsqueeze(0).contiguous()
        expected = theirs(row)[0].movedim(0, -1)
        weights = torch.randn_like(expected)
        grads = torch.autograd.grad((expected * weights).sum(), [x, theirs.weight, theirs.bias])
        got = true_frames(ours(x, LENGTHS))
        ours_grads = torch.autograd.grad((got * weights).sum(), [x, ours.norm.weight, ours.norm.bias])
        torch.testing.assert_close(got, expected)
        for ours_grad, grad in zip(ours_grads, grads, strict=True):
            torch.testing.assert_close(ours_grad.flatten(), grad.flatten())
    torch.testing.assert_close(ours.norm.running_mean.flatten(), theirs.running_mean)
    torch.testing.assert_close(ours.norm.running_var.flatten(), theirs.running_var)
    torch.testing.assert_close(true_frames(ours.eval()(x, LENGTHS)), theirs.eval()(row)[0].movedim(0, -1))


def test_batch_norm_takes_no_notice_of_what_padding_holds():
    layer, x = BatchNorm1d(input_size=3), torch.randn(3, 7, 3)
    other = x.clone()
    other[1, 3:], other[2, 5:] = torch.nan, 1e6
    torch.testing.assert_close(true_frames(layer(x, LENGTHS)), true_frames(layer(other, LENGTHS)))
    assert layer.norm.running_mean.isfinite().all()


def test_batch_norm_keeps_its_digits_under_autocast():
    layer, x = BatchNorm1d(input_size=3), torch.randn(3, 700, 3) + 30
    with torch.autocast("cpu", torch.bfloat16):
        got = layer(x)
    torch.testing.assert_close(got, layer(x))


def test_subspectral_norm_is_one_batch_norm_a_subband():
    layer, x = SubSpectralNorm(3, (None, None, 6, 4)), torch.randn(3, 7, 6, 4) * torch.arange(1, 7).view(6, 1)
    y = layer(x, LENGTHS)
    for subband in range(3):
        bands = slice(2 * subband, 2 * subband + 2)
        expected = BatchNorm2d(input_size=4)(x[:, :, bands], LENGTHS)
        torch.testing.assert_close(true_frames(y[:, :, bands]), true_frames(expected))


@pytest.mark.parametrize("n_subbands", [1, 2])
def test_batch_norm_gradients(n_subbands):
    layer = SubSpectralNorm(n_subbands, (None, None, 2, 2)).double()
    nn.init.normal_(layer.norm.weight)
    x = torch.randn(3, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([4, 1, 3])

    def run(x, weight, bias):
        weights = {"norm.weight": weight, "norm.bias": bias}
        return torch.func.functional_call(layer, weights, (x, lengths))

    assert torch.autograd.gradcheck(run, (x, layer.norm.weight, layer.norm.bias))


def test_layer_norm_is_per_frame():
    x = torch.randn(2, 7, 6, 4)
    y = LayerNorm(input_shape=x.shape, axis=[2, 3])(x)
    torch.testing.assert_close(y.mean((2, 3)), torch.zeros(2, 7), atol=1e-6, rtol=0)
    with pytest.raises(UserError, match="after time"):
        LayerNorm(input_shape=x.shape, axis=1)


@pytest.mark.parametrize(("layer", "oracle"), [(RNN, nn.RNN), (LSTM, nn.LSTM), (GRU, nn.GRU)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_layers_are_torchs_utterance_by_utterance(layer, oracle, bidirectional):
    ours = layer(4, input_size=3, num_layers=2, bidirectional=bidirectional, return_hidden=True).double()
    theirs = oracle(3, 4, 2, bidirectional=bidirectional, batch_first=True).double()
    for depth, directions in enumerate(ours.layers):
        for direction, kernel in enumerate(directions):
            suffix = f"l{depth}" + ("_reverse" if direction else "")
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(theirs, f"{name}_{suffix}").data.copy_(getattr(kernel, f"{name}_l0"))
    x = torch.randn(3, 7, 3, dtype=torch.float64)
    y, state = ours(x, LENGTHS)
    for item, length in enumerate(LENGTHS):
        expected, expected_state = theirs(x[item : item + 1, :length])
        torch.testing.assert_close(y[item, :length], expected[0])
        for got, want in zip(_parts(state), _parts(expected_state), strict=True):
            torch.testing.assert_close(got[:, item], want[:, 0])
    full, full_state = ours(x)
    expected, expected_state = theirs(x)
    torch.testing.assert_close(full, expected)
    for got, want in zip(_parts(full_state), _parts(expected_state), strict=True):
        torch.testing.assert_close(got, want)


def _parts(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("pool_type", ["max", "avg"])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (4, 1), (3, 5)])
def test_pooling_equals_a_loop_over_windows_of_true_frames(pool_type, kernel, stride):
    x = torch.randn(3, 7, 4, 2)
    for padding, before in (("valid", 0), ("same", (kernel - 1) // 2)):
        layer = Pooling2d(pool_type, (kernel, 1), (stride, 1), padding)
        y, lengths = layer(x, LENGTHS), layer.output_lengths(LENGTHS)
        for item, length in enumerate(LENGTHS.tolist()):
            for out in range(int(lengths[item])):
                start = out * stride - before
                window = x[item, max(start, 0) : min(start + kernel, length)]
                expected = window.amax(0) if pool_type == "max" else window.mean(0)
                torch.testing.assert_close(y[item, out], expected)


def test_pooling1d_is_pooling2d_on_one_band():
    x = torch.randn(3, 7, 4)
    torch.testing.assert_close(
        Pooling1d("avg", 3, padding="same")(x, LENGTHS),
        Pooling2d("avg", (3, 1), padding="same")(x.unsqueeze(2), LENGTHS)[:, :, 0],
    )


def test_statistics_pooling():
    x = torch.randn(3, 7, 4)
    y = StatisticsPooling()(x, LENGTHS)
    for item, length in enumerate(LENGTHS):
        frames = x[item, :length]
        torch.testing.assert_close(y[item], torch.cat([frames.mean(0), frames.std(0, correction=0)]))


def test_dropout2d_drops_whole_channels_and_keeps_the_mean():
    y = Dropout2d(0.25)(torch.ones(500, 3, 2, 8))
    assert ((y == 0).flatten(1, 2).all(1) | (y > 0).flatten(1, 2).all(1)).all()
    assert abs(y.mean() - 1) < 0.05
    x = torch.randn(2, 3, 2, 8)
    assert Dropout2d(0.25).eval()(x) is x


def test_dropout_keeps_its_share_and_the_mean() -> None:
    x = torch.rand(300, 1000) + 0.5  # values enough for draws of 16 bits
    torch.default_generator.manual_seed(3)
    y = Dropout(0.1)(x)
    torch.default_generator.manual_seed(3)
    assert torch.equal(Dropout(0.1)(x), y)  # keyed by the seed alone
    kept = y != 0
    torch.testing.assert_close(y[kept], x[kept] / 0.9, rtol=1e-4, atol=0)
    assert kept.float().mean().item() == pytest.approx(0.9, abs=0.003)  # 5 deviations
    flat = kept.float().flatten() - 0.9
    for lag in (1, 2, 3, 4, 64, 1000):  # values that share a draw are as independent as others
        assert (flat[:-lag] * flat[lag:]).mean().abs() < 0.001
    assert Dropout(0.1).eval()(x) is x


def test_dropout_passes_the_gradient_of_what_is_kept() -> None:
    x = torch.randn(2**17, dtype=torch.float64, requires_grad=True)
    y = Dropout(0.25)(x)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), y.detach())


MISTAKES = {
    "n_neurons": partial(Linear, 0, input_size=3),
    "input_shape or input_size": partial(Linear, 4),
    "kernel_size": partial(Conv1d, 4, -1, input_size=3),
    "stride": partial(Conv1d, 4, 3, input_size=3, stride=0),
    "same, valid or causal": partial(Conv1d, 4, 3, input_size=3, padding="reflect"),
    "divisor": partial(Conv1d, 4, 3, input_size=3, groups=2),
    "two: .time, frequency.": partial(Conv2d, 4, (3, 3, 3), input_size=3),
    "max or avg": partial(Pooling1d, "mean", 2),
    "valid or same": partial(Pooling2d, "max", 2, padding="causal"),
    "hidden_size": partial(LSTM, 2.5, input_size=3),
    "dropout": partial(GRU, 3, input_size=3, dropout=1.0),
    "momentum": partial(BatchNorm1d, input_size=3, momentum=0.0),
    "multiple of n_subbands": partial(SubSpectralNorm, 4, (None, None, 6, 2)),
    " p is": partial(Dropout2d, -0.1),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_impossible_arguments_are_users_mistakes(message):
    with pytest.raises(UserError, match=message):
        MISTAKES[message]()


@pytest.mark.parametrize(
    "layer",
    [Linear(2, input_size=3), Conv1d(2, 3, input_size=3), LSTM(2, input_size=3), BatchNorm1d(input_size=3)],
)
def test_a_wrong_width_is_told_with_both_widths(layer):
    with pytest.raises(UserError, match=r"4 features.*expected 3 features"):
        layer(torch.zeros(2, 6, 4))


def test_too_few_frames_are_told():
    with pytest.raises(UserError, match="3 frames"):
        Conv1d(2, 5, input_size=3, padding="valid")(torch.zeros(2, 3, 3))
