"""Keyword spotting by its recipe, small: few voices, few words, a small net."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from speechkit.data import synthesize_speech_commands

Train = Callable[..., "subprocess.CompletedProcess[str]"]


def settings(words: list[str]) -> list[str]:
    """Overrides of quickstart.yaml that make it a matter of seconds."""
    overrides = {
        "labels": f"[{', '.join(words)}]",
        "modules.model.n_classes": len(words),
        "modules.model.channels": "[8, 16, 24]",
        "modules.model.dropout": 0,
        "optimizer.lr": 0.01,
        "batch_size": 8,
        "device": "cpu",
    }
    return [str(word) for key, value in overrides.items() for word in (f"--{key}", value)]


@pytest.fixture(scope="session")
def recipe(project: Path) -> Path:
    return project / "recipes" / "SpeechCommands" / "kws"


@pytest.fixture(scope="session")
def train(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Run the recipe's train.py in a process of its own, from a folder that has nothing to do with it."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def call(*arguments: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, recipe / "train.py", recipe / "hparams" / "quickstart.yaml", *arguments]
        return subprocess.run(
            list(map(str, command)),
            cwd=elsewhere,
            env=os.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    return call


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three words by fifty voices, of which twelve are only heard in the test."""
    folder = tmp_path_factory.mktemp("synthetic") / "corpus"
    words = ("yes", "stop", "left")
    return synthesize_speech_commands(folder, n_voices=50, words=words, n_takes=2, noise_seconds=5.0)
