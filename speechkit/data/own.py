"""Manifests of one's own clips: a folder for each label, or a table."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from speechkit.data.corpus import N_NAMED, Clip, check_labels, find_audio, find_folder, prepare_once
from speechkit.data.csv_table import Row, read_table
from speechkit.data.splitting import SHARES, split_clips, split_transcripts
from speechkit.errors import Place, UserError, UserErrors, suggest

SUBSETS = ("train", "valid", "test")
Split = Callable[[Sequence[Clip], Mapping[str, float]], dict[str, list[Clip]]]


def prepare_folder(
    data_folder: str | os.PathLike[str],
    manifest_folder: str | os.PathLike[str],
    *,
    labels: Sequence[str] | None = None,
    shares: Mapping[str, float] = SHARES,
    split_seed: int = 0,
) -> None:
    """Write {train,valid,test}.jsonl of `data_folder/<label>/...`: audio at any depth below its label.

    labels: those to take; by default all.
    shares, split_seed: how clips are shared out (`split_clips`).

    Raises:
        UserError: no such folder, an unknown label, too few clips of one, two files of one clip
    """
    expected = "a folder for each label, with audio in it"
    folder = find_folder(data_folder, expected=expected)
    found = {each.name: find_audio(each) for each in sorted(folder.iterdir()) if each.is_dir()}
    found = {label: paths for label, paths in found.items() if paths and not label.startswith(".")}
    if not found:
        raise UserError(f"no audio in folders of {folder}", expected=expected, key="data_folder")
    chosen = _choose(labels, found, str(folder))

    def make() -> dict[str, list[Clip]]:
        clips = [
            Clip(path, path.relative_to(folder).with_suffix("").as_posix(), label)
            for label in chosen
            for path in found[label]
        ]
        return split_clips(clips, shares, split_seed)

    arguments = {"labels": chosen, "shares": dict(shares), "split_seed": split_seed}
    prepare_once(manifest_folder, make, inputs=[folder / label for label in chosen], arguments=arguments)


def prepare_table(
    table: str | os.PathLike[str],
    manifest_folder: str | os.PathLike[str],
    *,
    labels: Sequence[str] | None = None,
    shares: Mapping[str, float] = SHARES,
    split_seed: int = 0,
) -> None:
    """Write {train,valid,test}.jsonl of a table: columns path, label and, if you have them, speaker, split.

    A table is a CSV or TSV, or a `.jsonl` of one object a row. Paths are relative to its folder, or absolute.
    With a column `split` (train, valid or test) it decides; where it names no valid, that is split off from
    train. Without it clips are shared out by `split_clips`: by speakers where there is that column.

    Raises:
        UserError: what `read_table` refuses; files that are not there, a path twice, an unknown subset or
            label, each with its line; too few clips or speakers
    """
    table = Path(table).expanduser().resolve()
    rows = read_table(table, ("path", "label"), ("speaker", "split"))
    chosen = set(_choose(labels, {row["label"] for _, row in rows}, str(table)))
    clips, subsets = _read_clips(table.parent, rows, "label")

    def make() -> dict[str, list[Clip]]:
        pairs = [pair for pair in zip(clips, subsets, strict=True) if pair[0].label in chosen]
        return _share_out(pairs, shares, lambda clips, shares: split_clips(clips, shares, split_seed))

    arguments = {"labels": sorted(chosen), "shares": dict(shares), "split_seed": split_seed}
    inputs = [table, *sorted({clip.path.parent for clip in clips})]
    prepare_once(manifest_folder, make, inputs=inputs, arguments=arguments)


def prepare_transcripts(
    table: str | os.PathLike[str],
    manifest_folder: str | os.PathLike[str],
    *,
    shares: Mapping[str, float] = SHARES,
    split_seed: int = 0,
) -> None:
    """Write {train,valid,test}.jsonl of a table: columns path, text and, if you have them, speaker, split.

    As `prepare_table`, for recognition: no two texts need be the same, and clips without speakers are shared
    out one by one.

    Raises:
        UserError: what `read_table` refuses, an empty text among it; files that are not there, a path twice,
            an unknown subset, each with its line; too few clips or speakers
    """
    table = Path(table).expanduser().resolve()
    rows = read_table(table, ("path", "text"), ("speaker", "split"))
    clips, subsets = _read_clips(table.parent, rows, "text")

    def make() -> dict[str, list[Clip]]:
        pairs = list(zip(clips, subsets, strict=True))
        return _share_out(pairs, shares, lambda clips, shares: split_transcripts(clips, shares, split_seed))

    inputs = [table, *sorted({clip.path.parent for clip in clips})]
    arguments = {"text": True, "shares": dict(shares), "split_seed": split_seed}
    prepare_once(manifest_folder, make, inputs=inputs, arguments=arguments)


def _share_out(
    pairs: Sequence[tuple[Clip, str | None]], shares: Mapping[str, float], split: Split
) -> dict[str, list[Clip]]:
    """Clips to the subsets that their rows name; where none names any, to those of `split`."""
    if all(subset is None for _, subset in pairs):
        return split([clip for clip, _ in pairs], shares)
    given = {name: [clip for clip, subset in pairs if subset == name] for name in SUBSETS}
    if given["train"] and not given["valid"]:
        given |= split(given["train"], {"valid": shares["valid"]})
    return given


def _choose(labels: Sequence[str] | None, known: Mapping[str, object] | set[str], where: str) -> list[str]:
    chosen = sorted(known) if labels is None else list(labels)
    check_labels(chosen, known, where)
    if len(chosen) < 2:
        raise UserError(f"one label in {where}: {chosen}", expected="two or more, to tell apart")
    return chosen


def _read_clips(
    folder: Path, rows: Sequence[tuple[Place, Row]], column: str
) -> tuple[list[Clip], list[str | None]]:
    clips, subsets = [], []
    seen: dict[str, Place] = {}
    errors: list[UserError] = []
    for place, row in rows:
        path = folder / Path(row["path"]).expanduser()
        clip_id = os.path.normpath(Path(row["path"]).with_suffix(""))
        problem = _problem(path, row)
        if clip_id in seen:
            problem = UserError(
                f"{row['path']} stands here a second time, first at line {seen[clip_id].line}"
            )
        if problem:
            problem.place = place
            errors.append(problem)
        seen.setdefault(clip_id, place)
        clips.append(Clip(path, clip_id, row[column], row.get("speaker") or None))
        subsets.append(row.get("split") or None)
    if errors:
        more = [UserError(f"and {len(errors) - N_NAMED} mistakes more")] if len(errors) > N_NAMED else []
        raise UserErrors([*errors[:N_NAMED], *more])
    return clips, subsets


def _problem(path: Path, row: Row) -> UserError | None:
    if not path.is_file():
        return UserError(f"there is no file {path}")
    if "speaker" in row and not row["speaker"]:
        return UserError("no speaker", expected="one in every row, or no column speaker")
    if "split" in row and row["split"] not in SUBSETS:
        said = f"the split {row['split']!r}{suggest(row['split'], SUBSETS)}"
        return UserError(said, expected="train, valid or test in every row, or no column split")
    return None
