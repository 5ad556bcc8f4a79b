"""From layers over time and frequency to layers over time."""

from torch import Tensor, nn

from speechkit.ops.algebra import find_algebra, split_parts

# B batch, T frames, F bands, n parts, C numbers


class JoinBands(nn.Module):
    """All bands' numbers side by side, and their parts too: (B, T, F, n C) to (B, T, n F C).

    What has no bands, (B, T, n C), stays as it is.

    >>> import torch
    >>> two_bands = torch.tensor([[[[1.0, 10.0], [2.0, 20.0]]]])  # 1 + 10 i, then 2 + 20 i
    >>> JoinBands("complex")(two_bands).tolist()
    [[[1.0, 2.0, 10.0, 20.0]]]
    """

    def __init__(self, algebra: str = "real") -> None:
        super().__init__()
        self.algebra = find_algebra(algebra)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, F, n C) or (B, T, n C) to (B, T, n F C)."""
        if x.dim() == 3:
            return x
        return split_parts(x, self.algebra).transpose(2, 3).flatten(2)
