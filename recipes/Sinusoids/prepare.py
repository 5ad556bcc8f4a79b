"""Manifests of mixtures of two sinusoids, as `speechkit synth sinusoids` writes them, with info.csv.

Examples are shared out to tr (70%), cv (10%) and tt (20%): the frequencies of the test are unseen.
"""

from dataclasses import replace
from pathlib import Path

from speechkit.data import Clip, MixtureFiles, find_folder, prepare_mixtures, read_table, split_clips
from speechkit.errors import UserError

TABLE = "info.csv"
SIGNALS = ("mixture", "source1", "source2")
EXPECTED = f"the folder of speechkit synth sinusoids, with {TABLE} in it"


def prepare(data_folder: str, manifest_folder: str, *, n_repeats: int = 1, data_seed: int = 0) -> None:
    """Write {tr,cv,tt}.jsonl with the mixtures and their sources, split by (data_seed, name).

    Each training example stands `n_repeats` times in its manifest: an epoch takes as many crops of it.
    """
    if n_repeats < 1:
        raise UserError(f"n_repeats: {n_repeats}", expected="1 or more", key="n_repeats")
    folder = find_folder(data_folder, TABLE, expected=EXPECTED)

    def make() -> dict[str, list[MixtureFiles]]:
        found = {}
        for place, row in read_table(folder / TABLE, SIGNALS):
            mixture, *sources = (folder / row[signal] for signal in SIGNALS)
            missing = [path for path in (mixture, *sources) if not path.is_file()]
            if missing:
                raise UserError(f"there is no file {missing[0]}", place=place)
            found[row["mixture"]] = MixtureFiles(Path(row["mixture"]).stem, mixture, tuple(sources))
        subsets = split_clips([Clip(files.mixture, name) for name, files in found.items()], seed=data_seed)
        train, valid, test = (
            [found[clip.id] for clip in subsets[name]] for name in ("train", "valid", "test")
        )
        repeated = [replace(each, id=f"{each.id}-{turn}") for turn in range(n_repeats) for each in train]
        return {"tr": repeated, "cv": valid, "tt": test}

    arguments = {"data_seed": data_seed, "n_repeats": n_repeats}
    prepare_mixtures(manifest_folder, make, inputs=[folder], arguments=arguments)
