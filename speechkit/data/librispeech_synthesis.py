"""A synthetic LibriSpeech: the corpus's layout, made-up sentences read by espeak-ng.

Source of the layout: Panayotov, Chen, Povey, Khudanpur: LibriSpeech: an ASR corpus based on public domain
audio books, ICASSP 2015.
"""

import os
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from random import Random

import numpy as np
import soundfile
import torch

from speechkit.data.sentences import draw_sentence
from speechkit.data.synthesis import SAMPLE_RATE, speak
from speechkit.data.synthetic_folder import is_finished, write_settings
from speechkit.data.voices import SHARES, Voice, choose_voices, cut_silent_ends
from speechkit.errors import UserError
from speechkit.ops.random import keyed_random
from speechkit.ops.resample import resample

RATE = 16000  # Hz
FOLDERS = {"train": "train-clean-100", "valid": "dev-clean", "test": "test-clean"}
CHAPTER = 100000  # of all speakers
MAX_WORDS = 12  # of a sentence from a file
NAME = re.compile(r"^\d+-\d+-\d+ ")
PAUSE_SECONDS = 0.1  # before and after a sentence, at least


def synthesize_librispeech(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    n_voices: int = 80,
    n_utterances: int = 2000,
    texts: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
) -> Path:
    """Write a corpus in the layout of LibriSpeech; the same arguments write the same bytes.

    `LibriSpeech/{subset}/{speaker}/{chapter}/{speaker}-{chapter}-{number}.flac` (16 kHz, 16 bits), with
    `{speaker}-{chapter}.trans.txt` beside, and `SPEAKERS.TXT`. 60% of the voices and utterances are in
    train-clean-100, 15% in dev-clean, 25% in test-clean. No timbre (espeak-ng's variant) and no sentence is
    in two of them; all share some 300 words and a grammar. Accent, speed, pitch, level and noise differ.

    texts: files of sentences to read aloud instead, see `read_sentences`, with as many different ones at
        least; what tells one corpus from another is the sentences, not where the files lie

    Returns:
        The folder `LibriSpeech`.

    Raises:
        UserError: the folder holds something else; fewer utterances than voices; espeak-ng is not installed
    """
    folder = Path(folder)
    if n_utterances < n_voices:
        raise UserError(
            f"n_utterances: {n_utterances}", expected=f"one or more for each of {n_voices} voices"
        )
    paths: Sequence[str | os.PathLike[str]] | None
    paths = [texts] if isinstance(texts, str | os.PathLike) else texts
    given = None if paths is None else read_sentences(*paths)
    settings = {"schema": 1, "corpus": "librispeech", "seed": seed, "n_voices": n_voices,
                "n_utterances": n_utterances, "texts": None if given is None else _digest(given)}  # fmt: skip
    voices = choose_voices(n_voices, seed)
    corpus = folder / "LibriSpeech"
    if is_finished(folder, settings):
        return corpus
    sentences = draw_sentences(n_utterances, seed, given)
    write_settings(folder, settings | {"complete": False})
    for number, voice in enumerate(voices):
        subset = [other for other in voices if other.subset == voice.subset]
        theirs = sentences[voice.subset][subset.index(voice) :: len(subset)]
        _write_chapter(corpus, voice, speaker_number(number), theirs, seed)
    _write_speakers(corpus / "SPEAKERS.TXT", voices)
    write_settings(folder, settings | {"complete": True})
    return corpus


