"""ARPA files: back-off by hand and by the definition's recursion, broken files told with their line."""

import gzip
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.decoding.arpa import format_arpa, read_arpa, read_order
from speechkit.decoding.kneser_ney import train_kneser_ney
from speechkit.errors import UserError

LN10 = math.log(10)
TEXT = """made by hand
\\data\\
ngram 1=5
ngram 2=4
ngram 3=2

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.5
-0.75\t</s>
-0.5\ta\t-0.25
-1.0\tb\t-0.125

\\2-grams:
-0.25\t<s> a\t-0.0625
-0.5\ta b\t0.03125
-0.75 b  a -1
-0.3 a </s>

\\3-grams:
-0.1\t<s> a b
-0.2\ta b </s>

\\end\\
"""


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    path = tmp_path / "lm.arpa"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize(
    ("word", "context", "log10"),
    [
        ("a", [], -0.5),
        ("b", ["<s>", "a"], -0.1),
        ("</s>", ["a", "b"], -0.2),
        ("</s>", ["x", "x", "a", "b"], -0.2),  # more of a context than counts
        ("b", ["b", "a"], -1 - 0.5),  # weight of (b, a), then (a, b)
        ("b", ["a", "b"], 0.03125 - 0.125 - 1.0),  # weights of (a, b) and (b), then (b)
        ("</s>", ["<s>", "a"], -0.0625 - 0.3),
        ("a", ["a", "a"], -0.25 - 0.5),  # (a, a) has no weight: 0
        ("x", ["a"], -0.25 - 1.5),
        ("a", ["x"], -0.5),  # <unk> has no weight
        ("a", ["b", "x"], -0.5),
    ],
)
def test_it_is_what_one_computes_by_hand(arpa: Path, word: str, context: list[str], log10: float) -> None:
    assert read_arpa(arpa).score(word, context) == pytest.approx(log10 * LN10, rel=1e-12)


def test_a_sentence_is_its_words_and_its_end(arpa: Path) -> None:
    model = read_arpa(arpa)
    assert (model.order, model.words) == (3, ["a", "b"])
    assert model.score_sentence(["a", "b"]) == pytest.approx((-0.25 - 0.1 - 0.2) * LN10)
    assert model.score_sentence([]) == pytest.approx((-0.5 - 0.75) * LN10)


def test_gzip_and_what_is_written_read_the_same(arpa: Path, tmp_path: Path) -> None:
    model = read_arpa(arpa)
    packed, again = tmp_path / "packed", tmp_path / "again.arpa"
    packed.write_bytes(gzip.compress(TEXT.replace("<unk>", "<UNK>").encode()))
    again.write_text("".join(format_arpa(model)))
    for other in (read_arpa(packed), read_arpa(again)):
        assert (other.successors, other.backoffs) == (model.successors, model.backoffs)


def test_without_unk_a_strange_word_has_what_kenlm_gives_it(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    path.write_text("\\data\\\nngram 1=2\n\\1-grams:\n-99 <s>\n0 </s>\n\\end\\\n")
    assert read_arpa(path).score("a") == pytest.approx(-100 * LN10)


def score_by_recursion(table: dict[tuple[str, ...], list[str]], words: tuple[str, ...]) -> float:
    """log10 p(last word | those before), by the definition: `table` holds the numbers of each line."""
    if words in table:
        return float(table[words][0])
    if len(words) == 1:
        return score_by_recursion(table, ("<unk>",))
    _, weight = (*table.get(words[:-1], ("0",)), "0")[:2]
    return float(weight) + score_by_recursion(table, words[1:])


SENTENCES = [text.split() for text in ("a b a c", "b b", "a c a b a", "c", "a b a c b")]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["a", "b", "c", "x"]), max_size=5), st.integers(1, 4))
def test_it_is_the_definitions_recursion(sentence: list[str], order: int) -> None:
    model = train_kneser_ney(SENTENCES, order)
    fields = [line.strip().split("\t") for line in format_arpa(model)]
    table = {tuple(each[1].split()): [each[0], *each[2:]] for each in fields if len(each) > 1}
    assert len(table) == sum(len(listed) for listed in model.successors.values())
    whole = tuple(word if (word,) in table else "<unk>" for word in ("<s>", *sentence, "</s>"))
    for n in range(1, len(whole)):
        expected = score_by_recursion(table, whole[max(0, n - order + 1) : n + 1]) * LN10
        assert model.score(whole[n], whole[:n]) == pytest.approx(expected, abs=1e-5)


