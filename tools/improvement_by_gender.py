"""SI-SNRi by who speaks in a mixture: `python tools/improvement_by_gender.py RUN...`.

RUN is a run of separation, or an evaluation of one below it, whose manifests tell the speakers' genders.
Printed as JSON, of each run's test sets: how many mixtures have which genders, and the mean of their SI-SNRi
in dB with its 95% interval over mixtures.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from speechkit import report
from speechkit.errors import UserError, report_and_exit
from speechkit.report.separation import name_genders
from speechkit.stats import bootstrap_mean


def describe(records: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows of one test set, all mixtures last."""
    improvements: dict[str, list[float]] = {}
    everyone: list[float] = []  # in the order of the records, as the report's interval has them
    for record in records:
        found = None if record["skipped"] else record["scores"].get("si_snri")
        if found is not None:
            improvements.setdefault(name_genders(record) or "not known", []).append(found)
            everyone.append(found)
    for genders, values in [*sorted(improvements.items()), ("all", everyone)]:
        mean = bootstrap_mean(values)
        yield {
            "genders": genders,
            "mixtures": len(values),
            "SI-SNRi,_dB": f"{mean.value:.2f} [{mean.low:.2f}, {mean.high:.2f}]",
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    try:
        rows = [
            {"run": run.absolute().name, "test_set": subset, **row}
            for run in parser.parse_args().runs
            for subset, records in report.read_run(run).predictions.items()
            for row in describe(records)
        ]
    except UserError as error:
        report_and_exit(error)
    print(json.dumps({"rows": rows}, indent=2))


if __name__ == "__main__":
    main()
