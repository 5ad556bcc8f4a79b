"""Files against separators whose sources are known: in one order, at their level, without seams."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.ops.resample import resample
from speechkit.tasks import Separator, WindowPlan
from speechkit.tasks.separate import name_outputs, plan_windows

RATE = 1000  # Hz, of the models
PLAN = WindowPlan(4, 1)


class Bands(nn.Module):
    """Separates by frequency: a filter and the rest. It hears 20 samples on either side, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        taps = torch.sinc(torch.arange(-20, 21) / 4) * torch.hann_window(41, periodic=False)
        self.taps = nn.Parameter(taps / taps.sum())
        self.heard: list[int] = []
        self.loudest = 0.0

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        self.heard += lengths.tolist()
        self.loudest = max(self.loudest, waveforms.abs().max().item())
        low = nn.functional.conv1d(waveforms[:, None], self.taps[None, None], padding=20)
        return torch.cat([low, waveforms[:, None] - low], 1)


class Fickle(nn.Module):
    """Gives each call's sources in an order and at levels that nobody can foresee."""

    def __init__(self, model: nn.Module, seed: int = 0) -> None:
        super().__init__()
        self.model, self.random = model, np.random.default_rng(seed)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        estimates = self.model(waveforms, lengths)
        gains = torch.tensor(self.random.uniform(0.5, 2, (1, estimates.shape[1], 1)), dtype=torch.float32)
        return (gains * estimates)[:, self.random.permutation(estimates.shape[1])]


def make_model(separator: nn.Module, n_sources: int = 2) -> Separator:
    return Separator(nn.ModuleDict({"separator": separator}), RATE, n_sources)


