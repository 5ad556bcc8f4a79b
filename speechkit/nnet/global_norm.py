"""Layer normalisation over all frames of an utterance."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechkit.nnet.sizes import check_width, input_size_of
from speechkit.ops.global_norm import global_norm

# B batch, T frames, K rows of a frame, F features


class GlobalLayerNorm(nn.Module):
    """Global layer normalisation (Luo and Mesgarani, "Conv-TasNet", 2019, equations 9 and 10).

    (B, T, F) or (B, T, K, F) minus the mean of all true frames' values, over their deviation, with a scale
    and a shift for each of the F features. Padding becomes 0. `eps` is added to the variance.

    >>> GlobalLayerNorm(input_size=2)(torch.tensor([[[1.0, 3.0], [7.0, 7.0]]]), torch.tensor([1]))[0].tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """

    def __init__(
        self,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        self.n_features, self.eps = input_size_of(input_shape, input_size, layer="GlobalLayerNorm"), eps
        self.weight = nn.Parameter(torch.ones(self.n_features))
        self.bias = nn.Parameter(torch.zeros(self.n_features))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F) or (B, T, K, F), true lengths (B,) in frames, to the same shape."""
        check_width(x, self.n_features, "GlobalLayerNorm")
        if x.numel() == 0:  # no frame, no statistics
            return x
        with torch.autocast(x.device.type, enabled=False):  # sums over many frames need all their digits
            y = x if x.dtype == torch.float64 else x.float()
            y = global_norm(y, self.weight, self.bias, self.eps, lengths)
        return y.to(x.dtype)
