"""Mirrored ends against numpy's own padding."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.ops.mirroring import mirror_ends


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    amount=st.integers(0, 12),
    trailing=st.sampled_from([(), (2,), (2, 3)]),
)
def test_each_item_is_padded_as_numpy_pads_it(lengths, amount, trailing):
    x = torch.randn(len(lengths), max(lengths), *trailing)
    mirrored = mirror_ends(x, amount, torch.tensor(lengths))
    assert mirrored.shape[1] == max(lengths) + 2 * amount
    for item, n in enumerate(lengths):
        if n == 0:
            assert not mirrored[item].any()
            continue
        amounts = [(amount, amount)] + [(0, 0)] * len(trailing)
        expected = torch.from_numpy(np.pad(x[item, :n].numpy(), amounts, mode="reflect"))
        assert torch.equal(mirrored[item, : n + 2 * amount], expected)
        assert not mirrored[item, n + 2 * amount :].any()
        assert torch.equal(mirror_ends(x[item : item + 1, :n], amount)[0], expected)
