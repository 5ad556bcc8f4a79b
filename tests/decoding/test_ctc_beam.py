"""Prefix beam search against all paths written out, and against a search with a dictionary and loops."""

import itertools
import math
from collections import defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechkit.decoding import CTCBeam, Hypothesis, Scorer
from speechkit.errors import UserError
from speechkit.ops.alignment import forced_align, token_spans
from speechkit.ops.search_state import State


def draw(n_utterances: int, n_frames: int, n_tokens: int, seed: int, spread: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (n_utterances, n_frames, n_tokens)
    return (spread * torch.randn(shape, generator=generator, dtype=torch.float64)).log_softmax(-1)


def all_texts(log_probs: Tensor) -> dict[tuple[int, ...], float]:
    """The log of the summed probability of each text's paths, by trying all V^T."""
    rows, totals = log_probs.exp().tolist(), defaultdict(float)
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(rows)):
        text = tuple(token for token, _ in itertools.groupby(path) if token)
        totals[text] += math.prod(row[token] for row, token in zip(rows, path, strict=True))
    return {text: math.log(total) for text, total in totals.items() if total}


def search_by_loop(log_probs: Tensor, beam_size: int) -> list[tuple[tuple[int, ...], float]]:
    """Hannun et al., algorithm 1, with probabilities in a dictionary of prefixes."""
    beam = {(): (1.0, 0.0)}
    for row in log_probs.exp().tolist():
        following: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (blank, token) in beam.items():
            following[prefix][0] += (blank + token) * row[0]
            if prefix:
                following[prefix][1] += token * row[prefix[-1]]
            for v in range(1, len(row)):
                ready = blank if prefix and prefix[-1] == v else blank + token
                following[(*prefix, v)][1] += ready * row[v]
        best = sorted(following.items(), key=lambda item: -sum(item[1]))[:beam_size]
        beam = {prefix: (p[0], p[1]) for prefix, p in best if sum(p)}
    return [(prefix, math.log(sum(p))) for prefix, p in sorted(beam.items(), key=lambda item: -sum(item[1]))]


def assert_found(found: list[Hypothesis], expected: list[tuple[tuple[int, ...], float]]) -> None:
    assert [tuple(each.tokens) for each in found] == [text for text, _ in expected]
    assert [each.score for each in found] == pytest.approx([score for _, score in expected], abs=1e-9)


def ranked(totals: dict[tuple[int, ...], float]) -> list[tuple[tuple[int, ...], float]]:
    return sorted(totals.items(), key=lambda item: -item[1])


