"""The likeliest token at each step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from speechkit.decoding.hypothesis import Hypothesis
from speechkit.decoding.scorers import Scorer, add_scores, only_end

# B utterances, V tokens with the boundary (0)


@torch.no_grad()
def greedy_attention(scorers: Sequence[Scorer], lengths: Tensor, max_ratio: float = 1.0) -> list[Hypothesis]:
    """For each utterance the text that takes the likeliest token at each step, until that is the end.

    scorers: their weighted sum is the score; one attention decoder is enough.
    lengths: (B,) encoded frames. A text has at most `max_ratio` times as many tokens, then it must end.

    >>> from speechkit.ops.search_state import State
    >>> table = torch.tensor([[0.1, 0.6, 0.3], [0.2, 0.1, 0.7], [0.8, 0.1, 0.1]]).log()  # by the last token
    >>> scorer = Scorer(lambda tokens, state: (table[tokens], state), State(None, None))
    >>> [found] = greedy_attention([scorer], torch.tensor([9]))
    >>> found.tokens, round(found.score, 4)
    ([1, 2], -1.0906)
    """
    limits = (lengths * max_ratio).long()
    states = [scorer.state for scorer in scorers]
    tokens, written = torch.zeros_like(limits), []
    score = torch.zeros(len(limits), dtype=torch.float64, device=limits.device)
    is_live = torch.ones_like(limits, dtype=torch.bool)
    for step in range(int(limits.max()) + 1):
        log_probs, _, states = add_scores(scorers, tokens, states)
        best, tokens = only_end(log_probs, limits <= step).max(-1)
        score, tokens = score + best.where(is_live, 0), tokens.where(is_live, 0)
        written.append(tokens)
        is_live = tokens > 0
        if not is_live.any():
            break
    texts = torch.stack(written, 1).tolist()
    found = zip(texts, score.tolist(), strict=True)
    return [Hypothesis(text[: text.index(0)], None, each) for text, each in found]
