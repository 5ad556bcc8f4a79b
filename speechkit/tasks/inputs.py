"""What tasks do with what comes in: a user's waveform, features, noise for a dry run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from speechkit.data import Batch
from speechkit.errors import UserError
from speechkit.ops.duration import fix_n_samples
from speechkit.ops.resample import resample

MADE = "write !new: and a class for this key (!name: only names it)"


def hear(waveform: Tensor | np.ndarray | Sequence[float], sample_rate: int, model_rate: int) -> Tensor:
    """A user's waveform as data would give it: (N,) float32 within [-1, 1] at the model's rate.

    waveform: (N,) within [-1, 1], or (C, N), of which the mean over channels is taken. What goes beyond is
        scaled down to its peak.
    sample_rate, model_rate: Hz.
    """
    wave = hear_as_loud(waveform, sample_rate, model_rate)
    return wave / wave.abs().max().clamp_min(1)


def hear_as_loud(
    waveform: Tensor | np.ndarray | Sequence[float], sample_rate: int, model_rate: int
) -> Tensor:
    """What `hear` gives, but at its own level, also where that is beyond [-1, 1]."""
    wave = _check_waveform(waveform)
    if not sample_rate > 0 or sample_rate != int(sample_rate):
        raise UserError(f"a sample rate of {sample_rate} Hz", expected="a whole number above 0")
    return resample(wave, int(sample_rate), model_rate)


def compute_features(
    modules: nn.ModuleDict, waveforms: Tensor, lengths: Tensor, n_samples: int | None = None
) -> tuple[Tensor, Tensor]:
    """Features and frame lengths of waveforms, brought to n_samples first where that is given."""
    if n_samples is not None:
        waveforms, lengths = fix_n_samples(waveforms, lengths, n_samples)
    # In full precision also within autocast: energies span more than bf16's 8 bits tell apart.
    with torch.autocast(waveforms.device.type, enabled=False):
        return modules["features"](waveforms, lengths)


@contextmanager
def blamed(key: str) -> Iterator[None]:
    """What cannot be called as this key's value must be is the YAML's mistake."""
    try:
        yield
    except UserError as error:
        error.key, error.do = key, error.do or MADE
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"{type(error).__name__}: {error}", do=MADE, key=key) from error


def noise_batch(sample_rate: int, texts: Sequence[str]) -> Batch:
    """Faint noise in the form of data, of 1 s, 0.7 s and so on, with these texts: for the dry run."""
    lengths = torch.tensor([int(sample_rate * 0.7**row) for row in range(len(texts))])
    waveforms = 0.01 * torch.randn(len(texts), int(lengths.max()))
    waveforms *= torch.arange(waveforms.shape[1]) < lengths[:, None]
    names = [f"fake-{row}" for row in range(len(texts))]
    return Batch(
        ids=names,
        waveforms=waveforms,
        lengths=lengths,
        texts=list(texts),
        speakers=names,
        groups=[""] * len(texts),
        seconds=[n / sample_rate for n in lengths.tolist()],
        paths=[""] * len(texts),
    )


def describe_utterance(batch: Batch, row: int) -> dict[str, Any]:
    """What a record of predictions says of an utterance itself."""
    return {
        "id": batch.ids[row],
        "speaker": batch.speakers[row] or None,
        "group": batch.groups[row] or None,
        "seconds": batch.seconds[row],
        "audio": batch.paths[row] or None,
        "reference": batch.texts[row],
    }


def _check_waveform(waveform: Tensor | np.ndarray | Sequence[float]) -> Tensor:
    wave = torch.as_tensor(waveform)
    if not wave.is_floating_point():
        raise UserError(
            f"a waveform of {wave.dtype}",
            expected="floats within [-1, 1]",
            do="divide 16-bit samples by 32768",
        )
    if wave.ndim == 2 and len(wave) > wave.shape[1] > 0:
        expected = "(channels, samples)"
        raise UserError(f"a waveform of shape {tuple(wave.shape)}", expected=expected, do="transpose it")
    wave = wave.float().mean(0) if wave.ndim == 2 and len(wave) else wave.float()
    if wave.ndim != 1 or not len(wave):
        raise UserError(f"a waveform of shape {tuple(wave.shape)}", expected="(N,) or (C, N) with N > 0")
    if not wave.isfinite().all():
        raise UserError("the waveform has values that are not finite")
    return wave
