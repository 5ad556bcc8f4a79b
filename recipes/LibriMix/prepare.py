"""Manifests of Libri2Mix and Libri3Mix: `wav8k/min/{train-100,dev,test}/{mix_clean,s1,s2}/*.wav`.

Also wav16k, max, train-360, Libri3Mix's s3, and the mixtures mix_both (with noise) and mix_single (one
speaker with noise). The layout may stand below `Libri2Mix/`; the tables of `metadata/` are not needed.
"""

from collections.abc import Sequence

from speechkit.data import find_folder, find_layout, prepare_layout

EXPECTED = "the folder of Libri2Mix or Libri3Mix, with wav8k or wav16k in it"


def prepare(
    data_folder: str,
    manifest_folder: str,
    *,
    n_sources: int = 2,
    mixture: str = "mix_clean",
    sources: Sequence[str] = (),
    train_subset: str = "train-100",
    sample_rate: int = 8000,
    mode: str = "min",
    speech: Sequence[str] = (),
) -> None:
    """Write {tr,cv,tt}.jsonl of `train_subset`, dev and test, and singles.jsonl of single speakers.

    `mixture` and `sources` name folders: what is heard and what is to be told apart (s1, s2, ... unless
    given). Enhancement is `n_sources` 1: mix_single and [s1]; of all speakers, mix_both and [mix_clean].
    Genders stand in LibriSpeech's SPEAKERS.TXT, where that is in the folder or in one beside it. `speech`:
    folders of single speakers instead of the training sources.
    """
    data = find_folder(data_folder, expected=EXPECTED)
    layout = find_layout(data, sample_rate, mode, f"Libri{max(2, n_sources)}Mix")
    prepare_layout(
        manifest_folder,
        {"tr": layout / train_subset, "cv": layout / "dev", "tt": layout / "test"},
        mixture=mixture,
        sources=sources or [f"s{number + 1}" for number in range(n_sources)],
        n_speakers=None,
        speech=speech,
        tables_from=[data, data.parent],
    )
