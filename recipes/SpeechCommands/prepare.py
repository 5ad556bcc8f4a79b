"""Manifests of Speech Commands v0.01 or v0.02, or of a subset in its layout, as .wav or .flac.

The official lists say which clips validate and test; the rest trains.
"""

import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import soundfile
from lhotse import AudioSource, Recording, SupervisionSegment
from lhotse.cut import Cut

from speechkit.data import write_cuts
from speechkit.errors import Place, UserError, suggest

LISTS = {"valid": "validation_list.txt", "test": "testing_list.txt"}
NOISE = "_background_noise_"
VOCABULARY = frozenset(
    """backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine no
    off on one right seven sheila six stop three tree two up visual wow yes zero""".split()  # noqa: SIM905
)
MANIFESTS = ("train", "valid", "test", "noise")
DONE = "prepare.json"
SUFFIXES = (".wav", ".flac")  # in capitals too
LINE = "yes/0a7c2a8d_nohash_0.wav"
ONE_SECOND = (16000, 16000, 1)
EXPECTED = "folders of words with <speaker>_nohash_<n>.wav or .flac, validation_list.txt and testing_list.txt"
log = logging.getLogger(__name__)


def prepare(data_folder: str, manifest_folder: str, *, labels: list[str]) -> None:
    """Write {train,valid,test,noise}.jsonl with the clips of the words in `labels`.

    Done again only if the data or the arguments have changed. A clip that cannot be read is in its manifest
    all the same, as one second: `unreadable` of `CutBatches` decides about it. Noise that cannot be read is
    left out.
    """
    data, manifests = Path(data_folder).expanduser().resolve(), Path(manifest_folder)
    _check(data, labels)
    folders = [*labels, NOISE]
    done = {"schema": 2, "data_folder": str(data), "labels": labels, "inputs": _inputs(data, folders)}
    if _is_done(manifests, done):
        return
    clips = {_id(path): path for word in labels for path in _audio(data / word, "*_nohash_*")}
    subset_of = _read_lists(data, set(labels), clips)
    cuts: dict[str, list[Cut]] = {name: [] for name in MANIFESTS}
    for path, info in _infos(list(clips.values())):
        cut = _cut(path, info or ONE_SECOND)
        speaker, word = path.name.split("_nohash_")[0], path.parent.name
        segment = SupervisionSegment(cut.id, cut.id, 0, cut.duration, text=word, speaker=speaker)
        cut.supervisions.append(segment)
        cuts[subset_of.get(cut.id, "train")].append(cut)
    cuts["noise"] = [_cut(path, info) for path, info in _infos(_audio(data / NOISE, "*")) if info]
    for name in ("train", "valid", "test"):
        if not cuts[name]:
            words = ", ".join(labels)
            raise UserError(f"no clips for {name} of {words} in {data}", expected=EXPECTED)
    (manifests / DONE).unlink(missing_ok=True)
    for name in MANIFESTS:
        write_cuts(cuts[name], manifests / f"{name}.jsonl")
    (manifests / DONE).write_text(json.dumps(done) + "\n")


def _check(data: Path, labels: list[str]) -> None:
    if not data.is_dir() or not any(data.iterdir()):
        found = f"data_folder {data} is empty" if data.is_dir() else f"there is no data_folder {data}"
        raise UserError(found, expected=EXPECTED, do="download Speech Commands and unpack it there")
    missing = [name for name in LISTS.values() if not (data / name).is_file()]
    if missing:
        inside = [folder for folder in data.iterdir() if (folder / missing[0]).is_file()]
        do = f"did you mean {inside[0]}?" if inside else ""
        raise UserError(f"{data} is not Speech Commands: it lacks {missing[0]}", expected=EXPECTED, do=do)
    words = _words(data)
    for label in labels:
        if label not in words:
            meant = suggest(str(label), words)
            expected = f"some of {', '.join(words)}"
            raise UserError(f"no word {label!r} in {data}{meant}", expected=expected, key="labels")
    if not labels or len(set(labels)) < len(labels):
        raise UserError("no labels, or one twice", expected="the words to tell apart", key="labels")


def _words(data: Path) -> list[str]:
    return sorted(folder.name for folder in data.iterdir() if folder.is_dir() and folder.name != NOISE)


def _inputs(data: Path, folders: list[str]) -> dict[str, list[int]]:
    """How many files each folder and list has, of how many bytes, and when the newest changed (ns)."""
    found = {}
    for name in (*LISTS.values(), *folders):
        # A folder's own time changes when a file comes, goes or gets another name.
        stats = [os.stat(data / name)] if (data / name).exists() else []
        if name in folders and stats:
            with os.scandir(data / name) as files:
                stats += [file.stat(follow_symlinks=file.is_file()) for file in files]
        newest = max((stat.st_mtime_ns for stat in stats), default=0)
        found[name] = [len(stats), sum(stat.st_size for stat in stats), newest]
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


def _read_lists(data: Path, labels: set[str], clips: dict[str, Path]) -> dict[str, str]:
    """Cut id -> subset. The lists may name .wav where the files are .flac."""
    place_of: dict[str, Place] = {}
    subset_of: dict[str, str] = {}
    words = _words(data)
    for subset, name in LISTS.items():
        absent = []
        for place, line in _lines(data / name):
            _check_line(line, place, words)
            cut_id = line.rsplit(".", 1)[0]
            if subset_of.setdefault(cut_id, subset) != subset:
                both = f"{cut_id} is in both lists, here and at {place_of[cut_id]}"
                raise UserError(both, expected="a clip in one list", place=place)
            place_of[cut_id] = place
            if line.split("/")[0] in labels and cut_id not in clips:
                absent.append(cut_id)
        if absent:
            log.warning(
                "%s names %d clips that are not there, such as %s", data / name, len(absent), absent[0]
            )
    return subset_of


def _lines(path: Path) -> Iterator[tuple[Place, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}", expected=f"lines such as {LINE}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield Place(str(path), number), line.strip()


def _check_line(line: str, place: Place, words: list[str]) -> None:
    """A line that names no clip would leave the clip it means to training."""
    word = line.split("/")[0]
    if "\\" in line or "/" not in line:
        raise UserError(f"no clip: {line!r}", expected=f"lines such as {LINE}", place=place)
    if word not in words and word not in VOCABULARY:  # a folder of the data set may have been left out
        found = f"no folder {word!r} in {Path(place.file).parent}{suggest(word, words)}"
        raise UserError(found, do="mend or remove the line", place=place)


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
