"""Synthetic speakers: who they are, and in which subset they are heard."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from speechkit.data.synthesis import ACCENTS, VARIANTS
from speechkit.errors import UserError
from speechkit.ops.random import keyed_random

SHARES = {"valid": 0.15, "test": 0.25}  # of the voices; the rest trains


@dataclass(frozen=True)
class Voice:
    """A speaker: how espeak-ng calls the voice, and what stays the same over its clips."""

    name: str
    speaker: str  # 8 hexadecimal digits, as in the data set
    subset: str
    pitch: int  # 0 to 99
    tilt: float  # of the microphone: y[n] = x[n] - tilt x[n-1]


def choose_voices(n_voices: int, seed: int) -> list[Voice]:
    """Voices of all three subsets, of timbres that none shares with another."""
    random = keyed_random(seed, "voices")
    variants = random.sample(VARIANTS, len(VARIANTS))
    counts = {subset: round(share * n_voices) for subset, share in SHARES.items()}
    counts["train"] = n_voices - sum(counts.values())
    n_valid, n_test = (round(share * len(variants)) for share in SHARES.values())
    timbres = {
        "valid": variants[:n_valid],
        "test": variants[n_valid : n_valid + n_test],
        "train": variants[n_valid + n_test :],
    }
    voices = []
    for subset in ("train", "valid", "test"):
        names = [f"{accent}+{variant}" for variant in timbres[subset] for accent in ACCENTS]
        if not 1 <= counts[subset] <= len(names):
            raise UserError(
                f"n_voices: {n_voices}", expected=f"4 to {len(ACCENTS) * len(VARIANTS) * 9 // 10}"
            )
        for name in random.sample(names, counts[subset]):
            speaker = blake2b(f"{seed} {name}".encode(), digest_size=4).hexdigest()
            voices.append(Voice(name, speaker, subset, random.randint(35, 65), random.uniform(-0.4, 0.4)))
    return voices


def cut_silent_ends(x: np.ndarray) -> np.ndarray:
    """Without what is 40 dB below the peak at the begin and the end: (N,) to (M,)."""
    loud = np.flatnonzero(np.abs(x) > 0.01 * np.abs(x).max())
    return x[loud[0] : loud[-1] + 1]
