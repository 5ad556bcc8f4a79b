"""Classification against the same computed by hand."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from speechkit.data import Batch
from speechkit.errors import UserError
from speechkit.features import Mixup, SpecAugment
from speechkit.models import BCResNet, ResNet
from speechkit.ops.duration import fix_n_samples
from speechkit.tasks import Classification
from speechkit.training import Stage

LABELS = ["yes", "no", "up", "down"]


class Frames(nn.Module):
    """Waveforms cut into frames of 4 samples: a feature whose values show through."""

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        n_frames = waveforms.shape[1] // 4
        return waveforms[:, : 4 * n_frames].reshape(len(waveforms), n_frames, 4), lengths // 4


class Mean(nn.Module):
    """Logits: weights times the mean over the true frames."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(16.0).view(4, 4) / 10 - 0.5)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        means = [row[:n].mean(0) for row, n in zip(features, lengths.tolist(), strict=True)]
        return torch.stack(means) @ self.weight.T


class NoData:
    def iterate(self, seed: int, epoch: int, skip: int = 0, share: Any = None) -> Any:
        return iter(())

    def n_cuts(self) -> int:
        return 0


def make_brain(folder: Path, **changes: Any) -> Classification:
    settings: dict[str, Any] = {
        "modules": {"features": Frames(), "model": Mean()},
        "optimizer": lambda weights: torch.optim.SGD(weights, lr=0.1),
        "train_data": NoData(),
        "valid_data": NoData(),
        "output_folder": folder,
        "n_epochs": 1,
        "labels": LABELS,
        "sample_rate": 8,
        "device": "cpu",
    }
    return Classification(**settings | changes)


def make_batch(lengths: list[int], texts: list[str], dtype: torch.dtype = torch.float32) -> Batch:
    generator = torch.Generator().manual_seed(sum(lengths))
    waveforms = torch.zeros(len(lengths), max(lengths), dtype=dtype)
    for row, n in zip(waveforms, lengths, strict=True):
        row[:n] = torch.randn(n, generator=generator, dtype=dtype)
    return Batch(
        ids=[f"u{row}" for row in range(len(lengths))],
        waveforms=waveforms,
        lengths=torch.tensor(lengths),
        texts=texts,
        speakers=["anna", "", "bert"][: len(lengths)],
        groups=["", "children", ""][: len(lengths)],
        seconds=[n / 8 for n in lengths],
        paths=["a.wav", "", "c.wav"][: len(lengths)],
    )


@pytest.fixture
def batch() -> Batch:
    return make_batch([20, 12, 8], ["no", "down", "yes"])


