"""Manifests of WHAM! and WHAMR!: `wav8k/min/{tr,cv,tt}/{mix_both,s1,s2}/*.wav`, also wav16k and max.

WHAM! is WSJ0-2mix with noise, WHAMR! with reverberation too: its folders are mix_both_reverb, s1_anechoic,
s1_reverb and so on.
"""

from collections.abc import Sequence

from speechkit.data import find_folder, find_layout, prepare_layout

EXPECTED = "the folder of WHAM! or WHAMR!, with wav8k or wav16k in it"


def prepare(
    data_folder: str,
    manifest_folder: str,
    *,
    mixture: str = "mix_both",
    sources: Sequence[str] = ("s1", "s2"),
    sample_rate: int = 8000,
    mode: str = "min",
    speech: Sequence[str] = (),
) -> None:
    """Write {tr,cv,tt}.jsonl with the mixtures, and singles.jsonl with single speakers.

    `mixture` and `sources` name folders: what is heard and what is to be told apart. In WHAMR!, say,
    mix_both_reverb and [s1_anechoic, s2_anechoic]. Enhancement is one source: mix_single and [s1].
    Genders stand in spkrinfo.txt or spk2gender of the data folder, where there is one. `speech`: folders of
    single speakers instead of the training sources.
    """
    data = find_folder(data_folder, expected=EXPECTED)
    layout = find_layout(data, sample_rate, mode)
    folders = {name: layout / name for name in ("tr", "cv", "tt")}
    prepare_layout(
        manifest_folder, folders, mixture=mixture, sources=sources, speech=speech, tables_from=[data]
    )
