"""Normalisation over utterances and over a training set, against numpy on all true frames laid end to end."""

import copy
import functools

import numpy as np
import pytest
import torch
from torch import Tensor

from speechkit.errors import UserError
from speechkit.features import Deltas, GlobalNorm, LogMel, Normalized, SpecAugment, UtteranceNorm

LENGTHS = [7, 1, 4, 0, 9, 3]


def make(lengths: list[int], shape: tuple[int, ...] = (5,), seed: int = 0) -> Tensor:
    """Features far from zero, unlike in each band, with noise where there is padding."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(len(lengths), max(lengths), *shape, generator=random, dtype=torch.float64)
    return x * torch.linspace(0.5, 4, shape[0], dtype=torch.float64).view(-1, *[1] * (len(shape) - 1)) - 9


def true_frames(x: Tensor, lengths: list[int]) -> np.ndarray:
    return np.concatenate([row[:n].numpy() for row, n in zip(x, lengths, strict=True)])


@pytest.mark.parametrize("shape", [(5,), (3, 4)], ids=["bands", "quaternions"])
@pytest.mark.parametrize("variance", [True, False])
def test_mean_and_deviation_are_those_of_all_true_frames(shape: tuple[int, ...], variance: bool) -> None:
    batches = [(make(lengths, shape, i), lengths) for i, lengths in enumerate([LENGTHS, [2], [11, 3]])]
    norm = GlobalNorm((None, None, *shape), variance=variance)
    for x, lengths in batches:
        norm(x, torch.tensor(lengths))
    frames = np.concatenate([true_frames(*each) for each in batches])
    x, lengths = batches[0]
    y, kept = norm.eval()(x, torch.tensor(lengths))
    expected = (x.numpy() - frames.mean(0)) / ((frames.std(0) + 1e-5) if variance else 1)
    for row, n in enumerate(lengths):
        np.testing.assert_allclose(y[row, :n], expected[row, :n], rtol=1e-9, atol=1e-12)
        assert not y[row, n:].any()
    assert kept.tolist() == lengths
    assert norm.n_frames == len(frames)


def test_statistics_do_not_depend_on_padding_or_batches() -> None:
    x = make(LENGTHS)
    together, alone, wide = (GlobalNorm((None, None, 5)) for _ in range(3))
    together(x, torch.tensor(LENGTHS))
    for row, n in enumerate(LENGTHS):
        alone(x[row : row + 1, :n], torch.tensor([n]))
    wide(torch.cat([x, torch.full((6, 8, 5), 1e6, dtype=torch.float64)], 1), torch.tensor(LENGTHS))
    outputs = [norm.eval()(x, torch.tensor(LENGTHS))[0] for norm in (together, alone, wide)]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(outputs[2], outputs[0], rtol=1e-9, atol=1e-12)


def test_in_training_a_batch_is_normalised_by_all_until_then_itself_included() -> None:
    norm, seen = GlobalNorm((None, None, 5)), np.zeros((0, 5))
    for seed in range(3):
        x = make(LENGTHS, seed=seed)
        seen = np.concatenate([seen, true_frames(x, LENGTHS)])
        y, _ = norm(x, torch.tensor(LENGTHS))
        expected = (true_frames(x, LENGTHS) - seen.mean(0)) / (seen.std(0) + 1e-5)
        np.testing.assert_allclose(true_frames(y, LENGTHS), expected, rtol=1e-9, atol=1e-12)


def test_after_its_epochs_it_stays_as_it_is_also_when_it_is_loaded() -> None:
    norm = GlobalNorm((None, None, 5), n_epochs=2)
    for epoch in (1, 2):
        norm(make(LENGTHS, seed=epoch), torch.tensor(LENGTHS))
        norm.end_epoch(epoch)
    before = copy.deepcopy(norm.state_dict())
    assert before["n_frames"] == 2 * sum(LENGTHS)
    assert before["epochs_seen"] == 2
    other = GlobalNorm((None, None, 5), n_epochs=2)
    other.load_state_dict(before)
    for each in (norm, other):
        each.end_epoch(1)  # of another training, which goes on from these weights
        each(make(LENGTHS, seed=9), torch.tensor(LENGTHS))
        assert all(torch.equal(before[name], value) for name, value in each.state_dict().items())
    x = make(LENGTHS, seed=3)
    assert torch.equal(norm(x)[0], other.eval()(x)[0])


def test_nothing_seen_changes_nothing() -> None:
    """As in the dry run; and an empty batch adds nothing."""
    norm, x = GlobalNorm((None, None, 5)), make(LENGTHS)
    assert torch.equal(norm.eval()(x)[0], x)
    norm.train()(x[:, :0], torch.zeros(6, dtype=torch.int64))
    assert norm.n_frames == 0
    assert torch.equal(norm.eval()(x)[0], x)


def test_a_band_that_never_changes_becomes_zero() -> None:
    norm = GlobalNorm((None, None, 2))
    x = torch.stack([torch.randn(3, 50), torch.full((3, 50), -13.8155)], -1)
    assert norm(x)[0][..., 1].abs().max() < 0.2
    assert norm.eval()(x)[0].isfinite().all()


@pytest.mark.parametrize("norm", [GlobalNorm, UtteranceNorm, functools.partial(GlobalNorm, variance=False)])
def test_a_front_end_with_it_gives_in_a_batch_what_it_gives_alone(norm) -> None:
    front = Normalized(Deltas(LogMel(8000, n_mels=20)), norm).double()
    waveforms, lengths = 0.1 * torch.randn(3, 4000, dtype=torch.float64), torch.tensor([4000, 79, 1234])
    front(waveforms, lengths)
    assert front.output_shape == (None, None, 20, 4)
    together, n_frames = front.eval()(waveforms, lengths)
    assert torch.equal(n_frames, front.output_lengths(lengths))
    for row, (n, frames) in enumerate(zip(lengths.tolist(), n_frames.tolist(), strict=True)):
        alone, _ = front(waveforms[row : row + 1, :n], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], together[row, :frames], rtol=1e-9, atol=1e-12)


def test_augmentation_fills_in_the_mean() -> None:
    """Of normalised features it is near 0: what a mask says is what an average frame says."""
    front = Normalized(LogMel(8000, n_mels=20), GlobalNorm)
    features, lengths = front(0.1 * torch.randn(4, 8000))
    blotted = SpecAugment(2, 30, 2, 5)(features, lengths)
    assert (blotted != features).any()
    assert blotted[blotted != features].abs().max() < 0.5


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match=r"input_shape .*expected \(batch, frames, bands\)"):
        GlobalNorm((None, None))
    with pytest.raises(UserError, match="n_epochs is 0"):
        GlobalNorm((None, None, 4), n_epochs=0)
    with pytest.raises(UserError, match=r"features of \(5,\) bands; expected \(4,\)"):
        GlobalNorm((None, None, 4))(make([3, 2]))
    with pytest.raises(UserError, match="norm is 'global'"):
        Normalized(LogMel(8000, n_mels=20), "global")  # type: ignore[arg-type]


def test_the_gradient_is_finite_where_a_band_never_changes() -> None:
    silence = torch.zeros(2, 5, 3, requires_grad=True)
    UtteranceNorm()(silence, torch.tensor([5, 2]))[0].sum().backward()
    assert silence.grad is not None
    assert silence.grad.isfinite().all()
