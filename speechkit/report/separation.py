"""What a report shows of separation: by how much, of which mixtures, and how it sounds."""

from collections.abc import Iterable
from typing import Any

from speechkit.report.clips import AudioBudget
from speechkit.report.run import Run
from speechkit.report.view import Measure, Records, Section, View, mean_of_scores

MEASURES = {
    "si_snri": Measure("dB", mean_of_scores("si_snri")),
    "si_snr": Measure("dB", mean_of_scores("si_snr")),
    "sdri": Measure("dB", mean_of_scores("sdri")),
    "sdr": Measure("dB", mean_of_scores("sdr")),
    "pesq": Measure("MOS", mean_of_scores("pesq")),
    "stoi": Measure("%", mean_of_scores("stoi"), scale=100.0),
}


def rank_mixtures(records: Iterable[dict[str, Any]]) -> Records:
    """The mixtures that have an SI-SNRi, the worst first; equal ones by id."""
    known = [each for each in records if not each["skipped"] and each["scores"].get("si_snri") is not None]
    return sorted(known, key=lambda record: (record["scores"]["si_snri"], record["id"]))


def choose_examples(records: Iterable[dict[str, Any]]) -> Records:
    """The worst, the median and the best mixture by SI-SNRi: those that a page plays and draws.

    Fewer where there are fewer; none twice.

    >>> records = [{"id": str(x), "scores": {"si_snri": x}, "skipped": None} for x in (5.0, -1.0, 9.0, None)]
    >>> [record["id"] for record in choose_examples(records)]
    ['-1.0', '5.0', '9.0']
    """
    ranked = rank_mixtures(records)
    places = {0, (len(ranked) - 1) // 2, len(ranked) - 1} if ranked else set()
    return [ranked[place] for place in sorted(places)]


def badness(record: dict[str, Any]) -> tuple[float, str]:
    """The order in which mixtures are bad, from the greatest: by SI-SNRi; those without one come last."""
    improvement = record["scores"].get("si_snri")
    return (float("-inf") if improvement is None else -improvement), record["id"]


def describe_subset(run: Run, subset: str, budget: AudioBudget) -> list[Section]:
    """The sections for one test subset; none where nothing was separated."""
    return []


VIEW = View(MEASURES, describe_subset, badness)
