"""From a corpus in its own layout to manifests: audio found and looked at, cuts made, all of it once."""

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile
from lhotse import AudioSource, Recording, SupervisionSegment
from lhotse.cut import Cut

from speechkit.data.manifest import write_cuts
from speechkit.errors import UserError, suggest

# What soundfile reads; in capitals too.
SUFFIXES = (".aif", ".aiff", ".flac", ".mp3", ".ogg", ".opus", ".sph", ".wav")
DONE = "prepare.json"
ONE_SECOND = (16000, 16000, 1)
N_NAMED = 5  # files named in a message about many
log = logging.getLogger(__name__)
Info = tuple[int, int, int]  # samples, Hz, channels


@dataclass(frozen=True)
class Clip:
    """A file of audio, and what its corpus says of it; None where it says nothing.

    `group` is what records are told apart by in a report: a recording of which several clips were cut, say.
    """

    path: Path
    id: str
    label: str | None = None
    speaker: str | None = None
    group: str | None = None


def prepare_once(
    manifest_folder: str | os.PathLike[str],
    make: Callable[[], Mapping[str, Sequence[Clip]]],
    *,
    inputs: Iterable[Path],
    arguments: Mapping[str, Any],
) -> None:
    """Write `<subset>.jsonl` for each subset that `make` returns, unless they stand there from a call before.

    They are written again when a file comes, goes or changes in `inputs` (folders with all below them, and
    files), when `arguments` (plain values) change, or when a manifest is missing. A call that was interrupted
    is not taken for done.

    Raises:
        UserError: a subset without clips, two clips of one id
    """

    def write(folder: Path) -> list[str]:
        subsets = make()
        for name, clips in subsets.items():
            if not clips:
                expected = "one at least for each of " + ", ".join(subsets)
                raise UserError(f"no clips for {name}", expected=expected)
        _check_ids([clip for clips in subsets.values() for clip in clips])
        for name, clips in subsets.items():
            write_cuts(make_cuts(clips), folder / f"{name}.jsonl")
        return [f"{name}.jsonl" for name in subsets]

    write_once(manifest_folder, write, inputs=inputs, arguments=arguments)


def write_once(
    folder: str | os.PathLike[str],
    write: Callable[[Path], Sequence[str]],
    *,
    inputs: Iterable[Path],
    arguments: Mapping[str, Any],
) -> None:
    """Call `write(folder)`, which makes the folder and its files and returns their names, as seldom as
    `prepare_once` does."""
    folder = Path(folder)
    done: dict[str, Any] = {
        "schema": 2,
        "arguments": dict(arguments),
        "inputs": {str(path.resolve()): _stamp(path) for path in inputs},
    }
    if _is_done(folder, done):
        return
    (folder / DONE).unlink(missing_ok=True)
    done["files"] = list(write(folder))
    (folder / DONE).write_text(json.dumps(done) + "\n")


def find_folder(data_folder: str | os.PathLike[str], *needed: str, expected: str) -> Path:
    """The folder of a corpus, absolute; `needed` names files and folders that it has.

    Raises:
        UserError: no such folder, or it lacks something; a folder within it that has it all is suggested
    """
    folder = Path(data_folder).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}", expected=expected, key="data_folder")
    missing = [name for name in needed if not (folder / name).exists()]
    if missing or not any(folder.iterdir()):
        inside = [each for each in sorted(folder.iterdir()) if (each / (missing or ["?"])[0]).exists()]
        found = f"{folder} lacks {missing[0]}" if missing else f"{folder} is empty"
        do = f"did you mean {inside[0]}?" if inside else ""
        raise UserError(found, expected=expected, do=do, key="data_folder")
    return folder


def find_audio(folder: Path) -> list[Path]:
    """Files of audio anywhere below a folder, by their suffixes, sorted; hidden ones left out."""
    found = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            found.append(path)
    return sorted(found)


