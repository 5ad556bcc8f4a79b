"""Keyword models: padding, sizes from the paper, and that they learn."""

import pytest
import torch

from speechkit.errors import UserError
from speechkit.losses import cross_entropy
from speechkit.models import BCResNet, ResNet

MODELS = {
    "bc": lambda: BCResNet(40, 5, width=0.5),
    "bc wide": lambda: BCResNet(80, 5, width=1.5),
    "resnet": lambda: ResNet(40, 5, (4, 8, 12)),
    "resnet deep": lambda: ResNet(23, 5, (4, 6), n_blocks=2, stem_stride=(1, 2)),
}


@pytest.mark.parametrize("name", MODELS)
def test_padding_never_matters(name):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    for key, value in model.state_dict().items():
        if "running" in key:
            value.copy_(torch.rand_like(value) + 0.5)
    lengths = torch.tensor([37, 12, 1, 25])
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        model = model.to(dtype)
        x = torch.randn(4, 37, model.n_mels, dtype=dtype)
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


@pytest.mark.parametrize("name", ["bc", "resnet"])
def test_models_learn_to_tell_patterns_apart(name):
    torch.manual_seed(0)
    model = MODELS[name]()
    patterns, targets = torch.randn(5, 12, model.n_mels), torch.arange(5).repeat(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(25):
        x = patterns[targets] + 0.3 * torch.randn(15, 12, model.n_mels)
        optimizer.zero_grad()
        loss = cross_entropy(model(x, torch.full((15,), 12)), targets) / 15
        loss.backward()
        optimizer.step()
    assert loss < 0.7  # log 5 = 1.6 to begin with


def test_every_parameter_gets_a_gradient():
    for build in MODELS.values():
        model = build()
        x = torch.randn(3, 21, model.n_mels)
        cross_entropy(model(x, torch.tensor([21, 9, 14])), torch.tensor([0, 1, 2])).backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    "build",
    [
        lambda: BCResNet(50, 5),
        lambda: BCResNet(40, 5, width=0),
        lambda: ResNet(40, 5, ()),
        lambda: BCResNet(40, 5)(torch.zeros(2, 30, 41)),
        lambda: ResNet(40, 5)(torch.zeros(2, 30)),
    ],
)
def test_impossible_arguments_are_users_mistakes(build):
    with pytest.raises(UserError):
        build()
