"""Attention decoder: a Transformer over tokens that looks at encoded frames."""

from collections.abc import Sequence

from torch import Tensor, nn

from speechkit.models.attention_blocks import BlockParts
from speechkit.models.token_transformer import TokenTransformer
from speechkit.nnet.hyper_attention import memory_mask
from speechkit.nnet.sizes import input_size_of
from speechkit.ops.lengths import mask_padding
from speechkit.ops.search_state import State

# B utterances, N = B K beams, T frames, U tokens of a text, V tokens there are, W width


class TransformerDecoder(nn.Module):
    """Transformer decoder (Vaswani et al., 2017), the norm before each layer.

    Token 0 is the boundary: it begins and ends a text, and stands nowhere else. Encoded frames are
    (B, T, input_size). Sizes count real values, as in `TransformerEncoder`, multiples of the algebra's parts;
    `positions` are those of the tokens: sinusoidal, rotary, relative, or null.
    `start` and `step` give a search the same scores token by token: keys and values of the frames are
    computed once an utterance, those of the tokens once a token.

    >>> import torch
    >>> sizes = {"width": 16, "num_layers": 1, "n_heads": 2, "hidden_size": 32}
    >>> decoder = TransformerDecoder(30, input_shape=(None, None, 24), **sizes)
    >>> encoded, lengths = torch.randn(2, 9, 24), torch.tensor([9, 4])
    >>> decoder(torch.ones(2, 5, dtype=torch.long), torch.tensor([5, 3]), encoded, lengths).shape
    torch.Size([2, 6, 30])
    """

    def __init__(
        self,
        n_tokens: int,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        algebra: str = "real",
        width: int = 256,
        num_layers: int = 4,
        n_heads: int = 4,
        hidden_size: int = 1024,
        positions: str | None = "sinusoidal",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        memory_width = input_size_of(input_shape, input_size, layer="TransformerDecoder")
        parts = BlockParts(algebra, width, n_heads, hidden_size, dropout)
        self.tokens = TokenTransformer(n_tokens, parts, num_layers, positions, memory_width)

    def forward(
        self, tokens: Tensor, token_lengths: Tensor, encoded: Tensor, encoded_lengths: Tensor | None = None
    ) -> Tensor:
        """Texts (B, U), frames (B, T, W), and their true lengths (B,), to logits (B, U + 1, V)."""
        memories, mask = self._look_at(encoded, encoded_lengths)
        return self.tokens(tokens, token_lengths, memories, mask)

    def align(
        self, tokens: Tensor, token_lengths: Tensor, encoded: Tensor, encoded_lengths: Tensor | None = None
    ) -> Tensor:
        """Where each token, and the end, looks: (B, U + 1, T) of sum 1, the last block's mean of heads."""
        memories, mask = self._look_at(encoded, encoded_lengths)
        return self.tokens.weigh(tokens, token_lengths, memories, mask)

    def start(self, encoded: Tensor, lengths: Tensor | None = None) -> State:
        """The state before the first token of each of B utterances."""
        return self.tokens.start(len(encoded), *self._look_at(encoded, lengths))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The last tokens (N,) to log-probabilities (N, V) of the next, and the state with them."""
        return self.tokens.step(tokens, state)

    def _look_at(self, encoded: Tensor, lengths: Tensor | None) -> tuple[list, Tensor | None]:
        encoded = mask_padding(encoded, lengths)
        memories = [block.look_at(encoded) for block in self.tokens.layers()]
        return memories, memory_mask(lengths, encoded)
