"""What Transformers and Conformers are made of, over any algebra: parts, and blocks of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from speechkit.models.layers import layers_over
from speechkit.nnet import ConformerConvolution, FeedForward, HyperMultiheadAttention
from speechkit.nnet.hyper_attention import KeysValues

# B batch, T frames, U tokens, W width


class Residual(nn.Module):
    """x + scale dropout(f(norm(x))), the norm before the layer (Xiong et al., 2020)."""

    def __init__(self, norm: nn.Module, dropout: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.norm, self.dropout, self.scale = norm, dropout, scale

    def forward(self, x: Tensor, layer: Callable[[Tensor], Tensor]) -> Tensor:
        """(B, T, W) around any `layer` that keeps the shape."""
        y = self.dropout(layer(self.norm(x)))
        return x + (y if self.scale == 1 else self.scale * y)


@dataclass(frozen=True)
class BlockParts:
    """Makes the layers of blocks of one width; `width` and `hidden_size` count real values."""

    algebra: str
    width: int
    n_heads: int
    hidden_size: int
    dropout: float
    norm_eps: float = 1e-5

    def numbers(self, key: str) -> int:
        """Numbers in `width` or `hidden_size`."""
        return layers_over(self.algebra).count_numbers(getattr(self, key), key)

    def norm(self) -> nn.Module:
        """A layer norm."""
        return layers_over(self.algebra).layer_norm(input_size=self.numbers("width"), eps=self.norm_eps)

    def residual(self, scale: float = 1.0) -> Residual:
        """What adds a layer to its input."""
        return Residual(self.norm(), layers_over(self.algebra).dropout(self.dropout), scale)

    def attention(
        self, positions: str | None = None, causal: bool = False, memory_width: int | None = None
    ) -> HyperMultiheadAttention:
        """Self-attention, or with `memory_width` (real values) attention to another sequence."""
        kind = layers_over(self.algebra)
        return HyperMultiheadAttention(
            self.n_heads,
            input_size=self.numbers("width"),
            dropout=self.dropout,
            causal=causal,
            positions=positions if positions in ("rotary", "relative") else None,
            memory_size=None if memory_width is None else kind.count_numbers(memory_width, "input_size"),
            algebra=self.algebra,
        )

    def feed_forward(self, activation: nn.Module | None = None) -> FeedForward:
        """Two products at each frame."""
        return FeedForward(
            self.numbers("hidden_size"),
            input_size=self.numbers("width"),
            dropout=self.dropout,
            activation=activation,
            algebra=self.algebra,
        )


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward net, each added to its input."""

    def __init__(self, parts: BlockParts, positions: str | None) -> None:
        super().__init__()
        self.attention, self.feed_forward = parts.attention(positions), parts.feed_forward()
        self.around_attention, self.around_feed_forward = parts.residual(), parts.residual()

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, W), true lengths (B,) in frames, to the same shape."""
        x = self.around_attention(x, partial(self.attention, lengths=lengths))
        return self.around_feed_forward(x, self.feed_forward)


class ConformerBlock(nn.Module):
    """Half a feed-forward net, self-attention, convolution, the other half, a norm (Gulati et al., 2020)."""

    def __init__(
        self, parts: BlockParts, positions: str | None, kernel_size: int, normalization: str
    ) -> None:
        super().__init__()
        self.first, self.last = parts.feed_forward(nn.SiLU()), parts.feed_forward(nn.SiLU())
        self.attention = parts.attention(positions)
        self.convolution = ConformerConvolution(
            kernel_size,
            input_size=parts.numbers("width"),
            normalization=normalization,
            algebra=parts.algebra,
        )
        self.around_first, self.around_last = parts.residual(0.5), parts.residual(0.5)
        self.around_attention, self.around_convolution = parts.residual(), parts.residual()
        self.norm = parts.norm()

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, W), true lengths (B,) in frames, to the same shape."""
        x = self.around_first(x, self.first)
        x = self.around_attention(x, partial(self.attention, lengths=lengths))
        x = self.around_convolution(x, partial(self.convolution, lengths=lengths))
        return self.norm(self.around_last(x, self.last))


class DecoderBlock(nn.Module):
    """Causal self-attention, attention to a memory where there is one, and a feed-forward net.

    `memory_width`: the memory's real values, or None for a language model.
    """

    def __init__(self, parts: BlockParts, positions: str | None, memory_width: int | None) -> None:
        super().__init__()
        self.attention = parts.attention(positions, causal=True)
        self.around_attention = parts.residual()
        self.cross = self.around_cross = None
        if memory_width is not None:
            self.cross, self.around_cross = parts.attention(memory_width=memory_width), parts.residual()
        self.feed_forward, self.around_feed_forward = parts.feed_forward(), parts.residual()

    def look_at(self, memory: Tensor) -> KeysValues:
        """Keys and values of a memory (B, T, W)."""
        assert self.cross is not None
        return self.cross.project(memory)

    def forward(self, x: Tensor, memory: KeysValues | None = None, mask: Tensor | None = None) -> Tensor:
        """(B, U, W) to the same shape: each token sees those before it."""
        x = self.around_attention(x, self.attention)
        return self._after_attention(x, memory, mask)

    def weigh(self, x: Tensor, memory: KeysValues, mask: Tensor | None = None) -> Tensor:
        """What each token of (B, U, W) weighs the frames of a memory by, (B, U, T): the mean over heads."""
        assert self.cross is not None
        assert self.around_cross is not None
        x = self.around_attention(x, self.attention)
        return self.cross.weights(self.around_cross.norm(x), memory, mask).mean(1)

    def step(
        self, x: Tensor, cache: KeysValues, memory: KeysValues | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, KeysValues]:
        """The next token (N, 1, W) of N = B K beams of B utterances, and the cache with it."""
        y, cache = self.attention.step(self.around_attention.norm(x), cache)
        x = x + self.around_attention.dropout(y)
        if memory is not None:  # an utterance's beams are queries to one memory, which is never repeated
            x = x.view(len(memory.keys), -1, x.shape[-1])
        return self._after_attention(x, memory, mask).view(len(cache.keys), 1, -1), cache

    def _after_attention(self, x: Tensor, memory: KeysValues | None, mask: Tensor | None) -> Tensor:
        if self.cross is not None and self.around_cross is not None:
            assert memory is not None
            x = self.around_cross(x, partial(self.cross.attend, memory=memory, mask=mask))
        return self.around_feed_forward(x, self.feed_forward)
