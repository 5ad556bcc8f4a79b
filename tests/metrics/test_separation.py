"""Separation figures against mir_eval, fast-bss-eval, torchmetrics and pystoi; silence is defined."""

import json
import math
import sys
from functools import partial
from itertools import permutations
from types import SimpleNamespace

import fast_bss_eval
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.errors import UserError
from speechkit.metrics import pesq, score_separation, sdr, si_snr, stoi

NAMES = {"si_snr", "si_snri", "sdr", "sdri", "input_si_snr"}


def signals(n_sources: int, n_samples: int = 1500, seed: int = 0) -> np.ndarray:
    """Coloured noise, with a mean."""
    white = np.random.default_rng(seed).normal(size=(n_sources, n_samples + 3))
    return 0.1 * (white[:, 3:] + 0.9 * white[:, 2:-1] + 0.5 * white[:, :-3]) + 0.02


@pytest.mark.parametrize("noise", [1e-3, 0.3, 30.0])
def test_si_snr_is_fast_bss_evals(noise: float) -> None:
    references = signals(3)
    estimates = 0.4 * references + noise * signals(3, seed=1)
    x, y = (torch.from_numpy(each - each.mean(1, keepdims=True)) for each in (estimates, references))
    expected = -torch.stack([fast_bss_eval.si_sdr_loss(x[k : k + 1], y[k : k + 1])[0] for k in range(3)])
    np.testing.assert_allclose(si_snr(estimates, references), expected, atol=1e-6)


