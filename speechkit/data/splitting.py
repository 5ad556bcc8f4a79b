"""Clips shared out to training, validation and test, by key: the same on every machine."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from speechkit.data.corpus import Clip
from speechkit.errors import UserError
from speechkit.ops.random import derive_seed

SHARES = {"valid": 0.1, "test": 0.2}


def split_clips(
    clips: Sequence[Clip], shares: Mapping[str, float] = SHARES, seed: int = 0
) -> dict[str, list[Clip]]:
    """Split off subsets by their shares; what remains is `train`, in the order given.

    Where every clip has a speaker whole speakers are shared out, so that no speaker is in two subsets: the
    shares are of speakers then. Else of each label: it is in all subsets. Each share is at least one speaker,
    or one clip of each label. Who goes where is an order by hash of (seed, speaker or clip id).

    Raises:
        UserError: too few clips of a label or too few speakers for all subsets; a label without a clip to
            train on; speakers given for some clips only

    >>> clips = [Clip(None, f"{label}{i}", label) for label in "ab" for i in range(10)]
    >>> {name: len(each) for name, each in split_clips(clips).items()}
    {'train': 14, 'valid': 2, 'test': 4}
    """
    speakers = {clip.speaker for clip in clips}
    if speakers != {None} and None in speakers:
        lacking = next(clip for clip in clips if clip.speaker is None)
        raise UserError(f"{lacking.id} has no speaker", expected="a speaker for each clip, or for none")
    subset_of: dict[str, str] = {}
    if None in speakers:
        for label, of_label in _by_label(clips).items():
            what = "clips" if label is None else f"clips of the label {label!r}"
            _share_out([clip.id for clip in of_label], shares, seed, what, subset_of)
        subsets = _collect(clips, [subset_of[clip.id] for clip in clips], shares)
    else:
        _share_out(sorted(map(str, speakers)), shares, seed, "speakers", subset_of)
        subsets = _collect(clips, [subset_of[str(clip.speaker)] for clip in clips], shares)
    untrained = sorted(set(_by_label(clips)) - set(_by_label(subsets["train"])), key=str)
    if untrained:
        found = (
            f"the label {untrained[0]!r} has no clip left to train on: its speakers are all in {_and(shares)}"
        )
        raise UserError(found, do="give it more speakers, another seed, or say the subset of each clip")
    return subsets


def split_transcripts(
    clips: Sequence[Clip], shares: Mapping[str, float] = SHARES, seed: int = 0
) -> dict[str, list[Clip]]:
    """As `split_clips`, for clips whose labels are texts: no two need be the same.

    >>> clips = [Clip(None, f"{i}", f"text {i}", speaker=f"{i % 5}") for i in range(20)]
    >>> {name: len(each) for name, each in split_transcripts(clips, {"valid": 0.2}).items()}
    {'train': 16, 'valid': 4}
    """
    texts = {clip.id: clip.label for clip in clips}
    parts = split_clips([replace(clip, label=None) for clip in clips], shares, seed)
    return {name: [replace(clip, label=texts[clip.id]) for clip in part] for name, part in parts.items()}


def _share_out(
    keys: Sequence[str], shares: Mapping[str, float], seed: int, what: str, subset_of: dict[str, str]
) -> None:
    """Put each key's subset into `subset_of`."""
    counts = {name: max(1, math.floor(share * len(keys) + 0.5)) for name, share in shares.items()}
    if sum(counts.values()) >= len(keys):
        raise UserError(
            f"{len(keys)} {what}", expected=f"{len(shares) + 1} or more: for train, {', '.join(shares)}"
        )
    ordered = iter(sorted(keys, key=lambda key: derive_seed(seed, "split", key)))
    for name, count in counts.items():
        subset_of.update({next(ordered): name for _ in range(count)})
    subset_of.update(dict.fromkeys(ordered, "train"))


def _by_label(clips: Sequence[Clip]) -> dict[str | None, list[Clip]]:
    found = defaultdict(list)
    for clip in clips:
        found[clip.label].append(clip)
    return dict(found)


def _collect(
    clips: Sequence[Clip], names: Sequence[str], shares: Mapping[str, float]
) -> dict[str, list[Clip]]:
    subsets: dict[str, list[Clip]] = {name: [] for name in ("train", *shares)}
    for clip, name in zip(clips, names, strict=True):
        subsets[name].append(clip)
    return subsets


def _and(names: Mapping[str, float]) -> str:
    return " and ".join(names)
