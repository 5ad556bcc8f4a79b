"""Manifests of LibriSpeech, Mini LibriSpeech, or a corpus in their layout."""

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from lhotse.recipes.librispeech import LIBRISPEECH, MINI_LIBRISPEECH, download_librispeech

from speechkit.data import Clip, find_folder, prepare_once, run_download
from speechkit.errors import UserError, suggest

EXPECTED = "the folder LibriSpeech, with train-clean-100 and other subsets in it"
URLS = {part: f"https://www.openslr.org/resources/12/{part}.tar.gz" for part in LIBRISPEECH}
URLS |= {part: f"https://www.openslr.org/resources/31/{part}.tar.gz" for part in MINI_LIBRISPEECH}
N_NAMED = 5  # utterances named in a message about many
log = logging.getLogger(__name__)


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
    """The utterances of a subset that have a transcript and a file; what lacks a file, or a text, is told.

    By a reader of our own: Lhotse's recipe ends at a line without text and at a file that is damaged.
    """
    files = sorted((corpus / part).rglob("*.trans.txt"))
    if not files:
        raise UserError(f"{corpus / part} has no transcripts", expected="<speaker>-<chapter>.trans.txt files")
    clips = [clip for file in files for clip in read_transcripts(file, part)]
    there = sorted((clip for clip in clips if clip.path.is_file()), key=lambda clip: clip.id)
    without_file = {clip.id for clip in clips} - {clip.id for clip in there}
    warn_about(without_file, f"utterances of {part} have a transcript but no file, and are left out")
    without_text = {clip.id for clip in there if not clip.label}
    warn_about(without_text, f"utterances of {part} have no text, and are taken for silence")
    return there


def read_transcripts(path: Path, part: str) -> Iterator[Clip]:
    """The lines of a `.trans.txt`: the name of an utterance, whose file lies beside, and its text."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}", do="get it anew, or mend it") from None
    for line in filter(None, map(str.strip, lines)):
        name, *text = line.split(maxsplit=1)
        speaker = name.split("-")[0]
        yield Clip(path.parent / f"{name}.flac", name, "".join(text), speaker=speaker, group=part)


def warn_about(ids: Collection[str], what: str) -> None:
    """How many utterances, and the first of them by name."""
    if ids:
        names = ", ".join(sorted(ids)[:N_NAMED]) + (", ..." if len(ids) > N_NAMED else "")
        log.warning("%d %s: %s", len(ids), what, names)


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
