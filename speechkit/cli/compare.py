"""`speechkit compare`."""

import argparse
from pathlib import Path
from typing import Any

from speechkit.errors import UserError

DESCRIPTION = (
    "Print runs side by side, best first: figures with intervals, parameters, time, and the keys of their "
    "YAMLs that differ. Runs on the same test set are tested against the baseline, paired by utterance and "
    "by speaker; runs that differ in the seed alone are a group. RUN is a run folder, the folder of an "
    "evaluation, or a report.json. With --markdown, fill the tables of documents from their results instead."
)


def add_compare(commands: Any) -> None:
    """Add the command to the parser's."""
    compare = commands.add_parser(
        "compare", allow_abbrev=False, help="tell whether runs differ, and in what", description=DESCRIPTION
    )
    compare.add_argument("runs", nargs="*", metavar="RUN")
    compare.add_argument("--subset", metavar="NAME", help="the test set (the first of the baseline)")
    compare.add_argument("--metric", metavar="NAME", help="the figure that is tested (the task's first)")
    compare.add_argument(
        "--baseline", metavar="RUN", help="the run that others are compared with (the first)"
    )
    compare.add_argument("--html", metavar="FILE", help="write a page with plots, too")
    compare.add_argument("--json", metavar="FILE", help="write all numbers, too")
    compare.add_argument(
        "--markdown", nargs="+", metavar="FILE", help="documents with tables between <!-- table: PATTERN -->"
    )
    compare.add_argument(
        "--check", action="store_true", help="with --markdown: change nothing; code 1 where a table is stale"
    )
    compare.set_defaults(run=_compare)


def _compare(options: argparse.Namespace, rest: list[str]) -> int:
    if options.check and not options.markdown:
        raise UserError("--check without documents", do="give --markdown FILE...")
    if options.markdown:
        if options.runs:
            raise UserError(f"--markdown and the run {options.runs[0]}", expected="one of both")
        return _fill_documents(options.markdown, options.check)
    from speechkit import report

    chosen = {"subset": options.subset, "metric": options.metric, "baseline": options.baseline}
    comparison = report.compare_runs(options.runs, **chosen)
    print(report.format_comparison(comparison), end="")
    if options.json:
        report.write_json(options.json, comparison, "comparison")
    if options.html:
        report.write_atomic(options.html, report.render_comparison(comparison).encode("utf-8", "replace"))
        print(f"page: {options.html}")
    return 0


def _fill_documents(files: list[str], check: bool) -> int:
    from speechkit import report

    n_stale = 0
    for file in files:
        stale = report.fill_document(Path(file), check=check)
        if stale is not None:
            n_stale += 1
            print(f"{file}: " + (f"not what its results say, {stale}" if check else "written"))
    return 1 if check and n_stale else 0
