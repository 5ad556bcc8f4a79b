"""Features brought to zero mean and unit variance: of an utterance, or of the training set."""

import inspect
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.ops.lengths import mask_padding

# B batch, N samples, T frames, F bands


class UtteranceNorm(nn.Module):
    """Each band minus its mean over the utterance's true frames, over its deviation with `variance`.

    (features (B, T, F), lengths (B,)) to the same; padding becomes 0. `eps` is added to the deviation.

    >>> UtteranceNorm()(torch.tensor([[[1.0], [3.0]]]), torch.tensor([2]))[0].flatten().round().tolist()
    [-1.0, 1.0]
    """

    def __init__(self, variance: bool = True, eps: float = 1e-5) -> None:
        super().__init__()
        self.variance, self.eps = variance, eps

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, T, F), true lengths (B,) in frames, to the same."""
        if lengths is None:
            lengths = torch.full((len(features),), features.shape[1])
        count = lengths.clamp_min(1).to(features.device, features.dtype).view(-1, *[1] * (features.dim() - 1))
        mean = mask_padding(features, lengths).sum(1, keepdim=True) / count
        centred = mask_padding(features - mean, lengths)
        if not self.variance:
            return centred, lengths
        variance = centred.square().sum(1, keepdim=True) / count
        deviation = variance.clamp_min(torch.finfo(variance.dtype).tiny).sqrt()  # no infinite slope at 0
        return centred / (deviation + self.eps), lengths


class GlobalNorm(nn.Module):
    """Each band minus its mean over all true frames of the training set, over its deviation with `variance`.

    (features (B, T, F), lengths (B,)) to the same; padding becomes 0. `input_shape` is that of the features,
    (None, None, F) or, of numbers with n parts, (None, None, F, n). `eps` is added to the deviation.

    In training every true frame enters the sums, of which each counts the same, and a batch is normalised by
    all that was summed up so far, itself included. With epoch `n_epochs` the sums are complete and stay as
    they are, in what is trained on from these weights too. In eval mode they are only read; where nothing was
    summed up yet, features stay as they are. They are buffers in float64, so a checkpoint has them.

    >>> norm = GlobalNorm((None, None, 1))
    >>> norm(torch.tensor([[[1.0], [3.0]]]), torch.tensor([2]))[0].flatten().round().tolist()
    [-1.0, 1.0]
    >>> norm.eval()(torch.tensor([[[4.0]]]), torch.tensor([1]))[0].flatten().round().tolist()
    [2.0]
    """

    # What a batch adds to; training/statistics.py lets the batches of a group add to it in their order.
    cumulative_buffers = ("n_frames", "total", "total_of_squares")

    def __init__(
        self, input_shape: Sequence[int | None], variance: bool = True, eps: float = 1e-5, n_epochs: int = 1
    ) -> None:
        super().__init__()
        sizes = [size for size in input_shape[2:] if size]
        if not sizes or len(sizes) != len(input_shape) - 2:
            raise UserError(f"input_shape {input_shape!r}", expected="(batch, frames, bands) or more axes")
        if n_epochs < 1:
            raise UserError(f"n_epochs is {n_epochs}", expected="1 or more", key="n_epochs")
        self.variance, self.eps, self.n_epochs = variance, eps, n_epochs
        self.n_frames: Tensor
        self.total: Tensor
        self.total_of_squares: Tensor
        self.epochs_seen: Tensor
        self.register_buffer("n_frames", torch.zeros((), dtype=torch.float64))
        self.register_buffer("total", torch.zeros(sizes, dtype=torch.float64))
        self.register_buffer("total_of_squares", torch.zeros(sizes, dtype=torch.float64))
        self.register_buffer("epochs_seen", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, T, F), true lengths (B,) in frames, to the same."""
        if features.shape[2:] != self.total.shape:
            found, expected = tuple(features.shape[2:]), tuple(self.total.shape)
            raise UserError(f"features of {found} bands", expected=f"{expected}, as input_shape says")
        if lengths is None:
            lengths = torch.full((len(features),), features.shape[1])
        if self.training and self.epochs_seen < self.n_epochs:
            self._add(mask_padding(features.detach(), lengths), lengths)
        mean, scale = self._mean_and_scale()
        return mask_padding((features - mean.to(features)) * scale.to(features), lengths), lengths

    def end_epoch(self, epoch: int) -> None:
        """Told by the loop after the last batch of an epoch, from 1 on."""
        self.epochs_seen.clamp_min_(epoch)

    @torch.no_grad()
    def _add(self, features: Tensor, lengths: Tensor) -> None:
        frames = features.flatten(0, 1).to(self.total)
        self.n_frames += lengths.sum().to(self.n_frames)
        self.total += frames.sum(0)
        self.total_of_squares += frames.square().sum(0)

    def _mean_and_scale(self) -> tuple[Tensor, Tensor]:
        # Means are within some ten deviations of 0, so that the difference keeps 13 of float64's digits.
        count = self.n_frames.clamp_min(1)
        mean = self.total / count
        if not self.variance:
            return mean, torch.ones_like(mean)
        deviation = (self.total_of_squares / count - mean.square()).clamp_min(0).sqrt()
        return mean, torch.where(self.n_frames > 0, 1 / (deviation + self.eps), 1.0)


class Normalized(nn.Module):
    """A front end and the normalisation of what it gives: (B, N) to (B, T, F).

    features: (waveforms, lengths) -> (features, frame lengths), with `output_shape` and `output_lengths`.
    norm: (features, lengths) -> (features, lengths), ready or a factory, which gets the `input_shape` if it
        takes one: in a YAML `!name:speechkit.features.GlobalNorm`, or `UtteranceNorm`.

    >>> from speechkit.features import LogMel
    >>> front = Normalized(LogMel(16000, n_mels=40), GlobalNorm)
    >>> front(torch.zeros(2, 16000), torch.tensor([16000, 8000]))[0].shape
    torch.Size([2, 101, 40])
    """

    def __init__(self, features: nn.Module, norm: nn.Module | Callable[..., nn.Module]) -> None:
        super().__init__()
        self.features = features
        if isinstance(norm, nn.Module):
            self.norm = norm
        elif not callable(norm):
            raise UserError(
                f"norm is {norm!r}", expected="a module, or a factory of one (!name:...)", key="norm"
            )
        else:
            takes_shape = "input_shape" in inspect.signature(norm).parameters
            self.norm = norm(input_shape=self.output_shape) if takes_shape else norm()

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the output: that of `features`."""
        return cast(tuple[int | None, ...], self.features.output_shape)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, N) in [-1, 1], true lengths (B,) in samples, to ((B, T, F), true lengths in frames)."""
        return self.norm(*self.features(waveforms, lengths))

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Samples to frames."""
        return cast(Callable[[Tensor], Tensor], self.features.output_lengths)(lengths)
