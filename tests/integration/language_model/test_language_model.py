"""Language models beside what bounds them: the grammar that made their texts, and n-grams."""

import math
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from speechkit import load, report
from speechkit.data.sentences import draw_sentence, vocabulary
from speechkit.decoding.kneser_ney import train_kneser_ney
from speechkit.decoding.ngram import perplexity
from speechkit.tasks import LanguageModeling, main

from .grammar import SENTENCE, log_probability

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
Learn = Callable[..., Path]


@pytest.fixture
def learn(tmp_path: Path) -> Learn:
    """Train by one of the YAMLs on sentences by subset; the run's folder."""

    def call(name: str, subsets: dict[str, list[str]], *more: object) -> Path:
        for subset, sentences in subsets.items():
            (tmp_path / f"{subset}.txt").write_text("".join(f"{sentence}\n" for sentence in sentences))
        given = ["--output_folder", tmp_path / "run", "--texts", tmp_path, "--device", "cpu", *more]
        arguments = [HERE / "hparams" / f"{name}.yaml", *given]
        main(LanguageModeling, str(HERE / "train.py"), list(map(str, arguments)))
        return tmp_path / "run"

    return call


def test_a_grammar_is_learned_almost_to_its_entropy(learn: Learn) -> None:
    """Better than trigrams with Kneser-Ney smoothing, and within a tenth of the perplexity of the truth."""
    assert math.isclose(sum(SENTENCE.values()), 1)
    random = Random(5)
    train, valid, test = ([draw_sentence(random) for _ in range(n)] for n in (6000, 200, 500))
    run = learn("words", {"train": train, "valid": valid, "test": test}, "--words", " ".join(vocabulary()))
    metrics = report.read_json(run / "report.json", "report")["metrics"]
    sentences = [sentence.split() for sentence in test]
    n_words = sum(len(sentence) + 1 for sentence in sentences)
    truth = math.exp(-sum(map(log_probability, sentences)) / n_words)
    trigrams = perplexity(train_kneser_ney([sentence.split() for sentence in train], 3), sentences)
    assert truth < metrics["perplexity"]["value"] < min(1.1 * truth, trigrams)
    assert metrics["perplexity"]["n"] == 500
    assert metrics["token_perplexity"]["value"] == pytest.approx(metrics["perplexity"]["value"], rel=1e-5)
    assert report.read_json(run / "report.json", "report")["seconds"] < 60
    check_use(run, test)
    assert "Least likely texts" in (run / "report.html").read_text()


def check_use(run: Path, texts: list[str]) -> None:
    """What is loaded gives each text what the report says, in another order and alone."""
    records = report.read_run(run).predictions["test"]
    told = {record["reference"]: record["scores"]["log_probability"] for record in records}
    model, some = load(run), texts[:40]
    assert model.score(some) == pytest.approx([told[text] for text in some], rel=1e-4)
    assert model.score([some[3]]) == pytest.approx([told[some[3]]], rel=1e-4)


def test_real_texts_are_learned_better_than_by_trigrams(real_data: Path, learn: Learn) -> None:
    """Characters of LibriSpeech's dev-clean, speakers apart; trigrams of characters as the bound."""
    path = real_data / "librispeech" / "text" / "dev-clean.txt"
    if not path.is_file():
        pytest.skip(f"no {path}: set SPEECHKIT_DATA to a folder that has it")
    texts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for line in path.read_text().splitlines():
        name, text = line.split(" ", 1)
        speaker = int(name.split("-")[0])
        texts["test" if speaker % 7 == 0 else "valid" if speaker % 7 == 1 else "train"].append(text)
    run = learn("characters", texts)
    metrics = report.read_json(run / "report.json", "report")["metrics"]
    bound = perplexity(train_kneser_ney(map(list, texts["train"]), 3), map(list, texts["test"]))
    assert metrics["token_perplexity"]["value"] < bound
    bits = math.log2(metrics["token_perplexity"]["value"])
    assert metrics["bits_per_character"]["value"] == pytest.approx(bits, abs=1e-5)
    check_use(run, texts["test"])
