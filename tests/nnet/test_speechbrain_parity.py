"""SpeechBrain's layers as an oracle, where they are right: the same weights give the same output."""

import pytest
import torch
from torch import Tensor, nn

from speechkit.nnet import CRNN, QRNN, CConv1d, CConv2d, CLinear, LiGRU, QConv1d, QConv2d, QLinear

pytestmark = pytest.mark.slow  # `import speechbrain` takes long, and its layers go frame by frame
FRAMES, BANDS = (3, 9, 16), (3, 9, 7, 16)


def parts_of(theirs: nn.Module) -> Tensor:
    """(n, O, I, *kernel) of a layer of SpeechBrain; a linear one has (I, O), a kernel (frequency, time)."""
    names = ("real_weight", "imag_weight") if hasattr(theirs, "real_weight") else "rijk"
    parts = [getattr(theirs, name if len(name) > 1 else f"{name}_weight") for name in names]
    return torch.stack([part.detach() if part.dim() == 3 else part.detach().mT for part in parts])


def bias_of(theirs: nn.Module) -> Tensor:
    bias = theirs.b if hasattr(theirs, "b") else theirs.bias
    return nn.init.normal_(bias).detach()


@pytest.mark.parametrize("ours", [CLinear, QLinear])
def test_linear(ours):
    theirs = their_class(ours)(5, FRAMES)
    layer, x = ours(5, input_shape=FRAMES), torch.randn(FRAMES)
    layer.weight.parts.data, layer.bias.data = parts_of(theirs), bias_of(theirs)
    torch.testing.assert_close(layer(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("ours", "shape", "options"),
    [
        (CConv1d, FRAMES, {"stride": 2}),
        (QConv1d, FRAMES, {"dilation": 2}),
        (CConv2d, BANDS, {}),
        (QConv2d, BANDS, {}),
    ],
)
def test_convolution(ours, shape, options):
    """Without padding: theirs reflects."""
    theirs = their_class(ours)(5, 3, input_shape=shape, padding="valid", **options)
    layer, x = ours(5, 3, input_shape=shape, padding="valid", **options), torch.randn(shape)
    layer.weight.parts.data, layer.bias.data = parts_of(theirs), bias_of(theirs)
    torch.testing.assert_close(layer(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ours", [CRNN, QRNN])
def test_rnn(ours):
    """Their gates of LSTM and LiGRU mix the parts of numbers; one gate cannot."""
    theirs = their_class(ours)(5, FRAMES).eval()
    layer, x = ours(5, input_shape=FRAMES).eval(), torch.randn(FRAMES)
    cell, theirs_cell = layer.layers[0][0], theirs.rnn[0]
    cell.input.parts.data, cell.recurrent.parts.data = parts_of(theirs_cell.w), parts_of(theirs_cell.u)
    torch.testing.assert_close(layer(x), first_of(theirs(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("normalization", ["batchnorm", "layernorm"])
def test_real_ligru(normalization):
    from speechbrain.nnet.RNN import LiGRU as TheirLiGRU

    theirs = TheirLiGRU(5, FRAMES, normalization=normalization, bidirectional=True).eval()
    layer, x = LiGRU(5, input_shape=FRAMES, normalization=normalization).eval(), torch.randn(FRAMES)
    cell, other = layer.layers[0][0], theirs.rnn[0]
    swap = [*range(5, 10), *range(5)]  # their candidate stands before the update gate
    cell.input.parts.data = other.w.weight.detach()[swap].unsqueeze(0)
    cell.recurrent.parts.data = other.u.weight.detach()[swap].unsqueeze(0)
    torch.testing.assert_close(layer(x), first_of(theirs(x))[..., :5], rtol=1e-5, atol=1e-5)


def their_class(ours: type) -> type:
    from speechbrain.nnet.complex_networks import c_CNN, c_linear, c_RNN
    from speechbrain.nnet.quaternion_networks import q_CNN, q_linear, q_RNN

    return next(
        getattr(room, ours.__name__)
        for room in (c_CNN, c_linear, c_RNN, q_CNN, q_linear, q_RNN)
        if hasattr(room, ours.__name__) and getattr(room, ours.__name__).__module__ == room.__name__
    )


def first_of(output):
    return output[0] if isinstance(output, tuple) else output
