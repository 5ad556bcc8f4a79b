"""The table of separation without a model, on two voices whose utterances are mixed by hand."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lhotse import Recording, SupervisionSegment

from speechkit.data import write_cuts

PROJECT = Path(__file__).resolve().parents[2]
RATE = 8000


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("baselines", PROJECT / "tools/separation_baselines.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def utterance(pitch_hz: float, seed: int, n_samples: int = 2400) -> np.ndarray:
    """Harmonics of a pitch, with syllables of their own."""
    times = np.arange(n_samples) / RATE
    envelope = np.repeat(np.random.default_rng(seed).uniform(0, 1, -(-n_samples // 400)), 400)[:n_samples]
    return 0.1 * envelope * sum(np.sin(2 * np.pi * pitch_hz * k * times) / k for k in range(1, 5))


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    cuts = []
    for row in range(3):
        gain = 0.5 + 0.2 * row
        signals = {"source1": gain * utterance(310, row % 2), "source2": utterance(530, 10 + row)}
        signals["mix"] = signals["source1"] + signals["source2"]
        for name, x in signals.items():
            soundfile.write(tmp_path / f"{row}-{name}.wav", x, RATE, subtype="FLOAT")
        cut = Recording.from_file(tmp_path / f"{row}-mix.wav", recording_id=f"m{row}").to_cut()
        cut.id = f"m{row}"
        for name in ("source1", "source2"):
            setattr(cut, name, Recording.from_file(tmp_path / f"{row}-{name}.wav"))
        cut.supervisions = [
            SupervisionSegment(f"m{row}-{n}", cut.id, 0, cut.duration, speaker=f"s{n}") for n in range(2)
        ]
        cuts.append(cut)
    write_cuts(cuts, tmp_path / "tt.jsonl")
    return tmp_path / "tt.jsonl"


def run(tool, monkeypatch, capsys, *words: str) -> dict[str, float]:
    """SI-SNRi by method."""
    monkeypatch.setattr("sys.argv", ["separation_baselines.py", *words])
    tool.main()
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["mixtures"] for row in rows} == {3}
    return {row["method"]: float(row["SI-SNRi,_dB"].split()[0]) for row in rows}


@pytest.mark.integration
def test_methods_are_ranked_as_they_must_be(tool, manifest, monkeypatch, capsys) -> None:
    gains = run(tool, monkeypatch, capsys, str(manifest), "--components", "4")
    assert gains["the mixture"] == 0
    assert gains["FastICA, a microphone for each speaker"] > 20
    nmf = [gains[f"NMF, {name}, speakers known"] for name in ("Kullback-Leibler", "Euclidean")]
    assert min(nmf) > 5
    assert (
        gains["ideal complex mask within the unit circle"] >= gains["ideal phase-sensitive mask"] > max(nmf)
    )
    assert gains["ideal phase-sensitive mask"] >= gains["ideal ratio mask"]


def test_a_dictionary_never_sees_what_it_separates(tool, manifest, monkeypatch) -> None:
    mixtures = tool.read_mixtures(manifest, RATE, 2, None)
    speech = tool.gather_speech(mixtures)
    assert {speaker: len(each) for speaker, each in speech.items()} == {"s0": 2, "s1": 3}
    learned = []

    def learn(signals, *_) -> torch.Tensor:
        learned.append(signals)
        return torch.rand(17, 2)

    monkeypatch.setattr(tool, "learn_dictionary", learn)
    separate = tool.SpeakerNMF(speech, (tool.STFTEncoder(32, 8), tool.STFTDecoder(32, 8)), "kl", (2, 9000))
    for mixture in mixtures:
        separate(mixture)
    assert len(learned) == 2 + 3, "each once"
    for mixture in mixtures:
        learned.clear()
        separate.learn.cache_clear()
        separate(mixture)
        for source, signals in zip(mixture.sources, learned, strict=True):
            assert signals
            assert not any(tool.is_same_speech(source, each) for each in signals)


def test_a_speaker_of_one_utterance_is_told(tool, manifest, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["separation_baselines.py", str(manifest), "--limit", "1"])
    with pytest.raises(SystemExit) as end:
        tool.main()
    assert end.value.code == 2
    assert "says one utterance" in capsys.readouterr().err
