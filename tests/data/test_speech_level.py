"""The active speech level, against P.56's own procedure sample by sample, and against what it must be."""

import math

import numpy as np
import pytest

from speechkit.data import active_speech_level, speech_level

RATE = 8000


def talk(seconds: float = 1.5, seed: int = 0) -> np.ndarray:
    """Noise in bursts of 300 ms with pauses of 450 ms in a faint hiss, as loud as speech is in files."""
    random = np.random.default_rng(seed)
    n = round(seconds * RATE)
    bursts = (np.arange(n) / RATE) % 0.75 < 0.3
    return random.standard_normal(n) * np.where(bursts, 0.08, 0.0002)


def smooth_slowly(x: np.ndarray) -> list[float]:
    """The envelope, after the recommendation: two smoothings of 30 ms."""
    decay = math.exp(-1 / (0.03 * RATE))
    p = q = 0.0
    envelope = []
    for value in np.abs(x).tolist():
        p = decay * p + (1 - decay) * value
        q = decay * q + (1 - decay) * p
        envelope.append(q)
    return envelope


def count_slowly(x: np.ndarray, threshold: float) -> int:
    """Active samples, after the recommendation: a counter that holds on for 200 ms."""
    hangover = math.ceil(0.2 * RATE)
    n_active, held = 0, hangover
    for q in smooth_slowly(x):
        if q >= threshold:
            n_active, held = n_active + 1, 0
        elif held < hangover:
            n_active, held = n_active + 1, held + 1
    return n_active


def level_slowly(x: np.ndarray) -> float:
    """Thresholds a factor of 2 apart, interpolated in dB where the margin is crossed."""
    before = None
    for exponent in range(9, 2, -1):
        n_active = count_slowly(x, 2.0**-exponent)
        if not n_active:
            break
        level = 10 * math.log10(float(x @ x) / n_active)
        over = level + 20 * exponent * math.log10(2) - 15.9
        if over <= 0:
            assert before is not None
            share = before[1] / (before[1] - over)
            return before[0] + share * (level - before[0])
        before = level, over
    raise AssertionError("no crossing")


def test_as_the_recommendation_has_it() -> None:
    for x in (talk(), talk(seed=1) * 3, talk() * np.linspace(0.2, 2, round(1.5 * RATE))):
        assert active_speech_level(x, RATE) == pytest.approx(level_slowly(x), abs=0.25)


def test_active_samples_are_counted_as_one_by_one() -> None:
    x = talk()
    envelope = speech_level._envelope(x, RATE)
    for threshold in (1e-4, 0.01, 0.06, 1.0):
        assert speech_level._count_active(envelope, threshold, 1600) == count_slowly(x, threshold)


def test_the_threshold_is_the_margin_below_the_level() -> None:
    x = talk()
    level = active_speech_level(x, RATE)
    n_active = count_slowly(x, 10 ** ((level - 15.9) / 20))
    assert level == pytest.approx(10 * math.log10(float(x @ x) / n_active), abs=0.01)


def test_pauses_do_not_count() -> None:
    """Speech of the same loudness with more silence around it has the same level; the mean level sinks."""
    x = talk()
    padded = np.concatenate([np.zeros(2 * RATE), x, np.zeros(4 * RATE)])
    # At the end it lasts 200 ms longer at most: the hangover.
    assert active_speech_level(padded, RATE) == pytest.approx(active_speech_level(x, RATE), abs=0.8)
    assert 10 * math.log10(np.mean(padded**2) / np.mean(x**2)) < -6


def test_a_gain_is_a_gain() -> None:
    for gain_db in (-37.3, -2.5, 0.01, 1.7, 11.0):
        change = active_speech_level(talk() * 10 ** (gain_db / 20), RATE) - active_speech_level(talk(), RATE)
        assert change == pytest.approx(gain_db, abs=1e-9)


def test_silence_has_no_level_and_a_click_its_mean() -> None:
    click = np.zeros(RATE)
    click[4000] = 1.0
    assert active_speech_level(np.zeros(100), RATE) == -math.inf
    assert active_speech_level(np.zeros(0), RATE) == -math.inf
    assert math.isfinite(active_speech_level(click, RATE))
    assert math.isfinite(active_speech_level(np.ones(1), RATE))
