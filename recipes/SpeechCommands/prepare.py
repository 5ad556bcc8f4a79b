"""Manifests of Speech Commands v0.01 or v0.02, or of a subset in its layout, as .wav or .flac.

The official lists say which clips validate and test, and the rest trains; or clips are split at random.
"""

import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import soundfile
from lhotse import AudioSource, Recording, SupervisionSegment
from lhotse.cut import Cut
from lhotse.recipes.speechcommands import download_speechcommands

from speechkit.data import (
    SILENCE,
    SPEECH_COMMANDS_LISTS,
    UNKNOWN,
    cut_silence,
    draw_unknown,
    part_of_noise,
    random_subset,
    read_speech_commands_lists,
    run_download,
    speech_commands_labels,
    write_cuts,
)
from speechkit.errors import UserError, suggest

NOISE = "_background_noise_"
MADE = (UNKNOWN, SILENCE)  # labels that no folder of words has
SUBSETS = ("train", "valid", "test")
MANIFESTS = (*SUBSETS, "noise")
DONE = "prepare.json"
SUFFIXES = (".wav", ".flac")  # in capitals too
ONE_SECOND = (16000, 16000, 1)
EXPECTED = "folders of words with <speaker>_nohash_<n>.wav or .flac, validation_list.txt and testing_list.txt"
log = logging.getLogger(__name__)


def prepare(
    data_folder: str,
    manifest_folder: str,
    *,
    labels: list[str],
    split: str = "official",
    data_seed: int = 0,
    download: bool = False,
) -> None:
    """Write {train,valid,test,noise}.jsonl with the clips of the words in `labels`.

    `_unknown_` among the labels stands for all other words: in each subset as many of their clips as a word
    of `labels` has in the mean, drawn by `data_seed`. `_silence_` is as many seconds of background noise. Of
    both the official archive of the test has its own; it is taken where it lies in `data_folder` or beside.
    `split`: `official` by the lists of the data set, speakers apart; `random` gives 60, 20 and 20% of the
    clips by `data_seed`, with speakers in common. `download` fetches the data set where there is none yet.

    Done again only if the data or the arguments have changed. A clip that cannot be read is in its manifest
    all the same, as one second: `unreadable` of `CutBatches` decides about it. Noise that cannot be read is
    left out.
    """
    manifests = Path(manifest_folder)
    data = _locate(Path(data_folder).expanduser().resolve(), labels, download)
    _check(data, labels, split)
    wanted = Wanted(data, tuple(labels), split, data_seed)
    done = {
        "schema": 3, "data_folder": str(data), "labels": labels, "split": split, "data_seed": data_seed,
        "inputs": _inputs(wanted.sources()),
    }  # fmt: skip
    if _is_done(manifests, done):
        return
    cuts = _make_cuts(wanted)
    (manifests / DONE).unlink(missing_ok=True)
    for name in MANIFESTS:
        write_cuts(cuts[name], manifests / f"{name}.jsonl")
    (manifests / DONE).write_text(json.dumps(done) + "\n")


@dataclass(frozen=True)
class Wanted:
    """What is to be made of which folder."""

    data: Path
    labels: tuple[str, ...]
    split: str
    seed: int

    @property
    def words(self) -> list[str]:
        return [label for label in self.labels if label not in MADE]

    @property
    def others(self) -> list[str]:
        """The words that `_unknown_` stands for."""
        return (
            [word for word in _words(self.data) if word not in self.words] if UNKNOWN in self.labels else []
        )

    @property
    def made(self) -> list[str]:
        """The labels that no folder of words has."""
        return [label for label in MADE if label in self.labels]

    def official(self, label: str) -> Path | None:
        """The folder with the test's `_unknown_` or `_silence_`, as the official archive has it."""
        beside = self.data.parent / self.data.name.replace("speech_commands_", "speech_commands_test_set_")
        folders = (self.data / label, beside / label) if self.split == "official" else ()
        return next((folder for folder in folders if folder.is_dir()), None)

    def sources(self) -> list[Path]:
        """All that the manifests are made from."""
        names = (*SPEECH_COMMANDS_LISTS.values(), *self.words, *self.others, NOISE)
        extra = [self.official(label) for label in self.made]
        return [self.data / name for name in names] + [folder for folder in extra if folder]


