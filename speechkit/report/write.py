"""From a run folder to its report: `report.json`, `report.html` and the text for the terminal."""

from pathlib import Path

from speechkit.report import classification
from speechkit.report.formats import encode, write_atomic, write_json
from speechkit.report.result import build_report
from speechkit.report.run import read_run
from speechkit.report.text import format_report
from speechkit.report.view import View

VIEWS = {"classification": classification.VIEW}
# A task without a view of its own still gets its curves, model, YAML and versions.
_PLAIN = View({}, lambda run, subset, budget: [])


def find_view(task: str) -> View:
    """What is measured and shown of a task."""
    return VIEWS.get(task, _PLAIN)


def write_report(run_folder: str | Path) -> Path:
    """Write `report.json` and `report.html` into a run folder, from what stands in it alone.

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
    page = run.folder / "report.html"
    write_atomic(page, encode(render_page(run, report, view)))
    return page


def summarize(run_folder: str | Path) -> str:
    """The report of a run folder as plain text of at most 80 columns."""
    run = read_run(run_folder)
    return format_report(build_report(run, find_view(run.description["task"]).measures))
