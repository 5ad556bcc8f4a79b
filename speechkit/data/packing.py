"""One shard: the audio of cuts into a tar, as it was read, and the cuts with where it lies there.

What is read from a shard is, bit for bit, what is read from the files: samples of 8, 16 and 24 bits are
written as FLAC or WAV of as many bits, all others as WAV in float32.
"""

import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
import soundfile
from lhotse import AudioSource, MonoCut, MultiCut, Recording
from lhotse.cut import Cut
from lhotse.utils import fastcopy

from speechkit.data.indexing import describe
from speechkit.data.reading import UnreadableAudio, check_samples, open_source, read_samples
from speechkit.data.shards import Shard, cuts_file, tar_file
from speechkit.data.tables import Line, open_line
from speechkit.errors import UserError

Format = Literal["flac", "wav", "original"]
EXACT_IN_16_BITS = ("PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW")


class Packed(NamedTuple):
    """A shard that is written, and what its index needs to know."""

    shard: Shard
    durations: list[float]
    digest: str
    skipped: list[list[str]]  # id, reason, detail


class Audio(NamedTuple):
    """Samples (N, channels) of a cut, of the type that holds them exactly."""

    samples: np.ndarray
    sample_rate: int
    subtype: str
    channels: list[int]  # as the manifest calls them