# Libraries that take seconds to import, as mir_eval, pystoi and torchmetrics do, stay out of the fast tests.
@pytest.mark.integration
@pytest.mark.parametrize(("noise", "n_samples"), [(1e-3, 1500), (0.3, 1500), (30.0, 1500), (0.3, 200)])
def test_sdr_is_mir_evals_and_fast_bss_evals(noise: float, n_samples: int) -> None:
    references = signals(2, n_samples)
    filtered = np.stack([np.convolve(each, [0.0, 0.5, -0.2])[:n_samples] for each in references])
    estimates = filtered + noise * signals(2, n_samples, seed=1)
    found = sdr(estimates, references)
    import mir_eval

    with pytest.warns(FutureWarning):
        expected = mir_eval.separation.bss_eval_sources(references, estimates, compute_permutation=False)[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if n_samples > 512:
        fast = -fast_bss_eval.sdr_loss(torch.from_numpy(estimates), torch.from_numpy(references))
        np.testing.assert_allclose(found, fast, atol=1e-5)
        from torchmetrics.functional.audio import scale_invariant_signal_noise_ratio

        ratios = scale_invariant_signal_noise_ratio(torch.from_numpy(estimates), torch.from_numpy(references))
        np.testing.assert_allclose(si_snr(estimates, references), ratios, atol=1e-6)


@settings(max_examples=5)
@given(n_sources=st.integers(1, 4), seed=st.integers(0, 1000))
def test_scores_are_those_of_the_best_of_all_orders(n_sources: int, seed: int) -> None:
    references = signals(n_sources, 300, seed)
    # Rolled: of three and more another order than the one that brings them back.
    estimates = np.roll(references, 1, 0) + 0.3 * signals(n_sources, 300, seed + 1)
    mixture = references.sum(0) + 0.01 * signals(1, 300, seed + 2)[0]
    found = score_separation(estimates, references, mixture)
    orders = [list(order) for order in permutations(range(n_sources))]
    best = max(orders, key=lambda order: si_snr(estimates[order], references).mean())
    assert [source["estimate"] for source in found["sources"]] == best
    inputs = np.repeat(mixture[None], n_sources, 0)
    expected = {
        "si_snr": si_snr(estimates[best], references),
        "si_snri": si_snr(estimates[best], references) - si_snr(inputs, references),
        "sdr": sdr(estimates[best], references),
        "sdri": sdr(estimates[best], references) - sdr(inputs, references),
    }
    for name, values in expected.items():
        assert [source[name] for source in found["sources"]] == pytest.approx(values.tolist(), abs=1e-6)
        assert found["scores"][name] == pytest.approx(values.mean(), abs=1e-6)
    assert found["scores"]["input_si_snr"] == pytest.approx(si_snr(inputs, references).mean(), abs=1e-6)


@pytest.mark.integration
def test_sdr_is_the_same_on_any_number_of_threads() -> None:
    """Batched, torch's solver fails on two threads: "Parameter 6 was incorrect on entry to DLASWP"."""
    references = signals(2)
    estimates = references + 0.3 * signals(2, seed=1)
    n_threads, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(sdr(estimates, references))
    finally:
        torch.set_num_threads(n_threads)
    np.testing.assert_allclose(found[1:], [found[0], found[0]], atol=1e-9)


def test_inputs_are_not_changed() -> None:
    inputs = signals(2), signals(2, seed=1), signals(1)[0]
    before = [each.copy() for each in inputs]
    inputs[0][0, 5] = before[0][0, 5] = np.nan
    score_separation(*inputs)
    for each, old in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(each, old)


def test_silence_is_defined() -> None:
    references = signals(2)
    silence, constant = np.zeros_like(references[0]), np.full_like(references[0], 0.3)
    one = np.stack([references[0], silence])
    found = score_separation(
        np.stack([constant, references[0] + 0.1 * references[1]]), one, references.sum(0)
    )
    assert [source["estimate"] for source in found["sources"]] == [1, 0]
    assert set(found["sources"][1].values()) == {0, None}
    assert found["scores"]["si_snr"] == found["sources"][0]["si_snr"] == pytest.approx(20, abs=1)

    failed = score_separation(np.stack([silence, silence]), references, references.sum(0))
    assert failed["scores"]["si_snr"] == failed["scores"]["sdr"] == -100
    for value in (np.nan, np.inf):
        broken = references.copy()
        broken[:, 7] = value
        assert score_separation(broken, references, references.sum(0)) == failed
    nothing = score_separation(one * 0, one * 0, silence)
    assert set(nothing["scores"].values()) == {None}
    assert set(nothing["scores"]) == NAMES
    for each in (found, failed, nothing):
        json.dumps(each, allow_nan=False)


@pytest.mark.parametrize("level", [0.1, 0.3, 1 / 3, 1e-5])
def test_what_is_only_a_mean_is_silent(level: float) -> None:
    sound, constant = signals(1), np.full((1, 1500), level)
    assert math.isnan(si_snr(sound, constant).item())
    assert si_snr(constant, sound).item() == -100


def test_a_perfect_estimate_has_a_bound_and_a_clean_mixture_no_gain() -> None:
    references = signals(1)
    found = score_separation(references, references, references[0])
    assert found["scores"]["si_snr"] == found["scores"]["sdr"] == 100
    assert found["scores"]["si_snri"] is found["scores"]["sdri"] is found["scores"]["input_si_snr"] is None


def test_signals_that_never_meet_have_the_least_ratio() -> None:
    noise = signals(1, 4000)
    early, late = noise.copy(), noise.copy()
    early[:, 1000:], late[:, :3000] = 0, 0
    assert sdr(early, late).item() == -100


def test_shapes_are_told() -> None:
    with pytest.raises(UserError, match=r"signals of shape \(3, 9\), references of \(2, 9\)"):
        score_separation(np.ones((3, 9)), np.ones((2, 9)), np.ones(9))
    with pytest.raises(UserError, match=r"signals of shape \(1, 8\)"):
        score_separation(np.ones((2, 9)), np.ones((2, 9)), np.ones(8))


@pytest.mark.integration
def test_stoi_joins_the_scores() -> None:
    import pystoi

    references = signals(2, 8000)
    estimates = references[::-1] + 0.5 * signals(2, 8000, seed=1)
    found = score_separation(
        estimates, references, references.sum(0), {"stoi": partial(stoi, sample_rate=10_000)}
    )
    expected = [pystoi.stoi(references[k], estimates[1 - k], 10_000) for k in range(2)]
    assert [source["stoi"] for source in found["sources"]] == pytest.approx(expected, abs=1e-12)
    assert found["scores"]["stoi"] == pytest.approx(np.mean(expected))
    click = np.zeros((1, 8000))
    click[0, 4000] = 1
    for said in (np.zeros((1, 8000)), click, references[:1, :200]):
        assert math.isnan(stoi(said, said, 10_000).item())


def test_pesq_is_asked_for_as_its_package_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measure(rate: int, reference: np.ndarray, estimate: np.ndarray, mode: str, on_error: str) -> float:
        asked.append((rate, mode, on_error))
        return -1 if reference[0] == 0.5 else float(estimate.sum() / reference.sum())

    library = SimpleNamespace(pesq=measure, PesqError=SimpleNamespace(RETURN_VALUES="values"))
    monkeypatch.setitem(sys.modules, "pesq", library)
    references = np.stack([np.ones(9), np.zeros(9), np.full(9, 0.5)])
    np.testing.assert_array_equal(pesq(3 * np.ones((3, 9)), references, 8000), [3, np.nan, np.nan])
    pesq(references[:1], references[:1], 16_000)
    assert asked == [(8000, "nb", "values"), (8000, "nb", "values"), (16_000, "wb", "values")]
    with pytest.raises(UserError, match=r"PESQ at 44100 Hz; expected 8,000 or 16,000 Hz"):
        pesq(references, references, 44_100)


@pytest.mark.parametrize(("measure", "name"), [(pesq, "pesq"), (stoi, "pystoi")])
def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch, measure, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"package {name} is missing; install speechkit\[metrics\]"):
        measure(np.ones((1, 9)), np.ones((1, 9)), 8000)
