"""What every layer keeps: padding never matters (promise 5), autocast, copies and state dicts work."""

import copy
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import speechkit.nnet
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
    BatchNorm1d,
    BatchNorm2d,
    Cardioid,
    CBatchNorm,
    CConv1d,
    CConv2d,
    CLayerNorm,
    CLiGRU,
    CLinear,
    CMultiheadAttention,
    ConformerConvolution,
    Conv1d,
    Conv2d,
    ConvSubsampling,
    Dropout,
    Dropout2d,
    FeedForward,
    GlobalAveragePool,
    GlobalLayerNorm,
    HyperBatchNorm,
    HyperConv1d,
    HyperConv2d,
    HyperDropout,
    HyperGRU,
    HyperLayerNorm,
    HyperLiGRU,
    HyperLinear,
    HyperLSTM,
    HyperMultiheadAttention,
    HyperPooling1d,
    HyperPooling2d,
    HyperRNN,
    JoinBands,
    JoinFrames,
    LayerNorm,
    LiGRU,
    Linear,
    ModReLU,
    MultiheadAttention,
    NormPool2d,
    PhaseTanh,
    Pooling1d,
    Pooling2d,
    PReLU,
    QBatchNorm,
    QConv1d,
    QConv2d,
    QLayerNorm,
    QLiGRU,
    QLinear,
    QMultiheadAttention,
    QPooling2d,
    Sequential,
    SinusoidalPositions,
    StatisticsPooling,
    STRFConv2d,
    SubSpectralNorm,
    ZReLU,
)

