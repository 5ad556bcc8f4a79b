"""N-gram models beside a search: every score against the model's own, sentence by sentence."""

import hashlib
import math
import re
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import ctc_loss

from speechkit.data import SentencePieceTokenizer
from speechkit.decoding import (
    CTCBeam,
    CTCSearch,
    Heard,
    Hypothesis,
    NGramScorer,
    Scorer,
    WordNGramScorer,
    rescore,
    score_tokens,
)
from speechkit.decoding.arpa import format_arpa
from speechkit.decoding.kneser_ney import train_kneser_ney
from speechkit.decoding.spelling import check_spelling
from speechkit.errors import UserError
from speechkit.ops.search_state import select_beams

TEXTS = ["an ant", "a tan", "ant an an", "at a net", "é", "net é at", "a a a ant"]
ALPHABET = "ant eé"


class Tokens:
    """As a tokenizer: token 1 is the first symbol."""

    is_ready = True

    def __init__(self, *symbols: str | bytes) -> None:
        self.spellings = [each if isinstance(each, bytes) else each.encode() for each in symbols]
        self.symbols = [spelling.decode(errors="replace") for spelling in self.spellings]
        self.n_tokens = len(symbols) + 1

    def encode(self, text: str) -> list[int]:
        """Into any pieces, the longest first."""
        rest, tokens = text.encode(), []
        while rest:
            piece = max((each for each in self.spellings if rest.startswith(each)), key=len)
            tokens.append(self.spellings.index(piece) + 1)
            rest = rest[len(piece) :]
        return tokens


CHARACTERS = Tokens(*ALPHABET, "z", "y")
PIECES = Tokens("n", " a", "nt", "t", " ", "a", " ne", "e", " an", b"\xc3", b"\xa9", "z")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of word and character models of orders 1 to 4."""
    folder = tmp_path_factory.mktemp("arpa")
    for order in range(1, 5):
        words = train_kneser_ney([text.split() for text in TEXTS], order)
        letters = [["<space>" if letter == " " else letter for letter in text] for text in TEXTS]
        (folder / f"words{order}").write_text("".join(format_arpa(words)))
        (folder / f"letters{order}").write_text("".join(format_arpa(train_kneser_ney(letters, order))))
    return folder


@pytest.fixture(scope="module")
def scorers(folder: Path) -> dict:
    made = {("letters", order): NGramScorer(f"{folder}/letters{order}", CHARACTERS) for order in range(1, 5)}
    for order in range(1, 5):
        for name, tokens in (("characters", CHARACTERS), ("pieces", PIECES)):
            for ahead in (False, True):
                scorer = WordNGramScorer(f"{folder}/words{order}", tokens, ahead, unknown=-1.5)
                made[name, order, ahead] = scorer
    return made


texts = st.lists(st.text(st.sampled_from(ALPHABET + "z"), max_size=12), min_size=1, max_size=4)
orders = st.integers(1, 4)


@settings(max_examples=20)
@given(texts, orders)
def test_tokens_have_the_models_scores(scorers: dict, texts: list[str], order: int) -> None:
    """Batches of texts of any length: their scores are those of their sentences."""
    scorer = scorers["letters", order]
    found = score_tokens(scorer.step, scorer.start(len(texts)), [CHARACTERS.encode(text) for text in texts])
    for text, score in zip(texts, found, strict=True):
        letters = ["<space>" if letter == " " else letter for letter in text]
        expected = scorer.model.score_sentence(letters) - math.log(2) * letters.count("z")  # half of <unk>
        assert score == pytest.approx(expected, rel=1e-5)


@settings(max_examples=20)
@given(texts, orders)
def test_scores_of_tokens_are_a_distribution(scorers: dict, texts: list[str], order: int) -> None:
    """With z, which the text lacks and <unk> stands for; two such tokens share it."""
    scorer = scorers["letters", order]
    state, tokens = scorer.start(len(texts)), torch.zeros(len(texts), dtype=torch.int64)
    for position in range(12):
        log_probs, state = scorer.step(tokens, state)
        torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(len(texts)))
        tokens = torch.tensor([(CHARACTERS.encode(text) + [1] * 12)[position] for text in texts])


@settings(max_examples=40)
@given(texts, orders, st.booleans(), st.sampled_from(["characters", "pieces"]))
def test_words_have_the_models_scores(scorers: dict, texts: list[str], order: int, ahead: bool, name: str):
    """Whatever is given and taken back by looking ahead; strange words cost 1.5 more."""
    scorer, tokens = scorers[name, order, ahead], {"characters": CHARACTERS, "pieces": PIECES}[name]
    prefix = " " if name == "pieces" else ""
    rows = [tokens.encode(prefix + text) for text in texts]
    found = score_tokens(scorer.step, scorer.start(len(texts)), rows)
    for text, score in zip(texts, found, strict=True):
        strange = sum(word not in scorer.model.words for word in text.split())
        expected = scorer.model.score_sentence(text.split()) - 1.5 * strange
        assert score == pytest.approx(expected, abs=1e-4)


def test_looking_ahead_tells_at_once_where_no_word_can_come(scorers: dict) -> None:
    """After " t" the model's only word is "tan": a is free, all else is as bad as an unknown word."""
    scorer = scorers["characters", 2, True]
    state = scorer.start(1)
    for token in [0, *CHARACTERS.encode("t")]:
        log_probs, state = scorer.step(torch.tensor([token]), state)
    lost = scorer.model.score("<unk>") - 1.5 - scorer.model.score("tan")
    expected = {"a": 0.0, "n": lost, "t": lost, "e": lost, "z": lost}
    for letter, score in expected.items():
        assert log_probs[0, CHARACTERS.encode(letter)[0]].item() == pytest.approx(score, abs=1e-6)
    assert lost < -1


