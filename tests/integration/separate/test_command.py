"""`speechkit separate` and `speechkit.load` with a run that was trained."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechkit import load
from speechkit.cli import main
from speechkit.metrics import score_separation
from speechkit.tasks import Separator

from .conftest import RATE, make_bands

pytestmark = pytest.mark.integration

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture) -> Typed:
    """Run `speechkit separate ...`: its code, what it printed and what it complained of."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["separate", *map(str, arguments)])
        told = capsys.readouterr()
        return int(end.value.code or 0), told.out, told.err

    return call


@pytest.fixture(scope="module")
def model(run: Path) -> Separator:
    return load(run)


def read(*paths: Path) -> np.ndarray:
    return np.stack([soundfile.read(path, dtype="float32")[0] for path in paths])


def snr(found: np.ndarray, true: np.ndarray) -> float:
    return 10 * np.log10(np.square(true).sum() / (np.square(found - true).sum() + 1e-12))


def test_estimates_have_the_figures_of_the_report(run: Path, model: Separator) -> None:
    """Whatever factors they get: SI-SNR knows none."""
    records = [json.loads(line) for line in (run / "predictions" / "test.jsonl").open()]
    assert len(records) == 12
    for record in records:
        mixture = run.parent / f"{record['id']}.wav"
        sources = read(*(Path(str(mixture).replace("mixture", source)) for source in "12"))
        estimates = model.separate(read(mixture)[0], RATE).numpy()
        scores = score_separation(estimates, sources, sources.sum(0), with_sdr=False)["scores"]
        assert scores["si_snr"] == pytest.approx(record["scores"]["si_snr"], abs=0.01)
        assert snr(estimates.sum(0), sources.sum(0)) > 5
    assert np.mean([record["scores"]["si_snri"] for record in records]) > 5


def test_files_are_separated_as_waveforms_are(
    run: Path, model: Separator, typed: Typed, tmp_path: Path
) -> None:
    """Ten seconds are less than a window."""
    bands = make_bands(np.random.default_rng(2), 10)
    soundfile.write(tmp_path / "a.wav", bands.sum(0), RATE, subtype="FLOAT")
    code, told, complaints = typed(run, tmp_path / "a.wav", "--out", tmp_path / "out")
    assert (code, complaints) == (0, "")
    assert told == "\t".join(str(tmp_path / name) for name in ("a.wav", "out/a_1.wav", "out/a_2.wav")) + "\n"
    whole = model.separate(read(tmp_path / "a.wav")[0], RATE).numpy()
    np.testing.assert_array_equal(read(tmp_path / "out/a_1.wav", tmp_path / "out/a_2.wav"), whole)


@pytest.mark.parametrize(
    "windows", [(), ("--window_seconds", 10), ("--window_seconds", 6, "--overlap_seconds", 2)]
)
def test_a_long_file_in_windows_is_as_the_whole(
    windows: tuple, run: Path, model: Separator, typed: Typed, tmp_path: Path
) -> None:
    """A minute, by a model with norms over all that it hears: in each window their statistics are others."""
    bands = make_bands(np.random.default_rng(3), 60)
    soundfile.write(tmp_path / "a.wav", bands.sum(0), RATE, subtype="FLOAT")
    assert typed(run, tmp_path / "a.wav", "--out", tmp_path, *windows)[0] == 0
    found = read(tmp_path / "a_1.wav", tmp_path / "a_2.wav")
    whole = model.separate(bands.sum(0), RATE).numpy()
    if snr(found, whole) < snr(found[::-1], whole):
        found = found[::-1]
    assert snr(found, whole) > 30
    of_windows, of_whole = (
        score_separation(each, bands, bands.sum(0), with_sdr=False)["scores"]["si_snr"]
        for each in (found, whole)
    )
    assert of_windows == pytest.approx(of_whole, abs=0.1)
