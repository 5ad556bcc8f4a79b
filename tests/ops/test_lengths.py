"""Masks and length arithmetic against loops over frames."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechkit.errors import UserError
from speechkit.ops.lengths import (
    check_lengths,
    conv_output_lengths,
    is_padded,
    length_mask,
    mask_padding,
    padding_amounts,
    reverse_padded,
)


@given(
    n=st.integers(1, 40),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    padding=st.sampled_from(["same", "valid", "causal"]),
)
def test_conv_output_lengths_counts_where_the_kernel_fits(n, kernel, stride, dilation, padding):
    before, after = padding_amounts(kernel, dilation, padding)
    total, span = before + n + after, dilation * (kernel - 1) + 1
    starts = [start for start in range(0, total, stride) if start + span <= total]
    assert conv_output_lengths(n, kernel, stride, dilation, padding) == len(starts)
    assert conv_output_lengths(torch.tensor([n]), kernel, stride, dilation, padding).item() == len(starts)
    if padding != "valid":
        assert len(starts) == -(-n // stride)


def test_mask_padding_clears_nan_along_any_axis():
    x = torch.full((2, 3, 4), torch.nan)
    x[0, :, :2] = 1
    x[1] = 1
    assert mask_padding(x, torch.tensor([2, 4]), axis=2).sum() == 3 * 2 + 3 * 4


def test_full_batches_are_returned_as_they_are():
    x = torch.randn(2, 3, 4)
    assert mask_padding(x, torch.tensor([3, 3])) is x
    assert mask_padding(x, None) is x
    assert not is_padded(torch.tensor([3, 5]), 3)


def test_reverse_padded_twice_is_the_same_and_keeps_padding():
    x, lengths = torch.randn(3, 7, 2), torch.tensor([7, 4, 1])
    once = reverse_padded(x, lengths)
    torch.testing.assert_close(once[1, :4], x[1, :4].flip(0))
    torch.testing.assert_close(once[1, 4:], x[1, 4:])
    torch.testing.assert_close(reverse_padded(once, lengths), x)


def test_fractions_are_refused():
    for refuse in (length_mask, check_lengths):
        with pytest.raises(UserError, match="integer counts"):
            refuse(torch.tensor([0.5, 1.0]), 4)
    with pytest.raises(UserError, match="integer counts"):
        reverse_padded(torch.zeros(2, 4), torch.tensor([1.0, 1.0]))


def test_lengths_beyond_the_padded_axis_are_refused():
    check_lengths(None, 4)
    check_lengths(torch.tensor([4, 0]), 4)
    for lengths in ([5, 3], [5, 5]):
        with pytest.raises(
            UserError, match="a length of 5 in a batch padded to 4; expected lengths of at most 4"
        ):
            reverse_padded(torch.zeros(2, 4), torch.tensor(lengths))


def test_unknown_padding_is_a_users_mistake():
    with pytest.raises(UserError, match="same, valid or causal"):
        padding_amounts(3, 1, "full")