def logits_by_hand(brain: Classification, batch: Batch) -> list[list[float]]:
    weight = brain.modules["model"].weight.tolist()
    rows = []
    for wave, n in zip(batch.waveforms.tolist(), batch.lengths.tolist(), strict=True):
        frames = [wave[start : start + 4] for start in range(0, n // 4 * 4, 4)]
        mean = [sum(frame[k] for frame in frames) / len(frames) for k in range(4)]
        rows.append([sum(w * m for w, m in zip(row, mean, strict=True)) for row in weight])
    return rows


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(value) for value in logits]
    return [power / sum(powers) for power in powers]


def test_forward_and_loss(tmp_path: Path, batch: Batch) -> None:
    brain = make_brain(tmp_path)
    logits, targets = brain.compute_forward(batch, Stage.VALID)
    expected = logits_by_hand(brain, batch)
    torch.testing.assert_close(logits, torch.tensor(expected))
    assert targets.tolist() == [1, 3, 0]
    loss = brain.compute_objectives((logits, targets), batch, Stage.VALID)
    by_hand = -sum(math.log(softmax(row)[k]) for row, k in zip(expected, [1, 3, 0], strict=True))
    assert loss.total.item() == pytest.approx(by_hand, rel=1e-5)
    assert loss.count == 3


def test_records(tmp_path: Path, batch: Batch) -> None:
    brain = make_brain(tmp_path)
    records = brain.compute_records(brain.compute_forward(batch, Stage.TEST), batch, Stage.TEST)
    for row, record in enumerate(records):
        shares = softmax(logits_by_hand(brain, batch)[row])
        order = sorted(range(4), key=lambda k: -shares[k])
        target = LABELS.index(batch.texts[row])
        assert record["hypothesis"] == LABELS[order[0]]
        assert record["reference"] == batch.texts[row]
        assert record["counts"] == {"correct": int(order[0] == target), "total": 1}
        scores = record["scores"]
        assert scores["probability"] == pytest.approx(shares[order[0]], rel=1e-5)
        assert scores["loss"] == pytest.approx(-math.log(shares[target]), rel=1e-5)
        assert [label for label, _ in scores["top"]] == [LABELS[k] for k in order[:3]]
        assert [share for _, share in scores["top"]] == pytest.approx(
            [shares[k] for k in order[:3]], rel=1e-5
        )
    assert [record["id"] for record in records] == batch.ids
    assert [record["speaker"] for record in records] == ["anna", None, "bert"]
    assert [record["group"] for record in records] == [None, "children", None]
    assert [record["audio"] for record in records] == ["a.wav", None, "c.wav"]
    assert [record["seconds"] for record in records] == [2.5, 1.5, 1.0]
    correct = [record["counts"]["correct"] for record in records]
    assert brain.summarize(records)["accuracy"] == pytest.approx(100 * sum(correct) / 3)


def test_another_loss_gets_logits_and_classes(tmp_path: Path, batch: Batch) -> None:
    brain = make_brain(tmp_path, loss=lambda logits, targets: logits.gather(1, targets[:, None]).sum())
    predictions = brain.compute_forward(batch, Stage.TRAIN)
    expected = sum(row[k] for row, k in zip(logits_by_hand(brain, batch), [1, 3, 0], strict=True))
    assert brain.compute_objectives(predictions, batch, Stage.TRAIN).total.item() == pytest.approx(
        expected, rel=1e-5
    )


def test_augmentation_and_mixup_are_of_training_alone(tmp_path: Path, batch: Batch) -> None:
    plain = make_brain(tmp_path)
    brain = make_brain(tmp_path, augmentation=SpecAugment(2, 2, 1, 3), mixup=Mixup(1.0))
    for stage in (Stage.VALID, Stage.TEST):
        state = torch.random.get_rng_state()
        torch.testing.assert_close(
            brain.compute_forward(batch, stage), plain.compute_forward(batch, stage), rtol=0, atol=0
        )
        assert torch.equal(state, torch.random.get_rng_state()), "random numbers were drawn"
    logits, targets = brain.compute_forward(batch, Stage.TRAIN)
    assert not torch.allclose(logits, plain.compute_forward(batch, Stage.TRAIN)[0])
    assert targets.shape == (3, 4)


def test_mixup_mixes_features_and_targets_alike(tmp_path: Path) -> None:
    """The model is linear, so the mixed logits are the same mixture of the plain ones as the targets."""
    batch = make_batch([12, 12, 12], ["no", "down", "yes"])
    plain, targets = make_brain(tmp_path).compute_forward(batch, Stage.TRAIN)
    brain = make_brain(tmp_path, mixup=Mixup(1.0))
    logits, shares = brain.compute_forward(batch, Stage.TRAIN)
    torch.testing.assert_close(logits, shares[:, targets] @ plain)
    assert not torch.equal(shares, shares.round()), "nothing was mixed"
    loss = brain.compute_objectives((logits, shares), batch, Stage.TRAIN)
    by_hand = -(shares * logits.log_softmax(-1)).sum()
    torch.testing.assert_close(loss.total, by_hand)


def test_augmentation_sees_the_true_lengths(tmp_path: Path, batch: Batch) -> None:
    seen = []
    brain = make_brain(
        tmp_path, augmentation=lambda features, lengths: (seen.append(lengths), 2 * features)[1]
    )
    logits, _ = brain.compute_forward(batch, Stage.TRAIN)
    assert seen[0].tolist() == [5, 3, 2]
    torch.testing.assert_close(logits, 2 * torch.tensor(logits_by_hand(brain, batch)))


def test_clips_are_brought_to_their_seconds_in_every_stage(tmp_path: Path, batch: Batch) -> None:
    brain, plain = make_brain(tmp_path, clip_seconds=1.5), make_brain(tmp_path)
    fixed, lengths = fix_n_samples(batch.waveforms, batch.lengths, 12)
    expected = plain.modules["model"](*plain.modules["features"](fixed, lengths))
    for stage in Stage:
        torch.testing.assert_close(brain.compute_forward(batch, stage)[0], expected)


def test_a_label_that_is_none_names_the_utterance(tmp_path: Path) -> None:
    batch = make_batch([8, 8], ["yes", "dwon"])
    with pytest.raises(
        UserError, match=r"utterance u1 has the label 'dwon'.*did you mean 'down'\?"
    ) as caught:
        make_brain(tmp_path).compute_forward(batch, Stage.TRAIN)
    assert caught.value.key == "labels"


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["yes", True], "True is no text"),
        (["yes", 7], "7 is no text"),
        (["yes", "no", "yes"], "all different"),
        (["yes"], "at least two"),
        ([], "at least two"),
    ],
)
def test_wrong_labels(labels: list, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told) as caught:
        make_brain(tmp_path, labels=labels)
    assert caught.value.key == "labels"


