"""`speechkit train`."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.integration
def test_train_runs_the_recipe_beside_the_yaml(trained: Path, run_cli, tmp_path: Path) -> None:
    done = run_cli(
        "train", trained / "tones.yaml", "--folder", trained, "--output_folder", "run", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "report: run/report.html" in done.stdout
    assert json.loads((tmp_path / "run" / "run.json").read_text())["recipe"] == str(trained / "train.py")
    result = json.loads((tmp_path / "run" / "report.json").read_text())
    assert result["metrics"]["accuracy"]["value"] >= 80
    same = ("predictions/test.jsonl", "checkpoints/epoch-0003/modules.safetensors")
    for name in same:  # in another process and another folder
        assert (tmp_path / "run" / name).read_bytes() == (trained / "run" / name).read_bytes()


@pytest.mark.integration
def test_train_gives_the_code_and_the_words_of_the_recipe(run_cli, recipe: Path) -> None:
    done = run_cli("train", recipe, "--folder", "nowhere", "--seed", "one")
    assert done.returncode == 2
    assert "seed: expected a whole number, found text 'one'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_a_run_that_is_interrupted_ends_with_130(recipe: Path, run_cli) -> None:
    (recipe.parents[1] / "train.py").write_text(
        "import speechkit.tasks.entry as entry\nfrom speechkit.tasks import Classification, main\n\n\n"
        "def interrupted(*arguments):\n    raise KeyboardInterrupt\n\n\n"
        "entry.config.brain_schema = interrupted\nmain(Classification, __file__)\n"
    )
    done = run_cli("train", recipe)
    assert done.returncode == 130
    assert "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_ctrl_c_reaches_the_training_and_it_goes_on(trained: Path, tmp_path: Path) -> None:
    """`speechkit train` becomes the training: one process, which a signal to it alone stops and saves."""
    command = [sys.executable, "-m", "speechkit.cli", "train", trained / "tones.yaml", "--folder", trained]
    command += ["--output_folder", tmp_path / "run", "--n_epochs"]
    log = tmp_path / "run" / "log.jsonl"
    with subprocess.Popen([*map(str, command), "100000"], stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 120
        while not (log.exists() and log.stat().st_size):
            assert process.poll() is None
            assert time.monotonic() < end, "no epoch in two minutes"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in told
    assert "Traceback" not in told
    n_done = len(log.read_text().splitlines())
    done = subprocess.run(
        [*map(str, command), str(n_done + 1)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line)["event"] for line in (tmp_path / "run" / "events.jsonl").open()]
    told_of = [event for event in events if event not in ("started", "changed")]  # n_epochs is another one
    assert told_of == ["interrupted", "resumed", "finished"]
