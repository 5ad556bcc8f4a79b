"""Clusters of points by Lloyd's method, without chance: the same points have the same clusters."""

import torch
from torch import Tensor

from speechkit.errors import UserError

# B batch, N points, D dimensions, K clusters


def k_means(
    points: Tensor, weights: Tensor, n_clusters: int, n_iterations: int = 30
) -> tuple[Tensor, Tensor]:
    """Clusters of points (B, N, D) by weights (B, N): each point's number, (B, N), and centres (B, K, D).

    The first centre is the heaviest point, each further one that of the greatest weight times squared
    distance from the centres before, which k-means++ (Arthur and Vassilvitskii, 2007) would be likeliest to
    draw. Points of weight 0, such as padding, belong to a cluster but move none; a cluster without weight
    stays where it is.

    >>> points = torch.tensor([[[0.0], [9.0], [1.0], [8.0]]])
    >>> labels, centres = k_means(points, torch.ones(1, 4), 2)
    >>> labels.tolist(), centres.flatten().tolist()
    ([[0, 1, 0, 1]], [0.5, 8.5])
    """
    if n_clusters < 1:
        raise UserError(f"n_clusters {n_clusters}", expected="1 or more", key="n_clusters")
    if not points.shape[1]:
        return points.new_zeros(len(points), 0, dtype=torch.int64), points.new_zeros(
            len(points), n_clusters, points.shape[2]
        )
    centres = spread_centres(points, weights, n_clusters)
    for _ in range(n_iterations):
        members = torch.nn.functional.one_hot(nearest(points, centres), n_clusters).to(points)
        members = members * weights.unsqueeze(2)
        masses = members.sum(1).unsqueeze(2)
        means = (members.mT @ points) / masses.clamp_min(torch.finfo(points.dtype).tiny)
        centres = torch.where(masses > 0, means, centres)
    return nearest(points, centres), centres


def spread_centres(points: Tensor, weights: Tensor, n_clusters: int) -> Tensor:
    """Points far from each other, (B, K, D), to begin with."""
    items = torch.arange(len(points), device=points.device)
    centres = [points[items, weights.argmax(1)]]
    distances = torch.full_like(weights, torch.inf)
    while len(centres) < n_clusters:
        distances = torch.minimum(distances, (points - centres[-1].unsqueeze(1)).square().sum(2))
        centres.append(points[items, (weights * distances).argmax(1)])
    return torch.stack(centres, 1)


def nearest(points: Tensor, centres: Tensor) -> Tensor:
    """The number of the centre (B, K, D) nearest to each point (B, N, D), (B, N); of equal ones the first."""
    # |p - c|^2 less |p|^2, which all centres share
    return torch.baddbmm(centres.square().sum(2).unsqueeze(1), points, centres.mT, alpha=-2).argmin(2)
