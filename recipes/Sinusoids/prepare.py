"""Manifests of mixtures of two sinusoids, as `speechkit synth sinusoids` writes them, with info.csv.

Examples are shared out to train (70%), valid and test (20%): the frequencies of the test are unseen.
"""

from pathlib import Path

from speechkit.data import Clip, MixtureFiles, find_folder, prepare_mixtures, read_table, split_clips
from speechkit.errors import UserError

TABLE = "info.csv"
SIGNALS = ("mixture", "source1", "source2")
EXPECTED = f"the folder of speechkit synth sinusoids, with {TABLE} in it"


def prepare(data_folder: str, manifest_folder: str, *, data_seed: int = 0) -> None:
    """Write {train,valid,test}.jsonl with the mixtures and their sources, split by (data_seed, name)."""
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
        return {name: [found[clip.id] for clip in clips] for name, clips in subsets.items()}

    prepare_mixtures(manifest_folder, make, inputs=[folder], arguments={"data_seed": data_seed})