def pack(folder: str | Path, number: int, lines: list[Line], audio_format: Format) -> Packed:
    """Write a shard, both files whole or not at all; audio that cannot be used is left out and named.

    Raises:
        UserError: a cut that shards cannot hold: a mixed one, one with transforms or further recordings
    """
    packed: list[Cut] = []
    skipped: list[list[str]] = []
    digest = hashlib.blake2b(digest_size=16)
    with whole(tar_file(folder, number)) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for line in lines:
            cut = open_line(line)
            _refuse_what_shards_lack(cut, line)
            try:
                data, suffix, channels = _encode(cut, audio_format)
            except UnreadableAudio as error:
                skipped.append([cut.id, error.reason, str(error)])
                continue
            packed.append(_add(tar, cut, data, suffix, channels))
            digest.update(describe(cut))
    text = "".join(json.dumps(cut.to_dict(), ensure_ascii=False) + "\n" for cut in packed)
    zipped = gzip.compress(text.encode(), mtime=0)
    with whole(cuts_file(folder, number)) as file:
        file.write(zipped)
    durations = [float(cut.duration) for cut in packed]
    n_bytes = tar_file(folder, number).stat().st_size
    shard = Shard(len(packed), float(sum(durations)), hashlib.sha256(zipped).hexdigest(), n_bytes)
    return Packed(shard, durations, digest.hexdigest(), skipped)


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to; it appears under its name, and is on the disk, when it is complete."""
    unfinished = path.with_name(f".unfinished.{path.name}")
    with open(unfinished, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def _refuse_what_shards_lack(cut: Cut, line: Line) -> None:
    found = ""
    if not isinstance(cut, MonoCut | MultiCut):
        found = f"is a {type(cut).__name__}"
    elif cut.recording is not None and not _only_louder(cut.recording):
        found = "has a recording with transforms"
    elif any(isinstance(value, Recording) for value in (cut.custom or {}).values()):
        found = "has further recordings among its custom fields"
    if found:
        do = "train from the manifest itself, or write another without these"
        raise UserError(
            f"cut {cut.id!r} {found}, which shards cannot hold",
            expected="cuts of plain recordings",
            do=do,
            place=line.place,
        )


def _only_louder(recording: Recording) -> bool:
    """Whether each sample of the audio stays where it is: a shard then holds it as it was, and the volume."""
    names = [
        each["name"] if isinstance(each, dict) else type(each).__name__ for each in recording.transforms or ()
    ]
    return set(names) <= {"Volume"}


def _add(tar: tarfile.TarFile, cut: Cut, data: bytes, suffix: str, channels: list[int]) -> Cut:
    """Put audio and its recording into a tar, as Lhotse does; returns the cut as it stands in the shard."""
    about = tarfile.TarInfo(f"{cut.id}.{suffix}")
    about.size = len(data)
    tar.addfile(about, io.BytesIO(data))
    # The data are padded to blocks of 512 bytes, and end where the archive does now.
    begin = tar.offset - (len(data) + 511) // 512 * 512
    recording = fastcopy(
        cut.recording,
        sources=[AudioSource("shar", channels, f"{begin}:{len(data)}:{zlib.crc32(data):08x}")],
        num_samples=round(cut.duration * cut.sampling_rate),
        duration=cut.duration,
        channel_ids=channels,
    )
    text = (json.dumps(recording.to_dict()) + "\n").encode()
    about = tarfile.TarInfo(f"{cut.id}.json")
    about.size = len(text)
    tar.addfile(about, io.BytesIO(text))
    return fastcopy(cut, start=0.0, recording=recording)


def _encode(cut: Cut, audio_format: Format) -> tuple[bytes, str, list[int]]:
    """Audio as it goes into a shard, the suffix of its name, and its channels."""
    if cut.duration == 0:
        raise UnreadableAudio("zero length in the manifest", "empty")
    if cut.recording is None:
        raise UnreadableAudio(f"cut {cut.id} has no recording")
    audio = _read(cut)
    if audio_format == "original" and _is_whole_file(cut):
        source = cut.recording.sources[0]
        return Path(source.source).read_bytes(), Path(source.source).suffix[1:] or "audio", source.channels
    suffix = "flac" if audio_format != "wav" and audio.subtype != "FLOAT" else "wav"
    out = io.BytesIO()
    try:
        soundfile.write(out, audio.samples, audio.sample_rate, subtype=audio.subtype, format=suffix.upper())
    except (soundfile.SoundFileError, ValueError) as error:
        do = "take --format wav"
        raise UserError(f"cut {cut.id} cannot be written as {suffix}: {error}", do=do) from error
    return out.getvalue(), suffix, audio.channels


def _is_whole_file(cut: Cut) -> bool:
    taken = cut.channel if isinstance(cut.channel, list) else [cut.channel]
    (source, *others) = cut.recording.sources
    covers = cut.start == 0 and abs(cut.duration - cut.recording.duration) * cut.sampling_rate < 0.5
    return not others and source.type == "file" and covers and taken == source.channels


def _read(cut: Cut) -> Audio:
    """The samples of a cut, unchanged, of the channels that it takes."""
    taken = cut.channel if isinstance(cut.channel, list) else [cut.channel]
    parts = [
        _read_source(source, taken, cut)
        for source in cut.recording.sources
        if any(channel in taken for channel in source.channels)
    ]
    if len({part.sample_rate for part in parts}) != 1:
        raise UnreadableAudio(f"cut {cut.id} has channels of several rates")
    n_samples = min(len(part.samples) for part in parts)
    # Of several files all become alike: as float32, which holds 16 and 24 bits.
    subtype = parts[0].subtype if len({part.subtype for part in parts}) == 1 else "FLOAT"
    samples = [_as_type(part.samples[:n_samples], subtype) for part in parts]
    channels = [channel for part in parts for channel in part.channels]
    if len(parts) > 1 and sum(part.samples.shape[1] for part in parts) != len(channels):
        raise UnreadableAudio(f"cut {cut.id} has other channels in its files than in its manifest")
    return Audio(np.concatenate(samples, axis=1), parts[0].sample_rate, subtype, channels)


def _as_type(samples: np.ndarray, subtype: str) -> np.ndarray:
    if subtype != "FLOAT" or samples.dtype == np.float32:
        return samples
    return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)


def _read_source(source: AudioSource, taken: list[int], cut: Cut) -> Audio:
    name, file = open_source(source)
    try:
        with soundfile.SoundFile(file) as audio:
            rate, subtype = audio.samplerate, audio.subtype
            kept = "PCM_16" if subtype in EXACT_IN_16_BITS else "PCM_24" if subtype == "PCM_24" else "FLOAT"
            dtype = {"PCM_16": "int16", "PCM_24": "int32", "FLOAT": "float32"}[kept]
            start = min(round(cut.start * rate), audio.frames)
            x = read_samples(audio, start, round(cut.duration * rate), dtype)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise UnreadableAudio(f"{name}: {error}") from error
    check_samples(_as_type(x, "FLOAT"), round(cut.duration * rate), rate, name, cut.start)
    if x.shape[1] == len(source.channels):
        columns = [index for index, channel in enumerate(source.channels) if channel in taken]
        return Audio(x[:, columns], rate, kept, [source.channels[index] for index in columns])
    # Other channels than the manifest says: what reads the shard takes the mean and says so, as for a file.
    return Audio(x, rate, kept, source.channels)
