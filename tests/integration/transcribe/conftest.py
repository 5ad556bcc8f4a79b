"""Eight words by two voices, strung together at known times, and a recogniser that learned them."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechkit.data import Clip, make_cuts, write_cuts
from speechkit.data.synthesis import SAMPLE_RATE, speak
from speechkit.data.voices import cut_silent_ends
from speechkit.ops.resample import resample
from speechkit.report import TimedWord
from speechkit.tasks import ASR, main

HERE = Path(__file__).parent
RATE = 8000  # Hz
WORDS = ("red", "window", "coffee", "seven", "garden", "thirteen", "open", "music")
VOICES = ("en-us", "en+f2")


@cache
def say(word: str, voice: str) -> np.ndarray:
    """The samples of a word, without silence around it."""
    wave = resample(torch.from_numpy(speak(word, voice)), SAMPLE_RATE, RATE).numpy()
    return cut_silent_ends(wave).clip(-1, 1)


def string_together(
    random: np.random.Generator, n_words: int, pauses: Sequence[float] = (0.06, 0.5)
) -> tuple[np.ndarray, list[TimedWord]]:
    """Words drawn at random with pauses of these seconds between, over faint noise; and their times."""
    parts, words, at = [], [], 0
    for _ in range(n_words):
        word, voice = random.choice(WORDS), random.choice(VOICES)
        pause, wave = np.zeros(round(random.uniform(*pauses) * RATE)), say(word, voice)
        parts += [pause, wave]
        at += len(pause)
        words.append(TimedWord(str(word), at / RATE, (at + len(wave)) / RATE))
        at += len(wave)
    samples = np.concatenate([*parts, np.zeros(RATE // 4)])
    return (samples + random.normal(0, 1e-3, len(samples))).clip(-1, 1), words


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the trained run."""
    folder, random, clips = tmp_path_factory.mktemp("words"), np.random.default_rng(1), []
    for number in range(64):
        samples, words = string_together(random, 4)
        soundfile.write(folder / f"{number:02}.wav", samples, RATE)
        text = " ".join(word.word for word in words)
        clips.append(Clip(folder / f"{number:02}.wav", f"{number:02}", text, speaker="both"))
    write_cuts(make_cuts(clips), folder / "words.jsonl")
    folders = ["--output_folder", str(folder / "run"), "--manifest", str(folder / "words.jsonl")]
    main(ASR, str(HERE / "train.py"), [str(HERE / "hparams" / "words.yaml"), *folders, "--device", "cpu"])
    return folder / "run"