def sources_of(seconds: float, rate: int = RATE) -> np.ndarray:
    """A low and a high voice (2, N), which fall silent now and then, also both."""
    n, random = np.arange(round(seconds * rate)) / rate, np.random.default_rng(1)
    voices = []
    for hz, level in ((30, 0.4), (290, 0.2)):
        loudness = np.repeat(random.uniform(0, 1, int(seconds * 2) + 1) > 0.3, rate // 2)[: len(n)]
        voices.append(level * loudness * np.sin(2 * np.pi * hz * n))
    return np.stack(voices)


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> Path:
    soundfile.write(path, samples.T, rate, subtype=subtype)
    return path


def read(paths: list[Path]) -> np.ndarray:
    return np.stack([soundfile.read(path, dtype="float32")[0] for path in paths])


def snr(found: np.ndarray, true: np.ndarray) -> float:
    return 10 * np.log10(np.square(true).sum() / (np.square(found - true).sum() + 1e-12))


@pytest.mark.parametrize("seconds", [3.9, 4.0, 4.001, 10.0, 47.3])
def test_windows_of_a_model_that_hears_little_around_give_what_the_whole_gives(
    seconds: float, tmp_path: Path
) -> None:
    """Sources in any order and at any level in each window: as those of the file heard at once."""
    mixture = sources_of(seconds).sum(0)
    file = write(tmp_path / "talk.wav", mixture)
    whole = make_model(Bands()).separate(mixture, RATE).numpy()
    done = make_model(Fickle(Bands(), seed=int(seconds))).separate_file(file, tmp_path / "out", PLAN)
    assert done.paths == [tmp_path / "out" / "talk_1.wav", tmp_path / "out" / "talk_2.wav"]
    assert (done.sample_rate, done.seconds) == (RATE, len(mixture) / RATE)
    found = read(done.paths)
    if np.abs(found[0] - whole[0]).max() > np.abs(found[0] - whole[1]).max():
        found = found[::-1]
    assert snr(found, whole) > 35
    assert snr(found.sum(0), mixture) > 35


def test_sources_are_told_apart_over_pauses_of_all(tmp_path: Path) -> None:
    """By what was said before, as long as half of a window holds some of it."""
    sources = sources_of(60)
    for pause in range(6, 60, 5):
        sources[:, pause * RATE : (pause + 1) * RATE + 500] = 0
    sources[:, 20 * RATE : 22 * RATE + 500] = 0  # more than windows share otherwise
    file = write(tmp_path / "a.wav", sources.sum(0))
    for seed in range(4):
        found = read(make_model(Fickle(Bands(), seed)).separate_file(file, tmp_path, WindowPlan(6, 2)).paths)
        assert max(snr(found, sources), snr(found[::-1], sources)) > 14


def test_windows_change_nothing_where_the_model_is_steady(tmp_path: Path) -> None:
    """Neither at seams, nor by another factor for each window."""
    mixture = sources_of(10).sum(0)
    whole = make_model(Bands()).separate(mixture, RATE).numpy()
    found = read(make_model(Bands()).separate_file(write(tmp_path / "a.wav", mixture), tmp_path, PLAN).paths)
    assert snr(found, whole) > 45


def test_a_file_no_longer_than_a_window_is_heard_at_once(tmp_path: Path) -> None:
    mixture, model = sources_of(4).sum(0), Bands()
    file = write(tmp_path / "a.wav", mixture)
    found = read(make_model(model).separate_file(file, tmp_path, PLAN).paths)
    assert model.heard == [4000]
    np.testing.assert_array_equal(found, make_model(Bands()).separate(soundfile.read(file)[0], RATE).numpy())


def test_windows_are_as_planned(tmp_path: Path) -> None:
    """They begin at multiples of 0.16 s, every 2.88 s at most, and the last ends with the file."""
    model = Bands()
    make_model(model).separate_file(write(tmp_path / "a.wav", sources_of(20)), tmp_path, PLAN)
    assert model.heard == [4000] * 6 + [20000 - 16000]
    model.heard.clear()
    make_model(model).separate_file(write(tmp_path / "a.wav", sources_of(20.3)), tmp_path, PLAN)
    assert model.heard == [4000] * 6 + [20300 - 16320]


@pytest.mark.parametrize(
    ("name", "subtype", "rate"),
    [
        ("a.wav", "PCM_16", 8000),
        ("a.flac", "PCM_24", 1000),
        ("a.wav", "FLOAT", 800),
        ("a.ogg", "VORBIS", 11025),
        ("a.mp3", "MPEG_LAYER_III", 16000),
        ("a.wav", "PCM_16", 1003),
    ],
)
def test_results_are_at_the_files_own_rate_and_as_long(
    name: str, subtype: str, rate: int, tmp_path: Path
) -> None:
    """Of stereo the mean of the channels is separated."""
    low, high = sources_of(6.3, rate)
    if rate < RATE:  # what lies near half the rate does not survive it
        high = 0.2 * np.sin(2 * np.pi * 250 * np.arange(len(low)) / rate)
    stereo = np.stack([2 * low, 2 * high]) * 0.9
    done = make_model(Bands()).separate_file(
        write(tmp_path / name, stereo, rate, subtype), tmp_path / "out", PLAN
    )
    info = [soundfile.info(path) for path in done.paths]
    n_samples = soundfile.info(tmp_path / name).frames
    assert [(each.samplerate, each.frames, each.subtype) for each in info] == [(rate, n_samples, "FLOAT")] * 2
    found = read(done.paths)[:, : len(low)]
    heard = soundfile.read(tmp_path / name)[0].mean(1)
    whole = make_model(Bands()).separate(heard, rate)
    expected = resample(whole, RATE, rate)[:, : len(low)].numpy()
    assert snr(found, expected) > 35
    assert snr(found, 0.9 * np.stack([low, high])) > (10 if rate == 11025 else 14)


class Stub(nn.Module):
    """Gives what a function makes of the waveforms."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.weight, self.function = nn.Parameter(torch.ones(1)), function

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        return self.function(waveforms)


def divide_by_level(waveforms: Tensor) -> Tensor:
    """NaN of silence, as of a norm without an epsilon."""
    return torch.stack([waveforms, waveforms], 1) / waveforms.square().mean().sqrt()


def test_silence_gives_silence(tmp_path: Path) -> None:
    mixture = sources_of(20).sum(0)
    mixture[5000:14000] = 0  # more than a window
    model = make_model(Stub(divide_by_level))
    found = read(model.separate_file(write(tmp_path / "a.wav", mixture), tmp_path, PLAN).paths)
    assert np.isfinite(found).all()
    assert not found[:, 9000:12000].any()
    np.testing.assert_allclose(found.sum(0), mixture, atol=1e-5)
    for n_samples in (1, 9000):
        silent = write(tmp_path / "silent.wav", np.zeros(n_samples))
        found = read(model.separate_file(silent, tmp_path, PLAN).paths)
        assert (found.shape, found.any()) == ((2, n_samples), False)
    assert not model.separate(np.zeros(500), RATE).any()


def test_one_voice_alone_is_one_source(tmp_path: Path) -> None:
    voice = sources_of(10)[0]
    found = read(make_model(Bands()).separate_file(write(tmp_path / "a.wav", voice), tmp_path, PLAN).paths)
    assert snr(found[0], voice) > 15
    assert np.abs(found[1]).max() < 0.2 * np.abs(voice).max()


def test_beyond_full_scale_nothing_is_clipped(tmp_path: Path) -> None:
    """The model hears it within [-1, 1], as data; the results have the file's level."""
    mixture, model = 10 * sources_of(10).sum(0), Bands()
    assert np.abs(mixture).max() > 4
    file = write(tmp_path / "a.wav", mixture)
    found = read(make_model(model).separate_file(file, tmp_path, PLAN).paths)
    assert 0.99 < model.loudest <= 1
    assert snr(found.sum(0), mixture) > 40
    clipped = write(tmp_path / "b.wav", mixture.clip(-1, 1), subtype="PCM_16")
    found = read(make_model(model).separate_file(clipped, tmp_path, PLAN).paths)
    assert np.isfinite(found).all()
    assert snr(found.sum(0), mixture.clip(-1, 1)) > 40


@pytest.mark.parametrize("n_samples", [1, 2, 50, 99, 101])
def test_files_of_a_few_samples(n_samples: int, tmp_path: Path) -> None:
    model, x = Bands(), np.full(n_samples, 0.1)
    found = read(make_model(model).separate_file(write(tmp_path / "a.wav", x), tmp_path).paths)
    assert (found.shape, model.heard) == ((2, n_samples), [max(100, n_samples)])
    assert np.isfinite(found).all()


def test_results_that_no_float_can_hold_are_told(tmp_path: Path) -> None:
    class Opposed(Bands):
        """What both estimates have beside the mixture cancels out, and is ten times as loud."""

        def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
            beside = 10 * torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(waveforms.shape[1] // 4)
            return torch.stack([waveforms + beside, -beside.expand_as(waveforms)], 1)

    loud = write(tmp_path / "loud.wav", np.resize([1.0, -1.0], 8000) * 3e38)
    with pytest.raises(UserError, match=r"loud\.wav: samples up to 3e\+38; expected a level that floats"):
        make_model(Opposed()).separate_file(loud, tmp_path / "out", PLAN)
    assert not list((tmp_path / "out").glob("*"))


def test_what_cannot_be_separated_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    late = sources_of(30).sum(0)
    late[-5] = np.inf
    write(tmp_path / "late.wav", late)
    write(tmp_path / "empty.wav", np.zeros(0))
    write(tmp_path / "cut.flac", np.random.default_rng(0).normal(0, 0.1, 400_000), 8000, "PCM_16")
    (tmp_path / "cut.flac").write_bytes((tmp_path / "cut.flac").read_bytes()[:-50000])
    for name, form in (("cut.wav", "WAV"), ("cut.rf64", "RF64")):
        soundfile.write(tmp_path / name, np.full(1000, 0.1), 8000, subtype="PCM_16", format=form)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-600])
    (tmp_path / "text.flac").write_text("no audio")
    (tmp_path / "a.raw").write_bytes(b"1234")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "late_1.wav").write_text("of an earlier time")
    told = {
        "late.wav": "a sample at 29.995 s is not finite",
        "empty.wav": "no samples",
        "cut.flac": "expected an audio file that is whole",
        "cut.wav": "cut short: 600 bytes that its header tells of are not there",
        "cut.rf64": "cut short: 600 bytes",
        "text.flac": "expected an audio file",
        "a.raw": "expected an audio file",
        "none.wav": "there is no such file; expected an audio file",
    }
    for name, what in told.items():
        with pytest.raises(UserError) as error:
            make_model(Bands()).separate_file(tmp_path / name, tmp_path / "out", PLAN)
        assert what in str(error.value)
        assert str(error.value).count(str(tmp_path / name)) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["late_1.wav"]
    assert (tmp_path / "out" / "late_1.wav").read_text() == "of an earlier time"


