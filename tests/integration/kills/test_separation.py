"""Separation under kills and in two processes: the same weights, records and clips."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse import Recording, SupervisionSegment
from lhotse.cut import Cut
from torch.testing import assert_close

from speechkit.data import write_cuts

from .runs import Experiment, differences

RATE = 8000


def hum(random: np.random.Generator, pitch_hz: float, seconds: float) -> np.ndarray:
    """Some harmonics, louder and softer as syllables are."""
    times = np.arange(round(seconds * RATE)) / RATE
    loudness = 1.2 + np.sin(2 * np.pi * random.uniform(2, 5) * times + random.uniform(0, 6))
    return 0.05 * loudness * sum(np.sin(2 * np.pi * n * pitch_hz * times) / n for n in range(1, 6))


def write_cut(folder: Path, name: str, x: np.ndarray, speakers: list[str]) -> Cut:
    path = folder / f"{name}.wav"
    soundfile.write(path, x, RATE, subtype="FLOAT")
    cut = Recording.from_file(path, recording_id=name).to_cut()
    cut.id = name
    cut.supervisions = [
        SupervisionSegment(f"{name}-{n}", name, 0, cut.duration, speaker=speaker)
        for n, speaker in enumerate(speakers)
    ]
    return cut


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A run of one process that nobody killed."""
    folder, random = tmp_path_factory.mktemp("hums"), np.random.default_rng(0)
    corpus = folder / "corpus"
    corpus.mkdir()
    singles = [
        write_cut(corpus, f"single{n:02d}", hum(random, 80 + 25 * (n % 7), 0.5 + 0.05 * n), [f"s{n % 7}"])
        for n in range(14)
    ]
    write_cuts(singles, corpus / "singles.jsonl")
    mixtures = []
    for number in range(5):
        sources = [hum(random, pitch_hz, 0.5 + 0.1 * number) for pitch_hz in (90 + 7 * number, 230)]
        cut = write_cut(corpus, f"mixture{number}", sources[0] + sources[1], ["a", "b"])
        for n, x in enumerate(sources, start=1):
            alone_cut = write_cut(corpus, f"mixture{number}-{n}", x, [])
            setattr(cut, f"source{n}", alone_cut.recording)
        mixtures.append(cut)
    write_cuts(mixtures, corpus / "mixtures.jsonl")
    program = {"program": "train_separation.py", "hparams": "separation.yaml"}
    experiment = Experiment(folder / "one", corpus, overrides=("--batches_per_step", "2"), **program)
    experiment.run()
    return experiment


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def clips(run: Path) -> dict[str, bytes]:
    """What the page plays, by path."""
    files = [path for path in (run / "clips").glob("**/*") if path.is_file()]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", ["renamed:2", "weights:3"])
def test_a_killed_run_ends_as_one_that_was_not(alone: Experiment, kill_at: str, tmp_path: Path) -> None:
    killed = replace(alone, folder=tmp_path / "killed")
    killed.run(kill_at)
    killed.run()
    assert differences(killed.results(), alone.results()) == []
    assert clips(killed.folder) == clips(alone.folder)
    assert len(clips(alone.folder)) == 1 + 3 * 5


@pytest.mark.slow
def test_two_processes_separate_as_one(alone: Experiment, tmp_path: Path) -> None:
    together = replace(alone, folder=tmp_path / "two", n_processes=2)
    together.run()
    for found, expected in zip(
        *(read_lines(each.folder / "predictions" / "test.jsonl") for each in (together, alone)),
        strict=True,
    ):
        assert found["id"] == expected["id"]
        assert_close(found["scores"]["si_snri"], expected["scores"]["si_snri"], rtol=0, atol=0.05)
    assert clips(together.folder).keys() == clips(alone.folder).keys()
