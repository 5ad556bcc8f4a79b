"""Features of an utterance brought to zero mean and unit variance."""

import torch
from torch import Tensor, nn

from speechkit.ops.lengths import mask_padding

# B batch, T frames, F bands


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
        deviation = (centred.square().sum(1, keepdim=True) / count).sqrt()
        return centred / (deviation + self.eps), lengths
