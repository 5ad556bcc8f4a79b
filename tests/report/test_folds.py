"""Runs over folds, together: figures against those computed by hand from all records."""

import statistics
from pathlib import Path

import pytest

from speechkit.errors import UserError
from speechkit.report import read_json, write_folds
from speechkit.stats import bootstrap_ratio


def records_of(fake, fold: int, n: int, n_skipped: int = 0) -> list[dict]:
    records = fake.make_records(n=n, n_skipped=n_skipped, accuracy=0.6 + 0.1 * fold)
    return [record | {"id": f"{fold}/{record['id']}"} for record in records]


@pytest.fixture
def folds(tmp_path: Path, fake) -> dict[str, list[dict]]:
    """Three runs of different size, in folders; their records by name."""
    found = {}
    for fold, n in ((1, 30), (2, 40), (3, 50)):
        found[f"fold-{fold}"] = records_of(fake, fold, n, n_skipped=fold - 1)
        fake.write_run(tmp_path / f"fold-{fold}", predictions={"test": found[f"fold-{fold}"]})
    return found


def test_figures_of_each_fold_and_of_all(folds: dict[str, list[dict]], tmp_path: Path) -> None:
    write_folds(tmp_path, "fold", list(folds))
    summary = read_json(tmp_path / "folds.json", "folds")
    right = {
        name: [each["counts"]["correct"] for each in records if not each["skipped"]]
        for name, records in folds.items()
    }
    shares = [100 * statistics.mean(each) for each in right.values()]
    assert [run["metrics"]["accuracy"]["value"] for run in summary["runs"]] == pytest.approx(shares)
    assert [(run["name"], run["n"]) for run in summary["runs"]] == [
        ("fold-1", 30), ("fold-2", 40), ("fold-3", 50)
    ]  # fmt: skip
    assert [run["skipped"] for run in summary["runs"]] == [{}, {"unreadable": 1}, {"unreadable": 2}]
    accuracy = summary["metrics"]["accuracy"]
    assert accuracy["mean"] == pytest.approx(statistics.mean(shares))
    assert accuracy["deviation"] == pytest.approx(statistics.stdev(shares))
    every = [share for each in right.values() for share in each]
    pooled = bootstrap_ratio(every, [1] * 120)
    assert accuracy["pooled"]["value"] == pytest.approx(100 * sum(every) / 120)
    assert accuracy["pooled"]["ci95"] == pytest.approx([100 * pooled.low, 100 * pooled.high])
    assert accuracy["pooled"]["n"] == 120
    assert accuracy["pooled"]["value"] != pytest.approx(accuracy["mean"]), "folds differ in size"
    assert summary["seconds"] == pytest.approx(sum(run["seconds"] for run in summary["runs"]))


def test_the_text_tells_each_fold_the_mean_and_what_failed(
    folds: dict[str, list[dict]], tmp_path: Path
) -> None:
    text = write_folds(tmp_path, "fold", list(folds), failed=["fold-4"])
    summary = read_json(tmp_path / "folds.json", "folds")
    accuracy = summary["metrics"]["accuracy"]
    assert f"mean    {accuracy['mean']:.1f}%, deviation {accuracy['deviation']:.1f}" in text
    assert f"{accuracy['pooled']['value']:.1f}% (" in text
    assert "over 120 utterances" in text
    assert "failed: fold-4" in text
    assert summary["failed"] == ["fold-4"]
    assert max(map(len, text.splitlines())) <= 80
    for run in summary["runs"]:
        assert f"{run['name']}  {run['metrics']['accuracy']['value']:.1f}%" in text


def test_utterances_tested_twice_are_not_pooled(tmp_path: Path, fake) -> None:
    """Seeds, say: the same test set twice is not twice as much of it."""
    for name in ("seed-1", "seed-2"):
        fake.write_run(tmp_path / name, predictions={"test": fake.make_records(n=30)})
    write_folds(tmp_path, "seed", ["seed-1", "seed-2"])
    accuracy = read_json(tmp_path / "folds.json", "folds")["metrics"]["accuracy"]
    assert accuracy["pooled"] is None
    assert accuracy["deviation"] == 0


def test_one_run_has_no_deviation(tmp_path: Path, fake) -> None:
    fake.write_run(tmp_path / "fold-1", predictions={"test": fake.make_records(n=30)})
    write_folds(tmp_path, "fold", ["fold-1"])
    accuracy = read_json(tmp_path / "folds.json", "folds")["metrics"]["accuracy"]
    assert accuracy["deviation"] is None
    assert accuracy["pooled"]["value"] == pytest.approx(accuracy["mean"])


def test_a_run_that_was_not_tested(tmp_path: Path, fake) -> None:
    fake.write_run(tmp_path / "fold-1", predictions={})
    with pytest.raises(UserError, match="fold-1 has no predictions"):
        write_folds(tmp_path, "fold", ["fold-1"])
