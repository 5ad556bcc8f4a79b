"""What a report shows of a language model: perplexities, and the texts that it finds least likely."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from speechkit.report.clips import AudioBudget
from speechkit.report.run import Run
from speechkit.report.view import Measure, Records, Section, View
from speechkit.stats import Interval, bootstrap_ratio

N_SHOWN = 20  # texts
RARE = 13.0  # bits, from which on a word is marked: as surprising as one of 8,000 equally likely ones


def surprise_per(unit: str) -> Callable[[Records, Sequence[str] | None], Interval]:
    """The measure sum of -log p / sum of counts[unit], in nats; not known where a text has no such number."""

    def interval(records: Records, groups: Sequence[str] | None) -> Interval:
        numbers = [record["scores"]["log_probability"] for record in records]
        if any(number is None for number in numbers):  # the weights are not finite
            return Interval(math.nan, math.nan, math.nan, len(records))
        return bootstrap_ratio(
            [-number for number in numbers], [record["counts"][unit] for record in records], groups=groups
        )

    return interval


def perplexity_per(unit: str) -> Callable[[Records, Sequence[str] | None], Interval]:
    """The measure exp(sum of -log p / sum of counts[unit])."""
    measure = surprise_per(unit)

    def interval(records: Records, groups: Sequence[str] | None) -> Interval:
        nats = measure(records, groups)
        with np.errstate(over="ignore"):
            value, low, high = (float(np.exp(each)) for each in (nats.value, nats.low, nats.high))
        return Interval(value, low, high, nats.n)

    return interval


def parts_of_surprise(unit: str) -> Callable[[dict[str, Any]], tuple[float, float] | None]:
    """A text's -log p, in nats, and its number of units; None where it has no such number."""

    def parts(record: dict[str, Any]) -> tuple[float, float] | None:
        number = record["scores"]["log_probability"]
        return None if number is None else (-number, record["counts"][unit])

    return parts


MEASURES = {
    "perplexity": Measure(
        "per word", perplexity_per("words"), 1.0, parts_of_surprise("words"), "nats a word"
    ),
    "token_perplexity": Measure(
        "per token", perplexity_per("tokens"), 1.0, parts_of_surprise("tokens"), "nats a token"
    ),
    "bits_per_character": Measure(
        "bits", surprise_per("characters"), 1 / math.log(2), parts_of_surprise("characters")
    ),
}


def describe_subset(run: Run, subset: str, budget: AudioBudget) -> list[Section]:
    """The sections for one test subset; none where no text has a probability."""
    records = [record for record in run.predictions[subset] if record["skipped"] is None]
    worst = sorted(records, key=badness, reverse=True)[:N_SHOWN]
    if not worst:
        return []
    return [Section("Least likely texts", "sentences.html", {"texts": [_show(each) for each in worst]})]


def badness(record: dict[str, Any]) -> tuple[float, str]:
    """The order in which texts are shown, from the greatest: bits a word."""
    number = record["scores"]["log_probability"]
    return math.inf if number is None else -number / record["counts"]["words"], record["id"]


def _show(record: dict[str, Any]) -> dict[str, Any]:
    bits = badness(record)[0] / math.log(2)
    words = [{"word": word, "bits": size, "is_rare": (size or 0) > RARE} for word, size in record["surprise"]]
    n_words = record["counts"]["words"] - 1
    return {
        "id": record["id"],
        "words": words,
        "bits": bits,
        "n_words": n_words,
        "speaker": record["speaker"],
    }


VIEW = View(MEASURES, describe_subset, badness)
