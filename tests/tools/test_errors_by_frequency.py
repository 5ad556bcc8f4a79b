"""Words wrong by how often training had them, on a run folder made by hand."""

import importlib.util
import json
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

ARPA = "\\data\\\nngram 1=4\n\n\\1-grams:\n-1\t<s>\n-1\t</s>\n-1\telm\n-1\ttree\n\n\\end\\\n"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("frequency", PROJECT / "tools/errors_by_frequency.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cut(name: str, text: str) -> str:
    return json.dumps({"id": name, "supervisions": [{"text": text}]})


def record(name: str, *alignment: list[str | None]) -> dict[str, object]:
    return {"id": name, "alignment": alignment, "skipped": None}


def test_rows_count_words_by_kind(tool, tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "manifests").mkdir()
    lines = [cut("a", "the the the"), cut("b", "the the tree")]
    (tmp_path / "manifests" / "train.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "lm.arpa").write_text(ARPA)
    records = [
        record("1", ["C", "the", "the"], ["S", "tree", "free"], ["I", None, "oh"]),
        record("2", ["D", "the", None], ["S", "elm", "helm"], ["C", "oak", "oak"]),
        record("3", ["C", "the", "the"]),
    ]
    run = type("Run", (), {"predictions": {"test": records}})
    monkeypatch.setattr(tool.report, "read_run", lambda folder: run)
    arguments = ["errors_by_frequency.py", str(tmp_path), "--arpa", str(tmp_path / "lm.arpa")]
    monkeypatch.setattr("sys.argv", arguments)
    tool.main()
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["in_training"], row["words"], row["wrong"]) for row in rows] == [
        ("5 times or more", 3, 1),
        ("1 to 4 times", 1, 1),
        ("only in the language model", 1, 1),
        ("never", 1, 0),
    ]
    assert rows[0]["wrong,_%"].startswith("33.3 [")
