"""The searches of a trained recogniser side by side, on the same test utterances.

    python tools/compare_searches.py RUN results/searches.json

RUN has a `decoding.JointSearch` with a language model. Each of the searches below has weights of its own,
tuned on the validation set into RUN/tunings/ (`speechkit tune`); then it decodes the test sets
(`speechkit evaluate`, into RUN/evaluations/). Of both only that is done anew which is not there already of
these weights of the model and of this search.

The table has a row a test set and search: WER and CER, and the WER less that of CTC's best path, in points,
of the same utterances, each with its 95% interval over utterances and, where speakers are known, over
speakers.
"""

import argparse
import json
from itertools import count
from pathlib import Path
from typing import Any

from speechkit import report
from speechkit.errors import UserError
from speechkit.report.run import Run
from speechkit.tasks import evaluate_run, read_tuned, tune_run
from speechkit.tasks.evaluate import Opened, open_run
from speechkit.tasks.tuned import find_weights, set_weights, tell_rule
from speechkit.tasks.weights import weights_sha256

GREEDY = "CTC, greedy"
SEARCHES = {  # what each changes of the run's search; weights that are set here are not tuned
    GREEDY: ["--search", "null"],
    "attention": ["--search.ctc_weight", "0", "--search.lm_weight", "0"],
    "CTC and LM": ["--search.ctc_weight", "1"],
    "joint": ["--search.lm_weight", "0"],
    "joint and LM": [],
}


def decode(run: Path, search: str) -> Path:
    """The folder of the evaluation by a search with weights of its own: found, or made."""
    changes = SEARCHES[search]
    opened = open_run(run, changes)
    brain = opened.brain
    file = None
    if find_weights(brain.search, brain.modules):
        file = run / "tunings" / f"{name_of(search)}.json"
        set_weights(brain.search, tune(opened, changes, file))
    found = report.find_evaluation(
        run,
        weights_sha256(opened.checkpoint),
        brain.search.describe(),
        opened.evaluation.document.overrides,
    )
    if found is not None:
        return found
    return evaluate_run(run, changes, name=free_name(run, search), tuned=file or False).parent


def tune(opened: Opened, changes: list[str], file: Path) -> dict[str, float]:
    """The weights that the file has for this model and search; tuned if it has none."""
    now = {
        "weights_sha256": weights_sha256(opened.checkpoint),
        "search": opened.brain.search.describe(),
        "normalization": tell_rule(opened.brain),
        "overrides": opened.evaluation.document.overrides,
    }
    run = opened.evaluation.run
    try:
        before = read_tuned(run, file).content
    except UserError:
        before = {}
    if {key: before.get(key) for key in now} != now or not fits(before, opened.brain.search):
        before = tune_run(run, changes, file=file)
    return before["best"]


def fits(tuning: dict[str, Any], search: Any) -> bool:
    """Whether the search is, by the tuned weights, the one that was tuned: by others it may tell less."""
    set_weights(search, tuning["best"])
    return search.describe() == tuning["tuned_search"]


def name_of(search: str) -> str:
    return search.lower().replace(", ", "-").replace(" ", "-")


def free_name(run: Path, search: str) -> str:
    """Of an evaluation: older ones, of other weights, stay as they are."""
    names = (name_of(search) + (f"-{number}" if number > 1 else "") for number in count(1))
    return next(name for name in names if not (run / "evaluations" / name).exists())


def compare(folders: dict[str, Path]) -> list[dict[str, Any]]:
    """The rows of the table, by test set and search."""
    runs = {search: report.read_run(folder) for search, folder in folders.items()}
    greedy = runs[GREEDY]
    return [
        describe(subset, search, run, None if run is greedy else greedy.predictions[subset])
        for subset in greedy.predictions
        for search, run in runs.items()
    ]


def describe(subset: str, search: str, run: Run, baseline: list[dict[str, Any]] | None) -> dict[str, Any]:
    """A row; baseline: the records to compare with."""
    told = report.read_json(run.folder / "report.json", "report")
    metrics = told["subsets"][subset]["metrics"]
    rate = next(name for name in ("wer", "per") if name in metrics)
    less = None if baseline is None else report.compare_errors(run.predictions[subset], baseline)
    commit = told["evaluation"]["commit"] or {"hash": "none", "dirty": False}
    return {
        "test_set": subset,
        "search": search,
        **columns(f"{rate.upper()},_%", metrics[rate]),
        **columns("less_that_of_greedy", less),
        **(columns("CER,_%", metrics["cer"]) if "cer" in metrics else {}),
        "how": told["decoding"]["search"],
        "utterances": metrics[rate]["n"],
        "speakers": metrics[rate].get("n_speakers", ""),
        "commit": commit["hash"][:10] + (" with changes" if commit["dirty"] else ""),
    }


def columns(name: str, metric: dict[str, Any] | None) -> dict[str, str]:
    """A figure with its interval over utterances, and that over speakers; nothing of none."""
    metric = metric or {"value": None, "ci95": None}
    value = "" if metric["value"] is None else f"{metric['value']:.1f}"
    return {
        name: f"{value} {ends(metric['ci95'])}".strip(),
        f"{name.split(',')[0]},_over_speakers": ends(metric.get("ci95_speakers")),
    }


def ends(interval: list[float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:.1f}, {interval[1]:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("results", type=Path, help="a JSON file")
    options = parser.parse_args()
    folders = {search: decode(options.run, search) for search in SEARCHES}
    table = json.dumps({"rows": compare(folders)}, indent=2) + "\n"
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(table)
    print(table)


if __name__ == "__main__":
    main()
