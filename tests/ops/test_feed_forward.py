"""Products a cacheful of rows at a time: those of the whole, and their gradients; the layer with them."""

import torch
from torch import nn
from torch.nn import functional as F

from speechkit.nnet import FeedForward
from speechkit.nnet import feed_forward as layer_file
from speechkit.ops import feed_forward as file
from speechkit.ops.feed_forward import feed_forward


def test_blocks_give_what_the_whole_gives(monkeypatch):
    monkeypatch.setattr(file, "N_VALUES", 20)  # blocks of four rows, and a last one of two
    shapes = ((2, 5, 3), (5, 3), (5,), (3, 5), (3,))
    x, w_1, b_1, w_2, b_2 = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    expected = F.linear(F.relu(F.linear(x, w_1, b_1)), w_2, b_2)
    torch.testing.assert_close(feed_forward(x, (w_1, b_1), (w_2, b_2)), expected)
    with torch.no_grad():
        torch.testing.assert_close(feed_forward(x.mT.contiguous().mT, (w_1, b_1), (w_2, b_2)), expected)

    def compute(x, w_1, b_1, w_2, b_2):
        return feed_forward(x, (w_1, b_1), (w_2, b_2))

    assert torch.autograd.gradcheck(compute, (x, w_1, b_1, w_2, b_2))


def test_the_layer_goes_by_blocks_where_it_may_and_gives_the_same(monkeypatch):
    calls = []
    monkeypatch.setattr(
        layer_file, "feed_forward", lambda *given: calls.append(given) or feed_forward(*given)
    )
    layer, x = FeedForward(6, input_size=4).double(), torch.randn(2, 5, 4, dtype=torch.float64)
    expected = layer(x)
    monkeypatch.setattr(layer_file, "LARGE", 60)
    torch.testing.assert_close(layer(x), expected)
    assert len(calls) == 1
    layer(x[:1])  # small
    FeedForward(6, input_size=4, activation=nn.SiLU()).double()(x)
    FeedForward(6, input_size=4, dropout=0.5).double()(x)
    FeedForward(3, input_size=2, algebra="complex").double()(x)
    seen = []
    layer.hidden.register_forward_hook(lambda *given: seen.append(given))
    layer(x)
    assert len(calls) == 1
    assert len(seen) == 1