def read_sentences(*paths: str | os.PathLike[str]) -> list[str]:
    """The different lines of text files, one file after another, in lower case; of more than `MAX_WORDS`
    words in pieces.

    Where the first word of every line of a file has a digit, it is an utterance's name and is left out: in
    LibriSpeech's transcripts and Kaldi's tables `text`. (Names as LibriSpeech's are left out in any file.)

    Raises:
        UserError: no such file, or it is not UTF-8
    """
    pieces: dict[str, None] = {}  # a set that keeps the order
    for line in (line for path in paths for line in _read_lines(path)):
        words = line.lower().split()
        n_pieces = -(-len(words) // MAX_WORDS)
        size = -(-len(words) // max(1, n_pieces))
        pieces |= {" ".join(words[at : at + size]): None for at in range(0, len(words), max(1, size))}
    return list(pieces)


def _read_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a file that are not blank, without the names of utterances."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise UserError(found, expected="a text file, a sentence a line", key="texts") from None
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    if all(any(map(str.isdigit, first)) for first, *_ in lines):
        return ["".join(rest) for _, *rest in lines]
    return [NAME.sub("", " ".join(words)) for words in lines]


def draw_sentences(n_utterances: int, seed: int, texts: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Different sentences for each subset, by its share; made up, or of those given.

    >>> drawn = draw_sentences(100, seed=1)
    >>> {subset: len(sentences) for subset, sentences in drawn.items()}
    {'train': 60, 'valid': 15, 'test': 25}
    >>> len({sentence for sentences in drawn.values() for sentence in sentences})
    100
    """
    random = keyed_random(seed, "sentences")
    if texts is not None and len(texts) < n_utterances:
        found = f"{len(texts)} different sentences for {n_utterances} utterances"
        raise UserError(found, do="ask for fewer utterances, or give more text", key="n_utterances")
    drawn = dict.fromkeys(random.sample(texts, n_utterances) if texts is not None else [])
    while len(drawn) < n_utterances:
        drawn[draw_sentence(random)] = None
    n_valid, n_test = (round(share * n_utterances) for share in SHARES.values())
    sentences = list(drawn)
    return {
        "train": sentences[n_valid + n_test :],
        "valid": sentences[:n_valid],
        "test": sentences[n_valid : n_valid + n_test],
    }


def _digest(sentences: Sequence[str]) -> str:
    return "sha256:" + sha256("\n".join(sentences).encode()).hexdigest()


def speaker_number(index: int) -> int:
    """A speaker's number, as LibriSpeech has them: 101, 102, ..."""
    return 101 + index


def _write_chapter(corpus: Path, voice: Voice, speaker: int, sentences: list[str], seed: int) -> None:
    chapter = corpus / FOLDERS[voice.subset] / str(speaker) / str(CHAPTER)
    chapter.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, sentence in enumerate(sentences):
        name = f"{speaker}-{CHAPTER}-{number:04d}"
        samples = read_aloud(sentence, voice, keyed_random(seed, "utterance", voice.name, sentence))
        soundfile.write(chapter / f"{name}.flac", samples, RATE, subtype="PCM_16")
        lines.append(f"{name} {sentence.upper()}\n")
    (chapter / f"{speaker}-{CHAPTER}.trans.txt").write_text("".join(lines))


def read_aloud(sentence: str, voice: Voice, random: Random) -> np.ndarray:
    """(N,) samples at RATE: the sentence between pauses, at some speed, pitch and level, in some noise."""
    x = speak(
        sentence,
        voice.name,
        words_per_minute=random.randint(130, 200),
        pitch=voice.pitch + random.randint(-8, 8),
        pitch_range=random.randint(30, 70),
        seed=random.getrandbits(31),
    )
    x = cut_silent_ends(resample(torch.from_numpy(x), SAMPLE_RATE, RATE).numpy())
    x = x - voice.tilt * np.concatenate([[0.0], x[:-1]])
    pauses = [round(RATE * (PAUSE_SECONDS + random.uniform(0, 0.2))) for _ in range(2)]
    x = np.pad(x, pauses)
    noise = np.random.default_rng(random.getrandbits(63)).standard_normal(len(x) + 1)
    noise = noise[1:] - random.uniform(-0.9, 0.9) * noise[:-1]  # duller or sharper
    snr_db = random.uniform(20, 45)
    x = x + noise * np.sqrt(np.mean(x**2) / np.mean(noise**2) / 10 ** (snr_db / 10))
    return x * (10 ** (random.uniform(-15, -1) / 20) / np.abs(x).max())


def _write_speakers(path: Path, voices: list[Voice]) -> None:
    lines = [";ID  |SEX| SUBSET           |MINUTES| NAME\n"]
    for number, voice in enumerate(voices):
        subset = FOLDERS[voice.subset]
        lines.append(f"{speaker_number(number):<5}| ? | {subset:<17}|  0.0  | espeak-ng {voice.name}\n")
    path.write_text("".join(lines))
