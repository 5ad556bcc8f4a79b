"""`speechkit synth`."""

from pathlib import Path

import pytest

from .conftest import Typed


def test_synth_makes_the_corpus_that_it_is_asked_for(typed: Typed, tmp_path: Path) -> None:
    arguments = ("synth", "speech-commands", tmp_path / "corpus", "--n_voices", 4, "--seed", 3)
    code, told, _ = typed(*arguments)
    assert (code, str(tmp_path / "corpus") in told) == (0, True)
    names = {path.name for path in (tmp_path / "corpus").iterdir()}
    assert {"yes", "stop", "_background_noise_", "testing_list.txt", "validation_list.txt"} <= names
    assert len(list((tmp_path / "corpus" / "yes").glob("*_nohash_*.wav"))) == 4
    before = (tmp_path / "corpus" / "synthesis.json").stat().st_mtime_ns
    assert typed(*arguments)[0] == 0
    assert (tmp_path / "corpus" / "synthesis.json").stat().st_mtime_ns == before, "made again"
    code, _, complaints = typed(*arguments[:-1], 4)
    assert (code, "another seed" in complaints) == (2, True)


def test_synth_refuses_a_folder_with_something_in_it(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    code, _, complaints = typed("synth", "speech-commands", tmp_path, "--n_voices", 4)
    assert code == 2
    assert "holds something else" in complaints
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "arguments", [["--n_voices", "0"], ["--n_voices", "-5"], ["--n_voices", "99999"], ["--n_voices", "many"]]
)
def test_synth_of_impossible_corpora(arguments: list[str], typed: Typed, tmp_path: Path) -> None:
    code, _, complaints = typed("synth", "speech-commands", tmp_path / "corpus", *arguments)
    assert (code, "n_voices" in complaints) == (2, True)
    assert not (tmp_path / "corpus").exists()


def test_synth_where_nothing_can_be_written(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        code, _, complaints = typed("synth", "speech-commands", folder, "--n_voices", 4)
        assert code == 2, complaints
        assert str(folder) in complaints


def test_synth_takes_sentences_of_several_files(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("u1 go\nu2 stop\n")
    (tmp_path / "b").write_text("left\nright\n")
    arguments = ("synth", "librispeech", tmp_path / "corpus", "--n_voices", 4, "--n_utterances", 4)
    assert typed(*arguments, "--texts", tmp_path / "a", tmp_path / "b")[0] == 0
    lines = [path.read_text().split() for path in (tmp_path / "corpus").rglob("*.trans.txt")]
    assert sorted(word for _, word in lines) == ["GO", "LEFT", "RIGHT", "STOP"]
    code, _, complaints = typed(*arguments, "--texts", tmp_path / "b", tmp_path / "a")
    assert (code, "another texts" in complaints) == (2, True)


def test_synth_of_mixtures_and_sinusoids(typed: Typed, tmp_path: Path) -> None:
    counts = ("--n_voices", 21, "--n_mixtures", 4, "--n_sources", 3)
    code, told, _ = typed("synth", "2mix", tmp_path / "mixtures", *counts)
    assert (code, "WSJ0-3mix" in told) == (0, True)
    assert len(list((tmp_path / "mixtures/wav8k/min/tr/s3").glob("*.wav"))) == 2
    arguments = ("synth", "sinusoids", tmp_path / "sines", "--n_examples", 3, "--seconds", 0.1)
    assert typed(*arguments)[0] == 0
    assert len((tmp_path / "sines/info.csv").read_text().splitlines()) == 4
    code, _, complaints = typed(*arguments, "--seed", 5)
    assert (code, "another seed" in complaints) == (2, True)
