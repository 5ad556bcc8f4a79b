"""From run folder to report: the right figures, from whole and from partial folders, told in text too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn.metrics

from speechkit.errors import UserError
from speechkit.report import read_json, read_run, summarize, write_records, write_report


def read_report(folder: Path) -> dict:
    write_report(folder)
    return read_json(folder / "report.json", "report")


def test_figures_come_from_the_records(run_folder: Path, fake) -> None:
    report = read_report(run_folder)
    counted = [record for record in fake.make_records() if not record["skipped"]]
    references, hypotheses = ([record[key] for record in counted] for key in ("reference", "hypothesis"))
    accuracy = report["metrics"]["accuracy"]
    assert accuracy["value"] == pytest.approx(100 * sklearn.metrics.accuracy_score(references, hypotheses))
    assert (accuracy["unit"], accuracy["n"], accuracy["n_speakers"]) == ("%", 300, 40)
    assert accuracy["ci95"][0] < accuracy["value"] < accuracy["ci95"][1]
    # By the normal approximation 92% of 300 is known to 3.1 points on each side.
    assert accuracy["ci95"][1] - accuracy["ci95"][0] == pytest.approx(6.2, rel=0.2)
    loss = sum(record["scores"]["loss"] for record in counted) / 300
    assert report["metrics"]["loss"]["value"] == pytest.approx(loss, abs=1e-6)
    assert report["metrics"]["loss"]["unit"] == "nats"


def test_the_run_is_described(run_folder: Path, fake) -> None:
    report = read_report(run_folder)
    epochs = [line for line in fake.make_log() if line["kind"] == "epoch"]
    seconds = sum(epoch["train_seconds"] + epoch["valid_seconds"] for epoch in epochs)
    assert report["seconds"] == pytest.approx(seconds, abs=1e-3)
    assert (report["n_epochs"], report["best_epoch"]) == (12, 10)
    assert report["skipped"] == {"unreadable": 1}
    assert report["skipped_in_training"] == {"steps_nonfinite": 1, "utterances": {"unreadable": 24}}
    assert report["commit"] == {"hash": fake.make_description()["commit"]["hash"], "dirty": True}
    for key in ("task", "dataset", "parameters", "seed", "hparams_sha256", "versions", "device"):
        assert report[key] == fake.make_description()[key]
    assert (report["trainable"], report["multiply_adds"]) == (9232, 3023120)


def test_the_same_folder_gives_the_same_files(run_folder: Path) -> None:
    write_report(run_folder)
    before = [(run_folder / name).read_bytes() for name in ("report.json", "report.html")]
    write_report(run_folder)
    assert [(run_folder / name).read_bytes() for name in ("report.json", "report.html")] == before


def test_the_first_test_subset_is_at_the_top(tmp_path: Path, fake) -> None:
    names = ("dev", "other", "test-b", "test-a")
    predictions = {name: fake.make_records(n=20 + 10 * i) for i, name in enumerate(names)}
    report = read_report(fake.write_run(tmp_path / "run", predictions=predictions))
    assert list(report["subsets"]) == ["test-a", "test-b", "other", "dev"]
    assert report["subset"] == "test-a"
    assert report["metrics"] == report["subsets"]["test-a"]["metrics"]
    assert report["subsets"]["dev"]["n"] == 20


def test_a_run_that_has_only_begun(tmp_path: Path, fake) -> None:
    folder = fake.write_run(tmp_path / "run", log=[], predictions={}, model=False)
    for name in ("hparams.yaml", "log.jsonl", "events.jsonl"):
        (folder / name).unlink()
    report = read_report(folder)
    assert (report["subset"], report["metrics"], report["n_epochs"]) == (None, {}, 0)
    assert "No test set has been evaluated." in summarize(folder)
    assert "No test set has been evaluated." in (folder / "report.html").read_text()


@pytest.mark.parametrize("missing", ["clips", "model.json", "events.jsonl", "hparams.yaml", "log.jsonl"])
def test_any_part_may_be_missing(run_folder: Path, missing: str) -> None:
    path = run_folder / missing
    if path.is_dir():
        for file in sorted(path.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
    else:
        path.unlink()
    assert read_report(run_folder)["metrics"]["accuracy"]["n"] == 300
    assert "accuracy" in summarize(run_folder)


def test_a_run_without_validation(tmp_path: Path, fake) -> None:
    log = [
        line | {"valid": None, "valid_seconds": None} if line["kind"] == "epoch" else line
        for line in fake.make_log()
    ]
    report = read_report(fake.write_run(tmp_path / "run", log=log))
    assert report["seconds"] == pytest.approx(sum(line.get("train_seconds", 0) for line in log), abs=1e-3)
    page = (tmp_path / "run/report.html").read_text()
    assert "Loss (nats)" in page
    assert "Accuracy (%)" not in page


def test_a_diverged_run_still_has_its_report(tmp_path: Path, fake) -> None:
    log = fake.make_log()
    log[-1] |= {"train": {"loss": float("nan")}, "valid": {"loss": None, "accuracy": 10.0}}
    records = fake.make_records(n=30, n_skipped=0)
    for record in records:
        record["scores"] = {"loss": float("nan"), "probability": float("nan"), "top": [("yes", float("nan"))]}
    report = read_report(fake.write_run(tmp_path / "run", log=log, predictions={"test": records}))
    assert list(report["metrics"]) == ["accuracy"]
    assert "2 values missing or not finite" in (tmp_path / "run/report.html").read_text()


@pytest.mark.parametrize("records", [[], "all skipped"])
def test_a_test_set_of_which_nothing_was_evaluated(tmp_path: Path, fake, records) -> None:
    records = records or []
    if records:
        records = fake.make_records(n=0, n_skipped=3)
    report = read_report(fake.write_run(tmp_path / "run", predictions={"test": records}))
    metric = report["metrics"]["accuracy"]
    assert (metric["value"], metric["ci95"], metric["n"]) == (None, None, 0)
    assert "nothing to measure" in summarize(tmp_path / "run")
    assert "Nothing to measure" in (tmp_path / "run/report.html").read_text()


def test_all_correct_is_not_certain(tmp_path: Path, fake) -> None:
    records = fake.make_records(n=50, n_skipped=0, accuracy=1.1)
    metric = read_report(fake.write_run(tmp_path / "run", predictions={"test": records}))["metrics"][
        "accuracy"
    ]
    assert metric["value"] == 100
    assert metric["ci95"] == pytest.approx([100 * 0.025 ** (1 / 50), 100], abs=1e-4)


def test_speakers_are_used_only_where_all_are_known(tmp_path: Path, fake) -> None:
    records = fake.make_records(n=20)
    records[3]["speaker"] = None
    metric = read_report(fake.write_run(tmp_path / "run", predictions={"test": records}))["metrics"][
        "accuracy"
    ]
    assert "ci95_speakers" not in metric
    assert metric["n"] == 20


def test_few_speakers_are_said(tmp_path: Path, fake) -> None:
    fake.write_run(tmp_path / "run", predictions={"test": fake.make_records(n_speakers=11)})
    assert (
        "With 11 speakers the interval over speakers is rough" in write_report(tmp_path / "run").read_text()
    )


def test_a_task_without_a_view_still_has_its_curves(tmp_path: Path, fake) -> None:
    description = fake.make_description(task="enhancement")
    report = read_report(fake.write_run(tmp_path / "run", description=description))
    assert report["metrics"] == {}
    assert report["subsets"]["test"]["n"] == 300
    page = (tmp_path / "run/report.html").read_text()
    assert "Learning rate" in page
    assert "this task has no figure" in page


def test_folders_that_are_no_run(tmp_path: Path, run_folder: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*nowhere; expected the output_folder of a run"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no run\.json"):
        summarize(tmp_path)
    (run_folder / "predictions/test.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(UserError, match=r"test\.jsonl:1:1 seconds: nothing; expected"):
        read_run(run_folder)


def test_a_damaged_report_folder_keeps_its_old_page(run_folder: Path) -> None:
    page = write_report(run_folder)
    before = page.read_bytes()
    (run_folder / "model.json").write_text("{}")
    with pytest.raises(UserError, match=r"model\.json:1:1 schema: nothing; expected 1"):
        write_report(run_folder)
    assert page.read_bytes() == before


def test_the_text_is_aligned_within_80_columns(run_folder: Path, tmp_path: Path, fake) -> None:
    text = summarize(run_folder)
    assert "accuracy  92.0% (" in text
    assert "over 40 speakers" in text
    assert "skipped   1 (1 unreadable)" in text
    assert "epochs               12, best 10" in text
    records = fake.make_records(n=3)
    records[-1]["skipped"] = "the word " + "x" * 200
    long = fake.write_run(tmp_path / "long", predictions={"test-" + "y" * 90: records})
    for each in (text, summarize(long)):
        assert max(map(len, each.splitlines())) <= 80
        assert each == "\n".join(line.rstrip() for line in each.splitlines()) + "\n"


def test_a_report_needs_neither_torch_nor_scipy_stats_nor_matplotlib(run_folder: Path) -> None:
    program = """
