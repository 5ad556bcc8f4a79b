"""Nets over an algebra leave Python: one graph for torch.compile and torch.export, without lengths."""

from functools import partial

import pytest
import torch
from torch import nn

from speechkit.nnet import (
    CBatchNorm,
    CConv1d,
    CConv2d,
    CLayerNorm,
    CLinear,
    CMultiheadAttention,
    ModReLU,
    QBatchNorm,
    QConv1d,
    QLinear,
    QPooling2d,
    Sequential,
)

pytestmark = pytest.mark.integration  # the first graph takes seconds
SHAPE = (2, 20, 16)
NETS = {
    "complex": partial(
        Sequential,
        (None, None, 16),
        conv=partial(CConv1d, 6, 3),
        norm=CBatchNorm,
        activation=partial(ModReLU, "complex"),
        linear=partial(CLinear, 4),
        frame=CLayerNorm,
        attention=partial(CMultiheadAttention, 2),
    ),
    "quaternion": partial(
        Sequential,
        (None, None, 16),
        conv=partial(QConv1d, 3, 4, stride=2),
        norm=QBatchNorm,
        activation=nn.ReLU,
        linear=partial(QLinear, 3, spinor=True, vector_scale=True),
        output=partial(QLinear, 2),
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_compile_finds_one_graph(name):
    net, x = NETS[name]().eval(), torch.randn(SHAPE)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), net(x))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(partial(CConv2d, 3, 3), (2, 9, 5, 8)), (partial(QPooling2d, "max", 2), (2, 9, 5, 8))],
)
def test_compile_finds_one_graph_over_frequency_too(layer, shape):
    net, x = Sequential((None, None, *shape[2:]), layer=layer).eval(), torch.randn(shape)
    torch.testing.assert_close(torch.compile(net, backend="eager", fullgraph=True)(x), net(x))


@pytest.mark.parametrize("name", NETS)
def test_export_keeps_the_net(name):
    net, x = NETS[name]().eval(), torch.randn(SHAPE)
    exported = torch.export.export(net, (x,))
    torch.testing.assert_close(exported.module()(x), net(x))
