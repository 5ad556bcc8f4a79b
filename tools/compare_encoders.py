"""Train one recipe over several encoders and seeds, and write their table.

    python tools/compare_encoders.py FOLDER --data_folder DATA [--seeds 1 2 3] [--encoders real complex ...]

The encoders are the pieces in `configs/encoders/`, and `strf-frozen`, the control whose filters stay at their
start; the recipe's YAML is changed in its one include line. Runs that have ended are not trained again, one
that was stopped goes on. Reports and figures are written below `results/encoders/` of the recipe;
`speechkit compare --markdown` makes the table of them.

Accuracy is over all seeds, its interval over speakers. The difference from the first encoder is paired, clip
by clip, with an interval over speakers of its own; so is that of a control from what it controls.
"""

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from speechkit import report
from speechkit.report.run import Run
from speechkit.stats import Interval, bootstrap_mean, bootstrap_ratio

PROJECT = Path(__file__).resolve().parents[1]
ENCODERS = ["real", "complex", "quaternion", "strf"]
RECIPE = PROJECT / "recipes" / "SpeechCommands" / "kws"
# Encoders that are a piece with other values: name -> piece, overrides.
CONTROLS = {"strf-frozen": ("strf", ["--encoder.front.trainable", "False"])}
Shares = dict[tuple[str, str], float]
INCLUDE = re.compile(r"(?<=!include:)\S*configs/encoders/\w+\.yaml")


def write_variant(encoder: str, folder: Path) -> Path:
    """The recipe's YAML with the piece of this encoder."""
    piece = PROJECT / "configs" / "encoders" / f"{encoder}.yaml"
    if not piece.is_file():
        known = ", ".join(sorted(path.stem for path in piece.parent.glob("*.yaml")))
        raise SystemExit(f"there is no {piece.name} in {piece.parent}; expected one of {known}")
    text = (RECIPE / "hparams" / "encoders.yaml").read_text()
    variant = folder / f"{encoder}.yaml"
    variant.write_text(INCLUDE.sub(str(piece), text))
    return variant


def train(variant: Path, folder: Path, seed: int, arguments: list[str]) -> None:
    """One run, which goes on where it was stopped."""
    words = [str(RECIPE / "train.py"), str(variant), "--seed", str(seed), "--output_folder", str(folder)]
    subprocess.run([sys.executable, *words, *arguments], check=True)
    report.write_report(folder)


def compare(runs: dict[str, list[Run]]) -> list[dict[str, Any]]:
    """A row an encoder, of its runs' records; differences are from the first, a control's from its twin."""
    shares = {encoder: share_correct(each) for encoder, each in runs.items()}
    first = next(iter(shares))
    rows = []
    for encoder, each in runs.items():
        row = describe(encoder, each, shares[encoder])
        row["difference,_points"] = "" if encoder == first else differ(shares[encoder], shares[first])
        twin, _ = CONTROLS.get(encoder, ("", []))
        row["from_its_twin,_points"] = differ(shares[encoder], shares[twin]) if twin in shares else ""
        rows.append(row)
    return rows


def share_correct(runs: list[Run]) -> Shares:
    """The share of the runs that labelled a clip right, by its id and speaker."""
    shares: Shares = {}
    for run in runs:
        for record in run.predictions["test"]:
            clip = (record["id"], record["speaker"])
            shares[clip] = shares.get(clip, 0.0) + record["counts"]["correct"] / len(runs)
    return shares


def describe(encoder: str, runs: list[Run], shares: Shares) -> dict[str, Any]:
    """Figures of one encoder over its seeds."""
    speakers = [speaker for _, speaker in shares]
    accuracy = bootstrap_ratio(list(shares.values()), [1] * len(shares), groups=speakers)
    reports = [report.read_json(run.folder / "report.json", "report") for run in runs]
    epochs = [line["train_seconds"] for run in runs for line in run.epochs]
    return {
        "encoder": encoder,
        "parameters": f"{reports[0]['parameters']:,}",
        "accuracy,_%": in_percent(accuracy),
        "by_seed": ", ".join(f"{each['metrics']['accuracy']['value']:.1f}" for each in reports),
        "seconds_an_epoch": f"{statistics.median(epochs):.1f}",
        "epochs": reports[0]["n_epochs"],
        "test_clips": len(shares),
        "speakers": len(set(speakers)),
        "commit": describe_commit(reports[0]["commit"]),
    }


def differ(shares: Shares, baseline: Shares) -> str:
    """The mean difference over clips, in points, with its interval over speakers."""
    differences = [shares[clip] - baseline[clip] for clip in shares]
    return in_percent(bootstrap_mean(differences, groups=[speaker for _, speaker in shares]))


def in_percent(interval: Interval) -> str:
    """The figure and its 95% interval, where the clips tell of one."""
    if math.isnan(interval.low):
        return f"{100 * interval.value:.1f}"
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def describe_commit(commit: dict[str, Any] | None) -> str:
    return "none" if commit is None else commit["hash"][:10] + (" with changes" if commit["dirty"] else "")


def publish(runs: dict[str, list[Run]], folder: Path) -> None:
    """Reports and the table's figures, into the recipe's results."""
    folder.mkdir(parents=True, exist_ok=True)
    for run in (run for each in runs.values() for run in each):
        (folder / f"{run.folder.name}.json").write_bytes((run.folder / "report.json").read_bytes())
    table = json.dumps({"rows": compare(runs)}, indent=2) + "\n"
    (folder / "table.json").write_text(table)
    print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoders", nargs="+", default=ENCODERS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--results", type=Path, default=RECIPE / "results" / "encoders")
    options, arguments = parser.parse_known_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[Run]] = {encoder: [] for encoder in options.encoders}
    for seed in options.seeds:  # all encoders of a seed side by side, so that the machine's moods are shared
        for encoder in options.encoders:
            piece, overrides = CONTROLS.get(encoder, (encoder, []))
            variant, folder = write_variant(piece, options.folder), options.folder / f"{encoder}-seed{seed}"
            train(variant.resolve(), folder.resolve(), seed, [*arguments, *overrides])
            runs[encoder].append(report.read_run(folder))
    publish(runs, options.results)  # all at once: new files would make the next run's commit "with changes"


if __name__ == "__main__":
    main()
