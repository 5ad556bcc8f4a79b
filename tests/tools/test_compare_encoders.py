"""The comparison of encoders: figures over seeds, and differences that are paired clip by clip."""

import importlib.util
from pathlib import Path

import pytest

from speechkit.report import Run

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("compare_encoders", PROJECT / "tools/compare_encoders.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_run(folder: Path, correct: list[int]) -> Run:
    records = [
        {"id": f"clip{n}", "speaker": f"speaker{n // 2}", "counts": {"correct": each, "total": 1}}
        for n, each in enumerate(correct)
    ]
    return Run(folder, {}, None, epochs=[{"train_seconds": 3.0}], predictions={"test": records})


@pytest.fixture
def reports(tool, monkeypatch):
    """Of every run, made from its records."""
    metric = {"accuracy": {"value": 50.0}}
    report = {"parameters": 1234, "metrics": metric, "n_epochs": 1, "commit": None}
    monkeypatch.setattr(tool.report, "read_json", lambda path, kind: report)


def test_differences_are_paired(tool, reports, tmp_path):
    n = 40
    first = [clip % 2 for clip in range(n)]  # every speaker one of two
    second = [1 if clip < n // 2 else first[clip] for clip in range(n)]  # right in the first ten speakers
    runs = {
        "real": [make_run(tmp_path, first), make_run(tmp_path, first)],
        "complex": [make_run(tmp_path, first), make_run(tmp_path, second)],
        "same": [make_run(tmp_path, first), make_run(tmp_path, first)],
    }
    real, other, same = tool.compare(runs)
    assert real["accuracy,_%"].startswith("50.0 [")
    assert real["difference,_points"] == ""
    assert other["accuracy,_%"].startswith("62.5 [")
    value, ends = other["difference,_points"].split(" ", 1)
    low, high = (float(end) for end in ends.strip("[]").split(", "))
    # ten speakers gain 25 points and ten none: a deviation of 12.8, over the root of 20, 2.09 times (Student)
    assert (value, low, high) == ("12.5", pytest.approx(6.5, abs=1), pytest.approx(18.5, abs=1))
    assert same["difference,_points"] == "0.0"
    assert (real["speakers"], real["test_clips"], real["parameters"]) == (20, 40, "1,234")


def test_a_control_differs_from_its_twin(tool, reports, tmp_path):
    correct = [clip % 3 > 0 for clip in range(30)]
    wrong_at = [correct[clip] and clip % 5 > 0 for clip in range(30)]
    runs = {"real": [make_run(tmp_path, correct)], "strf": [make_run(tmp_path, correct)]}
    runs["strf-frozen"] = [make_run(tmp_path, wrong_at)]
    rows = tool.compare(runs)
    assert [row["from_its_twin,_points"] for row in rows[:2]] == ["", ""]
    assert rows[2]["from_its_twin,_points"] == rows[2]["difference,_points"]
    assert rows[2]["from_its_twin,_points"].startswith("-13.3 [-")


def test_the_recipe_is_changed_in_one_line(tool, tmp_path):
    text = (PROJECT / "recipes/SpeechCommands/kws/hparams/encoders.yaml").read_text().splitlines()
    variant = tool.write_variant("quaternion", tmp_path).read_text().splitlines()
    changed = [(old, new) for old, new in zip(text, variant, strict=True) if old != new]
    assert len(changed) == 1
    assert f"{PROJECT}/configs/encoders/quaternion.yaml" in changed[0][1]


def test_an_encoder_that_is_not_there_is_named(tool, tmp_path):
    with pytest.raises(SystemExit, match=r"no octonion.yaml.*complex, quaternion, real, strf"):
        tool.write_variant("octonion", tmp_path)