def test_looking_ahead_takes_the_best_word_that_begins_so(scorers: dict) -> None:
    scorer = scorers["characters", 2, True]
    log_probs, _ = scorer.step(torch.tensor([0]), scorer.start(1))
    for letter in "atné":
        words = [word for word in scorer.model.words if word[0] == letter]
        best = max(scorer.model.score(word) for word in words)
        assert log_probs[0, CHARACTERS.encode(letter)[0]].item() == pytest.approx(best, rel=1e-6)


def test_states_may_be_reordered(scorers: dict) -> None:
    """As a beam search does."""
    order = torch.tensor([1, 1, 0])
    for key in (("letters", 3), ("pieces", 3, True), ("characters", 3, False)):
        scorer = scorers[key]
        state = scorer.start(2)
        for tokens in ([0, 0], [2, 1], [5, 3]):
            _, state = scorer.step(torch.tensor(tokens), state)
        more = torch.tensor([3, 4])
        expected, _ = scorer.step(more, state)
        found, _ = scorer.step(more[order], select_beams(state, order))
        torch.testing.assert_close(found, expected[order])


@pytest.mark.parametrize("name", ["letters", "words", "words with look-ahead"])
def test_a_beam_search_finds_the_best_of_all_texts(folder: Path, name: str) -> None:
    """Of two utterances of 4 and 3 frames: every text of a, n and the blank, by CTC and the model."""
    tokens = Tokens("a", "n", " ")
    if name == "letters":
        letters = [["<space>" if letter == " " else letter for letter in text] for text in ("an a", "na")]
        (folder / "few").write_text("".join(format_arpa(train_kneser_ney(letters, 3))))
        scorer = NGramScorer(f"{folder}/few", tokens)
    else:
        scorer = WordNGramScorer(f"{folder}/words2", tokens, look_ahead="look" in name)
    assert scorer.may_rise == ("look" in name)
    log_probs, lengths = torch.randn(2, 4, 4, dtype=torch.float64).log_softmax(-1), torch.tensor([4, 3])
    parts = [Scorer(scorer.step, scorer.start(2), 0.7, scorer.may_rise)]
    found = CTCBeam(beam_size=200, n_best=200)(log_probs, lengths, parts)
    texts = [list(text) for n in range(5) for text in product([1, 2, 3], repeat=n)]
    of_model = score_tokens(scorer.step, scorer.start(len(texts)), texts)
    for row, length, hypotheses in zip(log_probs, lengths, found, strict=True):
        expected = {}
        for text, lm in zip(texts, of_model, strict=True):
            target, n_tokens = torch.tensor([text], dtype=torch.int64), torch.tensor([len(text)])
            ctc = -ctc_loss(row[:, None], target, length[None], n_tokens, reduction="sum").item()
            if ctc > -math.inf:
                expected[tuple(text)] = ctc + 0.7 * lm
        assert {tuple(each.tokens): each.score for each in hypotheses} == pytest.approx(expected, rel=1e-5)
        assert tuple(hypotheses[0].tokens) == max(expected, key=expected.__getitem__)


