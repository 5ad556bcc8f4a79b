"""Pieces of words: every text comes back, and a run keeps what it learned."""

from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.data import CharacterTokenizer, SentencePieceTokenizer, WordTokenizer
from speechkit.errors import UserError

TEXTS = [
    f"{subject} {verb} {thing}"
    for subject in ("the cat", "a dog", "no one", "everyone here")
    for verb in ("sees", "never eats", "likes", "has")
    for thing in ("a mouse", "the house", "cheese", "nothing at all")
]
KINDS = ["unigram", "bpe"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], SentencePieceTokenizer]:
    """By kind and whether bytes are tokens."""
    found = {}
    for kind in KINDS:
        for byte_fallback in (True, False):
            tokenizer = SentencePieceTokenizer(280 if byte_fallback else 32, kind, byte_fallback)
            tokenizer.prepare(TEXTS, tmp_path_factory.mktemp("run"))
            found[kind, byte_fallback] = tokenizer
    return found


def is_normal(text: str) -> bool:
    return " ".join(text.split(" ")).strip(" ") == text and "  " not in text and "▁" not in text


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(st.data())
def test_every_text_comes_back(trained: dict, kind: str, data: st.DataObject) -> None:
    """Of any characters, by bytes; and of the training's without."""
    tokenizer = trained[kind, True]
    text = data.draw(st.text(st.characters(codec="utf-8")).filter(is_normal))
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert all(0 < token < tokenizer.n_tokens for token in tokens), "0 is the blank's"
    plain = trained[kind, False]
    text = data.draw(st.text(st.sampled_from("catdog e")).filter(is_normal))
    tokens = plain.encode(text)
    assert plain.decode(tokens) == text
    assert all(0 < token < plain.n_tokens for token in tokens)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("byte_fallback", [True, False])
def test_spellings_are_what_tokens_write(trained: dict, kind: str, byte_fallback: bool) -> None:
    tokenizer = trained[kind, byte_fallback]
    assert len(tokenizer.symbols) == len(set(tokenizer.symbols)) == tokenizer.n_tokens - 1
    spellings = tokenizer.spellings
    for text in (*TEXTS, *(["ünbekannt ☃"] if byte_fallback else [])):
        written = b"".join(spellings[token - 1] for token in tokenizer.encode(text))
        assert written.decode() == f" {text}"


def test_what_was_learned_is_spelled_by_pieces(trained: dict) -> None:
    """Of several characters, and never by bytes."""
    n_characters = sum(map(len, TEXTS))
    for (_, byte_fallback), tokenizer in trained.items():
        tokens = [token for text in TEXTS for token in tokenizer.encode(text)]
        assert len(tokens) < (0.95 if byte_fallback else 0.85) * n_characters
        assert not byte_fallback or min(tokens) > 256


def test_blanks_are_one_between_words_and_an_empty_text_is_none(trained: dict) -> None:
    for tokenizer in trained.values():
        assert tokenizer.decode(tokenizer.encode("  the   cat ")) == "the cat"
        assert tokenizer.encode("") == []
        assert tokenizer.decode([]) == ""


def test_a_long_text_is_learned_from_like_others(tmp_path: Path) -> None:
    tokenizer = SentencePieceTokenizer(8, "bpe", byte_fallback=False)
    tokenizer.prepare(["ab", "xyz " * 2000], tmp_path)
    assert "xy" in tokenizer.symbols


def test_a_strange_character_is_named_where_bytes_are_none(trained: dict) -> None:
    with pytest.raises(UserError, match="no symbol 'Z'; set byte_fallback: True"):
        trained["bpe", False].encode("the Zebra")
    assert trained["bpe", True].decode([trained["bpe", True].symbols.index("<0xFF>") + 1]) == "\ufffd"


