"""The corpus and the run that nobody killed, once a session."""

from pathlib import Path

import pytest

from .corpus import write_corpus
from .runs import Experiment

collect_ignore = ["programs"]  # run by themselves, not imported


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills") / "corpus"
    write_corpus(folder)
    return folder


@pytest.fixture(scope="session")
def undisturbed(corpus: Path) -> dict[str, object]:
    """The results of the run that was never killed."""
    experiment = Experiment(corpus.parent / "undisturbed", corpus)
    experiment.run()
    return experiment.results()


@pytest.fixture
def experiment(tmp_path: Path, corpus: Path) -> Experiment:
    return Experiment(tmp_path / "run", corpus)
