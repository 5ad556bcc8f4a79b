"""A recogniser whose waveforms spell their frames: what it says of files, and when."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from speechkit.data import CharacterTokenizer
from speechkit.decoding import GreedySearch, Hypothesis
from speechkit.errors import UserError
from speechkit.models import TransformerDecoder
from speechkit.tasks import Recognizer, WindowPlan

from .test_asr import Frames, Same

RATE = 8  # Hz; a frame is 4 samples, half a second, and says the token whose sample is 1
LETTERS = CharacterTokenizer("ab ")
A, B, SPACE = 1, 2, 3


def make_model(search: GreedySearch | None = None) -> Recognizer:
    layer = nn.Linear(4, 4, bias=False)
    layer.weight.data = 50 * torch.eye(4)
    modules = nn.ModuleDict({"features": Frames(), "encoder": Same(), "ctc": layer})
    return Recognizer(modules, LETTERS, RATE, search)


def spell(*tokens: int) -> torch.Tensor:
    """The waveform that says these tokens, 0 for the blank, a frame each."""
    return nn.functional.one_hot(torch.tensor(tokens), 4).float().flatten()


def write(path: Path, wave: torch.Tensor) -> Path:
    soundfile.write(path, wave.numpy(), RATE, subtype="FLOAT")
    return path


def timed(words: Sequence[tuple]) -> list[tuple[str, float, float]]:
    return [(word, start, end) for word, start, end, _ in words]


def test_words_stand_where_they_are_said() -> None:
    """Of a batch of different lengths, one of which says nothing and one of which is no frame long."""
    waves = [spell(0, A, A, B, SPACE, 0, B), spell(0, 0), spell(B, SPACE), spell(A)[:3]]
    found = make_model().recognize(waves)
    assert [each.text for each in found] == ["ab b", "", "b ", ""]
    assert [timed(each.words or []) for each in found] == [
        [("ab", 0.5, 2.0), ("b", 3.0, 3.5)],
        [],
        [("b", 0.0, 0.5)],
        [],
    ]
    assert all(word.confidence == pytest.approx(1) for each in found for word in each.words or [])


def test_a_short_file_says_what_predict_says(tmp_path: Path) -> None:
    wave = spell(A, 0, A, SPACE, SPACE, B, SPACE)
    found = make_model().transcribe(write(tmp_path / "a.wav", wave))
    assert found.text == make_model().predict(wave, RATE).text == "aa b "
    assert (timed(found.words), found.seconds) == ([("aa", 0.0, 1.5), ("b", 2.5, 3.0)], 3.5)


@pytest.mark.parametrize(("seconds", "overlap"), [(10, 5), (10, 3), (7, 2.5), (30, 5), (200, 5)])
def test_windows_of_a_long_file_say_what_the_whole_says(
    seconds: float, overlap: float, tmp_path: Path
) -> None:
    random = np.random.default_rng(int(10 * overlap))
    tokens: list[int] = []
    for _ in range(50):
        for letter in random.integers(A, B + 1, random.integers(1, 3)):
            tokens += [letter, 0]
        tokens += [0] * int(random.integers(0, 3)) + [SPACE]
    wave = spell(*tokens)
    (whole,) = make_model().recognize([wave])
    assert whole.words is not None
    for batch_size in (1, 3):
        plan = WindowPlan(seconds, overlap)
        found = make_model().transcribe(write(tmp_path / "a.wav", wave), plan, batch_size)
        assert found.text.split() == whole.text.split()
        assert timed(found.words) == timed(whole.words)  # halves of seconds: no rounding


class Chatty(GreedySearch):
    """A search that finds more than CTC's frames can say."""

    def __call__(self, heard):
        return [[Hypothesis([A, SPACE, B] * 9, None, 0.0)] for _ in heard.lengths]


def test_a_text_that_ctc_cannot_place_is_shared_out(tmp_path: Path) -> None:
    found = make_model(Chatty()).transcribe(write(tmp_path / "a.wav", spell(A, B, A, B)))
    assert found.timing == "estimated"
    assert found.text == "a b" * 9
    assert found.words[0].start == 0
    assert found.words[-1].end == pytest.approx(2.0)


def test_a_model_without_ctc_tells_texts_of_windows(tmp_path: Path) -> None:
    decoder = TransformerDecoder(4, (None, None, 4), width=4, num_layers=1, n_heads=1, hidden_size=8)
    modules = nn.ModuleDict({"features": Frames(), "encoder": Same(), "decoder": decoder})
    model = Recognizer(modules, LETTERS, RATE, Chatty())
    wave = torch.rand(80, generator=torch.Generator().manual_seed(0))
    found = model.transcribe(write(tmp_path / "a.wav", wave))
    assert (found.text, found.timing) == (model.predict(wave, RATE).text, "estimated")
    longer = model.transcribe(write(tmp_path / "b.wav", wave.repeat(4)), WindowPlan(10, 0))
    assert longer.text.split() == found.text.split() * 4
    assert [word.start for word in longer.words[::10]] == [0, 10, 20, 30]
    with pytest.raises(UserError, match="at_pauses: windows that overlap, and a model without CTC"):
        model.plan_windows(at_pauses=False)
    model.utterance_seconds = 20.0
    assert model.plan_windows() == WindowPlan(20, 5, at_pauses=True)


def test_windows_follow_the_training_or_that_nothing_is_known_of_it_is_told(tmp_path: Path) -> None:
    words = write(tmp_path / "a.wav", spell(*[A, 0, SPACE, 0] * 20))  # 40 s
    model = make_model()
    with pytest.warns(UserWarning, match=r"30 s that share 5 s: .* not tell .* \(--window_seconds\)"):
        unknown = model.transcribe(words)
    assert unknown == model.transcribe(words, WindowPlan())
    model.utterance_seconds = 4.0
    told = "windows of 4 s that end in a pause of their last 2 s: 99 of 100 training utterances last at most"
    assert model.explain(model.plan_windows()) == f"{told} 4.0 s"
    with warnings.catch_warnings(action="error", category=UserWarning):
        assert model.transcribe(words) == model.transcribe(words, WindowPlan(4, 2, at_pauses=True)) != unknown
