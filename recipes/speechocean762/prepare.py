"""Manifests of speechocean762: train/, test/ and perhaps dev/, each with text, utt2spk and wav.scp."""

from pathlib import Path

from speechkit.data import Clip, find_folder, prepare_once, read_kaldi_table, split_transcripts
from speechkit.errors import UserError

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
    texts, speakers, paths = (read_kaldi_table(folder / subset / name) for name in TABLES)
    clips = []
    for name, (text, _) in texts.items():
        if name not in speakers or name not in paths:
            missing = "speaker in utt2spk" if name not in speakers else "file in wav.scp"
            raise UserError(f"{folder / subset}: {name} has a text and no {missing}")
        clips.append(Clip(folder / paths[name][0], name, text, speakers[name][0], group=subset))
    return clips
