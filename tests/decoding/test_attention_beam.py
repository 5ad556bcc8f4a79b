"""Beam search against all texts, against a loop over lists, and against itself."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from speechkit.decoding import AttentionBeam, Hypothesis, Scorer, ctc_scorer, greedy_attention, with_coverage
from speechkit.errors import UserError
from speechkit.ops.search_state import State

from .steps import make_encoded, make_steps, score_text, start

LENGTHS = torch.tensor([4, 0, 5, 2])


def make_scorers(encoded: Tensor, lengths: Tensor, n_tokens: int, seed: int = 0) -> list[Scorer]:
    """An attention decoder, CTC over the same frames, and a table for a language model."""
    step, _ = make_steps(n_tokens, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    project = torch.randn(encoded.shape[-1], n_tokens, generator=generator, dtype=torch.float64)
    table = torch.randn(n_tokens, n_tokens, generator=generator).log_softmax(-1)
    return [
        Scorer(step, start(encoded, lengths), 0.7),
        ctc_scorer((encoded @ project).log_softmax(-1), lengths, 0.3),
        Scorer(lambda tokens, state: (table[tokens], state), State(None, None), 0.4),
    ]


def search_by_loop(scorers: list[Scorer], n_frames: int, options: dict[str, Any]) -> list[Hypothesis]:
    """The same search of one utterance with lists of texts, to the last step."""
    bonus, threshold = options.get("length_bonus", 0.0), options.get("end_threshold")
    least, most = options.get("min_ratio", 0.0) * n_frames, int(options.get("max_ratio", 1.0) * n_frames)
    live: list[Any] = [((), 0.0, [scorer.state for scorer in scorers])]
    ended = []
    for step in range(most + 1):
        candidates = []
        for text, score, states in live:
            last = torch.tensor([text[-1] if text else 0])
            found = [each.step(last, state) for each, state in zip(scorers, states, strict=True)]
            weights = [each.weight for each in scorers]
            total = sum(
                weight * log_probs[0].double() for weight, (log_probs, _) in zip(weights, found, strict=True)
            )
            first = found[0][0][0].tolist()
            for token, value in enumerate(total.tolist()):
                if token and step < most:
                    candidates.append(((*text, token), score + value + bonus, [state for _, state in found]))
                blocked = threshold is not None and first[0] <= threshold * max(first[1:])
                blocked = blocked and step < most and max(total.tolist()[1:]) > -torch.inf
                if not token and step >= least and not blocked:
                    candidates.append(((*text, 0), score + value, []))
        candidates = sorted(candidates, key=lambda each: -each[1])[: options["beam_size"]]
        ended += [each for each in candidates if each[0][-1] == 0]
        live = [each for each in candidates if each[0][-1] != 0]
    best = sorted(ended, key=lambda each: -each[1])[: options.get("n_best", 1)]
    return [Hypothesis(list(text[:-1]), None, score) for text, score, _ in best if score > -torch.inf]


def of_one(encoded: Tensor, lengths: Tensor, row: int, n_tokens: int, seed: int = 0) -> list[Scorer]:
    """The scorers of one utterance of a batch, without its padding."""
    return make_scorers(encoded[row : row + 1, : lengths[row]], lengths[row : row + 1], n_tokens, seed)


def assert_equal(found: list[Hypothesis], expected: list[Hypothesis], tolerance: float = 1e-9) -> None:
    assert [each.tokens for each in found] == [each.tokens for each in expected]
    scores = [each.score for each in expected]
    assert [each.score for each in found] == pytest.approx(scores, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("bonus", [0.0, 1.5])
def test_a_beam_for_every_prefix_finds_the_best_of_all_texts(bonus: float) -> None:
    """Batch of lengths, three scorers; all 63 texts of at most 5 tokens a and b, in order."""
    encoded = make_encoded(LENGTHS, 3)
    beam = AttentionBeam(beam_size=64, n_best=63, length_bonus=bonus, margin=1e9)
    results = beam(make_scorers(encoded, LENGTHS, 3), LENGTHS)
    for row, n in enumerate(LENGTHS.tolist()):
        scorers = of_one(encoded, LENGTHS, row, 3)
        texts = [list(text) for size in range(n + 1) for text in product((1, 2), repeat=size)]
        scored = [Hypothesis(text, None, score_text(scorers, text) + bonus * len(text)) for text in texts]
        possible = [each for each in scored if each.score > -torch.inf]
        assert_equal(results[row], sorted(possible, key=lambda each: -each.score))


@pytest.mark.parametrize(
    "options",
    [
        {"beam_size": 3, "n_best": 3},
        {"beam_size": 4, "length_bonus": 0.8, "margin": 1e9, "n_best": 2},
        {"beam_size": 5, "end_threshold": 1.2, "n_best": 5},
        {"beam_size": 2, "min_ratio": 0.5, "max_ratio": 0.8},
        {"beam_size": 30, "n_best": 4, "max_ratio": 0.4},
    ],
)
def test_it_is_the_loop_over_lists(options: dict[str, Any]) -> None:
    lengths = torch.tensor([9, 3, 11, 6])
    for seed in range(3):
        encoded = make_encoded(lengths, seed)
        results = AttentionBeam(**options)(make_scorers(encoded, lengths, 6, seed), lengths)
        for row, n in enumerate(lengths.tolist()):
            scorers = of_one(encoded, lengths, row, 6, seed)
            expected = search_by_loop(scorers, n, options)
            assert_equal(results[row], expected)


def test_one_beam_is_the_greedy_search() -> None:
    lengths = torch.tensor([9, 0, 3, 12])
    for seed in range(5):
        encoded = make_encoded(lengths, seed)
        scorers = make_scorers(encoded, lengths, 5, seed)
        found = greedy_attention(scorers, lengths)
        assert_equal([each for [each] in AttentionBeam(beam_size=1)(scorers, lengths)], found)
        for row, n in enumerate(lengths.tolist()):
            assert_equal(
                found[row : row + 1],
                search_by_loop(of_one(encoded, lengths, row, 5, seed), n, {"beam_size": 1}),
            )


def test_a_memory_changes_nothing() -> None:
    lengths = torch.tensor([9, 3, 12])
    encoded = make_encoded(lengths, 4)
    results = []
    for step in make_steps(6, 4):
        scorer = with_coverage(Scorer(step, start(encoded, lengths)), penalty=0.6)
        results.append(AttentionBeam(beam_size=4, n_best=3)([scorer], lengths))
    for found, expected in zip(*results, strict=True):
        assert_equal(found, expected)


def test_the_search_stops_when_nothing_can_change() -> None:
    """Two utterances: one all but ends at once, one is likely to go on to its limit."""
    calls = []

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        calls.append(len(tokens))
        ends = state.fixed.repeat_interleave(len(tokens) // len(state.fixed)).log()
        goes_on = torch.log1p(-ends.exp()) - torch.tensor(2.0).log()
        return torch.stack([ends, goes_on, goes_on], -1), state

    scorer = Scorer(step, State(torch.tensor([0.9, 0.01]), None))
    [first], [second] = AttentionBeam(beam_size=3, n_best=1)([scorer], torch.tensor([20, 5]))
    assert first == ([], None, pytest.approx(torch.tensor(0.9).log().item()))
    # The empty text of the second has 0.01; one of five tokens 0.99**5 / 2**5 * 0.01: it is never better.
    assert second.tokens == []
    assert calls == [6, 3, 3, 3, 3, 3]


@pytest.mark.parametrize(("may_rise", "weight"), [(True, 1.0), (False, -1.0)])
def test_a_score_that_may_rise_is_waited_for(may_rise: bool, weight: float) -> None:
    """To end costs 1; to go on costs 1.5, and after it the end gives 2 back."""
    table = weight * torch.tensor([[-1.0, -1.5], [2.0, -9.0]])
    scorer = Scorer(lambda tokens, state: (table[tokens], state), State(None, None), weight, may_rise)
    [[found]] = AttentionBeam(beam_size=2)([scorer], torch.tensor([4]))
    assert found == ([1], None, pytest.approx(0.5))
    [[found]] = AttentionBeam(beam_size=2, margin=0.1)([scorer], torch.tensor([4]))
    assert found == ([], None, pytest.approx(-1.0))


def test_coverage_costs_what_is_attended_twice() -> None:
    """Two frames, attended in turn as given: 0.9 and 0.1, then 0.8 and 0.2; 0.4, then 1.2 too much."""
    attention = torch.tensor([[[0.9, 0.1], [0.8, 0.2]]])

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        n = state.moving["n"]
        now = attention[0].index_select(0, n)
        return torch.zeros(len(tokens), 3), State(None, {"n": n + 1, "attention": now})

    scorer = with_coverage(
        Scorer(step, State(None, {"n": torch.tensor([0]), "attention": None})), penalty=10.0
    )
    first, state = scorer.step(torch.tensor([0]), scorer.state)
    second, _ = scorer.step(torch.tensor([1]), state)
    assert first[0].tolist() == pytest.approx([-4.0] * 3)
    assert second[0].tolist() == pytest.approx([-8.0] * 3)


@pytest.mark.parametrize(("threshold", "expected"), [(1.5, [1, 1, 1]), (3.0, [])])
def test_coverage_neither_allows_nor_forbids_an_end(threshold: float, expected: list[int]) -> None:
    """The end has ln 0.2 = -1.6, the best token ln 0.5 = -0.7: allowed from a threshold of 2.3 on."""
    log_probs = torch.tensor([[0.2, 0.5, 0.3]]).log()

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        attention = torch.tensor([[0.9, 0.1]]).expand(len(tokens), 2)
        return log_probs.expand(len(tokens), 3), State(None, {"attention": attention})

    scorer = Scorer(step, State(None, {"attention": None}))
    beam = AttentionBeam(beam_size=3, end_threshold=threshold)
    for each in (scorer, with_coverage(scorer, penalty=10.0)):  # 4 nats at the first step, then 9
        [[found]] = beam([each], torch.tensor([3]))
        assert found.tokens == expected


def test_a_decoder_that_does_not_tell_its_attention_has_no_coverage() -> None:
    with pytest.raises(UserError, match="attention"):
        with_coverage(Scorer(lambda tokens, state: (tokens, state), State(None, [])), penalty=1.0)


def test_a_search_that_finds_no_end_says_so() -> None:
    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.tensor([[-torch.inf, 0.0]]).expand(len(tokens), 2), state

    scorer = Scorer(step, State(None, None))
    assert AttentionBeam()([scorer], torch.tensor([3, 0])) == [[([], None, -torch.inf)]] * 2


@pytest.mark.parametrize(
    "options", [{"beam_size": 0}, {"n_best": 0}, {"min_ratio": 0.5, "max_ratio": 0.2}, {"min_ratio": -1.0}]
)
def test_a_setting_that_makes_no_sense_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(UserError) as error:
        AttentionBeam(**options)
    assert next(iter(options)) in str(error.value)
