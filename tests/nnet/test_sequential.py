"""Shape inference, lengths, and mistakes named by layer."""

from functools import partial

import pytest
import torch
from torch import nn

from speechkit.errors import UserError
from speechkit.nnet import (
    GRU,
    BatchNorm1d,
    Conv1d,
    Conv2d,
    GlobalAveragePool,
    Linear,
    Pooling1d,
    Sequential,
)


def test_factories_get_the_shape_and_modules_pass_unchanged():
    ready = nn.Linear(6, 6)
    net = Sequential(
        (None, None, 40),
        conv=partial(Conv1d, out_channels=6, kernel_size=3, stride=2),
        norm=BatchNorm1d,
        activation=nn.ReLU,
        ready=ready,
        rnn=partial(GRU, hidden_size=5, bidirectional=True),
        pool=GlobalAveragePool,
        output=partial(Linear, 3),
    )
    assert net.ready is ready
    assert net.conv.input_size == 40
    assert net.rnn.input_size == 6
    assert net.output.input_size == 10
    assert net.output_shape == (None, 3)
    assert net(torch.randn(2, 9, 40), torch.tensor([9, 4])).shape == (2, 3)
    assert net.output_lengths(torch.tensor([9, 4])) is None


def test_nested_and_two_dimensional():
    inner = partial(Sequential, conv=partial(Conv2d, out_channels=4, kernel_size=3), act=nn.ReLU)
    net = Sequential(
        (None, 20, 8), inner=inner, conv=partial(Conv2d, out_channels=2, kernel_size=3, stride=2)
    )
    assert net.output_shape == (None, 10, 4, 2)
    assert net.inner.conv.input_size == 1


def test_lengths_follow_the_layers():
    net = Sequential(
        (None, None, 3),
        conv=partial(Conv1d, out_channels=4, kernel_size=3, stride=2),
        pool=Pooling1d("max", 2),
    )
    lengths = torch.tensor([9, 4])
    assert net.output_lengths(lengths).tolist() == [2, 1]
    assert net(torch.randn(2, 9, 3), lengths).shape == (2, 2, 4)


def test_inference_leaves_the_random_state_and_statistics_alone():
    norm = BatchNorm1d(input_size=4)
    norm.eval()
    dropout = nn.Dropout(0.5)
    state = torch.get_rng_state()
    Sequential((None, None, 4), norm=norm, dropout=dropout)
    assert torch.equal(torch.get_rng_state(), state)
    assert norm.norm.running_mean.abs().max() == 0
    assert not norm.training
    assert dropout.training


def test_given_widths_win_over_inferred_ones():
    net = Sequential((None, None, 4), layer=partial(Linear, 3, input_size=4))
    assert net.layer.input_size == 4
    with pytest.raises(UserError, match=r"layer: .*4 features.*expected 5") as caught:
        Sequential((None, None, 4), layer=partial(Linear, 3, input_size=5))
    assert caught.value.key == "layer"


MISFITS = {
    "first": {"first": nn.Linear(5, 4)},
    "second": {"first": partial(Linear, 4), "second": nn.Linear(3, 2)},
    "inner.second": {
        "inner": partial(Sequential, first=partial(Linear, 4), second=partial(Linear, 3, input_size=7))
    },
    "group": {"group": partial(Conv1d, out_channels=4, kernel_size=3, groups=3)},
    "two": {"two": nn.LSTM(4, 3)},
    "word": {"word": "Linear"},
    "function": {"function": lambda: 3},
    "short": {"short": partial(Linear)},
}


@pytest.mark.parametrize("key", MISFITS)
def test_a_layer_that_does_not_fit_is_named(key):
    with pytest.raises(UserError) as caught:
        Sequential((None, None, 4), **MISFITS[key])
    assert caught.value.key == key


def test_a_misfit_at_forward_time_is_named():
    net = Sequential((None, None, 4), first=nn.Linear(4, 6), second=Linear(3, input_size=6))
    with pytest.raises(UserError, match="first: Linear cannot take an input of shape"):
        net(torch.zeros(2, 5, 3))
    net.first = nn.Linear(4, 5)
    with pytest.raises(UserError, match=r"second: .*5 features.*expected 6"):
        net(torch.zeros(2, 5, 4))


def test_other_runtime_errors_stay_what_they_are():
    class Broken(nn.Module):
        def forward(self, x):
            if self.training:
                raise RuntimeError("out of paper")
            return x

    net = Sequential((None, None, 4), broken=Broken())
    with pytest.raises(RuntimeError, match="out of paper"):
        net(torch.zeros(2, 5, 4))


@pytest.mark.parametrize("shape", [None, 40, (3,), (None, None, None), (2, 5, 0), (2, 5, "a")])
def test_impossible_shapes(shape):
    with pytest.raises(UserError, match="input_shape"):
        Sequential(shape, first=nn.ReLU())
