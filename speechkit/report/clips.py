"""The audio that a page plays: which clips, written small, embedded in the page."""

import base64
import hashlib
import io
import math
import wave
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import numpy as np

from speechkit.errors import UserError
from speechkit.report.formats import read_json, write_atomic, write_json
from speechkit.report.schemas import SCHEMA

INDEX = "clips/index.json"
_NAME_BYTES = 180  # of a file name; file systems end at 255, and a temporary name is longer


def choose_by_loss(records: Iterable[dict], n: int) -> list[dict]:
    """The n records with the largest loss, the worst first; equal ones by id; skipped ones never.

    >>> records = [{"id": i, "scores": {"loss": x}, "skipped": None} for i, x in [("a", 1.0), ("b", 3.0)]]
    >>> [record["id"] for record in choose_by_loss(records, 1)]
    ['b']
    """
    scored = [record for record in records if not record["skipped"] and "loss" in (record["scores"] or {})]
    return sorted(scored, key=lambda record: (-_loss(record), record["id"]))[:n]


def _loss(record: dict) -> float:
    loss = record["scores"]["loss"]
    return loss if loss is not None and math.isfinite(loss) else math.inf  # NaN: nothing is worse


def write_clip(path: str | Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write 16-bit WAV.

    Args:
        samples: (N,) int16, or floats within [-1, 1]; what lies outside is clipped.
        sample_rate: Hz.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise ValueError(f"samples of shape {samples.shape}; one channel (N,) is written")
    if samples.dtype != np.int16:
        scaled = np.rint(np.nan_to_num(samples.astype(np.float64)) * 32767)
        samples = np.clip(scaled, -32768, 32767).astype(np.int16)
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.astype("<i2").tobytes())
    write_atomic(path, content.getvalue())


def read_clip(path: str | Path) -> tuple[np.ndarray, int] | None:
    """Samples (N,) within [-1, 1] and the sample rate of what `write_clip` wrote; None of any other file."""
    try:
        with wave.open(str(path)) as file:
            form = file.getnchannels(), file.getsampwidth()
            content, sample_rate = file.readframes(file.getnframes()), file.getframerate()
    except (OSError, EOFError, wave.Error):
        return None
    if form != (1, 2) or sample_rate <= 0 or len(content) < 2:
        return None
    return np.frombuffer(content[: len(content) // 2 * 2], "<i2") / 32767, sample_rate


Clip = tuple[str, np.ndarray, int] | tuple[str, np.ndarray, int, str]  # id, samples, sample rate, part


def write_clips(run_folder: str | Path, subset: str, clips: Iterable[Clip]) -> None:
    """Write `clips/<subset>/` from (id, samples, sample rate) and enter them in `clips/index.json`.

    An utterance of several signals gives a clip for each, with a fourth item, which names it: "mixture",
    "estimate 1". The order given is kept in the index; entries of this subset that stood there before are
    replaced.
    """
    run_folder = Path(run_folder)
    entries = [entry for entry in read_index(run_folder) if entry["subset"] != subset]
    for clip_id, samples, sample_rate, *part in clips:
        path = f"clips/{file_name(subset)}/{file_name(clip_id)}"
        # Names of folders end otherwise than those of files: no id's folder is another id's file.
        path += f".parts/{file_name(part[0])}.wav" if part else ".wav"
        write_clip(run_folder / path, samples, sample_rate)
        seconds = round(len(samples) / sample_rate, 6)
        entry = {
            "subset": subset,
            "id": clip_id,
            "path": path,
            "sample_rate": sample_rate,
            "seconds": seconds,
        }
        entries.append(entry | ({"part": part[0]} if part else {}))
    write_json(run_folder / INDEX, {"schema": SCHEMA, "clips": entries}, "clips")


def read_index(run_folder: str | Path) -> list[dict]:
    """Entries of `clips/index.json`; none where there is no such file.

    Raises:
        UserError: an entry that points out of the run folder.
    """
    path = Path(run_folder) / INDEX
    if not path.exists():
        return []
    entries = read_json(path, "clips")["clips"]
    clips_folder = path.parent.resolve()
    for number, entry in enumerate(entries):
        if not (Path(run_folder) / entry["path"]).resolve().is_relative_to(clips_folder):
            raise UserError(
                f"{path} points to {entry['path']!r}",
                expected="a file within the run's clips folder",
                key=f"clips[{number}].path",
            )
    return entries


class AudioBudget:
    """How many bytes of audio a page may still take."""

    def __init__(self, n_bytes: int) -> None:
        self.n_left = n_bytes

    def embed(self, path: Path) -> str | None:
        """A WAV file as a data URI; None where there is no room for it, or it is gone or no WAV."""
        if not path.is_file() or 4 * path.stat().st_size / 3 + 100 > self.n_left:
            return None
        content = path.read_bytes()
        if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
            return None
        uri = "data:audio/wav;base64," + base64.b64encode(content).decode("ascii")
        self.n_left -= len(uri)
        return uri


def file_name(text: str) -> str:
    """An id as a file name: no separators, no leading dot, not too long; distinct for distinct ids.

    An empty id is %, and what is left out of a long one stands behind %-: signs that no encoded id has.
    """
    name = quote(text, safe=" ", errors="surrogatepass") or "%"
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > _NAME_BYTES:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        name = f"{name[: _NAME_BYTES - 18]}%-{digest}"
    return name
