"""Mixtures made after lists as WSJ0-2mix's script makes them: levels, lengths, peaks, names, mistakes."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechkit.data import active_speech_level, build_mixtures, mix_speech, mixture_lists
from speechkit.errors import UserError

RATE = 8000
LINES = ["wsj0/si/011/011a0101.wav 1.6543 wsj0/si/01t/01ta010b.wav -1.6543", ""]


def talk(n: int, seed: int, loudness: float = 0.1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal(n) * loudness * (0.02 + (np.sin(np.arange(n) / 900 + seed) > 0))


def write_speech(folder: Path, name: str, n: int = 8000, rate: int = RATE, seed: int = 0, **keys) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, talk(n, seed, **keys), rate, subtype="FLOAT" if path.suffix == ".wav" else None)


def write_lists(folder: Path, *, n_sources: int = 2, lines: list[str] = LINES) -> Path:
    folder.mkdir(exist_ok=True)
    for subset in ("tr", "cv", "tt"):
        (folder / f"mix_{n_sources}_spk_{subset}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    write_speech(tmp_path / "data", "wsj0/si/011/011a0101.wav", 8000, seed=1, loudness=0.3)
    write_speech(tmp_path / "data", "wsj0/si/01t/01ta010b.wav", 8000, seed=2, loudness=0.01)
    write_lists(tmp_path / "lists")
    return tmp_path


def build(folder: Path, **keys) -> Path:
    return build_mixtures(folder / "data", folder / "lists", folder / "out", **keys)


def test_a_list_gives_the_gains_that_it_says(speech: Path) -> None:
    """As measured in the written files, of 16 bits; the sources were 30 dB apart."""
    folder = build(speech) / "wav8k" / "min" / "tt"
    names = {name: [path.name for path in (folder / name).iterdir()] for name in ("mix", "s1", "s2")}
    assert set(map(tuple, names.values())) == {("011a0101_1.6543_01ta010b_-1.6543.wav",)}
    mix, s1, s2 = (soundfile.read(folder / name / names[name][0])[0] for name in ("mix", "s1", "s2"))
    difference = active_speech_level(s1, RATE) - active_speech_level(s2, RATE)
    assert difference == pytest.approx(2 * 1.6543, abs=0.01)
    assert np.abs(mix - s1 - s2).max() <= 1.5 / 32768  # each is rounded
    assert max(np.abs(x).max() for x in (mix, s1, s2)) == pytest.approx(0.9, abs=1 / 32768)


@pytest.mark.parametrize(("mode", "n"), [("min", 5000), ("max", 9000)])
def test_the_shorter_or_the_longer_decides_and_levels_are_those_of_all(mode: str, n: int) -> None:
    signals = [talk(5000, 1, 0.3), talk(9000, 2, 0.01), talk(7000, 3)]
    gains = [2.0, -2.0, 0.5]
    mixture, sources = mix_speech(signals, gains, RATE, mode)
    assert mixture.shape == (n,)
    assert sources.shape == (3, n)
    for source, x in zip(sources, signals, strict=True):
        kept = min(n, len(x))
        assert not source[kept:].any()
        # What is left is the signal times one factor, which the level of all of it gives.
        factor = source[:kept] @ x[:kept] / (x[:kept] @ x[:kept])
        assert np.allclose(source[:kept], factor * x[:kept], atol=1e-12)
    factors = [
        source[:5000] @ x[:5000] / (x[:5000] @ x[:5000]) for source, x in zip(sources, signals, strict=True)
    ]
    levels = [active_speech_level(f * x, RATE) for f, x in zip(factors, signals, strict=True)]
    assert np.diff(levels) == pytest.approx(np.diff(gains), abs=1e-6)


def test_other_rates_and_formats_and_three_sources(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_speech(data, "a/x.flac", 12000, 16000)
    write_speech(data, "b/y.wav", 8000, seed=1)
    write_speech(data, "c/z.wav", 22050, 22050, seed=2)
    write_lists(tmp_path / "lists", n_sources=3, lines=["a/x.wav 1 b/y.wav -1 c/z.wav 0"])
    folder = build(tmp_path, n_sources=3, mode="max") / "wav8k" / "max" / "tr"
    infos = {path.parent.name: soundfile.info(path) for path in folder.rglob("x_1_y_-1_z_0.wav")}
    assert set(infos) == {"mix", "s1", "s2", "s3"}
    assert {(info.frames, info.samplerate) for info in infos.values()} == {(8000, 8000)}
    s1 = soundfile.read(folder / "s1" / "x_1_y_-1_z_0.wav")[0]
    assert s1[5900:6000].any()
    assert not s1[6000:].any()


def test_made_once_and_again_when_something_changed(speech: Path, monkeypatch) -> None:
    calls: list[str] = []
    write = mixture_lists._write_subset
    monkeypatch.setattr(mixture_lists, "_write_subset", lambda *a: calls.append(a[1].name) or write(*a))
    build(speech)
    build(speech)
    assert calls == ["tr", "cv", "tt"]
    (speech / "lists" / "mix_2_spk_tr.txt").write_text(LINES[0].replace("1.6543", "2"))
    build(speech)
    assert len(calls) == 6
    mixtures = [path.name for path in (speech / "out").rglob("tr/mix/*")]
    assert mixtures == ["011a0101_2_01ta010b_-2.wav"], "the old ones are gone"


def test_whole_or_not_at_all(speech: Path, monkeypatch) -> None:
    write = mixture_lists._write_subset

    def interrupted(lines, folder, *rest):
        if folder.name == "tt":
            raise KeyboardInterrupt
        write(lines, folder, *rest)

    monkeypatch.setattr(mixture_lists, "_write_subset", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(speech)
    assert sorted(path.name for path in speech.iterdir()) == ["data", "lists"]
    monkeypatch.setattr(mixture_lists, "_write_subset", write)
    assert len(list(build(speech).rglob("*.wav"))) == 9


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["x"], r"mix_2_spk_tr.txt:1:1: 1 words; expected 2 times a path and a gain"),
        ([LINES[0], LINES[0] + " more"], r"tr.txt:2:1: 5 words"),
        ([LINES[0].replace(" 1.6543", " loud")], r"tr.txt:1:1: the gain 'loud'"),
        ([LINES[0].replace("1.6543", "inf")], r"tr.txt:1:1: the gain 'inf'"),
        (
            [LINES[0], LINES[0].replace("011a", "999x")],
            r"tr.txt:2:1: there is no file .*999x0101.wav; expected",
        ),
        ([LINES[0], "", LINES[0]], r"tr.txt:3:1: the mixture 011a\S* again; expected once, at .*tr.txt:1"),
        ([""], r"lists_folder: the list .*tr.txt is empty"),
    ],
)
def test_mistakes_in_a_list(lines: list[str], said: str, speech: Path) -> None:
    write_lists(speech / "lists", lines=lines)
    with pytest.raises(UserError, match=said):
        build(speech)
    assert not (speech / "out").exists()


def test_audio_that_cannot_be_mixed(speech: Path) -> None:
    path = speech / "data" / "wsj0" / "si" / "01t" / "01ta010b.wav"
    for x, said in (
        (np.zeros(800), "is silent"),
        (np.zeros(0), "no samples"),
        (np.full(9, np.nan), "not finite"),
    ):
        soundfile.write(path, x, RATE, subtype="FLOAT")
        with pytest.raises(UserError, match=rf"tr.txt:1:1: .*01ta010b.wav.* {said}"):
            build(speech)
    path.write_bytes(b"RIFF and nothing")
    with pytest.raises(UserError, match=r"tr.txt:1:1: .*01ta010b.wav cannot be read as audio"):
        build(speech)


def test_folders_that_are_other_ones(speech: Path) -> None:
    with pytest.raises(UserError, match=r"lists_folder: there is no list .*mix_3_spk_tr.txt"):
        build(speech, n_sources=3)
    with pytest.raises(UserError, match=r"mode: mode 'mid'; expected min or max"):
        build(speech, mode="mid")
    with pytest.raises(UserError, match=rf"did you mean the data_folder {speech / 'data'}\?"):
        build_mixtures(speech / "data" / "wsj0", speech / "lists", speech / "out")


@pytest.mark.integration
def test_lists_of_real_speech_give_their_gains(real_data: Path, tmp_path: Path) -> None:
    """Of LibriSpeech's utterances, within their own time: the shorter one is filled up with silence."""
    corpus = real_data / "librispeech"
    if not (corpus / "mix_lists").is_dir():
        pytest.skip(f"no lists of mixtures at {corpus}: set SPEECHKIT_DATA to a folder that has them")
    (tmp_path / "lists").mkdir()
    for path in (corpus / "mix_lists").iterdir():
        (tmp_path / "lists" / path.name).write_text("".join(path.read_text().splitlines(True)[:4]))
    folder = build_mixtures(corpus, tmp_path / "lists", tmp_path / "out", mode="max")
    lines = [line for path in (tmp_path / "lists").iterdir() for line in path.read_text().splitlines()]
    assert len(lines) == 12
    for line in lines:
        first, gain1, second, gain2 = line.split()
        name = f"{Path(first).stem}_{gain1}_{Path(second).stem}_{gain2}.wav"
        levels = []
        for signal, flac in (("s1", first), ("s2", second)):
            (path,) = folder.rglob(f"{signal}/{name}")
            n_samples = -(-soundfile.info(corpus / flac).frames // 2)
            levels.append(active_speech_level(soundfile.read(path)[0][:n_samples], RATE))
        assert levels[0] - levels[1] == pytest.approx(float(gain1) - float(gain2), abs=0.01)
