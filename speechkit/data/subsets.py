"""Several data sets that are told apart by name, as the tests of a corpus are."""

import os
from collections.abc import Sequence
from typing import Literal

from speechkit.data.batches import CutBatches
from speechkit.data.sampling import Sampler
from speechkit.errors import UserError


def batches_by_subset(
    subsets: Sequence[str],
    manifest_folder: str,
    sampler: Sampler,
    sample_rate: int,
    n_workers: int = 0,
    unreadable: Literal["skip", "stop"] = "skip",
) -> dict[str, CutBatches]:
    """The batches of each subset, of its manifest `<subset>.jsonl`; the other arguments are `CutBatches`'.

    For `test_data` of a YAML whose key names the subsets; nothing is read before one iterates or counts.

    >>> from lhotse.dataset import SimpleCutSampler
    >>> found = batches_by_subset(["test-clean", "test-other"], "manifests", SimpleCutSampler, 16000)
    >>> {name: data.manifest for name, data in found.items()}
    {'test-clean': 'manifests/test-clean.jsonl', 'test-other': 'manifests/test-other.jsonl'}
    """
    if isinstance(subsets, str):
        raise UserError(f"subsets: {subsets!r}", expected="a list of names", do=f"write [{subsets}]")
    return {
        subset: CutBatches(
            os.path.join(manifest_folder, f"{subset}.jsonl"),
            sampler,
            sample_rate,
            n_workers=n_workers,
            unreadable=unreadable,
        )
        for subset in subsets
    }
