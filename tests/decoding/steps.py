"""Small random decoders, which attend and remember: what a search may be given."""

import torch
from torch import Tensor

from speechkit.decoding import Scorer, Step
from speechkit.ops.search_state import State

WIDTH = 6


def make_steps(n_tokens: int, seed: int) -> tuple[Step, Step]:
    """The same distribution by a step that keeps its memory, and by one that reads all tokens anew."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(n_tokens, WIDTH), (2 * WIDTH, WIDTH), (2 * WIDTH, n_tokens)]
    embed, turn, write = (2 * torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes)

    def advance(tokens: Tensor, hidden: Tensor, fixed: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        n = len(tokens) // len(fixed["encoded"])
        encoded = fixed["encoded"].repeat_interleave(n, 0)
        hidden = torch.tanh(embed[tokens] + torch.cat([hidden, hidden.square()], -1) @ turn)
        is_true = torch.arange(encoded.shape[1]) < fixed["lengths"].repeat_interleave(n)[:, None]
        energies = torch.einsum("nw,ntw->nt", hidden, encoded).masked_fill(~is_true, -torch.inf)
        attention = energies.softmax(-1)
        context = (attention.unsqueeze(-1) * encoded).where(is_true.unsqueeze(-1), 0).sum(1)
        return (torch.cat([hidden, context], -1) @ write).log_softmax(-1), hidden, attention

    def cached(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        log_probs, hidden, attention = advance(tokens, state.moving["hidden"], state.fixed)
        return log_probs, State(state.fixed, {"hidden": hidden, "attention": attention})

    def uncached(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        tokens = torch.cat([state.moving["tokens"], tokens.unsqueeze(1)], 1)
        hidden = torch.zeros(len(tokens), WIDTH, dtype=torch.float64)
        for each in tokens.unbind(1):
            log_probs, hidden, attention = advance(each, hidden, state.fixed)
        return log_probs, State(state.fixed, {"tokens": tokens, "attention": attention})

    return cached, uncached


def make_encoded(lengths: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    encoded = torch.randn(len(lengths), int(lengths.max()), WIDTH, generator=generator, dtype=torch.float64)
    for row, n in zip(encoded, lengths.tolist(), strict=True):
        row[n:] = torch.nan
    return encoded


def start(encoded: Tensor, lengths: Tensor) -> State:
    """The state of either step."""
    moving = {
        "hidden": encoded.new_zeros(len(lengths), WIDTH),
        "tokens": lengths.new_zeros(len(lengths), 0),
        "attention": torch.zeros_like(encoded[..., 0]),
    }
    return State({"encoded": encoded, "lengths": lengths}, moving)


def score_text(scorers: list[Scorer], text: list[int]) -> float:
    """The score of one utterance's text and its end, step by step."""
    states = [scorer.state for scorer in scorers]
    score, last = 0.0, 0
    for token in [*text, 0]:
        for number, scorer in enumerate(scorers):
            log_probs, states[number] = scorer.step(torch.tensor([last]), states[number])
            score += scorer.weight * log_probs[0, token].item()
        last = token
    return score
