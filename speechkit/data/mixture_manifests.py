"""Manifests of mixtures and of their single speakers, from corpora kept as a folder for each signal."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lhotse import Recording, SupervisionSegment
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
from speechkit.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MixtureFolder:
    """A subset: folders of one file each mixture, of the same name in all of them.

    `speakers` says which speaker of a file's name each source is, counted from 0; None: nobody alone.
    """

    folder: Path
    mixture: str
    sources: tuple[str, ...]
    speakers: tuple[int | None, ...]
    n_speakers: int


def prepare_mixtures(
    manifest_folder: str | os.PathLike[str],
    subsets: Mapping[str, MixtureFolder],
    *,
    speech: str | Sequence[str] = (),
    tables_from: Sequence[Path] = (),
) -> None:
    """Write `<subset>.jsonl` for each subset, and `singles.jsonl` of single speakers, unless they stand
    there.

    The first subset trains, the last one tests. A line of `<subset>.jsonl` is a cut of the mixture, with its
    sources as custom recordings `source1`, `source2`, ..., and a supervision for each: speaker and gender
    where the names of files and the tables of speakers in `tables_from` tell them. Singles are the speech
    in the folders `speech` (see `read_speech`), without the speakers and utterances of the other subsets
    (speakers of a middle subset that are in the first one too stay); else the sources of the first subset,
    each utterance once.

    Raises:
        UserError: a folder or a source is missing; a mixture and its sources differ in length or rate; no
            single speakers are left
    """
    folders = [
        Path(each).expanduser().resolve() for each in ([speech] if isinstance(speech, str) else speech)
    ]
    parts = {each.folder / name for each in subsets.values() for name in (each.mixture, *each.sources)}
    tables = find_gender_tables([*tables_from, *folders, *(folder.parent for folder in folders)])
    _check_folders(parts, "data_folder")
    _check_folders(folders, "speech")

    def write(folder: Path) -> list[str]:
        genders = read_genders(tables)
        cuts = {name: _make_mixtures(each, genders) for name, each in subsets.items()}
        first = subsets[next(iter(subsets))]
        if folders:
            singles = _leave_out_held_out(read_speech(folders), list(cuts.values()))
        else:
            singles = _sources_once(first, cuts[next(iter(subsets))])
        for name, each in cuts.items():
            write_cuts(each, folder / f"{name}.jsonl")
        write_cuts(_make_singles(singles, genders), folder / "singles.jsonl")
        return [f"{name}.jsonl" for name in (*subsets, "singles")]

    arguments = {"mixtures": 1, "subsets": {name: repr(each) for name, each in subsets.items()}}
    write_once(manifest_folder, write, inputs=[*sorted(parts), *folders, *tables], arguments=arguments)


def _check_folders(folders: Iterable[Path], key: str) -> None:
    for folder in sorted(folders):
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}", key=key)


def _make_mixtures(folder: MixtureFolder, genders: Mapping[str, str]) -> list[Cut]:
    names = [folder.mixture, *folder.sources]
    mixtures = find_audio(folder.folder / folder.mixture)
    if not mixtures:
        raise UserError(f"no audio in {folder.folder / folder.mixture}", key="data_folder")
    relative = [path.relative_to(folder.folder / folder.mixture) for path in mixtures]
    columns = [[folder.folder / name / path for path in relative] for name in names]
    missing = [path for column in columns for path in column if not path.is_file()]
    _refuse(missing, "sources are missing", "a file of the mixture's name in the folder of each source")
    infos = [read_infos(column) for column in columns]
    rows = list(zip(*columns, strict=True))
    info_rows = list(zip(*infos, strict=True))
    wrong = [row[0] for row, info in zip(rows, info_rows, strict=True) if not _fit(info)]
    _refuse(wrong, "mixtures differ from their sources", "the same length and rate")
    return [
        _make_mixture(row, info[0] or ONE_SECOND, folder, genders)
        for row, info in zip(rows, info_rows, strict=True)
    ]


def _refuse(paths: Sequence[Path], what: str, expected: str) -> None:
    if paths:
        named = ", ".join(map(str, paths[:N_NAMED])) + (", ..." if len(paths) > N_NAMED else "")
        raise UserError(f"{len(paths)} {what}: {named}", expected=expected, key="data_folder")


def _fit(infos: Sequence[Info | None]) -> bool:
    """Of one length and rate, as far as they can be read."""
    return len({info[:2] for info in infos if info is not None}) < 2


def _make_mixture(
    paths: Sequence[Path], info: Info, folder: MixtureFolder, genders: Mapping[str, str]
) -> Cut:
    cut = make_cut(Clip(paths[0], paths[0].stem), info)
    utterances = split_mixture_name(cut.id, folder.n_speakers)
    cut.custom = {}
    for number, path in enumerate(paths[1:], start=1):
        name = f"{cut.id}-source{number}"
        cut.custom[f"source{number}"] = _recording(Clip(path, name), info)
        which = folder.speakers[number - 1]
        speaker = None if which is None else find_speaker(utterances[which])
        segment = SupervisionSegment(name, cut.id, 0, cut.duration, speaker=speaker)
        segment.gender = genders.get(speaker or "")
        cut.supervisions.append(segment)
    return cut


def _recording(clip: Clip, info: Info) -> Recording:
    return make_cut(clip, info).recording


def _sources_once(folder: MixtureFolder, cuts: Sequence[Cut]) -> list[Clip]:
    """The sources of mixtures, of each utterance the longest."""
    found: dict[str, tuple[float, Clip]] = {}
    for cut in cuts:
        utterances = split_mixture_name(cut.id, folder.n_speakers)
        for number, which in enumerate(folder.speakers, start=1):
            recording = cut.custom[f"source{number}"]
            name = (None if which is None else utterances[which]) or recording.id
            speaker = cut.supervisions[number - 1].speaker
            clip = Clip(Path(recording.sources[0].source), name, speaker=speaker)
            if name not in found or found[name][0] < cut.duration:
                found[name] = (cut.duration, clip)
    return [clip for _, clip in found.values()]


def _leave_out_held_out(clips: Sequence[Clip], subsets: Sequence[Sequence[Cut]]) -> list[Clip]:
    """Without the speakers and utterances of all subsets but the first."""
    first, *middle, last = ({s.speaker for cut in cuts for s in cut.supervisions} for cuts in subsets)
    held_out = set(last).union(*(each - first for each in middle)) - {None}
    names = {cut.id for cuts in subsets[1:] for cut in cuts}
    heard = {utterance for name in names for utterance in _utterances(name)}
    kept = [clip for clip in clips if clip.speaker not in held_out and clip.id not in heard]
    if not kept:
        found = f"none of {len(clips)} clips is of a speaker who is not held out"
        raise UserError(found, expected="speech of other speakers than those of the tests", key="speech")
    if len(kept) < len(clips):
        log.warning(
            "%d of %d clips are of speakers held out, and left out", len(clips) - len(kept), len(clips)
        )
    return kept


def _utterances(name: str) -> list[str]:
    return [each for n in (1, 2, 3, 4, 5) for each in split_mixture_name(name, n) if each]


def _make_singles(clips: Sequence[Clip], genders: Mapping[str, str]) -> list[Cut]:
    cuts = make_cuts(clips)
    for cut, clip in zip(cuts, clips, strict=True):
        segment = SupervisionSegment(cut.id, cut.id, 0, cut.duration, speaker=clip.speaker)
        segment.gender = genders.get(clip.speaker or "")
        cut.supervisions.append(segment)
    return cuts