import sys
import speechkit.metrics
from speechkit.report import summarize, write_report
summarize(sys.argv[1])
write_report(sys.argv[1])
print([name for name in ("torch", "scipy", "matplotlib", "lhotse", "soundfile") if name in sys.modules])
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(run_folder)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_page_does_not_grow_with_the_utterances(tmp_path: Path, fake) -> None:
    words = [f"word{i}" for i in range(80)]
    folder = fake.write_run(
        tmp_path / "run", predictions={"test": fake.make_records(n=100, words=words)}, n_clips=20
    )
    records = fake.make_records(n=5_000, words=words, n_speakers=300)
    write_records(folder / "predictions/test.jsonl", records, "classification")
    page = write_report(folder)
    # Nothing of the page grows with the utterances, so a few of them show it.
    assert page.stat().st_size < 2_000_000
    assert json.loads((folder / "report.json").read_text())["subsets"]["test"]["n"] == 5_000


def test_a_report_tells_no_path_of_the_machine(run_folder: Path) -> None:
    """It is published; `run.json`, beside it, stays at home and keeps them."""
    path = run_folder / "run.json"
    given = {
        "data_folder": "corpus",
        "output_folder": "/home/someone/runs/1",
        "train_data.manifest": "/home/someone/train.jsonl",
        "musan": "~/noise",
        "lists": "[a, /home/someone/b]",
        "nested": {"deep": ["x", "/home/someone/c"]},
        "n_epochs": 12,
        "share": "1 / 2",
        "nothing": "~",
        "recipe": "!include:../pieces/a.yaml",
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | {"overrides": given}))
    told = read_report(run_folder)["overrides"]
    assert list(told) == list(given)
    kept = {key for key in given if told[key] == given[key]}
    assert kept == {"n_epochs", "share", "nothing", "recipe"}
    assert {told[key] for key in given if key not in kept} == {"(path)"}
    assert "someone" not in (run_folder / "report.json").read_text()
    assert read_run(run_folder).description["overrides"] == given
