"""What a report shows of speech recognition: errors by kind, word and speaker, the worst texts in full."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from speechkit.report.alignments import FOLDER, draw_alignment, format_times
from speechkit.report.clips import AudioBudget, file_name
from speechkit.report.flows import draw_flow, list_pairs
from speechkit.report.run import Run
from speechkit.report.timed_text import Span, format_ctm
from speechkit.report.view import (
    Measure,
    Records,
    Section,
    View,
    mean_of_scores,
    parts_of_counts,
    parts_of_score,
)
from speechkit.report.wer_text import EDITS, UNITS, count_errors, find_unit, format_wer
from speechkit.stats import Interval, bootstrap_ratio

N_SHOWN = 20  # utterances
N_SPEAKERS = 40  # rows of the table
N_WORDS = 12  # rows of each table of words
NOTES = (("Texts", "normalization"), ("Search", "search"))
FEW_UTTERANCES = 5  # of a speaker: fewer tell nothing of the spread


def rate_of(errors: Sequence[str], total: str) -> Callable[[Records, Sequence[str] | None], Interval]:
    """The measure sum of counts[errors] / sum of counts[total], over the records that count `total`."""

    def interval(records: Records, groups: Sequence[str] | None) -> Interval:
        chosen = [index for index, record in enumerate(records) if total in record["counts"]]
        counts = [records[index]["counts"] for index in chosen]
        numerators = [sum(count[name] for name in errors) for count in counts]
        own_groups = None if groups is None else [groups[index] for index in chosen]
        return bootstrap_ratio(numerators, [count[total] for count in counts], groups=own_groups)

    return interval


MEASURES = {
    "wer": Measure("%", rate_of(EDITS, "words"), 100.0, parts_of_counts(EDITS, "words")),
    "per": Measure("%", rate_of(EDITS, "phones"), 100.0, parts_of_counts(EDITS, "phones")),
    "cer": Measure(
        "%",
        rate_of(["character_errors"], "characters"),
        100.0,
        parts_of_counts(["character_errors"], "characters"),
    ),
    "loss": Measure("nats", mean_of_scores("loss"), parts=parts_of_score("loss")),
}


def describe_subset(run: Run, subset: str, budget: AudioBudget) -> list[Section]:
    """The sections for one test subset; none where nothing was recognised."""
    records = [record for record in run.predictions[subset] if record["skipped"] is None]
    if not records:
        return []
    worst = sorted(records, key=badness, reverse=True)[:N_SHOWN]
    shown = list_texts(run, subset, [record for record in worst if count_errors(record)], budget)
    sections = [Section("Kinds of errors", "errors.html", tabulate_errors(records) | {"subset": subset})]
    confusions = tabulate_confusions(records)
    if any(confusions["tables"].values()):
        sections.append(Section("Frequent errors", "confusions.html", confusions))
    if speakers := tabulate_speakers(records):
        sections.append(Section("Speakers", "speakers.html", speakers | {"subset": subset}))
    return (
        [*sections, Section("Worst utterances", "alignments.html", {"texts": shown})] if shown else sections
    )


def list_files(run: Run) -> dict[str, str]:
    """Files for other programs, by their path in the run's folder: alignments, and times where known."""
    decoding = run.decoding or {}
    notes = [(name, decoding[key]) for name, key in NOTES if key in decoding]
    files = {}
    for subset, records in run.predictions.items():
        files[f"predictions/{subset}.wer.txt"] = format_wer(records, notes)
        timed = {each["id"]: each["words"] for each in records if each.get("words") is not None}
        if timed:
            files[f"predictions/{subset}.ctm"] = _write_times(timed)
        files |= _list_grids(run, subset, timed)
    return files


def _list_grids(run: Run, subset: str, timed: dict[str, list[list[Any]]]) -> dict[str, str]:
    """TextGrids of the utterances that were aligned."""
    seconds = {record["id"]: record["seconds"] for record in run.predictions[subset]}
    grids = {}
    for name, lines in run.alignments.get(subset, {}).items():
        for line in lines:
            if text := format_times(line, timed.get(name, []), seconds.get(name)):
                grids[f"{FOLDER}/{subset}/{file_name(name)}.TextGrid"] = text
    return grids


def _write_times(timed: dict[str, list[list[Any]]]) -> str:
    """The CTM of words with times in seconds, by utterance."""
    spans = {name: [Span(*word) for word in words] for name, words in timed.items()}
    return format_ctm(spans, frame_seconds=1.0)


def badness(record: dict[str, Any]) -> tuple[float, int, str]:
    """The order in which utterances are shown, from the greatest: error rate, then number of errors."""
    n_errors = count_errors(record)
    return n_errors / max(1, _n_units(record)), n_errors, record["id"]


