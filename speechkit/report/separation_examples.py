"""Mixtures that a page of separation plays and draws: each beside its estimates and its references.

A mixture's clips are parts of one id in `clips/index.json`: "mixture", "estimate 1", ..., "reference 1", ...
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from speechkit.report.clips import AudioBudget, read_clip
from speechkit.report.run import Run
from speechkit.report.spectrograms import BANDS, Axes, draw_together, mark_axes
from speechkit.report.view import Records

N_DRAWN = 12  # mixtures of a subset; more are only played


@dataclass(frozen=True)
class Signal:
    """A clip of a mixture: its player, and its pictures by scale where they could be drawn."""

    part: str
    path: str
    audio: str | None
    pictures: dict[str, str]


@dataclass(frozen=True)
class Talker:
    """A source of a mixture, as the record has it, with its clips."""

    about: dict[str, Any]
    estimate: Signal | None
    reference: Signal | None


@dataclass(frozen=True)
class Example:
    """A mixture with all that is shown of it."""

    title: str
    rank: int  # 1 is the worst
    record: dict[str, Any]
    mixture: Signal | None = None
    talkers: list[Talker] = field(default_factory=list)
    others: list[Signal] = field(default_factory=list)
    axes: dict[str, Axes] = field(default_factory=dict)  # of the pictures, by scale; none without pictures


def list_examples(run: Run, subset: str, ranked: Records, budget: AudioBudget) -> list[Example]:
    """The mixtures of a subset whose clips the run kept; ranked: all mixtures, the worst first."""
    kept: dict[str, dict[str, str]] = {}  # paths by part, by mixture
    for entry in run.clips:
        if entry["subset"] == subset and "part" in entry:
            kept.setdefault(entry["id"], {})[entry["part"]] = entry["path"]
    places = [place for place, record in enumerate(ranked) if record["id"] in kept]
    titles = name_places(places, len(ranked))
    examples = []
    for number, place in enumerate(places):
        paths, has_pictures = kept[ranked[place]["id"]], number < N_DRAWN
        known = Example(titles[place], place + 1, ranked[place])
        examples.append(_fill_in(known, run.folder, paths, budget, has_pictures=has_pictures))
    return examples


def name_places(places: Sequence[int], n: int) -> dict[int, str]:
    """Names for places among n from the worst, 0, to the best; near the median is within 5% of all.

    >>> list(name_places([0, 25, 52, 99], 100).values())
    ['The worst', 'Number 26 from the worst', 'Near the median', 'The best']
    """
    middle = (n - 1) / 2
    names = {place: f"Number {place + 1:,} from the worst" for place in places}
    if places:
        nearest = min(places, key=lambda place: abs(place - middle))
        distance = abs(nearest - middle)
        if distance <= max(0.5, 0.05 * n):
            names[nearest] = "The median" if distance <= 0.5 else "Near the median"
    ends = {n - 1: "The best", 0: "The worst"}
    return names | {place: name for place, name in ends.items() if place in names}


def _fill_in(
    example: Example, folder: Path, paths: Mapping[str, str], budget: AudioBudget, *, has_pictures: bool
) -> Example:
    """The example with its signals: paths in the run's folder by part."""
    sources = example.record["sources"]
    pairs = [
        ("" if source["estimate"] is None else f"estimate {source['estimate'] + 1}", f"reference {number}")
        for number, source in enumerate(sources, start=1)
    ]
    clips = {part: read_clip(folder / path) for part, path in paths.items() if has_pictures}
    pictures, axes = _draw(clips, dict(pairs))
    signals = {}
    for part, path in paths.items():
        own = {scale: drawn[part] for scale, drawn in pictures.items() if part in drawn}
        signals[part] = Signal(part, path, budget.embed(folder / path), own)
    talkers = [
        Talker(source, signals.pop(estimate, None), signals.pop(reference, None))
        for source, (estimate, reference) in zip(sources, pairs, strict=True)
    ]
    mixture = signals.pop("mixture", None)
    return replace(example, mixture=mixture, talkers=talkers, others=list(signals.values()), axes=axes)


def _draw(
    clips: dict[str, tuple[np.ndarray, int] | None], partners: dict[str, str]
) -> tuple[dict[str, dict[str, str]], dict[str, Axes]]:
    """Pictures by scale and part, and their axes; none without a mixture, or where rates differ."""
    known = {part: clip for part, clip in clips.items() if clip}
    rates = {rate for _, rate in known.values()}
    if "mixture" not in known or len(rates) > 1:
        return {}, {}
    rate, n_samples = rates.pop(), max(len(samples) for samples, _ in known.values())
    signals = {part: np.pad(samples, (0, n_samples - len(samples))) for part, (samples, _) in known.items()}
    levelled = level_estimates(signals, partners)
    return (
        {scale: draw_together(levelled, rate, scale, "mixture") for scale in BANDS},
        {scale: mark_axes(n_samples / rate, rate, scale) for scale in BANDS},
    )


def level_estimates(signals: dict[str, np.ndarray], partners: dict[str, str]) -> dict[str, np.ndarray]:
    """The signals by name, estimates brought to the energy of their references.

    SI-SNR does not see how loud an estimate is, but a picture beside its reference's shows nothing else.

    Args:
        partners: the name of the reference by that of the estimate.
    """
    levelled = dict(signals)
    for estimate, reference in partners.items():
        if estimate in signals and reference in signals:
            energies = [float(np.sum(np.square(signals[name]))) for name in (reference, estimate)]
            if min(energies) > 0:
                levelled[estimate] = signals[estimate] * np.sqrt(energies[0] / energies[1])
    return levelled
