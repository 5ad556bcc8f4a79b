"""Cross entropy against torch's and its definition."""

import pytest
import torch
from torch.nn import functional

from speechkit.losses import cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_indices_and_their_one_hot_rows_agree_with_torch(smoothing):
    logits, targets = torch.randn(5, 7, dtype=torch.float64), torch.tensor([0, 6, 2, 2, 3])
    total = functional.cross_entropy(logits, targets, label_smoothing=smoothing) * 5
    torch.testing.assert_close(cross_entropy(logits, targets, smoothing), total)
    soft = functional.one_hot(targets, 7).double()
    torch.testing.assert_close(cross_entropy(logits, soft, smoothing), total)


def test_soft_targets_are_weighted_log_probabilities():
    logits, targets = torch.randn(4, 3, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64)
    expected = -(targets * (logits - logits.exp().sum(1, keepdim=True).log())).sum()
    torch.testing.assert_close(cross_entropy(logits, targets), expected)


def test_a_batch_counts_as_its_parts():
    logits, targets = torch.randn(5, 7), torch.tensor([0, 6, 2, 2, 3])
    parts = cross_entropy(logits[:2], targets[:2]) + cross_entropy(logits[2:], targets[2:])
    torch.testing.assert_close(cross_entropy(logits, targets), parts)
