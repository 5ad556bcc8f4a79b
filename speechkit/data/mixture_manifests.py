"""Manifests of mixtures and of their single speakers, from corpora kept as a folder for each signal."""

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lhotse import SupervisionSegment
from lhotse.cut import Cut

from speechkit.data.corpus import (
    N_NAMED,
    ONE_SECOND,
    Clip,
    Info,
    find_audio,
    make_cut,
    make_cuts,
    read_infos,
    write_once,
)
from speechkit.data.manifest import write_cuts
from speechkit.data.mixture_names import find_gender_tables, find_speaker, read_genders, split_mixture_name
from speechkit.data.single_speakers import read_speech
from speechkit.errors import UserError, suggest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MixtureFiles:
    """A mixture and its sources, of one length and rate, and the utterances that these are, where known."""

    id: str
    mixture: Path
    sources: tuple[Path, ...]
    utterances: tuple[str | None, ...] = ()

    @property
    def speakers(self) -> list[str | None]:
        """Who speaks in each source, by the names of the utterances."""
        return [find_speaker(utterance) for utterance in self.utterances or [None] * len(self.sources)]


def find_mixtures(
    folder: Path, mixture: str = "mix", sources: Sequence[str] = ("s1", "s2"), n_speakers: int | None = 2
) -> list[MixtureFiles]:
    """The mixtures of `folder/<mixture>`, with the files of the same names in `folder/<source>`.

    The names are WSJ0-2mix's or LibriMix's, of `n_speakers` utterances (see `split_mixture_name`); the number
    in a source's folder (`s1`, `s2_anechoic`) says which of them it is.

    Raises:
        UserError: a folder or files of sources are missing; no audio
    """
    _check_signals(folder, [mixture, *sources])
    paths = find_audio(folder / mixture)
    if not paths:
        raise UserError(f"no audio in {folder / mixture}", key="data_folder")
    found, missing = [], []
    for path in paths:
        columns = tuple(folder / source / path.relative_to(folder / mixture) for source in sources)
        missing += [each for each in columns if not each.is_file()]
        names = split_mixture_name(path.stem, n_speakers)
        which = [_speaker_number(source) for source in sources]
        utterances = tuple(names[n] if n is not None and n < len(names) else None for n in which)
        found.append(MixtureFiles(path.stem, path, columns, utterances))
    _refuse(missing, "sources are missing", "a file of the mixture's name in the folder of each source")
    return found


def find_layout(data_folder: Path, sample_rate: int, mode: str, *below: str) -> Path:
    """The folder `wav8k/min` of a corpus, for its rate and `mode`, right in it or in one of `below`.

    Raises:
        UserError: there is none; those that are there are named
    """
    part = f"wav{sample_rate // 1000}k/{mode}"
    bases = [data_folder, *(data_folder / name for name in below)]
    for base in bases:
        if (base / part).is_dir():
            return base / part
    there = [str(path.relative_to(data_folder)) for base in bases for path in sorted(base.glob("wav*k/m??"))]
    found = f"{data_folder} lacks {part}" + (f", and has {', '.join(there)}" if there else "")
    expected = "the folder of the corpus, with a folder wav8k or wav16k, and min or max in that"
    raise UserError(found, expected=expected, key="data_folder")


def prepare_layout(
    manifest_folder: str | os.PathLike[str],
    folders: Mapping[str, Path],
    *,
    mixture: str = "mix",
    sources: Sequence[str] = ("s1", "s2"),
    n_speakers: int | None = 2,
    speech: str | Sequence[str] = (),
    tables_from: Iterable[Path] = (),
) -> None:
    """`prepare_mixtures` of what `find_mixtures` finds in the folder of each subset."""
    for folder in folders.values():
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}", key="data_folder")

    def make() -> dict[str, list[MixtureFiles]]:
        return {name: find_mixtures(each, mixture, sources, n_speakers) for name, each in folders.items()}

    arguments: dict[str, Any] = {"mixture": mixture, "sources": list(sources), "n_speakers": n_speakers}
    arguments["folders"] = {name: str(folder) for name, folder in folders.items()}
    inputs = list(folders.values())
    prepare_mixtures(
        manifest_folder, make, inputs=inputs, arguments=arguments, speech=speech, tables_from=tables_from
    )


