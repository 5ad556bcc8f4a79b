"""Synthetic WSJ0-2mix: the corpus's layout and names, made-up sentences read by espeak-ng and mixed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch

from speechkit.data.librispeech_synthesis import RATE, draw_sentences, read_aloud
from speechkit.data.mixture_lists import mix_speech, mixture_name, write_mixture
from speechkit.data.synthesis import voice_gender
from speechkit.data.synthetic_folder import is_finished, write_settings
from speechkit.data.voices import SHARES, Voice, choose_voices
from speechkit.errors import UserError
from speechkit.ops.random import keyed_random
from speechkit.ops.resample import resample

SAMPLE_RATE = 8000  # Hz
FOLDERS = {"train": "tr", "valid": "cv", "test": "tt"}
GAIN_DB = 2.5  # of the first speaker at most; the second is as much softer, the others are between
MOST_SOURCES = 5


@dataclass(frozen=True)
class Utterance:
    """A sentence of a voice, named as in WSJ0: three characters of the speaker, five of the sentence."""

    name: str
    voice: Voice
    sentence: str


def synthesize_mixtures(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    n_sources: int = 2,
    n_voices: int = 60,
    n_mixtures: int = 400,
) -> Path:
    """Write a corpus in the layout of WSJ0-2mix; the same arguments write the same bytes.

    `wav8k/min/{tr,cv,tt}/{mix,s1,s2}/{utterance}_{gain}_{utterance}_{gain}.wav`, 8 kHz, 16 bits, cut to the
    shorter. 60% of the voices and mixtures are in tr, 15% in cv, 25% in tt; no timbre (espeak-ng's variant)
    and no sentence is in two of them. As in WSJ0-2mix the speakers' levels differ by 0 to 5 dB. Genders,
    where espeak-ng tells them, stand in `spk2gender`.

    Returns:
        `folder`

    Raises:
        UserError: the folder holds something else; too few voices or mixtures; espeak-ng is not installed
    """
    folder = Path(folder)
    settings = {"schema": 1, "corpus": "2mix", "seed": seed, "n_sources": n_sources, "n_voices": n_voices,
                "n_mixtures": n_mixtures}  # fmt: skip
    if not 1 <= n_sources <= MOST_SOURCES:
        raise UserError(f"n_sources: {n_sources}", expected=f"1 to {MOST_SOURCES}")
    counts = {subset: round(share * n_mixtures) for subset, share in SHARES.items()}
    if min(counts.values()) < 1:
        raise UserError(f"n_mixtures: {n_mixtures}", expected="4 or more: 15% of them validate")
    voices = choose_voices(n_voices, seed)
    spoken = _draw_utterances(voices, max(n_mixtures, 2 * n_voices), seed)
    if min(len({each.voice for each in theirs}) for theirs in spoken.values()) < n_sources:
        raise UserError(f"n_voices: {n_voices}", expected=f"{7 * n_sources} or more: 15% of them validate")
    if is_finished(folder, settings):
        return folder
    write_settings(folder, settings | {"complete": False})
    _write_genders(folder / "spk2gender", voices)
    counts["train"] = n_mixtures - sum(counts.values())
    for subset, utterances in spoken.items():
        random = keyed_random(seed, "mixtures", subset)
        chosen = _draw_mixtures(utterances, counts[subset], n_sources, random)
        for name, (members, gains) in chosen.items():
            signals = [_speak(each, seed) for each in members]
            mixture, sources = mix_speech(signals, gains, SAMPLE_RATE)
            write_mixture(folder / "wav8k" / "min" / FOLDERS[subset], name, mixture, sources, SAMPLE_RATE)
    write_settings(folder, settings | {"complete": True})
    return folder


def _draw_utterances(voices: Sequence[Voice], n_utterances: int, seed: int) -> dict[str, list[Utterance]]:
    """What the voices of each subset say."""
    sentences = draw_sentences(n_utterances, seed)
    spoken: dict[str, list[Utterance]] = {subset: [] for subset in FOLDERS}
    for speaker, voice in enumerate(voices):
        place = [other for other in voices if other.subset == voice.subset].index(voice)
        n_others = sum(other.subset == voice.subset for other in voices)
        for number, sentence in enumerate(sentences[voice.subset][place::n_others]):
            name = f"{_speaker_code(speaker)}o{number:04d}"
            spoken[voice.subset].append(Utterance(name, voice, sentence))
    return spoken


def _speaker_code(number: int) -> str:
    return f"{number:03d}"


def _draw_mixtures(
    utterances: Sequence[Utterance], n_mixtures: int, n_sources: int, random: Random
) -> dict[str, tuple[list[Utterance], list[float]]]:
    """Mixtures by name: utterances of different voices, each utterance about as often as another."""
    drawn: dict[str, tuple[list[Utterance], list[float]]] = {}
    waiting: list[Utterance] = []
    while len(drawn) < n_mixtures:
        members: list[Utterance] = []
        while len(members) < n_sources:
            waiting = waiting or random.sample(utterances, len(utterances))
            heard = {each.voice for each in members}
            others = [each for each in waiting if each.voice not in heard]
            member = others[0] if others else random.choice([e for e in utterances if e.voice not in heard])
            if others:
                waiting.remove(member)
            members.append(member)
        gain = round(random.uniform(0, GAIN_DB), 4)
        between = [round(random.uniform(-gain, gain), 4) for _ in members[2:]]
        gains = [gain, -gain, *between][:n_sources]
        drawn.setdefault(mixture_name([each.name for each in members], gains), (members, gains))
    return drawn


def _speak(utterance: Utterance, seed: int) -> np.ndarray:
    """(N,) at 8 kHz: the same whenever it is said."""
    random = keyed_random(seed, "utterance", utterance.voice.name, utterance.sentence)
    x = read_aloud(utterance.sentence, utterance.voice, random)
    return resample(torch.from_numpy(x), RATE, SAMPLE_RATE).numpy()


def _write_genders(path: Path, voices: Sequence[Voice]) -> None:
    genders = {_speaker_code(number): voice_gender(voice.name) for number, voice in enumerate(voices)}
    lines = [f"{speaker} {gender.lower()}\n" for speaker, gender in genders.items() if gender]
    path.write_text("".join(lines))
