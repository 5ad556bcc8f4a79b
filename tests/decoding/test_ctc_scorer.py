"""The CTC prefix score against all paths, and against the loss."""

from collections import defaultdict
from itertools import groupby, product

import pytest
import torch
from torch import Tensor

from speechkit.decoding import ctc_scorer
from speechkit.losses import ctc_loss
from speechkit.ops.search_state import select_beams, start_beams


def sum_paths(log_probs: Tensor) -> dict[tuple[int, ...], float]:
    """The probability of each text that one utterance's frames (T, V) can hold."""
    texts: dict[tuple[int, ...], float] = defaultdict(float)
    probs = log_probs.exp().tolist()
    for path in product(range(log_probs.shape[1]), repeat=len(probs)):
        probability = 1.0
        for frame, token in zip(probs, path, strict=True):
            probability *= frame[token]
        texts[tuple(token for token, _ in groupby(path) if token)] += probability
    return texts


@pytest.mark.parametrize("drift", [0.0, 3.0])
def test_it_is_the_sum_over_all_paths(drift: float) -> None:
    """Of every prefix, in one batch of utterances and beams; with drift there are sure frames and repeats."""
    lengths = torch.tensor([5, 0, 3, 1])
    logits = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    log_probs = ((1 + drift) * logits).log_softmax(-1)
    texts = [sum_paths(row[:n]) for row, n in zip(log_probs, lengths.tolist(), strict=True)]
    for row, n in zip(log_probs, lengths.tolist(), strict=True):
        row[n:] = torch.nan
    scorer = ctc_scorer(log_probs, lengths)
    prefixes, state = [()], scorer.state
    last = torch.zeros(4, dtype=torch.long)
    for size in range(1, 5):
        found, state = scorer.step(last, state)
        found = found.view(4, len(prefixes), 3)
        for utterance, of_utterance in enumerate(texts):
            for beam, prefix in enumerate(prefixes):
                begins = sum(p for text, p in of_utterance.items() if text[: size - 1] == prefix)
                expected = [of_utterance.get(prefix, 0.0)]
                for token in (1, 2):
                    longer = (*prefix, token)
                    expected.append(sum(p for text, p in of_utterance.items() if text[:size] == longer))
                shares = [each / begins if begins else 0.0 for each in expected]
                assert found[utterance, beam].exp().tolist() == pytest.approx(shares, rel=1e-11, abs=1e-290)
        # Each prefix goes on with both tokens, and the beams change places.
        grown = [(beam, token) for beam in reversed(range(len(prefixes))) for token in (2, 1)]
        parents, tokens = torch.tensor(grown).unbind(1)
        rows = torch.arange(4).unsqueeze(1) * len(prefixes) + parents
        state, last = select_beams(state, rows.flatten()), tokens.repeat(4)
        prefixes = [(*prefixes[beam], token) for beam, token in grown]


@pytest.mark.parametrize(
    ("scale", "dtype"), [(1.0, torch.float64), (15.0, torch.float64), (5.0, torch.float32)]
)
def test_a_text_and_its_end_have_the_loss_of_ctc(scale: float, dtype: torch.dtype) -> None:
    """Long, with repeats and with frames as sure as those of a trained model; every step is normalised."""
    generator = torch.Generator().manual_seed(2)
    lengths, n_texts = torch.tensor([150, 61]), 3
    log_probs = (scale * torch.randn(2, 150, 7, generator=generator, dtype=dtype)).log_softmax(-1)
    texts = torch.randint(1, 7, (2 * n_texts, 25), generator=generator)
    texts[:, 4] = texts[:, 3]
    scorer = ctc_scorer(log_probs, lengths)
    state, total = start_beams(scorer.state, n_texts), torch.zeros(2 * n_texts, dtype=torch.float64)
    last = torch.zeros(2 * n_texts, dtype=torch.long)
    for token in [*texts.unbind(1), torch.zeros_like(last)]:
        found, state = scorer.step(last, state)
        torch.testing.assert_close(
            found.logsumexp(-1),
            torch.zeros_like(total),
            rtol=0,
            atol=1e-9 if dtype == torch.float64 else 1e-4,
        )
        total += found.gather(1, token.unsqueeze(1)).squeeze(1)
        last = token
    rows = torch.arange(2).repeat_interleave(n_texts)
    loss = ctc_loss(log_probs[rows].double(), lengths[rows], texts, torch.full_like(last, 25))
    torch.testing.assert_close(-total, loss, rtol=1e-10, atol=0)


def test_more_tokens_than_frames_are_impossible() -> None:
    scorer = ctc_scorer(torch.zeros(1, 2, 3).log_softmax(-1), torch.tensor([2]))
    state, found = scorer.state, []
    for token in (0, 1, 1, 1):
        log_probs, state = scorer.step(torch.tensor([token]), state)
        found.append(log_probs[0].isfinite().tolist())
    # After a: anything, but another a needs a third frame. After that nothing, not even the end.
    assert found == [[True] * 3, [True, False, True], [False] * 3, [False] * 3]
