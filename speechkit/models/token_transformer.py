"""A Transformer over tokens, all at once or one by one: the core of the decoder and of the language model."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from speechkit.models.attention_blocks import BlockParts, DecoderBlock
from speechkit.models.token_input import TokenEmbedding, begin_with_boundary, to_log_probs
from speechkit.models.transformer_encoder import check_positions
from speechkit.nnet import Dropout, SinusoidalPositions
from speechkit.nnet.hyper_attention import KeysValues
from speechkit.ops.search_state import State

# B utterances, N rows of tokens (B, or B K beams), U tokens of a text, V tokens there are, W width
Memories = Sequence[KeysValues | None]


class TokenTransformer(nn.Module):
    """Tokens to logits of the next one; each block looks at its own keys and values of a memory, if any."""

    def __init__(
        self,
        n_tokens: int,
        parts: BlockParts,
        num_layers: int,
        positions: str | None,
        memory_width: int | None = None,
    ) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(n_tokens, parts.width)
        is_added = check_positions(positions) == "sinusoidal"
        self.positions = SinusoidalPositions(input_size=parts.width) if is_added else None
        self.dropout = Dropout(parts.dropout)
        self.blocks = nn.ModuleList(DecoderBlock(parts, positions, memory_width) for _ in range(num_layers))
        self.norm = parts.norm()
        self.output = nn.Linear(parts.width, n_tokens)

    def forward(
        self,
        tokens: Tensor,
        token_lengths: Tensor,
        memories: Memories | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Texts (B, U) with true lengths (B,) to logits (B, U + 1, V) of each token and of the end."""
        x = self._embed(begin_with_boundary(tokens, token_lengths), 0)
        for block, memory in zip(self.blocks, memories or [None] * len(self.blocks), strict=True):
            x = block(x, memory, mask)
        return self.output(self.norm(x))

    def weigh(
        self, tokens: Tensor, token_lengths: Tensor, memories: Sequence[KeysValues], mask: Tensor | None
    ) -> Tensor:
        """What the last block weighs the frames by, (B, U + 1, T), of the same arguments."""
        x = self._embed(begin_with_boundary(tokens, token_lengths), 0)
        for block, memory in zip(self.layers()[:-1], memories, strict=False):
            x = block(x, memory, mask)
        return self.layers()[-1].weigh(x, memories[-1], mask)

    def start(self, n_rows: int, memories: Memories | None = None, mask: Tensor | None = None) -> State:
        """The state before the first token."""
        rows = self.embedding.like.new_empty(n_rows)
        fixed = {"memories": list(memories or [None] * len(self.blocks)), "mask": mask}
        return State(fixed, [block.attention.empty(rows) for block in self.layers()])

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The last tokens (N,) to log-probabilities (N, V) of the next, and the state with them."""
        x = self._embed(tokens.unsqueeze(1), state.moving[0].keys.shape[2])
        caches = []
        for block, cache, memory in zip(self.layers(), state.moving, state.fixed["memories"], strict=True):
            x, cache = block.step(x, cache, memory, state.fixed["mask"])
            caches.append(cache)
        return to_log_probs(self.output(self.norm(x)).squeeze(1)), State(state.fixed, caches)

    def layers(self) -> list[DecoderBlock]:
        """The blocks, first to last."""
        return cast(list[DecoderBlock], list(self.blocks))

    def _embed(self, tokens: Tensor, first: int) -> Tensor:
        x = self.embedding(tokens)
        return self.dropout(x if self.positions is None else self.positions(x, first))
