"""Tables of documents are what their results say."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(tmp_path: Path) -> ModuleType:
    """The tool, with a project of its own."""
    spec = importlib.util.spec_from_file_location("write_tables", PROJECT / "tools" / "write_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.PROJECT = tmp_path
    return module


def make_report(accuracy: float, seed: int = 1, **changes: object) -> dict:
    metric = {"value": accuracy, "ci95": [accuracy - 2, accuracy + 1], "n": 299, "unit": "%"}
    return {
        "dataset": "SpeechCommands",
        "subset": "test",
        "subsets": {"test": {"n": 299}},
        "metrics": {"accuracy": {**metric, "ci95_speakers": [accuracy - 3, accuracy + 2]}},
        "parameters": 123456,
        "n_epochs": 12,
        "best_epoch": 9,
        "seconds": 630.0,
        "seed": seed,
        "commit": {"hash": "0123456789abcdef", "dirty": False},
        **changes,
    }


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A README with a table over two reports, still empty."""
    folder = tmp_path / "recipes" / "Words" / "kws"
    (folder / "results").mkdir(parents=True)
    for seed, accuracy in ((1, 97.31), (2, 96.0)):
        (folder / "results" / f"small-seed{seed}.json").write_text(json.dumps(make_report(accuracy, seed)))
    path = folder / "README.md"
    path.write_text(
        "# Words\n\n<!-- table: results/small-seed*.json -->\n<!-- end of table -->\n\nThat was it.\n"
    )
    return path


def run(tool: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["write_tables.py", *arguments])
    return tool.main()


def test_a_table_is_filled(tool: ModuleType, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tool, monkeypatch) == 0
    text = page.read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    header, rule, first, second, mean = rows
    assert all(len(row) == len(header) for row in rows)
    assert set(rule) == {"---"}
    column = dict(zip(header, first, strict=True))
    assert column["run"] == "small-seed1"
    assert column["accuracy, %"] == "97.31 [95.31, 98.31]"
    assert column["accuracy, interval over speakers"] == "[94.31, 99.31]"
    assert column["test set"] == "SpeechCommands, 299 clips"
    assert column["parameters"] == "123,456"
    assert column["epochs (best)"] == "12 (9)"
    assert column["training, minutes"] == "10.5"
    assert column["commit"] == "0123456789"
    assert second[header.index("seed")] == "2"
    # The standard deviation of two numbers is their distance over the root of two.
    assert mean[header.index("accuracy, %")] == "mean 96.66, worst 96.00 (deviation 0.93)"
    assert mean[0] == "2 seeds"
    assert text.startswith("# Words\n\n<!-- table: results/small-seed*.json -->\n")
    assert text.endswith("<!-- end of table -->\n\nThat was it.\n")


def test_filling_twice_changes_nothing(tool: ModuleType, page: Path, monkeypatch, capsys) -> None:
    run(tool, monkeypatch)
    text = page.read_text()
    assert "written" in capsys.readouterr().out
    assert run(tool, monkeypatch) == 0
    assert page.read_text() == text
    assert capsys.readouterr().out == ""


def test_check_finds_a_stale_table_and_changes_nothing(
    tool: ModuleType, page: Path, monkeypatch, capsys
) -> None:
    run(tool, monkeypatch)
    assert run(tool, monkeypatch, "--check") == 0
    capsys.readouterr()
    filled = page.read_text()
    for stale in (filled.replace("97.31", "99.31"), filled.replace("10.5", "10.4")):
        page.write_text(stale)
        assert run(tool, monkeypatch, "--check") == 1
        assert f"{page.relative_to(tool.PROJECT)}: not what its results say" in capsys.readouterr().out
        assert page.read_text() == stale
    page.write_text(filled)
    result = page.parent / "results" / "small-seed2.json"
    result.write_text(json.dumps(make_report(95.9, 2)))
    assert run(tool, monkeypatch, "--check") == 1


