"""The lists of Speech Commands: which clips validate and which test."""

import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from speechkit.data.speech_commands import CORE_WORDS, MORE_WORDS, NEW_WORDS
from speechkit.errors import Place, UserError, suggest

SPEECH_COMMANDS_LISTS = {"valid": "validation_list.txt", "test": "testing_list.txt"}
VOCABULARY = frozenset((*CORE_WORDS, *MORE_WORDS, *NEW_WORDS))
LINE = "yes/0a7c2a8d_nohash_0.wav"
log = logging.getLogger(__name__)


def read_speech_commands_lists(
    data: Path, words: Collection[str], wanted: Collection[str], clips: Collection[str]
) -> dict[str, str]:
    """For each clip that the lists in `data` name, as `yes/0a7c2a8d_nohash_0`: `valid` or `test`.

    The lists may name .wav where the files are .flac. `words` have a folder; of the `wanted` ones a warning
    counts the listed clips that are not among `clips`.

    Raises:
        UserError: with file and line: one that names no clip, or a clip of the other list
    """
    place_of: dict[str, Place] = {}
    subset_of: dict[str, str] = {}
    for subset, name in SPEECH_COMMANDS_LISTS.items():
        absent = []
        for place, line in _lines(data / name):
            _check_line(line, place, words)
            cut_id = line.rsplit(".", 1)[0]
            if subset_of.setdefault(cut_id, subset) != subset:
                both = f"{cut_id} is in both lists, here and at {place_of[cut_id]}"
                raise UserError(both, expected="a clip in one list", place=place)
            place_of[cut_id] = place
            if line.split("/")[0] in wanted and cut_id not in clips:
                absent.append(cut_id)
        if absent:
            log.warning(
                "%s names %d clips that are not there, such as %s", data / name, len(absent), absent[0]
            )
    return subset_of


def _lines(path: Path) -> Iterator[tuple[Place, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}", expected=f"lines such as {LINE}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield Place(str(path), number), line.strip()


def _check_line(line: str, place: Place, words: Collection[str]) -> None:
    """A line that names no clip would leave the clip it means to training."""
    word = line.split("/")[0]
    if "\\" in line or "/" not in line:
        raise UserError(f"no clip: {line!r}", expected=f"lines such as {LINE}", place=place)
    if word not in words and word not in VOCABULARY:  # a folder of the data set may have been left out
        found = f"no folder {word!r} in {Path(place.file).parent}{suggest(word, words)}"
        raise UserError(found, do="mend or remove the line", place=place)
