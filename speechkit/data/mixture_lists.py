"""Mixtures of speech made after lists, in the layout of WSJ0-2mix.

Source: the script create_wav_2speakers of Hershey, Chen, Le Roux, Watanabe: Deep clustering: discriminative
embeddings for segmentation and separation, ICASSP 2016.
"""

import logging
import math
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch

from speechkit.data.corpus import write_once
from speechkit.data.reading import read_samples
from speechkit.data.speech_level import active_speech_level
from speechkit.errors import Place, UserError
from speechkit.ops.resample import resample

SUBSETS = ("tr", "cv", "tt")
MODES = ("min", "max")
PEAK = 0.9  # of the loudest sample of a mixture and its sources
SUFFIXES = (".wav", ".flac")  # a list says .wav of a corpus that is kept as .flac
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MixtureLine:
    """A mixture to make: files of speech, and the level of each in dB."""

    paths: tuple[Path, ...]
    gains_db: tuple[float, ...]
    place: Place

    @property
    def name(self) -> str:
        """As WSJ0-2mix calls it: the names of the files, each with its gain to 5 digits."""
        return mixture_name([path.stem for path in self.paths], self.gains_db)


def build_mixtures(
    data_folder: str | os.PathLike[str],
    lists_folder: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    n_sources: int = 2,
    sample_rate: int = 8000,
    mode: str = "min",
) -> Path:
    """Make the mixtures of `mix_<n_sources>_spk_{tr,cv,tt}.txt`: `folder/wav8k/min/tr/{mix,s1,s2}/*.wav`.

    A line is a path below `data_folder`, its gain in dB, the next path and so on. Each file is resampled and
    brought to its gain by its active speech level; then all are cut to the shortest (`mode` min) or filled
    with silence to the longest (max), and scaled by one factor to a peak of 0.9. Written in 16 bits, once:
    whole or not at all, and again when the lists or the speech change.

    Returns:
        `folder`

    Raises:
        UserError: with the list's file and line: what is no such line, a file that is missing, is no audio
            or is silent; two mixtures of one name
    """
    if mode not in MODES:
        raise UserError(f"mode {mode!r}", expected="min or max", key="mode")
    data, lists = (Path(each).expanduser().resolve() for each in (data_folder, lists_folder))
    files = {subset: lists / f"mix_{n_sources}_spk_{subset}.txt" for subset in SUBSETS}
    lines = {subset: read_mixture_list(path, data, n_sources) for subset, path in files.items()}
    _check_files([line for each in lines.values() for line in each], data)

    def write(target: Path) -> list[str]:
        log.warning("making %d mixtures in %s", sum(map(len, lines.values())), target)
        unfinished = target.with_name(f".{os.getpid()}.{target.name}")
        try:
            for subset in SUBSETS:
                place = unfinished / f"wav{sample_rate // 1000}k" / mode / subset
                _write_subset(lines[subset], place, sample_rate, mode)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return []

    arguments = {"schema": 1, "n_sources": n_sources, "sample_rate": sample_rate, "mode": mode}
    used = {path for each in lines.values() for line in each for path in line.paths}
    inputs = [*files.values(), *sorted({data / path.relative_to(data).parts[0] for path in used})]
    write_once(folder, write, inputs=inputs, arguments=arguments)
    return Path(folder)


