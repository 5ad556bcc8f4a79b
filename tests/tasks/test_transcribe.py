"""Long files against recognisers whose words are known: none doubled, none lost, each at its time."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechkit.errors import UserError
from speechkit.ops.random import keyed_random
from speechkit.report import TimedWord
from speechkit.tasks.transcribe import Recognized, join_windows, transcribe_file
from speechkit.tasks.windows import WindowPlan, plan_windows, read_windows

RATE = 100  # Hz
JITTER = 0.05  # seconds that a word's times may differ by between windows


class KnownWords:
    """A recogniser that finds a waveform's place in the file by its first sample, and knows what is said.

    Words are heard where they are wholly within; of those cut off the rest is heard as another word, as
    the same or not at all. Times are off by up to `jitter`, other ones in each window.
    """

    def __init__(self, words: Sequence[TimedWord], jitter: float = JITTER) -> None:
        self.words, self.jitter, self.batches = words, jitter, []

    def __call__(self, waveforms: Sequence[Tensor]) -> list[Recognized]:
        self.batches.append([len(wave) for wave in waveforms])
        return [self.hear(round(float(wave[0]) * 2**20 - 1) / RATE, len(wave) / RATE) for wave in waveforms]

    def hear(self, start: float, seconds: float) -> Recognized:
        found = []
        for number, word in enumerate(self.words):
            random = keyed_random(start, number)
            begin, end = max(word.start, start), min(word.end, start + seconds)
            if end <= begin:
                continue
            is_whole = (begin, end) == (word.start, word.end)
            heard = word.word if is_whole else random.choice([word.word, f"{word.word}~", ""])
            off = random.uniform(-self.jitter, self.jitter)
            found += [TimedWord(heard, begin + off - start, end + off - start)] if heard else []
        return Recognized(" ".join(word.word for word in found), found)


def write_counted(path: Path, seconds: float) -> Path:
    """A file of which each sample tells its place."""
    soundfile.write(path, np.arange(1, round(seconds * RATE) + 1) / 2**20, RATE, subtype="FLOAT")
    return path


@st.composite
def speech(draw: st.DrawFn, longest: float) -> list[TimedWord]:
    """Words of few kinds, many twice in a row, no longer than `longest`, with pauses of 0.1 s and more."""
    words, at = [], draw(st.floats(0, 3))
    for _ in range(draw(st.integers(1, 40))):
        start = at + 0.1 + draw(st.sampled_from([0.0, 0.2, 2.5]))
        at = start + draw(st.floats(0.15, longest))
        words.append(TimedWord(draw(st.sampled_from(["no", "yes", "seven"])), start, at))
    return words


@settings(max_examples=60)
@given(st.data(), st.integers(200, 900), st.integers(60, 300))
def test_words_are_neither_doubled_nor_lost(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, n_window: int, n_overlap: int
) -> None:
    assume(2 * n_overlap <= n_window)
    words = data.draw(speech(longest=n_overlap / RATE - 2 * JITTER))
    seconds = words[-1].end + data.draw(st.floats(0.1, 3))
    file = write_counted(tmp_path_factory.mktemp("counted") / "a.wav", seconds)
    recognize = KnownWords(words)
    found = transcribe_file(file, recognize, RATE, WindowPlan(n_window / RATE, n_overlap / RATE), 3)
    assert found.text.split() == [word.word for word in found.words] == [word.word for word in words]
    assert found.seconds == pytest.approx(seconds, abs=0.01)
    for word, true in zip(found.words, words, strict=True):
        assert (word.start, word.end) == pytest.approx((true.start, true.end), abs=2 * JITTER + 0.02)
    for before, after in itertools.pairwise(found.words):
        assert before.end <= after.start < after.end


def test_a_short_file_is_heard_once_as_it_is(tmp_path: Path) -> None:
    heard: list[Tensor] = []

    def recognize(waveforms: Sequence[Tensor]) -> list[Recognized]:
        heard.extend(waveforms)
        return [Recognized(" two  words", [TimedWord("two", 0.1, 0.3), TimedWord("words", 0.5, 0.9)])]

    file = write_counted(tmp_path / "a.wav", 3)
    found = transcribe_file(file, recognize, RATE, WindowPlan(3, 1))
    assert (found.text, found.seconds, found.timing) == (" two  words", 3.0, "aligned")
    assert [wave.tolist() for wave in heard] == [soundfile.read(file, dtype="float32")[0].tolist()]


def test_windows_come_in_small_batches_and_cover_the_file(tmp_path: Path) -> None:
    recognize = KnownWords([])
    transcribe_file(write_counted(tmp_path / "a.wav", 10.5), recognize, RATE, WindowPlan(2, 0.5), 3)
    # Windows begin every 1.5 s, and the last one ends with the file: one more would hear nothing new.
    assert recognize.batches == [[200, 200, 200], [200, 200, 200], [150]]
    recognize = KnownWords([])
    transcribe_file(write_counted(tmp_path / "a.wav", 9.5), recognize, RATE, WindowPlan(2, 0.5))
    assert recognize.batches == [[200, 200, 200, 200], [200, 200]]


def words(*texts: str, start: float = 0.0, each: float = 0.4) -> list[TimedWord]:
    """Words one after another."""
    return [TimedWord(t, start + n * each, start + (n + 0.9) * each) for n, t in enumerate(texts)]


def joined(former: list[TimedWord], new: list[TimedWord], begin: float, end: float) -> str:
    join_windows(former, new, begin, end)
    return " ".join(word.word for word in former)


def test_where_windows_disagree_on_a_word_at_the_seam_one_of_both_stays() -> None:
    former = words("open", "the", "dore", "now")  # the middles: 0.18, 0.58, 0.98, 1.38
    new = words("the", "door", "now", "please", start=0.41)
    assert joined(former[:], new, 0.36, 1.7) == "open the dore now please"  # the seam at 1.03
    assert joined(former[:], new, 0.36, 1.56) == "open the door now please"
    # Just before the seam to the one, just behind it to the other: by each its own middle it would be lost.
    assert joined(former[:], words("the", "door", "now", start=0.36), 0.22, 1.72) == "open the dore now"


def test_windows_that_share_nothing_follow_one_another() -> None:
    assert joined(words("no"), words("no", "no", start=0.4), 0.4, 0.4) == "no no no"


def test_a_word_heard_by_one_window_only_counts_on_its_side_of_the_seam() -> None:
    former, new = words("a", "b", "c", "d"), words("b", "d", "e", start=0.4, each=0.8)
    assert joined(former[:], new, 0.3, 1.6) == "a b d e"  # "c" lies behind the seam, where `new` has nothing
    assert joined(former[:], new, 0.3, 2.5) == "a b c d e"


def test_without_times_windows_end_in_pauses(tmp_path: Path) -> None:
    """Bursts of noise with pauses between: no window cuts one in two, none is heard twice."""
    random = np.random.default_rng(0)
    x = np.where(np.arange(30 * RATE) % 130 < 90, random.normal(0, 0.2, 30 * RATE), 0).clip(-0.9, 0.9)
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    plan = WindowPlan(5, 2, at_pauses=True)
    windows = list(read_windows(tmp_path / "a.wav", RATE, plan))
    assert np.concatenate([window.waveform for window in windows]) == pytest.approx(x, abs=1e-6)
    for before, after in itertools.pairwise(windows):
        assert before.end == after.start
        assert 3 <= before.end - before.start <= 5
        assert 90 < before.end * RATE % 130 < 130

    found = transcribe_file(
        tmp_path / "a.wav", lambda waves: [Recognized("say aha", None) for _ in waves], RATE, plan
    )
    assert (found.timing, found.text) == ("estimated", " ".join(["say aha"] * len(windows)))
    for number, window in enumerate(windows):
        say, aha = found.words[2 * number : 2 * number + 2]
        middle = (window.start + window.end) / 2
        assert (say.start, say.end, aha.start, aha.end) == pytest.approx(
            (window.start, middle, middle, window.end)
        )


@pytest.mark.parametrize("overlap", [0.0, 0.1])
def test_without_room_for_a_pause_windows_are_full(overlap: float, tmp_path: Path) -> None:
    file = write_counted(tmp_path / "a.wav", 5.2)
    windows = list(read_windows(file, RATE, WindowPlan(2, overlap, at_pauses=True)))
    assert [(window.start, window.end) for window in windows] == [(0, 2), (2, 4), (4, 5.2)]


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_16"),
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
        ("b.ogg", "OPUS"),
        ("a.mp3", "MPEG_LAYER_III"),
    ],
)
def test_windows_of_any_format_are_parts_of_the_whole(name: str, subtype: str, tmp_path: Path) -> None:
    rate = 16000
    x = 0.3 * np.sin(np.arange(12 * rate)[:, None] * np.array([0.05, 0.11]))
    x[np.arange(len(x)) % rate < 0.4 * rate] = 0  # what is quiet leaves its bytes to what follows, in MP3
    soundfile.write(tmp_path / name, x, rate, subtype=subtype)
    whole = soundfile.read(tmp_path / name, dtype="float32")[0].mean(1)
    windows = list(read_windows(tmp_path / name, rate, WindowPlan(1.7, 0.25)))
    assert len(windows) == 9
    for window in windows:
        part = whole[round(window.start * rate) : round(window.end * rate)]
        np.testing.assert_allclose(window.waveform.numpy(), part, atol=1e-6)  # MP3 rounds


def test_another_rate_is_resampled_window_by_window(tmp_path: Path) -> None:
    times = np.arange(5 * 44100) / 44100
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * times), 44100, subtype="FLOAT")
    for window in read_windows(tmp_path / "a.wav", 8000, WindowPlan(2, 0.5)):
        at = window.start + np.arange(len(window.waveform)) / 8000
        true = 0.5 * np.sin(2 * np.pi * 440 * at)
        assert window.waveform.numpy()[40:-40] == pytest.approx(true[40:-40], abs=2e-3)


def test_what_cannot_be_heard_is_told(tmp_path: Path) -> None:
    x = np.full(500, 0.1)
    x[430] = np.inf
    soundfile.write(tmp_path / "late.wav", x, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "silent.wav", np.zeros(900), RATE)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "cut.flac", np.random.default_rng(0).normal(0, 0.1, 80000), 8000)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "cut.flac").read_bytes()[:-50000])
    (tmp_path / "text.flac").write_text("no audio")
    (tmp_path / "a.raw").write_bytes(b"1234")
    told = {
        "late.wav": "a sample at 4.300 s is not finite",
        "silent.wav": "every sample is 0",
        "empty.wav": "no samples",
        "cut.flac": "expected an audio file that is whole",
        "text.flac": "expected an audio file",
        "a.raw": "expected an audio file",
        "none.wav": "expected an audio file",
        "": "expected an audio file",
    }
    for name, what in told.items():
        with pytest.raises(UserError) as error:
            transcribe_file(tmp_path / name, KnownWords([]), RATE, WindowPlan(2, 0.5))
        assert what in str(error.value)
        assert str(error.value).count(str(tmp_path / name)) == 1


def test_silence_within_a_file_is_not_listened_to(tmp_path: Path) -> None:
    x = np.arange(1, 901) / 2**20
    x[190:600] = 0
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    recognize = KnownWords(words("yes", start=0.5) + words("no", start=7.0), jitter=0)
    assert transcribe_file(tmp_path / "a.wav", recognize, RATE, WindowPlan(2, 0)).text == "yes no"
    assert sum(map(len, recognize.batches)) == 3  # of five windows two are nothing but zeros


@pytest.mark.parametrize(("seconds", "overlap"), [(0.5, 0), (10, 5.1), (10, -1), (np.nan, 0), (10, np.nan)])
def test_windows_that_cannot_be(seconds: float, overlap: float, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="windows of"):
        transcribe_file(
            write_counted(tmp_path / "a.wav", 1), KnownWords([]), RATE, WindowPlan(seconds, overlap)
        )


@pytest.mark.parametrize(
    ("utterances", "plan"),
    [
        (None, WindowPlan(30, 5, False)),
        (0.0, WindowPlan(2, 1, True)),
        (1.04, WindowPlan(2, 1, True)),
        (6.42, WindowPlan(6.4, 3.2, True)),
        (14.9, WindowPlan(14.9, 5, True)),
        (15.0, WindowPlan(15, 5, False)),
        (29.04, WindowPlan(29, 5, False)),
        (1e4, WindowPlan(30, 5, False)),
    ],
)
def test_windows_are_as_long_as_what_was_learned(utterances: float | None, plan: WindowPlan) -> None:
    assert plan_windows(utterances) == plan
    plan.check()


def test_what_is_given_of_windows_is_kept() -> None:
    """And what is not follows it."""
    assert plan_windows(6.0, 20) == WindowPlan(20, 5, False)
    assert plan_windows(20.0, 6) == WindowPlan(6, 3, True)
    assert plan_windows(6.0, overlap_seconds=0.5) == WindowPlan(6, 0.5, True)
    assert plan_windows(6.0, at_pauses=False) == WindowPlan(6, 3, False)
    assert plan_windows(None, at_pauses=True) == WindowPlan(30, 5, True)
    assert plan_windows(6.0, 8, 1, False) == WindowPlan(8, 1, False)
