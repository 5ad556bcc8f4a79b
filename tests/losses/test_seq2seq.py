"""Cross entropy over tokens and boundary, beside torch's over the rows of each utterance alone."""

import pytest
import torch
from torch.nn import functional

from speechkit.losses import seq2seq_loss


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
def test_each_utterance_gets_torchs_loss_of_its_own_rows(label_smoothing):
    logits = torch.randn(4, 6, 9, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([5, 0, 3, 1])
    targets = torch.randint(1, 9, (4, 5))
    for row, n in enumerate(lengths):
        targets[row, n:] = torch.tensor([-100, 99, 0, -1, 3])[n:]
    losses = seq2seq_loss(logits, targets, lengths, label_smoothing)
    expected = []
    for row, n in enumerate(lengths):
        text = torch.cat([targets[row, :n], torch.zeros(1, dtype=torch.long)])
        rows = logits[row, : n + 1]
        expected.append(
            functional.cross_entropy(rows, text, reduction="sum", label_smoothing=label_smoothing)
        )
    torch.testing.assert_close(losses, torch.stack(expected))
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert gradient[1, 1:].abs().max() == 0  # padding has none
    assert gradient[0].abs().min() > 0


def test_smoothing_mixes_with_the_mean_over_tokens():
    logits = torch.randn(1, 2, 5, dtype=torch.float64)
    log_probs = logits.log_softmax(-1)[0]
    told = -(log_probs[0, 3] + log_probs[1, 0])
    got = seq2seq_loss(logits, torch.tensor([[3]]), torch.tensor([1]), 0.3)
    torch.testing.assert_close(got[0], 0.7 * told - 0.3 * log_probs.mean(1).sum())


def test_half_precision_logits_are_summed_in_single():
    logits = 3 * torch.randn(2, 4, 50)
    targets, lengths = torch.randint(1, 50, (2, 3)), torch.tensor([3, 2])
    half = seq2seq_loss(logits.bfloat16(), targets, lengths)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, seq2seq_loss(logits.bfloat16().float(), targets, lengths))
