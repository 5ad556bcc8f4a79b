"""CTC's loss against every path written out, and against what padding and impossible targets must give."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechkit.losses import ctc_loss, ctc_min_frames

N_TOKENS = 3  # the blank among them


def collapse(path: tuple[int, ...]) -> list[int]:
    """Repeats merged, then blanks removed."""
    return [token for token, _ in itertools.groupby(path) if token]


def loss_of_all_paths(log_probs: list[list[float]], target: list[int]) -> float:
    """-log of the summed probability of the paths that collapse to the target: all V^T are tried."""
    total = 0.0
    for path in itertools.product(range(N_TOKENS), repeat=len(log_probs)):
        if collapse(path) == target:
            total += math.exp(sum(row[token] for row, token in zip(log_probs, path, strict=True)))
    return -math.log(total) if total else math.inf


def pad(targets: list[list[int]], value: int = 0) -> tuple[Tensor, Tensor]:
    longest = max([*map(len, targets), 1])
    rows = [target + [value] * (longest - len(target)) for target in targets]
    return torch.tensor(rows), torch.tensor([len(target) for target in targets])


TARGETS = st.lists(st.integers(1, N_TOKENS - 1), max_size=4)
ITEMS = st.lists(st.tuples(st.integers(1, 6), TARGETS), min_size=2, max_size=4)


@settings(max_examples=30)
@given(ITEMS, st.integers(0, 2**20), st.sampled_from([0, 1, 3]))
def test_it_is_the_sum_over_all_paths(items: list, seed: int, padding: int) -> None:
    """Batches of different lengths, with repeats, empty targets and impossible ones."""
    lengths, targets = [n for n, _ in items], [target for _, target in items]
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(len(items), 6, N_TOKENS, generator=generator, dtype=torch.float64)
    log_probs = logits.log_softmax(-1)
    for row, n in zip(log_probs, lengths, strict=True):
        row[n:] = 100.0  # what lies behind does not matter
    losses = ctc_loss(log_probs, torch.tensor(lengths), *pad(targets, padding))
    expected = [
        loss_of_all_paths(row[:n].tolist(), target) for row, (n, target) in zip(log_probs, items, strict=True)
    ]
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-10)
    needed = [ctc_min_frames(target) for target in targets]
    assert [need > n for need, n in zip(needed, lengths, strict=True)] == losses.isinf().tolist()


def test_no_frames_hold_the_empty_text_alone() -> None:
    log_probs = torch.zeros(2, 3, N_TOKENS).log_softmax(-1)
    losses = ctc_loss(log_probs, torch.tensor([0, 0]), *pad([[], [1]]))
    assert losses.tolist() == [0.0, math.inf]


def test_the_gradient_through_log_softmax_is_that_of_finite_differences() -> None:
    logits = torch.randn(3, 6, N_TOKENS, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([6, 4, 5])
    targets = pad([[1, 1, 2], [2], []])

    def losses(logits: Tensor) -> Tensor:
        return ctc_loss(logits.log_softmax(-1), lengths, *targets)

    assert torch.autograd.gradcheck(losses, (logits,))


def test_padding_gets_no_gradient() -> None:
    logits = torch.randn(2, 6, N_TOKENS, requires_grad=True)
    ctc_loss(logits.log_softmax(-1), torch.tensor([6, 4]), *pad([[1, 2], [2]])).sum().backward()
    assert logits.grad is not None
    assert logits.grad[1, :4].abs().min() > 0
    assert (logits.grad[1, 4:] == 0).all()


def test_an_utterance_has_in_a_batch_the_loss_that_it_has_alone() -> None:
    log_probs = torch.randn(3, 30, N_TOKENS, dtype=torch.float64).log_softmax(-1)
    lengths, targets = [30, 12, 21], [[1, 2, 2, 1], [2, 2], [1]]
    together = ctc_loss(log_probs, torch.tensor(lengths), *pad(targets))
    alone = [
        ctc_loss(log_probs[i : i + 1, :n], torch.tensor([n]), *pad([target]))
        for i, (n, target) in enumerate(zip(lengths, targets, strict=True))
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("target", "frames"), [([], 0), ([1], 1), ([1, 2, 1], 3), ([2, 2, 2], 5)])
def test_frames_that_a_target_needs(target: list[int], frames: int) -> None:
    """By trial: the shortest path that collapses to it."""
    shortest = next(
        n
        for n in itertools.count()
        if any(collapse(path) == target for path in itertools.product(range(3), repeat=n))
    )
    assert ctc_min_frames(target) == shortest == frames