def match_names(paths: Iterable[Path], pattern: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Each path with the named groups of `pattern`, which its stem must be; others are told and left out.

    >>> list(match_names([Path("a/7_theo_3.wav")], r"(?P<digit>[0-9])_(?P<speaker>[a-z]+)_(?P<take>[0-9]+)"))
    [(PosixPath('a/7_theo_3.wav'), {'digit': '7', 'speaker': 'theo', 'take': '3'})]
    """
    others = []
    for path in paths:
        match = re.fullmatch(pattern, path.stem)
        if match:
            yield path, match.groupdict()
        else:
            others.append(path)
    if others:
        log.warning("%d files have names of another form and are left out: %s", len(others), _name(others))


def check_labels(labels: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse labels that a corpus does not have.

    Raises:
        UserError: under the key `labels`, with the label that may be meant
    """
    known = sorted(set(known))
    for label in labels:
        if label not in known:
            found = f"no label {label!r} in {where}{suggest(str(label), known)}"
            raise UserError(found, expected=f"some of {', '.join(known)}", key="labels")


def make_cuts(clips: Sequence[Clip]) -> list[Cut]:
    """Cuts of clips. One that cannot be read is told, and taken for a second of 16 kHz, so that the setting
    `unreadable` of `CutBatches` decides about it."""
    cuts = []
    for clip, info in zip(clips, read_infos([clip.path for clip in clips]), strict=True):
        cut = make_cut(clip, info or ONE_SECOND)
        if clip.label is not None:
            segment = SupervisionSegment(cut.id, cut.id, 0, cut.duration, text=clip.label)
            segment.speaker = clip.speaker
            segment.custom = None if clip.group is None else {"group": clip.group}
            cut.supervisions.append(segment)
        cuts.append(cut)
    return cuts


def read_infos(paths: Sequence[Path]) -> list[Info | None]:
    """Samples, Hz and channels of each file; None, and a warning with names, where there is no audio."""
    with ThreadPoolExecutor(8) as pool:
        infos = list(pool.map(_info, paths))
    unreadable = [path for path, info in zip(paths, infos, strict=True) if info is None]
    if unreadable:
        log.warning("%d files cannot be read as audio: %s", len(unreadable), _name(unreadable))
    return infos


def _info(path: Path) -> Info | None:
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, OSError):
        return None
    return (info.frames, info.samplerate, info.channels) if info.frames else None


def make_cut(clip: Clip, info: Info) -> Cut:
    n_samples, rate, n_channels = info
    recording = Recording(
        id=clip.id,
        sources=[AudioSource("file", list(range(n_channels)), str(clip.path))],
        sampling_rate=rate,
        num_samples=n_samples,
        duration=n_samples / rate,
    )
    cut = recording.to_cut()
    cut.id = recording.id
    return cut


def _name(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths[:N_NAMED])) + (", ..." if len(paths) > N_NAMED else "")


def _check_ids(clips: Iterable[Clip]) -> None:
    paths: dict[str, Path] = {}
    for clip in clips:
        if paths.setdefault(clip.id, clip.path) != clip.path:
            found = f"two files of one clip, {clip.id}: {paths[clip.id]} and {clip.path}"
            raise UserError(found, do="remove or rename one of them")


def _stamp(path: Path) -> list[int]:
    """How many files and folders there are, of how many bytes, and when the newest changed (ns)."""
    # A folder's own time changes when a file comes, goes or gets another name.
    stats = [os.stat(path)]
    for folder, _, files in os.walk(path):
        stats += [os.stat(folder), *(os.lstat(os.path.join(folder, name)) for name in files)]
    return [len(stats), sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)]


def _is_done(folder: Path, done: dict[str, Any]) -> bool:
    try:
        before = json.loads((folder / DONE).read_text())
        files = before.pop("files")
    except (OSError, ValueError, KeyError, AttributeError):
        return False
    # As JSON gives it back: tuples become lists.
    same = before == json.loads(json.dumps(done))
    return same and all((folder / name).is_file() for name in files)
