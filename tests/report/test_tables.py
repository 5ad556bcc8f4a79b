"""Tables of documents are what their results say."""

import json
from pathlib import Path

import pytest

from speechkit.errors import UserError
from speechkit.report.tables import describe_run, fill_document, make_table, worst


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


def test_a_table_is_filled(page: Path) -> None:
    assert fill_document(page) is not None
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


def test_filling_twice_changes_nothing(page: Path) -> None:
    fill_document(page)
    text = page.read_text()
    assert fill_document(page) is None
    assert page.read_text() == text


def test_check_finds_a_stale_table_and_changes_nothing(page: Path) -> None:
    fill_document(page)
    assert fill_document(page, check=True) is None
    filled = page.read_text()
    line = next(n for n, line in enumerate(filled.splitlines(), start=1) if "97.31" in line)
    for stale in (filled.replace("97.31", "99.31"), filled.replace("10.5", "10.4")):
        page.write_text(stale)
        told = fill_document(page, check=True)
        assert told is not None
        assert told.startswith(f"line {line}: ")
        assert page.read_text() == stale
    page.write_text(filled)
    result = page.parent / "results" / "small-seed2.json"
    result.write_text(json.dumps(make_report(95.9, 2)))
    assert "95.90" in (fill_document(page, check=True) or "")


def test_several_tables_on_a_page(page: Path) -> None:
    (page.parent / "results" / "quick.json").write_text(json.dumps(make_report(90.0)))
    page.write_text(
        page.read_text() + "<!-- table: results/quick.json -->\nold\n<!-- end of table -->\nEnd.\n"
    )
    fill_document(page)
    text = page.read_text()
    assert len([line for line in text.splitlines() if line.startswith("| --- |")]) == 2
    assert "That was it." in text
    assert "old" not in text
    assert text.endswith("End.\n")


def test_a_benchmark_has_a_column_a_figure(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("<!-- table: loop.json -->\n<!-- end of table -->\nText.\n")
    (tmp_path / "loop.json").write_text(json.dumps({"overhead_percent": 3.1, "spread": [2.5, 4.0]}))
    fill_document(page)
    assert page.read_text() == (
        "<!-- table: loop.json -->\n\n| overhead percent | spread |\n| --- | --- |\n| 3.1 | 2.5 to 4.0 |\n"
        "<!-- end of table -->\nText.\n"
    )


def test_a_commit_with_changes_says_so() -> None:
    changed = make_report(97.0, commit={"hash": "0123456789abcdef", "dirty": True})
    assert describe_run(Path("a.json"), changed)["commit"] == "0123456789 with changes"
    assert describe_run(Path("a.json"), make_report(97.0, commit=None))["commit"] == "none"


def test_the_worst_of_errors_is_the_largest() -> None:
    assert worst("wer", [3.0, 5.0]) == 5.0
    assert worst("accuracy", [93.0, 95.0]) == 93.0


def test_mistakes_are_told_with_their_line(page: Path) -> None:
    page.write_text("Text.\n\n<!-- table: results/none*.json -->\n<!-- end of table -->\n")
    with pytest.raises(UserError, match=r"README.md:3.*no results match results/none\*.json"):
        fill_document(page)
    for content in ("{", "[]", '{"metrics": {"wer": 3}}', '{"metrics": {}}', '{"rows": [3]}'):
        (page.parent / "results" / "none.json").write_text(content)
        with pytest.raises(UserError, match=r"README.md:3.*results that match"):
            fill_document(page)
    with pytest.raises(UserError, match="cannot read"):
        fill_document(page.with_name("OTHER.md"))


def test_folds_have_a_row_each_one_of_their_mean_and_one_of_all(tmp_path: Path) -> None:
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
        for line in make_table(tmp_path, "esc10.json").splitlines()
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


def test_a_table_of_separation_is_in_decibels_with_intervals(tmp_path: Path) -> None:
    for seed, value in ((1, 5.125), (2, -0.5)):
        metric = {"value": value, "ci95": [value - 1, value + 1], "n": 60, "unit": "dB"}
        metrics = {"si_snri": metric, "sdri": metric | {"value": value + 1}}
        result = make_report(0, seed, metrics=metrics, task="separation", subsets={"test": {"n": 60}})
        (tmp_path / f"{seed}.json").write_text(json.dumps(result))
    header, _, first, _, mean = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in make_table(tmp_path, "*.json").splitlines()[:5]
    ]
    row = dict(zip(header, first, strict=True))
    assert row["test set"] == "SpeechCommands, 60 mixtures"
    assert row["SI-SNRi, dB"] == "5.12 [4.12, 6.12]"
    assert row["SDRi, dB"] == "6.12 [4.12, 6.12]"
    together = dict(zip(header, mean, strict=True))["SI-SNRi, dB"]
    assert together == "mean 2.31, worst -0.50 (deviation 3.98)"
