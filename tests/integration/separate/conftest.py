"""Mixtures of two bands of noise that come and go, and a separator that learned them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import Recording, SupervisionSegment

from speechkit.data import write_cuts
from speechkit.tasks import Separation, main

HERE = Path(__file__).parent
RATE = 8000  # Hz


def make_bands(random: np.random.Generator, seconds: float) -> np.ndarray:
    """Noise below and above 1.5 kHz, (2, N), of a loudness that changes each quarter of a second."""
    n_samples = round(seconds * RATE)
    spectrum = np.fft.rfft(random.normal(0, 0.1, n_samples))
    is_low = np.fft.rfftfreq(n_samples, 1 / RATE) < 1500
    bands = np.stack([np.fft.irfft(spectrum * part, n_samples) for part in (is_low, ~is_low)])
    loudness = random.choice([0.0, 0.3, 1.0], (2, int(4 * seconds) + 1)).repeat(RATE // 4, 1)
    return bands * loudness[:, :n_samples]


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the trained run."""
    folder, random, cuts = tmp_path_factory.mktemp("bands"), np.random.default_rng(1), []
    for number in range(12):
        bands = make_bands(random, 1 + number / 20)
        signals = {
            f"{number:02}-mixture": bands.sum(0),
            f"{number:02}-1": bands[0],
            f"{number:02}-2": bands[1],
        }
        for name, samples in signals.items():
            soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="FLOAT")
        mixture, *sources = (Recording.from_file(folder / f"{name}.wav") for name in signals)
        cut = mixture.to_cut()
        cut.custom = {f"source{place}": source for place, source in enumerate(sources, start=1)}
        cut.supervisions = [
            SupervisionSegment(f"{cut.id}-{who}", mixture.id, 0, cut.duration, speaker=who)
            for who in ("low", "high")
        ]
        cuts.append(cut)
    write_cuts(cuts, folder / "bands.jsonl")
    folders = ["--output_folder", str(folder / "run"), "--manifest", str(folder / "bands.jsonl")]
    main(
        Separation,
        str(HERE / "train.py"),
        [str(HERE / "hparams" / "bands.yaml"), *folders, "--device", "cpu"],
    )
    return folder / "run"
