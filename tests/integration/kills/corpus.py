"""A corpus of three kinds of tones, made in a second."""

from pathlib import Path

import numpy as np
import soundfile
from lhotse import Recording, SupervisionSegment
from lhotse.cut import Cut

from speechkit.data import write_cuts

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
