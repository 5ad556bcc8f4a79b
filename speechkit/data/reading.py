"""Audio of cuts, through soundfile: one channel, float32, with a reason where it cannot be had."""

import io
import math
import os
import re
import zlib
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soundfile
import torch
from lhotse import AudioSource, MonoCut, MultiCut, Recording
from lhotse.audio import AudioLoadingError, DurationMismatchError
from lhotse.augmentation import Resample as LhotseResample
from lhotse.cut import Cut, MixedCut
from lhotse.utils import fastcopy

from speechkit.ops.resample import resample

# What a file may fall short of its manifest, in seconds: formats with blocks of samples round.
TOLERANCE_SECONDS = 0.025
# How much earlier than asked MP3 is decoded: a frame needs at most 511 bytes before it, 0.5 s at 8 kbit/s.
MPEG_SECONDS = 1.0

# What a user should hear about once, by kind; whoever reads a batch puts a dictionary here.
notices: ContextVar[dict[str, str] | None] = ContextVar("notices", default=None)


class UnreadableAudio(Exception):
    """Audio that cannot be had.

    Its text says what is wrong, with the file; `reason` is one of a few words to count by: "unreadable",
    "empty", "too short" or "not finite".
    """

    def __init__(self, text: str, reason: str = "unreadable") -> None:
        super().__init__(text)
        self.reason = reason


def notice(kind: str, text: str) -> None:
    """Tell the reader of the running batch something that is worth saying once."""
    collected = notices.get()
    if collected is not None:
        collected.setdefault(kind, text)


@dataclass
class MonoSource(AudioSource):
    """Lhotse's audio source, read by soundfile into one channel: the mean of those asked for.

    `parts` are the sources as the manifest has them, each with the columns to take (None: all).
    """

    parts: list[tuple[AudioSource, list[int] | None]] = field(default_factory=list)
    sampling_rate: int = 0
    recording_seconds: float = 0.0

    def load_audio(
        self, offset: float = 0.0, duration: float | None = None, force_opus_sampling_rate: int | None = None
    ) -> np.ndarray:
        """Samples (1, N) in float32 at `sampling_rate`, from `offset` seconds on."""
        if duration is None:
            duration = self.recording_seconds - offset
        columns = [self._read(part, chosen, offset, duration) for part, chosen in self.parts]
        n_samples = min(len(column) for column in columns)
        x = np.concatenate([column[:n_samples] for column in columns], axis=1)
        return x.mean(axis=1, dtype=np.float32)[None]

    def _read(
        self, part: AudioSource, chosen: list[int] | None, offset: float, duration: float
    ) -> np.ndarray:
        name, file = open_source(part)
        try:
            with soundfile.SoundFile(file) as audio:
                rate, n_total = audio.samplerate, audio.frames
                start, n_wanted = round(offset * rate), round(duration * rate)
                x = read_samples(audio, min(start, n_total), n_wanted)
        except (soundfile.SoundFileError, OSError, RuntimeError) as error:
            raise UnreadableAudio(f"{name}: {_first_line(error)}") from error
        check_samples(x, n_wanted, rate, name, offset)
        if rate != self.sampling_rate:
            said = f"{name} is {rate} Hz where its manifest says {self.sampling_rate}: resampled"
            notice(f"manifest rate {rate} {self.sampling_rate}", said)
            x = resample(torch.from_numpy(x.T.copy()), rate, self.sampling_rate).numpy().T
        return _choose(x, part, chosen, name)


