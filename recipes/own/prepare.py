"""Manifests of one's own recordings, by a table of paths and texts."""

from speechkit.data import prepare_transcripts


def prepare(data_folder: str, manifest_folder: str, *, split_seed: int = 0) -> None:
    """Write {train,valid,test}.jsonl; `data_folder` is the table, as docs/own-data.md says."""
    prepare_transcripts(data_folder, manifest_folder, split_seed=split_seed)
