"""The conv-recurrent-dense encoder over every algebra: padding, sizes, the front, and a label on top."""

from functools import partial

import pytest
import torch

from speechkit.errors import UserError
from speechkit.models import CRDNN, Classifier
from speechkit.models.layers import HYPER_CELLS, REAL_CELLS
from speechkit.nnet import STRFConv2d

N_PARTS = {"real": 1, "complex": 2, "quaternion": 4, "phm:2": 2}


def make(algebra: str, **changes) -> CRDNN:
    n_parts = N_PARTS[algebra]
    shape = (None, None, 6) if n_parts == 1 else (None, None, 6, n_parts)
    sizes = {"channels": [16, 8], "hidden_size": 8, "dense": [12], "kernel_size": 3}
    return CRDNN(shape, algebra=algebra, **{**sizes, **changes})


def features(algebra: str, n_items: int, n_frames: int) -> torch.Tensor:
    bands = (6,) if N_PARTS[algebra] == 1 else (6, N_PARTS[algebra])
    return torch.randn(n_items, n_frames, *bands, dtype=torch.float64)


@pytest.mark.parametrize("algebra", N_PARTS)
@pytest.mark.parametrize("recurrent", REAL_CELLS)
def test_padding_never_matters(algebra, recurrent):
    model = Classifier(make(algebra, recurrent=recurrent, num_layers=2), n_classes=3).double()
    x, lengths = features(algebra, 3, 19), torch.tensor([19, 6, 11])
    for row, n in enumerate(lengths):
        x[row, n:] = 1e3
    model.train()(x, lengths)  # statistics that are not 0 and 1
    with torch.no_grad():
        batch = model.eval()(x, lengths)
        encoded, n_encoded = model.encoder(x, lengths), model.encoder.output_lengths(lengths)
        assert n_encoded.tolist() == [5, 2, 3]
        for row, n in enumerate(lengths):
            alone = x[row : row + 1, :n]
            torch.testing.assert_close(batch[row], model(alone)[0], rtol=1e-9, atol=1e-9)
            expected = model.encoder(alone)[0]
            torch.testing.assert_close(encoded[row, : n_encoded[row]], expected, rtol=1e-9, atol=1e-9)


def test_numbers_need_a_half_and_a_quarter_of_the_weights():
    """Convolution, recurrent and dense weights, of the same real widths, on input of the same real width."""

    def count(algebra: str) -> int:
        model = CRDNN((None, None, 24 // N_PARTS[algebra], N_PARTS[algebra]), algebra, channels=[16, 8],
                      hidden_size=8, dense=[12])  # fmt: skip
        weights = ("conv", "recurrent", "dense1")
        named = model.layers.named_parameters()
        return sum(p.numel() for name, p in named if name.startswith(weights) and "norm" not in name)

    real = count("real")
    assert count("complex") == real / 2
    assert count("quaternion") == real / 4


def test_both_tables_hold_the_same_cells():
    assert list(REAL_CELLS) == list(HYPER_CELLS)


def test_a_front_is_learned_and_comes_first():
    front = partial(STRFConv2d, 4, (3, 5), stride=(2, 1))
    encoder = CRDNN((None, None, 10), front=front, channels=[8], hidden_size=4)
    lengths = torch.tensor([9, 5])
    y = encoder.train()(torch.randn(2, 9, 10), lengths)
    assert encoder.layers.conv1.input_size == 4 * 5
    y.square().sum().backward()
    assert encoder.layers.front.width_t.grad.abs().min() > 0
    # cosine and sine as one complex number
    both = partial(STRFConv2d, 4, (3, 5), carrier="both")
    numbers = CRDNN((None, None, 10), "complex", front=both, channels=[8], hidden_size=4)
    assert numbers(torch.randn(2, 9, 10), lengths).shape == (2, 5, 8)


def test_filters_and_a_recurrent_net_are_the_papers_speech_activity_net():
    """Riad et al. (2021): spectro-temporal filters, a recurrent layer, dense layers; no convolutions."""
    front = partial(STRFConv2d, 4, (3, 5))
    net = CRDNN((None, None, 10), front=front, channels=[], recurrent="lstm", hidden_size=4, dense=[6])
    assert [name for name, _ in net.layers.named_children()][:3] == ["front", "join", "recurrent"]
    x, lengths = torch.randn(2, 9, 10), torch.tensor([9, 5])
    net.train()(x, lengths)
    with torch.no_grad():
        batch = net.eval()(x, lengths)
        torch.testing.assert_close(batch[1, :5], net(x[1:, :5])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": [16, 18]}, "channels has a width of 18.*a multiple of 4"),
        ({"hidden_size": 6}, "hidden_size has a width of 6"),
        ({"dense": [2]}, "dense has a width of 2"),
        ({"recurrent": "lgru"}, "recurrent is 'lgru'.*did you mean"),
        ({"pools": [2, 2, 2]}, "3 pools.*2, one a block"),
        ({"algebra": "quaternions"}, "did you mean 'quaternion'"),
    ],
)
def test_mistakes_are_told(changes, message):
    with pytest.raises(UserError, match=message):
        CRDNN((None, None, 6, 4), **{"algebra": "quaternion", "channels": [8, 8], **changes})


def test_a_classifier_needs_frames_to_pool():
    with pytest.raises(UserError, match="Linear has the output_shape None"):
        Classifier(torch.nn.Linear(3, 3), n_classes=2)
