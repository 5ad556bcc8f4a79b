"""Spectro-temporal filters from their four numbers (Riad et al., JASA 2021), as in `nnet.STRFConv2d`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechkit.errors import Place, UserError
from speechkit.report.formats import read_json

# C kernels, K taps in frequency, L taps in time
NUMBERS = ("direction", "modulation", "width_f", "width_t")
EPSILON = 1e-3


@dataclass(frozen=True)
class Moves:
    """How far each of C kernels is from its start.

    turned: degrees, of the direction; modulation, width_f, width_t: changes relative to the start;
    moved: root mean square of the four, a half turn counting as 1; correlation: of the kernels.
    """

    turned: np.ndarray
    modulation: np.ndarray
    width_f: np.ndarray
    width_t: np.ndarray
    moved: np.ndarray
    correlation: np.ndarray


def read_filters(path: str | Path) -> dict[str, Any]:
    """The checked content of `filters.json`."""
    content = read_json(path, "filters")
    for position, layer in enumerate(content["layers"]):
        n_numbers = {len(layer[when][name]) for when in ("start", "end") for name in NUMBERS}
        if len(n_numbers) > 1 or not all([*n_numbers, *layer["kernel_size"].values()]):
            expected = "as many of each number as there are kernels, and kernels of some size"
            raise UserError(
                f"{sorted(n_numbers)} numbers of kernels of {layer['kernel_size']}", expected=expected,
                place=Place(str(path), 1), key=f"layers[{position}]",
            )  # fmt: skip
    return content


def read_numbers(values: dict[str, Any]) -> np.ndarray:
    """(4, C) from a mapping of lists; null, which was no number, is NaN."""
    return np.array([values[name] for name in NUMBERS], dtype=float)


def spacing(n_taps: int) -> float:
    """Units of the formula from a tap to the next: 1 where the number of taps is even.

    >>> spacing(4), spacing(9)
    (1.0, 1.125)
    """
    return (2 * math.ceil(n_taps / 2) - 1) / (n_taps - 1) if n_taps > 1 else 1.0


def make_kernels(numbers: np.ndarray, kernel_size: tuple[int, int], carrier: str) -> np.ndarray:
    """(4, C) to kernels (C, R, K, L), R carriers: the cosine before the sine."""
    axes = [1 - math.ceil(size / 2) + spacing(size) * np.arange(size) for size in kernel_size]
    f, t = axes[0][:, None], axes[1]
    direction, modulation, width_f, width_t = numbers[:, :, None, None]
    envelope = np.exp(-0.5 * ((f / (width_f + EPSILON)) ** 2 + (t / (width_t + EPSILON)) ** 2))
    envelope /= 2 * math.pi * width_f * width_t
    phase = modulation * (t * np.cos(direction) + f * np.sin(direction))
    waves = {"cos": (np.cos,), "sin": (np.sin,), "both": (np.cos, np.sin)}[carrier]
    return np.stack([envelope * wave(phase) for wave in waves], 1)


def find_modulations(numbers: np.ndarray, kernel_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Temporal (C,) in cycles a frame and spectral (C,) in cycles a band, with their signs.

    Of one sign a wave falls in frequency as time goes on, of two signs it rises.
    """
    direction, modulation = numbers[0], numbers[1] / (2 * math.pi)
    temporal = modulation * np.cos(direction) * spacing(kernel_size[1])
    return temporal, modulation * np.sin(direction) * spacing(kernel_size[0])


def measure_moves(start: np.ndarray, end: np.ndarray, kernel_size: tuple[int, int], carrier: str) -> Moves:
    """How far kernels (4, C) went from `start` to `end`."""
    turned = (end[0] - start[0] + math.pi) % (2 * math.pi) - math.pi
    with np.errstate(all="ignore"):  # what is no number stays none
        relative = end[1:] / start[1:] - 1
        moved = np.sqrt(np.mean(np.square(np.vstack([turned[None] / math.pi, relative])), 0))
        first, last = (make_kernels(each, kernel_size, carrier) for each in (start, end))
        first, last = first.reshape(len(first), -1), last.reshape(len(last), -1)
        norms = np.sqrt((first**2).sum(1) * (last**2).sum(1))
        correlation = np.clip((first * last).sum(1) / norms, -1, 1)
    return Moves(np.degrees(turned), relative[0], relative[1], relative[2], moved, correlation)
