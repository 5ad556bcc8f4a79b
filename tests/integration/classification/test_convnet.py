"""The published convnet by its recipe, small, with unknown words and silence among the labels."""

from pathlib import Path

import pytest

from speechkit import report
from speechkit.tasks import Classification, main

pytestmark = pytest.mark.integration

LABELS = ["yes", "stop", "_unknown_", "_silence_"]  # of the corpus's words "left" is unknown
SMALL = {
    "labels": f"[{', '.join(LABELS)}]",
    "modules.model.n_classes": len(LABELS),
    "modules.model.channels": "[8, 16, 24, 32]",
    "modules.model.dropout": 0,
    "modules.model.hidden_dropout": 0.2,
    "modules.model.n_hidden": 32,
    "optimizer.lr": 0.003,
    "n_epochs": 16,
    "patience": "null",
    "batch_size": 8,
    "device": "cpu",
}


def test_complex_spectrograms_tell_words_unknown_ones_and_silence_apart(
    corpus: Path, recipe: Path, tmp_path: Path
) -> None:
    folders = ["--data_folder", str(corpus), "--output_folder", str(tmp_path / "run")]
    settings = [str(word) for key, value in SMALL.items() for word in (f"--{key}", value)]
    main(
        Classification,
        str(recipe / "train.py"),
        [str(recipe / "hparams" / "cnn.yaml"), *folders, *settings],
    )
    run = report.read_run(tmp_path / "run")
    records = run.predictions["test"]
    assert {label: sum(each["reference"] == label for each in records) for label in LABELS} == dict.fromkeys(
        LABELS, 24
    )
    assert (
        report.read_json(tmp_path / "run" / "report.json", "report")["metrics"]["accuracy"]["value"] >= 60
    )  # chance is 25
    right = {
        label: sum(each["counts"]["correct"] for each in records if each["reference"] == label)
        for label in LABELS
    }
    assert right["_silence_"] >= 20  # easy: 24 of 24 as a rule
