"""The epochs of a run as a table that spreadsheets open."""

import csv
import io
from pathlib import Path
from typing import Any

from speechkit.report.formats import read_log, write_atomic


def write_log_csv(folder: str | Path) -> Path:
    """Write `log.csv` beside `log.jsonl`: a row an epoch, a column a figure, such as `valid.accuracy`."""
    folder = Path(folder)
    rows = [_flat(line) for line in read_log(folder / "log.jsonl") if line["kind"] == "epoch"]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomic(folder / "log.csv", text.getvalue().encode())
    return folder / "log.csv"


def _flat(line: dict[str, Any], within: str = "") -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in line.items():
        if isinstance(value, dict):
            row |= _flat(value, f"{within}{name}.")
        elif name != "kind":
            row[within + name] = value
    return row
