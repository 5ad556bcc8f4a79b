"""Long sequences as chunks that overlap by half, and back: what dual-path networks walk along and across."""

import torch
from torch import Tensor
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.ops.lengths import Lengths, mask_padding

# B batch, T frames, P chunks, K frames of a chunk, W width


def count_chunks(lengths: Lengths, size: int) -> Lengths:
    """How many chunks `split_chunks` makes of sequences of these lengths; none of nothing.

    Half a chunk of zeros stands before and behind the sequence, and as many more behind it as make whole
    chunks without overlap, a whole one where none is needed (as published: Luo, Chen, Yoshioka, "Dual-path
    RNN", ICASSP 2020; Subakan et al., "Attention is all you need in speech separation", ICASSP 2021).

    >>> count_chunks(torch.tensor([8, 9, 0]), 4).tolist()
    [6, 6, 0]
    """
    half = size // 2
    n_chunks = 2 * ((lengths + half) // size + 1)
    if isinstance(n_chunks, Tensor):
        return n_chunks * (lengths > 0)
    return n_chunks if lengths > 0 else 0


def split_chunks(x: Tensor, size: int, lengths: Tensor | None = None) -> Tensor:
    """Sequences (B, T, W) to chunks (B, P, K, W) of an even `size` K; zeros stand past true lengths (B,).

    Chunk p holds the frames from (p - 1) K / 2 to (p + 1) K / 2, so that each frame is in two.

    >>> split_chunks(torch.tensor([[[1.0], [2.0], [3.0]]]), 2)[:, :4].flatten(2).tolist()
    [[[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [3.0, 0.0]]]
    """
    if size < 2 or size % 2:
        raise UserError(f"chunks of {size} frames", expected="an even number from 2 on", key="chunk_size")
    half, n_frames = size // 2, x.shape[1]
    n_total = (count_chunks(n_frames, size) + 1) * half
    padded = F.pad(mask_padding(x, lengths), (0, 0, half, n_total - half - n_frames))
    halves = padded.unflatten(1, (-1, half))
    return torch.cat([halves[:, :-1], halves[:, 1:]], 2)


def join_chunks(chunks: Tensor, n_frames: int) -> Tensor:
    """The sum of chunks (B, P, K, W), each at its place, to (B, T, W) with T = `n_frames`.

    Of unchanged chunks that is the sequence twice.

    >>> join_chunks(split_chunks(torch.tensor([[[1.0], [2.0], [3.0]]]), 2), 3).flatten().tolist()
    [2.0, 4.0, 6.0]
    """
    n_items, n_chunks, size, width = chunks.shape
    first, second = chunks.split(size // 2, 2)  # halves (B, P, K / 2, W): first in chunk p, second in p - 1
    joined = first[:, 1:] + second[:, :-1]
    return joined.reshape(n_items, (n_chunks - 1) * (size // 2), width)[:, :n_frames]