def test_nothing_is_read_until_it_is_used(tmp_path: Path) -> None:
    for make in (NGramScorer, WordNGramScorer):
        scorer = make(str(tmp_path / "none"), CHARACTERS)
        with pytest.raises(UserError, match="none cannot be read"):
            scorer.start(2)


def test_models_of_other_units_are_told(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"5 of 7 words of .* are no tokens, such as 'an'; .* WordNGramScorer"
    ):
        NGramScorer(f"{folder}/words2", CHARACTERS).start(1)
    with pytest.raises(UserError, match="token 2 writes 'a b'; expected a blank at its begin only"):
        WordNGramScorer(f"{folder}/words2", Tokens(" a", "a b")).start(1)


def test_rows_are_kept_within_bounds(scorers: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (("letters", 3), ("characters", 3, True)):
        scorer = scorers[key]
        monkeypatch.setattr(f"{type(scorer).__module__}.MAX_CELLS", 1)
        whole = score_tokens(scorer.step, scorer.start(1), [CHARACTERS.encode("an ant at z")])
        assert len(getattr(scorer, "_words", scorer)._rows) <= 5
        monkeypatch.undo()
        again = score_tokens(scorer.step, scorer.start(1), [CHARACTERS.encode("an ant at z")])
        assert whole == again


def test_rescoring_orders_by_the_sum() -> None:
    n_best = [Hypothesis([1, 2], [0, 1], -3.0), Hypothesis([1], [0], -4.0), Hypothesis([], [], -3.0)]
    lm = [-5.0, -1.0, math.log(0.5)]
    assert rescore(n_best, [0.0] * 3, gamma=2.0) == sorted(n_best, key=lambda each: -each.score)
    found = rescore(n_best, lm, gamma=0.5, length_bonus=1.0)
    by_hand = {(1, 2): -3 - 2.5 + 2, (1,): -4 - 0.5 + 1, (): -3 + 0.5 * math.log(0.5)}
    assert {tuple(each.tokens): each.score for each in found} == pytest.approx(by_hand)
    assert [each.score for each in found] == sorted(by_hand.values(), reverse=True)
    assert rescore([], [], gamma=1.0) == []
    with pytest.raises(ValueError):
        rescore(n_best, lm[:2], gamma=0.5)


def test_a_file_is_told_by_its_name_order_and_sum(folder: Path, tmp_path: Path) -> None:
    """Before it is read, and as it was then."""
    for make, name in ((NGramScorer, "letters2"), (WordNGramScorer, "words3")):
        path = tmp_path / f"{name}.arpa"
        path.write_bytes((folder / name).read_bytes())
        total = hashlib.sha256(path.read_bytes()).hexdigest()
        early, late = make(str(path), CHARACTERS), make(str(path), CHARACTERS)
        expected = f"{make.__name__} of {name}.arpa, order {name[-1]}, sha256 {total[:12]}"
        assert early.describe() == expected
        late.start(1)
        path.write_text("another file by now")
        assert [early.describe(), late.describe()] == [expected, expected]


@pytest.mark.parametrize("make", [NGramScorer, WordNGramScorer])
def test_a_file_that_is_not_there_is_told_with_its_key(make: type, tmp_path: Path) -> None:
    for use in (lambda scorer: scorer.start(1), lambda scorer: scorer.describe()):
        with pytest.raises(UserError, match=r"none cannot be read.*--search\.lm\.arpa_file PATH") as told:
            use(make(str(tmp_path / "none"), CHARACTERS))
        assert told.value.key == "search.lm.arpa_file"


@pytest.mark.parametrize("by_bytes", [False, True])
def test_words_in_another_case_than_the_tokenizers_are_refused(folder: Path, by_bytes: bool) -> None:
    """Also where byte tokens could write them."""
    small, capitals = Tokens("a", "n", "t", "e", " "), Tokens(" A", "N", "T", " N", "E", "É")
    for tokens in (small, capitals) if by_bytes else ():
        tokens.symbols += [f"<0x{byte:02X}>" for byte in range(256)]
        tokens.spellings += [bytes([byte]) for byte in range(256)]
    assert WordNGramScorer(f"{folder}/words2", small).start(1)
    told = r"spell 0 of the 7 words of .*words2, and not '(\w+)'; expected words such as '(\w+)'; .* case"
    with pytest.raises(UserError, match=told) as error:
        WordNGramScorer(f"{folder}/words2", capitals).start(1)
    strange, familiar = re.search(told, str(error.value)).groups()
    assert (strange.upper(), error.value.key) == (familiar, "search.lm.arpa_file")
    told = r"5 of 6 words of .* are no tokens, such as '\w'; .*, such as '[A-Z]'; .* case"
    with pytest.raises(UserError, match=told):
        NGramScorer(f"{folder}/letters2", Tokens(*ALPHABET.upper())).start(1)


def test_words_of_other_texts_are_refused(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"spell 0 of the 7 words .* expected words spelled by 'x', 'y', \.\.\."
    ):
        WordNGramScorer(f"{folder}/words2", Tokens("x", "y")).start(1)


def test_one_word_in_a_hundred_is_enough() -> None:
    words = [f"w{number}" for number in range(1000)]
    spelled = [f" w{number}" for number in range(9)]
    others = [f" x{number}" for number in range(20)]
    check_spelling(words, Tokens(*spelled, " w9", *others), "f")
    with pytest.raises(UserError, match="spell 9 of the 1000 words of f, and not 'w9'"):
        check_spelling(words, Tokens(*spelled, *others), "f")


def test_of_few_whole_words_half_are_enough() -> None:
    """A tokenizer of three words beside a large model."""
    words = [f"w{number}" for number in range(1000)]
    check_spelling(words, Tokens(" w1", " w2", " x"), "f")
    with pytest.raises(UserError, match="spell 1 of the 1000 words"):
        check_spelling(words, Tokens(" w1", " y", " x"), "f")
    check_spelling([], Tokens(" x"), "f")


def test_sentence_pieces_bytes_do_not_count(tmp_path: Path) -> None:
    """Of the real tokenizer: it writes small letters by bytes alone."""
    tokenizer = SentencePieceTokenizer(264, "bpe")
    tokenizer.prepare(["AN ANT", "A TAN", "A NET"], tmp_path)
    check_spelling(["ANT", "TEN"], tokenizer, "f")
    with pytest.raises(UserError, match="and not 'ant'; expected words such as 'ANT'"):
        check_spelling(["ant", "ten"], tokenizer, "f")


@pytest.mark.parametrize("make", [NGramScorer, WordNGramScorer])
def test_before_pieces_are_learned_all_are_as_good(make: type, tmp_path: Path) -> None:
    """In a dry run, whose validation may search by them: what is found is what CTC finds alone."""
    tokenizer = SentencePieceTokenizer(7, byte_fallback=False)
    with pytest.raises(UserError, match="none cannot be read"):
        make(str(tmp_path / "none"), tokenizer).start(1)
    (tmp_path / "words").write_text("".join(format_arpa(train_kneser_ney([["ab"], ["ba"]], 2))))
    search = CTCSearch(CTCBeam(4, n_best=4), scorer := make(str(tmp_path / "words"), tokenizer), 0.7)
    heard = Heard(torch.randn(2, 5, 7).log_softmax(-1), torch.tensor([5, 3]), None)
    assert search(heard) == CTCSearch(search.beam)(heard)
    tokenizer.prepare(["ab b", "aa", "bab"], tmp_path)
    (tmp_path / "pieces").write_text("".join(format_arpa(train_kneser_ney([tokenizer.symbols], 2))))
    if make is NGramScorer:
        scorer = make(str(tmp_path / "pieces"), tokenizer)
    log_probs, _ = scorer.step(torch.tensor([0]), scorer.start(1))
    assert log_probs.shape == (1, 7)
    assert len(log_probs.unique()) > 1
