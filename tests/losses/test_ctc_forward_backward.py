"""CTC in the open against torch's kernel, value and gradient, and against finite differences."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from speechkit.losses import ctc_forward_backward, ctc_loss, ctc_occupancy
from speechkit.losses.ctc import emission_scores, forward_scores
from speechkit.ops.alignment import interleave_blanks


def draw(n: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Logits, lengths, targets and theirs: few tokens, so that many repeat; many targets that do not fit."""
    generator = torch.Generator().manual_seed(seed)
    n_frames, n_tokens, n_longest = [
        int(torch.randint(low, high, (), generator=generator)) for low, high in ((1, 20), (2, 6), (1, 12))
    ]
    logits = 3 * torch.randn(n, n_frames, n_tokens, generator=generator, dtype=dtype)
    lengths = torch.randint(0, n_frames + 1, (n,), generator=generator)
    targets = torch.randint(1, n_tokens, (n, n_longest), generator=generator)
    target_lengths = torch.randint(0, n_longest + 1, (n,), generator=generator)
    return logits, lengths, targets, target_lengths


def value_and_gradient(loss, logits: Tensor, *rest: Tensor, zero_infinity: bool = False):
    """Losses, and the gradient of their sum, each weighted by another number."""
    logits = logits.clone().requires_grad_()
    losses = loss(logits.log_softmax(-1), *rest, zero_infinity)
    losses.backward(torch.linspace(-1, 2, len(losses), dtype=losses.dtype))
    return losses.detach(), logits.grad


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_thousands_of_cases_are_as_torchs(zero_infinity: bool) -> None:
    seen = {"impossible": 0, "empty": 0, "one token": 0, "one frame": 0, "all": 0}
    for seed in range(15):
        case = draw(200, seed)
        expected, gradient = value_and_gradient(ctc_loss, *case, zero_infinity=zero_infinity)
        losses, ours = value_and_gradient(ctc_forward_backward, *case, zero_infinity=zero_infinity)
        torch.testing.assert_close(losses, expected, rtol=1e-10, atol=1e-10)
        impossible = torch.isinf(ctc_loss(case[0].log_softmax(-1), *case[1:]))
        # What torch leaves in the gradient of an impossible target is NaN at some frames and tokens.
        kept = ~impossible if not zero_infinity else torch.ones_like(impossible)
        torch.testing.assert_close(ours[kept], gradient[kept], rtol=1e-10, atol=1e-10)
        seen["impossible"] += int(impossible.sum())
        for name, lengths in (
            ("empty", case[3] == 0),
            ("one token", case[3] == 1),
            ("one frame", case[1] == 1),
        ):
            seen[name] += int(lengths.sum())
        seen["all"] += len(losses)
    assert seen["all"] == 3000
    assert min(seen.values()) > 100


def test_float32_is_no_further_from_the_truth_than_torchs() -> None:
    """500 frames; the truth is torch's kernel in float64."""
    logits = torch.randn(4, 500, 20)
    rest = (torch.tensor([500, 400, 300, 500]), torch.randint(1, 20, (4, 60)), torch.tensor([60, 50, 40, 1]))
    true_losses, true_gradient = value_and_gradient(ctc_loss, logits.double(), *rest)
    losses, gradient = value_and_gradient(ctc_forward_backward, logits, *rest)
    _, torchs = value_and_gradient(ctc_loss, logits, *rest)
    torch.testing.assert_close(losses.double(), true_losses, rtol=1e-5, atol=0)
    error = (gradient - true_gradient).abs().max()
    assert error < 5e-4
    assert error <= (torchs - true_gradient).abs().max()


def test_the_gradient_is_that_of_finite_differences_also_without_normalisation() -> None:
    scores = torch.randn(4, 6, 3, dtype=torch.float64, requires_grad=True)
    lengths, targets = torch.tensor([6, 4, 5, 1]), torch.tensor([[1, 1, 2], [2, 0, 0], [0, 0, 0], [1, 0, 0]])
    rest = (lengths, targets, torch.tensor([3, 1, 0, 1]))
    assert torch.autograd.gradcheck(lambda scores: ctc_forward_backward(scores, *rest), (scores,))


def test_the_alpha_recursion_by_autograd_gives_the_same_gradient() -> None:
    """Two routes to one gradient: backward sums, and torch's differentiation of the forward sums alone."""
    logits, lengths, targets, target_lengths = draw(20, 5)
    log_probs = logits.log_softmax(-1).requires_grad_()
    target_lengths = target_lengths.clamp_max(3)
    lengths = lengths.clamp_min(8)
    states, can_skip = interleave_blanks(targets, target_lengths)
    (ours,) = torch.autograd.grad(
        ctc_forward_backward(log_probs, lengths, targets, target_lengths).sum(), log_probs
    )
    # Minus infinity has no derivative: a very small probability stands for none.
    emissions = emission_scores(log_probs, states, target_lengths).clamp_min(-1e4)
    score = torch.full_like(emissions[0], -1e4)
    score = torch.where(torch.arange(score.shape[1]) < 2, emissions[0], score)
    history = [score]
    for emission in emissions[1:]:
        step = torch.nn.functional.pad(score, (1, 0), value=-1e4)[:, :-1]
        skip = torch.nn.functional.pad(score, (2, 0), value=-1e4)[:, :-2].where(can_skip, -1e4)
        score = torch.stack([score, step, skip]).logsumexp(0) + emission
        history.append(score)
    at_end = torch.stack(history)[lengths - 1, torch.arange(20)]
    ends = torch.stack([2 * target_lengths, 2 * target_lengths - 1], 1)
    last = at_end.gather(1, ends.clamp_min(0)).where(ends >= 0, -1e4)
    (by_autograd,) = torch.autograd.grad(-last.logsumexp(1).sum(), log_probs)
    torch.testing.assert_close(ours, by_autograd, rtol=1e-8, atol=1e-10)


