"""Manifests of WSJ0-2mix and WSJ0-3mix, from the layout itself, or from speech and the lists of mixtures.

The layout is `wav8k/min/{tr,cv,tt}/{mix,s1,s2}/*.wav` (wav16k, max; s3), perhaps below `2speakers/`.
"""

from collections.abc import Sequence
from pathlib import Path

from speechkit.data import build_mixtures, find_folder, find_layout, prepare_layout

EXPECTED = "the folder of WSJ0-2mix; for a folder of speech give lists_folder too"


def prepare(
    data_folder: str,
    manifest_folder: str,
    *,
    n_sources: int = 2,
    sample_rate: int = 8000,
    mode: str = "min",
    lists_folder: str | None = None,
    speech: Sequence[str] = (),
) -> None:
    """Write {tr,cv,tt}.jsonl with the mixtures, and singles.jsonl with single speakers for dynamic mixing.

    With `lists_folder` the data folder holds speech; the mixtures of the lists are made of it, once, in
    `<manifest_folder>/mixtures`. Speakers stand in the names of files; genders in SPEAKERS.TXT, spk2gender or
    spkrinfo.txt of the data folder, where there is one. `speech` are folders of single speakers, instead of
    the training mixtures' sources; who is held out is left out.
    """
    data = find_folder(data_folder, expected=EXPECTED)
    if lists_folder is not None:
        built = Path(manifest_folder) / "mixtures"
        keys = {"n_sources": n_sources, "sample_rate": sample_rate, "mode": mode}
        data = build_mixtures(data, lists_folder, built, **keys)
    layout = find_layout(data, sample_rate, mode, f"{n_sources}speakers")
    sources = [f"s{number + 1}" for number in range(n_sources)]
    prepare_layout(
        manifest_folder,
        {name: layout / name for name in ("tr", "cv", "tt")},
        sources=sources,
        n_speakers=n_sources,
        speech=speech,
        tables_from=[Path(data_folder).expanduser()],
    )
