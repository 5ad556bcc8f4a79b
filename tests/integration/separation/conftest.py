"""Four mixtures of two voices, a second each, in the layout of WSJ0-2mix, and their manifest."""

from pathlib import Path

import pytest
import soundfile
import torch

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


def speak_a_second(text: str, voice: str) -> torch.Tensor:
    """(8000,) from a quarter of a second on, where all are speaking."""
    wave = resample(torch.from_numpy(speak(text, voice)), SAMPLE_RATE, RATE)[RATE // 4 :][:RATE]
    return 0.05 * wave / wave.std()


@pytest.fixture(scope="session")
def four_mixtures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest."""
    folder = tmp_path_factory.mktemp("mixtures")
    voices = list(PHRASES)
    for number in range(4):
        first, second = (speak_a_second(PHRASES[voice], voice) for voice in voices[2 * number :][:2])
        for name, signal in (("mix", first + second), ("s1", first), ("s2", second)):
            path = folder / "four" / name / f"a{number}_1_b{number}_-1.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, signal.numpy(), RATE, subtype="FLOAT")
    prepare_layout(folder, {"four": folder / "four"})
    return folder / "four.jsonl"