def _make_cuts(wanted: Wanted) -> dict[str, list[Cut]]:
    folders = [wanted.data / word for word in (*wanted.words, *wanted.others)]
    clips = {_id(path): path for folder in folders for path in _audio(folder, "*_nohash_*")}
    if wanted.split == "random":
        subset_of = {clip: random_subset(clip, wanted.seed) for clip in clips}
    else:
        subset_of = read_speech_commands_lists(
            wanted.data, _words(wanted.data), [folder.name for folder in folders], set(clips)
        )
    noises = [_cut(path, info) for path, info in _infos(_audio(wanted.data / NOISE, "*")) if info]
    cuts: dict[str, list[Cut]] = {}
    for subset in SUBSETS:
        here = [path for clip, path in clips.items() if subset_of.get(clip, "train") == subset]
        known = [path for path in here if path.parent.name in wanted.words]
        if not known:
            words = ", ".join(wanted.words)
            raise UserError(f"no clips for {subset} of {words} in {wanted.data}", expected=EXPECTED)
        n_a_word = ceil(len(known) / len(wanted.words))
        cuts[subset] = _labelled(known)
        for label in wanted.made:
            official = wanted.official(label) if subset == "test" else None
            if official is not None:
                cuts[subset] += _labelled(_audio(official, "*"), label)
            elif label == UNKNOWN:
                cuts[subset] += _unknown(here, wanted, n_a_word, subset)
            else:
                cuts[subset] += cut_silence(noises, subset, n_a_word, wanted.seed)
    # What validation and test have as silence is not mixed into clips of training.
    cuts["noise"] = [part_of_noise(each, "train") for each in noises] if SILENCE in wanted.labels else noises
    return cuts


def _labelled(paths: list[Path], label: str = "") -> list[Cut]:
    """Cuts of clips, with their word or a given label as text."""
    cuts = []
    for path, info in _infos(paths):
        cut = _cut(path, info or ONE_SECOND)
        # In the official archive `_unknown_` has the word before the speaker; `_silence_` has no speaker.
        speaker = path.stem
        if "_nohash_" in path.stem:
            speaker = path.stem.split("_nohash_")[0].rpartition("_")[2]
        text = label or path.parent.name
        cut.supervisions.append(
            SupervisionSegment(cut.id, cut.id, 0, cut.duration, text=text, speaker=speaker)
        )
        cuts.append(cut)
    return cuts


def _unknown(here: list[Path], wanted: Wanted, n: int, subset: str) -> list[Cut]:
    others = {_id(path): path for path in here if path.parent.name not in wanted.words}
    drawn = draw_unknown(others, n, wanted.seed)
    if len(drawn) < n:
        log.warning("%s: %d clips of other words for %s, where %d are wanted", subset, len(drawn), UNKNOWN, n)
    return _labelled([others[clip] for clip in drawn], UNKNOWN)


def _locate(data: Path, labels: list[str], download: bool) -> Path:
    """The folder of words: `data` itself, or where Lhotse's downloader puts it below."""
    version = "1" if set(labels) == set(speech_commands_labels(30)) else "2"
    part = f"speech_commands_v0.0{version}"
    below = data / f"SpeechCommands{version}" / part
    is_there = data.is_dir() and any(path.name != below.parent.name for path in data.iterdir())
    if is_there or (not download and not below.is_dir()):
        return data
    if download:
        names = (part, part.replace("commands_", "commands_test_set_"))
        urls = [f"http://download.tensorflow.org/data/{name}.tar.gz" for name in names]
        run_download(lambda: download_speechcommands(version, data), "Speech Commands", urls, data)
    return below


