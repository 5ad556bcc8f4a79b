"""How often words are wrong that training had often or never: `python tools/errors_by_frequency.py RUN`.

RUN is a run of speech recognition, or an evaluation of one below it; the words of its training stand in
`manifests/train.jsonl` of the run. With `--arpa FILE` words that only a language model knows are told apart
from those that nobody knew. Printed as JSON, of each test set: of the words that were said, how many there
are of a kind, how many were substituted or deleted, and the share in percent with its 95% interval over
utterances.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechkit import report
from speechkit.data.text_lines import TextTable
from speechkit.decoding.arpa import read_arpa
from speechkit.errors import UserError, report_and_exit
from speechkit.stats import bootstrap_ratio

OFTEN = 5  # times


def count_words(run: Path) -> Counter[str]:
    """How often each word was in the training's texts."""
    folder = run.parents[1] if run.parent.name == "evaluations" else run
    table = TextTable([str(folder / "manifests" / "train.jsonl")])
    return Counter(word for number in table.order() for word in table.read(number).text.split())


def kind_of(word: str, counts: Counter[str], known: frozenset[str]) -> str:
    """A line of the table.

    >>> kind_of("THE", Counter({"THE": 7}), frozenset()), kind_of("ELM", Counter(), frozenset(["ELM"]))
    ('5 times or more', 'only in the language model')
    """
    if counts[word] >= OFTEN:
        return f"{OFTEN} times or more"
    if counts[word]:
        return f"1 to {OFTEN - 1} times"
    return "only in the language model" if word in known else "never"


def describe(
    records: list[dict[str, Any]], counts: Counter[str], known: frozenset[str]
) -> Iterator[dict[str, Any]]:
    """The rows of one test set, the most frequent words first."""
    said = [
        [(kind_of(word, counts, known), change != "C") for change, word, _ in record["alignment"] if word]
        for record in records
        if record["skipped"] is None
    ]
    for kind in (f"{OFTEN} times or more", f"1 to {OFTEN - 1} times", "only in the language model", "never"):
        totals = [sum(each == kind for each, _ in words) for words in said]
        wrong = [sum(each == kind and is_wrong for each, is_wrong in words) for words in said]
        if any(totals):
            share = bootstrap_ratio(wrong, totals)
            low, high = 100 * share.low, 100 * share.high
            yield {
                "in_training": kind,
                "words": sum(totals),
                "wrong": sum(wrong),
                "wrong,_%": f"{100 * share.value:.1f} [{low:.1f}, {high:.1f}]",
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--arpa", type=Path, help="a language model of words")
    options = parser.parse_args()
    try:
        counts = count_words(options.run)
        words = read_arpa(options.arpa).words if options.arpa else ()
        rows = [
            {"test_set": subset, **row}
            for subset, records in report.read_run(options.run).predictions.items()
            for row in describe(records, counts, frozenset(words))
        ]
    except UserError as error:
        report_and_exit(error)
    print(json.dumps({"rows": rows}, indent=2))


if __name__ == "__main__":
    main()
