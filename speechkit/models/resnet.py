"""Plain residual network over time and frequency."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.models.layers import Layers, layers_over
from speechkit.nnet import GlobalAveragePool, Sequential

# B batch, T frames, F bands, n parts, C channels, V classes


class ResNet(nn.Module):
    """Residual network (He et al., 2016; for keywords: Tang and Lin, 2018) of 3x3 convolutions.

    Features (B, T, F), or (B, T, F, n) of numbers of the `algebra`, true lengths (B,) to logits (B,
    n_classes). `channels` count real values, whatever the algebra, as in `CRDNN`; each is a stage, `n_blocks`
    blocks of two convolutions, and all stages but the first halve frames and bands. `stem_stride` is that of
    the 5x5 convolution before them, one number or [time, frequency]. `front` makes a layer that comes first,
    of the features as they are. Batch norms and the mean over time count true frames only.

    >>> import torch
    >>> ResNet((None, None, 40), n_classes=10)(torch.randn(2, 30, 40), torch.tensor([30, 17])).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        input_shape: Sequence[int | None],
        n_classes: int,
        channels: Sequence[int] = (16, 32, 64),
        n_blocks: int = 1,
        stem_stride: int | Sequence[int] = 2,
        dropout: float = 0.1,
        algebra: str = "real",
        front: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        kind = layers_over(algebra)
        if not channels:
            raise UserError("no channels", expected="a list, one number for each stage", key="channels")
        counts = [kind.count_numbers(width, "channels") for width in channels]
        self.feature_shape = tuple(input_shape[2:])
        width = counts[0]
        conv = partial(kind.conv2d, out_channels=width, kernel_size=5, stride=stem_stride, bias=False)
        first = {"conv": conv} if front is None else {"front": front, "conv": conv}
        # Built before the blocks, so that weights are drawn in the order of the layers.
        layers: dict[str, nn.Module] = dict(Sequential(tuple(input_shape), **first).named_children())
        layers |= {"norm": kind.batch_norm(input_size=width), "act": nn.ReLU()}
        for stage, out_channels in enumerate(counts):
            for block in range(n_blocks):
                stride = 2 if stage and not block else 1
                layers[f"block{stage}_{block}"] = ResidualBlock(kind, width, out_channels, stride)
                width = out_channels
        layers["pool"] = GlobalAveragePool()
        layers["dropout"] = nn.Dropout(dropout)
        layers["output"] = nn.Linear(channels[-1], n_classes)
        self.layers = Sequential(tuple(input_shape), **layers)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F) or (B, T, F, n), true lengths (B,) in frames, to logits (B, V)."""
        if tuple(features.shape[2:]) != self.feature_shape:
            expected = f"(batch, frames, {', '.join(map(str, self.feature_shape))})"
            raise UserError(f"ResNet got features of shape {tuple(features.shape)}", expected=expected)
        return self.layers(features, lengths)


class ResidualBlock(nn.Module):
    """relu(shortcut(x) + norm(conv(relu(norm(conv(x)))))): channels in numbers of a kind."""

    def __init__(self, kind: Layers, input_size: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        shape = (None, None, 8, kind.n_parts * input_size)
        self.main = Sequential(
            shape,
            conv1=kind.conv2d(out_channels, 3, input_size=input_size, stride=stride, bias=False),
            norm1=kind.batch_norm(input_size=out_channels),
            activation=nn.ReLU(),
            conv2=kind.conv2d(out_channels, 3, input_size=out_channels, bias=False),
            norm2=kind.batch_norm(input_size=out_channels),
        )
        same_size = stride == 1 and input_size == out_channels
        shortcut: dict[str, nn.Module] = {}
        if not same_size:
            shortcut["conv"] = kind.conv2d(out_channels, 1, input_size=input_size, stride=stride, bias=False)
            shortcut["norm"] = kind.batch_norm(input_size=out_channels)
        self.shortcut = Sequential(shape, **shortcut)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F, C), true lengths (B,) in frames, to (B, T', F', C')."""
        return F.relu(self.shortcut(x, lengths) + self.main(x, lengths))

    def output_lengths(self, lengths: Tensor) -> Tensor | None:
        """True lengths of the output."""
        return self.main.output_lengths(lengths)