def test_it_is_kenlm(tmp_path: Path) -> None:
    reason = "kenlm (the extra lm) is built from source, which set-up never does"
    kenlm = pytest.importorskip("kenlm", reason=reason)
    path = tmp_path / "lm.arpa"
    path.write_text("".join(format_arpa(train_kneser_ney(SENTENCES, 3))))
    theirs, ours = kenlm.Model(str(path)), read_arpa(path)
    for text in ("", "a", "a b", "b a a x b a", "x x", "b b b a b c a"):
        assert ours.score_sentence(text.split()) == pytest.approx(theirs.score(text) * LN10, rel=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("\\data\\", "data", 24, r"ends here; expected \\data\\"),
        ("ngram 2=4", "ngram 3=4", 4, "'ngram 3=4'; expected ngram 2=COUNT"),
        ("ngram 2=4", "ngram 2", 4, "expected ngram 2=COUNT"),
        ("ngram 2=4", "ngram 2=5", 20, "4 n-grams of order 2; expected 5"),
        ("-0.3 a </s>", "-0.3 a </s>\n-0.3 b </s>", 21, "5 n-grams of order 2; expected 4"),
        ("\\2-grams:", "\\3-grams:", 14, r"expected \\2-grams:"),
        ("-0.75 b", "minus b", 17, "'minus'; expected a number"),
        ("-0.75 b", "nan b", 17, "'nan'; expected a number"),
        ("-0.75 b", "0.75 b", 17, "probability 0.75; expected 0 at most"),
        ("-0.75 b  a -1", "-0.75 b a b -1", 17, "5 fields; expected a log10 probability, 2 words"),
        ("-0.75 b  a -1", "-0.75 b", 17, "2 fields"),
        ("-0.75 b  a", "-0.75 c a", 17, "the word 'c'; expected one of the 1-grams"),
        ("-0.75 b  a -1", "-0.75 a b -1", 17, "'a b' stands twice"),
        ("-0.75\t</s>", "-0.75\t<end>", 18, "'</s>'; expected one of the 1-grams"),
        ("\\end\\", "\\4-grams:", 24, r"expected \\end\\"),
        ("\\end\\\n", "", 23, "the file ends here"),
    ],
)
def test_a_broken_file_is_told_with_its_line(arpa: Path, old: str, new: str, line: int, said: str) -> None:
    assert old in TEXT
    arpa.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(UserError, match=said) as caught:
        read_arpa(arpa)
    assert str(caught.value).startswith(f"{arpa}:{line}:1: ")


def test_other_broken_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    with pytest.raises(UserError, match=r"lm\.arpa cannot be read: No such file"):
        read_arpa(path)
    path.write_bytes(gzip.compress(TEXT.encode())[:-20])
    with pytest.raises(UserError, match="gzip file is damaged"):
        read_arpa(path)
    path.write_bytes(TEXT.replace("\tb\t", "\t\xff\t").encode("latin-1"))
    with pytest.raises(UserError, match=r"lm\.arpa:12:1: the word b'\\xff'; expected UTF-8"):
        read_arpa(path)
    path.write_text("\\data\\\nngram 1=1\n\\1-grams:\n0 </s>\n\\end\\\n")
    with pytest.raises(UserError, match="no unigram <s>"):
        read_arpa(path)


def test_the_order_stands_in_the_head(arpa: Path, tmp_path: Path) -> None:
    """Read alone: what comes behind it may be missing, or cut off."""
    cut, packed = tmp_path / "cut.arpa", tmp_path / "packed"
    cut.write_text(TEXT[: TEXT.index("-1.5")])
    packed.write_bytes(gzip.compress(TEXT.encode()))
    assert [read_order(path) for path in (arpa, cut, packed)] == [3, 3, 3]
    with pytest.raises(UserError, match=r"cut\.arpa:7:1: the file ends here"):
        read_arpa(cut)
    with pytest.raises(UserError, match="nowhere cannot be read"):
        read_order(tmp_path / "nowhere")
    cut.write_text(TEXT.replace("ngram 2", "ngram 3"))
    with pytest.raises(UserError, match=r"cut\.arpa:4:1: 'ngram 3=4'; expected ngram 2=COUNT"):
        read_order(cut)
