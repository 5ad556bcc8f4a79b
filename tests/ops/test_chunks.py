"""Chunks that overlap by half, against loops over frames."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.errors import UserError
from speechkit.ops.chunks import count_chunks, join_chunks, split_chunks


@settings(max_examples=30)
@given(n_frames=st.integers(1, 40), half=st.integers(1, 6), width=st.integers(1, 3))
def test_chunks_hold_their_frames(n_frames, half, width):
    size = 2 * half
    x = torch.randn(2, n_frames, width)
    chunks = split_chunks(x, size)
    assert chunks.shape[1] == count_chunks(n_frames, size) == count_chunks(torch.tensor([n_frames]), size)
    assert chunks.shape[1] % 2 == 0, "as published: two rows of chunks side by side"
    seen = torch.zeros(n_frames)
    joined = torch.zeros_like(x)
    for chunk in range(chunks.shape[1]):
        for k in range(size):
            frame = (chunk - 1) * half + k
            if 0 <= frame < n_frames:
                assert torch.equal(chunks[:, chunk, k], x[:, frame])
                joined[:, frame] += chunks[:, chunk, k]
                seen[frame] += 1
            else:
                assert not chunks[:, chunk, k].any()
    assert (seen == 2).all()
    torch.testing.assert_close(join_chunks(chunks, n_frames), joined)


@settings(max_examples=30)
@given(lengths=st.lists(st.integers(0, 30), min_size=1, max_size=3), half=st.integers(1, 5))
def test_an_item_of_a_batch_has_the_chunks_it_has_alone(lengths, half):
    n_frames = max(*lengths, 1)
    x = torch.randn(len(lengths), n_frames, 2)
    chunks = split_chunks(x, 2 * half, torch.tensor(lengths))
    counts = count_chunks(torch.tensor(lengths), 2 * half).tolist()
    for item, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        assert (length == 0) == (count == 0)
        if length:
            alone = split_chunks(x[item : item + 1, :length], 2 * half)[0]
            assert torch.equal(chunks[item, :count], alone)
        assert not chunks[item, count:].any()


def test_an_odd_size_is_told():
    with pytest.raises(UserError, match="chunks of 3 frames"):
        split_chunks(torch.zeros(1, 4, 1), 3)
