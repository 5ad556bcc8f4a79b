"""Recognition against the same computed by hand: losses, records, what is left out and what is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jiwer
import pytest
import torch
from torch import Tensor, nn

from speechkit import nnet, report
from speechkit.data import Batch, CharacterTokenizer, WordTokenizer
from speechkit.errors import UserError
from speechkit.features import LogMel
from speechkit.losses import ctc_loss
from speechkit.tasks import ASR, Recognizer
from speechkit.training import Stage

LETTERS = CharacterTokenizer("ab ")
RATE = 8  # Hz


class Frames(nn.Module):
    """Waveforms cut into frames of 4 samples: a feature whose values show through."""

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        n_frames = waveforms.shape[1] // 4
        return waveforms[:, : 4 * n_frames].reshape(len(waveforms), n_frames, 4), self.output_lengths(lengths)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return lengths // 4


class Same(nn.Module):
    """An encoder that leaves everything as it is."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return x

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return lengths


class Kept:
    """Batches in memory, the same in each epoch."""

    def __init__(self, *batches: Batch) -> None:
        self.batches = batches

    def iterate(self, seed: int, epoch: int, skip: int = 0, share: Any = None) -> Iterator[Batch]:
        yield from self.batches[skip:]

    def n_cuts(self) -> int:
        return sum(map(len, self.batches))

    def digest(self) -> str:
        return ""


def make_brain(folder: Path, **changes: Any) -> ASR:
    torch.default_generator.manual_seed(5)
    settings: dict[str, Any] = {
        "modules": {"features": Frames(), "encoder": Same(), "ctc": nn.Linear(4, 4)},
        "optimizer": lambda weights: torch.optim.SGD(weights, lr=0.1),
        "train_data": Kept(),
        "valid_data": Kept(),
        "output_folder": folder,
        "n_epochs": 1,
        "tokenizer": LETTERS,
        "sample_rate": RATE,
        "device": "cpu",
    }
    return ASR(**settings | changes)


def make_batch(lengths: list[int], texts: list[str], scale: float = 0.3) -> Batch:
    waveforms = torch.zeros(len(lengths), max(lengths))
    for row, n in enumerate(lengths):
        waveforms[row, :n] = scale * torch.randn(n, generator=torch.Generator().manual_seed(n))
    return Batch(
        ids=[f"u{row}" for row in range(len(lengths))],
        waveforms=waveforms,
        lengths=torch.tensor(lengths),
        texts=texts,
        speakers=[f"s{row}" for row in range(len(lengths))],
        groups=[""] * len(lengths),
        seconds=[n / RATE for n in lengths],
        paths=[f"{row}.wav" for row in range(len(lengths))],
    )


def spell(*paths: list[int]) -> tuple[Batch, nn.Module]:
    """Utterances whose frames say these tokens, and the layer that hears them: texts are to be set."""
    batch = make_batch([4 * len(path) for path in paths], [""] * len(paths))
    batch.waveforms.zero_()
    for row, path in enumerate(paths):
        for frame, token in enumerate(path):
            batch.waveforms[row, 4 * frame + token] = 1.0
    layer = nn.Linear(4, 4, bias=False)
    layer.weight.data = 50 * torch.eye(4)
    return batch, layer


@pytest.fixture
def batch() -> Batch:
    return make_batch([40, 23, 12], ["ab b", "aa", ""])


