"""Attention decoders and CTC together in the task, against the same computed by hand."""

from pathlib import Path

import pytest
import torch
from torch import nn

from speechkit.data import LexiconTokenizer, SentencePieceTokenizer
from speechkit.decoding import AttentionBeam, CTCBeam, CTCSearch, JointSearch
from speechkit.errors import UserError
from speechkit.losses import ctc_loss, seq2seq_loss
from speechkit.metrics import TextNormalizer
from speechkit.models import RecurrentDecoder, TransformerDecoder
from speechkit.report import read_json, write_records
from speechkit.tasks import Recognizer
from speechkit.tasks.targets import ready_tokenizer
from speechkit.training import Stage

from .test_asr import RATE, Frames, Kept, Same, make_batch, make_brain

SIZES = {"width": 8, "num_layers": 1, "n_heads": 2, "hidden_size": 8}


class Weighted(Same):
    """An encoder with a weight to train."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


def make_modules(*heads: str, n_tokens: int = 4) -> dict[str, nn.Module]:
    torch.default_generator.manual_seed(3)
    all_heads = {
        "ctc": nn.Linear(4, n_tokens),
        "decoder": TransformerDecoder(n_tokens, input_size=4, **SIZES),
    }
    return {"features": Frames(), "encoder": Same()} | {name: all_heads[name] for name in heads}


def test_the_joint_loss_is_its_parts_by_their_weights(tmp_path: Path) -> None:
    """Each utterance by itself; one that CTC cannot place has no loss."""
    batch = make_batch([40, 23, 12, 8], ["ab b", "aa", "", "aaaa"])
    brain = make_brain(
        tmp_path, modules=make_modules("ctc", "decoder"), ctc_weight={1: 0.4, 3: 0.1}, label_smoothing=0.2
    )
    brain.modules.eval()
    for epoch, weight in ((1, 0.4), (2, 0.4), (3, 0.1), (9, 0.1)):
        brain.progress.epoch = epoch
        for stage, smoothing in ((Stage.VALID, 0.0), (Stage.TRAIN, 0.2)):
            loss = brain.compute_objectives(brain.compute_forward(batch, stage), batch, stage)
            expected = 0.0
            for row in range(3):
                frames = batch.waveforms[row, : batch.lengths[row] // 4 * 4].view(1, -1, 4)
                n_frames = torch.tensor([frames.shape[1]])
                text = torch.tensor([brain.tokenizer.encode(batch.texts[row])], dtype=torch.int64)
                size = torch.tensor([text.shape[1]])
                by_ctc = ctc_loss(brain.modules["ctc"](frames).log_softmax(-1), n_frames, text, size)
                logits = brain.modules["decoder"](text, size, frames, n_frames)
                by_attention = seq2seq_loss(logits, text, size, smoothing)
                expected += float((1 - weight) * by_attention + weight * by_ctc)
            assert loss.count == 3
            assert loss.total.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("heads", [("decoder",), ("ctc", "decoder")], ids="+".join)
def test_records_of_attention_decoders_are_those_of_each_utterance_alone(
    heads: tuple[str, ...], tmp_path: Path
) -> None:
    """Also beside one of which no frame is left."""
    batch = make_batch([40, 3, 23, 12], ["ab b", "a", "aa", ""])
    search = JointSearch(AttentionBeam(beam_size=3), ctc_weight=0.3 if "ctc" in heads else 0.0)
    brain = make_brain(tmp_path, modules=make_modules(*heads), search=search, valid_search=search)
    brain.modules.double().eval()
    batch.waveforms = batch.waveforms.double()
    with torch.no_grad():
        together = brain.compute_records(brain.compute_forward(batch, Stage.TEST), batch, Stage.TEST)
        for row in range(4):
            alone = batch.without(dict.fromkeys({0, 1, 2, 3} - {row}))  # type: ignore[arg-type]
            (record,) = brain.compute_records(brain.compute_forward(alone, Stage.TEST), alone, Stage.TEST)
            for name, value in record.pop("scores").items():
                expected = together[row]["scores"][name]
                assert value == (expected if expected is None else pytest.approx(expected, rel=1e-9))
            assert record == {key: value for key, value in together[row].items() if key != "scores"}
    assert together[1]["hypothesis"] == ""
    assert together[1]["scores"]["loss"] is None
    assert any(record["hypothesis"] for record in together)
    figures = brain.summarize(together)
    assert ("ctc_loss" in figures) == ("attention_loss" in figures) == (len(heads) == 2)


def test_a_batch_without_frames_is_silence(tmp_path: Path) -> None:
    batch = make_batch([3, 2], ["a", ""])
    search = JointSearch(AttentionBeam(beam_size=3), ctc_weight=0.3)
    brain = make_brain(tmp_path, modules=make_modules("ctc", "decoder"), search=search)
    predictions = brain.compute_forward(batch, Stage.TEST)
    assert brain.compute_objectives(predictions, batch, Stage.TEST).count == 0
    assert [each["hypothesis"] for each in brain.compute_records(predictions, batch, Stage.TEST)] == ["", ""]


def test_the_tokenizer_learns_with_the_run_and_is_found_again(tmp_path: Path) -> None:
    tokenizer = SentencePieceTokenizer(7, byte_fallback=False)
    data = Kept(make_batch([40, 30, 20], ["ab b", "aa", "bab"]))
    data.texts = lambda: iter(["ab b", "aa", "bab"])  # type: ignore[attr-defined]
    search = JointSearch(AttentionBeam(beam_size=3))
    brain = make_brain(
        tmp_path, modules=make_modules("ctc", "decoder", n_tokens=7), tokenizer=tokenizer, search=search,
        train_data=data, valid_data=data,
    )  # fmt: skip
    assert ready_tokenizer(tokenizer).n_tokens == 7  # made-up words until then
    fake = brain.fake_batch()
    predictions = brain.compute_forward(fake, Stage.VALID)
    assert brain.compute_objectives(predictions, fake, Stage.VALID).count == 2
    assert len(brain.compute_records(predictions, fake, Stage.VALID)) == 2
    state = torch.get_rng_state()
    brain.prepare_run()
    assert torch.equal(torch.get_rng_state(), state)
    assert (tmp_path / "tokenizer.model").is_file()
    again = SentencePieceTokenizer(7, byte_fallback=False)
    other = make_brain(tmp_path, modules=make_modules("ctc", n_tokens=7), tokenizer=again)
    other.load_run(tmp_path)
    assert again.encode("ab bab") == tokenizer.encode("ab bab")
    record = brain.compute_records(
        brain.compute_forward(data.batches[0], Stage.TEST), data.batches[0], Stage.TEST
    )[0]
    model = Recognizer(brain.modules, tokenizer, RATE, search)
    assert model.predict(data.batches[0].waveforms[0], RATE).text == record["hypothesis"]


def test_a_test_tells_how_texts_were_found_and_scored(tmp_path: Path) -> None:
    batch = make_batch([40, 23], ["AB b!", "aa"])
    data = Kept(batch)
    normalizer = TextNormalizer(case="lower", punctuation="remove")
    brain = make_brain(
        tmp_path, modules=make_modules("ctc"), normalizer=normalizer, search=CTCSearch(CTCBeam(beam_size=5))
    )
    _, records = brain.evaluate(data)
    told = read_json(tmp_path / "decoding.json", "decoding")
    assert told["search"] == "CTC prefix beam search, 5 beams"
    assert told["normalization"] == normalizer.rule
    assert [said for _, said, _ in records[0]["alignment"] if said] == ["ab", "b"]
    assert records[0]["reference"] == "AB b!"


def test_phones_are_those_of_the_references_words(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("yes Y EH S\nno N OW\n")
    tokenizer = LexiconTokenizer(str(tmp_path / "words.txt"), n_tokens=6)
    brain = make_brain(
        tmp_path / "run", modules=make_modules("ctc", n_tokens=6), tokenizer=tokenizer, unit="phone"
    )
    brain.prepare_run()
    batch = make_batch([60, 50], ["yes no", "maybe"])
    first, second = brain.compute_records(brain.compute_forward(batch, Stage.TEST), batch, Stage.TEST)
    assert first["reference"] == "Y EH S N OW"
    assert first["counts"]["phones"] == 5
    assert second["skipped"] == "unknown symbol"


@pytest.mark.parametrize(
    ("heads", "changes", "told"),
    [
        ((), {"modules": {"features": Frames(), "encoder": Weighted()}}, "nothing that writes texts"),
        ((), {"modules": {"features": Frames(), "encoder": nn.Linear(4, 4)}}, "has no output_lengths"),
        (("ctc",), {"search": JointSearch(AttentionBeam())}, "JointSearch needs modules.decoder"),
        (("decoder",), {"search": JointSearch(AttentionBeam())}, "JointSearch needs modules.ctc"),
        (("decoder",), {"valid_search": CTCSearch(CTCBeam())}, "CTCSearch needs modules.ctc"),
        (("ctc", "decoder"), {"ctc_weight": 1.5}, "a number from 0 to 1"),
        (("ctc", "decoder"), {"ctc_weight": {2: 0.5}}, "the first 1"),
        (("ctc", "decoder"), {"label_smoothing": 1.0}, "below 1"),
        (("ctc",), {"search": CTCBeam()}, "search"),
        (("ctc", "decoder"), {"parallel": "shards"}, "shards with an attention decoder"),
    ],
)
def test_mistakes_are_told(heads: tuple[str, ...], changes: dict, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        make_brain(tmp_path, **{"modules": make_modules(*heads)} | changes)


def test_a_decoder_of_other_tokens_is_told(tmp_path: Path) -> None:
    modules = make_modules("ctc") | {"decoder": RecurrentDecoder(7, input_size=4, hidden_size=8)}
    brain = make_brain(tmp_path, modules=modules)
    with pytest.raises(UserError, match="the decoder gives 7 outputs; expected 4"):
        brain.compute_forward(make_batch([40, 23], ["ab", "a"]), Stage.VALID)


def test_a_search_takes_its_own_kind_of_beam() -> None:
    with pytest.raises(UserError, match="the beam is a CTCBeam; expected AttentionBeam"):
        JointSearch(CTCBeam())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="the beam is a AttentionBeam; expected CTCBeam"):
        CTCSearch(AttentionBeam())  # type: ignore[arg-type]


@pytest.mark.parametrize("stage", [Stage.TEST, Stage.VALID])
def test_a_record_of_the_test_lists_all_results(stage: Stage, tmp_path: Path) -> None:
    """And a loaded model gives the same; of the utterance without frames there is one."""
    batch = make_batch([40, 3, 23], ["ab b", "a", "aa"])
    search = CTCSearch(CTCBeam(beam_size=6, n_best=4))
    brain = make_brain(tmp_path, modules=make_modules("ctc"), search=search, valid_search=search)
    predictions = brain.compute_forward(batch, stage)
    records = brain.compute_records(predictions, batch, stage)
    if stage is Stage.VALID:
        assert not any("n_best" in record for record in records)
        return
    write_records(tmp_path / "test.jsonl", records, "asr")
    assert "n_best" not in records[1]
    log_probs = predictions.log_probs
    assert log_probs is not None
    model = Recognizer(brain.modules, brain.tokenizer, RATE, search)
    for row in (0, 2):
        n_frames = predictions.lengths[row : row + 1]
        (found,) = CTCBeam(beam_size=6, n_best=4)(log_probs[row : row + 1, : int(n_frames)], n_frames)
        expected = [(brain.tokenizer.decode(each.tokens), each.score) for each in found]
        listed = records[row]["n_best"]
        assert len(listed) == 4
        assert listed[0]["hypothesis"] == records[row]["hypothesis"]
        assert [each["hypothesis"] for each in listed] == [text for text, _ in expected]
        assert [each["score"] for each in listed] == pytest.approx([score for _, score in expected], rel=1e-5)
        said = model.predict_n_best(batch.waveforms[row, : batch.lengths[row]], RATE)
        assert [text for text, _ in said] == [text for text, _ in expected]
        assert [score for _, score in said] == pytest.approx([score for _, score in expected], rel=1e-5)
        assert model.predict(batch.waveforms[row, : batch.lengths[row]], RATE) == said[0]