def test_several_tables_on_a_page_and_several_pages(
    tool: ModuleType, page: Path, tmp_path: Path, monkeypatch
) -> None:
    (page.parent / "results" / "quick.json").write_text(json.dumps(make_report(90.0)))
    page.write_text(
        page.read_text() + "<!-- table: results/quick.json -->\nold\n<!-- end of table -->\nEnd.\n"
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "benchmarks.md").write_text(
        "<!-- table: loop.json -->\n<!-- end of table -->\nText.\n"
    )
    (tmp_path / "docs" / "loop.json").write_text(json.dumps({"overhead_percent": 3.1, "spread": [2.5, 4.0]}))
    run(tool, monkeypatch)
    text = page.read_text()
    assert len([line for line in text.splitlines() if line.startswith("| --- |")]) == 2
    assert "That was it." in text
    assert "old" not in text
    assert text.endswith("End.\n")
    assert (tmp_path / "docs" / "benchmarks.md").read_text() == (
        "<!-- table: loop.json -->\n\n| overhead percent | spread |\n| --- | --- |\n| 3.1 | 2.5 to 4.0 |\n"
        "<!-- end of table -->\nText.\n"
    )


def test_a_commit_with_changes_says_so(tool: ModuleType, page: Path) -> None:
    changed = make_report(97.0, commit={"hash": "0123456789abcdef", "dirty": True})
    assert tool.describe_run(Path("a.json"), changed)["commit"] == "0123456789 with changes"
    assert tool.describe_run(Path("a.json"), make_report(97.0, commit=None))["commit"] == "none"


def test_the_worst_of_errors_is_the_largest(tool: ModuleType) -> None:
    assert tool.worst("wer", [3.0, 5.0]) == 5.0
    assert tool.worst("accuracy", [93.0, 95.0]) == 93.0


def test_a_table_without_results_is_an_error(tool: ModuleType, page: Path, monkeypatch) -> None:
    page.write_text("<!-- table: results/none*.json -->\n<!-- end of table -->\n")
    with pytest.raises(SystemExit) as end:
        run(tool, monkeypatch)
    assert "no results match results/none*.json" in str(end.value.code)


def test_the_projects_own_tables_are_up_to_date() -> None:
    """No figure of a README or of the docs is of another run than its results."""
    command = [sys.executable, PROJECT / "tools" / "write_tables.py", "--check"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_folds_have_a_row_each_one_of_their_mean_and_one_of_all(tool: ModuleType, tmp_path: Path) -> None:
    runs = [
        {key: value for key, value in make_report(accuracy).items() if key not in ("subset", "subsets")}
        | {"name": f"fold-{fold}", "n": 50}
        for fold, accuracy in ((1, 70.0), (2, 80.0))
    ]
    pooled = {"value": 75.0, "ci95": [66.0, 83.0], "n": 100}
    metrics = {"accuracy": {"unit": "%", "mean": 75.0, "deviation": 7.07107, "pooled": pooled}}
    summary = {"dataset": "ESC", "runs": runs, "metrics": metrics, "seconds": 1260.0}
    (tmp_path / "esc10.json").write_text(json.dumps(summary))
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in tool.make_table(tmp_path, "esc10.json").splitlines()
    ]
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["run"] for row in cells] == ["esc10, fold-1", "esc10, fold-2", "mean of 2", "all clips"]
    assert [row["accuracy, %"] for row in cells] == [
        "70.00 [68.00, 71.00]",
        "80.00 [78.00, 81.00]",
        "75.00 (deviation 7.07)",
        "75.00 [66.00, 83.00]",
    ]
    assert [row["test set"] for row in cells] == ["ESC, 50 clips", "ESC, 50 clips", "", "ESC, 100 clips"]
    assert cells[2]["training, minutes"] == "21.0 together"


def test_a_table_of_separation_is_in_decibels_with_intervals(tool: ModuleType, tmp_path: Path) -> None:
    for seed, value in ((1, 5.125), (2, -0.5)):
        metric = {"value": value, "ci95": [value - 1, value + 1], "n": 60, "unit": "dB"}
        metrics = {"si_snri": metric, "sdri": metric | {"value": value + 1}}
        result = make_report(0, seed, metrics=metrics, task="separation", subsets={"test": {"n": 60}})
        (tmp_path / f"{seed}.json").write_text(json.dumps(result))
    header, _, first, _, mean = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in tool.make_table(tmp_path, "*.json").splitlines()[:5]
    ]
    row = dict(zip(header, first, strict=True))
    assert row["test set"] == "SpeechCommands, 60 mixtures"
    assert row["SI-SNRi, dB"] == "5.12 [4.12, 6.12]"
    assert row["SDRi, dB"] == "6.12 [4.12, 6.12]"
    together = dict(zip(header, mean, strict=True))["SI-SNRi, dB"]
    assert together == "mean 2.31, worst -0.50 (deviation 3.98)"