def losses_alone(brain: ASR, batch: Batch) -> list[float]:
    """Of each utterance by itself, without padding."""
    losses = []
    for wave, n, text in zip(batch.waveforms, batch.lengths.tolist(), batch.texts, strict=True):
        frames = wave[: n // 4 * 4].view(1, -1, 4)
        log_probs = brain.modules["ctc"](frames).log_softmax(-1)
        target = torch.tensor([brain.tokenizer.encode(text)], dtype=torch.int64)
        sizes = torch.tensor([frames.shape[1]]), torch.tensor([target.shape[1]])
        losses.append(ctc_loss(log_probs, sizes[0], target, sizes[1]).item())
    return losses


def test_the_loss_is_the_sum_over_utterances(tmp_path: Path, batch: Batch) -> None:
    brain = make_brain(tmp_path)
    predictions = brain.compute_forward(batch, Stage.VALID)
    assert predictions.lengths.tolist() == [10, 5, 3]
    loss = brain.compute_objectives(predictions, batch, Stage.VALID)
    expected = losses_alone(brain, batch)
    assert loss.total.item() == pytest.approx(sum(expected), rel=1e-5)
    assert loss.count == 3
    records = brain.compute_records(predictions, batch, Stage.VALID)
    assert [record["scores"]["loss"] for record in records] == pytest.approx(expected, rel=1e-5)


def test_records_hold_what_was_said_and_recognised(tmp_path: Path) -> None:
    batch, layer = spell([1, 1, 0, 1, 3, 2, 0], [2, 2, 0, 3, 1], [0, 0])
    batch.texts = ["aa a", "b ab", "a"]
    brain = make_brain(tmp_path, modules={"features": Frames(), "encoder": Same(), "ctc": layer})
    records = brain.compute_records(brain.compute_forward(batch, Stage.TEST), batch, Stage.TEST)
    assert [record["hypothesis"] for record in records] == ["aa b", "b a", ""]
    assert records[0]["alignment"] == [("C", "aa", "aa"), ("S", "a", "b")]
    assert records[2]["alignment"] == [("D", "a", None)]
    assert records[1]["counts"] == {
        "correct": 1, "substitutions": 1, "deletions": 0, "insertions": 0, "words": 2, "characters": 4,
        "character_errors": 1,
    }  # fmt: skip
    assert [record["id"] for record in records] == batch.ids
    assert [record["speaker"] for record in records] == batch.speakers
    figures = brain.summarize(records)
    hypotheses = [record["hypothesis"] for record in records]
    assert figures["wer"] == pytest.approx(100 * jiwer.wer(batch.texts, hypotheses))
    assert figures["cer"] == pytest.approx(100 * jiwer.cer(batch.texts, hypotheses))


def test_phones_are_counted_as_phones(tmp_path: Path) -> None:
    batch, layer = spell([1, 2, 0, 2])
    batch.texts = ["AH  T AH"]
    modules = {"features": Frames(), "encoder": Same(), "ctc": layer}
    brain = make_brain(tmp_path, modules=modules, tokenizer=WordTokenizer("AH T S"), unit="phone")
    records = brain.compute_records(brain.compute_forward(batch, Stage.TEST), batch, Stage.TEST)
    assert records[0]["hypothesis"] == "AH T T"
    assert brain.summarize(records) == {"per": pytest.approx(100 / 3)}
    assert brain.criterion == ("per", "min")
    assert make_brain(tmp_path / "b").criterion == ("wer", "min")
    assert make_brain(tmp_path / "c", criterion=["cer", "min"]).criterion == ("cer", "min")


def test_what_cannot_be_learned_is_left_out_with_its_reason(tmp_path: Path) -> None:
    brain = make_brain(tmp_path)
    # In three frames "aa" can stand (a, blank, a), "aba " and "aab" cannot.
    batch = make_batch([12, 12, 12, 40, 12], ["aa", "aba ", "aab", "aXb", "ab"])
    kept = brain.screen(batch)
    assert kept.ids == ["u0", "u4"]
    assert [(each.id, each.reason) for each in kept.skipped] == [
        ("u1", "text too long"), ("u2", "text too long"), ("u3", "unknown symbol"),
    ]  # fmt: skip
    assert "utterance u3: the tokenizer has no symbol 'X'" in kept.notices[2]
    assert "utterance u1: CTC needs 4 frames for 4 tokens; expected at most the 3" in kept.notices[0]
    assert torch.equal(kept.waveforms, batch.waveforms[[0, 4], :12])
    assert (kept.texts, kept.seconds, kept.paths) == (["aa", "ab"], [1.5, 1.5], ["0.wav", "4.wav"])
    assert brain.screen(batch).notices == [], "each is told once"
    assert brain.screen(kept) is kept


def test_ten_are_named_and_the_others_counted(tmp_path: Path) -> None:
    brain = make_brain(tmp_path)
    batch = make_batch([8] * 14, ["X"] * 14)
    kept = brain.screen(batch)
    assert (len(kept), len(kept.skipped), len(kept.notices)) == (0, 14, 11)
    assert "only counted" in kept.notices[-1]
    assert brain.screen(batch).notices == []


@pytest.mark.parametrize(
    ("text", "told"), [("bX", r"tokenizer: utterance u1: .*no symbol 'X'"), ("bbb", "u1: CTC needs 5 frames")]
)
def test_one_may_ask_to_stop_instead(text: str, told: str, tmp_path: Path) -> None:
    brain = make_brain(tmp_path, unfit_targets="stop")
    with pytest.raises(UserError, match=rf"{told}.*set unfit_targets: skip"):
        brain.screen(make_batch([12, 12], ["a", text]))


def test_in_a_test_set_all_count_and_such_have_no_loss(tmp_path: Path) -> None:
    batch, layer = spell([1, 2, 1], [1, 2, 1], [1, 2, 1])
    batch.texts = ["aba", "aXa", "abababa"]
    brain = make_brain(tmp_path, modules={"features": Frames(), "encoder": Same(), "ctc": layer})
    predictions = brain.compute_forward(batch, Stage.TEST)
    loss = brain.compute_objectives(predictions, batch, Stage.TEST)
    records = brain.compute_records(predictions, batch, Stage.TEST)
    assert loss.count == 1
    assert records[0]["scores"]["loss"] == pytest.approx(loss.total.item(), abs=1e-12)
    assert [record["scores"]["loss"] for record in records[1:]] == [None, None]
    assert [record["skipped"] for record in records] == [None] * 3
    assert brain.summarize(records)["wer"] == pytest.approx(100 * 2 / 3)
    unfit = Batch(**vars(batch) | {"texts": ["X"] * 3})
    predictions = brain.compute_forward(unfit, Stage.TEST)
    assert brain.compute_objectives(predictions, unfit, Stage.TEST).count == 0


def test_audio_of_which_no_frame_is_left_is_silence(tmp_path: Path) -> None:
    """Alone, where layers would refuse it, as beside a longer one; training leaves it out."""
    encoder = nnet.Sequential((None, None, 4), pool=nnet.Pooling1d("max", 2), join=nn.Linear(4, 4))
    modules = {"features": Frames(), "encoder": encoder, "ctc": nn.Linear(4, 4)}
    brain = make_brain(tmp_path, modules=modules)
    short, both = make_batch([7, 5], ["a", ""]), make_batch([7, 40], ["a", "ab"])
    for batch in (short, both):
        predictions = brain.compute_forward(batch, Stage.TEST)
        record = brain.compute_records(predictions, batch, Stage.TEST)[0]
        assert (record["hypothesis"], record["scores"]["loss"]) == ("", None)
        assert record["counts"]["deletions"] == 1
        assert brain.compute_objectives(predictions, batch, Stage.TEST).total.isfinite()
    assert [each.reason for each in brain.screen(short).skipped] == ["no frame", "no frame"]
    assert brain.screen(both).ids == ["u1"]


def test_training_counts_what_it_leaves_out_and_is_as_without_it(tmp_path: Path) -> None:
    valid = Kept(make_batch([40, 23], ["ab", "b"]))
    unfit = make_batch([40, 44, 23], ["ab b", "X", "aa"])
    fit = unfit.without({1: None})  # type: ignore[dict-item]
    fit.skipped = []
    brains = [
        make_brain(tmp_path / name, train_data=Kept(data, data), valid_data=valid, n_epochs=2)
        for name, data in (("unfit", unfit), ("fit", fit))
    ]
    for brain in brains:
        brain.fit()
    for brain, counted in zip(brains, ({"unknown symbol": 2}, {}), strict=True):
        log = report.read_log(brain.output_folder / "log.jsonl")
        assert [line["skipped"]["utterances"] for line in log] == [counted, counted]
    weights = [brain.modules["ctc"].weight for brain in brains]
    assert torch.equal(*weights)


def test_data_of_which_nothing_can_be_learned_end_the_run(tmp_path: Path) -> None:
    data = Kept(make_batch([40, 23], ["X", "Y"]))
    with pytest.raises(UserError, match="train_data: no step was taken in epoch 1"):
        make_brain(tmp_path, train_data=data, valid_data=data).fit()


def test_an_utterance_gets_in_a_batch_what_it_gets_alone(tmp_path: Path) -> None:
    """The whole task in double precision, trained for a step so that norms are no identities."""
    encoder = nnet.Sequential(
        (None, None, 20),
        conv=lambda input_shape: nnet.Conv1d(16, 5, input_shape=input_shape),
        norm=nnet.BatchNorm,
        activation=nn.ReLU,
        pool=lambda: nnet.Pooling1d("max", 2, padding="same"),
        recurrent=lambda input_shape: nnet.LiGRU(8, input_shape=input_shape, bidirectional=True),
    )
    modules = {"features": LogMel(8000, n_mels=20), "encoder": encoder, "ctc": nn.Linear(16, 4)}
    batch = make_batch([8000, 3001, 5600, 80], ["ab b", "aa", "b", ""])
    data = Kept(batch)
    brain = make_brain(tmp_path, modules=modules, sample_rate=8000, train_data=data, valid_data=data)
    brain.fit()
    brain.modules.double().eval()
    batch.waveforms = batch.waveforms.double()
    together = brain.compute_forward(batch, Stage.TEST)
    records = brain.compute_records(together, batch, Stage.TEST)
    for row, n in enumerate(batch.lengths.tolist()):
        alone = batch.without(dict.fromkeys({0, 1, 2, 3} - {row}))  # type: ignore[arg-type]
        alone.skipped = []
        assert alone.waveforms.shape == (1, n)
        predictions = brain.compute_forward(alone, Stage.TEST)
        frames = int(together.lengths[row])
        assert predictions.log_probs.shape[1] == frames
        torch.testing.assert_close(
            predictions.log_probs[0], together.log_probs[row, :frames], rtol=1e-9, atol=1e-12
        )
        (record,) = brain.compute_records(predictions, alone, Stage.TEST)
        assert record["scores"].pop("loss") == pytest.approx(records[row]["scores"].pop("loss"), rel=1e-9)
        assert record == records[row]


def test_a_loaded_model_says_what_the_records_say(tmp_path: Path) -> None:
    batch, layer = spell([1, 1, 0, 1, 3, 2])
    modules = {"features": Frames(), "encoder": Same(), "ctc": layer}
    brain = make_brain(tmp_path, modules=modules)
    (record,) = brain.compute_records(brain.compute_forward(batch, Stage.TEST), batch, Stage.TEST)
    said = Recognizer(brain.modules, LETTERS, RATE).predict(batch.waveforms[0], RATE)
    assert said.text == record["hypothesis"] == "aa b"
    assert said.log_probability == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ctc": nn.Linear(4, 5)}, r"modules.ctc: .* 5 outputs.*expected 4, one a token"),
        ({"encoder": nnet.GlobalAveragePool()}, r"modules.encoder: the encoder gives \(3, 4\)"),
        ({"encoder": nn.Identity()}, "modules.encoder: Identity has no output_lengths"),
        ({"features": nn.Identity()}, "modules.features: Identity has no output_lengths"),
    ],
)
def test_modules_that_do_not_fit_are_named(changes: dict, told: str, tmp_path: Path, batch: Batch) -> None:
    modules = {"features": Frames(), "encoder": Same(), "ctc": nn.Linear(4, 4)} | changes
    with pytest.raises(UserError, match=told):
        make_brain(tmp_path, modules=modules).compute_forward(batch, Stage.VALID)


@pytest.mark.parametrize(("key", "value"), [("unit", "words"), ("unfit_targets", "drop")])
def test_words_that_a_key_does_not_know_are_told(key: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{key}: {key}: '{value}'; expected"):
        make_brain(tmp_path, **{key: value})
