"""A plausible run folder, written as a task writes it."""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from speechkit.report import choose_worst, write_clips, write_json, write_records
from tests.report.chromium import Browser, find_chromium, start_chromium

WORDS = ["down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes"]
HPARAMS = """seed: 1
data_folder: /data/speech_commands
labels: [yes, no, up, down, left, right, on, off, stop, go]
n_epochs: 12
model: !new:speechkit.models.BCResNet
    n_mels: 40
    n_classes: 10
"""


def make_description(**changes) -> dict:
    return {
        "schema": 1,
        "task": "classification",
        "dataset": "SpeechCommands",
        "recipe": "recipes/SpeechCommands/kws/train.py",
        "seed": 1,
        "hparams_sha256": "3b" * 32,
        "fingerprint": "9c" * 32,
        "commit": {"hash": "15d109a4c2b7e0aa34f6dd1e7d7f0f3b1b2c3d4e", "dirty": True},
        "versions": {
            "python": "3.11.7",
            "speechkit": "0.1.0",
            "torch": "2.11.0",
            "lhotse": "1.33.0",
            "cuda": None,
        },
        "parameters": 9232,
        "device": "cpu",
        "started": "2026-02-11T09:30:00+00:00",
        "overrides": {"n_epochs": 12, "data_folder": "/data/speech_commands"},
        **changes,
    }


def make_log(n_epochs=12, steps_each=40) -> list[dict]:
    chance, lines, step = random.Random(0), [], 0
    for epoch in range(1, n_epochs + 1):
        for _ in range(steps_each // 10):
            step += 10
            done = step / (n_epochs * steps_each)
            rate = 3e-3 * math.sin(math.pi * min(1.0, done + 0.02))
            loss = 2.3 * math.exp(-4 * done) + 0.1 + 0.1 * chance.random()
            lines.append(
                {"kind": "step", "step": step, "epoch": epoch, "loss": loss, "learning_rate": {"main": rate},
                 "gradient_norm": 2.0 + chance.random(), "time": 1763700000.0 + step}
            )  # fmt: skip
        valid_loss = 2.3 * math.exp(-3.6 * done) + 0.16 + 0.05 * chance.random()
        lines.append(
            {"kind": "epoch", "epoch": epoch, "step": step, "train": {"loss": loss},
             "valid": {"loss": valid_loss, "accuracy": 97 - 85 * math.exp(-5 * done) + chance.random()},
             "learning_rate": {"main": rate}, "best": epoch in (1, 2, 3, 5, 6, 8, 10),
             "skipped": {"steps_nonfinite": int(epoch == 2), "utterances": {"unreadable": 2}},
             "train_seconds": 8.0 + chance.random(), "valid_seconds": 1.0 + 0.2 * chance.random(),
             "time": 1763700000.0}
        )  # fmt: skip
    return lines


def make_records(n=300, n_speakers=40, n_skipped=1, words=WORDS, accuracy=0.93) -> list[dict]:
    chance, records = random.Random(1), []
    for number in range(n):
        speaker = f"s{number % n_speakers:02d}"
        reference = words[number % len(words)]
        right = chance.random() < accuracy
        hypothesis = reference if right else chance.choice([word for word in words if word != reference])
        third = next(word for word in words if word not in (reference, hypothesis))
        probability = 0.75 + 0.25 * chance.random() if right else 0.45 + 0.5 * chance.random()
        second = reference if not right else next(word for word in words if word not in (reference, third))
        top = [[hypothesis, probability], [second, (1 - probability) * 0.7], [third, (1 - probability) * 0.2]]
        loss = -math.log(probability if right else (1 - probability) * 0.7)
        records.append(
            {"id": f"{reference}/{speaker}_nohash_{number}", "speaker": speaker, "group": None,
             "seconds": 1.0, "audio": None, "reference": reference, "hypothesis": hypothesis,
             "alignment": None, "counts": {"correct": int(right), "total": 1},
             "scores": {"probability": probability, "loss": loss, "top": top}, "skipped": None}
        )  # fmt: skip
    for number in range(n_skipped):
        records.append(
            {"id": f"broken/{number}", "speaker": None, "group": None, "seconds": None, "audio": None,
             "reference": "yes", "hypothesis": None, "alignment": None, "counts": None, "scores": None,
             "skipped": "unreadable"}
        )  # fmt: skip
    return records


def make_model() -> dict:
    modules = [
        ("", "ModuleDict", 0, None, None),
        ("features", "LogMel", 0, [2, 101, 40], None),
        ("model", "BCResNet", 9232, [2, 10], None),
        ("model.stem", "Conv2d", 400, [2, 101, 20, 16], 1616000),
        ("model.block1", "BCBlock", 1712, [2, 101, 20, 8], 1400000),
        ("model.block1.frequency", "Conv2d", 1200, [2, 101, 20, 8], 1000000),
        ("model.block1.norm", "BatchNorm2d", 512, [2, 101, 20, 8], None),
        ("model.head", "Linear", 7120, [2, 10], 7120),
    ]
    rows = [
        {"name": n, "class": c, "parameters": p, "trainable": p, "output_shape": s, "multiply_adds": m}
        for n, c, p, s, m in modules
    ]
    return {"schema": 1, "modules": rows, "parameters": 9232, "trainable": 9232, "multiply_adds": 3023120,
            "input": {"seconds": 1.0}}  # fmt: skip


def make_tone(frequency_hz: float, seconds: float = 1.0, sample_rate: int = 16000) -> np.ndarray:
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    return (8000 * np.sin(2 * np.pi * frequency_hz * t) * np.hanning(len(t))).astype(np.int16)


def write_run(folder: Path, *, log=None, predictions=None, n_clips=12, model=True, description=None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "run.json", description or make_description(), "run")
    (folder / "hparams.yaml").write_text(HPARAMS)
    lines = make_log() if log is None else log
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    events = [{"event": "started", "time": 1763700000.0}, {"event": "finished", "time": 1763700900.0}]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    if model:
        write_json(folder / "model.json", make_model(), "model")
    for subset, records in ({"test": make_records()} if predictions is None else predictions).items():
        write_records(folder / f"predictions/{subset}.jsonl", records, "classification")
        worst = choose_worst(records, n_clips)
        write_clips(folder, subset, [(r["id"], make_tone(220 * 1.06**i), 16000) for i, r in enumerate(worst)])
    return folder


@pytest.fixture(scope="session")
def fake() -> SimpleNamespace:
    """What makes parts of a run folder, and a whole one."""
    makers = (make_description, make_log, make_records, make_model, make_tone, write_run)
    return SimpleNamespace(words=WORDS, **{maker.__name__: maker for maker in makers})


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A complete run."""
    return write_run(tmp_path / "run")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium without a network, one for all tests of a process."""
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine: the page is checked by its text alone")
    with start_chromium(tmp_path_factory.mktemp("chromium") / "profile") as started:
        yield started
