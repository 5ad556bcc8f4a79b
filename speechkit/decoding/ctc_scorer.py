"""CTC as a scorer of the next token: the probability of all texts that begin with a prefix.

Watanabe, Hori, Kim, Hershey, Hayashi: Hybrid CTC/attention architecture for end-to-end speech recognition,
2017 (algorithm 2). There each next token is followed through all frames, one after another. Here the sum over
frames of a prefix's paths and a token's probability is one product of matrices, for all tokens at once; and a
prefix is followed through the frames only after its last token was chosen, by cumulative sums.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from speechkit.decoding.scorers import Scorer
from speechkit.ops.lengths import length_mask
from speechkit.ops.search_state import State, Tree, map_tree

# B utterances, K beams of each, N = B K rows ordered by utterance, T frames, V tokens; 0: blank, end
LEAST = -700.0  # nats; the exponential of less is no normal number in float64


def ctc_scorer(log_probs: Tensor, lengths: Tensor, weight: float = 1.0) -> Scorer:
    """The scorer of CTC's log-probabilities (B, T, V), normalised over V, with true lengths (B,) in frames.

    A step gives log p(prefix, token, ... | prefix, ...), and for token 0 that the text ends: normalised over
    tokens, in float64. A frame's probabilities below exp(-700) count as that. A text that needs more frames
    than there are has -inf.

    >>> log_probs = torch.full((1, 2, 3), 1 / 3).log()  # blank, a, b: of 9 paths 1 is empty, 4 are a...
    >>> scorer = ctc_scorer(log_probs, torch.tensor([2]))
    >>> (9 * scorer.step(torch.tensor([0]), scorer.state)[0].exp()).round().tolist()
    [[1.0, 4.0, 4.0]]
    """
    return Scorer(ctc_prefix_step, start_ctc_prefix(log_probs, lengths), weight)


def start_ctc_prefix(log_probs: Tensor, lengths: Tensor) -> State:
    """The state of empty prefixes.

    Of each prefix it has log-probabilities: of the paths that have written it before frame t and end with its
    last token (`token`, (N, T + 1)) or with a blank (`blank`), and of all texts that begin so (`prefix`).
    """
    if not log_probs.shape[1]:
        log_probs = F.pad(log_probs, (0, 0, 0, 1))
    lengths = lengths.to(log_probs.device)
    is_true = length_mask(lengths, log_probs.shape[1])
    # Padding may hold anything: it is cleared before it can meet a sum.
    clean = log_probs.double().masked_fill(~is_true.unsqueeze(-1), 0).clamp_min(LEAST)
    blank_sum = F.pad(clean[..., 0].cumsum(1), (1, 0))
    last = torch.zeros_like(lengths)
    return State(
        {
            "probs": clean.exp().masked_fill_(~is_true.unsqueeze(-1), 0),
            "blank_sum": blank_sum,
            "is_true": is_true,
            "lengths": lengths,
        },
        {
            "last": last,
            "token": torch.full_like(blank_sum, -torch.inf),
            "blank": blank_sum,
            "prefix": torch.zeros_like(blank_sum[:, 0]),
        },
    )


def ctc_prefix_step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
    """Tokens (N,), the last of each prefix, to log-probabilities (N, V) of the next, and the next state.

    Token 0 adds nothing to its prefix: so it is at the first step.
    """
    n_utterances = len(state.fixed["lengths"])
    before: Tree = map_tree(lambda x: x.view(n_utterances, -1, *x.shape[1:]), state.moving)
    after = _with_tokens(tokens.view(n_utterances, -1), state.fixed, before)
    log_probs = _next_tokens(state.fixed, after)
    return log_probs.flatten(0, 1), State(state.fixed, map_tree(lambda x: x.flatten(0, 1), after))


def _next_tokens(fixed: Tree, prefixes: Tree) -> Tensor:
    """log p(prefix, token, ... | prefix, ...) of all tokens, (B, K, V), and for token 0 of the end."""
    open_paths = torch.logaddexp(prefixes["token"], prefixes["blank"])
    log_probs = _sum_of_next(open_paths, fixed)
    # A repeated token needs a blank between.
    again = _sum_over_frames(prefixes["blank"], _scores_of(fixed["probs"], prefixes["last"]), fixed)
    log_probs.scatter_(-1, prefixes["last"].unsqueeze(-1), again.unsqueeze(-1))
    ends = fixed["lengths"].view(-1, 1, 1).expand(*open_paths.shape[:2], 1)
    log_probs[..., :1] = open_paths.gather(-1, ends)
    prefix = prefixes["prefix"].unsqueeze(-1)
    return (log_probs - prefix).masked_fill_(prefix == -torch.inf, -torch.inf)


def _sum_of_next(open_paths: Tensor, fixed: Tree) -> Tensor:
    """log of the sum over frames of the paths open before a frame times each token's probability in it."""
    before = open_paths[..., :-1].masked_fill(~fixed["is_true"].unsqueeze(1), -torch.inf)
    largest = before.amax(-1, keepdim=True).clamp_min(torch.finfo(before.dtype).min)
    return ((before - largest).exp() @ fixed["probs"]).log_() + largest


def _sum_over_frames(open_paths: Tensor, scores: Tensor, fixed: Tree) -> Tensor:
    """The same for one token of each prefix, whose log-probabilities are `scores` (B, K, T): (B, K)."""
    paths = open_paths[..., :-1] + scores
    return paths.masked_fill_(~fixed["is_true"].unsqueeze(1), -torch.inf).logsumexp(-1)


def _with_tokens(tokens: Tensor, fixed: Tree, before: Tree) -> Tree:
    """The prefixes with a token more: r_t = p_t (r_{t-1} + begun_{t-1}), which cumulative sums solve."""
    scores = _scores_of(fixed["probs"], tokens)
    is_same = (tokens == before["last"]).unsqueeze(-1)
    begun = before["blank"].where(is_same, torch.logaddexp(before["token"], before["blank"]))
    sums = F.pad(scores.cumsum(-1), (1, 0))
    token = sums[..., 1:] + (begun - sums)[..., :-1].logcumsumexp(-1)
    token = F.pad(token, (1, 0), value=-torch.inf)
    blank_sum = fixed["blank_sum"].unsqueeze(1)
    blank = blank_sum[..., 1:] + (token - blank_sum)[..., :-1].logcumsumexp(-1)
    after = {
        "last": tokens,
        "token": token,
        "blank": F.pad(blank, (1, 0), value=-torch.inf),
        "prefix": _sum_over_frames(begun, scores, fixed),
    }
    is_new = tokens > 0
    return {
        key: after[key].where(is_new if old.dim() == 2 else is_new.unsqueeze(-1), old)
        for key, old in before.items()
    }


def _scores_of(probs: Tensor, tokens: Tensor) -> Tensor:
    """log-probabilities (B, K, T) of tokens (B, K); `LEAST` in padding."""
    index = tokens.unsqueeze(1).expand(-1, probs.shape[1], -1)
    return probs.gather(2, index).transpose(1, 2).log().clamp_min(LEAST)
