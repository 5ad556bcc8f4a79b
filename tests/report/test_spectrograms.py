"""Spectrograms: tones at their frequency and time, powers as of scipy, bands as of torchaudio."""

import base64
import io

import numpy as np
import pytest
import scipy.signal
import torchaudio
from PIL import Image

from speechkit.report.spectrograms import (
    BANDS,
    MAX_COLUMNS,
    N_LEVELS,
    draw_together,
    mark_axes,
    measure_power,
    to_hertz,
    to_mel,
    weigh_bands,
)


def make_tone(frequency: float, seconds: float = 1.0, rate: int = 8000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def levels(address: str) -> np.ndarray:
    """The levels (H, W) of a picture, the lowest frequency first."""
    content = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return np.array(Image.open(io.BytesIO(content)))[::-1].astype(int)


@pytest.mark.parametrize("n_samples", [3, 100, 4000, 8001])
def test_powers_are_those_of_scipy(n_samples: int) -> None:
    samples = np.random.default_rng(0).normal(size=n_samples)
    _, _, spectra = scipy.signal.stft(
        np.r_[samples, np.zeros(256)], nperseg=256, noverlap=192, padded=False, scaling="spectrum"
    )  # fmt: skip
    found = measure_power(samples, 8000)
    expected = np.abs(spectra.T * 128) ** 2  # scipy divides by the window's sum
    np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-9, atol=1e-12)
    assert len(found) == n_samples // 64 + 1


@pytest.mark.parametrize("n_samples", [16_000, 40_001])
def test_a_column_of_a_longer_clip_is_the_mean_of_several(n_samples: int, monkeypatch) -> None:
    samples = np.random.default_rng(0).normal(size=n_samples)
    pooled = measure_power(samples, 8000)
    monkeypatch.setattr("speechkit.report.spectrograms.MAX_COLUMNS", 1_000_000)
    each = measure_power(samples, 8000)
    size = -(-len(each) // MAX_COLUMNS)
    means = [each[start : start + size].mean(0) for start in range(0, len(each), size)]
    assert size > 1
    assert len(pooled) <= MAX_COLUMNS
    np.testing.assert_allclose(pooled, means, rtol=1e-9)


def test_a_long_clip_is_transformed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).normal(size=8 * 8000)
    whole = measure_power(samples, 8000)
    monkeypatch.setattr("speechkit.report.spectrograms._FRAMES_AT_ONCE", 50)
    np.testing.assert_allclose(measure_power(samples, 8000), whole, rtol=1e-9)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("scale", ["linear", "mel"])
def test_a_tone_is_in_the_row_of_its_frequency(scale: str, rate: int) -> None:
    for frequency in (300, 1000, 2900):
        picture = levels(
            draw_together({"mixture": make_tone(frequency, rate=rate)}, rate, scale, "mixture")["mixture"]
        )
        assert picture.shape[0] == BANDS[scale]
        row = int(picture[:, 20:-20].sum(1).argmax())
        height = 100 * (row + 0.5) / BANDS[scale]
        kilohertz = [float(text) for _, text in mark_axes(1.0, rate, scale).frequencies]
        places = [place for place, _ in mark_axes(1.0, rate, scale).frequencies]
        if scale == "mel":
            expected = np.interp(to_mel(np.array(frequency)), to_mel(1000 * np.array(kilohertz)), places)
        else:
            expected = np.interp(frequency / 1000, kilohertz, places)
        assert height == pytest.approx(expected, abs=100 / BANDS[scale])


def test_a_change_in_time_is_at_its_tick() -> None:
    samples = np.r_[make_tone(500), make_tone(3000, 3.0)]
    picture = levels(draw_together({"mixture": samples}, 8000, "linear", "mixture")["mixture"])
    is_high = picture[60:].sum(0) > picture[:30].sum(0)
    (place,) = [place for place, text in mark_axes(4.0, 8000, "linear").times if text == "1"]
    assert 100 * is_high.argmax() / picture.shape[1] == pytest.approx(place, abs=1.5)


def test_levels_are_decibels_below_the_mixture() -> None:
    tone = make_tone(1000)
    drawn = draw_together(
        {"mixture": tone, "quiet": 0.1 * tone, "silent": 0 * tone}, 8000, "linear", "mixture"
    )
    top = {name: levels(address).max() for name, address in drawn.items()}
    assert top == {"mixture": N_LEVELS - 1, "quiet": N_LEVELS - 1 - 10, "silent": 0}, (
        "20 dB are 10 steps of 2"
    )
    silent = draw_together({"mixture": 0 * tone}, 8000, "mel", "mixture")
    assert levels(silent["mixture"]).max() == 0


def test_mel_bands_lie_where_torchaudio_has_them() -> None:
    weights = weigh_bands("mel", 513, 16000)
    bins = np.linspace(0, 8000, 513)
    edges = to_hertz(to_mel(np.array(8000.0)) * np.array([-0.5, 64.5]) / 64)  # half a band beyond either end
    oracle = torchaudio.functional.melscale_fbanks(
        513, max(0.0, float(edges[0])), float(edges[1]), 64, 16000, mel_scale="htk"
    ).numpy().T  # fmt: skip
    wide = slice(20, 62)  # bands wider than bins
    middles = (weights * bins).sum(1)[wide]
    np.testing.assert_allclose(middles, ((oracle * bins).sum(1) / oracle.sum(1))[wide], rtol=0.03)
    np.testing.assert_allclose(weights.sum(1), 1)
    for hertz, mel in ((1000.0, 1000.0), (0.0, 0.0), (4000.0, 2146.1)):
        assert to_mel(np.array(hertz)) == pytest.approx(mel, abs=0.1)
        assert to_hertz(to_mel(np.array(hertz))) == pytest.approx(hertz, abs=1e-6)
