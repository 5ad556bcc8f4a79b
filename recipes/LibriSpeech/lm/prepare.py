"""Texts for a language model: LibriSpeech's own of 40 million sentences, transcripts, or any others."""

import gzip
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lhotse.utils import resumable_download

from speechkit.data import (
    Clip,
    Sentence,
    find_folder,
    run_download,
    split_transcripts,
    write_once,
    write_sentences,
)
from speechkit.errors import UserError

NORMALIZED = "librispeech-lm-norm.txt.gz"
URL = f"https://www.openslr.org/resources/11/{NORMALIZED}"
EXPECTED = f"a folder with {NORMALIZED} and LibriSpeech, or with other texts that the YAML names"
NAMED = re.compile(r"(?P<id>(?P<speaker>\d+)-\d+-\d+) (?P<text>.*)")  # a line of LibriSpeech's transcripts


def prepare(
    data_folder: str,
    manifest_folder: str,
    *,
    train_texts: Sequence[str] = (NORMALIZED,),
    valid_texts: Sequence[str] = ("dev-clean",),
    test_texts: Sequence[str] = ("test-clean",),
    held_out: float = 0.1,
    download: bool = False,
) -> None:
    """Write train.txt, valid.jsonl and test.jsonl.

    Each text is a path below `data_folder`, or below `LibriSpeech` in it: a folder, of which all transcripts
    (`.trans.txt`) are taken, or a file of one sentence a line, plain or as transcripts are. Where neither
    `valid_texts` nor `test_texts` are given, the share `held_out` of the training's speakers is each of the
    two (of its sentences, where the speakers are not known).
    """
    if download and NORMALIZED in train_texts:
        target = Path(data_folder).expanduser() / NORMALIZED
        target.parent.mkdir(parents=True, exist_ok=True)
        run_download(lambda: resumable_download(URL, target), NORMALIZED, [URL], target.parent)
    folder = find_folder(data_folder, expected=EXPECTED)
    parts = {"train": train_texts, "valid": valid_texts, "test": test_texts}
    if bool(valid_texts) != bool(test_texts):
        found = f"no {'test' if valid_texts else 'valid'}_texts"
        raise UserError(found, expected="valid_texts and test_texts, or neither of them")
    inputs = {name: [find_text(folder, text) for text in texts] for name, texts in parts.items()}

    def write(folder: Path) -> list[str]:
        sentences = {name: read_texts(paths) for name, paths in inputs.items()}
        if not valid_texts:
            sentences = split(list(sentences["train"]), held_out)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "train.txt", "w", encoding="utf-8") as file:
            file.writelines(f"{sentence.text}\n" for sentence in sentences["train"])
        for name in ("valid", "test"):
            write_sentences(folder / f"{name}.jsonl", sentences[name])
        return ["train.txt", "valid.jsonl", "test.jsonl"]

    paths = [path for each in inputs.values() for path in each]
    write_once(manifest_folder, write, inputs=paths, arguments=parts | {"held_out": held_out})


def find_text(folder: Path, name: str) -> Path:
    """The file or folder of a text."""
    for path in (folder / name, folder / "LibriSpeech" / name):
        if path.exists():
            return path
    do = "name other files in train_texts, valid_texts and test_texts"
    raise UserError(f"{folder} lacks {name}", expected=EXPECTED, do=do, key="data_folder")


def read_texts(paths: Sequence[Path]) -> Iterator[Sentence]:
    """The sentences of files, and of the transcripts in folders; blank lines are none."""
    for path in paths:
        files = sorted(path.rglob("*.trans.txt")) if path.is_dir() else [path]
        if not files:
            raise UserError(f"{path} has no transcripts", expected="<speaker>-<chapter>.trans.txt files")
        for file in files:
            yield from read_lines(file)


def read_lines(path: Path) -> Iterator[Sentence]:
    """The sentences of a file; those without a name get its own, and the number of their line."""
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else open(path, encoding="utf-8") as file
    ):
        for number, line in enumerate(file, start=1):
            if match := NAMED.fullmatch(line.strip()):
                yield Sentence(match["id"], match["text"], match["speaker"])
            elif line.strip():
                yield Sentence(f"{path.name}-{number:08d}", line.strip())


def split(sentences: Sequence[Sentence], share: float) -> dict[str, Iterator[Sentence]]:
    """Speakers, or sentences where these are not known, held out for validation and test."""
    clips = [Clip(Path(), each.id, label=each.text, speaker=each.speaker) for each in sentences]
    parts = split_transcripts(clips, {"valid": share, "test": share})
    return {name: (Sentence(c.id, str(c.label), c.speaker) for c in part) for name, part in parts.items()}