def _check(data: Path, labels: list[str], split: str) -> None:
    if split not in ("official", "random"):
        raise UserError(f"split is {split!r}", expected="official or random", key="split")
    if not data.is_dir() or not any(data.iterdir()):
        found = f"data_folder {data} is empty" if data.is_dir() else f"there is no data_folder {data}"
        do = "give --download, or unpack Speech Commands there"
        raise UserError(found, expected=EXPECTED, do=do, key="data_folder")
    missing = [name for name in SPEECH_COMMANDS_LISTS.values() if not (data / name).is_file()]
    if missing and (split == "official" or not _words(data)):
        inside = [folder for folder in data.iterdir() if (folder / missing[0]).is_file()]
        do = f"did you mean {inside[0]}?" if inside else ""
        raise UserError(f"{data} is not Speech Commands: it lacks {missing[0]}", expected=EXPECTED, do=do)
    _check_labels(data, [label for label in labels if label not in MADE])
    if len(set(labels)) < len(labels):
        raise UserError("no labels, or one twice", expected="the words to tell apart", key="labels")


def _check_labels(data: Path, labels: list[str]) -> None:
    words = _words(data)
    absent = [label for label in labels if label not in words]
    if absent:
        named = f"word {absent[0]!r}" if len(absent) == 1 else f"words {', '.join(map(str, absent))}"
        meant = suggest(str(absent[0]), words) if len(absent) == 1 else ""
        expected = f"some of {', '.join(words)}"
        raise UserError(f"no {named} in {data}{meant}", expected=expected, key="labels")
    if not labels:
        raise UserError("no labels, or one twice", expected="the words to tell apart", key="labels")


def _words(data: Path) -> list[str]:
    return sorted(folder.name for folder in data.iterdir() if folder.is_dir() and folder.name[0] not in "_.")


def _inputs(sources: list[Path]) -> dict[str, list[int]]:
    """How many files each folder and list has, of how many bytes, and when the newest changed (ns)."""
    found = {}
    for path in sources:
        # A folder's own time changes when a file comes, goes or gets another name.
        stats = [os.stat(path)] if path.exists() else []
        if path.is_dir():
            with os.scandir(path) as files:
                stats += [file.stat(follow_symlinks=file.is_file()) for file in files]
        newest = max((stat.st_mtime_ns for stat in stats), default=0)
        found[str(path)] = [len(stats), sum(stat.st_size for stat in stats), newest]
    return found


def _is_done(manifests: Path, done: dict) -> bool:
    try:
        same = json.loads((manifests / DONE).read_text()) == done
    except (OSError, ValueError):
        return False
    return same and all((manifests / f"{name}.jsonl").is_file() for name in MANIFESTS)


def _id(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def _audio(folder: Path, pattern: str) -> list[Path]:
    """Sorted by name; of a clip there may be one file only."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(pattern)):
        if path.suffix.lower() in SUFFIXES and found.setdefault(_id(path), path) != path:
            both = f"{found[_id(path)]} and {path}"
            raise UserError(f"two files of one clip: {both}", do="remove one of them")
    return list(found.values())


def _infos(paths: list[Path]) -> list[tuple[Path, tuple[int, int, int] | None]]:
    """Samples, Hz and channels of each; None where there is no audio to read."""
    with ThreadPoolExecutor(8) as pool:
        infos = list(pool.map(_info, paths))
    unreadable = [path for path, info in zip(paths, infos, strict=True) if info is None]
    if unreadable:
        names = ", ".join(map(str, unreadable[:5])) + (", ..." if len(unreadable) > 5 else "")
        log.warning("%d files cannot be read as audio: %s", len(unreadable), names)
    return list(zip(paths, infos, strict=True))


def _info(path: Path) -> tuple[int, int, int] | None:
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, OSError):
        return None
    return (info.frames, info.samplerate, info.channels) if info.frames else None


def _cut(path: Path, info: tuple[int, int, int]) -> Cut:
    n_samples, rate, n_channels = info
    recording = Recording(
        id=_id(path),
        sources=[AudioSource("file", list(range(n_channels)), str(path))],
        sampling_rate=rate,
        num_samples=n_samples,
        duration=n_samples / rate,
    )
    cut = recording.to_cut()
    cut.id = recording.id
    return cut
