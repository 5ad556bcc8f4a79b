"""Mixtures of two sinusoids, the smallest separation there is: where each of them is, is known."""

import csv
import os
from pathlib import Path

import numpy as np

from speechkit.data.mixture_lists import signal_names, write_mixture
from speechkit.data.synthetic_folder import is_finished, write_settings
from speechkit.errors import UserError
from speechkit.ops.random import keyed_random

BANDS_HZ = ((100.0, 800.0), (1500.0, 3500.0))  # of the first and the second sinusoid
AMPLITUDE = 0.45  # of each
SAMPLE_RATE = 8000  # Hz
INFO = "info.csv"


def synthesize_sinusoids(
    folder: str | os.PathLike[str], *, seed: int = 0, n_examples: int = 100, seconds: float = 2.0
) -> Path:
    """Write `{mix,s1,s2}/<number>.wav`, 8 kHz, 16 bits; the same arguments write the same bytes.

    s1 is a sinusoid of 100 to 800 Hz, s2 one of 1,500 to 3,500 Hz, both of the same amplitude, with phases
    drawn as evenly as the frequencies; mix is their sum. `info.csv` has a line for each: mixture, source1,
    source2 (paths below the folder), sample_rate, frequency1, frequency2 (Hz).

    Returns:
        `folder`

    Raises:
        UserError: the folder holds something else; no examples; of no length
    """
    folder = Path(folder)
    settings = {
        "schema": 1,
        "corpus": "sinusoids",
        "seed": seed,
        "n_examples": n_examples,
        "seconds": seconds,
    }
    if n_examples < 1:
        raise UserError(f"n_examples: {n_examples}", expected="1 or more")
    n_samples = round(seconds * SAMPLE_RATE) if np.isfinite(seconds) else 0
    if n_samples < 1:
        raise UserError(f"seconds: {seconds}", expected="more than 0")
    if is_finished(folder, settings):
        return folder
    write_settings(folder, settings | {"complete": False})
    with open(folder / INFO, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        signals = ["mixture", "source1", "source2"]
        table.writerow([*signals, "sample_rate", "frequency1", "frequency2"])
        for number in range(n_examples):
            name = f"{number:0{len(str(n_examples - 1))}d}"
            random = keyed_random(seed, "sinusoids", number)
            frequencies = [round(random.uniform(*band), 3) for band in BANDS_HZ]
            phases = [random.uniform(0, 2 * np.pi) for _ in BANDS_HZ]
            time = np.arange(n_samples) / SAMPLE_RATE
            angles = [2 * np.pi * f * time + p for f, p in zip(frequencies, phases, strict=True)]
            sources = AMPLITUDE * np.sin(angles)
            write_mixture(folder, name, sources.sum(0), sources, SAMPLE_RATE)
            paths = [f"{signal}/{name}.wav" for signal in signal_names(2)]
            table.writerow([*paths, SAMPLE_RATE, *frequencies])
    write_settings(folder, settings | {"complete": True})
    return folder
