"""Manifests of speechocean762: train/, test/ and perhaps dev/, each with text, utt2spk and wav.scp."""

from pathlib import Path

from speechkit.data import Clip, find_folder, prepare_once, split_transcripts
from speechkit.errors import Place, UserError

EXPECTED = "the folder of speechocean762, with train/ and test/ in it, and WAVE/"
TABLES = ("text", "utt2spk", "wav.scp")


def prepare(data_folder: str, manifest_folder: str, *, data_seed: int = 0) -> None:
    """Write {train,valid,test}.jsonl. Without dev/ a tenth of the training speakers validate."""
    needed = [f"{subset}/{table}" for subset in ("train", "test") for table in TABLES]
    folder = find_folder(data_folder, *needed, expected=EXPECTED)
    has_dev = (folder / "dev" / "text").is_file()

    def make() -> dict[str, list[Clip]]:
        train, test = read_subset(folder, "train"), read_subset(folder, "test")
        if has_dev:
            return {"train": train, "valid": read_subset(folder, "dev"), "test": test}
        return {**split_transcripts(train, {"valid": 0.1}, data_seed), "test": test}

    tables = [folder / name for name in needed] + [folder / "dev"] * has_dev
    prepare_once(manifest_folder, make, inputs=tables, arguments={"data_seed": data_seed})


def read_subset(folder: Path, subset: str) -> list[Clip]:
    """The utterances of a subset, with their texts and speakers."""
    texts, speakers, paths = (read_table(folder / subset / name) for name in TABLES)
    clips = []
    for name, text in texts.items():
        if name not in speakers or name not in paths:
            missing = "speaker in utt2spk" if name not in speakers else "file in wav.scp"
            raise UserError(f"{folder / subset}: {name} has a text and no {missing}")
        clips.append(Clip(folder / paths[name], name, text, speakers[name], group=subset))
    return clips


def read_table(path: Path) -> dict[str, str]:
    """Kaldi's tables: a name, white space, a value on each line. Commands, which end in |, are not run."""
    rows = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split(maxsplit=1)
        if len(words) != 2 or line.rstrip().endswith("|"):
            raise UserError(f"{line!r}", expected="a name and a value", place=Place(str(path), number))
        rows[words[0]] = words[1].strip()
    return rows
