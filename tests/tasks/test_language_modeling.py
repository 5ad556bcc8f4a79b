"""Language models against the same computed by hand: losses, figures, what is left out."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from speechkit import report
from speechkit.data import CharacterTokenizer, TextBatch, TextBatches
from speechkit.decoding import score_tokens
from speechkit.errors import UserError
from speechkit.models import RecurrentLM, TransformerLM
from speechkit.report.language_modeling import MEASURES, badness
from speechkit.report.result import describe_metric
from speechkit.tasks import LanguageModel, LanguageModeling
from speechkit.tasks.language_modeling import split_by_word
from speechkit.training import Stage

LETTERS = CharacterTokenizer("ab ")
TEXTS = ["ab b", "aa", "", "bbbb a ab"]


class Even(nn.Module):
    """Every token as likely as any other."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return self.level.expand(len(tokens), tokens.shape[1] + 1, LETTERS.n_tokens)


def make_brain(folder: Path, lm: nn.Module, **changes: Any) -> LanguageModeling:
    data = TextBatches([str(folder / "texts.txt")], batch_size=2)
    settings: dict[str, Any] = {
        "modules": {"lm": lm},
        "optimizer": lambda weights: torch.optim.SGD(weights, lr=0.1),
        "train_data": data,
        "valid_data": data,
        "output_folder": folder,
        "n_epochs": 1,
        "tokenizer": LETTERS,
        "device": "cpu",
    }
    return LanguageModeling(**settings | changes)


def make_batch(texts: list[str]) -> TextBatch:
    return TextBatch([f"s{row}" for row in range(len(texts))], texts, [None] * len(texts))


def evaluate(brain: LanguageModeling, batch: TextBatch) -> tuple[Any, list[dict[str, Any]]]:
    brain.modules.eval()
    with torch.no_grad():
        predictions = brain.compute_forward(batch, Stage.TEST)
        loss = brain.compute_objectives(predictions, batch, Stage.TEST)
        return loss, brain.compute_records(predictions, batch, Stage.TEST)


@pytest.mark.parametrize("make", [RecurrentLM, TransformerLM])
def test_a_text_has_the_probability_of_its_tokens_one_by_one(make, tmp_path: Path) -> None:
    """In a batch of any lengths: the sum over steps of the text alone, and so says `LanguageModel.score`."""
    torch.manual_seed(3)
    lm = make(LETTERS.n_tokens, width=8, num_layers=1).double()
    loss, records = evaluate(make_brain(tmp_path, lm), make_batch(TEXTS))
    expected = [score_tokens(lm.step, lm.start(1), [LETTERS.encode(text)])[0] for text in TEXTS]
    found = [record["scores"]["log_probability"] for record in records]
    assert found == pytest.approx(expected, rel=1e-9)
    assert LanguageModel(nn.ModuleDict({"lm": lm}), LETTERS).score(TEXTS) == pytest.approx(expected, rel=1e-9)
    assert (loss.total.item(), loss.count) == (pytest.approx(-sum(expected)), sum(map(len, TEXTS)) + 4)
    for record, score in zip(records, expected, strict=True):
        report.validate_record(record | {"speaker": None}, task="lm", file="here")
        assert sum(bits for _, bits in record["surprise"]) == pytest.approx(-score / math.log(2), abs=0.01)
        assert [word for word, _ in record["surprise"]] == [*record["reference"].split(), ""]


def test_figures_of_even_odds_are_known(tmp_path: Path) -> None:
    """Of V tokens all alike: V a token, V ^ (tokens / words) a word, log2 V bits a character."""
    brain = make_brain(tmp_path, Even())
    _, records = evaluate(brain, make_batch(TEXTS))
    n_tokens, n_words = sum(map(len, TEXTS)) + 4, sum(len(text.split()) for text in TEXTS) + 4
    figures = {name: describe_metric(measure, records)["value"] for name, measure in MEASURES.items()}
    expected = {"perplexity": 4 ** (n_tokens / n_words), "token_perplexity": 4, "bits_per_character": 2}
    assert figures == pytest.approx(expected, rel=1e-5)
    assert brain.summarize(records) == pytest.approx({name: expected[name] for name in list(expected)[:2]})


def test_figures_of_weights_that_are_not_finite_are_none(tmp_path: Path) -> None:
    lm = Even()
    lm.level.data.fill_(torch.nan)
    _, records = evaluate(make_brain(tmp_path, lm), make_batch(TEXTS))
    read = [report.replace_nonfinite(record) for record in records]
    for record in read:
        report.validate_record(record, task="lm", file="here")
    assert [describe_metric(measure, read)["value"] for measure in MEASURES.values()] == [None] * 3
    assert badness(read[0])[0] == math.inf


def test_an_unknown_symbol_is_named_and_counted_or_stops(tmp_path: Path) -> None:
    batch = make_batch(["ab", "aXb", "b"])
    kept = make_brain(tmp_path, Even()).screen(batch)
    assert (kept.ids, kept.texts) == (["s0", "s2"], ["ab", "b"])
    assert [(each.id, each.reason) for each in kept.skipped] == [("s1", "unknown symbol")]
    assert "s1" in kept.notices[0]
    assert "'X'" in kept.notices[0]
    with pytest.raises(UserError, match=r"s1.*'X'.*unfit_targets: skip"):
        make_brain(tmp_path, Even(), unfit_targets="stop").screen(batch)
    with pytest.raises(UserError, match="skip or stop"):
        make_brain(tmp_path, Even(), unfit_targets="drop")


def test_a_text_with_an_unknown_symbol_is_left_out_of_figures_and_counted(tmp_path: Path) -> None:
    loss, records = evaluate(make_brain(tmp_path, Even()), make_batch(["ab", "aXb", "b"]))
    assert [record["skipped"] for record in records] == [None, "unknown symbol", None]
    assert (loss.total.item(), loss.count) == (pytest.approx(5 * math.log(4)), 5)
    assert "scores" not in records[1]
    loss, _ = evaluate(make_brain(tmp_path, Even()), make_batch(["X"]))
    assert (loss.total.item(), loss.count) == (0, 0)


def test_a_model_of_another_width_is_told(tmp_path: Path) -> None:
    brain = make_brain(tmp_path, RecurrentLM(7, width=4, hidden_size=4))
    with pytest.raises(UserError, match=r"gives 7 outputs.*one output a token") as told:
        brain.compute_forward(brain.fake_batch(), Stage.VALID)
    assert told.value.key == "modules.lm"


@given(st.lists(st.sampled_from([b"a", b" ", b" b", "é".encode(), b"\xc3"]), max_size=8))
def test_bits_of_words_add_up(spellings: list[bytes]) -> None:
    scores = [-0.5 * number for number in range(len(spellings) + 1)]
    words = split_by_word(spellings, scores)
    assert sum(bits for _, bits in words) == pytest.approx(-sum(scores) / math.log(2), abs=0.01)
    assert words[-1][0] == ""
    assert len(words) <= len(spellings) + 1
