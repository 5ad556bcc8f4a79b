"""Keyword models: padding, sizes from the paper, and that they learn."""

from functools import partial

import pytest
import torch

from speechkit.errors import UserError
from speechkit.losses import cross_entropy
from speechkit.models import BCResNet, ResNet
from speechkit.nnet import STRFConv2d

MODELS = {
    "bc": lambda: BCResNet(40, 5, width=0.5),
    "bc wide": lambda: BCResNet(80, 5, width=1.5),
    "resnet": lambda: ResNet((None, None, 40), 5, (4, 8, 12)),
    "resnet deep": lambda: ResNet((None, None, 23), 5, (4, 6), n_blocks=2, stem_stride=(1, 2)),
    "resnet complex": lambda: ResNet((None, None, 23, 2), 5, (4, 8), algebra="complex"),
    "resnet strf": lambda: ResNet(
        (None, None, 12), 5, (4, 8), front=partial(STRFConv2d, 3, (3, 5), stride=(2, 1))
    ),
    "resnet quaternion": lambda: ResNet((None, None, 23, 4), 5, (4, 8), algebra="quaternion"),
}


def draw(model: torch.nn.Module, n_items: int, n_frames: int, **kind) -> torch.Tensor:
    bands = model.feature_shape if isinstance(model, ResNet) else (model.n_mels,)
    return torch.randn(n_items, n_frames, *bands, **kind)


@pytest.mark.parametrize("name", MODELS)
def test_padding_never_matters(name):
    torch.manual_seed(0)
    model, lengths = MODELS[name](), torch.tensor([37, 12, 1, 25])
    model(3 + 2 * draw(model, 4, 37), lengths)  # statistics that are not 0 and 1
    model.eval()
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        model = model.to(dtype)
        x = draw(model, 4, 37, dtype=dtype)
        with torch.no_grad():
            batch = model(x, lengths)
            for item, length in enumerate(lengths):
                alone = model(x[item : item + 1, :length])
                assert (batch[item] - alone[0]).abs().max() <= tolerance * alone.abs().max()


@pytest.mark.parametrize(
    ("width", "expected"), [(1, 9.2e3), (1.5, 17.3e3), (2, 27.3e3), (3, 54.2e3), (8, 321e3)]
)
def test_bcresnet_has_the_papers_parameters(width, expected):
    """Table 2 of the paper, for 12 classes; its counts are rounded, to within a few hundred."""
    n_parameters = sum(p.numel() for p in BCResNet(40, 12, width=width).parameters())
    assert n_parameters == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("name", ["bc", "resnet", "resnet quaternion"])
def test_models_learn_to_tell_patterns_apart(name):
    torch.manual_seed(0)
    model = MODELS[name]()
    patterns, targets = draw(model, 5, 12), torch.arange(5).repeat(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(25):
        x = patterns[targets] + 0.3 * torch.randn(15, *patterns.shape[1:])
        optimizer.zero_grad()
        loss = cross_entropy(model(x, torch.full((15,), 12)), targets) / 15
        loss.backward()
        optimizer.step()
    assert loss < 0.7  # log 5 = 1.6 to begin with


def test_every_parameter_gets_a_gradient():
    for build in MODELS.values():
        model = build()
        x = draw(model, 3, 21)
        cross_entropy(model(x, torch.tensor([21, 9, 14])), torch.tensor([0, 1, 2])).backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    "build",
    [
        lambda: BCResNet(50, 5),
        lambda: BCResNet(40, 5, width=0),
        lambda: ResNet((None, None, 40), 5, ()),
        lambda: ResNet((None, None, 40, 4), 5, (6,), algebra="quaternion"),
        lambda: ResNet((None, None, 40, 2), 5, algebra="complex")(torch.zeros(2, 30, 40)),
        lambda: BCResNet(40, 5)(torch.zeros(2, 30, 41)),
        lambda: ResNet((None, None, 40), 5)(torch.zeros(2, 30)),
    ],
)
def test_impossible_arguments_are_users_mistakes(build):
    with pytest.raises(UserError):
        build()
