"""docs/own-data.md, done as it says: its files, its commands, on tones."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechkit import report

pytestmark = pytest.mark.integration

FENCE = re.compile(r"^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
HERTZ = {"low": 300, "high": 1500}
N_CLIPS = 40  # of each label
N_SPEAKERS = 10


@pytest.fixture(scope="module")
def page(project: Path) -> str:
    return (project / "docs" / "own-data.md").read_text()


def blocks(page: str, kind: str) -> list[str]:
    return [match["body"] for match in FENCE.finditer(page) if match["kind"] == kind]


@pytest.fixture(scope="module")
def folder(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page says to make; with a table of the clips beside their folders."""
    folder = tmp_path_factory.mktemp("mine")
    prepare, train = blocks(page, "python")
    (yaml,) = blocks(page, "yaml")
    for name, text in (("prepare.py", prepare), ("train.py", train), ("hparams.yaml", yaml)):
        (folder / name).write_text(text)
    random = np.random.default_rng(0)
    rows = ["path,label,speaker"]
    for label, hertz in HERTZ.items():
        (folder / "clips" / label).mkdir(parents=True)
        for number in range(N_CLIPS):
            name = f"{label}/{'ab'[label == 'low']}{number}.wav"
            time = np.arange(random.integers(3000, 6000)) / 8000
            tone = 0.3 * np.sin(2 * np.pi * hertz * random.uniform(0.8, 1.25) * time)
            x = tone + random.normal(0, 0.1, len(time))
            soundfile.write(folder / "clips" / name, x.clip(-1, 1), 8000)
            rows.append(f"{name},{label},speaker{number % N_SPEAKERS}")
    (folder / "clips" / "clips.csv").write_text("\n".join(rows) + "\n")
    return folder


def run(folder: Path, words: list[str]) -> str:
    program = [sys.executable] if words[0] == "python" else [sys.executable, "-m", "speechkit.cli"]
    done = subprocess.run(
        [*program, *words[1:]],
        cwd=folder,
        env=os.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ten_lines(page: str) -> None:
    lines = [line for body in blocks(page, "python") for line in body.splitlines() if line.strip()]
    assert len(lines) <= 10


def test_a_folder_for_each_label_by_the_commands_of_the_page(page: str, folder: Path) -> None:
    commands, _ = blocks(page, "bash")
    train, classify = (shlex.split(line) for line in commands.splitlines())
    told = run(folder, train)
    assert "report: runs/mine/1/report.html" in told
    result = report.read_json(folder / "runs" / "mine" / "1" / "report.json", "report")
    assert result["metrics"]["accuracy"]["n"] == 2 * N_CLIPS / 5
    assert result["metrics"]["accuracy"]["value"] >= 90  # chance is 50
    assert run(folder, classify).startswith("clips/high/a1.wav\thigh ")


def test_a_table_with_speakers_as_the_page_says(folder: Path) -> None:
    """Prepared only: what follows is the same."""
    text = (folder / "prepare.py").read_text()
    changed: dict = {}
    exec(text.replace("prepare_folder", "prepare_table"), changed)
    changed["prepare"](str(folder / "clips" / "clips.csv"), str(folder / "manifests"), list(HERTZ))
    from speechkit.data import read_cuts

    speakers = {
        name: {cut.supervisions[0].speaker for cut in read_cuts(folder / "manifests" / f"{name}.jsonl")}
        for name in ("train", "valid", "test")
    }
    assert {name: len(each) for name, each in speakers.items()} == {"train": 7, "valid": 1, "test": 2}
    assert len(set.union(*speakers.values())) == N_SPEAKERS


def write_spelled(folder: Path, n_clips: int) -> list[dict[str, str]]:
    """Texts of the letters a, b and c, each a tone of its pitch, with pauses for blanks."""
    random = np.random.default_rng(1)
    time = np.arange(1600) / 8000
    sounds = {
        letter: 0.3 * np.sin(2 * np.pi * f * time) for letter, f in zip("abc", (300, 900, 2000), strict=True)
    }
    sounds[" "] = np.zeros(1600)
    rows = []
    for number in range(n_clips):
        first, second = random.permutation(list("abc"))[:2], random.permutation(list("abc"))[:2]
        text = "".join(first) + " " + "".join(second)
        x = np.concatenate([part for letter in text for part in (sounds[letter], np.zeros(400))])
        soundfile.write(folder / f"{number}.wav", x + random.normal(0, 0.01, len(x)), 8000)
        rows.append({"path": f"{number}.wav", "text": text, "speaker": f"s{number % 10}"})
    return rows


SMALL = {
    "n_epochs": "30", "encoder.channels": "[32]", "encoder.hidden_size": "32", "encoder.num_layers": "1",
    "encoder.dropout": "0", "batch_seconds": "8", "optimizer.lr": "0.01",
    "augmentation": "null",
}  # fmt: skip


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_texts_by_the_command_of_the_page(ending: str, page: str, project: Path, tmp_path: Path) -> None:
    """A small net, for speakers that it never heard; the recipe and all else as the page has it."""
    rows, table = write_spelled(tmp_path, 80), tmp_path / f"table.{ending}"
    if ending == "jsonl":
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        table.write_text("path,text,speaker\n" + "".join(",".join(row.values()) + "\n" for row in rows))
    _, commands = blocks(page, "bash")
    place, train = (shlex.split(line) for line in commands.splitlines())
    assert place == ["cd", "recipes/own/asr"]
    train[train.index("TABLE")] = str(table)
    changes = (
        SMALL | {"output_folder": str(tmp_path / "run")} | ({"n_epochs": "1"} if ending == "csv" else {})
    )
    run(
        project / place[1],
        [*train, *(word for key, value in changes.items() for word in (f"--{key}", value))],
    )
    result = report.read_json(tmp_path / "run" / "report.json", "report")
    assert result["metrics"]["cer"]["n"] == 16  # two of ten speakers
    if ending == "jsonl":
        assert result["metrics"]["cer"]["value"] < 10