def test_models_that_give_something_else(tmp_path: Path) -> None:
    file = write(tmp_path / "a.wav", sources_of(1).sum(0))
    broken = make_model(Stub(lambda x: x[:, None].repeat(1, 2, 1) * torch.nan))
    with pytest.raises(UserError, match=r"a\.wav: the model gives values that are not finite"):
        broken.separate_file(file, tmp_path / "out")
    with pytest.raises(UserError, match=r"n_sources: .*shape \(1, 2, 1000\); expected \(1, 3, 1000\)"):
        make_model(Bands(), n_sources=3).separate_file(file, tmp_path / "out")
    with pytest.raises(UserError, match="modules without a separator"):
        Separator(nn.ModuleDict({"model": Bands()}), RATE, 2)


def test_results_that_cannot_be_written_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk libsndfile writes less than it is given, and soundfile asserts that it did not."""

    def write_less(file: soundfile.SoundFile, samples: np.ndarray) -> None:
        raise AssertionError

    file = write(tmp_path / "a.wav", sources_of(10).sum(0))
    monkeypatch.setattr(soundfile.SoundFile, "write", write_less)
    with pytest.raises(UserError, match=r"a\.wav: its results cannot be written to .*out; see whether"):
        make_model(Bands()).separate_file(file, tmp_path / "out", PLAN)
    assert not list((tmp_path / "out").iterdir())


def test_no_result_takes_the_place_of_another_or_of_a_file_to_separate() -> None:
    named = name_outputs(["a/one.wav", "two.flac", "one_1.mp3", "three.1.wav"], "out", 11)
    paths = [str(path) for paths in named for path in paths]
    assert len(set(paths)) == 44
    assert paths[:2] == ["out/one_1.wav", "out/one_2.wav"]
    assert paths[33] == "out/three.1_1.wav"
    with pytest.raises(
        UserError, match=r"a/one\.wav and b/one\.flac would both be written to out/one_1\.wav"
    ):
        name_outputs(["a/one.wav", "two.wav", "b/one.flac"], "out", 2)
    with pytest.raises(UserError, match=r"out/one_2\.wav would be written over"):
        name_outputs(["one.wav", "out/../out/one_2.wav"], "out", 2)


@pytest.mark.parametrize(
    ("seconds", "overlap", "told"),
    [
        (0.5, None, "window_seconds: windows of 0.5 s"),
        (10, 5.1, "overlap_seconds"),
        (10, 0.2, "overlap_seconds: windows that share 0.2 s; expected 0.5 s at least"),
        (np.nan, None, "window_seconds"),
        (10, np.nan, "overlap_seconds"),
    ],
)
def test_windows_that_cannot_be(seconds: float, overlap: float | None, told: str) -> None:
    with pytest.raises(UserError) as error:
        plan_windows(seconds, overlap)
    assert told in str(error.value)


def test_windows_by_default_and_as_given(tmp_path: Path) -> None:
    assert plan_windows() == WindowPlan(16, 4)
    assert plan_windows(6) == WindowPlan(6, 3)
    assert plan_windows(30, 6) == WindowPlan(30, 6)
    with pytest.raises(UserError, match="at_pauses"):
        make_model(Bands()).separate_file(tmp_path / "a.wav", tmp_path, WindowPlan(6, 3, at_pauses=True))


def test_a_waveform_of_any_kind() -> None:
    mixture = sources_of(2).sum(0)
    model = make_model(Bands())
    expected = model.separate(mixture, RATE)
    stereo = np.stack([2 * mixture, 0 * mixture])
    for waveform in (torch.from_numpy(mixture), mixture.tolist(), stereo):
        torch.testing.assert_close(model.separate(waveform, RATE), expected)
    # At another rate: what the kernel lets through at the model's.
    doubled = model.separate(resample(torch.from_numpy(mixture), RATE, 2 * RATE), 2 * RATE)
    assert snr(doubled.numpy(), expected.numpy()) > 25
    assert expected.requires_grad is False
    with pytest.raises(UserError, match="shape"):
        model.separate([], RATE)


def test_three_sources_of_which_two_are_faint(tmp_path: Path) -> None:
    """In any order: by what is shared the faint ones are told from one another too."""

    class Three(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bands = Bands()

        def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
            low, rest = self.bands(waveforms, lengths).unbind(1)
            middle = self.bands(rest * (-1.0) ** torch.arange(rest.shape[1]), lengths)[:, 0]
            high = middle * (-1.0) ** torch.arange(rest.shape[1])
            return torch.stack([low, rest - high, high], 1)

    n = np.arange(30 * RATE) / RATE
    voices = np.stack([0.5 * np.sin(2 * np.pi * hz * n * (1 + 0.1 * n / 30)) for hz in (30, 240, 440)])
    voices *= np.array([[1.0], [0.05], [0.03]])
    file = write(tmp_path / "a.wav", voices.sum(0))
    found = read(make_model(Fickle(Three()), 3).separate_file(file, tmp_path, PLAN).paths)
    best = max(itertools.permutations(range(3)), key=lambda order: snr(found[list(order)], voices))
    for source, voice in zip(found[list(best)], voices, strict=True):
        steady = np.corrcoef(source[RATE:-RATE], voice[RATE:-RATE])[0, 1]
        assert steady > 0.97
