"""Transforms by their physics: frequency, power, place in time."""

from random import Random

import numpy as np
import pytest
import soundfile

from speechkit.data import FixDuration, Gain, Noise, Speed, TimeShift, read_cuts, write_cuts
from speechkit.data.reading import load_waveform, open_cut
from speechkit.errors import UserError

RATE = 16000


def tone(frequency_hz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return 0.25 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate)) / rate)


def apply(cut, *transforms, seed: int = 0, rate: int = RATE) -> np.ndarray:
    cut, random = open_cut(cut, rate), Random(seed)
    for transform in transforms:
        cut = transform(cut, random)
    return load_waveform(cut)


def frequency_hz(x: np.ndarray, rate: int) -> float:
    """By the slope of the phase of the analytic signal, away from the edges."""
    spectrum = np.fft.fft(x * np.hanning(len(x)))
    spectrum[len(x) // 2 :] = 0
    phase = np.unwrap(np.angle(np.fft.ifft(spectrum)))
    middle = slice(len(x) // 4, 3 * len(x) // 4)
    return np.polyfit(np.arange(len(x))[middle], phase[middle], 1)[0] * rate / (2 * np.pi)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
@pytest.mark.parametrize("factor", [0.8, 0.925, 1.0, 1.1])
def test_speed_scales_frequency_and_duration(make_cut, rate, factor):
    x = apply(make_cut("a", tone(440, 1.5, rate), rate), Speed(factor, factor), rate=rate)
    assert len(x) == pytest.approx(1.5 * rate / factor, abs=1)
    assert frequency_hz(x, rate) == pytest.approx(440 * factor, rel=1e-4)


def test_speeds_cover_the_range():
    speed = Speed(0.9, 1.1)
    assert [float(f) for f in speed.factors] == pytest.approx(np.arange(0.9, 1.1001, 0.025))
    assert [float(f) for f in Speed(0.91, 0.99).factors] == pytest.approx([0.925, 0.95, 0.975])


def test_a_speed_of_part_of_a_recording(make_cut):
    """The span that is asked for, and not another: a chirp tells where it comes from."""
    n = np.arange(4 * RATE)
    chirp = 0.5 * np.sin(2 * np.pi * (200 * n / RATE + 250 * (n / RATE) ** 2))  # 200 Hz + 500 Hz/s
    part = make_cut("a", chirp).truncate(offset=2.0, duration=1.0)
    x = apply(part, Speed(1.1, 1.1))
    assert len(x) == pytest.approx(RATE / 1.1, abs=1)
    # The middle of the part, at 2.5 s, had 200 + 500 * 2.5 = 1450 Hz.
    middle = x[len(x) // 2 - 800 : len(x) // 2 + 800]
    assert frequency_hz(middle, RATE) == pytest.approx(1450 * 1.1, rel=0.01)


def power_db(x: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(x, dtype=np.float64)))


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 17.3])
@pytest.mark.parametrize("seed", range(4))  # both noises get their turn
def test_noise_has_the_ratio_asked_for(make_cut, noise, snr_db, seed):
    clean = 0.3 * tone(440, 0.8)  # soft enough for the sum to stay within 1
    x = apply(make_cut("a", clean), Noise(noise, (snr_db, snr_db)), seed=seed)
    assert power_db(clean) - power_db(x - clean) == pytest.approx(snr_db, abs=0.02)


def test_padding_does_not_count_in_the_ratio(make_cut, noise):
    clean = 0.1 * tone(440, 0.5)
    x = apply(make_cut("a", clean), FixDuration(1.0), Noise(noise, (10, 10)))
    added = x.copy()
    added[4000:12000] -= clean
    assert power_db(clean) - power_db(added) == pytest.approx(10, abs=0.1)
    assert np.abs(x[:4000]).max() > 0  # the padding is noisy too


def test_noise_of_another_rate_and_with_two_channels(tmp_path, make_cut):
    y = 0.5 * tone(1000, 2, 44100)
    write_cuts([make_cut("n", np.stack([y, y], axis=1), 44100)], tmp_path / "n.jsonl")
    x = apply(make_cut("a", 1e-3 * tone(300, 1)), Noise(tmp_path / "n.jsonl", (-40, -40)))
    assert frequency_hz(x, RATE) == pytest.approx(1000, rel=1e-4)


def test_probability_of_noise(make_cut, noise):
    cut = open_cut(make_cut("a", tone(440, 0.5)), RATE)
    add, random = Noise(noise, (10, 10), probability=0.3), Random(0)
    n_noisy = sum(add(cut, random) is not cut for _ in range(1000))
    assert 250 < n_noisy < 350


def test_a_long_noise_is_not_read_whole(tmp_path, make_cut, noise, monkeypatch):
    cut = make_cut("a", tone(440, 0.5))
    n_read = []
    original = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile,
        "read",
        lambda self, n=-1, *a, **k: n_read.append(n) or original(self, n, *a, **k),
    )
    for seed in range(5):
        apply(cut, Noise(noise, (10, 10)), seed=seed)
    assert max(n_read) <= 8001


