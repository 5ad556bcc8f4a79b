"""Masks by walking along and across chunks of a long sequence: DPRNN, SepFormer, DPTNet."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet import GlobalLayerNorm, PReLU
from speechkit.nnet.sizes import check_positive
from speechkit.ops.chunks import count_chunks, join_chunks, split_chunks

# B batch, S sources, T frames, F filters, P chunks, K frames of a chunk, W width
Path = Callable[[int], nn.Module]  # of a width: (rows, frames, W), lengths (rows,) to the same shape


class DualPath(nn.Module):
    """Masks (B, S, T, F) for frames (B, T, F) of S sources, in [0, infinity).

    Frames are cut into chunks that overlap by half (Luo, Chen, Yoshioka, "Dual-path RNN", ICASSP 2020).
    `num_layers` times a network walks along the frames of each chunk, `intra`, then another across the chunks
    at each of their frames, `inter`; each is followed by a global norm and added to what it got. The chunks
    are added up, and a gated layer (tanh times sigmoid) makes the masks, as published for SepFormer (Subakan
    et al., ICASSP 2021).

    chunk_size: frames, even. width: of the networks. intra, inter: make a network of a width, such as
        `TransformerPath` or `RecurrentPath`.

    >>> from speechkit.models import TransformerPath
    >>> path = lambda width: TransformerPath(width, num_layers=1, n_heads=2, hidden_size=16)
    >>> masker = DualPath(16, n_sources=3, width=8, chunk_size=4, num_layers=2, intra=path, inter=path)
    >>> masker(torch.randn(2, 21, 16), torch.tensor([21, 13])).shape
    torch.Size([2, 3, 21, 16])
    """

    def __init__(
        self,
        n_filters: int,
        n_sources: int,
        width: int,
        chunk_size: int,
        num_layers: int,
        intra: Path,
        inter: Path,
    ) -> None:
        super().__init__()
        check_positive("DualPath", n_sources=n_sources, width=width, num_layers=num_layers)
        if chunk_size < 2 or chunk_size % 2:
            raise UserError(f"chunk_size {chunk_size}", expected="an even number from 2 on", key="chunk_size")
        self.n_sources, self.chunk_size = n_sources, chunk_size
        self.norm = GlobalLayerNorm(input_size=n_filters)
        self.begin = nn.Linear(n_filters, width, bias=False)
        self.layers = nn.ModuleList(_Walk(width, intra(width), inter(width)) for _ in range(num_layers))
        self.activation = PReLU()
        self.divide = nn.Linear(width, width * n_sources)
        self.output, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        self.end = nn.Linear(width, n_filters, bias=False)

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F), true lengths (B,) in frames, to (B, S, T, F)."""
        n_frames = frames.shape[1]
        if not n_frames:
            return frames.unsqueeze(1).expand(-1, self.n_sources, -1, -1)
        x = split_chunks(self.begin(self.norm(frames, lengths)), self.chunk_size, lengths)
        n_chunks = None if lengths is None else count_chunks(lengths, self.chunk_size)
        for layer in self.layers:
            x = layer(x, n_chunks)
        x = join_chunks(self.activation(x), n_frames)
        # Dividing before joining would be the same of twice as many frames: each is in two chunks.
        x = F.linear(x, self.divide.weight, 2 * self.divide.bias)
        x = x.unflatten(2, (self.n_sources, -1)).transpose(1, 2)
        return F.relu(self.end(torch.tanh(self.output(x)) * torch.sigmoid(self.gate(x))))


class _Walk(nn.Module):
    """Along the frames of each chunk, then across the chunks."""

    def __init__(self, width: int, intra: nn.Module, inter: nn.Module) -> None:
        super().__init__()
        self.intra, self.inter = intra, inter
        self.intra_norm = GlobalLayerNorm(input_size=width)
        self.inter_norm = GlobalLayerNorm(input_size=width)

    def forward(self, x: Tensor, n_chunks: Tensor | None) -> Tensor:
        """(B, P, K, W), true numbers of chunks (B,), to the same shape."""
        size = x.shape[2]
        along = self.intra(x.flatten(0, 1), None).view_as(x)
        x = x + self.intra_norm(along, n_chunks)
        rows = x.transpose(1, 2)  # (B, K, P, W)
        lengths = None if n_chunks is None else n_chunks.repeat_interleave(size)
        across = self.inter(rows.flatten(0, 1), lengths).view_as(rows).transpose(1, 2)
        return x + self.inter_norm(across, n_chunks)
