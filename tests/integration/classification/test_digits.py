"""Digits by the recipe for FSDD, on the corpus itself: few of them, few epochs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechkit import report

pytestmark = pytest.mark.integration


def test_real_digits_are_understood(project: Path, real_data: Path, tmp_path: Path) -> None:
    if not (real_data / "fsdd").is_dir():
        pytest.skip(f"no FSDD at {real_data / 'fsdd'}: set SPEECHKIT_DATA to a folder that has it")
    overrides = {
        "data_folder": real_data / "fsdd",
        "output_folder": tmp_path / "run",
        "labels": '["1", "5", "8"]',
        "modules.model.n_classes": 3,
        "n_epochs": 5,
        "device": "cpu",
    }
    recipe = project / "recipes" / "FSDD" / "digits"
    words = [str(word) for key, value in overrides.items() for word in (f"--{key}", value)]
    done = subprocess.run(
        [sys.executable, str(recipe / "train.py"), str(recipe / "hparams" / "small.yaml"), *words],
        cwd=tmp_path,
        env=os.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    accuracy = report.read_json(tmp_path / "run" / "report.json", "report")["metrics"]["accuracy"]
    assert (accuracy["n"], accuracy["n_speakers"]) == (90, 6)
    assert accuracy["value"] >= 75  # chance is 33
