"""Where recognised texts lie in time, from a model whose frames say so."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from speechkit.models import RecurrentDecoder, TransformerDecoder
from speechkit.tasks.alignments import END, align_clips
from speechkit.training import Stage

from .test_asr import LETTERS, RATE, Frames, Same, make_batch, make_brain, spell

SIZES = {"width": 8, "num_layers": 1, "n_heads": 2, "hidden_size": 8}


def levels_of(line: dict[str, Any]) -> np.ndarray:
    return np.array([[int(cell, 16) for cell in row] for row in line["rows"]])


def test_ctcs_lines_say_what_the_frames_say(tmp_path: Path) -> None:
    """A model that is certain of a path: its tokens are at their frames and nowhere else."""
    batch, layer = spell([1, 0, 2, 2, 3, 1])  # a - b b _ a
    modules = nn.ModuleDict({"features": Frames(), "encoder": Same(), "ctc": layer})
    clips = [("u", batch.waveforms[0].numpy(), RATE), ("empty", np.zeros(40, np.float32), RATE)]
    (line,) = align_clips(modules, LETTERS, clips, {"u": [1, 2, 3, 1], "empty": []})
    assert (line["id"], line["kind"], line["tokens"]) == ("u", "ctc", ["a", "b", " ", "a"])
    expected = np.zeros((4, 6))
    expected[[0, 1, 1, 2, 3], [0, 2, 3, 4, 5]] = 15
    np.testing.assert_array_equal(levels_of(line), expected)
    frame = 4 / RATE
    assert line["frame_seconds"] == frame
    assert line["spans"] == [[frame * a, frame * b] for a, b in ((0, 1), (2, 4), (4, 5), (5, 6))]


def test_decoders_have_lines_of_their_weights() -> None:
    """One more row, the end's; a text that CTC cannot place has these alone."""
    torch.default_generator.manual_seed(1)
    samples = torch.randn(36)
    frames, n_frames = samples.view(1, 9, 4), torch.tensor([9])
    for decoder in (
        TransformerDecoder(4, input_size=4, **SIZES),
        RecurrentDecoder(4, input_size=4, hidden_size=8),
    ):
        heads = {"ctc": nn.Linear(4, 4), "decoder": decoder}
        modules = nn.ModuleDict({"features": Frames(), "encoder": Same()} | heads).eval()
        for tokens, kinds in (([1, 2], ["ctc", "attention"]), ([1] * 9, ["attention"])):
            lines = align_clips(modules, LETTERS, [("u", samples.numpy(), RATE)], {"u": tokens})
            assert [line["kind"] for line in lines] == kinds
            line = lines[-1]
            assert line["tokens"] == [LETTERS.symbols[token - 1] for token in tokens] + [END]
            with torch.no_grad():
                weights = decoder.align(
                    torch.tensor([tokens]), torch.tensor([len(tokens)]), frames, n_frames
                )[0]
            expected = (15 * weights / weights.max()).round().numpy()
            np.testing.assert_array_equal(levels_of(line), expected)


def test_of_no_frames_and_of_nothing_heard_there_are_no_lines() -> None:
    modules = nn.ModuleDict({"features": Frames(), "encoder": Same(), "ctc": nn.Linear(4, 4)})
    assert align_clips(modules, LETTERS, [("u", np.zeros(3, np.float32), RATE)], {"u": [1]}) == []
    assert align_clips(modules, LETTERS, [], {"u": [1]}) == []


def test_records_of_a_test_have_times_of_their_words_and_others_not(tmp_path: Path) -> None:
    batch, layer = spell([1, 0, 2, 2, 3, 1], [2, 2], [])
    brain = make_brain(tmp_path, modules={"features": Frames(), "encoder": Same(), "ctc": layer})
    records = brain.compute_records(brain.compute_forward(batch, Stage.TEST), batch, Stage.TEST)
    frame = 4 / RATE
    told = [[word[:3] for word in record["words"]] for record in records]
    assert told == [[["ab", 0.0, 4 * frame], ["a", 5 * frame, 6 * frame]], [["b", 0.0, 2 * frame]], []]
    assert [record["tokens"] for record in records] == [[1, 2, 3, 1], [2], []]
    records = brain.compute_records(brain.compute_forward(batch, Stage.VALID), batch, Stage.VALID)
    assert not any({"words", "tokens"} & set(record) for record in records)
    decoder = TransformerDecoder(4, input_size=4, **SIZES)
    brain = make_brain(tmp_path, modules={"features": Frames(), "encoder": Same(), "decoder": decoder})
    batch = make_batch([40, 23], ["a", "b"])
    records = brain.compute_records(brain.compute_forward(batch, Stage.TEST), batch, Stage.TEST)
    assert not any("words" in record for record in records)
