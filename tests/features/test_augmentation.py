"""What augmentation may and may not change."""

import pytest
import torch

from speechkit.errors import UserError
from speechkit.features import Chain, Mixup, SpecAugment, TimeShift

LENGTHS = torch.tensor([40, 23, 1, 40])


def features():
    return torch.randn(4, 40, 12) + 3


def runs(mask):
    """Lengths of the stretches of True in a row."""
    text = "".join("x" if value else " " for value in mask.tolist())
    return [len(run) for run in text.split()]


def test_masks_are_stretches_within_bounds_and_take_the_mean():
    widths, n_changed = [], 0
    for seed in range(60):
        torch.manual_seed(seed)
        x = features()
        y = SpecAugment(1, 9, 1, 4)(x, LENGTHS)
        changed = y != x
        for item, length in enumerate(LENGTHS.tolist()):
            value = x[item, :length].mean()
            torch.testing.assert_close(y[item][changed[item]], value.expand(int(changed[item].sum())))
            frames = runs(changed[item].all(1))
            bands = runs(changed[item].all(0))
            assert len(frames) <= 1
            assert sum(frames) <= min(9, length)
            assert length == 1 or not changed[item, length:].all(1).any()
            assert len(bands) <= 1
            assert sum(bands) <= 4
            widths += frames if length == 40 else []
            n_changed += changed[item].any().item()
    assert set(widths) == set(range(1, 10))  # all widths come up
    assert n_changed > 150


def test_time_masks_obey_the_fraction():
    for _ in range(20):
        x = features()
        changed = SpecAugment(1, 40, 0, 0, max_time_fraction=0.1)(x, LENGTHS) != x
        assert (changed.all(2).sum(1) <= (LENGTHS * 0.1).long()).all()


@pytest.mark.parametrize(
    "augmentation", [SpecAugment(2, 10, 2, 4), TimeShift(5), Chain([TimeShift(2), SpecAugment()])]
)
def test_the_default_generator_decides(augmentation):
    x = features()
    torch.manual_seed(3)
    first = augmentation(x, LENGTHS)
    second = augmentation(x, LENGTHS)
    torch.manual_seed(3)
    torch.testing.assert_close(augmentation(x, LENGTHS), first, rtol=0, atol=0)
    assert not torch.equal(first, second)


def test_padding_never_decides_what_is_masked():
    x = features()
    other = x.clone()
    for item, length in enumerate(LENGTHS):
        other[item, length:] = 100
    torch.manual_seed(1)
    a = SpecAugment(2, 10, 2, 4)(x, LENGTHS)
    torch.manual_seed(1)
    b = SpecAugment(2, 10, 2, 4)(other, LENGTHS)
    for item, length in enumerate(LENGTHS):
        torch.testing.assert_close(a[item, :length], b[item, :length])


def test_time_shift_moves_each_utterance_and_repeats_its_edge():
    x = torch.arange(40.0).view(1, 40, 1).repeat(50, 1, 2)
    lengths = torch.full((50,), 30)
    y = TimeShift(4)(x, lengths)
    shifts = set()
    for item in range(50):
        shift = int(15 - y[item, 15, 0].item())
        expected = torch.arange(-shift, 30 - shift).clamp(0, 29).float()
        torch.testing.assert_close(y[item, :30, 0], expected)
        torch.testing.assert_close(y[item, 30:], x[item, 30:])
        shifts.add(shift)
    assert shifts == set(range(-4, 5))


def test_mixup_blends_features_and_targets_alike():
    x, targets = torch.eye(8).unsqueeze(1).repeat(1, 5, 1), torch.eye(8)
    mixed, mixed_targets = Mixup(0.5)(x, targets)
    torch.testing.assert_close(mixed, mixed_targets.unsqueeze(1).expand_as(x))
    torch.testing.assert_close(mixed_targets.sum(1), torch.ones(8))
    own = mixed_targets.diagonal()
    assert own.min() >= 0.5
    assert len(own.unique()) > 4  # drawn for each utterance


def test_mixup_leaves_what_the_partner_does_not_reach():
    x, lengths = torch.randn(6, 10, 3), torch.tensor([10, 2, 10, 3, 10, 1])
    mixed, targets = Mixup(1.0)(x, torch.eye(6), lengths)
    for item in range(6):
        partner = targets[item].clone()
        partner[item] = 0
        other = int(partner.argmax()) if partner.max() > 0 else item
        torch.testing.assert_close(mixed[item, lengths[other] :], x[item, lengths[other] :])


def test_mixup_draws_from_a_beta_distribution():
    torch.manual_seed(0)
    own = Mixup(2.0)(torch.zeros(4000, 1), torch.eye(4000))[1].diagonal()
    folded = torch.distributions.Beta(2.0, 2.0).sample((4000,))
    folded = torch.maximum(folded, 1 - folded)
    assert abs(own.mean() - folded.mean()) < 0.01


@pytest.mark.parametrize(
    "build",
    [
        lambda: Mixup(0.0),
        lambda: SpecAugment(-1),
        lambda: SpecAugment(max_time_fraction=1.5),
        lambda: TimeShift(-2),
        lambda: Mixup(0.2)(torch.zeros(2, 3), torch.tensor([0, 1])),
    ],
)
def test_impossible_arguments_are_users_mistakes(build):
    with pytest.raises(UserError):
        build()
