"""Manifests of LibriSpeech, Mini LibriSpeech, or a corpus in their layout, read by Lhotse's recipe."""

from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from lhotse.recipes.librispeech import (
    LIBRISPEECH,
    MINI_LIBRISPEECH,
    download_librispeech,
    prepare_librispeech,
)

from speechkit.data import Clip, find_folder, prepare_once, run_download
from speechkit.errors import UserError, suggest

EXPECTED = "the folder LibriSpeech, with train-clean-100 and other subsets in it"
URLS = {part: f"https://www.openslr.org/resources/12/{part}.tar.gz" for part in LIBRISPEECH}
URLS |= {part: f"https://www.openslr.org/resources/31/{part}.tar.gz" for part in MINI_LIBRISPEECH}


def prepare(
    data_folder: str,
    manifest_folder: str,
    *,
    train_subsets: Sequence[str] = ("train-clean-100",),
    valid_subsets: Sequence[str] = ("dev-clean",),
    test_subsets: Sequence[str] = ("test-clean",),
    download: bool = False,
) -> None:
    """Write train.jsonl and valid.jsonl, each with all its subsets, and <subset>.jsonl for each test subset.

    `data_folder` is `LibriSpeech`, or the folder that holds it. `download` gets the subsets that are not
    there yet.
    """
    subsets = {"train": list(train_subsets), "valid": list(valid_subsets)}
    subsets |= {subset: [subset] for subset in test_subsets}
    wanted = sorted({part for parts in subsets.values() for part in parts})
    if download:
        download_parts(Path(data_folder), wanted)
    corpus = find_corpus(data_folder, wanted)

    def make() -> dict[str, list[Clip]]:
        clips = {part: read_part(corpus, part) for part in wanted}
        return {name: [clip for part in parts for clip in clips[part]] for name, parts in subsets.items()}

    prepare_once(manifest_folder, make, inputs=[corpus / part for part in wanted], arguments=subsets)


def find_corpus(data_folder: str, wanted: Sequence[str]) -> Path:
    """The folder with the subsets; one that is missing is named."""
    folder = Path(data_folder).expanduser()
    inside = folder / "LibriSpeech"
    corpus = find_folder(inside if inside.is_dir() else folder, expected=EXPECTED)
    there = sorted(path.name for path in corpus.iterdir() if path.is_dir())
    for part in wanted:
        if part not in there:
            raise UserError(
                f"{corpus} lacks {part}{suggest(part, there)}",
                expected=f"the subsets that the YAML names; there are {', '.join(there) or 'none'}",
                do="name others in train_subsets, valid_subsets and test_subsets, or give --download",
                key="data_folder",
            )
    return corpus


def read_part(corpus: Path, part: str) -> list[Clip]:
    """The utterances of a subset that have a transcript."""
    if not any((corpus / part).rglob("*.trans.txt")):
        raise UserError(f"{corpus / part} has no transcripts", expected="<speaker>-<chapter>.trans.txt files")
    with redirect_stderr(StringIO()):  # Lhotse's progress bars
        manifests = prepare_librispeech(corpus, dataset_parts=[part], num_jobs=4)[part]
    paths = {recording.id: Path(recording.sources[0].source) for recording in manifests["recordings"]}
    clips = [
        Clip(paths[each.recording_id], each.id, label=each.text, speaker=each.speaker, group=part)
        for each in manifests["supervisions"]
    ]
    return sorted(clips, key=lambda clip: clip.id)


def download_parts(folder: Path, wanted: Sequence[str]) -> None:
    """Those that are not there yet, into `folder/LibriSpeech`."""
    folder = folder.parent if folder.name == "LibriSpeech" else folder
    missing = [part for part in wanted if not (folder / "LibriSpeech" / part).is_dir()]
    unknown = [part for part in missing if part not in URLS]
    if unknown:
        found = f"no subset {unknown[0]} of LibriSpeech{suggest(unknown[0], URLS)}"
        raise UserError(found, expected=f"some of {', '.join(URLS)}")
    if missing:
        urls = [URLS[part] for part in missing]
        run_download(lambda: download_librispeech(folder, missing), "LibriSpeech", urls, folder)
