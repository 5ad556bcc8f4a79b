"""Deep clustering's loss against the explicit matrix of affinities."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.losses import deep_clustering_loss


def draw(
    n_items: int, n_points: int, n_values: int, n_sources: int, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(n_items, n_points, n_values, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, n_sources, (n_items, n_points), generator=generator)
    weights = torch.rand(n_items, n_points, generator=generator, dtype=torch.float64)
    return F.normalize(embeddings, dim=2), labels, weights


def explicit(embeddings: Tensor, shares: Tensor, weights: Tensor) -> Tensor:
    """By the N x N matrix, pair by pair."""
    differences = embeddings @ embeddings.mT - shares @ shares.mT
    pairs = weights.unsqueeze(2) * weights.unsqueeze(1)
    return (differences.square() * pairs).sum((1, 2)) / weights.sum(1).square()


@settings(max_examples=20)
@given(
    n_points=st.integers(1, 30),
    n_values=st.integers(1, 8),
    n_sources=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_equal_to_the_matrix_of_affinities(n_points, n_values, n_sources, seed) -> None:
    embeddings, labels, weights = draw(2, n_points, n_values, n_sources, seed)
    shares = F.one_hot(labels, n_sources).double()
    expected = explicit(embeddings, shares, weights)
    for given_labels in (labels, shares):
        found = deep_clustering_loss(embeddings, given_labels, weights)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    unweighted = explicit(embeddings, shares, torch.ones_like(weights))
    torch.testing.assert_close(deep_clustering_loss(embeddings, labels), unweighted, rtol=1e-9, atol=1e-12)


def test_shares_of_sources_need_not_be_whole() -> None:
    embeddings, _, weights = draw(2, 11, 4, 2)
    shares = torch.rand(2, 11, 3, dtype=torch.float64)
    found = deep_clustering_loss(embeddings, shares, weights)
    torch.testing.assert_close(found, explicit(embeddings, shares, weights))


def test_points_without_weight_have_no_part() -> None:
    embeddings, labels, weights = draw(2, 12, 4, 3)
    weights[1, 7:] = 0
    alone = deep_clustering_loss(embeddings[1:, :7], labels[1:, :7], weights[1:, :7])
    embeddings[1, 7:], labels[1, 7:] = torch.nan, -1
    embeddings.requires_grad_()
    found = deep_clustering_loss(embeddings, labels, weights)
    torch.testing.assert_close(found[1:], alone, rtol=1e-12, atol=1e-12)
    found.sum().backward()
    assert embeddings.grad.isfinite().all()
    assert (embeddings.grad[1, 7:] == 0).all()
    assert deep_clustering_loss(embeddings, labels, 0 * weights).tolist() == [0, 0]


def test_points_may_stand_in_two_axes() -> None:
    embeddings, labels, weights = draw(2, 12, 4, 3)
    found = deep_clustering_loss(embeddings.view(2, 3, 4, 4), labels.view(2, 3, 4), weights.view(2, 3, 4))
    assert torch.equal(found, deep_clustering_loss(embeddings, labels, weights))


def test_a_good_embedding_of_many_points_is_told_in_float32() -> None:
    embeddings, labels, weights = draw(1, 2000, 3, 3)
    good = F.normalize(F.one_hot(labels, 3) + 1e-3 * embeddings, dim=2)
    expected = deep_clustering_loss(good, labels, weights)
    with torch.autocast("cpu"):
        found = deep_clustering_loss(good.float(), labels, weights.float())
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=0)


def test_the_gradient_is_that_of_small_steps() -> None:
    embeddings, labels, weights = draw(2, 5, 3, 2)
    embeddings.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: deep_clustering_loss(v, labels, weights), embeddings)


def test_shapes_are_told() -> None:
    with pytest.raises(UserError, match=r"embeddings of shape \(2, 5, 3\), labels of \(2, 6\)"):
        deep_clustering_loss(torch.ones(2, 5, 3), torch.zeros(2, 6, dtype=torch.long))
