"""Nets leave Python, without lengths: graphs for torch.compile, torch.export and ONNX, any batch and frames.

ONNX Runtime is the oracle of what was written: it shares no code with torch.
"""

import copy
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from speechkit.nnet import (
    CGRU,
    CLSTM,
    LSTM,
    QRNN,
    CBatchNorm,
    CConv1d,
    CConv2d,
    CLayerNorm,
    CLinear,
    CMultiheadAttention,
    ConformerConvolution,
    ConvSubsampling,
    FeedForward,
    GlobalAveragePool,
    HyperBatchNorm,
    HyperPooling1d,
    LiGRU,
    Linear,
    ModReLU,
    PhaseTanh,
    QBatchNorm,
    QConv1d,
    QLayerNorm,
    QLiGRU,
    QLinear,
    QMultiheadAttention,
    QPooling2d,
    Sequential,
    SinusoidalPositions,
    STRFConv2d,
)

FRAMES, BANDS = (None, None, 16), (None, None, 12, 8)
ONE_GRAPH = {
    "complex": partial(
        Sequential,
        FRAMES,
        conv=partial(CConv1d, 6, 3),
        norm=CBatchNorm,
        activation=partial(ModReLU, "complex"),
        linear=partial(CLinear, 4),
        frame=CLayerNorm,
        attention=partial(CMultiheadAttention, 2),
    ),
    "quaternion": partial(
        Sequential,
        FRAMES,
        conv=partial(QConv1d, 3, 4, stride=2),
        norm=QBatchNorm,
        activation=nn.ReLU,
        linear=partial(QLinear, 3, spinor=True, vector_scale=True),
        output=partial(QLinear, 2),
    ),
    "over frequency": partial(
        Sequential, BANDS, conv=partial(CConv2d, 4, 3), pool=partial(QPooling2d, "max", 2)
    ),
}
RECURRENT = {
    "complex lstm": partial(
        Sequential,
        FRAMES,
        conv=partial(CConv1d, 6, 3),
        norm=CBatchNorm,
        activation=partial(PhaseTanh, "complex"),
        recurrent=partial(CLSTM, 5, bidirectional=True),
        linear=partial(CLinear, 4),
    ),
    "quaternion ligru": partial(
        Sequential,
        FRAMES,
        conv=partial(QConv1d, 3, 3),
        norm=QBatchNorm,
        activation=nn.ReLU,
        pool=partial(HyperPooling1d, "max", 2, algebra="quaternion"),
        recurrent=partial(QLiGRU, 3, bidirectional=True),
        linear=partial(QLinear, 2),
    ),
    "other cells": partial(
        Sequential,
        FRAMES,
        first=partial(CGRU, 3),
        second=partial(LSTM, 4, bidirectional=True),
        third=partial(QRNN, 2, bias=False),
        fourth=partial(LiGRU, 3, normalization="layernorm"),
    ),
}
CONVOLVED = {
    "strf": partial(
        Sequential,
        (None, None, 20),
        strf=partial(STRFConv2d, 3, (9, 25), carrier="both"),
        norm=CBatchNorm,
        conv=partial(CConv2d, 2, 3),
        average=GlobalAveragePool,
        linear=partial(Linear, 5),
    ),
    "octonion norm": partial(
        Sequential,
        FRAMES,
        norm=partial(HyperBatchNorm, algebra="octonion"),
        frame=partial(QLayerNorm, eps=0.1),
    ),
}
ATTENDING = {
    "conformer": partial(
        Sequential,
        (None, None, 12, 4),
        subsampling=partial(ConvSubsampling, 4, 2, algebra="quaternion"),
        positions=SinusoidalPositions,
        relative=partial(QMultiheadAttention, 2, positions="relative"),
        convolution=partial(ConformerConvolution, 3, algebra="quaternion"),
        rotary=partial(QMultiheadAttention, 2, positions="rotary", causal=True),
        feed_forward=partial(FeedForward, 6, algebra="quaternion"),
    ),
}
# Written in every `make test`; the others take a minute more.
OFTEN = ("complex lstm", "quaternion ligru", "strf")
EVERY = ONE_GRAPH | RECURRENT | CONVOLVED | ATTENDING


def inputs(net: Sequential, n_items: int, n_frames: int) -> Tensor:
    return torch.randn(n_items, n_frames, *net.input_shape[2:])


def used(name: str) -> Sequential:
    """A net whose running statistics are those of data, with correlated parts."""
    net = EVERY[name]()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for _ in range(20):
            net(inputs(net, 4, 30))
    return net.eval()


@pytest.mark.integration  # the first graph takes seconds
@pytest.mark.parametrize("name", ONE_GRAPH)
def test_compile_finds_one_graph(name):
    net = used(name)
    x = inputs(net, 2, 20)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), net(x))


def marked(name: str):
    return pytest.param(name, marks=pytest.mark.integration if name in OFTEN else pytest.mark.slow)


@pytest.mark.parametrize("name", map(marked, EVERY))
def test_an_exported_graph_keeps_the_net_for_any_batch_and_frames(name, tmp_path):
    net = used(name)
    exact = copy.deepcopy(net).double()
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with torch.no_grad():
        exported = torch.export.export(net, (inputs(net, 2, 20),), dynamic_shapes=(sizes,))
    session = onnx_session(exported, tmp_path / "net.onnx")
    for n_items, n_frames in ((3, 33), (1, 14), (5, 20)):
        x = inputs(net, n_items, n_frames)
        expected = net(x).detach()
        # A norm of few numbers enlarges what float32 rounds, by other amounts in another order of sums.
        rounding = (exact(x.double()).detach() - expected).abs().max().item()
        torch.testing.assert_close(exported.module()(x), expected, rtol=1e-5, atol=1e-5 + rounding)
        (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(got), expected, rtol=1e-5, atol=1e-5 + rounding)
        assert rounding < 1e-3 * expected.abs().max()


@pytest.mark.integration
@pytest.mark.parametrize("layer", [CLSTM, QRNN])
def test_an_exported_graph_keeps_the_state(layer):
    layer = layer(3, input_size=4, bidirectional=True, return_hidden=True).eval()
    x = torch.randn(2, 9, 4 * layer.n_parts)
    exported = torch.export.export(layer, (x,)).module()
    torch.testing.assert_close(exported(x), layer(x))


def onnx_session(exported: torch.export.ExportedProgram, path: Path):
    import onnxruntime

    torch.onnx.export(exported, dynamo=True, verbose=False).save(path)
    return onnxruntime.InferenceSession(path)
