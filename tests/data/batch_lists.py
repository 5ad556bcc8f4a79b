"""Batches of a manifest as a list, and two lists compared."""

from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from lhotse.dataset import DynamicBucketingSampler, SimpleCutSampler

from speechkit.data import Batch, CutBatches

SHUFFLED = partial(DynamicBucketingSampler, max_duration=4.0, num_buckets=3, shuffle=True)
IN_ORDER = partial(SimpleCutSampler, max_cuts=4)


def batches(manifest: Path, sampler=IN_ORDER, epoch: int = 1, rate: int = 16000, **settings) -> list[Batch]:
    skip = settings.pop("skip", 0)
    return list(CutBatches(manifest, sampler, rate, **settings).iterate(1, epoch, skip))


def flat(lists: Iterable[list]) -> list:
    return list(chain.from_iterable(lists))


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.ids, ours.texts, ours.speakers) == (theirs.ids, theirs.texts, theirs.speakers)
        assert ours.seconds == theirs.seconds
        assert torch.equal(ours.waveforms, theirs.waveforms)
        assert torch.equal(ours.lengths, theirs.lengths)
