"""Manifests of ESC-50, or of its part ESC-10: audio/*.wav (or .flac, .ogg) and meta/esc50.csv.

One fold is the test, the next one validates (after the last comes the first), the others train. Clips cut
from one recording are in one fold; the recording is their `group`.
"""

from pathlib import Path

from speechkit.data import Clip, check_labels, find_audio, find_folder, prepare_once, read_table
from speechkit.errors import Place, UserError

TABLE = "meta/esc50.csv"
COLUMNS = ("filename", "fold", "category", "src_file")
EXPECTED = f"the folder of ESC-50, with audio and {TABLE} in it"


def prepare(data_folder: str, manifest_folder: str, *, labels: list[str], fold: int) -> None:
    """Write {train,valid,test}.jsonl with the clips of the categories in `labels`, tested on `fold`."""
    folder = find_folder(data_folder, "audio", TABLE, expected=EXPECTED)
    rows = read_table(folder / TABLE, COLUMNS)
    check_labels(labels, (row["category"] for _, row in rows), str(folder / TABLE))
    folds = sorted({_fold(row, place) for place, row in rows})
    if fold not in folds:
        expected = f"one of {', '.join(map(str, folds))}"
        raise UserError(f"no fold {fold} in {folder / TABLE}", expected=expected, key="fold")
    subset_of = {fold: "test", folds[(folds.index(fold) + 1) % len(folds)]: "valid"}

    def make() -> dict[str, list[Clip]]:
        path_of = {path.stem: path for path in find_audio(folder / "audio")}
        subsets: dict[str, list[Clip]] = {"train": [], "valid": [], "test": []}
        for place, row in rows:
            name = Path(row["filename"]).stem
            if row["category"] in labels:
                if name not in path_of:
                    raise UserError(f"{folder / 'audio'} has no {row['filename']}", place=place)
                clip = Clip(path_of[name], name, row["category"], group=row["src_file"])
                subsets[subset_of.get(int(row["fold"]), "train")].append(clip)
        return subsets

    inputs = [folder / "audio", folder / TABLE]
    prepare_once(manifest_folder, make, inputs=inputs, arguments={"labels": labels, "fold": fold})


def _fold(row: dict[str, str], place: Place) -> int:
    if not row["fold"].isdecimal():
        raise UserError(f"the fold {row['fold']!r}", expected="a number", place=place)
    return int(row["fold"])
