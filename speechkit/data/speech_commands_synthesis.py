"""A synthetic Speech Commands: the data set's layout, spoken by espeak-ng.

Source of the layout: P. Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition,
arXiv:1804.03209.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import soundfile
import torch

from speechkit.data.speech_commands import CORE_WORDS
from speechkit.data.synthesis import SAMPLE_RATE, speak
from speechkit.data.synthetic_folder import is_finished, write_settings
from speechkit.data.voices import Voice, choose_voices, cut_silent_ends
from speechkit.errors import UserError
from speechkit.ops.random import derive_seed, keyed_random
from speechkit.ops.resample import resample

RATE = 16000  # Hz
N_SAMPLES = RATE  # a clip is one second


def synthesize_speech_commands(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    n_voices: int = 200,
    words: Sequence[str] = CORE_WORDS,
    n_takes: int = 1,
    noise_seconds: float = 30.0,
) -> Path:
    """Write a corpus in the layout of Speech Commands; the same arguments write the same bytes.

    Every voice says every word `n_takes` times, in `{word}/{speaker}_nohash_{take}.wav`: one second,
    16 kHz, 16 bits. 60% of the voices train, 15% are in `validation_list.txt`, 25% in `testing_list.txt`; no
    timbre (espeak-ng's variant) is in two of them. Speed, pitch, level, place and noise differ from clip to
    clip. `_background_noise_` has six recordings of `noise_seconds`.

    A folder that holds this very corpus is left as it is; an unfinished one is finished.

    Raises:
        UserError: the folder holds something else; more voices than there are; espeak-ng is not installed
    """
    folder = Path(folder)
    settings = {
        "schema": 1, "seed": seed, "n_voices": n_voices, "words": list(words), "n_takes": n_takes,
        "noise_seconds": noise_seconds,
    }  # fmt: skip
    _check_settings(words, n_takes, noise_seconds)
    voices = choose_voices(n_voices, seed)
    if is_finished(folder, settings):
        return folder
    write_settings(folder, settings | {"complete": False})
    noises = _write_noises(folder / "_background_noise_", noise_seconds, seed)
    lists: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for word in words:
        (folder / word).mkdir(exist_ok=True)
        for voice in voices:
            for take in range(n_takes):
                name = f"{word}/{voice.speaker}_nohash_{take}.wav"
                random = keyed_random(seed, "clip", voice.name, word, take)
                soundfile.write(folder / name, _clip(word, voice, random, noises), RATE, subtype="PCM_16")
                lists[voice.subset].append(name)
    for subset, file in (("valid", "validation_list.txt"), ("test", "testing_list.txt")):
        (folder / file).write_text("".join(f"{name}\n" for name in sorted(lists[subset])))
    write_settings(folder, settings | {"complete": True})
    return folder


def _check_settings(words: Sequence[str], n_takes: int, noise_seconds: float) -> None:
    bad = [word for word in words if not (word.isascii() and word.isalpha())]
    if bad or not words or len(set(words)) < len(words):
        raise UserError(f"words {', '.join(bad or words)!r}", expected="different words of letters a to z")
    if n_takes < 1:
        raise UserError(f"n_takes: {n_takes}", expected="1 or more")
    if noise_seconds < 1:
        raise UserError(f"noise_seconds: {noise_seconds}", expected="1 or more")


def _clip(word: str, voice: Voice, random: Random, noises: list[np.ndarray]) -> np.ndarray:
    """One second of a word (N_SAMPLES,): somewhere in the second, at some level, in some noise."""
    x = speak(
        word,
        voice.name,
        words_per_minute=random.randint(110, 200),
        pitch=voice.pitch + random.randint(-8, 8),
        pitch_range=random.randint(30, 70),
        seed=random.getrandbits(31),
    )
    x = resample(torch.from_numpy(x), SAMPLE_RATE, RATE).numpy()
    x = cut_silent_ends(x)[:N_SAMPLES]
    x = x - voice.tilt * np.concatenate([[0.0], x[:-1]])
    start = random.randint(0, N_SAMPLES - len(x))
    x = x * (10 ** (random.uniform(-20, -2) / 20) / np.abs(x).max())
    noise = random.choice(noises)
    offset = random.randint(0, len(noise) - N_SAMPLES)
    noise = noise[offset : offset + N_SAMPLES]
    snr_db = random.uniform(12, 40)
    clip = noise * np.sqrt(np.mean(x**2) / (np.mean(noise**2) + 1e-12) / 10 ** (snr_db / 10))
    clip[start : start + len(x)] += x
    return clip / max(1.0, np.abs(clip).max())


def _write_noises(folder: Path, seconds: float, seed: int) -> list[np.ndarray]:
    folder.mkdir(exist_ok=True)
    noises = []
    for name, make in NOISES.items():
        x = make(round(seconds * RATE), np.random.default_rng(derive_seed(seed, "noise", name)))
        x = 0.3 * x / np.abs(x).max()
        soundfile.write(folder / f"{name}.wav", x, RATE, subtype="PCM_16")
        noises.append(x)
    return noises


def _coloured(n_samples: int, rng: np.random.Generator, exponent: float) -> np.ndarray:
    """Noise of power proportional to 1 / f^exponent above 20 Hz, none below."""
    frequencies = np.fft.rfftfreq(n_samples, 1 / RATE)
    scale = np.where(frequencies >= 20, np.maximum(frequencies, 20) ** (-exponent / 2), 0)
    return np.fft.irfft(np.fft.rfft(rng.standard_normal(n_samples)) * scale, n_samples)


def _hum(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Mains hum at 50 Hz with harmonics, over some white noise."""
    time = np.arange(n_samples) / RATE
    tones = sum(np.sin(2 * np.pi * 50 * k * time + rng.uniform(0, 2 * np.pi)) / k for k in range(1, 12))
    return tones + 0.05 * rng.standard_normal(n_samples)


def _dripping(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Drops: decaying tones at random times, four a second, over faint noise."""
    x = 0.01 * rng.standard_normal(n_samples)
    time = np.arange(RATE // 10) / RATE
    for start in rng.integers(0, max(1, n_samples - len(time)), size=4 * n_samples // RATE):
        x[start : start + len(time)] += rng.uniform(0.2, 1) * (
            np.exp(-time / 0.01) * np.sin(2 * np.pi * rng.uniform(600, 3000) * time)
        )
    return x


def _babble(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Six voices counting at once."""
    x = np.zeros(n_samples)
    numbers = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    for k in range(6):
        text = " ".join(rng.permutation(numbers))
        speech = speak(text, f"en+m{k + 1}", words_per_minute=140, seed=k)
        speech = resample(torch.from_numpy(speech), SAMPLE_RATE, RATE).numpy()
        x += np.roll(np.resize(speech, n_samples), rng.integers(n_samples))
    return x


NOISES: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "white_noise": lambda n, rng: _coloured(n, rng, 0),
    "pink_noise": lambda n, rng: _coloured(n, rng, 1),
    "brown_noise": lambda n, rng: _coloured(n, rng, 2),
    "mains_hum": _hum,
    "dripping_tap": _dripping,
    "babble": _babble,
}
