"""Files of any length to a file for each source: heard and written window by window."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from speechkit.errors import UserError
from speechkit.ops.resample import resample_blocks
from speechkit.ops.stitching import cut_windows, join_windows
from speechkit.tasks.windows import WindowPlan, open_audio, read_mono

WINDOWS = WindowPlan(seconds=16.0, overlap_seconds=4.0)
SHORTEST_OVERLAP = 0.5  # seconds: with less nobody could tell which source goes on as which
# Windows begin at multiples of it: at 8 kHz of 1,280 samples, so of most strides that encoders have.
# A window that began within a stride would be cut into other frames than the whole.
STEP_SECONDS = 0.16
BLOCK = 2**18  # samples that are read at a time
WAV_BYTES = 2**32 - 2**16  # that a WAV file can hold; RF64 has the same form, and no such limit

Separate = Callable[[Tensor], Tensor]  # a waveform (N,) of any level to estimates (S, N) at its level


class SeparatedFile(NamedTuple):
    """What was written of a file: a path for each source; its rate in Hz, and how long it is."""

    paths: list[Path]
    sample_rate: int
    seconds: float


def plan_windows(seconds: float | None = None, overlap_seconds: float | None = None) -> WindowPlan:
    """Windows of 16 s that share 4 s, or half of what is shorter; what is given is kept.

    Raises UserError for windows by which no file can be separated.

    >>> plan_windows(5)
    WindowPlan(seconds=5, overlap_seconds=2.5, at_pauses=False)
    """
    seconds = WINDOWS.seconds if seconds is None else seconds
    if overlap_seconds is None:
        overlap_seconds = min(WINDOWS.overlap_seconds, seconds / 2)
    plan = WindowPlan(seconds, overlap_seconds)
    check_windows(plan)
    return plan


def check_windows(plan: WindowPlan) -> None:
    """Raise UserError for windows by which no file can be separated."""
    plan.check()
    if plan.at_pauses:
        raise UserError("windows that share nothing", expected="windows that overlap", key="at_pauses")
    if plan.overlap_seconds < SHORTEST_OVERLAP:
        found = f"windows that share {plan.overlap_seconds:g} s"
        expected = f"{SHORTEST_OVERLAP:g} s at least: by them sources are told apart"
        raise UserError(found, expected=expected, key="overlap_seconds")


def name_outputs(files: Sequence[str], folder: str | PathLike[str], n_sources: int) -> list[list[Path]]:
    """`folder/NAME_1.wav`, `NAME_2.wav` and so on for each file.

    Raises UserError where two results would have one path, or one that of a file that is to be separated.

    >>> [[str(path) for path in paths] for paths in name_outputs(["a/talk.flac"], "out", 2)]
    [['out/talk_1.wav', 'out/talk_2.wav']]
    """
    outputs = [
        [Path(folder) / f"{Path(file).stem}_{source}.wav" for source in range(1, n_sources + 1)]
        for file in files
    ]
    owners: dict[Path, str] = {}
    inputs = {Path(file).resolve() for file in files}
    for file, paths in zip(files, outputs, strict=True):
        for path in paths:
            if path in owners:
                found = f"{owners[path]} and {file} would both be written to {path}"
                raise UserError(found, do="separate one at a time")
            if path.resolve() in inputs:
                raise UserError(f"{path} would be written over", do="give another --out")
            owners[path] = file
    return outputs


def separate_file(
    path: str | PathLike[str],
    outputs: Sequence[Path],
    separate: Separate,
    model_rate: int,
    plan: WindowPlan = WINDOWS,
) -> SeparatedFile:
    """Write each source of an audio file to a file of its own, in memory that does not grow with its length.

    outputs: a path for each source; files that are there are replaced, by whole files only. Written is WAV
        of 32-bit floats, at the file's rate and as long as it is, whatever the rate of the model.
    separate: gives as many estimates as there are outputs. What is not longer than a window it gets whole.

    Raises UserError for a file that cannot be read to its end, or results that cannot be written; nothing is
    left behind then.
    """
    check_windows(plan)
    with open_audio(path) as file, _writing(outputs, file) as writers:
        rate, n_read = file.samplerate, _Count()
        blocks = resample_blocks(_read_blocks(file, n_read), rate, model_rate)
        n_written = 0
        for block in resample_blocks(separate_blocks(blocks, separate, model_rate, plan), model_rate, rate):
            # Resampling there and back rounds up to whole samples twice.
            n_kept = min(block.shape[1], n_read.samples - n_written)
            for writer, samples in zip(writers, block, strict=True):
                _write(writer, samples[:n_kept].numpy())
            n_written += n_kept
    return SeparatedFile(list(outputs), rate, n_written / rate)


def separate_blocks(
    blocks: Iterator[Tensor], separate: Separate, sample_rate: int, plan: WindowPlan
) -> Iterator[Tensor]:
    """Estimates in stretches (S, n) of a waveform that comes in blocks (n,), both at the model's rate."""
    n_step = max(1, round(STEP_SECONDS * sample_rate))
    n_window = round(plan.seconds * sample_rate)
    n_hop = round((plan.seconds - plan.overlap_seconds) * sample_rate)
    n_hop = max(n_step, n_hop // n_step * n_step)
    windows = cut_windows(blocks, n_window, n_hop, n_step)
    yield from join_windows(((at, separate(wave)) for at, wave in windows), (n_window - n_hop) // 2)


class _Count:
    samples = 0


def _read_blocks(file: soundfile.SoundFile, count: _Count) -> Iterator[Tensor]:
    while len(samples := read_mono(file, BLOCK, count.samples)):
        count.samples += len(samples)
        yield torch.from_numpy(samples)
    if not count.samples:
        raise UserError("no samples", expected="some audio")


@contextmanager
def _writing(outputs: Sequence[Path], source: soundfile.SoundFile) -> Iterator[list[soundfile.SoundFile]]:
    """Files beside the outputs, which take their places when all is written."""
    form = "RF64" if 4 * source.frames > WAV_BYTES else "WAV"
    asides: list[Path] = []
    try:
        with ExitStack() as stack:
            writers = []
            for output in outputs:
                output.parent.mkdir(parents=True, exist_ok=True)
                descriptor, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name[:40]}.")
                os.close(descriptor)
                asides.append(Path(name))
                writer = soundfile.SoundFile(name, "w", source.samplerate, 1, "FLOAT", format=form)
                writers.append(stack.enter_context(writer))
            yield writers
        for aside, output in zip(asides, outputs, strict=True):
            os.chmod(aside, 0o666 & ~_umask())  # mkstemp makes files that only their owner may read
            os.replace(aside, output)
    finally:
        for aside in asides:
            aside.unlink(missing_ok=True)


def _write(writer: soundfile.SoundFile, samples: np.ndarray) -> None:
    try:
        writer.write(samples)
    except (soundfile.SoundFileError, AssertionError) as error:  # which soundfile has for fewer than given
        found = f"its results cannot be written to {Path(writer.name).parent}"
        raise UserError(found, do="see whether there is room on the disk") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