def read_mixture_list(path: Path, data_folder: Path, n_sources: int) -> list[MixtureLine]:
    """The lines of a list: `n_sources` times a path below `data_folder` and a gain in dB.

    Raises:
        UserError: no such list, nothing in it, or, with file and line, a line that is none
    """
    if not path.is_file():
        expected = f"mix_{n_sources}_spk_tr.txt, _cv.txt and _tt.txt"
        raise UserError(f"there is no list {path}", expected=expected, key="lists_folder")
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [
        _parse_line(line.split(), data_folder, n_sources, Place(str(path), number))
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    if not lines:
        raise UserError(f"the list {path} is empty", expected="a mixture a line", key="lists_folder")
    return lines


def mix_speech(
    signals: Sequence[np.ndarray], gains_db: Sequence[float], sample_rate: int, mode: str = "min"
) -> tuple[np.ndarray, np.ndarray]:
    """Bring signals (N_s,) to gains relative to each other and add them.

    Returns:
        The mixture (N,) and its sources (S, N), scaled together to a peak of 0.9; N is the least length, or
        the greatest with `mode` max. The active levels before cutting differ as the gains do.

    Raises:
        ValueError: a signal is silent: it has no level

    >>> mixture, sources = mix_speech([np.full(8000, 0.1), np.full(4000, 0.2)], [0.0, -20.0], 8000)
    >>> mixture.shape, bool(np.allclose(sources.sum(0), mixture)), round(float(abs(mixture).max()), 3)
    ((4000,), True, 0.9)
    """
    levels = [active_speech_level(x, sample_rate) for x in signals]
    if -math.inf in levels:
        raise ValueError(f"signal {levels.index(-math.inf)} is silent")
    lengths = [len(x) for x in signals]
    n_samples = min(lengths) if mode == "min" else max(lengths)
    sources = np.zeros((len(signals), n_samples))
    for row, x, level, gain in zip(sources, signals, levels, gains_db, strict=True):
        row[: len(x)] = x[:n_samples] * 10 ** ((gain - level) / 20)
    mixture = sources.sum(0)
    peak = max(np.abs(mixture).max(), np.abs(sources).max())
    scale = PEAK / peak if peak > 0 else 1.0
    return mixture * scale, sources * scale


def _parse_line(words: list[str], data_folder: Path, n_sources: int, place: Place) -> MixtureLine:
    expected = f"{n_sources} times a path and a gain in dB"
    if len(words) != 2 * n_sources:
        raise UserError(f"{len(words)} words", expected=expected, place=place)
    gains = []
    for word in words[1::2]:
        try:
            gains.append(float(word))
        except ValueError:
            gains.append(math.nan)
        if not math.isfinite(gains[-1]):
            raise UserError(f"the gain {word!r}", expected=expected, place=place)
    return MixtureLine(tuple(_find_file(data_folder, word) for word in words[::2]), tuple(gains), place)


def _find_file(data_folder: Path, name: str) -> Path:
    """The file, or one of the same name kept in another format."""
    path = data_folder / name.lstrip("/")
    others = (path.with_suffix(suffix) for suffix in SUFFIXES)
    return next((each for each in (path, *others) if each.is_file()), path)


def _check_files(lines: Sequence[MixtureLine], data_folder: Path) -> None:
    missing = [(line, path) for line in lines for path in line.paths if not path.is_file()]
    if missing:
        line, path = missing[0]
        others = len({path for _, path in missing}) - 1
        found = f"there is no file {path}" + (f", nor are {others} others" if others else "")
        inside = data_folder.parent / path.relative_to(data_folder)
        do = f"did you mean the data_folder {data_folder.parent}?" if inside.is_file() else ""
        raise UserError(found, expected="paths below data_folder", do=do, place=line.place)
    places: dict[tuple[str, str], Place] = {}
    for line in lines:
        first = places.setdefault((line.place.file, line.name), line.place)
        if first != line.place:
            raise UserError(f"the mixture {line.name} again", expected=f"once, at {first}", place=line.place)


def _write_subset(lines: Sequence[MixtureLine], folder: Path, sample_rate: int, mode: str) -> None:
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        write = partial(_write_mixture, folder=folder, sample_rate=sample_rate, mode=mode)
        list(pool.map(write, lines))


def mixture_name(utterances: Sequence[str], gains_db: Sequence[float]) -> str:
    """A mixture's name in WSJ0-2mix.

    >>> mixture_name(["011a0101", "01ta010b"], [1.60000001, -1.6])
    '011a0101_1.6_01ta010b_-1.6'
    """
    pairs = zip(utterances, gains_db, strict=True)
    return "_".join(f"{utterance}_{gain + 0.0:.5g}" for utterance, gain in pairs)


def _write_mixture(line: MixtureLine, folder: Path, sample_rate: int, mode: str) -> None:
    signals = [_read(path, sample_rate, line.place) for path in line.paths]
    try:
        mixture, sources = mix_speech(signals, line.gains_db, sample_rate, mode)
    except ValueError as error:
        silent = next(path for path, x in zip(line.paths, signals, strict=True) if not np.any(x))
        raise UserError(f"{silent} is silent", expected="speech", place=line.place) from error
    write_mixture(folder, line.name, mixture, sources, sample_rate)


def write_mixture(
    folder: Path, name: str, mixture: np.ndarray, sources: np.ndarray, sample_rate: int
) -> None:
    """Write a mixture (N,) and its sources (S, N) to `folder/{mix,s1,s2,...}/<name>.wav`, in 16 bits."""
    for signal, x in zip(signal_names(len(sources)), [mixture, *sources], strict=True):
        (folder / signal).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / signal / f"{name}.wav", x, sample_rate, subtype="PCM_16")


def signal_names(n_sources: int) -> list[str]:
    """The folders of a mixture.

    >>> signal_names(2)
    ['mix', 's1', 's2']
    """
    return ["mix", *(f"s{number + 1}" for number in range(n_sources))]


def _read(path: Path, sample_rate: int, place: Place) -> np.ndarray:
    """(N,) float64 at `sample_rate`: the mean of the channels."""
    try:
        with soundfile.SoundFile(path) as file:
            x, rate = read_samples(file, 0, file.frames, "float64").mean(axis=1), file.samplerate
    except (soundfile.SoundFileError, OSError) as error:
        raise UserError(f"{path} cannot be read as audio", place=place) from error
    if not len(x) or not np.isfinite(x).all():
        raise UserError(
            f"{path} has {'no samples' if not len(x) else 'samples that are not finite'}", place=place
        )
    return resample(torch.from_numpy(x), rate, sample_rate).numpy()
