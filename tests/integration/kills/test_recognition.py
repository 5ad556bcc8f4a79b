"""Recognition in two processes: the texts of one process, and where in time they lie."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch.testing import assert_close

from .corpus import write_sequences
from .runs import Experiment


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A run of one process."""
    folder = tmp_path_factory.mktemp("sequences")
    write_sequences(folder / "corpus")
    experiment = Experiment(folder / "one", folder / "corpus", program="train_asr.py", hparams="asr.yaml")
    experiment.run()
    return experiment


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def evaluated(run: Path) -> dict[str, bytes]:
    """All that tells what was recognised and when, by path."""
    files = [*run.glob("predictions/*"), *run.glob("alignments/**/*")]
    return {str(path.relative_to(run)): path.read_bytes() for path in files if path.is_file()}


@pytest.mark.integration
def test_two_processes_evaluate_what_one_does(alone: Experiment, tmp_path: Path) -> None:
    """The same weights: the same bytes of predictions, CTM, alignments and TextGrids."""
    expected = evaluated(alone.folder)
    together = replace(alone, folder=tmp_path / "copy", n_processes=2)
    shutil.copytree(alone.folder, together.folder)
    for folder in ("predictions", "alignments"):
        shutil.rmtree(together.folder / folder)
    together.run()
    assert read_lines(together.folder / "log.jsonl") == read_lines(alone.folder / "log.jsonl")
    assert evaluated(together.folder) == expected
    assert {path.split(".", 1)[1] for path in expected} == {"jsonl", "ctm", "wer.txt", "TextGrid"}
    lines = read_lines(alone.folder / "alignments" / "test.jsonl")
    assert len(lines) == 26, "CTC's and the decoder's, of each of 13 utterances"
    assert len(list((alone.folder / "alignments" / "test").glob("*.TextGrid"))) == 13
    assert (alone.folder / "predictions" / "test.ctm").read_text().startswith("test%2000 1 ")


@pytest.mark.slow
def test_two_processes_learn_what_one_does(alone: Experiment, tmp_path: Path) -> None:
    together = replace(alone, folder=tmp_path / "two", n_processes=2)
    together.run()
    runs = [read_lines(each.folder / "predictions" / "test.jsonl") for each in (together, alone)]
    for found, expected in zip(*runs, strict=True):
        for key in ("id", "hypothesis", "reference", "counts"):
            assert found[key] == expected[key]
        assert [word for word, *_ in found["words"]] == [word for word, *_ in expected["words"]]
        times = ([time for _, *both, _ in each["words"] for time in both] for each in (found, expected))
        assert_close(*times, rtol=0, atol=0.041)  # a frame
    losses = (
        [line["loss"] for line in read_lines(each.folder / "log.jsonl") if line["kind"] == "step"]
        for each in (together, alone)
    )
    assert_close(*losses, rtol=1e-2, atol=1e-2)
    assert sum(record["hypothesis"] == record["reference"] for record in runs[1]) >= 4
