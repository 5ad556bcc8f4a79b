"""Corpora made in a second: of three kinds of tones, of rows of such tones, of sentences."""

from pathlib import Path
from random import Random

import numpy as np
import soundfile
from lhotse import Recording, SupervisionSegment
from lhotse.cut import Cut

from speechkit.data import write_cuts
from speechkit.data.sentences import draw_sentence

RATE = 8000
PITCHES = {"low": 300, "middle": 900, "high": 2000}  # Hz


def write_corpus(folder: Path) -> None:
    """Audio, `train.jsonl`, `valid.jsonl`, `test.jsonl` and `noise.jsonl`; clips of 0.3 to 1 s."""
    folder.mkdir()
    random = np.random.default_rng(7)
    for subset, n_clips in (("train", 66), ("valid", 20), ("test", 12)):
        cuts = [
            _write_tone(folder, f"{subset}-{i:02d}", list(PITCHES)[i % 3], random) for i in range(n_clips)
        ]
        write_cuts(cuts, folder / f"{subset}.jsonl")
    write_cuts([_write(folder, "noise", random.uniform(-0.5, 0.5, 3 * RATE))], folder / "noise.jsonl")


def write_sequences(folder: Path) -> None:
    """As `write_corpus`, but a clip is a row of one to four tones with pauses, and its text their kinds."""
    folder.mkdir()
    random = np.random.default_rng(8)
    for subset, n_clips in (("train", 66), ("valid", 12), ("test", 13)):
        cuts = [_write_sequence(folder, f"{subset} {i:02d}", random) for i in range(n_clips)]
        write_cuts(cuts, folder / f"{subset}.jsonl")


def _write_sequence(folder: Path, name: str, random: np.random.Generator) -> Cut:
    kinds = random.choice(list(PITCHES), random.integers(1, 5))
    tones = [0.3 * np.sin(2 * np.pi * PITCHES[kind] * np.arange(0.25 * RATE) / RATE) for kind in kinds]
    pauses = [np.zeros(round(random.uniform(0.1, 0.3) * RATE)) for _ in (*tones, "end")]
    x = np.concatenate([pauses[0], *(part for pair in zip(tones, pauses[1:], strict=True) for part in pair)])
    cut = _write(folder, name, x + random.normal(0, 0.02, len(x)))
    segment = SupervisionSegment(name, name, 0, cut.duration, text=" ".join(kinds), speaker=name)
    cut.supervisions = [segment]
    return cut


def write_sentences(folder: Path) -> None:
    """`train.txt`, `valid.txt` and `test.txt`; two sentences of each have signs that no tokenizer has."""
    folder.mkdir()
    random = Random(9)
    for subset, n_sentences in (("train", 66), ("valid", 20), ("test", 13)):
        sentences = [draw_sentence(random) for _ in range(n_sentences)]
        sentences[3], sentences[7] = "a 3", "a sentence with a number, 4"
        (folder / f"{subset}.txt").write_text("".join(f"{sentence}\n" for sentence in sentences))


def _write_tone(folder: Path, name: str, kind: str, random: np.random.Generator) -> Cut:
    time = np.arange(random.integers(round(0.3 * RATE), RATE)) / RATE
    x = 0.3 * np.sin(2 * np.pi * PITCHES[kind] * random.uniform(0.7, 1.4) * time)
    cut = _write(folder, name, x + random.normal(0, 0.2, len(x)))
    cut.supervisions = [SupervisionSegment(name, name, 0, cut.duration, text=kind, speaker=name)]
    return cut


def _write(folder: Path, name: str, x: np.ndarray) -> Cut:
    path = folder / f"{name}.wav"
    soundfile.write(path, x.clip(-1, 1), RATE, subtype="PCM_16")
    cut = Recording.from_file(path, recording_id=name).to_cut()
    cut.id = name
    return cut
