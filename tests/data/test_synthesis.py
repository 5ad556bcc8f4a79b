import sys

import numpy as np
import pytest

from speechkit.data.synthesis import ACCENTS, SAMPLE_RATE, VARIANTS, speak, voice_gender
from speechkit.errors import UserError


@pytest.fixture(autouse=True)
def _espeak():
    pytest.importorskip("espeakng_loader", reason="speech synthesis needs the extra speechkit[synth]")


def pitch_hz(x: np.ndarray) -> float:
    """By the autocorrelation of the whole: enough to tell high from low."""
    lags = np.fft.irfft(np.abs(np.fft.rfft(x, 2 * len(x))) ** 2)
    low, high = SAMPLE_RATE // 400, SAMPLE_RATE // 60
    return SAMPLE_RATE / (low + np.argmax(lags[low:high]))


def test_settings_do_what_they_say():
    slow, fast = (speak("right", words_per_minute=rate) for rate in (100, 250))
    assert len(slow) > 1.5 * len(fast)
    low, high = (speak("ah", "en-us+m3", pitch=pitch, pitch_range=0) for pitch in (10, 90))
    assert pitch_hz(high) > 1.3 * pitch_hz(low)
    assert slow.dtype == np.float32
    assert 0.1 < np.abs(slow).max() <= 1


def test_the_same_words_sound_the_same_whatever_was_said_before():
    voices = [f"{ACCENTS[i % len(ACCENTS)]}+{VARIANTS[5 * i]}" for i in range(12)]
    first = {voice: speak("seven", voice, seed=3) for voice in voices}
    for voice in reversed(voices):
        speak("something else", voices[0], pitch=80, words_per_minute=300, seed=9)
        np.testing.assert_array_equal(speak("seven", voice, seed=3), first[voice])


def test_every_voice_speaks_and_none_like_another():
    names = [f"en-us+{variant}" for variant in VARIANTS] + list(ACCENTS)
    spoken = {name: speak("right on, go up and down", name).tobytes() for name in names}
    assert len(set(spoken.values())) == len(spoken)
    assert min(map(len, spoken.values())) > 4 * 0.15 * SAMPLE_RATE


def test_genders_are_those_of_the_voices_files():
    known = {name: voice_gender(f"en-us+{name}") for name in ("f1", "Alicia", "m3", "zac", "martian")}
    assert known == {"f1": "F", "Alicia": "F", "m3": "M", "zac": None, "martian": None}
    assert voice_gender("en-us") is None


def test_an_unknown_voice_and_a_missing_library(monkeypatch):
    for name in ("martian", "en-us+martian", "en-gb+f3", "en-us+../!v/m3"):
        with pytest.raises(UserError, match=r"no voice .* in espeak-ng; expected accent"):
            speak("yes", name)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match=r"install speechkit\[synth\]"):
        speak("yes")