@settings(max_examples=20)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(2, 4), st.integers(0, 2**20))
def test_a_beam_of_all_prefixes_sums_over_all_paths(lengths: list[int], n_tokens: int, seed: int) -> None:
    log_probs = draw(len(lengths), 5, n_tokens, seed)
    n_prefixes = sum((n_tokens - 1) ** n for n in range(6))
    results = CTCBeam(n_prefixes, n_prefixes)(log_probs, torch.tensor(lengths))
    for row, n, found in zip(log_probs, lengths, results, strict=True):
        assert_found(found, ranked(all_texts(row[:n])))


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(2, 9), st.floats(0.3, 4), st.integers(0, 2**20))
def test_a_small_beam_is_the_search_by_loops(
    beam_size: int, n_frames: int, n_tokens: int, spread: float, seed: int
) -> None:
    log_probs = draw(2, n_frames, n_tokens, seed, spread)
    results = CTCBeam(beam_size, beam_size)(log_probs, torch.tensor([n_frames, n_frames // 2]))
    assert_found(results[0], search_by_loop(log_probs[0], beam_size))
    assert_found(results[1], search_by_loop(log_probs[1, : n_frames // 2], beam_size))


def test_tokens_of_no_probability_are_never_written() -> None:
    probs = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 1.0]]])
    [found] = CTCBeam(50, 50)(probs.double().log(), torch.tensor([4]))
    assert_found(found, ranked(all_texts(probs[0].double().log())))
    assert len(found) == 1


@pytest.mark.parametrize("blank_skip", [1.0, 0.5])
def test_padding_and_the_batch_do_not_matter(blank_skip: float) -> None:
    log_probs, lengths = draw(6, 40, 8, 3), torch.tensor([40, 0, 1, 13, 39, 27])
    log_probs[..., 0] += 3
    log_probs[0, :, 0] -= 9  # of this one no frame is skipped
    search = CTCBeam(7, 3, blank_skip=blank_skip)
    log_probs = log_probs.log_softmax(-1)
    together = search(log_probs, lengths)
    for row, n in zip(log_probs, lengths.tolist(), strict=True):
        row[n:] = torch.nan
    assert search(log_probs, lengths) == together
    for i, n in enumerate(lengths.tolist()):
        [alone] = search(log_probs[i : i + 1, :n], lengths[i : i + 1])
        assert [each.frames for each in alone] == [each.frames for each in together[i]]
        assert_found(alone, [(tuple(each.tokens), each.score) for each in together[i]])
    assert together[1] == [Hypothesis([], [], 0.0)]


def test_frames_are_those_of_the_best_path() -> None:
    log_probs, lengths = draw(5, 30, 6, 4), torch.tensor([30, 11, 30, 4, 20])
    for row, n, found in zip(log_probs, lengths.tolist(), CTCBeam(6, 6)(log_probs, lengths), strict=True):
        for tokens, frames, _ in found:
            target = torch.tensor([[*tokens, 0]]), torch.tensor([len(tokens)])
            path, scores = forced_align(row[None, :n], torch.tensor([n]), *target)
            [spans] = token_spans(path, scores, torch.tensor([n]))
            assert frames == [span.start for span in spans]


def make_bigram(n_tokens: int, seed: int) -> Tensor:
    """A table of log-probabilities by the last token; row 0 begins a text, column 0 ends it."""
    return draw(1, n_tokens, n_tokens, seed)[0]


def score_by_bigram(table: Tensor, text: tuple[int, ...]) -> float:
    return sum(table[a, b].item() for a, b in itertools.pairwise((0, *text, 0)))


def with_fixed_size(table: Tensor) -> Scorer:
    return Scorer(lambda tokens, state: (table[tokens], state), State(None, None), 0.7)


def with_growing_state(table: Tensor) -> Scorer:
    """Remembers all tokens, as caches do, and reads its log-probabilities from the utterance's own table."""

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        seen = torch.cat([state.moving, tokens.unsqueeze(1)], 1)
        n = len(tokens) // len(state.fixed)
        return state.fixed.repeat_interleave(n, 0)[torch.arange(len(tokens)), seen[:, -1]], State(
            state.fixed, seen
        )

    return Scorer(step, State(torch.stack([table, table.flip(0)]), torch.zeros(2, 0, dtype=torch.int64)), 0.7)


def test_with_a_language_model_it_is_the_best_of_all_texts() -> None:
    log_probs, lengths, table = draw(2, 5, 3, 6), torch.tensor([5, 3]), make_bigram(3, 7)
    search = CTCBeam(63, 63, length_bonus=0.3)
    for scorer, tables in (
        (with_fixed_size(table), [table, table]),
        (with_growing_state(table), [table, table.flip(0)]),
    ):
        results = search(log_probs, lengths, [scorer])
        for row, n, own, found in zip(log_probs, lengths.tolist(), tables, results, strict=True):
            totals = {
                text: score + 0.7 * score_by_bigram(own, text) + 0.3 * len(text)
                for text, score in all_texts(row[:n]).items()
            }
            assert_found(found, ranked(totals))


def test_two_language_models_of_half_the_weight_are_one() -> None:
    log_probs, lengths = draw(3, 30, 6, 8), torch.tensor([30, 20, 9])
    scorer = with_fixed_size(make_bigram(6, 9))
    once = CTCBeam(5, 5)(log_probs, lengths, [scorer])
    twice = CTCBeam(5, 5)(log_probs, lengths, [scorer._replace(weight=0.35)] * 2)
    none = CTCBeam(5, 5)(log_probs, lengths, [scorer._replace(weight=0.0)])
    for one, two in zip(once, twice, strict=True):
        assert_found(one, [(tuple(each.tokens), each.score) for each in two])
    assert none == CTCBeam(5, 5)(log_probs, lengths) != once


def test_few_tokens_tried_are_as_good_as_all() -> None:
    log_probs, lengths = draw(4, 30, 40, 10, 1.0), torch.tensor([30, 30, 12, 1])
    assert CTCBeam(4, 4)(log_probs, lengths) == CTCBeam(4, 4, n_tokens=99)(log_probs, lengths)
    assert CTCBeam(4, 4)(log_probs, lengths) != CTCBeam(4, 4, n_tokens=1)(log_probs, lengths)


@pytest.mark.parametrize("threshold", [0.6, 0.9])
def test_skipped_blanks_are_blanks_for_certain(threshold: float) -> None:
    """Scores are those of a search over the same frames, of which the skipped ones can be blank alone."""
    log_probs, lengths = draw(5, 40, 5, 11), torch.tensor([40, 33, 5, 1, 0])
    log_probs[..., 0] += 2
    log_probs = log_probs.log_softmax(-1)
    is_blank = log_probs[..., :1] >= math.log(threshold)
    only_blank = log_probs.where(~is_blank | (torch.arange(5) == 0), -torch.inf)
    assert 0.1 < is_blank.double().mean() < 0.9
    expected = CTCBeam(8, 8)(only_blank, lengths)
    for ours, slow in zip(CTCBeam(8, 8, blank_skip=threshold)(log_probs, lengths), expected, strict=True):
        assert_found(ours, [(tuple(each.tokens), each.score) for each in slow])


def test_a_text_that_no_scorer_ends_is_empty() -> None:
    table = torch.full((3, 3), 0.5, dtype=torch.float64).log()
    table[:, 0] = -torch.inf
    [found] = CTCBeam()(draw(1, 4, 3, 12), torch.tensor([4]), [with_fixed_size(table)])
    assert found == [Hypothesis([], [], -math.inf)]


@pytest.mark.parametrize(
    "arguments", [{"beam_size": 0}, {"n_best": 0}, {"n_tokens": 0}, {"blank_skip": 0.0}, {"blank_skip": 99.0}]
)
def test_arguments_that_cannot_be_are_named(arguments: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(arguments))):
        CTCBeam(**arguments)
