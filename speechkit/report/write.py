"""From a run folder to its report: `report.json`, `report.html` and the text for the terminal."""

from collections.abc import Iterable
from pathlib import Path

from speechkit.report import classification, language_modeling, recognition, separation
from speechkit.report.clips import choose_by_loss
from speechkit.report.formats import encode, write_atomic, write_json
from speechkit.report.result import build_report
from speechkit.report.run import read_run
from speechkit.report.text import format_report
from speechkit.report.view import View

VIEWS = {
    "classification": classification.VIEW,
    "asr": recognition.VIEW,
    "lm": language_modeling.VIEW,
    "separation": separation.VIEW,
}
# A task without a view of its own still gets its curves, model, YAML and versions.
_PLAIN = View({}, lambda run, subset, budget: [])


def find_view(task: str) -> View:
    """What is measured and shown of a task."""
    return VIEWS.get(task, _PLAIN)


def choose_worst(records: Iterable[dict], n: int, task: str = "") -> list[dict]:
    """The n utterances that a page plays, the worst first, as the task orders them; skipped ones never.

    A task without an order of its own has that of the loss, the largest first; equal ones by id.
    """
    badness = find_view(task).badness
    if badness is None:
        return choose_by_loss(records, n)
    counted = [record for record in records if not record["skipped"]]
    return sorted(counted, key=badness, reverse=True)[:n]


def write_report(run_folder: str | Path) -> Path:
    """Write `report.json`, `report.html` and a task's files beside them, from what stands in a run's folder.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: the folder holds no run, or a file that is damaged (with file and line).
    """
    from speechkit.report.page import render_page  # jinja2, which a summary does not need

    run = read_run(run_folder)
    view = find_view(run.description["task"])
    report = build_report(run, view.measures)
    write_json(run.folder / "report.json", report, "report")
    for path, text in (view.list_files(run) if view.list_files else {}).items():
        write_atomic(run.folder / path, encode(text))
    page = run.folder / "report.html"
    write_atomic(page, encode(render_page(run, report, view)))
    return page


def summarize(run_folder: str | Path) -> str:
    """The report of a run folder as plain text of at most 80 columns."""
    run = read_run(run_folder)
    return format_report(build_report(run, find_view(run.description["task"]).measures))
