"""Small corpora for the tests of this room."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import Recording, SupervisionSegment
from lhotse.cut import Cut

from speechkit.data import write_cuts

RATE = 16000


MakeCut = Callable[..., Cut]


@pytest.fixture
def make_cut(tmp_path: Path) -> MakeCut:
    """Write audio (N,) or (N, channels) and give its cut: `make_cut("a", x, rate, text="yes")`."""

    def make(name: str, x: np.ndarray, rate: int = RATE, text: str = "word", subtype: str = "PCM_16") -> Cut:
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, x, rate, subtype=subtype)
        cut = Recording.from_file(path, recording_id=name).to_cut()
        cut.id = name
        cut.supervisions = [SupervisionSegment(name, name, 0, cut.duration, text=text, speaker=f"s-{name}")]
        return cut

    return make


@pytest.fixture
def corpus(tmp_path: Path, make_cut: MakeCut) -> Path:
    """A manifest of 23 clips of 0.3 to 1.4 s."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(round(0.3 * RATE), round(1.4 * RATE), size=23)
    cuts = [make_cut(f"clip{i:02d}", rng.uniform(-0.5, 0.5, n), text=f"w{i}") for i, n in enumerate(lengths)]
    write_cuts(cuts, tmp_path / "cuts.jsonl")
    return tmp_path / "cuts.jsonl"


@pytest.fixture
def noise(tmp_path: Path, make_cut: MakeCut) -> Path:
    """A manifest of two noises: one long, one shorter than any clip."""
    rng = np.random.default_rng(1)
    cuts = [
        make_cut("long", rng.uniform(-0.3, 0.3, 5 * RATE)),
        make_cut("short", rng.uniform(-0.3, 0.3, 2000)),
    ]
    write_cuts(cuts, tmp_path / "noise.jsonl")
    return tmp_path / "noise.jsonl"
