"""What a report shows of separation: by how much, of which mixtures, and how it sounds."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from speechkit.report.clips import AudioBudget
from speechkit.report.distributions import Cloud, Histogram, draw_cloud, draw_histogram
from speechkit.report.run import Run
from speechkit.report.separation_csv import format_separation
from speechkit.report.separation_examples import N_DRAWN, list_examples
from speechkit.report.spectrograms import RANGE_DB, draw_colours
from speechkit.report.text import FIGURES, format_number
from speechkit.report.view import Measure, Records, Section, View, mean_of_scores, parts_of_score
from speechkit.stats import Interval

N_GROUPS = 20  # rows of the table
N_KINDS = 2  # of points that a cloud tells apart; others are one more
FEW_MIXTURES = 5  # of a group: fewer tell nothing of the spread

UNITS = dict.fromkeys(("si_snri", "si_snr", "sdri", "sdr"), "dB") | {"pesq": "MOS", "stoi": "%"}
MEASURES = {
    name: Measure(unit, mean_of_scores(name), 100.0 if unit == "%" else 1.0, parts_of_score(name))
    for name, unit in UNITS.items()
}


def rank_mixtures(records: Iterable[dict[str, Any]]) -> Records:
    """The mixtures that have an SI-SNRi, the worst first; equal ones by id."""
    known = [each for each in records if not each["skipped"] and each["scores"].get("si_snri") is not None]
    return sorted(known, key=lambda record: (record["scores"]["si_snri"], record["id"]))


def badness(record: dict[str, Any]) -> tuple[float, str]:
    """The order in which mixtures are bad, from the greatest: by SI-SNRi; those without one come last."""
    improvement = record["scores"].get("si_snri")
    return (float("-inf") if improvement is None else -improvement), record["id"]


def describe_subset(run: Run, subset: str, budget: AudioBudget) -> list[Section]:
    """The sections for one test subset; none where nothing was separated."""
    records = [record for record in run.predictions[subset] if record["skipped"] is None]
    if not records:
        return []
    ranked = rank_mixtures(records)
    figures = {"rows": tabulate_figures(records), "groups": tabulate_groups(records)}
    counts = {"n": len(records), "n_known": len(ranked), "n_worse": sum(_improvement(r) < 0 for r in ranked)}
    file = {"file": name_file(run, subset)}
    sections = [Section("Figures", "separation.html", figures | counts | file)]
    if ranked:
        plots = {"histogram": draw_improvements(ranked), "clouds": draw_clouds(ranked), "n": len(ranked)}
        sections.append(Section("Distribution", "distributions.html", plots))
    if examples := list_examples(run, subset, ranked, budget):
        content = {"examples": examples, "n": len(ranked), "n_drawn": N_DRAWN}
        content |= {"colours": draw_colours(), "range_db": RANGE_DB}
        sections.append(Section("Examples", "separation_examples.html", content))
    return sections


def tabulate_figures(records: Records) -> list[dict[str, Any]]:
    """A row a figure: mean with interval, median and deviation over the mixtures that have it."""
    measures = MEASURES | {"input_si_snr": Measure("dB", mean_of_scores("input_si_snr"))}
    rows = []
    for name, measure in measures.items():
        values = [value for each in records if (value := each["scores"].get(name)) is not None]
        if values:
            title = "SI-SNR of the mixture" if name == "input_si_snr" else FIGURES[name]
            found = measure.interval(records, None)
            rows.append({"title": title, "unit": measure.unit} | _summarize(values, found, measure.scale))
    return rows


def tabulate_groups(records: Records) -> list[dict[str, Any]]:
    """The SI-SNRi of the mixtures of each group, and of each mixture of genders, where they are known."""
    groups: dict[tuple[int, str], Records] = {}
    for record in records:
        known = record["scores"].get("si_snri") is not None
        for kind, name in enumerate((record.get("group"), name_genders(record))):
            if name and known:
                groups.setdefault((kind, name), []).append(record)
    rows, seen = [], []
    for (_, name), members in sorted(groups.items())[:N_GROUPS]:
        if members in seen:  # "F + M" are all of mixed gender, where there are two talkers
            continue
        seen.append(members)
        found = MEASURES["si_snri"].interval(members, None)
        row = {"title": name} | _summarize([_improvement(each) for each in members], found)
        rows.append(row | ({} if len(members) >= FEW_MIXTURES else {"ends": None}))
    return rows


def name_genders(record: dict[str, Any]) -> str | None:
    """The genders of a mixture's talkers; None where one is not known, or there is but one talker.

    >>> name_genders({"sources": [{"gender": "M"}, {"gender": "F"}]})
    'F + M'
    """
    genders = [source.get("gender") for source in record["sources"]]
    return " + ".join(sorted(genders)) if len(genders) > 1 and all(genders) else None


def _summarize(values: Sequence[float], found: Interval, scale: float = 1.0) -> dict[str, Any]:
    known = math.isfinite(found.low + found.high)
    return {
        "n": len(values),
        "mean": scale * found.value,
        "ends": [scale * found.low, scale * found.high] if known else None,
        "median": scale * float(np.median(values)),
        "deviation": scale * float(np.std(values, ddof=1)) if len(values) > 1 else None,
    }


def draw_improvements(ranked: Records) -> Histogram | None:
    """How many mixtures have which SI-SNRi, with the mean and the median."""
    values = np.array([_improvement(record) for record in ranked])
    centres = (("mean", float(values.mean())), ("median", float(np.median(values))))
    marks = [(value, f"{name} {format_number(value, 'dB')} dB") for name, value in centres]
    title, x_name = "SI-SNRi of the mixtures", "SI-SNRi (dB)"
    return draw_histogram(title, values, x_name=x_name, y_name="mixtures", marks=marks)


def draw_clouds(ranked: Records) -> list[Cloud]:
    """SI-SNRi against the SI-SNR before, source by source, and against length, mixture by mixture."""
    sources = [
        (source["si_snr"] - source["si_snri"], source["si_snri"], record)
        for record in ranked
        for source in record["sources"]
        if None not in (source["si_snr"], source["si_snri"])
    ]
    lengths = [(each["seconds"], _improvement(each), each) for each in ranked if each["seconds"] is not None]
    clouds = [
        _draw_cloud(
            "SI-SNRi of each source, by SI-SNR in the mixture", sources, "SI-SNR in the mixture (dB)"
        ),
        _draw_cloud("SI-SNRi of each mixture, by length", lengths, "length (s)"),
    ]
    return [cloud for cloud in clouds if cloud]


def _draw_cloud(title: str, points: list[tuple[float, float, dict[str, Any]]], x_name: str) -> Cloud | None:
    """Points are x, SI-SNRi and the record, whose group is their kind."""
    groups = [record.get("group") for _, _, record in points]
    kinds = sorted({group for group in groups if group})[:N_KINDS]
    kind = [kinds.index(group) if group in kinds else len(kinds) for group in groups]
    if len(kinds) in kind:
        kinds.append("other" if kinds else "")
    x, y = (np.array([point[axis] for point in points]) for axis in (0, 1))
    return draw_cloud(
        title, x, y, np.array(kind), kinds, x_name=x_name, y_name="SI-SNRi (dB)",
        tell=lambda i: f"{points[i][2]['id']}: {y[i]:.1f} dB at {x[i]:.1f}",
    )  # fmt: skip


def _improvement(record: dict[str, Any]) -> float:
    return float(record["scores"]["si_snri"])


def name_file(run: Run, subset: str) -> str:
    """Where a subset's table of mixtures stands: of the first beside the page."""
    return (
        "separation.csv" if subset == next(iter(run.predictions)) else f"predictions/{subset}.separation.csv"
    )


def list_files(run: Run) -> dict[str, str]:
    """The tables of mixtures, for spreadsheets."""
    return {name_file(run, name): format_separation(records) for name, records in run.predictions.items()}


VIEW = View(MEASURES, describe_subset, badness, list_files, heading="Separation")
