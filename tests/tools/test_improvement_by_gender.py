"""SI-SNRi by gender, on records made by hand."""

import importlib.util
import json
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def record(genders: str, si_snri: float | None, skipped: str | None = None) -> dict[str, object]:
    sources = [{"gender": each if each in "FM" else None} for each in genders]
    return {"sources": sources, "scores": {"si_snri": si_snri}, "skipped": skipped}


def test_rows_are_means_by_genders_of_what_was_measured(monkeypatch, capsys) -> None:
    spec = importlib.util.spec_from_file_location("by_gender", PROJECT / "tools/improvement_by_gender.py")
    assert spec is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    records = [record("FM", 4.0), record("MF", 8.0), record("MM", 1.0), record("M?", 3.0), record("FF", None)]
    skipped = {"id": "6", "skipped": "unreadable"}
    run = type("Run", (), {"predictions": {"tt": [*records, skipped]}})
    monkeypatch.setattr(tool.report, "read_run", lambda folder: run)
    monkeypatch.setattr("sys.argv", ["improvement_by_gender.py", "here"])
    tool.main()
    rows = json.loads(capsys.readouterr().out)["rows"]
    found = [(row["genders"], row["mixtures"], float(row["SI-SNRi,_dB"].split()[0])) for row in rows]
    assert found == [("F + M", 2, 6.0), ("M + M", 1, 1.0), ("not known", 1, 3.0), ("all", 4, 4.0)]
    assert {(row["run"], row["test_set"]) for row in rows} == {("here", "tt")}