@pytest.mark.parametrize("token", [0, -1, 280])
def test_a_token_that_is_no_piece_is_refused(trained: dict, token: int) -> None:
    with pytest.raises(ValueError, match=f"token {token}"):
        trained["unigram", True].decode([1, token])


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_keeps_what_it_learned(kind: str, tmp_path: Path) -> None:
    first, again, other, loaded = (SentencePieceTokenizer(280, kind) for _ in range(4))
    assert not first.is_ready
    first.prepare(TEXTS, tmp_path / "run")
    kept = (tmp_path / "run/tokenizer.model").read_bytes()
    other.prepare(iter(TEXTS), tmp_path / "other")
    assert (tmp_path / "other/tokenizer.model").read_bytes() == kept, "the same each time"
    again.prepare([], tmp_path / "run")  # goes on: texts are not looked at
    loaded.load(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["tokenizer.model"]
    for tokenizer in (first, again, loaded):
        assert tokenizer.is_ready
        assert tokenizer.encode("the mouse") == other.encode("the mouse")


def test_a_run_goes_on_without_the_file_that_its_model_came_from(trained: dict, tmp_path: Path) -> None:
    SentencePieceTokenizer(280).prepare(TEXTS, tmp_path / "first")
    model = (tmp_path / "first/tokenizer.model").rename(tmp_path / "moved.model")
    SentencePieceTokenizer(280, model_file=str(model)).prepare([], tmp_path / "run")
    model.unlink()
    again = SentencePieceTokenizer(280, model_file=str(model))
    again.prepare([], tmp_path / "run")
    assert again.encode("the mouse") == trained["unigram", True].encode("the mouse")
    with pytest.raises(UserError, match=r"moved\.model cannot be read"):
        SentencePieceTokenizer(280, model_file=str(model)).prepare(TEXTS, tmp_path / "new")


def test_a_model_of_others_is_numbered_from_1(tmp_path: Path) -> None:
    """With <pad>, <unk>, <s>, </s> and a symbol that is never text somewhere among its pieces."""
    theirs = tmp_path / "theirs"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_prefix=str(theirs),
        vocab_size=36,
        pad_id=0,
        unk_id=3,
        control_symbols=["<lang>"],
        minloglevel=2,
    )
    model_file = f"{theirs}.model"
    tokenizer = SentencePieceTokenizer(32, byte_fallback=False, model_file=model_file)
    tokenizer.prepare([], tmp_path / "run")
    processor = sentencepiece.SentencePieceProcessor(model_file=model_file)
    for text in TEXTS:
        tokens = tokenizer.encode(text)
        assert [tokenizer.symbols[token - 1] for token in tokens] == processor.encode(text, out_type=str)
        assert tokenizer.decode(tokens) == text
    assert not {"<pad>", "<unk>", "<s>", "</s>", "<lang>"} & {*tokenizer.symbols}
    (tmp_path / "theirs.model").write_bytes((tmp_path / "run/tokenizer.model").read_bytes() + b"\x12\x00")
    with pytest.raises(UserError, match="is another model than"):
        tokenizer.prepare([], tmp_path / "run")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"n_tokens": 5000},
            "n_tokens: SentencePiece cannot learn 5000 tokens: .*; give fewer, or more text",
        ),
        ({"n_tokens": 200}, "n_tokens: 200; expected 258 at least, the blank and 256 bytes included"),
        ({"n_tokens": 280, "kind": "word"}, "kind: 'word'; expected unigram or bpe"),
        ({"n_tokens": 280, "model_file": "none.model"}, "none.model cannot be read"),
        ({"n_tokens": 280, "model_file": __file__}, "is no model of SentencePiece"),
    ],
)
def test_what_cannot_be_is_told(arguments: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        SentencePieceTokenizer(**arguments).prepare(TEXTS, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_that_learned_nothing_says_so(tmp_path: Path) -> None:
    tokenizer = SentencePieceTokenizer(280)
    with pytest.raises(UserError, match="the tokenizer is not trained"):
        tokenizer.encode("a")
    with pytest.raises(UserError, match=r"tokenizer\.model cannot be read"):
        tokenizer.load(tmp_path)
    with pytest.raises(UserError, match="cannot learn 280 tokens"):
        tokenizer.prepare([], tmp_path)
    tokenizer.prepare(TEXTS, tmp_path)
    with pytest.raises(UserError, match=r"has 279 pieces; n_tokens is 281; expected n_tokens: 280"):
        SentencePieceTokenizer(281).load(tmp_path)


def test_tokenizers_of_given_symbols_have_nothing_to_learn(tmp_path: Path) -> None:
    for tokenizer, text in ((CharacterTokenizer("ab é"), "é ab"), (WordTokenizer("é ab"), "ab é é")):
        tokenizer.prepare(iter(()), tmp_path)
        tokenizer.load(tmp_path)
        written = b"".join(tokenizer.spellings[token - 1] for token in tokenizer.encode(text))
        assert tokenizer.is_ready
        assert written.decode().strip() == text
    assert list(tmp_path.iterdir()) == []
