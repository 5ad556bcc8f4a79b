"""Who speaks in a mixture, read from names of files; and what tables say of the speakers' genders."""

import re
from collections.abc import Iterable
from pathlib import Path

# The names of utterances that tell the speaker.
SPEAKER_FORMS = (
    re.compile(r"(?P<speaker>\d+)-\d+-\d+"),  # LibriSpeech: speaker-chapter-number
    re.compile(r"(?P<speaker>[0-9a-z]{3})[0-9a-z]{5}"),  # WSJ0: speaker (3), session, kind and number
)
# Of LibriSpeech, of Kaldi, of WSJ0.
GENDER_TABLES = ("SPEAKERS.TXT", "spk2gender", "spkrinfo.txt", "wsj0-train-spkrinfo.txt")
GAIN = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"


def split_mixture_name(name: str, n_speakers: int | None = None) -> list[str | None]:
    """The utterances of a mixture by its name, WSJ0-2mix's with gains or LibriMix's without; None: unknown.

    n_speakers: as many are expected; in LibriMix's names, which have no gains, as many as there are.

    >>> split_mixture_name("011a0101_1.6_01ta010b_-1.6", 2)
    ['011a0101', '01ta010b']
    >>> split_mixture_name("103-1240-0003_1235-135887-0017")
    ['103-1240-0003', '1235-135887-0017']
    >>> split_mixture_name("mixture7", 2)
    [None, None]
    """
    parts = name.split("_")
    if n_speakers is None:
        return list(parts)
    with_gains = re.fullmatch("_".join([rf"(.+?)_{GAIN}"] * n_speakers), name)
    if with_gains:
        return list(with_gains.groups())
    return list(parts) if len(parts) == n_speakers else [None] * n_speakers


def find_speaker(utterance: str | None) -> str | None:
    """The speaker of an utterance named as in LibriSpeech or WSJ0; None for other names.

    >>> find_speaker("831-130739-0000"), find_speaker("01ta010b"), find_speaker("theo")
    ('831', '01t', None)
    """
    matches = (form.fullmatch(utterance or "") for form in SPEAKER_FORMS)
    return next((match["speaker"] for match in matches if match), None)


def find_gender_tables(folders: Iterable[Path]) -> list[Path]:
    """The files about speakers in these folders and the folders right below them."""
    found = []
    for folder in folders:
        for name in GENDER_TABLES:
            found += sorted({*folder.glob(name), *folder.glob(f"*/{name}")})
    return list(dict.fromkeys(found))


def read_genders(tables: Iterable[Path]) -> dict[str, str]:
    """Each speaker's "M" or "F", from lines such as `19 | F | train-clean-100`, `0001 m` or `01T F`.

    WSJ0's tables name speakers in capitals, its files in small letters: both are known.
    """
    genders = {}
    for path in tables:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            match = re.match(r"\s*(\w+)\s*[\s|:]\s*([MF])\b", line, re.IGNORECASE)
            if match:
                genders[match[1]] = genders[match[1].lower()] = match[2].upper()
    return genders