def test_beginnings_are_counted() -> None:
    """With all scores 0 the sums count paths: "ab" in 4 frames has C(4 + 2, 2 * 2) = 15 of them."""
    _, can_skip = interleave_blanks(torch.tensor([[1, 2]]), torch.tensor([2]))
    reached = forward_scores(torch.zeros(4, 1, 5, dtype=torch.float64), can_skip)
    assert reached[0].exp().tolist() == [[1, 1, 0, 0, 0]]
    assert round(reached[3, 0, 3:].exp().sum().item()) == math.comb(6, 4)


def test_padding_does_not_matter_and_gets_no_gradient() -> None:
    logits, lengths, targets, target_lengths = draw(50, 2)
    lengths[0], target_lengths[0] = 0, 0
    case = logits, lengths, targets, target_lengths
    expected, gradient = value_and_gradient(ctc_forward_backward, *case, zero_infinity=True)
    padding = torch.arange(logits.shape[1]) >= lengths[:, None]
    spoilt = logits.log_softmax(-1).masked_fill(padding[:, :, None], torch.nan).requires_grad_()
    targets = targets.where(torch.arange(targets.shape[1]) < target_lengths[:, None], -7)
    losses = ctc_forward_backward(spoilt, lengths, targets, target_lengths, True)
    losses.sum().backward()
    torch.testing.assert_close(losses.detach(), expected)
    assert (spoilt.grad[padding] == 0).all()
    assert (gradient[padding] == 0).all()


def test_an_impossible_target_does_not_touch_the_others() -> None:
    logits = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    targets, lengths = torch.tensor([[1, 1, 1], [1, 2, 0]]), torch.tensor([3, 3])
    losses = ctc_forward_backward(logits.log_softmax(-1), lengths, targets, torch.tensor([3, 2]))
    assert losses.isinf().tolist() == [True, False]
    losses.sum().backward()
    assert logits.grad is not None
    assert logits.grad[0].isnan().all()
    assert logits.grad[1].isfinite().all()


def test_nan_is_no_infinity() -> None:
    log_probs = torch.full((1, 2, 3), torch.nan)
    rest = (torch.tensor([2]), torch.tensor([[1]]), torch.tensor([1]))
    assert ctc_forward_backward(log_probs, *rest, zero_infinity=True).isnan().all()


def test_half_precision_is_summed_in_float32() -> None:
    logits = torch.randn(2, 30, 5).bfloat16().requires_grad_()
    rest = (torch.tensor([30, 20]), torch.tensor([[1, 2], [3, 3]]), torch.tensor([2, 2]))
    losses = ctc_forward_backward(logits.log_softmax(-1), *rest)
    losses.sum().backward()
    assert losses.dtype == torch.float32
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def say(path: tuple[int, ...]) -> tuple[list[int], list[int | None]]:
    """The text that a path says, and the place in it that each frame says."""
    text: list[int] = []
    places: list[int | None] = []
    for before, token in itertools.pairwise((0, *path)):
        text += [token] if token not in (0, before) else []
        places.append(len(text) - 1 if token else None)
    return text, places


@pytest.mark.parametrize("target", [[1, 1], [2, 1, 2], [1], []])
def test_occupancy_is_the_share_of_the_paths_of_a_text(target: list[int]) -> None:
    """Every path of five frames is listed; in a batch beside a longer one, with padding."""
    torch.default_generator.manual_seed(2)
    log_probs = torch.randn(2, 7, 3, dtype=torch.float64).log_softmax(-1)
    padded = torch.tensor([[1, 2, 1, 2], [*target, *[2] * (4 - len(target))]])
    sizes = torch.tensor([4, len(target)])
    shares, total = torch.zeros(5, 4, dtype=torch.float64), 0.0
    for path in itertools.product(range(3), repeat=5):
        text, places = say(path)
        if text == target:
            probability = log_probs[1, range(5), list(path)].sum().exp()
            total += probability
            for frame, place in enumerate(places):
                if place is not None:
                    shares[frame, place] += probability
    occupancy = ctc_occupancy(log_probs, torch.tensor([7, 5]), padded, sizes)
    torch.testing.assert_close(occupancy[1, :5], shares / total)
    assert occupancy[1, 5:].count_nonzero() == 0
    assert (occupancy[0].sum(1) <= 1 + 1e-12).all()
