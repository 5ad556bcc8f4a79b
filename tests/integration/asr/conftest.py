"""Eight short phrases by eight voices, as a manifest."""

from pathlib import Path

import pytest
import soundfile
import torch

from speechkit.data import Clip, make_cuts, write_cuts
from speechkit.data.synthesis import SAMPLE_RATE, speak
from speechkit.ops.resample import resample

PHRASES = {
    "en-us": "yes",
    "en-us+f3": "no thanks",
    "en+m3": "turn left",
    "en-us+m7": "go home now",
    "en+f2": "stop",
    "en-us+f1": "the red door",
    "en-gb-scotland+m1": "call me later",
    "en+Andy": "open it",
}


@pytest.fixture(scope="session")
def phrases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest; the longest phrase takes twice the time of the shortest and more."""
    folder = tmp_path_factory.mktemp("phrases")
    clips = []
    for voice, text in PHRASES.items():
        name = text.replace(" ", "-")
        wave = resample(torch.from_numpy(speak(text, voice)), SAMPLE_RATE, 16000)
        soundfile.write(folder / f"{name}.wav", wave.numpy(), 16000, subtype="PCM_16")
        clips.append(Clip(folder / f"{name}.wav", name, text, speaker=voice))
    write_cuts(make_cuts(clips), folder / "eight.jsonl")
    return folder / "eight.jsonl"
