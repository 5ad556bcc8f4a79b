"""The rate that a curve of losses suggests, on curves whose steepest place is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.training import suggest_rate
from speechkit.training.rate_suggestion import find_ceiling, has_diverged

RATES = np.logspace(-7, 1, 200)
EXPONENTS = np.log10(RATES)
STEP = RATES[1] / RATES[0]


def curve(centre: float, *, width: float = 0.5, noise: float = 0.0, blow_up: float = 0.5) -> np.ndarray:
    """From 3 down to 1, steepest where the exponent is `centre`: tanh's slope is greatest at 0. Then up."""
    random = np.random.default_rng(1)
    fall = 2 - np.tanh((EXPONENTS - centre) / width)
    rise = np.exp(np.clip(8 * (EXPONENTS - blow_up), None, 20))
    return fall + rise + noise * random.normal(size=len(RATES))


@given(st.floats(-5, -1.5), st.floats(0.3, 0.8))
@settings(max_examples=40, deadline=None)
def test_the_steepest_place_of_a_known_curve(centre: float, width: float) -> None:
    found = suggest_rate(RATES, curve(centre, width=width))
    assert 10**centre / STEP <= found.steepest <= 10**centre * STEP
    assert found.notes == []


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_noise_moves_it_by_less_than_half_a_decade(noise: float) -> None:
    found = suggest_rate(RATES, curve(-3, noise=noise))
    assert abs(np.log10(found.steepest) + 3) < 0.5


@given(st.floats(0.01, 100), st.floats(-100, 100))
@settings(max_examples=40, deadline=None)
def test_unit_and_zero_of_the_loss_do_not_matter(scale: float, shift: float) -> None:
    """Decibels below zero, too: four times the best would be no bound at all."""
    plain, other = (
        suggest_rate(RATES, y) for y in (curve(-3, noise=0.1), scale * curve(-3, noise=0.1) + shift)
    )
    assert (plain.steepest, plain.tenth, plain.notes) == (other.steepest, other.tenth, other.notes)
    np.testing.assert_allclose(
        other.smoothed, scale * np.array(plain.smoothed) + shift, atol=1e-6 * scale + 1e-8
    )


def test_a_tenth_of_the_rate_at_the_lowest() -> None:
    valley = (EXPONENTS + 2) ** 2  # symmetric about its lowest, which smoothing leaves there
    found = suggest_rate(RATES, valley)
    assert found.tenth == pytest.approx(1e-3, rel=STEP - 1)


def test_a_straight_line_is_smoothed_to_itself_up_to_its_ends() -> None:
    """A local mean would bend it there."""
    found = suggest_rate(RATES, 5 - EXPONENTS)
    np.testing.assert_allclose(found.smoothed, 5 - EXPONENTS, atol=1e-9)
    assert found.tenth is None
    assert found.notes == ["the loss still fell at the largest rate: try larger ones"]


def test_how_high_a_divergence_is_does_not_matter() -> None:
    low, high = (curve(-3, noise=0.05) for _ in range(2))
    low[150:], high[150:] = 20, 1e30
    assert suggest_rate(RATES, low) == suggest_rate(RATES, high)


def test_noise_alone_suggests_nothing() -> None:
    n_wrong = 0
    for seed in range(100):
        y = np.random.default_rng(seed).normal(2.3, 0.2, size=200)
        n_wrong += suggest_rate(RATES, y).steepest is not None
    assert n_wrong <= 8


def test_too_few_steps_suggest_nothing() -> None:
    found = suggest_rate(RATES[:15], list(curve(-6)[:15]))
    assert (found.steepest, found.tenth, found.notes) == (
        None,
        None,
        ["15 steps are too few to tell anything"],
    )


@given(st.floats(0.01, 100), st.floats(-100, 100))
@settings(max_examples=8, deadline=None)
def test_divergence_is_told_at_the_same_step_in_any_unit(scale: float, shift: float) -> None:
    y = curve(-3, noise=0.1)
    ends = [next(n for n in range(1, 201) if has_diverged(list(each[:n]))) for each in (y, scale * y + shift)]
    assert ends[0] == ends[1]
    assert RATES[ends[0]] > 10**0.2


def test_noise_alone_is_no_divergence() -> None:
    for seed in range(20):
        y = list(np.random.default_rng(seed).normal(0, 1, size=200))
        assert not any(has_diverged(y[:n]) for n in range(1, 201, 7))
        assert find_ceiling(y) > 1.5
