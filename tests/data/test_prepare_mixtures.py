"""prepare() of WSJ0-2mix: its own layout, lists and speech, single speakers; and damaged copies."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from speechkit.data import prepare_layout, read_cuts
from speechkit.errors import UserError

from .test_corpus import write_audio
from .test_prepare_digits_and_sounds import load_prepare

NAMES = {
    "tr": ["011a0101_1.6_01ta010b_-1.6", "011a0102_0_020c0201_0", "01ta010b_2_020c0201_-2"],
    "cv": ["011a0103_1_01ta0103_-1"],
    "tt": ["050a0501_1.7783_442o030z_-1.7783"],
}


@pytest.fixture(scope="module")
def wsj0_2mix(project: Path) -> ModuleType:
    return load_prepare(project, "WSJ0-2Mix")


def write_layout(
    folder: Path, names=NAMES, signals: Sequence[str] = ("mix", "s1", "s2"), rate: int = 8000
) -> Path:
    for subset, stems in names.items():
        for number, stem in enumerate(stems):
            for name in signals:
                write_audio(folder / subset / name / f"{stem}.wav", n_samples=800 + 100 * number, rate=rate)
    return folder


def read(folder: Path) -> dict[str, list]:
    return {name: list(read_cuts(folder / f"{name}.jsonl")) for name in ("tr", "cv", "tt", "singles")}


@pytest.mark.parametrize(
    ("n_sources", "sample_rate", "mode", "below"),
    [(2, 8000, "min", ""), (2, 16000, "max", "2speakers/"), (3, 8000, "max", "3speakers/")],
)
def test_the_true_layout(
    n_sources: int, sample_rate: int, mode: str, below: str, wsj0_2mix: ModuleType, tmp_path: Path
) -> None:
    part = tmp_path / "data" / f"{below}wav{sample_rate // 1000}k" / mode
    signals = ["mix", "s1", "s2", "s3"][: n_sources + 1]
    names = {key: [f"{n}_404o0101_0" if n_sources == 3 else n for n in each] for key, each in NAMES.items()}
    write_layout(part, names, signals, sample_rate)
    (tmp_path / "data" / "spkrinfo.txt").write_text("; who\n011  F  x\n01T m\n01t  M\n050 F\n442  M\n")
    keys = {"n_sources": n_sources, "sample_rate": sample_rate, "mode": mode}
    wsj0_2mix.prepare(str(tmp_path / "data"), str(tmp_path / "out"), **keys)
    found = read(tmp_path / "out")
    assert {name: [cut.id for cut in found[name]] for name in NAMES} == names
    cut = found["tt"][0]
    assert [(s.speaker, s.gender) for s in cut.supervisions[:2]] == [("050", "F"), ("442", "M")]
    assert len(cut.supervisions) == n_sources
    assert (cut.sampling_rate, cut.num_samples) == (sample_rate, 800)
    for number in range(1, n_sources + 1):
        source = getattr(cut, f"source{number}")
        assert source.sources[0].source == str(part / "tt" / f"s{number}" / f"{cut.id}.wav")
        assert source.num_samples == 800
        assert getattr(cut, f"load_source{number}")().shape == (1, 800)
    singles = {cut.id: (cut.supervisions[0].speaker, cut.num_samples) for cut in found["singles"]}
    third = {"404o0101": ("404", 1000)} if n_sources == 3 else {}
    assert singles == third | {
        "011a0101": ("011", 800),
        "01ta010b": ("01t", 1000),  # of the two mixtures that have it the longer
        "011a0102": ("011", 900),
        "020c0201": ("020", 1000),
    }


def test_lists_and_speech_of_librispeech(wsj0_2mix: ModuleType, tmp_path: Path) -> None:
    data, lines = tmp_path / "data", {}
    for subset, ids in {"tr": "1 2", "cv": "3 4", "tt": "5 6"}.items():
        paths = []
        for speaker in ids.split():
            paths.append(f"LibriSpeech/{subset}/{speaker}/9/{speaker}-9-0000.flac")
            write_audio(data / paths[-1], n_samples=2000, rate=16000)
        lines[subset] = f"{paths[0]} 0.5 {paths[1]} -0.5\n"
    (data / "LibriSpeech" / "SPEAKERS.TXT").write_text(
        ";ID  |SEX| SUBSET\n1    | F | x\n5    | M | x\n6 | F | x\n"
    )
    write_audio(data / "LibriSpeech" / "tr" / "1" / "9" / "1-9-0001.flac")
    for speaker in ("3", "7"):
        write_audio(data / "kaldi" / "WAVE" / f"u{speaker}.flac")
    (data / "kaldi" / "train").mkdir()
    (data / "kaldi" / "train" / "wav.scp").write_text("u3 WAVE/u3.flac\nu7\tWAVE/u7.flac\n")
    (data / "kaldi" / "train" / "utt2spk").write_text("u3 3\nu7 7\n")
    (data / "kaldi" / "train" / "spk2gender").write_text("3 m\n7 f\n")
    (tmp_path / "lists").mkdir()
    for subset, line in lines.items():
        (tmp_path / "lists" / f"mix_2_spk_{subset}.txt").write_text(line)
    speech = [
        str(data / "LibriSpeech" / "tr"),
        str(data / "LibriSpeech" / "cv"),
        str(data / "kaldi" / "train"),
    ]
    keys = {"lists_folder": str(tmp_path / "lists"), "speech": speech}
    wsj0_2mix.prepare(str(data), str(tmp_path / "out"), **keys)
    found = read(tmp_path / "out")
    (cut,) = found["tt"]
    assert cut.id == "5-9-0000_0.5_6-9-0000_-0.5"
    assert [(s.speaker, s.gender) for s in cut.supervisions] == [("5", "M"), ("6", "F")]
    assert cut.recording.sources[0].source == str(tmp_path / f"out/mixtures/wav8k/min/tt/mix/{cut.id}.wav")
    mix, s1, s2 = (x[0] for x in (cut.load_audio(), cut.load_source1(), cut.load_source2()))
    assert np.abs(mix - s1 - s2).max() < 2 / 32768
    # Speaker 3 is held out, in LibriSpeech and elsewhere.
    singles = {cut.id: (cut.supervisions[0].speaker, cut.supervisions[0].gender) for cut in found["singles"]}
    assert singles == {
        "1-9-0000": ("1", "F"),
        "1-9-0001": ("1", "F"),
        "2-9-0000": ("2", None),
        "u7": ("7", "F"),
    }


def test_singles_of_speakers_who_validate_and_train(wsj0_2mix: ModuleType, tmp_path: Path) -> None:
    """In WSJ0-2mix the training speakers validate too, by other utterances."""
    write_layout(tmp_path / "data" / "wav8k" / "min")
    for name in ("011a0101", "011a0103", "050a0501", "0zza0501"):
        write_audio(tmp_path / "speech" / name[:3] / f"{name}.wav")
    wsj0_2mix.prepare(str(tmp_path / "data"), str(tmp_path / "out"), speech=[str(tmp_path / "speech")])
    assert [cut.id for cut in read(tmp_path / "out")["singles"]] == ["011a0101", "0zza0501"]


def refused(wsj0_2mix: ModuleType, folder: Path, said: str, **keys) -> None:
    with pytest.raises(UserError, match=said):
        wsj0_2mix.prepare(str(folder / "data"), str(folder / "out"), **keys)
    assert not (folder / "out" / "prepare.json").exists()


def test_a_damaged_copy(wsj0_2mix: ModuleType, tmp_path: Path) -> None:
    part = write_layout(tmp_path / "data" / "wav8k" / "min")
    s2 = part / "cv" / "s2" / f"{NAMES['cv'][0]}.wav"
    soundfile.write(s2, np.zeros(799), 8000)
    refused(
        wsj0_2mix, tmp_path, r"data_folder: 1 mixtures differ from their sources: .*/cv/mix/011a0103\S+; "
    )
    soundfile.write(s2, np.zeros(800), 16000)
    refused(wsj0_2mix, tmp_path, r"differ from their sources: .*expected the same length and rate")
    s2.unlink()
    refused(wsj0_2mix, tmp_path, r"data_folder: 1 sources are missing: .*/cv/s2/011a0103\S+; expected")
    s2.parent.rmdir()
    refused(wsj0_2mix, tmp_path, r"\S+/cv lacks s2")
    refused(wsj0_2mix, tmp_path, r"data_folder: \S+ lacks wav8k/max, and has wav8k/min; ", mode="max")


def test_audio_that_is_none_is_left_to_the_reader(wsj0_2mix: ModuleType, tmp_path: Path, caplog) -> None:
    part = write_layout(tmp_path / "data" / "wav8k" / "min")
    (part / "tr" / "mix" / f"{NAMES['tr'][0]}.wav").write_bytes(b"no audio")
    (part / "tr" / "s2" / f"{NAMES['tr'][1]}.wav").write_bytes(b"")
    wsj0_2mix.prepare(str(tmp_path / "data"), str(tmp_path / "out"))
    cuts = read(tmp_path / "out")["tr"]
    assert [cut.id for cut in cuts] == NAMES["tr"]
    assert [cut.num_samples for cut in cuts] == [16000, 900, 1000]
    assert caplog.text.count("cannot be read as audio") >= 2


def test_mistakes_about_speech(wsj0_2mix: ModuleType, tmp_path: Path) -> None:
    write_layout(tmp_path / "data" / "wav8k" / "min")
    speech = tmp_path / "speech"
    refused(wsj0_2mix, tmp_path, r"speech: there is no folder .*speech", speech=[str(speech)])
    write_audio(speech / "a.wav")
    refused(
        wsj0_2mix,
        tmp_path,
        r"speech: no speech in .*speech; expected a folder for each",
        speech=[str(speech)],
    )
    write_audio(speech / "050" / "b.wav")
    refused(wsj0_2mix, tmp_path, r"speech: none of 1 clips is of a speaker who is not", speech=[str(speech)])
    (speech / "wav.scp").write_text("u touch /tmp/x |\n")
    (speech / "utt2spk").write_text("v 1\n")
    refused(wsj0_2mix, tmp_path, r"wav.scp:1:1: 'u touch /tmp/x \|'; expected a name", speech=str(speech))
    (speech / "wav.scp").write_text("u a.wav\n")
    refused(wsj0_2mix, tmp_path, r"wav.scp:1:1: u has no speaker in .*utt2spk", speech=str(speech))
    (speech / "utt2spk").write_text("u 1\n")
    (speech / "a.wav").unlink()
    refused(wsj0_2mix, tmp_path, r"wav.scp:1:1: there is no file a.wav", speech=str(speech))


def test_equal_names_of_different_speakers(wsj0_2mix: ModuleType, tmp_path: Path) -> None:
    write_layout(tmp_path / "data" / "wav8k" / "min")
    for speaker in ("x", "y"):
        write_audio(tmp_path / "speech" / speaker / "book" / "1.wav")
    wsj0_2mix.prepare(str(tmp_path / "data"), str(tmp_path / "out"), speech=[str(tmp_path / "speech")])
    assert [cut.id for cut in read(tmp_path / "out")["singles"]] == ["x-book-1", "y-book-1"]


def test_one_subset_with_speech_of_its_own(tmp_path: Path, caplog) -> None:
    write_layout(tmp_path / "data", {"tr": NAMES["tr"]})
    write_audio(tmp_path / "speech" / "011" / "011a0101.wav", n_samples=900, rate=8000)
    keys = {"mixture": "mix", "sources": ["s1", "s2"], "n_speakers": 2}
    for speech in ([str(tmp_path / "speech")], []):
        out = tmp_path / f"out{len(speech)}"
        prepare_layout(str(out), {"tr": tmp_path / "data" / "tr"}, **keys, speech=speech)
        assert len(list(read_cuts(out / "tr.jsonl"))) == 3
        assert len(list(read_cuts(out / "singles.jsonl"))) == (1 if speech else 4)
    assert caplog.text == ""


def test_where_no_speaker_is_known_it_is_told(tmp_path: Path, caplog) -> None:
    write_layout(tmp_path / "data", {"tr": ["1", "2"]})
    layout = {"tr": tmp_path / "data" / "tr"}
    prepare_layout(str(tmp_path / "out"), layout, mixture="mix", sources=["s1", "s2"], n_speakers=2)
    assert not (tmp_path / "out" / "singles.jsonl").exists()
    assert "name folders of `speech`" in caplog.text
