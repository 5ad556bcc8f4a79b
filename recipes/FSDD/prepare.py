"""Manifests of the Free Spoken Digit Dataset: recordings/<digit>_<speaker>_<take>.wav, or .flac.

The official split: takes 0 to 4 of every digit and speaker are the test. Of the others 5 to 9 validate.
"""

from speechkit.data import Clip, check_labels, find_audio, find_folder, match_names, prepare_once

NAME = r"(?P<digit>[0-9])_(?P<speaker>[a-z]+)_(?P<take>[0-9]+)"
EXPECTED = "the folder of FSDD, with recordings/<digit>_<speaker>_<take>.wav in it"


def prepare(data_folder: str, manifest_folder: str, *, labels: list[str]) -> None:
    """Write {train,valid,test}.jsonl with the clips of the digits in `labels`."""
    recordings = find_folder(data_folder, "recordings", expected=EXPECTED) / "recordings"

    def make() -> dict[str, list[Clip]]:
        subsets: dict[str, list[Clip]] = {"train": [], "valid": [], "test": []}
        found = list(match_names(find_audio(recordings), NAME))
        check_labels(labels, (name["digit"] for _, name in found), str(recordings))
        for path, name in found:
            if name["digit"] in labels:
                take = int(name["take"])
                subset = "test" if take < 5 else "valid" if take < 10 else "train"
                subsets[subset].append(Clip(path, path.stem, name["digit"], name["speaker"]))
        return subsets

    prepare_once(manifest_folder, make, inputs=[recordings], arguments={"labels": labels})
