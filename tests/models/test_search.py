"""The beam search over decoders and language models: whole against given texts, batch against alone."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from speechkit.decoding import AttentionBeam, Hypothesis, Scorer, ctc_scorer, with_coverage
from speechkit.losses import ctc_loss
from speechkit.models import (
    LocationAttention,
    RecurrentDecoder,
    RecurrentLM,
    TransformerDecoder,
    TransformerLM,
)

N_TOKENS, WIDTH = 6, 8
WEIGHTS = (0.6, 0.4, 0.3)  # attention, CTC, language model
PENALTY = 0.4
BLOCKS = {"width": 16, "num_layers": 2, "n_heads": 2, "hidden_size": 24}
PAIRS = {
    "transformer": (partial(TransformerDecoder, **BLOCKS), partial(TransformerLM, **BLOCKS)),
    "recurrent": (
        partial(RecurrentDecoder, context=partial(LocationAttention, 8, 2, 5), hidden_size=16),
        partial(RecurrentLM, width=8, hidden_size=12),
    ),
}


def make(name: str) -> nn.ModuleDict:
    torch.manual_seed(5)
    decoder, lm = PAIRS[name]
    made = {
        "decoder": decoder(N_TOKENS, input_size=WIDTH),
        "lm": lm(N_TOKENS),
        "ctc": nn.Linear(WIDTH, N_TOKENS),
    }
    with torch.no_grad():
        for each in nn.ModuleList(made.values()).parameters():
            each.mul_(2.5)
    return nn.ModuleDict(made).double().eval()


def search(models: nn.ModuleDict, encoded: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
    decoder, lm = models["decoder"], models["lm"]
    attention = Scorer(decoder.step, decoder.start(encoded, lengths), WEIGHTS[0])
    if isinstance(decoder, RecurrentDecoder):
        attention = with_coverage(attention, PENALTY)
    scorers = [
        attention,
        ctc_scorer(models["ctc"](encoded).log_softmax(-1), lengths, WEIGHTS[1]),
        Scorer(lm.step, lm.start(len(lengths)), WEIGHTS[2]),
    ]
    return AttentionBeam(4, n_best=3, length_bonus=0.3)(scorers, lengths)


def score(models: nn.ModuleDict, encoded: Tensor, text: list[int]) -> float:
    """The same sum for one utterance (1, T, W) and a whole text, by teacher forcing and CTC's loss."""
    tokens, size = torch.tensor([text], dtype=torch.long), torch.tensor([len(text)])
    length, targets = torch.tensor([encoded.shape[1]]), torch.tensor([[*text, 0]]).unsqueeze(-1)
    heard = models["decoder"](tokens, size, encoded, length).log_softmax(-1).gather(2, targets).sum()
    if isinstance(models["decoder"], RecurrentDecoder):
        covered = models["decoder"].align(tokens, size, encoded, length).sum(1)
        heard = heard - PENALTY * (covered - 0.5).clamp_min(0).sum()
    spelled = -ctc_loss(models["ctc"](encoded).log_softmax(-1), length, tokens, size)
    spoken = models["lm"](tokens, size).log_softmax(-1).gather(2, targets).sum()
    parts = zip(WEIGHTS, (heard, spelled, spoken), strict=True)
    return sum(weight * part.item() for weight, part in parts) + 0.3 * len(text)


@pytest.mark.parametrize("name", PAIRS)
@torch.no_grad()
def test_scores_are_those_of_whole_texts_in_a_batch_and_alone(name: str) -> None:
    models, lengths = make(name), torch.tensor([7, 12, 3])
    encoded = 2 * torch.randn(3, 12, WIDTH, dtype=torch.float64)
    for row, n in zip(encoded, lengths.tolist(), strict=True):
        row[n:] = torch.nan
    found = search(models, encoded, lengths)
    assert len({len(each.tokens) for results in found for each in results}) > 3
    for row, n in enumerate(lengths.tolist()):
        one = encoded[row : row + 1, :n]
        [alone] = search(models, one, lengths[row : row + 1])
        assert [each.tokens for each in alone] == [each.tokens for each in found[row]]
        for mine, theirs in zip(alone, found[row], strict=True):
            assert theirs.score == pytest.approx(mine.score, rel=1e-9)
            assert mine.score == pytest.approx(score(models, one, mine.tokens), rel=1e-9)
