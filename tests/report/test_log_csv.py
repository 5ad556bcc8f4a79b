"""The log as a table: what pandas or a spreadsheet would read."""

import csv
import json
from pathlib import Path

from speechkit import report

EPOCH = {
    "kind": "epoch", "step": 3, "learning_rate": {"main": 0.1}, "best": True,
    "skipped": {"steps_nonfinite": 0, "utterances": {}}, "train_seconds": 1.5,
    "valid_seconds": 0.5, "time": 9.0,
}  # fmt: skip


def test_a_row_an_epoch_and_a_column_a_figure(tmp_path: Path) -> None:
    step = {"kind": "step", "step": 1, "epoch": 1, "loss": 2.0, "learning_rate": {"main": 0.1},
            "gradient_norm": 1.0, "time": 8.0}  # fmt: skip
    first = EPOCH | {"epoch": 1, "train": {"loss": 2.5}, "valid": {"loss": None, "accuracy": 50.0}}
    second = EPOCH | {"epoch": 2, "train": {"loss": 1.5}, "valid": {"loss": 1.25, "accuracy": 75.0}}
    second["valid"] |= {"more": 1.0}
    second["skipped"] = {"steps_nonfinite": 1, "utterances": {"unreadable": 2}}
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (step, first, second)))
    with open(report.write_log_csv(tmp_path)) as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["valid.loss"] for row in rows] == ["", "1.25"]
    assert [row["valid.accuracy"] for row in rows] == ["50.0", "75.0"]
    assert [row["valid.more"] for row in rows] == ["", "1.0"]
    assert rows[1]["skipped.utterances.unreadable"] == "2"
    assert rows[0]["learning_rate.main"] == "0.1"
