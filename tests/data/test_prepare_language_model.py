"""Texts of a language model's recipe: files and transcripts, held-out speakers, what is missing."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from speechkit.errors import UserError
from speechkit.tasks.recipe import import_file


@pytest.fixture(scope="module")
def prepare() -> Callable[..., None]:
    return import_file(
        Path(__file__).resolve().parents[2] / "recipes" / "LibriSpeech" / "lm" / "prepare.py"
    ).prepare


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Plain text, packed; transcripts of ten speakers in one file; LibriSpeech's subsets."""
    folder = tmp_path / "corpus"
    (folder / "text").mkdir(parents=True)
    (folder / "plain.txt.gz").write_bytes(gzip.compress(b"ONE\n\n  TWO  \nTHREE 3-3-3 FOUR\n"))
    named = [f"{speaker}-1-000{n} TEXT {n} OF {speaker}" for speaker in range(10, 20) for n in range(3)]
    (folder / "text" / "named.txt").write_text("\n".join(named) + "\n")
    for subset, speaker in (("dev-clean", 7), ("test-clean", 8)):
        chapter = folder / "LibriSpeech" / subset / str(speaker) / "5"
        chapter.mkdir(parents=True)
        (chapter / f"{speaker}-5.trans.txt").write_text(
            f"{speaker}-5-0000 IN {subset}\n{speaker}-5-0001 AGAIN\n"
        )
    return folder


def read(folder: Path) -> tuple[list[str], dict[str, list[dict]]]:
    subsets = {name: (folder / f"{name}.jsonl").read_text().splitlines() for name in ("valid", "test")}
    train = (folder / "train.txt").read_text().splitlines()
    return train, {name: [json.loads(line) for line in lines] for name, lines in subsets.items()}


def test_files_and_transcripts_become_texts(prepare, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(str(corpus), str(out), train_texts=["plain.txt.gz", "dev-clean"], valid_texts=["dev-clean"])
    train, held_out = read(out)
    assert train == ["ONE", "TWO", "THREE 3-3-3 FOUR", "IN dev-clean", "AGAIN"]
    assert held_out == {
        "valid": [
            {"id": "7-5-0000", "text": "IN dev-clean", "speaker": "7"},
            {"id": "7-5-0001", "text": "AGAIN", "speaker": "7"},
        ],
        "test": [
            {"id": "8-5-0000", "text": "IN test-clean", "speaker": "8"},
            {"id": "8-5-0001", "text": "AGAIN", "speaker": "8"},
        ],
    }


def test_speakers_are_held_out(prepare, corpus: Path, tmp_path: Path) -> None:
    settings = {"train_texts": ["text/named.txt"], "valid_texts": [], "test_texts": [], "held_out": 0.2}
    prepare(str(corpus), str(tmp_path / "out"), **settings)
    train, held_out = read(tmp_path / "out")
    speakers = [{text.split()[-1] for text in train}]
    speakers += [{each["speaker"] for each in held_out[name]} for name in ("valid", "test")]
    assert [len(each) for each in speakers] == [6, 2, 2]
    assert len(set.union(*speakers)) == 10
    assert len(train) + sum(map(len, held_out.values())) == 30


def test_texts_are_written_again_only_when_something_has_changed(
    prepare, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def written() -> int:
        prepare(str(corpus), str(out), train_texts=["text/named.txt"])
        return (out / "train.txt").stat().st_mtime_ns

    first = written()
    assert written() == first
    with open(corpus / "text" / "named.txt", "a") as file:
        file.write("20-1-0000 MORE\n")
    assert written() != first
    assert read(out)[0][-1] == "MORE"


def test_what_is_missing_is_named(prepare, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lacks librispeech-lm-norm.txt.gz.*train_texts"):
        prepare(str(corpus), str(tmp_path / "out"))
    with pytest.raises(UserError, match="no test_texts"):
        prepare(str(corpus), str(tmp_path / "out"), train_texts=["plain.txt.gz"], test_texts=[])
    (corpus / "empty").mkdir()
    with pytest.raises(UserError, match=r"has no transcripts.*trans\.txt"):
        prepare(str(corpus), str(tmp_path / "out"), train_texts=["empty"])
