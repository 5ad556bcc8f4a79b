"""Words and phones of a lexicon."""

from pathlib import Path

import pytest

from speechkit.data import LexiconTokenizer
from speechkit.data.lexicon import read_lexicon
from speechkit.errors import UserError

TEXT = """;;; a comment
A\tAH0
A(2)\tEY1
CAT  K AE1 T
CAT  K AE1 T

É EY1
AT AE1 T
"""
PHONES = ["AE1", "AH0", "EY1", "K", "T"]


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text(TEXT)
    return path


def test_pronunciations_are_in_the_order_of_the_file(lexicon: Path) -> None:
    assert read_lexicon(lexicon) == {
        "A": [["AH0"], ["EY1"]],
        "CAT": [["K", "AE1", "T"]],
        "É": [["EY1"]],
        "AT": [["AE1", "T"]],
    }


def test_texts_become_the_phones_of_their_words(lexicon: Path, tmp_path: Path) -> None:
    tokenizer = LexiconTokenizer(str(lexicon), 6)
    tokenizer.prepare([], tmp_path / "run")
    assert tokenizer.symbols == PHONES
    assert tokenizer.decode(tokenizer.encode("CAT A  AT")) == "K AE1 T AH0 AE1 T"
    assert tokenizer.encode("A É") == [2, 3]
    assert [tokenizer.decode([token]) for token in range(1, 6)] == PHONES


def test_words_come_back(lexicon: Path, tmp_path: Path) -> None:
    tokenizer = LexiconTokenizer(str(lexicon), 5, unit="word")
    tokenizer.prepare([], tmp_path / "run")
    assert tokenizer.decode(tokenizer.encode("É CAT  A")) == "É CAT A"
    assert tokenizer.encode("A AT CAT É") == [1, 2, 3, 4]
    assert tokenizer.spellings[3].decode() == " É"


def test_a_run_keeps_its_lexicon(lexicon: Path, tmp_path: Path) -> None:
    tokenizer = LexiconTokenizer(str(lexicon), 6)
    assert not tokenizer.is_ready
    tokenizer.prepare([], tmp_path / "run")
    tokenizer.prepare([], tmp_path / "run")  # as a run does that goes on
    lexicon.unlink()
    loaded = LexiconTokenizer(str(lexicon), 6)
    loaded.load(tmp_path / "run")
    assert loaded.is_ready
    assert loaded.encode("CAT") == tokenizer.encode("CAT")
    lexicon.write_text(TEXT + "TO T UW1\n")
    with pytest.raises(UserError, match=r"lexicon\.txt is another lexicon than"):
        LexiconTokenizer(str(lexicon), 7).prepare([], tmp_path / "run")


def test_a_run_goes_on_without_the_file_that_its_lexicon_came_from(lexicon: Path, tmp_path: Path) -> None:
    LexiconTokenizer(str(lexicon), 6).prepare([], tmp_path / "run")
    kept = (tmp_path / "run/lexicon.txt").read_bytes()
    lexicon.unlink()
    again = LexiconTokenizer(str(lexicon), 6)
    again.prepare([], tmp_path / "run")
    assert again.encode("A É") == [2, 3]
    assert (tmp_path / "run/lexicon.txt").read_bytes() == kept
    with pytest.raises(UserError, match=r"words\.txt cannot be read"):
        LexiconTokenizer(str(lexicon), 6).prepare([], tmp_path / "new")


def test_mistakes_are_told(lexicon: Path, tmp_path: Path) -> None:
    tokenizer = LexiconTokenizer(str(lexicon), 6)
    with pytest.raises(UserError, match="the lexicon is not read"):
        tokenizer.encode("A")
    tokenizer.prepare([], tmp_path / "run")
    with pytest.raises(UserError, match=r"no word 'CATS' \(did you mean 'CAT'\?\); add it to .*words\.txt"):
        tokenizer.encode("A CATS")
    with pytest.raises(UserError, match=r"has 5 phones; n_tokens is 5; expected n_tokens: 6"):
        LexiconTokenizer(str(lexicon), 5).prepare([], tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(UserError, match="unit: 'phones'; expected word or phone"):
        LexiconTokenizer(str(lexicon), 5, unit="phones")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"A AH0\nCAT\n", r"words\.txt:2:1: the word 'CAT' has no phones"),
        (b"\n;;; A AH0\n", "has no words; expected WORD PHONE"),
        (b"A \xff\n", "is not UTF-8"),
    ],
)
def test_broken_files_are_told(text: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(text)
    with pytest.raises(UserError, match=said):
        read_lexicon(path)
    with pytest.raises(UserError, match="nowhere cannot be read"):
        read_lexicon(tmp_path / "nowhere")
