"""Neural language models: the probability of a token after those before it."""

from torch import Tensor, nn

from speechkit.models.attention_blocks import BlockParts
from speechkit.models.layers import layers_over
from speechkit.models.recurrent_cells import RecurrentCells
from speechkit.models.token_input import TokenEmbedding, begin_with_boundary, to_log_probs
from speechkit.models.token_transformer import TokenTransformer
from speechkit.nnet import Dropout
from speechkit.ops.search_state import State

# B texts, N rows in a search, U tokens of a text, V tokens there are, W width


class TransformerLM(nn.Module):
    """Transformer language model, of the blocks of `TransformerDecoder` without encoded frames.

    Token 0 is the boundary, which begins and ends a text. Sizes count real values of any `algebra`.

    >>> import torch
    >>> lm = TransformerLM(30, width=16, num_layers=1, n_heads=2, hidden_size=32)
    >>> lm(torch.ones(2, 5, dtype=torch.long), torch.tensor([5, 3])).shape
    torch.Size([2, 6, 30])
    """

    def __init__(
        self,
        n_tokens: int,
        algebra: str = "real",
        width: int = 256,
        num_layers: int = 4,
        n_heads: int = 4,
        hidden_size: int = 1024,
        positions: str | None = "sinusoidal",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        parts = BlockParts(algebra, width, n_heads, hidden_size, dropout)
        self.tokens = TokenTransformer(n_tokens, parts, num_layers, positions)

    def forward(self, tokens: Tensor, token_lengths: Tensor) -> Tensor:
        """Texts (B, U), true lengths (B,) in tokens, to logits (B, U + 1, V) of each token and the end."""
        return self.tokens(tokens, token_lengths)

    def start(self, n_rows: int) -> State:
        """The state before the first token of so many texts."""
        return self.tokens.start(n_rows)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The last tokens (N,) to log-probabilities (N, V) of the next, and the state with them."""
        return self.tokens.step(tokens, state)


class RecurrentLM(nn.Module):
    """Recurrent language model (Mikolov et al., 2010): `num_layers` of lstm, gru or rnn.

    As `TransformerLM`; tokens are embedded in `width` values, each layer has `hidden_size`.

    >>> import torch
    >>> lm = RecurrentLM(30, algebra="quaternion", width=16, hidden_size=24)
    >>> log_probs, state = lm.step(torch.tensor([0, 0]), lm.start(2))
    >>> log_probs.shape
    torch.Size([2, 30])
    """

    def __init__(
        self,
        n_tokens: int,
        algebra: str = "real",
        width: int = 128,
        recurrent: str = "lstm",
        hidden_size: int = 512,
        num_layers: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        kind = layers_over(algebra)
        sizes = (kind.count_numbers(width, "width"), kind.count_numbers(hidden_size, "hidden_size"))
        self.embedding = TokenEmbedding(n_tokens, width)
        self.cells = RecurrentCells(recurrent, algebra, sizes, num_layers, dropout)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(hidden_size, n_tokens)

    def forward(self, tokens: Tensor, token_lengths: Tensor) -> Tensor:
        """Texts (B, U), true lengths (B,) in tokens, to logits (B, U + 1, V) of each token and the end."""
        x = self.embedding(begin_with_boundary(tokens, token_lengths))
        y, _ = self.cells(x, self.cells.empty(x), self.cells.weights())
        return self.output(self.dropout(y))

    def start(self, n_rows: int) -> State:
        """The state before the first token of so many texts."""
        return State(None, self.cells.empty(self.embedding.like.new_empty(n_rows)))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The last tokens (N,) to log-probabilities (N, V) of the next, and the state with them."""
        x = self.embedding(tokens.unsqueeze(1))
        y, moving = self.cells(x, state.moving, self.cells.weights())
        return to_log_probs(self.output(self.dropout(y)).squeeze(1)), State(state.fixed, moving)
