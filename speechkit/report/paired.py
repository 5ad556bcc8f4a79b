"""Two runs, or groups of them, on the same utterances: the difference of a figure, paired."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechkit.report.segments import list_segments
from speechkit.report.view import Measure, Records
from speechkit.stats import Comparison, compare_means, compare_ratios, matched_pairs

Sides = Sequence[Records]  # the records of each run of a group: one run, or one a seed


@dataclass(frozen=True)
class Pairs:
    """What utterances that all runs have came to: (U,) each, means over the runs of a side."""

    numerators: np.ndarray
    baseline: np.ndarray
    denominators: np.ndarray
    speakers: list[str] | None  # None where one is not known


def compare_records(measure: Measure, runs: Sides, baseline: Sides) -> dict[str, Any] | None:
    """A figure of some runs less that of others, as `comparison` holds it; None where none can be compared.

    Utterances that one run lacks, skipped, or has no such figure of are left out. Of several runs (seeds) a
    side, the mean over them is taken of each utterance.
    """
    pairs = pair_records(measure, runs, baseline)
    if pairs is None:
        return None
    by_utterance = _compare(pairs, None)
    scale, found = measure.scale, by_utterance.difference
    difference = {
        "value": finite(found.value * scale),
        "ci95": ends_of(by_utterance, scale),
        "p_value": finite(by_utterance.p_value),
        "n": found.n,
        "unit": measure.difference or ("points" if measure.unit in ("%", "points") else measure.unit),
    }
    if pairs.speakers is not None:
        by_speaker = _compare(pairs, pairs.speakers)
        difference |= {
            "ci95_speakers": ends_of(by_speaker, scale),
            "p_value_speakers": finite(by_speaker.p_value),
            "n_speakers": by_speaker.difference.n,
        }
    return difference


def pair_records(measure: Measure, runs: Sides, baseline: Sides) -> Pairs | None:
    """The utterances that all runs have a figure of, in the order of the first.

    None where there is none, or where the runs do not divide by the same.
    """
    if measure.parts is None:
        return None
    parts = [_list_parts(measure, records) for records in (*runs, *baseline)]
    common = [name for name in parts[0] if all(name in each for each in parts)]
    if not common:
        return None
    numbers = np.array([[each[name][:2] for name in common] for each in parts], dtype=np.float64)
    if np.any(numbers[:, :, 1] != numbers[0, :, 1]):  # tokens of one tokenizer are not those of another
        return None
    speakers = [parts[0][name][2] for name in common]
    return Pairs(
        numerators=numbers[: len(runs), :, 0].mean(axis=0),
        baseline=numbers[len(runs) :, :, 0].mean(axis=0),
        denominators=numbers[0, :, 1],
        speakers=[str(each) for each in speakers] if all(speakers) else None,
    )


def _list_parts(measure: Measure, records: Records) -> dict[str, tuple[float, float, str | None]]:
    assert measure.parts is not None
    found = {}
    for record in records:
        if record["skipped"] is None and (parts := measure.parts(record)) is not None:
            found[record["id"]] = (*parts, record.get("speaker"))
    return found


def _compare(pairs: Pairs, groups: list[str] | None) -> Comparison:
    if np.all(pairs.denominators == 1) and not np.all((pairs.numerators >= 0) & (pairs.numerators <= 1)):
        return compare_means(pairs.numerators, pairs.baseline, groups=groups)
    return compare_ratios(pairs.numerators, pairs.baseline, pairs.denominators, groups=groups)


def tell_mismatch(records: Records, baseline: Records) -> str | None:
    """Why two runs were not tested on the same utterances; None where they were."""
    ours, theirs = ({each["id"]: each for each in side} for side in (records, baseline))
    if alone := sorted(ours.keys() ^ theirs.keys()):
        n_common = len(ours.keys() & theirs.keys())
        told = f"{n_common:,} utterances are in both, {len(alone):,} in one alone (as {alone[0]})"
        return f"other test sets: {told}"
    if other := [name for name, each in ours.items() if each["reference"] != theirs[name]["reference"]]:
        return f"other references of {len(other):,} of {len(ours):,} utterances (as {min(other)})"
    return None


def compare_segments(records: Records, baseline: Records) -> dict[str, Any] | None:
    """Matched pairs of two recognisers on the same utterances; None where nothing was aligned."""
    others = {each["id"]: each for each in baseline if each["skipped"] is None}
    segments: list[tuple[int, int]] = []
    for record in records:
        if record["skipped"] is not None or record["id"] not in others:
            continue
        ours, theirs = record.get("alignment"), others[record["id"]].get("alignment")
        if ours is None or theirs is None:
            return None
        segments += list_segments(ours, theirs)
    if not segments:
        return None
    found = matched_pairs([pair[0] for pair in segments], [pair[1] for pair in segments])
    return {"n": len(segments), "p_value": finite(found.p_value)}


def ends_of(found: Comparison, scale: float) -> list[float] | None:
    """The ends of a difference as JSON holds them; None where they are not known."""
    ends = found.difference.low * scale, found.difference.high * scale
    return [round(end, 6) for end in ends] if all(map(math.isfinite, ends)) else None


def finite(number: float) -> float | None:
    """A number as JSON holds it; None of one that is not finite."""
    return round(number, 6) if math.isfinite(number) else None