@pytest.mark.parametrize("clip_seconds", [0, -1.0, 0.01])
def test_clips_without_a_sample_are_refused(clip_seconds: float, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a sample or more"):
        make_brain(tmp_path, clip_seconds=clip_seconds)


def test_outputs_other_than_labels_are_told(tmp_path: Path, batch: Batch) -> None:
    with pytest.raises(
        UserError, match=r"gives 4 outputs, in a tensor of shape \(3, 4\); expected \(3, 3\)"
    ) as caught:
        make_brain(tmp_path, labels=["yes", "no", "down"]).compute_forward(batch, Stage.VALID)
    assert caught.value.key == "modules.model"


@pytest.mark.parametrize("missing", ["features", "model"])
def test_modules_that_are_needed(missing: str, tmp_path: Path) -> None:
    modules = {name: each for name, each in (("features", Frames()), ("model", Mean())) if name != missing}
    with pytest.raises(UserError, match=f"modules has no '{missing}'"):
        make_brain(tmp_path, modules=modules)


@pytest.mark.parametrize("clip_seconds", [None, 0.5])
@pytest.mark.parametrize("make_model", [ResNet, BCResNet])
def test_padding_never_matters(make_model: type, clip_seconds: float | None, tmp_path: Path) -> None:
    """An utterance gets in a batch of longer ones what it gets alone."""
    from speechkit.features import LogMel

    features = LogMel(8000, n_mels=40)
    options: dict[str, Any] = {"n_mels": 40, "width": 0.5}
    if make_model is ResNet:
        options = {"input_shape": features.output_shape, "channels": [4, 6]}
    modules = {"features": features, "model": make_model(n_classes=4, **options)}
    brain = make_brain(tmp_path, modules=modules, sample_rate=8000, clip_seconds=clip_seconds)
    brain.modules.double().train()
    lengths, texts = [8000, 3333, 5001, 2400], ["yes", "no", "up", "down"]
    generator = torch.Generator().manual_seed(1)
    waves = [0.1 * torch.randn(n, generator=generator, dtype=torch.float64) for n in lengths]
    batch = _batch_of(waves, texts)
    with torch.no_grad():  # running statistics other than 0 and 1
        brain.compute_forward(batch, Stage.TRAIN)
        brain.modules.eval()
        together, _ = brain.compute_forward(batch, Stage.TEST)
        alone = torch.cat(
            [
                brain.compute_forward(_batch_of([wave], [text]), Stage.TEST)[0]
                for wave, text in zip(waves, texts, strict=True)
            ]
        )
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9 * alone.abs().max().item())
    assert alone.std(0).min() > 0, "utterances that all give the same would show nothing"


def _batch_of(waves: list[Tensor], texts: list[str]) -> Batch:
    empty = [""] * len(waves)
    return Batch(
        ids=texts,
        waveforms=nn.utils.rnn.pad_sequence(waves, batch_first=True),
        lengths=torch.tensor([len(wave) for wave in waves]),
        texts=texts,
        speakers=empty,
        groups=empty,
        seconds=[1.0] * len(waves),
        paths=empty,
    )