@pytest.mark.parametrize(
    ("n_before", "n_after"), [(16000, 16000), (8001, 16000), (23456, 16000), (10, 11025)]
)
def test_fixed_duration_keeps_the_middle_in_the_middle(make_cut, n_before, n_after):
    x = np.random.default_rng(0).integers(-9999, 9999, n_before) / 32768
    y = apply(make_cut("a", x), FixDuration(n_after / RATE))
    assert len(y) == n_after
    missing = n_after - n_before
    if missing >= 0:
        expected = np.pad(x, (missing // 2, missing - missing // 2))
    else:
        expected = x[-missing // 2 :][:n_after]
    np.testing.assert_array_equal(y, expected.astype(np.float32))


def test_time_shift_moves_and_fills_with_zeros(make_cut):
    x = np.random.default_rng(0).integers(1, 9999, 8000) / 32768
    cut, shifts = make_cut("a", x), set()
    for seed in range(40):
        y = apply(cut, TimeShift(0.1), seed=seed)
        assert len(y) == len(x)
        (kept,) = np.split(np.flatnonzero(y), np.flatnonzero(np.diff(np.flatnonzero(y)) > 1) + 1)
        shift = int(kept[0]) if kept[0] else len(kept) - len(x)
        expected = np.zeros_like(x)
        expected[max(0, shift) : len(x) + min(0, shift)] = x[max(0, -shift) : len(x) - max(0, shift)]
        np.testing.assert_array_equal(y, expected.astype(np.float32))
        shifts.add(shift)
    assert min(shifts) < -800
    assert max(shifts) > 800
    assert max(map(abs, shifts)) <= 1600


def test_gain_in_decibels(make_cut):
    x = tone(440, 0.5)
    cut = make_cut("a", x)
    gains = [power_db(apply(cut, Gain(-12, 6), seed=s)) - power_db(x) for s in range(60)]
    assert -12 <= min(gains) < -9
    assert 3 < max(gains) <= 6
    assert power_db(apply(cut, Gain(-6, -6))) - power_db(x) == pytest.approx(-6, abs=1e-3)


def test_gain_after_noise_keeps_the_ratio(make_cut, noise):
    clean = tone(440, 0.5)
    cut = make_cut("a", clean)
    before = apply(cut, Noise(noise, (10, 10)))
    after = apply(cut, Noise(noise, (10, 10)), Gain(-6, -6))
    np.testing.assert_allclose(after, before * 10 ** (-6 / 20), atol=1e-6)


def test_all_together_stays_within_one(make_cut, noise):
    cut = make_cut("a", 3.9 * tone(440, 0.9))
    for seed in range(20):
        x = apply(
            cut,
            Speed(0.8, 1.2),
            TimeShift(0.2),
            FixDuration(1.0),
            Noise(noise, (-10, 0)),
            Gain(0, 20),
            seed=seed,
        )
        assert x.shape == (16000,)
        assert x.dtype == np.float32
        assert np.abs(x).max() <= 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: Speed(1.1, 0.9), lambda: Speed(0, 1), lambda: Speed(0.96, 0.97), lambda: Gain(1, 0),
        lambda: FixDuration(0), lambda: TimeShift(-1), lambda: Noise("n", (5, 1)),
        lambda: Noise("n", (1, 2, 3)), lambda: Noise("n", (1, 2), 1.5),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(make):
    with pytest.raises(UserError, match="expected"):
        make()


def test_noise_without_samples_is_left_out(tmp_path, make_cut, noise):
    """Repeated until it is as long as the cut it would be repeated for ever."""
    clean, empty = tone(440, 0.5), make_cut("e", tone(440, 0.1))
    empty.duration = 0.0
    write_cuts([empty, *read_cuts(noise)], tmp_path / "n.jsonl")
    # Without the empty one nothing is drawn otherwise.
    x = apply(make_cut("a", clean), Noise(tmp_path / "n.jsonl", (10, 10)))
    np.testing.assert_array_equal(x, apply(make_cut("a", clean), Noise(noise, (10, 10))))
    write_cuts([empty], tmp_path / "none.jsonl")
    with pytest.raises(UserError, match=r"no noise in .*none\.jsonl"):
        apply(make_cut("a", clean), Noise(tmp_path / "none.jsonl", (1, 2)))


def test_noise_without_recordings(tmp_path, make_cut):
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UserError, match="no noise in"):
        apply(make_cut("a", tone(440, 0.5)), Noise(tmp_path / "empty.jsonl", (1, 2)))
    with pytest.raises(UserError, match="no manifest"):
        apply(make_cut("a", tone(440, 0.5)), Noise(tmp_path / "absent.jsonl", (1, 2)))