C, F = 4, 6  # four channels are two complex numbers, or one quaternion
OVER_TIME = {
    "linear": partial(Linear, 5),
    "conv": partial(Conv1d, 5, 3),
    "conv even": partial(Conv1d, 5, 4),
    "conv stride": partial(Conv1d, 6, 5, stride=3, groups=2),
    "conv even stride": partial(Conv1d, 5, 4, stride=2),
    "conv dilation": partial(Conv1d, 5, 3, dilation=3),
    "conv of channels apart": partial(Conv1d, C, 3, dilation=3, groups=C),
    "conv of channels apart, causal": partial(
        Conv1d, C, 4, padding="causal", dilation=2, groups=C, bias=False
    ),
    "prelu": PReLU,
    "conv valid": partial(Conv1d, 5, 2, padding="valid", stride=2),
    "conv causal": partial(Conv1d, 5, 4, padding="causal", stride=3),
    "pool max": partial(Pooling1d, "max", 2),
    "pool max same": partial(Pooling1d, "max", 3, stride=2, padding="same"),
    "pool avg same": partial(Pooling1d, "avg", 4, stride=3, padding="same"),
    "pool avg": partial(Pooling1d, "avg", 2, stride=1),
    "global": GlobalAveragePool,
    "statistics": StatisticsPooling,
    "batch norm": BatchNorm1d,
    "layer norm": LayerNorm,
    "global layer norm": GlobalLayerNorm,
    "rnn": partial(RNN, 3, bidirectional=True),
    "lstm": partial(LSTM, 3, bidirectional=True, num_layers=2, dropout=0.3),
    "gru": partial(GRU, 3, num_layers=2),
    "gru both": partial(GRU, 3, num_layers=2, bidirectional=True),
    "dropout": partial(Dropout2d, 0.3),
    "dropout of values": partial(Dropout, 0.3),
    "strf": partial(STRFConv2d, 3, (3, 4), stride=(1, 2)),
    "strf fourier": partial(STRFConv2d, 3, (3, 5), carrier="both", route="fourier"),
    "strf separable": partial(STRFConv2d, 3, (2, 3), padding="causal", route="separable"),
}
OVER_TIME_AND_FREQUENCY = {
    "conv2d": partial(Conv2d, 5, 3),
    "conv2d even": partial(Conv2d, 5, (4, 2), stride=(3, 2)),
    "conv2d valid": partial(Conv2d, 5, (2, 3), padding="valid"),
    "conv2d causal": partial(Conv2d, 4, (4, 3), padding="causal", dilation=(2, 1), groups=4),
    "conv2d mixed": partial(Conv2d, 5, (5, F), padding=("same", "valid")),
    "pool2d max": partial(Pooling2d, "max", 2),
    "pool2d max same": partial(Pooling2d, "max", (3, 2), padding="same"),
    "pool2d avg same": partial(Pooling2d, "avg", 3, stride=2, padding="same"),
    "global2d": GlobalAveragePool,
    "batch norm 2d": BatchNorm2d,
    "norm pool": partial(NormPool2d, 2),
    "sub-spectral norm": partial(SubSpectralNorm, 3),
    "layer norm 2d": partial(LayerNorm, axis=(2, 3)),
    "global layer norm 2d": GlobalLayerNorm,
    "dropout2d": partial(Dropout2d, 0.3),
    "join bands": partial(JoinBands, "complex"),
    "conv subsampling": partial(ConvSubsampling, 3, 2, algebra="complex"),
}
OF_TRANSFORMERS = {
    "attention": partial(MultiheadAttention, 2, causal=True, positions="relative"),
    "attention rotary": partial(MultiheadAttention, 1, positions="rotary"),
    "attention relative complex": partial(CMultiheadAttention, 2, positions="relative"),
    "sinusoidal positions": SinusoidalPositions,
    "feed-forward": partial(FeedForward, 3, algebra="complex"),
    "conformer convolution": partial(ConformerConvolution, 4),
    "conformer convolution quaternion": partial(
        ConformerConvolution, 5, normalization="layernorm", algebra="quaternion"
    ),
    "join frames": partial(JoinFrames, 3, algebra="complex"),
}
HYPER_OVER_TIME = {
    "hyper linear": partial(HyperLinear, 2, algebra="phm:2"),
    "hyper linear complex": partial(CLinear, 2),
    "hyper linear quaternion": partial(QLinear, 2),
    "hyper linear spinor": partial(QLinear, 2, spinor=True, vector_scale=True),
    "hyper conv": partial(HyperConv1d, 2, 3, stride=2, algebra="dual"),
    "hyper conv complex": partial(CConv1d, 2, 4, padding="causal", groups=2, stride=3),
    "hyper conv quaternion": partial(QConv1d, 1, 3, padding="valid", dilation=2),
    "hyper batch norm": partial(HyperBatchNorm, algebra="split-complex", whiten="shared"),
    "hyper batch norm complex": CBatchNorm,
    "hyper batch norm quaternion": QBatchNorm,
    "hyper layer norm": partial(HyperLayerNorm, algebra="quaternion", whiten="shared"),
    # Two numbers have a covariance of rank 1: whitened with a small eps it blows rounding up.
    "hyper layer norm complex": partial(CLayerNorm, eps=1e-2),
    "hyper pool": partial(HyperPooling1d, "max", 3, stride=2, padding="same", algebra="complex"),
    "hyper modrelu": partial(ModReLU, "complex"),
    "hyper zrelu": ZReLU,
    "hyper cardioid": Cardioid,
    "hyper phase tanh": partial(PhaseTanh, "quaternion"),
    "hyper attention": partial(HyperMultiheadAttention, 2, algebra="dual"),
    "hyper attention complex": partial(CMultiheadAttention, 1, causal=True),
    "hyper attention quaternion": partial(QMultiheadAttention, 1),
    "hyper dropout": partial(HyperDropout, 0.3),
    "hyper rnn": partial(HyperRNN, 2, algebra="phm:2", bidirectional=True),
    "hyper rnn complex": partial(CRNN, 2),
    "hyper rnn quaternion": partial(QRNN, 1, bidirectional=True),
    "hyper lstm": partial(HyperLSTM, 2, algebra="split-complex"),
    "hyper lstm complex": partial(CLSTM, 2, bidirectional=True),
    "hyper lstm quaternion": partial(QLSTM, 1, num_layers=2, dropout=0.3),
    "hyper gru": partial(HyperGRU, 2, algebra="dual", bidirectional=True, num_layers=2),
    "hyper gru complex": partial(CGRU, 2),
    "hyper gru quaternion": partial(QGRU, 1, bidirectional=True),
    "ligru": partial(LiGRU, 3, bidirectional=True, dropout=0.3),
    "hyper ligru": partial(HyperLiGRU, 2, algebra="dual", normalization="layernorm"),
    "hyper ligru complex": partial(CLiGRU, 2, bidirectional=True),
    "hyper ligru quaternion": partial(QLiGRU, 1, normalization=None),
}
HYPER_OVER_TIME_AND_FREQUENCY = {
    "hyper conv2d": partial(HyperConv2d, 2, (3, 2), algebra="split-complex"),
    "hyper conv2d complex": partial(CConv2d, 2, 3, padding="causal", stride=(2, 1)),
    "hyper conv2d quaternion": partial(QConv2d, 1, 3, padding=("valid", "same")),
    "hyper batch norm 2d": CBatchNorm,
    "hyper layer norm 2d": partial(CLayerNorm, axis=(2, 3)),
    "hyper layer norm 2d quaternion": QLayerNorm,
    "hyper pool2d": partial(HyperPooling2d, "avg", 2, padding="same", algebra="complex"),
    "hyper pool2d quaternion": partial(QPooling2d, "max", (3, 2), padding="same"),
}
OVER_TIME |= HYPER_OVER_TIME | OF_TRANSFORMERS
OVER_TIME_AND_FREQUENCY |= HYPER_OVER_TIME_AND_FREQUENCY
CASES = {
    **{name: ((None, None, C), factory) for name, factory in OVER_TIME.items()},
    **{name: ((None, None, F, C), factory) for name, factory in OVER_TIME_AND_FREQUENCY.items()},
}