def prepare_mixtures(
    manifest_folder: str | os.PathLike[str],
    make: Callable[[], Mapping[str, Sequence[MixtureFiles]]],
    *,
    inputs: Iterable[Path],
    arguments: Mapping[str, Any],
    speech: str | Sequence[str] = (),
    tables_from: Iterable[Path] = (),
) -> None:
    """Write `<subset>.jsonl` for each subset that `make` returns, as seldom as `prepare_once` does.

    The first subset trains, the last one tests. A line of `<subset>.jsonl` is a cut of the mixture, with its
    sources as custom recordings `source1`, `source2`, ..., and a supervision for each: speaker and gender,
    where the names of files and the tables of speakers in the folders `tables_from` tell them.

    `singles.jsonl` is written besides, of single speakers: the speech in the folders `speech` (see
    `read_speech`), without the speakers and utterances of the other subsets (speakers of a middle subset who
    are in the first one too stay); else the sources of the first subset with known speakers, each utterance
    once. Where there are none it is not written.

    Raises:
        UserError: a mixture and its sources differ in length or rate; no folder of `speech`, or none of its
            speakers is left
    """
    folders = [
        Path(each).expanduser().resolve() for each in ([speech] if isinstance(speech, str) else speech)
    ]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}", key="speech")
    tables = find_gender_tables([*tables_from, *folders, *(folder.parent for folder in folders)])

    def write(folder: Path) -> list[str]:
        subsets = make()
        genders = read_genders(tables)
        singles = _choose_singles(subsets, folders)
        for name, each in subsets.items():
            write_cuts(_make_mixtures(each, genders), folder / f"{name}.jsonl")
        if singles:
            write_cuts(_make_singles(singles, genders), folder / "singles.jsonl")
        else:
            log.warning("no speakers are known: for dynamic mixing (singles.jsonl) name folders of `speech`")
        return [f"{name}.jsonl" for name in (*subsets, *["singles"] * bool(singles))]

    stamped = [*inputs, *folders, *tables]
    write_once(manifest_folder, write, inputs=stamped, arguments={"mixtures": 2, **arguments})


def _check_signals(folder: Path, names: Sequence[str]) -> None:
    there = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    for name in names:
        if name not in there:
            expected = f"some of {', '.join(there)}" if there else "a folder of each signal"
            raise UserError(f"{folder} lacks {name}{suggest(name, there)}", expected=expected)


def _speaker_number(source: str) -> int | None:
    match = re.match(r"s(\d+)(?![^\W_])", source)
    return int(match[1]) - 1 if match else None


def _refuse(paths: Sequence[Path], what: str, expected: str) -> None:
    if paths:
        named = ", ".join(map(str, paths[:N_NAMED])) + (", ..." if len(paths) > N_NAMED else "")
        raise UserError(f"{len(paths)} {what}: {named}", expected=expected, key="data_folder")


def _make_mixtures(files: Sequence[MixtureFiles], genders: Mapping[str, str]) -> list[Cut]:
    columns = zip(*([each.mixture, *each.sources] for each in files), strict=True)
    infos = list(zip(*(read_infos(list(column)) for column in columns), strict=True))
    pairs = list(zip(files, infos, strict=True))
    # What cannot be read is left to the reader of the batches, as everywhere.
    wrong = [each.mixture for each, info in pairs if len({i[:2] for i in info if i is not None}) > 1]
    _refuse(wrong, "mixtures differ from their sources", "the same length and rate")
    return [_make_mixture(each, info[0] or ONE_SECOND, genders) for each, info in pairs]


def _make_mixture(files: MixtureFiles, info: Info, genders: Mapping[str, str]) -> Cut:
    cut = make_cut(Clip(files.mixture, files.id), info)
    cut.custom = {}
    for number, (path, speaker) in enumerate(zip(files.sources, files.speakers, strict=True), start=1):
        name = f"{cut.id}-source{number}"
        cut.custom[f"source{number}"] = make_cut(Clip(path, name), info).recording
        _add_supervision(cut, name, speaker, genders)
    return cut


def _add_supervision(cut: Cut, name: str, speaker: str | None, genders: Mapping[str, str]) -> None:
    segment = SupervisionSegment(name, cut.id, 0, cut.duration, speaker=speaker)
    segment.gender = genders.get(speaker or "")
    cut.supervisions.append(segment)


def _choose_singles(subsets: Mapping[str, Sequence[MixtureFiles]], folders: Sequence[Path]) -> list[Clip]:
    if folders:
        return _leave_out_held_out(read_speech(folders), list(subsets.values()))
    first = next(iter(subsets.values()))
    found: dict[str, Clip] = {}
    for files in first:
        for path, name, speaker in zip(files.sources, files.utterances, files.speakers, strict=False):
            # Mixtures are cut to their shorter source: of an utterance the largest file has the most.
            if name and speaker and (name not in found or _size(path) > _size(found[name].path)):
                found[name] = Clip(path, name, speaker=speaker)
    return list(found.values())


def _size(path: Path) -> int:
    return path.stat().st_size


def _leave_out_held_out(clips: Sequence[Clip], subsets: Sequence[Sequence[MixtureFiles]]) -> list[Clip]:
    """Without the speakers and utterances of all subsets but the first."""
    first, *others = ({speaker for each in files for speaker in each.speakers} for files in subsets)
    held_out = set().union(*(each - first for each in others[:-1]), *others[-1:]) - {None}
    heard = {name for files in subsets[1:] for each in files for name in each.utterances}
    kept = [clip for clip in clips if clip.speaker not in held_out and clip.id not in heard]
    if not kept:
        found = f"none of {len(clips)} clips is of a speaker who is not held out"
        raise UserError(found, expected="speech of other speakers than those of the tests", key="speech")
    if len(kept) < len(clips):
        log.warning("%d of %d clips are held out, and left out", len(clips) - len(kept), len(clips))
    return kept


def _make_singles(clips: Sequence[Clip], genders: Mapping[str, str]) -> list[Cut]:
    cuts = make_cuts(clips)
    for cut, clip in zip(cuts, clips, strict=True):
        _add_supervision(cut, cut.id, clip.speaker, genders)
    return cuts
