"""Every encoder, decoder, loss and search of recognition: in a batch as alone, and whatever padding holds.

The whole way from waveforms to texts, in double precision. A new model or search is a row of a table below.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from speechkit import decoding, features, models, nnet
from speechkit.data import Batch, CharacterTokenizer
from speechkit.decoding import AttentionBeam, CTCBeam, CTCSearch, GreedySearch, JointSearch, RescoredSearch
from speechkit.ops.search_state import State
from speechkit.tasks import ASR
from speechkit.tasks.listening import find_texts
from speechkit.training import Stage

from .test_asr import make_batch, make_brain

RATE = 8000
BLOCKS = {"width": 8, "num_layers": 1, "n_heads": 2, "hidden_size": 8, "channels": 4}
TOKENS = CharacterTokenizer("abcd")
N_MELS = 16
LENGTHS = [4000, 1279, 2777, 30]  # samples; of the last an encoder may leave no frame
TEXTS = ["abca", "", "dd", "b"]

FRONTS: dict[str, Callable[[], nn.Module]] = {
    "log-mel": partial(features.LogMel, RATE, n_mels=N_MELS),
    "complex": partial(features.ComplexSpectrogram, RATE, window_ms=8.0),
    "quaternion": lambda: features.Deltas(features.LogMel(RATE, n_mels=N_MELS)),
}
NORMS: dict[str, Callable[..., nn.Module]] = {
    "utterance": features.UtteranceNorm, "global": features.GlobalNorm
}  # fmt: skip
FILTERS = partial(nnet.STRFConv2d, out_channels=2, kernel_size=[3, 5], stride=[2, 1])
CRDNN = partial(models.CRDNN, channels=[8], hidden_size=8)
ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "CRDNN, light GRU": CRDNN,
    "CRDNN, LSTM, dense": partial(CRDNN, recurrent="lstm", dense=[8]),
    "CRDNN, filters": partial(CRDNN, front=FILTERS),
    "CRDNN, convolutions alone": partial(CRDNN, num_layers=0),
    "pyramid": partial(models.PyramidalEncoder, hidden_size=8, num_pairings=2),
    "Transformer, sinusoidal": partial(models.TransformerEncoder, **BLOCKS),
    "Transformer, rotary": partial(models.TransformerEncoder, positions="rotary", **BLOCKS),
    "Conformer, relative": partial(models.ConformerEncoder, kernel_size=5, **BLOCKS),
}  # fmt: skip
BLOCKS_OF_TOKENS = {name: size for name, size in BLOCKS.items() if name != "channels"}
recurrent = partial(models.RecurrentDecoder, hidden_size=8)
DECODERS: dict[str, Callable[..., nn.Module] | None] = {
    "none": None,
    "Transformer, sinusoidal": partial(models.TransformerDecoder, **BLOCKS_OF_TOKENS),
    "Transformer, rotary": partial(models.TransformerDecoder, positions="rotary", **BLOCKS_OF_TOKENS),
    "content": partial(recurrent, context=partial(models.ContentAttention, 8)),
    "location": partial(recurrent, context=partial(models.LocationAttention, 8, 2, 5)),
    "heads": partial(recurrent, context=partial(models.MultiheadContext, 2)),
    "mean": partial(recurrent, context=models.MeanContext, recurrent="gru"),
}


class NeuralLM:
    """A language model as a search takes it."""

    may_rise = False

    def __init__(self, model: Any) -> None:
        self.model = model.double().eval()

    def start(self, n_rows: int) -> State:
        return self.model.start(n_rows)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return self.model.step(tokens, state)


def make_lm(kind: str) -> NeuralLM:
    torch.default_generator.manual_seed(8)
    if kind == "recurrent":
        return NeuralLM(models.RecurrentLM(TOKENS.n_tokens, width=4, hidden_size=8))
    return NeuralLM(models.TransformerLM(TOKENS.n_tokens, **BLOCKS_OF_TOKENS))


SEARCHES: dict[str, Callable[[], decoding.Search]] = {
    "greedy": GreedySearch,
    "greedy, without CTC": GreedySearch,
    "CTC": lambda: CTCSearch(CTCBeam(3, n_best=2)),
    "CTC + LM": lambda: CTCSearch(CTCBeam(3, n_best=2, length_bonus=0.5), make_lm("recurrent"), 0.3),
    "attention": lambda: JointSearch(AttentionBeam(3, n_best=2), 0.0),
    "attention + coverage": lambda: JointSearch(AttentionBeam(3, n_best=2), 0.0, coverage_penalty=0.2),
    "joint": lambda: JointSearch(AttentionBeam(3, n_best=2, end_threshold=1.5), 0.4),
    "joint + LM": lambda: JointSearch(AttentionBeam(3, n_best=2), 0.3, make_lm("Transformer"), 0.3),
    "CTC prefixes": lambda: JointSearch(AttentionBeam(3, n_best=2), 1.0, make_lm("recurrent"), 0.2),
    "CTC rescored": lambda: RescoredSearch(CTCSearch(CTCBeam(3, n_best=3)), make_lm("Transformer"), 0.3, 0.5),
    "joint rescored": lambda: RescoredSearch(
        JointSearch(AttentionBeam(3, n_best=3)), make_lm("recurrent"), 0.3
    ),
}


def searches_of(decoder: str) -> list[str]:
    """Those that a model with CTC and this decoder can be searched by."""
    if decoder == "none":
        return ["greedy", "CTC", "CTC + LM", "CTC prefixes", "CTC rescored"]
    is_recurrent = not decoder.startswith("Transformer")
    others = [name for name in SEARCHES if not name.startswith("CTC") and name != "greedy"]
    return [name for name in others if is_recurrent or "coverage" not in name]


def make(folder: Path, front: str, norm: str, encoder: str, decoder: str) -> ASR:
    """A model in double precision whose running statistics are no identities."""
    torch.default_generator.manual_seed(1)
    normalized = features.Normalized(FRONTS[front](), NORMS[norm])
    algebra = "real" if front == "log-mel" else front
    built = ENCODERS[encoder](input_shape=normalized.output_shape, algebra=algebra)
    modules = {"features": normalized, "encoder": built}
    modules["ctc"] = nnet.Linear(TOKENS.n_tokens, input_shape=built.output_shape)
    if (make_decoder := DECODERS[decoder]) is not None:
        modules["decoder"] = make_decoder(TOKENS.n_tokens, input_shape=built.output_shape)
    brain = make_brain(folder, modules=modules, tokenizer=TOKENS, sample_rate=RATE)
    brain.modules.double()
    heard = make_batch([5000, 4000], ["abcd", "ab"])
    brain.compute_forward(Batch(**vars(heard) | {"waveforms": heard.waveforms.double()}), Stage.TRAIN)
    with torch.no_grad():
        for name in ("ctc", "decoder"):
            for weight in brain.modules[name].parameters() if name in modules else ():
                weight.mul_(2.5)  # else all texts are as likely, and empty
    brain.modules.eval()
    return brain


def listen(brain: ASR, batch: Batch, searches: dict[str, decoding.Search]) -> list[list[Any]]:
    """By utterance: its losses, and the texts and scores of each search."""
    with torch.no_grad():
        predictions = brain.compute_forward(batch, Stage.TEST)
        frames, lengths, log_probs = predictions[:3]
        found = [
            find_texts(brain.modules, frames, lengths, None if "without" in name else log_probs, search)
            for name, search in searches.items()
        ]
        losses = brain._losses(predictions, Stage.TEST)
    told: list[list[Any]] = [[{}, *each] for each in zip(*found, strict=True)]
    for place, row in enumerate(predictions.targets.rows):
        told[row][0] = {name: values[place].item() for name, values in losses.items()}
    return told


def check(brain: ASR, names: list[str]) -> int:
    """How many different texts there were."""
    batch = make_batch(LENGTHS, TEXTS)
    batch.waveforms = batch.waveforms.double()
    for row, n in enumerate(LENGTHS):
        batch.waveforms[row, n:] = 7.0  # what a batch is padded with must not be heard
    searches = {name: SEARCHES[name]() for name in names}
    together, texts = listen(brain, batch, searches), set()
    for row in range(len(LENGTHS)):
        alone = batch.without(dict.fromkeys(set(range(len(LENGTHS))) - {row}))  # type: ignore[arg-type]
        assert alone.waveforms.shape == (1, LENGTHS[row])
        (losses, *found), (expected_losses, *expected) = listen(brain, alone, searches)[0], together[row]
        assert losses == pytest.approx(expected_losses, rel=1e-9)
        for name, mine, theirs in zip(names, found, expected, strict=True):
            assert [each.tokens for each in mine] == [each.tokens for each in theirs], name
            assert [each.frames for each in mine] == [each.frames for each in theirs], name
            scores, others = ([each.score for each in results] for results in (mine, theirs))
            assert scores == pytest.approx(others, rel=1e-9, abs=1e-12), name
            texts |= {tuple(each.tokens) for each in mine}
    return len(texts)


# Each front, encoder and decoder once at least, in all the searches that it may have.
ROWS = [
    ("log-mel", "global", "CRDNN, light GRU", "none"),
    ("log-mel", "utterance", "CRDNN, LSTM, dense", "content"),
    ("quaternion", "global", "CRDNN, convolutions alone", "heads"),
    ("log-mel", "global", "CRDNN, filters", "mean"),
    ("complex", "utterance", "pyramid", "location"),
    ("log-mel", "utterance", "Transformer, sinusoidal", "Transformer, sinusoidal"),
    ("complex", "global", "Transformer, rotary", "none"),
    ("quaternion", "utterance", "Conformer, relative", "Transformer, rotary"),
]


@pytest.mark.parametrize("row", ROWS, ids=", ".join)
def test_padding_never_matters(row: tuple[str, str, str, str], tmp_path: Path) -> None:
    assert check(make(tmp_path, *row), searches_of(row[3])) > 3


def test_the_rows_hold_every_part() -> None:
    for place, table in enumerate((FRONTS, NORMS, ENCODERS, DECODERS)):
        assert {row[place] for row in ROWS} == set(table)
    assert {name for row in ROWS for name in searches_of(row[3])} == set(SEARCHES)


@pytest.mark.integration
@pytest.mark.parametrize("encoder", ENCODERS)
def test_of_every_pair_neither(encoder: str, tmp_path: Path) -> None:
    """All decoders behind an encoder, over each kind of numbers."""
    for front, decoder in product(FRONTS, DECODERS):
        if (front, encoder) == ("log-mel", "CRDNN, filters") or encoder != "CRDNN, filters":
            brain = make(tmp_path / front / decoder, front, "global", encoder, decoder)
            check(brain, searches_of(decoder))
