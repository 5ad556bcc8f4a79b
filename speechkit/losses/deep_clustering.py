"""The loss of deep clustering: embeddings of one source are alike, of two are not."""

import torch
from torch import Tensor
from torch.nn import functional as F

from speechkit.errors import UserError

# B batch, N points of time and frequency, D values of an embedding, S sources


def deep_clustering_loss(embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared differences of affinities over all pairs of points, (B,): |V V' - Y Y'|^2 / N^2.

    Hershey et al., "Deep clustering", ICASSP 2016, equations 1 and 3, by three small products in place of the
    N x N affinities: |V'V|^2 - 2 |V'Y|^2 + |Y'Y|^2.

    embeddings: V, (B, N, D), of unit norm; their points may stand in two axes, (B, T, F, D), then those of
    labels and weights do too. labels: Y, (B, N, S), the share of each source in a point, or (B, N) integers,
    the source that is loudest. weights: (B, N), from 0 on: a pair counts by the product of its two, so that
    points of weight 0, padding and silence, have no part whatever they hold.

    >>> alike = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    >>> deep_clustering_loss(alike, torch.tensor([[0, 1, 0]])).item()
    0.0
    >>> round(deep_clustering_loss(alike, torch.tensor([[0, 1, 1]])).item() * 9)
    4
    """
    n_axes = embeddings.dim() - 1
    shares = labels if labels.is_floating_point() else F.one_hot(labels.clamp_min(0))
    if shares.shape[:-1] != embeddings.shape[:-1]:
        found = f"embeddings of shape {tuple(embeddings.shape)}, labels of {tuple(labels.shape)}"
        raise UserError(
            found, expected="(batch, points, values) and (batch, points) or (batch, points, sources)"
        )
    if weights is None:
        weights = torch.ones_like(embeddings[..., 0])
    # In float64, for a small difference of large sums; products of it are not subject to autocast either.
    weight = weights.to(embeddings.device).double().flatten(1, n_axes - 1)
    total = weight.sum(1).clamp_min(torch.finfo(torch.float32).tiny)
    share = (weight / total.unsqueeze(1)).sqrt().unsqueeze(2)
    v, y = (
        each.double().flatten(1, n_axes - 1).masked_fill(share == 0, 0) * share
        for each in (embeddings, shares)
    )
    squares = [(a.mT @ b).square().sum((1, 2)) for a, b in ((v, v), (v, y), (y, y))]
    loss = (squares[0] - 2 * squares[1] + squares[2]).clamp_min(0)
    return loss.to(torch.promote_types(embeddings.dtype, torch.float32))
