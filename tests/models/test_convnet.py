"""The convnet beside a plain one of torch's own layers; padding."""

import pytest
import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.models import ConvNet

# B batch, T frames, F bands, C channels

SMALL = {"channels": (4, 6, 8), "n_hidden": 7}


def plain_net(n_channels: int, channels: tuple[int, ...], n_hidden: int, n_classes: int) -> nn.Sequential:
    """As published: convolution, norm, ReLU, dropout, and only then the pool; (B, C, T, F) in."""
    layers: list[nn.Module] = []
    for number, width in enumerate(channels, start=1):
        layers += [nn.Conv2d(n_channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout2d(0.2)]
        layers.append(nn.MaxPool2d(2) if number < len(channels) else nn.AdaptiveAvgPool2d(1))
        n_channels = width
    layers += [nn.Flatten(), nn.Linear(n_channels, n_hidden), nn.BatchNorm1d(n_hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(n_hidden, n_classes))


def with_weights(plain: nn.Sequential) -> list[nn.Module]:
    return [layer for layer in plain if list(layer.parameters())]


def copy_weights(model: ConvNet, plain: nn.Sequential) -> None:
    ours = [layer for layer in model.layers.children() if list(layer.parameters())]
    for layer, other in zip(ours, with_weights(plain), strict=True):
        inner = next(each for each in layer.modules() if each._parameters)
        for name, value in inner.state_dict().items():
            if "running" in name:
                value.copy_(torch.rand_like(value) + 0.5)
            elif value.dim() == 3:  # a norm's
                value.copy_(
                    torch.randn_like(value)
                )  # also negative: the pool takes the largest of x, not of |x|
            getattr(other, name).data.copy_(value.view_as(getattr(other, name)))
        if isinstance(other, nn.Conv2d):
            other.bias.data.zero_()


def without_dropout(*nets: nn.Module) -> None:
    for net in nets:
        for layer in net.modules():
            if hasattr(layer, "p"):
                layer.p = 0.0


@pytest.mark.parametrize("shape", [(4, 101, 257, 2), (3, 83, 40)])
@pytest.mark.parametrize("training", [True, False])
def test_equal_to_the_published_order_of_torchs_layers(shape: tuple[int, ...], training: bool) -> None:
    full = {"channels": (4, 6, 8, 10, 12), "n_hidden": 7} if shape[2] == 257 else SMALL
    model, plain = ConvNet(shape, 5, **full), plain_net((*shape, 1)[3], **full, n_classes=5)
    model, plain = model.double().train(training), plain.double().train(training)
    with torch.no_grad():
        copy_weights(model, plain)
    without_dropout(model, plain)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    other_x = (x if x.dim() == 4 else x.unsqueeze(-1)).detach().permute(0, 3, 1, 2).requires_grad_()
    ours, theirs = model(x, torch.full((len(x),), x.shape[1])), plain(other_x)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    weights = torch.randn_like(ours)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    torch.testing.assert_close(x.grad.view(shape), other_x.grad.permute(0, 2, 3, 1).reshape(shape))
    for name, value in model.state_dict(keep_vars=True).items():
        number = (
            int(name.split(".")[1].removeprefix("conv").removeprefix("norm") or 0) if "conv" in name else 0
        )
        if number:
            gradient = [layer for layer in plain if isinstance(layer, nn.Conv2d)][number - 1].weight.grad
            torch.testing.assert_close(value.grad, gradient, rtol=1e-8, atol=1e-9)


def test_dropout_after_the_pool_is_dropout_before_it() -> None:
    """Of the same channels: what the largest of a window becomes does not depend on when it is dropped."""
    x, kept = torch.randn(2, 3, 8, 8), torch.tensor([1.25, 0.0, 1.25]).view(1, 3, 1, 1)
    pool = nn.MaxPool2d(2)
    assert torch.equal(pool(kept * x.relu()), kept * pool(x).relu())


@pytest.mark.parametrize("shape", [(None, None, 50), (None, None, 40, 2)])
def test_padding_never_matters(shape: tuple[int | None, ...]) -> None:
    """Also to utterances shorter than the windows need, which zeros follow, alone or not."""
    model = ConvNet(shape, 5, **SMALL).eval()
    for key, value in model.state_dict().items():
        if "running" in key:
            value.copy_(torch.rand_like(value) + 0.5)
    lengths = torch.tensor([37, 12, 1, 25, 18, 19])
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        model = model.to(dtype)
        x = torch.randn(6, 37, *shape[2:], dtype=dtype)
        with torch.no_grad():
            batch = model(x, lengths)
            for item, length in enumerate(lengths):
                alone: Tensor = model(x[item : item + 1, :length])
                assert (batch[item] - alone[0]).abs().max() <= tolerance * alone.abs().max()


@pytest.mark.parametrize("channels", [(2,), (2, 3), (2, 3, 2, 3, 2)])
def test_the_frames_needed_are_the_fewest_that_leave_one(channels: tuple[int, ...]) -> None:
    model = ConvNet((None, None, 80), 3, channels=channels)
    n = model.n_frames_needed
    left = torch.tensor([n, n - 1])
    for name, layer in model.layers.named_children():
        if name.startswith(("conv", "norm_pool")):
            left = layer.output_lengths(left)
    assert left.tolist() == [1, 0]


@pytest.mark.parametrize(
    "build",
    [
        lambda: ConvNet((None, None, 77), 5),
        lambda: ConvNet((None, 80), 5),
        lambda: ConvNet((None, None, None), 5),
        lambda: ConvNet((None, None, 80), 5, channels=()),
        lambda: ConvNet((None, None, 80), 5)(torch.zeros(2, 90, 80, 2)),
        lambda: ConvNet((None, None, 80, 2), 5)(torch.zeros(2, 90, 80)),
    ],
)
def test_impossible_arguments_are_users_mistakes(build) -> None:
    with pytest.raises(UserError):
        build()
