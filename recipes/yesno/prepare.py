"""Manifests of yesno: waves_yesno/<eight times 0 or 1>.wav, or .flac; 1 is YES and 0 is NO, one speaker."""

from speechkit.data import Clip, find_audio, find_folder, match_names, prepare_once, split_transcripts

EXPECTED = "the folder that holds waves_yesno/, with files such as 0_1_1_0_0_0_1_1.wav in it"
WORDS = {"0": "NO", "1": "YES"}


def prepare(data_folder: str, manifest_folder: str, *, data_seed: int = 0) -> None:
    """Write {train,valid,test}.jsonl. As in Kaldi's recipe the later half of the sorted names is the test."""
    waves = find_folder(data_folder, "waves_yesno", expected=EXPECTED) / "waves_yesno"

    def make() -> dict[str, list[Clip]]:
        found = [path for path, _ in match_names(find_audio(waves), r"(?P<bits>[01](_[01])*)")]
        clips = [
            Clip(path, path.stem, " ".join(WORDS[bit] for bit in path.stem.split("_"))) for path in found
        ]
        half = (len(clips) + 1) // 2
        return {**split_transcripts(clips[:half], {"valid": 0.2}, data_seed), "test": clips[half:]}

    prepare_once(manifest_folder, make, inputs=[waves], arguments={"data_seed": data_seed})
