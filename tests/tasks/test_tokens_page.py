"""docs/recognition-tokens.md: its YAML builds tokenizers that write what the page says."""

import re
from itertools import product
from pathlib import Path

import pytest

from speechkit import config
from speechkit.errors import UserError

FENCE = re.compile(r"^```yaml\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LEXICON = "DOOR D AO R\nDOOR(2) D OW R\nREAD R EH D\n"


def build(project: Path, folder: Path, heading: str, *overrides: str) -> dict:
    """What the YAML below a heading makes."""
    page = (project / "docs" / "recognition-tokens.md").read_text()
    body = FENCE.search(page, page.index(f"## {heading}\n"))["body"]
    (folder / "lexicon.txt").write_text(LEXICON)
    path = folder / "hparams.yaml"
    path.write_text(body.replace("lexicon.txt", str(folder / "lexicon.txt")))
    assert config.check(path) == []
    return config.build(config.read(path, overrides)).values


def test_characters_and_words(project: Path, tmp_path: Path) -> None:
    letters = build(project, tmp_path, "Characters")["tokenizer"]
    assert (letters.n_tokens, letters.decode(letters.encode("DON'T GO"))) == (29, "DON'T GO")
    words = build(project, tmp_path, "Words")["tokenizer"]
    assert (words.encode("two four"), words.n_tokens) == ([2, 4], 5)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_pieces_write_what_the_texts_never_had_by_bytes(project: Path, tmp_path: Path, kind: str) -> None:
    parts = ("the cat", "a dog", "no one"), ("sees", "never eats", "likes"), ("a mouse", "the house")
    texts = [" ".join(words) for words in product(*parts)]
    few = ("--tokenizer.kind", kind, "--tokenizer.n_tokens")
    with_bytes = build(project, tmp_path, "Pieces of words", *few, "280")["tokenizer"]
    no_bytes = (*few, "24", "--tokenizer.byte_fallback", "False")
    without = build(project, tmp_path, "Pieces of words", *no_bytes)["tokenizer"]
    for tokenizer in (with_bytes, without):
        tokenizer.prepare(texts, tmp_path / str(tokenizer.n_tokens))
        assert tokenizer.decode(tokenizer.encode("the dog likes a house")) == "the dog likes a house"
    assert with_bytes.decode(with_bytes.encode("où")) == "où"
    with pytest.raises(UserError, match="no symbol 'ù'"):
        without.encode("où")
    enough = build(project, tmp_path, "Pieces of words", "--tokenizer.kind", kind)["tokenizer"]
    with pytest.raises(UserError, match="cannot learn 1000 tokens"):
        enough.prepare(texts, tmp_path / "1000")


def test_phones_are_those_of_first_pronunciations(project: Path, tmp_path: Path) -> None:
    values = build(project, tmp_path, "Phones of a lexicon", "--tokenizer.n_tokens", "6")
    phones = values["tokenizer"]
    phones.prepare([], tmp_path / "run")
    assert phones.decode(phones.encode("READ DOOR")) == "R EH D D AO R"
    assert (phones.unit, values["unit"]) == ("phone", "phone")
    given = ("--tokenizer.n_tokens", "3", "--tokenizer.unit", "word")
    words = build(project, tmp_path, "Phones of a lexicon", *given)["tokenizer"]
    words.prepare([], tmp_path / "run")
    assert words.encode("READ DOOR") == [2, 1]
