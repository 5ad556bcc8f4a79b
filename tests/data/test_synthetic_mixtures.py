"""Synthetic mixtures: of speech in the layout of WSJ0-2mix, and of sinusoids; the same bytes each time."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechkit.data import active_speech_level, read_cuts, synthesize_mixtures, synthesize_sinusoids
from speechkit.errors import UserError

from .test_prepare_digits_and_sounds import load_prepare

SMALL = {"seed": 2, "n_voices": 14, "n_mixtures": 5}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    pytest.importorskip("espeakng_loader", reason="speech synthesis needs the extra speechkit[synth]")
    return synthesize_mixtures(tmp_path_factory.mktemp("synth") / "2mix", **SMALL)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_mixtures_are_sums_of_different_voices_at_their_gains(corpus: Path) -> None:
    counts = {name: len(list((corpus / f"wav8k/min/{name}/mix").iterdir())) for name in ("tr", "cv", "tt")}
    assert counts == {"tr": 3, "cv": 1, "tt": 1}
    for path in corpus.glob("wav8k/min/*/mix/*.wav"):
        form = r"([0-9a-z]{3})[0-9a-z]{5}_(\d\.?\d*)_([0-9a-z]{3})[0-9a-z]{5}_-(\d\.?\d*)"
        match = re.fullmatch(form, path.stem)
        assert match, path
        assert match[1] != match[3]
        signals = [soundfile.read(path.parents[1] / name / path.name)[0] for name in ("mix", "s1", "s2")]
        assert np.abs(signals[0] - signals[1] - signals[2]).max() < 2 / 32768
        # The longer of the two was levelled before it was cut.
        levels = [active_speech_level(x, 8000) for x in signals[1:]]
        assert levels[0] - levels[1] == pytest.approx(float(match[2]) + float(match[4]), abs=3)


def test_no_voice_is_in_two_subsets_and_the_recipe_reads_it(
    project: Path, corpus: Path, tmp_path: Path
) -> None:
    load_prepare(project, "WSJ0-2Mix").prepare(str(corpus), str(tmp_path))
    heard = {
        name: {
            segment.speaker for cut in read_cuts(tmp_path / f"{name}.jsonl") for segment in cut.supervisions
        }
        for name in ("tr", "cv", "tt", "singles")
    }
    assert None not in set.union(*heard.values())
    assert heard["singles"] == heard["tr"]
    assert sum(len(heard[name]) for name in ("tr", "cv", "tt")) == len(
        heard["tr"] | heard["cv"] | heard["tt"]
    )
    cuts = [cut for name in ("tr", "cv", "tt") for cut in read_cuts(tmp_path / f"{name}.jsonl")]
    assert {segment.gender for cut in cuts for segment in cut.supervisions} >= {"M", "F"}


def test_the_same_bytes_each_time_and_after_a_stop(corpus: Path, tmp_path: Path) -> None:
    stopped = tmp_path / "again"
    shutil.copytree(corpus, stopped)
    settings = stopped / "synthesis.json"
    settings.write_text(settings.read_text().replace("true", "false"))
    for path in [*stopped.rglob("s2/*.wav")][:3]:
        path.unlink()
    for path in stopped.rglob("mix/*.wav"):
        path.write_bytes(b"half a file")
    synthesize_mixtures(stopped, **SMALL)
    assert contents(stopped) == contents(corpus)
    with pytest.raises(UserError, match="another seed"):
        synthesize_mixtures(stopped, **SMALL | {"seed": 3})


def test_corpora_that_cannot_be(tmp_path: Path) -> None:
    for keys, said in (
        ({"n_sources": 0}, "n_sources: 0; expected 1 to 5"),
        ({"n_mixtures": 2}, "n_mixtures: 2; expected 4 or more"),
        ({"n_voices": 14, "n_sources": 3}, "n_voices: 14; expected 21 or more"),
        ({"n_voices": 2}, "n_voices: 2"),
    ):
        with pytest.raises(UserError, match=said):
            synthesize_mixtures(tmp_path / "x", **keys)
    for keys in ({"n_examples": 0}, {"seconds": 0.0}, {"seconds": float("nan")}):
        with pytest.raises(UserError, match=next(iter(keys))):
            synthesize_sinusoids(tmp_path / "x", **keys)
    assert not (tmp_path / "x").exists()


def test_a_sinusoid_has_the_frequency_that_its_line_says(tmp_path: Path) -> None:
    folder = synthesize_sinusoids(tmp_path / "a", seed=1, n_examples=5, seconds=0.5)
    rows = list(csv.DictReader((folder / "info.csv").open()))
    assert len(rows) == 5
    assert len({row["frequency1"] for row in rows}) == 5
    for row in rows:
        mixture, *sources = (
            soundfile.read(folder / row[name])[0] for name in ("mixture", "source1", "source2")
        )
        assert np.abs(mixture - sum(sources)).max() < 2 / 32768
        for x, name, low, high in zip(sources, ("1", "2"), (100, 1500), (800, 3500), strict=True):
            frequency = float(row[f"frequency{name}"])
            assert low <= frequency <= high
            # x[n-1] + x[n+1] = 2 cos(w) x[n], for a sinusoid and for nothing else.
            cosine = x[1:-1] @ (x[:-2] + x[2:]) / (2 * x[1:-1] @ x[1:-1])
            assert np.arccos(cosine) * 8000 / 2 / np.pi == pytest.approx(frequency, abs=0.5)
    again = synthesize_sinusoids(tmp_path / "b", seed=1, n_examples=5, seconds=0.5)
    assert contents(again) == contents(folder)


def test_examples_are_shared_out(project: Path, tmp_path: Path) -> None:
    folder = synthesize_sinusoids(tmp_path / "data", n_examples=10, seconds=0.05)
    prepare = load_prepare(project, "Sinusoids").prepare
    prepare(str(folder), str(tmp_path / "out"), n_repeats=3)
    subsets = {name: list(read_cuts(tmp_path / f"out/{name}.jsonl")) for name in ("tr", "cv", "tt")}
    assert {name: len(cuts) for name, cuts in subsets.items()} == {"tr": 21, "cv": 1, "tt": 2}
    assert len({cut.id for cuts in subsets.values() for cut in cuts}) == 24
    assert len({cut.recording.sources[0].source for cuts in subsets.values() for cut in cuts}) == 10
    cut = subsets["tt"][0]
    assert np.array_equal(
        cut.load_source2()[0], soundfile.read(folder / "s2" / f"{cut.id}.wav", dtype="float32")[0]
    )
    assert not (tmp_path / "out" / "singles.jsonl").exists()
    (folder / "s1" / f"{cut.id}.wav").unlink()
    with pytest.raises(UserError, match=rf"info.csv:\d+:1: there is no file .*s1/{cut.id}.wav"):
        prepare(str(folder), str(tmp_path / "out"))
