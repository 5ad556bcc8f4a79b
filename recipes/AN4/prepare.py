"""Manifests of CMU AN4: etc/an4_{train,test}.{fileids,transcription}, and audio below wav/."""

import re
from pathlib import Path

from speechkit.data import Clip, find_audio, find_folder, prepare_once, split_transcripts
from speechkit.errors import Place, UserError

EXPECTED = "the folder of AN4, with etc/ and wav/ in it; .sph, .wav or .flac"
LISTS = [f"etc/an4_{subset}.{kind}" for subset in ("train", "test") for kind in ("fileids", "transcription")]
LINE = re.compile(r"(?:<s>)?(?P<text>.*?)(?:</s>)?\s*\((?P<name>[\w-]+)\)\s*")


def prepare(data_folder: str, manifest_folder: str, *, data_seed: int = 0) -> None:
    """Write {train,valid,test}.jsonl by the official lists; 15% of the training speakers validate."""
    folder = find_folder(data_folder, *LISTS, "wav", expected=EXPECTED)

    def make() -> dict[str, list[Clip]]:
        files = {path.stem: path for path in find_audio(folder / "wav")}
        parts = split_transcripts(read_list(folder, "train", files), {"valid": 0.15}, data_seed)
        return {**parts, "test": read_list(folder, "test", files)}

    inputs = [folder / "wav", *(folder / name for name in LISTS)]
    prepare_once(manifest_folder, make, inputs=inputs, arguments={"data_seed": data_seed})


def read_list(folder: Path, subset: str, files: dict[str, Path]) -> list[Clip]:
    """The utterances of an official list, with their texts; the folder of a file is its speaker."""
    clips = []
    path = folder / "etc" / f"an4_{subset}.transcription"
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        match = LINE.fullmatch(line)
        if not match or match["name"] not in files:
            found = f"no audio {match['name']} below {folder / 'wav'}" if match else f"{line!r}"
            expected = "<s> TEXT </s> (NAME), with the file of the name"
            raise UserError(found, expected=expected, place=Place(str(path), number))
        audio = files[match["name"]]
        clips.append(Clip(audio, match["name"], match["text"].strip(), audio.parent.name, group=subset))
    return clips
