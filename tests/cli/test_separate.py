"""`speechkit separate`, with a separator in place of a run's."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from speechkit import tasks
from speechkit.tasks import Separator

from .conftest import RATE, Typed


class Halves(nn.Module):
    """Two sources: a half and a quarter of what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Parameter(torch.tensor([[0.5], [0.25]]))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        return self.parts * waveforms[:, None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> str:
    model = Separator(nn.ModuleDict({"separator": Halves()}), RATE, 2)
    monkeypatch.setattr(tasks, "load", lambda run, recipe, device: model)
    return "RUN"


def test_each_file_gets_a_file_a_source(run: str, typed: Typed, tmp_path: Path) -> None:
    """Those that cannot be separated are told, the others are done."""
    x = np.random.default_rng(0).normal(0, 0.1, (2 * RATE, 2))
    soundfile.write(tmp_path / "talk.wav", x, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "high.flac", x, 2 * RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    (tmp_path / "broken.flac").write_bytes(b"fLaC but no more")
    names = ("empty.wav", "talk.wav", "broken.flac", "none.wav", "high.flac", "silent.wav")
    files = [tmp_path / name for name in names]
    out = tmp_path / "new" / "out"
    code, told, complaints = typed("separate", run, *files, "--out", out)
    assert code == 2
    done = [
        [str(tmp_path / name), *(str(out / f"{Path(name).stem}_{n}.wav") for n in (1, 2))]
        for name in ("talk.wav", "high.flac", "silent.wav")
    ]
    assert [line.split("\t") for line in told.splitlines()] == done
    assert len(list(out.iterdir())) == 6
    bad = [tmp_path / name for name in ("empty.wav", "broken.flac", "none.wav")]
    *lines, of_rate = complaints.splitlines()
    assert [str(path) in line for path, line in zip(bad, lines, strict=True)] == [True] * 3
    assert of_rate.startswith(f"{tmp_path / 'high.flac'}: its results hold nothing above {RATE // 2} Hz")
    found = sum(soundfile.read(path)[0] for path in done[0][1:])
    np.testing.assert_allclose(found, x.mean(1), atol=1e-6)
    assert soundfile.info(done[1][1]).samplerate == 2 * RATE
    code, _, complaints = typed("separate", run, tmp_path / "talk.wav", "--out", out, "--window_seconds", 1)
    assert (code, complaints) == (0, "")


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (("--out", "out", "--window_seconds", 0), "window_seconds: windows of 0.0 s"),
        (
            ("--out", "out", "--window_seconds", 10, "--overlap_seconds", 6),
            "overlap_seconds: windows of 10.0 s",
        ),
        (("--out", "out", "--search", "null"), "unknown argument '--search'"),
        (("b/talk.flac", "--out", "out"), "would both be written to out/talk_1.wav"),
        ((), "--out"),
    ],
)
def test_what_is_typed_wrong_is_told_before_anything_is_heard(
    more: tuple, what: str, run: str, typed: Typed
) -> None:
    code, told, complaints = typed("separate", run, "a/talk.wav", *more)
    assert (code, told) == (2, "")
    assert what in complaints


def test_a_run_of_another_task(typed: Typed, trained: Path, tmp_path: Path) -> None:
    code, told, complaints = typed("separate", trained / "run", trained / "valid0.wav", "--out", tmp_path)
    assert (code, told) == (2, "")
    assert "is a Classifier; expected a run of separation" in complaints
