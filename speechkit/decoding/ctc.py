"""CTC's frame-wise scores to tokens."""

from torch import Tensor
from torch.nn import functional as F

from speechkit.decoding.hypothesis import Hypothesis
from speechkit.ops.lengths import length_mask

BLANK = 0

# B batch, T frames, V tokens with the blank


def greedy_ctc(log_probs: Tensor, lengths: Tensor) -> list[Hypothesis]:
    """The most probable path of each utterance: repeats merged, then blanks removed (Graves et al., 2006).

    log_probs: (B, T, V); token 0 is the blank. lengths: (B,) true frames; what lies behind does not matter.
    The score is the path's log-probability, a lower bound of its text's.

    >>> import torch
    >>> path = torch.tensor([[0, 1, 1, 0, 1, 2, 2]])
    >>> scores = torch.nn.functional.one_hot(path, 3).double().log()
    >>> greedy_ctc(scores, torch.tensor([6]))
    [Hypothesis(tokens=[1, 1, 2], frames=[1, 4, 5], score=0.0)]
    """
    scores, path = log_probs.max(-1)
    is_true = length_mask(lengths.to(path.device), path.shape[1])
    begins = (path != F.pad(path, (1, 0), value=BLANK)[:, :-1]) & (path != BLANK) & is_true
    counts = begins.sum(1).tolist()
    tokens, frames = path[begins].tolist(), begins.nonzero()[:, 1].tolist()
    found, start = [], 0
    for count, score in zip(counts, scores.where(is_true, 0).sum(1).tolist(), strict=True):
        found.append(Hypothesis(tokens[start : start + count], frames[start : start + count], score))
        start += count
    return found
