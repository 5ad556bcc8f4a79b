"""Speech by espeak-ng through ctypes, without a network.

Needs the extra `synth`: espeak-ng is under the GPL, so never a core dependency.
"""

import _ctypes
import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from speechkit.errors import UserError

SAMPLE_RATE = 22050  # Hz, espeak-ng's own

ACCENTS: Sequence[str] = (
    "en", "en-029", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-gb-x-rp", "en-us", "en-us-nyc"
)  # fmt: skip

# espeak-ng's variants that speak as people do: no robots, croaks or whispers; nor two that
# sound the same, nor Reed and caleb, whose sound depends on what is in memory.
VARIANTS: Sequence[str] = (
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Henrique", "Hugo",
    "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Mr serious", "Nguyen", "RicishayMax",
    "RicishayMax2", "RicishayMax3", "Storm", "adam", "anika", "announcer", "antonio", "aunty", "belinda",
    "benjamin", "boris", "david", "ed", "edward", "edward2", "f1", "f2", "f3", "f4", "f5", "grandma",
    "grandpa", "gustave", "ian", "iven", "iven2", "iven3", "iven4", "john", "kaukovalta", "linda", "m1",
    "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max", "michel", "miguel", "mike2", "norbert",
    "pablo", "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby", "steph", "steph2", "steph3",
    "travis", "victor", "zac",
)  # fmt: skip

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS, _DONT_EXIT, _UTF8, _CHARACTERS = 2, 0x8000, 1, 1
_RATE, _PITCH, _PITCH_RANGE = 1, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


def speak(
    text: str,
    voice: str = "en-us",
    *,
    words_per_minute: int = 160,
    pitch: int = 50,
    pitch_range: int = 50,
    seed: int = 0,
) -> np.ndarray:
    """Say a text; the same arguments give the same samples.

    Args:
        text: what to say
        voice: an accent, or an accent and a variant such as "en-us+m3" (`ACCENTS`, `VARIANTS`)
        words_per_minute: 80 to 450
        pitch, pitch_range: 0 to 99, 50 is the voice's own
        seed: for the voices that draw noise

    Returns:
        (N,) float32 within -1 to 1, at `SAMPLE_RATE`

    Raises:
        UserError: espeakng-loader is not installed, or it has no such voice
    """
    path, data_folder = _espeak()
    # espeak-ng passes over a variant that it does not know.
    variant = voice.partition("+")[2]
    if variant and variant not in os.listdir(os.path.join(data_folder, "voices", "!v")):
        raise _no_voice(voice)
    heard: list[bytes] = []

    @_CALLBACK
    def receive(samples: int | None, n_samples: int, _events: int | None) -> int:
        if samples and n_samples > 0:
            heard.append(ctypes.string_at(samples, 2 * n_samples))
        return 0

    with _loaded(path) as library:
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data_folder.encode(), _DONT_EXIT)
        if rate != SAMPLE_RATE:
            raise RuntimeError(f"espeak-ng did not start: {rate}")
        library.espeak_SetSynthCallback(receive)
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise _no_voice(voice)
        for parameter, value in ((_RATE, words_per_minute), (_PITCH, pitch), (_PITCH_RANGE, pitch_range)):
            library.espeak_SetParameter(parameter, value, 0)
        library.espeak_ng_SetRandSeed(ctypes.c_long(seed % 2**31))
        data = text.encode() + b"\0"
        status = library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, _CHARACTERS, 0, _UTF8, None, None)
        library.espeak_Terminate()
    if status != 0:
        raise RuntimeError(f"espeak-ng could not say {text!r}: status {status}")
    return np.frombuffer(b"".join(heard), np.int16).astype(np.float32) / 32768


def voice_gender(voice: str) -> str | None:
    """M or F, as espeak-ng's file of the voice's variant says; None where it does not."""
    _, data_folder = _espeak()
    path = os.path.join(data_folder, "voices", "!v", voice.partition("+")[2])
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8", errors="replace") as file:
        words = [line.split() for line in file]
    genders = [line[1] for line in words if line[:1] == ["gender"] and len(line) > 1]
    return {"male": "M", "female": "F"}.get(genders[-1]) if genders else None


def _no_voice(voice: str) -> UserError:
    return UserError(f"no voice {voice!r} in espeak-ng", expected="accent+variant, such as 'en-us+m3'")


@contextmanager
def _loaded(path: str) -> Iterator[ctypes.CDLL]:
    # espeak-ng keeps the phase of its flutter and more from one utterance to the next, which nothing
    # resets but loading the library anew: 2 ms.
    library = ctypes.CDLL(path)
    try:
        yield library
    finally:
        _ctypes.dlclose(library._handle)


def _espeak() -> tuple[str, str]:
    """The library and the folder of its voices."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise UserError("speech synthesis needs espeak-ng", do="install speechkit[synth]") from error
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
