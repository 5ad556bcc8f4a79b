"""The trainer of n-gram models, from a text to a file that scores."""

import gzip
import importlib.util
import re
from pathlib import Path

import pytest

from speechkit.data import SentencePieceTokenizer
from speechkit.decoding import NGramScorer, score_tokens
from speechkit.decoding.arpa import read_arpa
from speechkit.decoding.kneser_ney import train_kneser_ney
from speechkit.decoding.ngram import perplexity
from speechkit.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]
LINES = [
    "1-1 The cat sat.",
    "1-2 A cat, a dog!",
    "",
    "1-3 The dog sat on the cat",
    "1-4 Dogs sat",
    "1-5 A cat sat",
]
SENTENCES = [line.split(maxsplit=1)[1].lower().translate({44: "", 46: "", 33: ""}) for line in LINES if line]


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("ngram", PROJECT / "tools/ngram.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def train(tool, tmp_path: Path):
    """Train on the lines; returns what is told and the model."""
    (tmp_path / "text").write_text("\n".join(LINES))

    def run(*arguments: str, name: str = "lm.arpa"):
        given = [str(tmp_path / "text"), str(tmp_path / "out" / name), "--ids", "--case", "lower"]
        told = tool.run(tool.parse([*given, "--punctuation", "remove", *arguments]))
        return told, read_arpa(tmp_path / "out" / name)

    return run


def test_the_file_is_the_model_of_the_text(train, tmp_path: Path) -> None:
    told, model = train("--order", "2", name="lm.arpa.gz")
    expected = train_kneser_ney([sentence.split() for sentence in SENTENCES], 2)
    assert gzip.decompress((tmp_path / "out/lm.arpa.gz").read_bytes()).startswith(b"\\data\\\nngram 1=")
    assert {*model.words} == {*expected.words} == {"the", "a", "cat", "dog", "dogs", "sat", "on"}
    for sentence in SENTENCES:
        words = sentence.split()
        assert model.score_sentence(words) == pytest.approx(expected.score_sentence(words), rel=1e-5)
    assert "Unicode NFC; lower case; punctuation removed" in told
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["lm.arpa.gz"]


def test_perplexity_is_of_sentences_that_were_not_trained_on(train) -> None:
    told, model = train("--order", "2", "--hold-out-every", "4")
    held_out = [sentence.split() for sentence in SENTENCES[::4]]
    kept = [sentence.split() for number, sentence in enumerate(SENTENCES) if number % 4]
    expected = perplexity(train_kneser_ney(kept, 2), held_out)
    found = re.search(r"perplexity of 2 held-out sentences: ([\d.]+) a unit", told)
    assert float(found[1]) == pytest.approx(expected, abs=0.01)
    assert "0 of 6 units unknown" in told
    assert "1-grams: 10\n" in told  # with <s>, </s>, <unk>
    assert model.order == 2


def test_characters_and_pieces_are_scored_by_their_tokens(train, tmp_path: Path) -> None:
    tokenizer = SentencePieceTokenizer(28, "bpe", byte_fallback=False)
    tokenizer.prepare(SENTENCES, tmp_path / "run")
    _, model = train("--order", "3", "--units", str(tmp_path / "run"))
    scorer = NGramScorer(str(tmp_path / "out/lm.arpa"), tokenizer)
    for sentence in SENTENCES:
        tokens = tokenizer.encode(sentence)
        (score,) = score_tokens(scorer.step, scorer.start(1), [tokens])
        pieces = [tokenizer.symbols[token - 1] for token in tokens]
        assert score == pytest.approx(model.score_sentence(pieces), rel=1e-5)
    _, letters = train("--units", "characters")
    assert {*letters.words} == {*"".join(SENTENCES).replace(" ", ""), "<space>"}


def test_mistakes_are_told(train, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no syllables; expected words, characters or a run"):
        train("--units", "syllables")
    with pytest.raises(UserError, match="nowhere cannot be read"):
        train("--held-out", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="order 0; expected 1 at least"):
        train("--order", "0")
    assert not (tmp_path / "out").exists()
