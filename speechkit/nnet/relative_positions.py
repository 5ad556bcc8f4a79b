"""Attention that knows how far apart a query and a key stand."""

import torch
from torch import Tensor, nn

from speechkit.nnet.hyper_linear import HyperLinear
from speechkit.nnet.positions import check_even, sinusoids

# B batch, H heads, E values of a head, Q queries, K keys, D = Q + K - 1 distances


class RelativePositions(nn.Module):
    """Relative positions (Dai et al., 2019, section 3.3), of any number of frames.

    A query q at i meets a key k at j with the score (q + u) k + (q + v) W s(i - j): s are sines and cosines
    of the distance, W, u and v are learned. The first term is left to the attention.
    """

    def __init__(self, n_heads: int, n_numbers: int, algebra: str) -> None:
        super().__init__()
        self.linear = HyperLinear(n_numbers, input_size=n_numbers, bias=False, algebra=algebra)
        self.n_heads, self.n_parts = n_heads, self.linear.weight.algebra.n_parts
        self.width = check_even(self.linear.input_size)
        shape = (n_heads, 1, self.width // n_heads)
        self.content_bias = nn.Parameter(torch.zeros(shape))  # u
        self.distance_bias = nn.Parameter(torch.zeros(shape))  # v

    def forward(self, query: Tensor, n_keys: int) -> tuple[Tensor, Tensor]:
        """Queries (B, H, Q, E), the last Q of `n_keys` positions, to q + u, and (q + v) W s (B, H, Q, K)."""
        n_queries = query.shape[2]
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        distances = torch.arange(n_keys - 1, -n_queries, -1, device=query.device, dtype=dtype)
        keys = self.linear(sinusoids(distances, self.width).to(query.dtype))
        numbers = keys.unflatten(-1, (self.n_parts, self.n_heads, -1))
        keys = numbers.permute(2, 0, 1, 3).flatten(2)  # (H, D, E)
        scores = (query + self.distance_bias) @ keys.transpose(1, 2) * keys.shape[-1] ** -0.5
        return query + self.content_bias, by_key(scores)


def by_key(scores: Tensor) -> Tensor:
    """Scores (..., Q, Q + K - 1) by distance, the greatest first, to scores (..., Q, K) by key.

    Row i is read from column Q - 1 - i on: with all rows as one, that is a fixed step from row to row.

    >>> by_key(torch.tensor([[1, 0, -1], [1, 0, -1]])).tolist()  # distances of two queries to two keys
    [[0, -1], [1, 0]]
    """
    n_queries, n_distances = scores.shape[-2:]
    if n_queries == 1:
        return scores
    rows = scores.flatten(-2)[..., n_queries - 1 : -1].unflatten(-1, (n_queries, n_distances - 1))
    return rows[..., : n_distances - n_queries + 1]
