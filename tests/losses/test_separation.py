"""Separation losses against torchmetrics, slow loops and invariances."""

from importlib import import_module
from itertools import permutations

import fast_bss_eval
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechkit.errors import UserError
from speechkit.losses import (
    MultiResolutionSTFT,
    pairwise_l1,
    pairwise_si_snr,
    pairwise_snr,
    permutation_invariant,
    separation_loss,
)
from speechkit.losses.separation import FLOOR, assign_by_hungarian_method, enumerate_orders

PAIRWISE = {
    "si-snr": pairwise_si_snr,
    "snr": pairwise_snr,
    "l1": pairwise_l1,
    "stft": MultiResolutionSTFT((16, 32)),
}


def signals(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


# torchmetrics takes seconds to import.
@pytest.mark.integration
@pytest.mark.parametrize(
    ("pairwise", "name"),
    [(pairwise_si_snr, "scale_invariant_signal_noise_ratio"), (pairwise_snr, "signal_noise_ratio")],
)
@pytest.mark.parametrize("noise", [1e-3, 0.3, 30.0])
def test_equal_to_torchmetrics(pairwise, name, noise) -> None:
    oracle = getattr(import_module("torchmetrics.functional.audio"), name)
    references = signals(3, 3, 301) + 0.2  # with a mean, which SI-SNR takes off
    estimates = 2.5 * references.flip(1) + noise * signals(3, 3, 301, seed=1)
    expected = torch.stack([-oracle(estimates, references.roll(-k, 1)) for k in range(3)], -1)
    found = pairwise(estimates, references)
    for k in range(3):
        column = torch.stack([found[:, i, (i + k) % 3] for i in range(3)], 1)
        floor = 10 * (1 + FLOOR * 10 ** (expected[..., k].abs() / 10)).log10()
        assert ((column - expected[..., k]).abs() <= 1.1 * floor + 1e-4).all()


@pytest.mark.integration
def test_equal_to_torchmetrics_permutations() -> None:
    library = import_module("torchmetrics.functional.audio")
    references = signals(4, 3, 301)
    estimates = references[:, [2, 0, 1]] + 0.4 * signals(4, 3, 301, seed=1)
    best, order = library.permutation_invariant_training(
        estimates, references, library.scale_invariant_signal_noise_ratio
    )
    torch.testing.assert_close(-separation_loss(estimates, references), best, rtol=0, atol=1e-3)
    found = permutation_invariant(pairwise_si_snr(estimates, references))[1]
    assert torch.equal(found.argsort(1), order)  # theirs: which estimate each reference is


def test_equal_to_fast_bss_evals_permutations() -> None:
    references = signals(4, 3, 301) + 0.2
    estimates = references[:, [2, 0, 1]] + 0.4 * signals(4, 3, 301, seed=1)
    # Theirs is of signals with their means.
    centred = [each - each.mean(2, keepdim=True) for each in (references, estimates)]
    expected = -fast_bss_eval.si_sdr(*centred).mean(1)
    torch.testing.assert_close(separation_loss(estimates, references), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("decibels", [-20, 40, 60])
def test_good_estimates_of_long_signals_are_told_apart_in_float32(decibels) -> None:
    references = signals(1, 1, 240_000, dtype=torch.float32) * 0.1 + 0.5
    noise = signals(1, 1, 240_000, seed=1, dtype=torch.float32) * 0.1
    estimates = 0.7 * (references + noise * 10 ** (-decibels / 20))
    for pairwise in (pairwise_si_snr, pairwise_snr):
        truth = pairwise(estimates.double(), references.double())
        assert pairwise(estimates, references).item() == pytest.approx(truth.item(), abs=0.001)
    x, y = ((each.double() - each.double().mean()) for each in (estimates, references))
    signal = (x * y).sum() / y.square().sum() * y
    slow = -10 * (signal.square().sum() / (x - signal).square().sum()).log10()
    assert pairwise_si_snr(estimates, references).item() == pytest.approx(slow.item(), abs=0.01)


@pytest.mark.parametrize("pairwise", [pairwise_si_snr, pairwise_snr])
def test_gradients_of_good_estimates_are_precise_in_float32(pairwise) -> None:
    references = signals(1, 2, 8000, dtype=torch.float32) * 0.1 + 0.5
    estimates = references + 0.001 * signals(1, 2, 8000, seed=1, dtype=torch.float32)  # 40 dB
    gradients = []
    for x in (estimates.clone().requires_grad_(), estimates.double().requires_grad_()):
        with torch.autocast("cpu"):
            separation_loss(x, references, pairwise=pairwise).sum().backward()
        gradients.append(x.grad.double())
    assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[1].norm()


def test_spectral_distances_are_those_of_a_slow_loop() -> None:
    estimates, references = signals(1, 2, 50), signals(1, 2, 50, seed=1)
    expected = torch.zeros(1, 2, 2, dtype=torch.float64)
    for size in (16, 32):
        heard, said = ([slow_amplitudes(each, size) for each in x[0]] for x in (estimates, references))
        for i in range(2):
            for j in range(2):
                missed = np.linalg.norm(said[j] - heard[i]) / np.linalg.norm(said[j])
                expected[0, i, j] += (missed + np.abs(np.log(said[j] / heard[i])).mean()) / 2
    torch.testing.assert_close(
        MultiResolutionSTFT((16, 32))(estimates, references), expected, rtol=1e-4, atol=0
    )


def slow_amplitudes(x: Tensor, size: int) -> np.ndarray:
    padded = np.pad(x.numpy(), size // 2)
    window = np.sin(np.pi * np.arange(size) / size) ** 2
    starts = range(0, len(x) + 1, size // 4)
    return np.abs([np.fft.rfft(window * padded[start : start + size]) for start in starts])


@pytest.mark.parametrize("name", PAIRWISE)
def test_a_padded_batch_is_single_items(name) -> None:
    pairwise = PAIRWISE[name]
    references, estimates = signals(2, 2, 200), signals(2, 2, 200, seed=1)
    before = references.clone(), estimates.clone()
    lengths = torch.tensor([200, 137])
    found = pairwise(estimates, references, lengths)
    alone = pairwise(estimates[1:, :, :137], references[1:, :, :137])
    torch.testing.assert_close(found[1:], alone, rtol=1e-9, atol=1e-9)
    estimates[1, :, 137:] = torch.nan
    torch.testing.assert_close(pairwise(estimates, references, lengths), found, rtol=1e-12, atol=1e-12)
    assert torch.equal(before[0], references)
    assert torch.equal(before[1][0], estimates[0])


@pytest.mark.parametrize("name", PAIRWISE)
def test_gradients_are_those_of_small_steps(name) -> None:
    estimates, references = signals(2, 2, 12).requires_grad_(), signals(2, 2, 12, seed=1)
    lengths = torch.tensor([12, 9])
    assert torch.autograd.gradcheck(lambda x: PAIRWISE[name](x, references, lengths), estimates)
    assert torch.autograd.gradcheck(lambda y: PAIRWISE[name](references, y, lengths), estimates)


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_on_silence_and_on_identical_sources(name, dtype) -> None:
    noise = signals(1, 2, 64, dtype=dtype)
    silence, same = torch.zeros_like(noise), noise[:, :1].expand(1, 2, 64).clone()
    half = torch.stack([noise[:, 0], silence[:, 0]], 1)
    for heard in (noise, silence, same, half, 1e-9 * noise):
        for said in (noise, silence, same, half):
            x = heard.clone().requires_grad_()
            loss = separation_loss(x, said, pairwise=PAIRWISE[name])
            loss.sum().backward()
            assert loss.isfinite().all()
            assert x.grad.isfinite().all()


def test_losses_of_silence_are_as_stated() -> None:
    noise = signals(1, 1, 64)
    silence = 0 * noise
    pairs = (noise, silence), (silence, noise), (silence, silence), (noise, noise)
    ratios = [[loss(*pair).item() for pair in pairs] for loss in (pairwise_si_snr, pairwise_snr)]
    np.testing.assert_allclose(ratios, [[90, 90, 90, -90], [90, 0, 0, -90]], atol=1e-6)
    assert MultiResolutionSTFT((16, 32))(noise, silence).item() == pytest.approx(100, rel=0.2)


@settings(max_examples=25)
@given(
    n_sources=st.integers(1, 5),
    seed=st.integers(0, 10_000),
    shift=st.sampled_from([0.0, -50.0]),
)
def test_both_ways_find_the_best_order(n_sources, seed, shift) -> None:
    losses = signals(3, n_sources, n_sources, seed=seed) * 20 + shift
    best = torch.stack(
        [
            min(sum(each[i, order[i]] for i in range(n_sources)) for order in permutations(range(n_sources)))
            for each in losses
        ]
    )
    for find in (enumerate_orders, assign_by_hungarian_method):
        order = find(losses)
        assert (order.sort(1).values == torch.arange(n_sources)).all()
        torch.testing.assert_close(losses.gather(2, order.unsqueeze(2)).sum((1, 2)), best)
    torch.testing.assert_close(permutation_invariant(losses)[0], best / n_sources)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3))
def test_order_and_scale_do_not_matter(seed, scale) -> None:
    references, estimates = signals(2, 3, 50, seed=seed), signals(2, 3, 50, seed=seed + 1)
    loss = separation_loss(estimates, references)
    order = torch.randperm(3)
    torch.testing.assert_close(separation_loss(estimates[:, order], references), loss)
    torch.testing.assert_close(separation_loss(estimates * scale, references / scale), loss)


def test_shapes_are_told() -> None:
    with pytest.raises(UserError, match="estimates of shape"):
        separation_loss(torch.zeros(2, 3, 10), torch.zeros(2, 2, 10))
