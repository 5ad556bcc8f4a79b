"""Greedy decoding against a loop over frames."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechkit.decoding import greedy_ctc


def decode_by_loop(log_probs: list[list[float]]) -> tuple[list[int], list[int], float]:
    tokens, frames, score, last = [], [], 0.0, None
    for frame, row in enumerate(log_probs):
        best = max(range(len(row)), key=row.__getitem__)
        if best != last and best != 0:
            tokens.append(best)
            frames.append(frame)
        last, score = best, score + row[best]
    return tokens, frames, score


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=5),
    st.integers(2, 4),
    st.floats(0, 8),
    st.integers(0, 2**20),
)
def test_it_is_the_loop_over_frames(lengths: list[int], n_tokens: int, drift: float, seed: int) -> None:
    """Batches of any lengths; the less frames differ (drift), the more repeats there are."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(lengths), 14, n_tokens, generator=generator, dtype=torch.float64)
    log_probs = (logits + drift * logits.cumsum(1)).log_softmax(-1)
    found = greedy_ctc(log_probs, torch.tensor(lengths))
    for row, n, hypothesis in zip(log_probs, lengths, found, strict=True):
        tokens, frames, score = decode_by_loop(row[:n].tolist())
        assert (hypothesis.tokens, hypothesis.frames) == (tokens, frames)
        assert hypothesis.score == pytest.approx(score, rel=1e-12, abs=1e-12)


def test_padding_never_matters() -> None:
    log_probs = torch.randn(4, 40, 5).log_softmax(-1)
    lengths = torch.tensor([40, 0, 17, 31])
    before = greedy_ctc(log_probs, lengths)
    for row, n in zip(log_probs, lengths.tolist(), strict=True):
        row[n:] = torch.nan
    assert greedy_ctc(log_probs, lengths) == before
    assert before[1] == ([], [], 0.0)
    alone = [greedy_ctc(log_probs[i : i + 1, :n], lengths[i : i + 1])[0] for i, n in enumerate(lengths)]
    assert [each[:2] for each in alone] == [each[:2] for each in before]


def test_a_blank_between_makes_two_of_one() -> None:
    path = torch.tensor([[2, 2, 0, 2, 1, 1], [0, 0, 0, 0, 0, 0]])
    log_probs = torch.nn.functional.one_hot(path, 3).double().log()
    assert greedy_ctc(log_probs, torch.tensor([6, 6])) == [([2, 2, 1], [0, 3, 4], 0.0), ([], [], 0.0)]