@dataclass
class TarAudio(AudioSource):
    """Audio within an archive: which bytes of it, and their CRC-32. Headers of the archive are not read."""

    begin: int = 0
    n_bytes: int = 0
    checksum: int = 0

    @classmethod
    def from_text(cls, tar: str, source: AudioSource) -> "TarAudio | None":
        """From a source whose text is `begin:bytes:checksum`; None if it is not."""
        found = re.fullmatch(r"(\d{1,15}):(\d{1,12}):([0-9a-f]{8})", str(source.source), re.ASCII)
        if found is None:
            return None
        begin, n_bytes, checksum = int(found[1]), int(found[2]), int(found[3], 16)
        return cls("shar", source.channels, tar, begin=begin, n_bytes=n_bytes, checksum=checksum)

    def read(self) -> bytes:
        """The bytes; an UnreadableAudio if they are not those that were written."""
        try:
            with open(self.source, "rb") as file:
                data = os.pread(file.fileno(), self.n_bytes, self.begin)
        except OSError as error:
            raise UnreadableAudio(f"{self.source}: {error.strerror}") from error
        if len(data) != self.n_bytes or zlib.crc32(data) != self.checksum:
            raise UnreadableAudio(f"{self.source}: damaged from byte {self.begin} on")
        return data


def read_samples(
    audio: soundfile.SoundFile, start: int, n_samples: int, dtype: str = "float32"
) -> np.ndarray:
    """Samples (N, channels) from number `start` on, at most `n_samples`: those that the whole file has there.

    A frame of MP3 may lie in part in frames before it, which a decoder that jumps does not know: up to a
    quarter of a second would be silent. soundfile jumps after each read, if only to where it is.
    """
    is_mpeg = audio.subtype.startswith("MPEG")
    early = min(start, round(MPEG_SECONDS * audio.samplerate)) if is_mpeg else 0
    if start - early != audio.tell():
        audio.seek(start - early)
    return audio.read(early + n_samples, dtype=dtype, always_2d=True)[early:]


def open_source(part: AudioSource) -> tuple[str, Any]:
    """A name to tell the user, and what soundfile opens; an UnreadableAudio if there is no such audio."""
    if isinstance(part, TarAudio):
        return str(part.source), io.BytesIO(part.read())
    if part.type == "file":
        if not os.path.isfile(part.source):
            raise UnreadableAudio(f"{part.source}: no such file")
        return str(part.source), part.source
    if part.type == "memory" and isinstance(part.source, bytes):
        return "audio in memory", io.BytesIO(part.source)
    raise UnreadableAudio(f"audio source of type {part.type} holds no audio")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def check_samples(x: np.ndarray, n_wanted: int, rate: int, name: str, offset: float) -> None:
    """Refuse samples (N, channels) that are fewer than wanted or not finite; tell of those beyond -1 to 1."""
    if not len(x):
        raise UnreadableAudio(f"{name}: no samples from {offset:.3f} s on", "empty")
    if len(x) < n_wanted - math.ceil(TOLERANCE_SECONDS * rate):
        found = f"{name}: {len(x) / rate:.3f} s from {offset:.3f} s on"
        raise UnreadableAudio(f"{found}, its manifest says {n_wanted / rate:.3f} s", "too short")
    # The sum of squares is finite only if every sample is, and takes one pass without a mask.
    if not np.isfinite(np.vdot(x, x)):
        raise UnreadableAudio(f"{name}: samples that are not finite", "not finite")
    if np.abs(x).max() > 1:
        notice("peak", f"{name} has samples beyond -1 to 1: such audio is scaled down to its peak")


def _choose(x: np.ndarray, part: AudioSource, chosen: list[int] | None, name: str) -> np.ndarray:
    if x.shape[1] != len(part.channels):
        chosen = None
    if chosen is not None and len(chosen) < x.shape[1]:
        return x[:, chosen]
    if x.shape[1] > 1:
        notice("channels", f"{name} has {x.shape[1]} channels: the mean of the channels is taken")
    return x


