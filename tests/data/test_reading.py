"""What is read from audio files, good and bad, as `CutBatches` gives it."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lhotse import MonoCut, Recording
from lhotse.dataset import SimpleCutSampler
from lhotse.utils import fastcopy

from speechkit.data import Batch, CutBatches, FixDuration, Noise, Speed, write_cuts
from speechkit.data.reading import read_samples
from speechkit.errors import UserError
from speechkit.ops.resample import resample

RATE = 16000


def read(cuts: list, folder: Path, rate: int = RATE, **settings) -> Batch:
    write_cuts(cuts, folder / "read.jsonl")
    sampler = partial(SimpleCutSampler, max_cuts=100)
    (batch,) = CutBatches(folder / "read.jsonl", sampler, rate, **settings).iterate(seed=1, epoch=1)
    return batch


def samples(n: int, *channels: int) -> np.ndarray:
    """Values that 16 bits hold exactly."""
    return np.random.default_rng(n).integers(-20000, 20000, size=(n, *channels)) / 32768


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_any_sample_format_becomes_the_same_numbers(tmp_path, make_cut, subtype):
    x, y = samples(1601), samples(900)
    batch = read([make_cut("a", x, subtype=subtype), make_cut("b", y, subtype=subtype)], tmp_path)
    assert batch.waveforms.dtype == torch.float32
    assert batch.lengths.tolist() == [1601, 900]
    assert batch.lengths.dtype == torch.int64
    torch.testing.assert_close(batch.waveforms[0], torch.tensor(x).float(), rtol=0, atol=0)
    torch.testing.assert_close(batch.waveforms[1, :900], torch.tensor(y).float(), rtol=0, atol=0)
    assert not batch.waveforms[1, 900:].any()
    assert batch.notices == []


def test_what_a_batch_says_of_its_cuts(tmp_path, make_cut):
    a, b = make_cut("a", samples(1600), text="yes"), make_cut("b", samples(3200), text="no")
    b.supervisions[0].custom = {"group": "child"}
    batch = read([a, b], tmp_path, transforms=[FixDuration(1.0)])
    assert (batch.ids, batch.texts, batch.speakers) == (["a", "b"], ["yes", "no"], ["s-a", "s-b"])
    assert (batch.groups, batch.seconds) == (["", "child"], [0.1, 0.2])
    assert batch.paths == [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    assert len(batch) == 2
    moved = batch.to("meta")
    assert moved.waveforms.is_meta
    assert moved.lengths.is_meta
    assert moved.ids == batch.ids


def test_of_several_channels_the_mean_is_taken_and_said_once(tmp_path, make_cut):
    x = samples(1600, 2)
    stereo = make_cut("a", x)
    undeclared = fastcopy(make_cut("b", x), id="b")  # the manifest knows one channel, the file has two
    undeclared = MonoCut("b", 0, undeclared.duration, 0, recording=undeclared.recording)
    undeclared.recording = fastcopy(undeclared.recording, channel_ids=[0])
    undeclared.recording.sources[0].channels = [0]
    batch = read([stereo, undeclared], tmp_path)
    expected = torch.tensor(x.mean(axis=1)).float()
    for row in batch.waveforms:
        torch.testing.assert_close(row, expected)
    assert batch.notices == [f"{tmp_path / 'a.wav'} has 2 channels: the mean of the channels is taken"]


def test_a_cut_of_one_channel_of_two_reads_that_channel(tmp_path, make_cut):
    x = samples(1600, 2)
    recording = make_cut("a", x).recording
    cuts = [MonoCut(f"a{c}", 0, recording.duration, c, recording=recording) for c in (1, 0)]
    batch = read(cuts, tmp_path)
    torch.testing.assert_close(batch.waveforms, torch.tensor(x.T[::-1].copy()).float(), rtol=0, atol=0)
    assert batch.notices == []


def test_another_rate_is_resampled_and_said_once(tmp_path, make_cut):
    x, y = samples(8000), samples(4000)
    batch = read([make_cut("a", x, rate=8000), make_cut("b", y, rate=8000)], tmp_path)
    assert batch.lengths.tolist() == [16000, 8000]
    torch.testing.assert_close(batch.waveforms[0], resample(torch.tensor(x).float(), 8000, RATE))
    assert batch.notices == ["audio of 8000 Hz is resampled to 16000 Hz, the first is a"]


def test_a_manifest_that_is_wrong_about_the_rate(tmp_path, make_cut):
    cut = make_cut("a", samples(16000))
    x = samples(8000)
    soundfile.write(tmp_path / "a.wav", x, 8000)
    batch = read([cut], tmp_path)
    torch.testing.assert_close(batch.waveforms[0], resample(torch.tensor(x).float(), 8000, RATE))
    assert "8000 Hz where its manifest says 16000" in batch.notices[0]


def test_a_span_of_a_recording_is_read_and_no_more(tmp_path, make_cut, monkeypatch):
    x = samples(32000)
    cut = make_cut("a", x).truncate(offset=0.5, duration=0.25)
    frames = []
    original = soundfile.SoundFile.read

    def counted(self, n=-1, *args, **kwargs):
        frames.append(n)
        return original(self, n, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    batch = read([cut], tmp_path)
    torch.testing.assert_close(batch.waveforms[0], torch.tensor(x[8000:12000]).float(), rtol=0, atol=0)
    assert frames == [4000]


def test_floats_beyond_one_are_scaled_to_the_peak(tmp_path, make_cut):
    x = 3 * samples(1600)
    batch = read([make_cut("a", x, subtype="FLOAT")], tmp_path)
    torch.testing.assert_close(batch.waveforms[0], torch.tensor(x / np.abs(x).max()).float())
    assert "beyond -1 to 1" in batch.notices[0]


def _damaged(kind: str, make_cut, folder: Path):
    path = folder / "bad.wav"
    cut = make_cut("bad", samples(16000), subtype="FLOAT" if kind == "not finite" else "PCM_16")
    match kind:
        case "absent":
            path.unlink()
        case "not audio":
            path.write_bytes(b"not audio at all" * 100)
        case "no bytes":
            path.write_bytes(b"")
        case "no samples":
            soundfile.write(path, np.zeros(0), RATE)
        case "truncated":
            path.write_bytes(path.read_bytes()[:16000])
        case "truncated flac":
            cut.recording.sources[0].source = str(folder / "bad.flac")
            soundfile.write(folder / "bad.flac", samples(16000), RATE)
            data = (folder / "bad.flac").read_bytes()
            (folder / "bad.flac").write_bytes(data[: len(data) // 3])
        case "not finite":
            x = samples(16000)
            x[5000] = np.nan
            soundfile.write(path, x, RATE, subtype="FLOAT")
        case "zero length":
            cut.duration = 0
        case "a folder":
            path.unlink()
            path.mkdir()
        case "shar":
            cut.recording.sources[0].type = "shar"
        case "no recording":
            cut = fastcopy(cut, recording=None)
    return cut


REASONS = {
    "absent": "no such file", "a folder": "no such file", "not audio": "bad.wav: ", "no bytes": "bad.wav: ",
    "no samples": "no samples", "truncated": "its manifest says", "truncated flac": "bad.flac: ",
    "not finite": "not finite", "zero length": "zero length", "shar": "holds no audio",
    "no recording": "no recording",
}  # fmt: skip
COUNTED_AS = {
    "no samples": "empty",
    "zero length": "empty",
    "truncated": "too short",
    "not finite": "not finite",
}


@pytest.mark.parametrize("kind", REASONS)
@pytest.mark.parametrize("augmented", [False, True])
def test_bad_audio_is_left_out_with_its_reason(tmp_path, make_cut, noise, kind, augmented):
    good = [make_cut("a", samples(16000)), make_cut("z", samples(8000))]
    cuts = [good[0], _damaged(kind, make_cut, tmp_path), good[1]]
    transforms = [Speed(0.9, 0.9), FixDuration(1.0), Noise(noise, (10, 20))] if augmented else []
    batch = read(cuts, tmp_path, transforms=transforms)
    assert batch.ids == ["a", "z"]
    ((name, reason, detail),) = batch.skipped
    assert (name, reason) == ("bad", COUNTED_AS.get(kind, "unreadable"))
    assert REASONS[kind] in detail
    assert "When calling" not in detail  # what Lhotse adds
    assert batch.notices == [f"cut bad is left out: {detail}"]
    torch.testing.assert_close(batch.waveforms, read(good, tmp_path, transforms=transforms).waveforms)


@pytest.mark.parametrize("kind", REASONS)
def test_bad_audio_ends_the_run_if_told_so(tmp_path, make_cut, kind):
    cuts = [make_cut("a", samples(16000)), _damaged(kind, make_cut, tmp_path)]
    with pytest.raises(UserError, match="audio of cut bad cannot be used") as error:
        read(cuts, tmp_path, unreadable="stop")
    assert REASONS[kind] in str(error.value)


def test_a_batch_of_which_nothing_can_be_read_is_still_one(tmp_path, make_cut):
    batch = read([_damaged("absent", make_cut, tmp_path)], tmp_path)
    assert len(batch) == 0
    assert batch.waveforms.shape == (0, 0)
    assert batch.lengths.shape == (0,)
    assert len(batch.skipped) == 1


def test_the_first_ten_that_are_left_out_are_named(tmp_path, make_cut):
    cuts = [make_cut(f"c{i}", samples(1600)) for i in range(15)]
    for path in tmp_path.glob("c*.wav"):
        path.unlink()
    batch = read(cuts, tmp_path)
    assert len(batch.skipped) == 15
    assert [text.split(" is ")[0] for text in batch.notices[:10]] == [f"cut c{i}" for i in range(10)]
    assert batch.notices[10:] == ["more cuts are left out; they are only counted"]


def test_a_bug_is_not_taken_for_bad_audio(tmp_path, make_cut):
    def broken(cut, random):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read([make_cut("a", samples(16000))], tmp_path, transforms=[broken])


def test_audio_in_memory(tmp_path, make_cut, monkeypatch):
    x = samples(1600)
    write_cuts([make_cut("a", x)], tmp_path / "cuts.jsonl")
    cut = Recording.from_bytes((tmp_path / "a.wav").read_bytes(), "a").to_cut()
    monkeypatch.setattr("speechkit.data.batches.open_line", lambda line: cut)
    sampler = partial(SimpleCutSampler, max_cuts=1)
    (batch,) = CutBatches(tmp_path / "cuts.jsonl", sampler, RATE).iterate(1, 1)
    torch.testing.assert_close(batch.waveforms[0], torch.tensor(x).float(), rtol=0, atol=0)
    assert batch.paths == [""]


def test_a_part_of_an_mp3_is_that_part_of_the_whole(tmp_path):
    """Pauses leave their bytes to the frames that follow, which a decoder that jumps there has not read."""
    rate = 16000
    x = 0.3 * np.sin(np.arange(12 * rate) * 0.05) * (np.arange(12 * rate) % rate > 0.4 * rate)
    soundfile.write(tmp_path / "a.mp3", x, rate, subtype="MPEG_LAYER_III")
    whole = soundfile.read(tmp_path / "a.mp3", dtype="float32")[0]
    with soundfile.SoundFile(tmp_path / "a.mp3") as audio:
        for start, n_samples in ((0, 16001), (16001, 12001), (28002, 12001), (40003, 99999), (5000, 20000)):
            part = read_samples(audio, start, n_samples)
            np.testing.assert_allclose(part[:, 0], whole[start : start + n_samples], atol=1e-6)