# Items of no frame or of one are as likely as others.
LENGTHS = st.one_of(st.integers(0, 1), st.integers(2, 21))


def build(shape, factory):
    """The layer behind one that mixes frames, with weights, biases and statistics that are not 0 or 1."""
    first = partial(Conv1d, C, 3) if len(shape) == 3 else partial(Conv2d, C, 3)
    net = Sequential(shape, first=first, layer=factory).eval()
    for name, value in net.state_dict().items():
        value.copy_(torch.rand_like(value) + 0.5 if "var" in name else torch.randn_like(value))
        if "var" in name and value.shape[-1] == value.shape[-2] > 1:  # a covariance is symmetric, positive
            value.copy_(value @ value.mT + torch.eye(value.shape[-1]))
    return net


def assert_padding_never_matters(net, shape, lengths, tolerance):
    lengths = torch.tensor(lengths)
    dtype = next(net.parameters()).dtype
    x = torch.randn(len(lengths), int(lengths.max()), *shape[2:], dtype=dtype)
    for item, length in enumerate(lengths):
        x[item, length:] = 1e3  # what stands in the padding is arbitrary
    batch, out_lengths = net(x, lengths), net.output_lengths(lengths)
    for item, length in enumerate(lengths):
        if length == 0 or (out_lengths is not None and out_lengths[item] == 0):
            continue  # nothing of it is true
        alone = net(x[item : item + 1, :length], lengths[item : item + 1])[0]
        true = batch[item] if out_lengths is None else batch[item, : out_lengths[item]]
        assert true.shape == alone.shape
        assert (true - alone).abs().max() <= tolerance * alone.abs().max()


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=8)
@given(longest=st.integers(5, 21), lengths=st.lists(LENGTHS, min_size=1, max_size=3), seed=st.integers(0, 99))
def test_padding_never_matters(name, longest, lengths, seed):
    torch.manual_seed(seed)
    lengths = [*lengths, longest]  # which is as long as any layer's kernel
    shape, factory = CASES[name]
    net = build(shape, factory)
    with torch.no_grad():
        assert_padding_never_matters(net, shape, lengths, 1e-4)
        assert_padding_never_matters(net.double(), shape, lengths, 1e-9)