def map_recordings(cut: Cut, change: Callable[[Recording, list[int]], Recording]) -> Cut:
    """The cut, or every track of a mixed one, with its recording changed and read as one channel.

    `change` gets the recording and the channels that the cut takes.
    """
    if isinstance(cut, MixedCut):
        tracks = [fastcopy(track, cut=map_recordings(track.cut, change)) for track in cut.tracks]
        return fastcopy(cut, tracks=tracks)
    if isinstance(cut, MonoCut | MultiCut) and cut.recording is None:
        raise UnreadableAudio(f"cut {cut.id} has no recording")
    if isinstance(cut, MonoCut):
        return fastcopy(cut, recording=change(cut.recording, [cut.channel]), channel=0, features=None)
    if isinstance(cut, MultiCut):
        channels = cut.channel if isinstance(cut.channel, list) else [cut.channel]
        return MonoCut(
            id=cut.id,
            start=cut.start,
            duration=cut.duration,
            channel=0,
            supervisions=cut.supervisions,
            recording=change(cut.recording, channels),
            custom=cut.custom,
        )
    return cut


def read_by_soundfile(recording: Recording, channels: list[int]) -> Recording:
    """The recording, read by `MonoSource`."""
    parts: list[tuple[AudioSource, list[int] | None]] = []
    for source in recording.sources:
        columns = [source.channels.index(c) for c in channels if c in source.channels]
        if columns:
            parts.append((source, columns))
    source = MonoSource(
        type=recording.sources[0].type,
        channels=[0],
        source=recording.sources[0].source,
        parts=parts,
        sampling_rate=recording.sampling_rate,
        recording_seconds=_seconds_in_file(recording),
    )
    return fastcopy(recording, sources=[source], channel_ids=[0])


def _seconds_in_file(recording: Recording) -> float:
    """Length before the recording's own transforms (a change of speed or rate written in the manifest)."""
    seconds: float | None = recording.duration
    for transform in reversed(recording.transforms or []):
        _, seconds = transform.reverse_timestamps(0.0, seconds, recording.sampling_rate)
    return float(seconds if seconds is not None else recording.duration)


def open_cut(cut: Cut, sample_rate: int) -> Cut:
    """The cut as it is read here: by soundfile, one channel, at `sample_rate` Hz. Reads nothing yet."""
    cut = map_recordings(cut, read_by_soundfile)
    if cut.sampling_rate != sample_rate:
        notice(
            f"rate {cut.sampling_rate}",
            f"audio of {cut.sampling_rate} Hz is resampled to {sample_rate} Hz, the first is {cut.id}",
        )
        cut = map_recordings(cut.resample(sample_rate), _with_own_resampling)
    return cut


class _Resample(LhotseResample):
    """Lhotse would need a kernel of gigabytes for a rate such as 44,101 Hz."""

    def __call__(self, samples: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
        x = torch.from_numpy(samples)
        return resample(x, self.source_sampling_rate, self.target_sampling_rate).numpy()


def _with_own_resampling(recording: Recording, channels: list[int]) -> Recording:
    transforms = [
        _Resample(t.source_sampling_rate, t.target_sampling_rate) if type(t) is LhotseResample else t
        for t in recording.transforms or []
    ]
    return fastcopy(recording, transforms=transforms)


def load_waveform(cut: Cut) -> np.ndarray:
    """The samples (N,) of an opened cut in float32 within -1 to 1; scaled by the peak where it is above 1.

    Raises:
        UnreadableAudio: with the reason
    """
    x = load_samples(cut)
    peak = max(float(x.max()), -float(x.min()))
    return x / np.float32(peak) if peak > 1 else x


def load_samples(cut: Cut) -> np.ndarray:
    """The samples (N,) of an opened cut as they are, N above 0."""
    try:
        x = cut.load_audio()[0]
    except Exception as error:
        raise _reason(error) from error.__cause__
    if not len(x):
        raise UnreadableAudio("zero length", "empty")
    return x


def _reason(error: Exception) -> BaseException:
    """What is wrong with the audio, free of what Lhotse wraps around it on the way; else the error itself."""
    cause: BaseException | None = error
    found: BaseException = error
    while cause is not None:
        if isinstance(cause, UnreadableAudio):
            found = cause
        elif isinstance(cause, AudioLoadingError | DurationMismatchError):
            found = UnreadableAudio(_first_line(cause))
        cause = cause.__cause__ or cause.__context__
    return found
