"""Several networks that answer together."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from speechkit.errors import UserError

# B batch, V classes


class Ensemble(nn.Module):
    """Networks of one kind with weights of their own, whose probabilities are averaged.

    In training each member learns from its share of every batch, rows m, m + n_members, ...: a pass costs
    what one member would, and the members see different clips. In eval mode all see all, and the result is
    the logarithm of their mean probabilities (Hansen and Salamon, "Neural network ensembles", 1990).

    member: makes one, `(features, lengths) -> logits (B, V)`; n_members: 1 or more.

    >>> model = Ensemble(lambda: nn.Linear(4, 3), n_members=2)
    >>> model(torch.randn(5, 4)).shape
    torch.Size([5, 3])
    """

    def __init__(self, member: Callable[[], nn.Module], n_members: int) -> None:
        super().__init__()
        if n_members < 1:
            raise UserError(f"n_members is {n_members}", expected="1 or more", key="n_members")
        self.members = nn.ModuleList(member() for _ in range(n_members))

    def forward(self, features: Tensor, *lengths: Tensor) -> Tensor:
        """(B, ...), true lengths (B,), to logits (B, V)."""
        if not self.training:
            each = torch.stack([member(features, *lengths) for member in self.members])
            wide = each.to(torch.promote_types(each.dtype, torch.float32))  # autocast's logits are narrow
            return wide.log_softmax(-1).logsumexp(0) - math.log(len(self.members))
        order = torch.arange(len(features), device=features.device)
        shares = [order[first :: len(self.members)] for first in range(len(self.members))]
        logits = [
            member(features[share], *(each[share] for each in lengths))
            for member, share in zip(self.members, shares, strict=True)
            if len(share)
        ]
        return torch.cat(logits)[torch.cat(shares).argsort()]
