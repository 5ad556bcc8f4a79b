"""One of several runs to compare: a run folder, an evaluation of one, or a report alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechkit.errors import UserError
from speechkit.report.configuration import read_settings
from speechkit.report.formats import read_json
from speechkit.report.result import build_report
from speechkit.report.run import read_run
from speechkit.report.view import Records
from speechkit.report.write import find_view


@dataclass(frozen=True, eq=False)
class Contender:
    """A run with what is known of it: of a report alone neither utterances nor YAML."""

    name: str
    report: dict[str, Any]
    predictions: dict[str, Records] | None
    settings: dict[str, str] | None  # of the resolved YAML, by dotted key

    def metrics(self, subset: str | None) -> dict[str, Any]:
        """The figures on a test set; none where it was not evaluated."""
        found: dict[str, Any] = self.report["subsets"].get(subset, {}).get("metrics", {})
        return found

    def records(self, subset: str | None) -> Records:
        """The utterances of a test set."""
        return (self.predictions or {}).get(subset or "", [])


def read_contender(path: Path, name: str) -> Contender:
    """Read and check a run.

    Raises:
        UserError: neither a run folder nor a report, or one that is damaged (with file and line).
    """
    if path.is_file():
        if path.name != "report.json" or not path.with_name("run.json").is_file():
            return Contender(name, read_json(path, "report"), None, None)
        path = path.parent
    if not (path / "run.json").is_file():
        raise UserError(
            f"{path} holds no run.json" if path.is_dir() else f"there is no {path}",
            expected="the output folder of a run, the folder of an evaluation, or a report.json",
        )
    run = read_run(path)
    # As it was published; of a run that has not ended what there is so far.
    there = path / "report.json"
    measures = find_view(run.description["task"]).measures
    report = read_json(there, "report") if there.is_file() else build_report(run, measures)
    settings = None if run.hparams is None else read_settings(run.hparams, str(path / "hparams.yaml"))
    return Contender(name, report, run.predictions, settings)
