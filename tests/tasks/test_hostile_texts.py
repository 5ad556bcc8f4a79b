"""What a corpus may hold that nobody asked for, by each kind of model: stated in docs/recognition-inputs.md.

Unknown symbols, empty transcripts, audio of which no frame is left, texts longer than CTC's input; in
training, in validation and in test.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jiwer
import pytest
import torch
from torch import nn

from speechkit import nnet, report
from speechkit.data import Batch
from speechkit.decoding import AttentionBeam, CTCBeam, CTCSearch, GreedySearch, JointSearch, Search
from speechkit.errors import UserError
from speechkit.models import RecurrentDecoder, TransformerDecoder
from speechkit.tasks import ASR
from speechkit.training import Stage

from .test_asr import Frames, Kept, make_batch, make_brain

# The encoder leaves 10, 6, 9, 3, 0 and 0 frames of 8 samples.
IDS = ["fine", "silent", "unknown", "long", "short", "short and silent"]
LENGTHS = [80, 48, 72, 24, 6, 7]
TEXTS = ["ab a", "", "aXb", "ab ab ab", "a", ""]
KINDS: dict[str, tuple[tuple[str, ...], Callable[[], Search]]] = {
    "CTC": (("ctc",), GreedySearch),
    "CTC beam": (("ctc",), lambda: CTCSearch(CTCBeam(3))),
    "attention, greedy": (("decoder",), GreedySearch),
    "attention": (("decoder",), lambda: JointSearch(AttentionBeam(3), 0.0)),
    "recurrent": (("recurrent",), lambda: JointSearch(AttentionBeam(3), 0.0, coverage_penalty=0.1)),
    "joint": (("ctc", "decoder"), lambda: JointSearch(AttentionBeam(3), 0.3)),
}


def make(folder: Path, kind: str, **changes: Any) -> ASR:
    torch.default_generator.manual_seed(3)
    heads, make_search = KINDS[kind]
    blocks = {"width": 8, "num_layers": 1, "n_heads": 2, "hidden_size": 8}
    made = {
        "ctc": nn.Linear(4, 4),
        "decoder": TransformerDecoder(4, input_size=4, dropout=0.0, **blocks),
        "recurrent": RecurrentDecoder(4, input_size=4, hidden_size=8, dropout=0.0),
    }
    encoder = nnet.Sequential((None, None, 4), pool=nnet.Pooling1d("max", 2), join=nn.Linear(4, 4))
    modules: dict[str, nn.Module] = {"features": Frames(), "encoder": encoder}
    modules |= {"ctc" if head == "ctc" else "decoder": made[head] for head in heads}
    settings = {"modules": modules, "search": make_search(), "valid_search": make_search()}
    return make_brain(folder, **settings | changes)


@pytest.fixture
def hostile() -> Batch:
    batch = make_batch(LENGTHS, TEXTS)
    batch.ids = IDS
    return batch


def unfit(kind: str) -> dict[str, str]:
    """Why each utterance that cannot be learned cannot; a decoder alone has no limit of tokens."""
    reasons = {"unknown": "unknown symbol", "long": "text too long"}
    reasons |= {"short": "no frame", "short and silent": "no frame"}
    return {name: why for name, why in reasons.items() if name != "long" or "ctc" in KINDS[kind][0]}


@pytest.mark.parametrize("kind", KINDS)
def test_training_leaves_out_counts_and_names_them(kind: str, hostile: Batch, tmp_path: Path) -> None:
    """And learns what it would learn without them."""
    brain = make(tmp_path / "a", kind, train_data=Kept(hostile), valid_data=Kept(hostile), n_epochs=2)
    kept = brain.screen(hostile)
    assert kept.ids == [name for name in IDS if name not in unfit(kind)]
    assert {each.id: each.reason for each in kept.skipped} == unfit(kind)
    for name, notice in zip(unfit(kind), kept.notices, strict=True):
        assert notice.startswith("left out: ")
        assert f"utterance {name}: " in notice
    kept.skipped = []
    other = make(tmp_path / "b", kind, train_data=Kept(kept), valid_data=Kept(hostile), n_epochs=2)
    for each in (brain, other):
        each.fit()
    reasons = list(unfit(kind).values())
    for line in report.read_log(tmp_path / "a" / "log.jsonl"):
        if line["kind"] == "epoch":
            told = line["skipped"]["utterances"]
            assert told == {why: reasons.count(why) for why in reasons}
    for mine, theirs in zip(brain.modules.parameters(), other.modules.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", [Stage.VALID, Stage.TEST])
def test_in_validation_and_test_all_count(kind: str, stage: Stage, hostile: Batch, tmp_path: Path) -> None:
    """Such a one has a text that was found, errors, and no loss."""
    brain = make(tmp_path, kind)
    metrics, records = brain.evaluate(Kept(hostile), stage)
    by_id = {record["id"]: record for record in records}
    assert [record["id"] for record in records] == sorted(IDS)
    assert all(record["skipped"] is None for record in records)
    assert {name for name, each in by_id.items() if each["scores"]["loss"] is None} == set(unfit(kind))
    has = [each["scores"]["loss"] for each in records if each["scores"]["loss"] is not None]
    assert metrics["loss"] == pytest.approx(sum(has) / len(has), rel=1e-5)
    for name in ("short", "short and silent"):
        assert by_id[name]["hypothesis"] == ""
    assert by_id["short"]["counts"]["deletions"] == 1
    assert by_id["short and silent"]["counts"]["words"] == 0
    empty = by_id["silent"]["counts"]
    n_heard = len(by_id["silent"]["hypothesis"].split())
    assert (empty["words"], empty["insertions"], empty["deletions"]) == (0, n_heard, 0)
    said = [(each["reference"], each["hypothesis"]) for each in by_id.values()]
    errors = sum(
        len(heard.split()) if not text else round(jiwer.wer(text, heard) * len(text.split()))
        for text, heard in said
    )
    assert metrics["wer"] == pytest.approx(100 * errors / sum(len(text.split()) for text, _ in said))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_transcript_is_learned_from(kind: str, tmp_path: Path) -> None:
    """CTC is to say nothing but blanks, a decoder to end at once: the losses by hand, and their gradients."""
    brain, batch = make(tmp_path, kind, ctc_weight=0.3), make_batch([48, 80], ["", ""])
    assert brain.screen(batch) is batch
    brain.modules.eval()
    predictions = brain.compute_forward(batch, Stage.TRAIN)
    assert predictions.targets.tokens.shape == (2, 0)
    parts = []
    if predictions.log_probs is not None:
        rows = zip(predictions.log_probs, [6, 10], strict=True)
        parts.append((0.3, -sum(each[:n, 0].sum() for each, n in rows)))
    if predictions.logits is not None:
        assert predictions.logits.shape == (2, 1, 4)
        parts.append((0.7, -predictions.logits.log_softmax(-1)[:, 0, 0].sum()))
    if len(parts) == 1:
        parts = [(1.0, parts[0][1])]
    loss = brain.compute_objectives(predictions, batch, Stage.TRAIN)
    assert loss.count == 2
    expected = sum(weight * part.item() for weight, part in parts)
    assert loss.total.item() == pytest.approx(expected, rel=1e-5)
    loss.total.backward()
    gradients = [weight.grad for weight in brain.modules.parameters() if weight.grad is not None]
    assert gradients
    assert all(each.isfinite().all() for each in gradients)


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["CTC", "attention", "recurrent", "joint"])
def test_it_learns_to_say_nothing(kind: str, tmp_path: Path) -> None:
    """After some steps on empty texts alone none is heard any more."""
    batch = make_batch([48, 80, 24], ["", "", ""])
    data = Kept(*[batch] * 40)

    def adam(weights: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=0.1)

    brain = make(
        tmp_path, kind, train_data=data, valid_data=Kept(batch), optimizer=adam, criterion=["loss", "min"]
    )
    brain.fit()
    metrics, records = brain.evaluate(Kept(batch))
    assert [record["hypothesis"] for record in records] == [""] * 3
    assert metrics["loss"] < 0.5
    assert math.isfinite(metrics["loss"])


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in unfit(kind)])
def test_one_may_ask_to_stop_instead(kind: str, name: str, hostile: Batch, tmp_path: Path) -> None:
    row = IDS.index(name)
    alone = hostile.without(dict.fromkeys(set(range(len(IDS))) - {row}))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=rf"utterance {name}: .*set unfit_targets: skip"):
        make(tmp_path, kind, unfit_targets="stop").screen(alone)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_test_set_of_them_has_figures(kind: str, tmp_path: Path) -> None:
    """Nothing to average over is no number, and no end of the run."""
    batch = make_batch([6, 7, 5], ["a", "b ab", ""])
    metrics, records = make(tmp_path, kind).evaluate(Kept(batch))
    assert [record["hypothesis"] for record in records] == [""] * 3
    assert metrics["wer"] == metrics["cer"] == 100.0
    assert "loss" not in metrics or not math.isfinite(metrics["loss"])