def test_every_layer_is_in_the_table():
    tried = {getattr(factory, "func", factory) for _, factory in CASES.values()}
    public = {getattr(speechkit.nnet, name) for name in speechkit.nnet.__all__}
    layers = {each for each in public if isinstance(each, type)}
    assert layers - tried - {Sequential} == set()


@pytest.mark.parametrize("layer", ["conv", "lstm", "pool avg same", "statistics", "batch norm"])
def test_padding_gets_no_gradient(layer):
    shape, factory = CASES[layer]
    net = build(shape, factory).train()
    x, lengths = torch.randn(3, 9, C, requires_grad=True), torch.tensor([9, 4, 6])
    out_lengths = net.output_lengths(lengths)
    y = net(x, lengths)
    kept = y if out_lengths is None else torch.cat([y[i, :n] for i, n in enumerate(out_lengths)])
    kept.square().sum().backward()
    assert x.grad[1, 4:].abs().max() == 0
    assert x.grad[1, :4].abs().min() > 0


def test_torch_modules_pass_through_in_a_batch():
    net = Sequential(
        (None, None, C), a=partial(Conv1d, 5, 3), b=nn.LeakyReLU(), c=partial(LSTM, 4), d=nn.Dropout(0.5)
    )
    with torch.no_grad():
        assert_padding_never_matters(net.double().eval(), (None, None, C), [9, 3, 5], 1e-9)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("training", [False, True])
def test_bfloat16_autocast_is_near_float32(name, training):
    shape, factory = CASES[name]
    net = build(shape, factory)
    for module in net.modules():  # what is drawn at random cannot be compared
        module.train(training and "ropout" not in type(module).__name__ and not hasattr(module, "dropout"))
    x, lengths = torch.randn(3, 9, *shape[2:]), torch.tensor([9, 6, 7])
    with torch.autocast("cpu", torch.bfloat16):
        got = net(x, lengths)
    expected = net(x, lengths)
    assert (got.float() - expected).norm() < 0.05 * expected.norm()
    got.float().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", CASES)
def test_copies_and_state_dicts_compute_the_same(name):
    shape, factory = CASES[name]
    net, other = build(shape, factory), build(shape, factory)
    x, lengths = torch.randn(2, 9, *shape[2:]), torch.tensor([9, 6])
    other.load_state_dict(net.state_dict())
    torch.testing.assert_close(other(x, lengths), net(x, lengths), rtol=0, atol=0)
    torch.testing.assert_close(copy.deepcopy(net)(x, lengths), net(x, lengths), rtol=0, atol=0)


COMPILED_OFTEN = ("conv", "hyper lstm complex", "hyper ligru complex", "hyper batch norm quaternion", "strf")


def as_compiled(name):
    """A graph for each layer, with its backward pass: a few of them in every `make test`."""
    return pytest.param(name, marks=pytest.mark.integration if name in COMPILED_OFTEN else pytest.mark.slow)


@pytest.mark.parametrize("name", map(as_compiled, CASES))
def test_compiled_layers_compute_and_learn_the_same(name):
    torch.compiler.reset()
    shape, factory = CASES[name]
    net = build(shape, factory).double()
    x = torch.randn(3, 9, *shape[2:], dtype=torch.float64)
    sides = []
    for layer in (net, torch.compile(net, backend="aot_eager")):
        y = layer(x)
        weights = [each for each in net.parameters() if each.requires_grad]
        sides.append((y, torch.autograd.grad(y.square().sum(), weights, allow_unused=True)))
    torch.testing.assert_close(*sides, rtol=1e-6, atol=1e-9)
