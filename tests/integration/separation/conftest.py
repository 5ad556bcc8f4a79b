"""Four mixtures of two voices, a second each, in the layout of WSJ0-2mix, and their manifest."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from speechkit.data import prepare_layout
from speechkit.data.synthesis import SAMPLE_RATE, speak
from speechkit.ops.resample import resample

RATE = 8000
PHRASES = {
    "en-us+m3": "the red door is open now",
    "en-us+f3": "no thanks, I would rather stay",
    "en+m7": "turn left at the next corner",
    "en-us+f1": "call me later in the evening",
    "en-gb-scotland+m1": "go home now, before it rains",
    "en+f2": "she sells shells by the sea",
    "en+Andy": "stop talking about money",
    "en-us+f4": "seven green bottles on the wall",
}


@pytest.fixture(scope="session")
def four_mixtures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest, of synthetic voices."""
    spoken = [
        resample(torch.from_numpy(speak(text, voice)), SAMPLE_RATE, RATE) for voice, text in PHRASES.items()
    ]
    return write_mixtures(tmp_path_factory.mktemp("mixtures"), spoken)


@pytest.fixture(scope="session")
def four_real_mixtures(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest, of people who read aloud."""
    folder = real_data / "librispeech"
    table = folder / "mix_lists" / "mix_2_spk_tt.txt"
    if not table.is_file():
        pytest.skip(f"no lists at {table.parent}: set SPEECHKIT_DATA to a folder that has them")
    paths = [line.split()[place] for line in table.read_text().splitlines()[:4] for place in (0, 2)]
    spoken = []
    for path in paths:
        wave, rate = soundfile.read(folder / path, dtype="float32")
        spoken.append(resample(torch.from_numpy(wave[rate:]), rate, RATE))
    return write_mixtures(tmp_path_factory.mktemp("real_mixtures"), spoken)


def write_mixtures(folder: Path, spoken: Sequence[Tensor]) -> Path:
    """Every two of eight waveforms (N,) mixed: a second from a quarter of a second on, where all speak."""
    seconds = [wave[RATE // 4 :][:RATE] for wave in spoken]
    sources = [0.05 * each / each.std() for each in seconds]
    for number in range(4):
        first, second = sources[2 * number :][:2]
        for name, signal in (("mix", first + second), ("s1", first), ("s2", second)):
            path = folder / "four" / name / f"a{number}_1_b{number}_-1.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, signal.numpy(), RATE, subtype="FLOAT")
    prepare_layout(folder, {"four": folder / "four"})
    return folder / "four.jsonl"
