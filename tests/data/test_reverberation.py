"""Rooms: convolution against an explicit loop and scipy, and what must stay where and as loud as it was."""

from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest
import scipy.signal
import soundfile
from lhotse.dataset import SimpleCutSampler

from speechkit.data import CutBatches, Noise, Reverberation, Speed, write_cuts
from speechkit.data.reading import load_waveform, open_cut
from speechkit.data.reverberation import convolve
from speechkit.errors import UserError

RATE = 16000


def decaying(n: int, direct: int, seed: int = 0) -> np.ndarray:
    """An impulse response: faint before the direct path, whose sign is negative, then dying away."""
    h = np.random.default_rng(seed).normal(0, 0.2, n) * np.exp(-np.arange(n) / (n / 5))
    h[:direct] *= 0.05
    h[direct] = -0.9
    return h


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """A folder of two impulse responses, one in a folder below it, and a text that is none."""
    folder = tmp_path / "rooms"
    for number, name in enumerate(["a.wav", "halls/b.flac"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, decaying(700, 20 + 10 * number, number), RATE)
    (folder / "README.md").write_text("Two rooms.")
    return folder


def responses(rooms: Path) -> list[np.ndarray]:
    return [soundfile.read(rooms / name)[0] for name in ("a.wav", "halls/b.flac")]


def speech(n: int = 8000, seed: int = 5) -> np.ndarray:
    """Bursts of noise, soft enough to stay within one in any of the rooms."""
    random = np.random.default_rng(seed)
    return 0.1 * random.normal(0, 1, n) * (np.sin(np.arange(n) / 700) > 0)


def apply(cut, *transforms, seed: int = 0) -> np.ndarray:
    cut, random = open_cut(cut, RATE), Random(seed)
    for transform in transforms:
        cut = transform(cut, random)
    return load_waveform(cut)


@pytest.mark.parametrize(("n", "k", "direct"), [(50, 9, 3), (7, 30, 12), (1, 1, 0), (20, 20, 19)])
def test_as_an_explicit_loop(n: int, k: int, direct: int) -> None:
    x, h = np.random.default_rng(n).normal(0, 1, n), decaying(k, direct)
    y = np.zeros(n)
    for t in range(n):
        for lag in range(k):
            if 0 <= t + direct - lag < n:
                y[t] += h[lag] * x[t + direct - lag]
    y *= np.sqrt(np.square(x).sum() / np.square(y).sum())
    np.testing.assert_allclose(convolve(x, h), y, rtol=1e-9, atol=1e-12)


def test_as_scipy_for_each_room_that_is_drawn(make_cut, rooms: Path) -> None:
    cut, drawn = make_cut("a", speech()), set()
    x = soundfile.read(cut.recording.sources[0].source)[0]
    expected = []
    for h in responses(rooms):
        y = scipy.signal.fftconvolve(x, h)[np.abs(h).argmax() :][: len(x)]
        expected.append(y * np.sqrt(np.square(x).mean() / np.square(y).mean()))
    for seed in range(12):
        y = apply(cut, Reverberation(str(rooms)), seed=seed)
        assert y.dtype == np.float32
        room = int(np.argmin([np.abs(y - each).max() for each in expected]))
        np.testing.assert_allclose(y, expected[room], atol=1e-6)
        drawn.add(room)
    assert drawn == {0, 1}


def test_length_place_and_level_stay(make_cut, rooms: Path) -> None:
    """A click comes when it came; a room that only is silent elsewhere changes nothing but the sign."""
    click = np.zeros(4000)
    click[1234] = 0.9
    y = apply(make_cut("click", click), Reverberation(str(rooms)))
    assert len(y) == 4000
    assert np.abs(y).argmax() == 1234
    x = speech()
    y = apply(make_cut("a", x), Reverberation(str(rooms)))
    assert np.square(y).mean() == pytest.approx(np.square(x).mean(), rel=1e-3)
    dead = np.zeros(100)
    dead[40] = 0.25
    np.testing.assert_allclose(convolve(x, dead), x, atol=1e-12)


def test_probability_and_keys(make_cut, rooms: Path) -> None:
    cut = make_cut("a", speech())
    dry = apply(cut)
    outcomes = [apply(cut, Reverberation(str(rooms), 0.3), seed=seed) for seed in range(100)]
    n_wet = sum(not np.array_equal(each, dry) for each in outcomes)
    assert 15 <= n_wet <= 45
    again = apply(cut, Reverberation(str(rooms), 0.3), seed=7)
    np.testing.assert_array_equal(again, outcomes[7])
    np.testing.assert_array_equal(apply(cut, Reverberation(str(rooms), 0)), dry)


def test_a_manifest_does_as_its_folder(make_cut, tmp_path: Path, rooms: Path) -> None:
    cuts = [make_cut(name, h) for name, h in zip("xy", responses(rooms), strict=True)]
    write_cuts(cuts, tmp_path / "rooms.jsonl")
    cut = make_cut("a", speech())
    for seed in range(4):
        found = apply(cut, Reverberation(str(tmp_path / "rooms.jsonl")), seed=seed)
        np.testing.assert_array_equal(found, apply(cut, Reverberation(str(rooms)), seed=seed))


def test_of_several_microphones_one_is_heard(make_cut, tmp_path: Path) -> None:
    """Their mean would be a room that there is not; other rates are resampled."""
    one, other = decaying(400, 10), decaying(400, 60, seed=1)
    write_cuts([make_cut("array", np.stack([one, other], 1))], tmp_path / "rooms.jsonl")
    cut = make_cut("a", speech())
    x = apply(cut)
    both = [convolve(x, h) for h in (one, other)]
    heard = [apply(cut, Reverberation(str(tmp_path / "rooms.jsonl")), seed=seed) for seed in range(8)]
    errors = [[np.abs(y - each).max() for each in both] for y in heard]
    assert np.min(errors, 1).max() < 1e-3  # 16 bits
    assert set(np.argmin(errors, 1)) == {0, 1}
    slow = scipy.signal.resample_poly(decaying(400, 10), 1, 2)
    write_cuts([make_cut("slow", slow, 8000, subtype="FLOAT")], tmp_path / "slow.jsonl")
    y = apply(make_cut("b", np.eye(1, 2000, 500)[0] * 0.9), Reverberation(str(tmp_path / "slow.jsonl")))
    assert np.abs(y).argmax() == 500
    assert np.abs(y[520:700]).sum() > 0.1


def test_with_speed_before_and_noise_after(make_cut, rooms: Path, noise: Path) -> None:
    """Noise has its ratio to the speech in the room, and is not in the room itself."""
    cut = make_cut("a", speech(16000))
    room = Reverberation(str(rooms))
    fast = apply(cut, Speed(1.1, 1.1))
    wet = apply(cut, Speed(1.1, 1.1), room, seed=3)
    assert len(wet) == len(fast)
    random = Random(3)
    random.choice([1])
    random.random()
    h = random.choice(responses(rooms))
    np.testing.assert_allclose(wet, convolve(fast, h), atol=1e-5)
    noisy = apply(cut, Speed(1.1, 1.1), room, Noise(str(noise), (10, 10)), seed=3)
    added = noisy - wet
    assert 10 * np.log10(np.square(wet).mean() / np.square(added).mean()) == pytest.approx(10, abs=0.1)


def test_batches_have_it_in_workers_as_without(make_cut, tmp_path: Path, rooms: Path) -> None:
    write_cuts([make_cut(f"c{i}", speech(3000 + 500 * i, i)) for i in range(4)], tmp_path / "cuts.jsonl")

    def read(n_workers: int) -> list[np.ndarray]:
        sampler = partial(SimpleCutSampler, max_cuts=2)
        transforms = [Reverberation(str(rooms), 0.5)]
        data = CutBatches(tmp_path / "cuts.jsonl", sampler, RATE, transforms, n_workers=n_workers)
        return [batch.waveforms.numpy() for batch in data.iterate(1, 1)]

    for one, other in zip(read(0), read(2), strict=True):
        np.testing.assert_array_equal(one, other)


def test_noise_may_be_a_folder_too(make_cut, tmp_path: Path) -> None:
    folder = tmp_path / "noises"
    folder.mkdir()
    (folder / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(folder / "n.wav", np.random.default_rng(0).uniform(-0.3, 0.3, RATE), RATE)
    x, cut = speech(), make_cut("a", speech())
    added = apply(cut, Noise(str(folder), (5, 5))) - x
    assert 10 * np.log10(np.square(x).mean() / np.square(added).mean()) == pytest.approx(5, abs=0.1)


def test_mistakes_are_told(make_cut, tmp_path: Path) -> None:
    cut = make_cut("a", speech(2000))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no impulse responses in .*empty"):
        apply(cut, Reverberation(str(tmp_path / "empty")))
    with pytest.raises(UserError, match="no manifest"):
        apply(cut, Reverberation(str(tmp_path / "none.jsonl")))
    write_cuts([make_cut("silent", np.zeros(100))], tmp_path / "silent.jsonl")
    with pytest.raises(UserError, match="the impulse response silent is silent"):
        apply(cut, Reverberation(str(tmp_path / "silent.jsonl")))
    write_cuts([make_cut("gone", speech(100))], tmp_path / "gone.jsonl")
    (tmp_path / "gone.wav").unlink()
    with pytest.raises(UserError, match=r"the impulse response gone cannot be used: .*no such file"):
        apply(cut, Reverberation(str(tmp_path / "gone.jsonl")))
    with pytest.raises(UserError, match="a probability of 2"):
        Reverberation("rooms", 2)


def test_of_a_manifest_that_runs_something_nothing_is_run(make_cut, tmp_path: Path) -> None:
    write_cuts([make_cut("a", speech(100))], tmp_path / "rooms.jsonl")
    text = (tmp_path / "rooms.jsonl").read_text().replace('"type": "file"', '"type": "command"')
    (tmp_path / "rooms.jsonl").write_text(text)
    cut = make_cut("b", speech(100))
    with pytest.raises(UserError, match="an audio source of type 'command'"):
        apply(cut, Reverberation(str(tmp_path / "rooms.jsonl")))


def test_real_rooms(make_cut, real_data: Path) -> None:
    folder = real_data / "noise_rir" / "rir"
    if not folder.is_dir():
        pytest.skip(f"no impulse responses at {folder}: set SPEECHKIT_DATA to a folder that has them")
    cut = make_cut("a", speech(16000))
    x = apply(cut)
    for seed in range(6):
        y = apply(cut, Reverberation(str(folder)), seed=seed)
        assert len(y) == len(x)
        assert np.square(y).mean() == pytest.approx(np.square(x).mean(), rel=0.01)
        lags = scipy.signal.correlate(y, x, "full", "fft")
        assert abs(int(np.abs(lags).argmax()) - (len(x) - 1)) <= 2
