"""Forced alignment against torchaudio's op, against every path written out, and what its spans must be."""

import itertools

import pytest
import torch
import torchaudio.functional
from torch import Tensor

from speechkit.errors import UserError
from speechkit.losses import ctc_min_frames
from speechkit.ops.alignment import forced_align, interleave_blanks, token_spans


def draw(n: int, seed: int) -> tuple[Tensor, ...]:
    """Log-probabilities, lengths, targets that fit, and theirs; of few tokens, so that many repeat."""
    generator = torch.Generator().manual_seed(seed)
    log_probs = (3 * torch.randn(n, 24, 5, generator=generator, dtype=torch.float64)).log_softmax(-1)
    targets = torch.randint(1, 5, (n, 9), generator=generator)
    target_lengths = torch.randint(1, 10, (n,), generator=generator)
    needed = [ctc_min_frames(row[:u].tolist()) for row, u in zip(targets, target_lengths, strict=True)]
    lengths = torch.tensor([int(torch.randint(need, 25, (), generator=generator)) for need in needed])
    return log_probs, lengths, targets, target_lengths


def test_a_batch_of_random_cases_is_as_torchaudios_one_by_one() -> None:
    log_probs, lengths, targets, target_lengths = draw(300, 0)
    paths, scores = forced_align(log_probs, lengths, targets, target_lengths)
    for row, (t, u) in enumerate(zip(lengths.tolist(), target_lengths.tolist(), strict=True)):
        path, score = torchaudio.functional.forced_align(
            log_probs[row : row + 1, :t].contiguous(), targets[row : row + 1, :u].contiguous()
        )
        assert paths[row, :t].tolist() == path[0].tolist()
        torch.testing.assert_close(scores[row, :t], score[0], rtol=0, atol=0)
        assert not paths[row, t:].any()
        assert not scores[row, t:].any()


def test_spans_are_as_torchaudios() -> None:
    log_probs, lengths, targets, target_lengths = draw(100, 1)
    paths, scores = forced_align(log_probs, lengths, targets, target_lengths)
    for row, spans in enumerate(token_spans(paths, scores, lengths)):
        t = int(lengths[row])
        expected = torchaudio.functional.merge_tokens(paths[row, :t], scores[row, :t])
        assert [span[:3] for span in spans] == [(each.token, each.start, each.end) for each in expected]
        assert [span.log_prob for span in spans] == pytest.approx([each.score for each in expected])
        assert [span.token for span in spans] == targets[row, : target_lengths[row]].tolist()


def collapse(path: tuple[int, ...]) -> list[int]:
    return [token for token, _ in itertools.groupby(path) if token]


@pytest.mark.parametrize("target", [[], [1], [1, 1], [1, 2], [2, 2, 1]])
def test_it_is_the_best_of_all_paths(target: list[int]) -> None:
    log_probs = torch.randn(1, 5, 3, dtype=torch.float64).log_softmax(-1)
    padded = torch.tensor([[*target, 9]])  # padding may be anything
    path, scores = forced_align(log_probs, torch.tensor([5]), padded, torch.tensor([len(target)]))
    paths = [each for each in itertools.product(range(3), repeat=5) if collapse(each) == target]
    totals = {each: sum(log_probs[0, t, v].item() for t, v in enumerate(each)) for each in paths}
    assert scores.sum().item() == pytest.approx(max(totals.values()))
    assert tuple(path[0].tolist()) == max(totals, key=totals.__getitem__)


def test_padding_does_not_matter() -> None:
    log_probs, lengths, targets, target_lengths = draw(40, 2)
    lengths[0], target_lengths[0] = 0, 0
    paths, scores = forced_align(log_probs, lengths, targets, target_lengths)
    for row, (t, u) in enumerate(zip(lengths.tolist(), target_lengths.tolist(), strict=True)):
        log_probs[row, t:] = torch.nan
        targets[row, u:] = -1
    again = forced_align(log_probs, lengths, targets, target_lengths)
    assert torch.equal(again[0], paths)
    assert torch.equal(again[1], scores)


def test_no_frames_and_no_tokens() -> None:
    nothing = torch.zeros(2, 0, 3), torch.tensor([0, 0]), torch.zeros(2, 0, dtype=torch.int64)
    paths, scores = forced_align(*nothing, torch.tensor([0, 0]))
    assert paths.shape == scores.shape == (2, 0)
    assert token_spans(paths, scores, torch.tensor([0, 0])) == [[], []]


def test_a_target_that_does_not_fit_is_named() -> None:
    log_probs = torch.zeros(2, 4, 3).log_softmax(-1)
    targets, ones = torch.tensor([[1, 2, 0], [1, 1, 1]]), torch.tensor([2, 3])
    with pytest.raises(
        UserError, match="utterance 1 of the batch: no path through 4 frames says its 3 tokens"
    ):
        forced_align(log_probs, torch.tensor([4, 4]), targets, ones)
    with pytest.raises(UserError, match="utterance 0"):
        forced_align(log_probs, torch.tensor([0, 4]), targets, torch.tensor([2, 2]))


def test_a_target_of_no_probability_is_named() -> None:
    log_probs = torch.tensor([[[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]]]).log()
    with pytest.raises(UserError, match="no path"):
        forced_align(log_probs, torch.tensor([2]), torch.tensor([[2]]), torch.tensor([1]))


@pytest.mark.parametrize("token", [0, 3, -1])
def test_tokens_that_are_none_are_named(token: int) -> None:
    log_probs = torch.zeros(1, 4, 3).log_softmax(-1)
    with pytest.raises(UserError, match=f"token {token} in a target; expected tokens from 1 to 2"):
        forced_align(log_probs, torch.tensor([4]), torch.tensor([[token]]), torch.tensor([1]))


def test_of_equal_paths_it_takes_the_one_that_stays() -> None:
    log_probs = torch.zeros(1, 4, 2)
    path, _ = forced_align(log_probs, torch.tensor([4]), torch.tensor([[1]]), torch.tensor([1]))
    assert collapse(tuple(path[0].tolist())) == [1]
    states, _ = interleave_blanks(torch.tensor([[1]]), torch.tensor([1]))
    assert states.tolist() == [[0, 1, 0]]
