"""Clusters against scikit-learn's from the same first centres, and weights and padding."""

import numpy as np
import torch

from speechkit.ops.k_means import k_means, spread_centres


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_equal_to_scikit_learn_from_the_same_first_centres() -> None:
    from sklearn.cluster import KMeans  # here: slow to import

    points, weights = noise(3, 60, 2), noise(3, 60, seed=1).abs()
    labels, centres = k_means(points, weights, 4, n_iterations=100)
    first = spread_centres(points, weights, 4)
    for item in range(3):
        oracle = KMeans(4, init=first[item].numpy(), n_init=1, max_iter=100, tol=0)
        oracle.fit(points[item].numpy(), sample_weight=weights[item].numpy())
        assert np.array_equal(oracle.labels_, labels[item].numpy())
        np.testing.assert_allclose(oracle.cluster_centers_, centres[item].numpy(), atol=1e-12)


def test_first_centres_are_far_from_each_other() -> None:
    """Three heaps of points, one of them small: each has a centre, whatever the order."""
    heaps = torch.tensor([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]], dtype=torch.float64)
    of_heap = torch.tensor([0] * 40 + [1] * 40 + [2] * 2)
    for seed in range(5):
        order = torch.randperm(82, generator=torch.Generator().manual_seed(seed))
        points = (heaps[of_heap] + noise(82, 2, seed=seed))[order].unsqueeze(0)
        labels, _ = k_means(points, torch.ones(1, 82, dtype=torch.float64), 3, n_iterations=2)
        assert {tuple(labels[0, of_heap[order] == heap].unique().tolist()) for heap in range(3)} == {
            (0,),
            (1,),
            (2,),
        }


def test_points_without_weight_move_nothing() -> None:
    points, weights = noise(1, 50, 3), torch.ones(1, 50, dtype=torch.float64)
    labels, centres = k_means(points[:, :30], weights[:, :30], 3)
    weights[:, 30:] = 0
    more, same = k_means(torch.cat([points[:, :30], 100 * points[:, 30:]], 1), weights, 3)
    assert torch.equal(more[:, :30], labels)
    torch.testing.assert_close(same, centres, rtol=1e-12, atol=1e-12)


def test_equal_points_and_no_points_have_clusters() -> None:
    labels, centres = k_means(torch.ones(2, 5, 3), torch.zeros(2, 5), 2)
    assert labels.unique().tolist() == [0]
    assert centres.isfinite().all()
    assert k_means(torch.ones(2, 0, 3), torch.zeros(2, 0), 2)[1].shape == (2, 2, 3)
