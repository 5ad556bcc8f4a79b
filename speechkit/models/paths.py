"""Networks that dual-path models walk with: Transformers, LSTMs, and both in one."""

from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.models.attention_blocks import BlockParts, TransformerBlock
from speechkit.nnet import LSTM, Dropout, SinusoidalPositions

# W width


class TransformerPath(nn.Module):
    """Sinusoidal positions, Transformer blocks with norms first, and a norm: what SepFormer walks with.

    width: even. hidden_size: of the feed-forward nets.
    """

    def __init__(
        self, width: int, num_layers: int = 8, n_heads: int = 8, hidden_size: int = 1024, dropout: float = 0.0
    ) -> None:
        super().__init__()
        parts = BlockParts("real", width, n_heads, hidden_size, dropout, norm_eps=1e-6)
        self.positions = SinusoidalPositions(input_size=width)
        self.blocks = nn.ModuleList(TransformerBlock(parts, None) for _ in range(num_layers))
        self.norm = parts.norm()

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(rows, frames, W), true lengths (rows,), to the same shape."""
        x = self.positions(x)
        for block in self.blocks:
            x = block(x, lengths)
        return self.norm(x)


class RecurrentPath(nn.Module):
    """A bidirectional LSTM and a linear layer back to the width: DPRNN's networks."""

    def __init__(self, width: int, hidden_size: int = 128, num_layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.lstm = LSTM(
            hidden_size, input_size=width, num_layers=num_layers, bidirectional=True, dropout=dropout
        )
        self.linear = nn.Linear(2 * hidden_size, width)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(rows, frames, W), true lengths (rows,), to the same shape."""
        return self.linear(self.lstm(x, lengths))


class RecurrentTransformerPath(nn.Module):
    """Self-attention, then an LSTM in both directions and a linear layer, each added and normed: DPTNet's.

    Chen, Mao, Liu, "Dual-path Transformer network", Interspeech 2020: the LSTM stands in place of the first
    half of the feed-forward net, and tells the order of frames, so there are no other positions.

    hidden_size: of the LSTM, in each direction. num_layers: such blocks.
    """

    def __init__(
        self, width: int, hidden_size: int = 128, num_layers: int = 1, n_heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        parts = BlockParts("real", width, n_heads, hidden_size, dropout)
        self.blocks = nn.ModuleList(_RecurrentTransformerBlock(parts) for _ in range(num_layers))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(rows, frames, W), true lengths (rows,), to the same shape."""
        for block in self.blocks:
            x = block(x, lengths)
        return x


class _RecurrentTransformerBlock(nn.Module):
    def __init__(self, parts: BlockParts) -> None:
        super().__init__()
        self.attention, self.attention_norm = parts.attention(), parts.norm()
        self.lstm = LSTM(parts.hidden_size, input_size=parts.width, bidirectional=True)
        self.linear, self.norm = nn.Linear(2 * parts.hidden_size, parts.width), parts.norm()
        self.dropout = Dropout(parts.dropout)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(rows, frames, W), true lengths (rows,), to the same shape."""
        x = self.attention_norm(x + self.dropout(self.attention(x, lengths)))
        y = self.linear(self.dropout(F.relu(self.lstm(x, lengths))))
        return self.norm(x + self.dropout(y))