def tabulate_errors(records: Records) -> dict[str, Any]:
    """How many units were right and how many wrong in which way, with shares of the reference's units."""
    sums: Counter[str] = Counter()
    for record in records:
        sums.update(record["counts"])
    total = find_unit(records)
    n = sums[total]
    rows = [
        {"kind": kind, "count": sums[kind], "percent": 100 * sums[kind] / n if n else None}
        for kind in ("correct", *EDITS)
    ]
    n_right = sum(not count_errors(record) for record in records)
    return {"rows": rows, "unit": total, "n_units": n, "n_right": n_right, "n_utterances": len(records)}


def tabulate_confusions(records: Records) -> dict[str, Any]:
    """The words most often substituted, deleted and inserted, with counts; substitutions drawn as well."""
    counts = count_edits(records)
    substituted = {(words[0], words[1]): count for words, count in counts.pop("substituted").items()}
    flow = draw_flow(substituted, len(records))
    tables: dict[str, list[tuple[Any, ...]]] = {"substituted": [*list_pairs(substituted, flow, N_WORDS)]}
    for name, edits in counts.items():
        ranked = sorted(edits.items(), key=lambda each: (-each[1], each[0]))
        tables[name] = [(*words, count) for words, count in ranked[:N_WORDS]]
    return {"tables": tables, "flow": flow, "unit": find_unit(records)}


def count_edits(records: Records) -> dict[str, Counter[tuple[str, ...]]]:
    """How often which words were substituted (said, recognised), deleted (said) and inserted (recognised)."""
    pairs: dict[str, Counter[tuple[str, ...]]] = {"S": Counter(), "D": Counter(), "I": Counter()}
    for record in records:
        for sign, said, heard in record["alignment"]:
            if sign != "C":
                pairs[sign][tuple(word for word in (said, heard) if word is not None)] += 1
    return {"substituted": pairs["S"], "deleted": pairs["D"], "inserted": pairs["I"]}


def tabulate_speakers(records: Records) -> dict[str, Any] | None:
    """The error rates of each speaker, the hardest first; None where speakers are not known."""
    groups: dict[str, Records] = {}
    for record in records:
        if record.get("speaker"):
            groups.setdefault(record["speaker"], []).append(record)
    if len(groups) < 2:
        return None
    unit = find_unit(records)
    sizes = {name: _sum(group, [unit]) for name, group in groups.items()}
    rates = {name: _sum(group, EDITS) / max(1, sizes[name]) for name, group in groups.items()}
    hardest = sorted(groups, key=lambda name: (-rates[name], -sizes[name], name))
    rows = [_describe_speaker(name, groups[name], unit) for name in hardest[:N_SPEAKERS]]
    return {"rows": rows, "unit": unit, "n_speakers": len(groups), "n_shown": len(rows)}


def _describe_speaker(name: str, records: Records, unit: str) -> dict[str, Any]:
    found = rate_of(EDITS, unit)(records, None)
    n_characters, known = _sum(records, ["characters"]), math.isfinite(found.low + found.high)
    return {
        "speaker": name,
        "n_utterances": len(records),
        "n_units": _sum(records, [unit]),
        "rate": 100 * found.value,
        "ends": [100 * found.low, 100 * found.high] if known and len(records) >= FEW_UTTERANCES else None,
        "cer": 100 * _sum(records, ["character_errors"]) / n_characters if n_characters else None,
    }


def _sum(records: Records, names: Sequence[str]) -> int:
    return sum(record["counts"].get(name, 0) for record in records for name in names)


def list_texts(run: Run, subset: str, records: Records, budget: AudioBudget) -> list[dict[str, Any]]:
    """Utterances with their alignments, and their audio where the run kept it."""
    paths = {entry["id"]: entry["path"] for entry in run.clips if entry["subset"] == subset}
    texts = []
    for record in records:
        path = paths.get(record["id"])
        lines = run.alignments.get(subset, {}).get(record["id"], [])
        texts.append(
            {
                "id": record["id"],
                "pairs": [
                    {"kind": sign, "said": said, "heard": heard} for sign, said, heard in record["alignment"]
                ],
                "audio": budget.embed(run.folder / path) if path else None,
                "n_errors": count_errors(record),
                "n_units": _n_units(record),
                "unit": next(name for name in UNITS if name in record["counts"]),
                "seconds": record["seconds"],
                "speaker": record.get("speaker"),
                "pictures": [picture for picture in map(draw_alignment, lines) if picture],
            }
        )
    return texts


def _n_units(record: dict[str, Any]) -> int:
    return next(record["counts"][name] for name in UNITS if name in record["counts"])


VIEW = View(MEASURES, describe_subset, badness, list_files)
