"""How well mixtures were separated: SI-SNR, SDR, and what they gain over the mixture."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from speechkit.errors import UserError

# S sources, N samples
Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]  # estimates, references (S, N) to (S,)
LARGEST_DB = 100.0  # ratios lie within; a perfect estimate would have an infinite one
SILENT_SHARE = 1e-20  # of a signal's energy: less than that beside its mean is silence


def si_snr(estimates: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Scale-invariant signal-to-noise ratios in dB, (S,), of signals (S, N) less their means, in float64.

    Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, equation 5. Within 100 dB. A silent
    reference has none: NaN. A silent estimate of one that is not has -100, as has an estimate with a value
    that is not finite.

    >>> s, n = np.array([[1.0, -1, 1, -1]]), np.array([[1.0, 1, -1, -1]])
    >>> si_snr(s + 0.1 * n, 5 * s).round(6).tolist()
    [20.0]
    """
    x, y = (_centre(signals) for signals in _checked(estimates, references))
    products, of_x, of_y = (np.einsum("sn,sn->s", *pair) for pair in ((x, y), (x, x), (y, y)))
    return _decibels(products, of_x, of_y)


def sdr(estimates: np.ndarray, references: np.ndarray, filter_length: int = 512) -> np.ndarray:
    """Signal-to-distortion ratios in dB, (S,), of signals (S, N): BSS-eval's, by torchmetrics in float64.

    The signal is what a filter of `filter_length` taps can make of the reference (Vincent, Gribonval and
    Fevotte, "Performance measurement in blind audio source separation", 2006); means stay. Bounds and silence
    are as of `si_snr`.

    >>> noise = np.random.default_rng(0).normal(size=(1, 2000))
    >>> round(sdr(np.roll(noise, 3, 1) + 0.1, noise).item()) > 10  # a delay is no distortion
    True
    """
    # Of fewer samples than taps torchmetrics would take correlations that wrap around.
    padding = (0, 0), (0, max(0, filter_length - np.shape(references)[-1]))
    x, y = (np.pad(signals, padding) for signals in _checked(estimates, references))
    loudest_x, loudest_y = (np.abs(signals).max(1, initial=0) for signals in (x, y))
    found = np.where(loudest_y > 0, -LARGEST_DB, np.nan)
    heard = (loudest_x > 0) & (loudest_y > 0)
    if heard.any():
        import torch
        from torchmetrics.functional.audio import signal_distortion_ratio

        estimate = torch.from_numpy(x[heard] / loudest_x[heard, None])
        reference = torch.from_numpy(y[heard] / loudest_y[heard, None])
        # One by one: of several systems of 512 equations torch 2.11's solver, on two threads or more, makes
        # an error of its library.
        pairs = zip(estimate, reference, strict=True)
        ratios = [signal_distortion_ratio(*pair, filter_length=filter_length).item() for pair in pairs]
        # By rounding a perfect estimate has none: its noise is a little less than nothing.
        found[heard] = np.nan_to_num(ratios, nan=LARGEST_DB).clip(-LARGEST_DB, LARGEST_DB)
    return found


def score_separation(
    estimates: np.ndarray,
    references: np.ndarray,
    mixture: np.ndarray,
    more: Mapping[str, Measure] | None = None,
    with_sdr: bool = True,
) -> dict[str, Any]:
    """What a record holds of a mixture: figures in dB in the order of sources that has the best SI-SNR.

    estimates, references: (S, N), from one source on. mixture: (N,), of which improvements are counted.
    more: other measures, such as `{"stoi": partial(stoi, sample_rate=8000)}`.
    with_sdr: which takes most of the time.

    Returns `{"scores": {"si_snr", "si_snri", "sdr", "sdri", "input_si_snr", ...}, "sources": [...]}`: means
    over the sources, and for each reference the index of its `estimate` and its own figures. None is what is
    not defined: all of a silent reference, and what is gained where the mixture is the reference already.

    >>> sources = np.random.default_rng(0).normal(size=(2, 2000))
    >>> found = score_separation(sources[::-1] + 0.1 * sources, sources, sources.sum(0))
    >>> [source["estimate"] for source in found["sources"]], round(found["scores"]["si_snri"])
    ([1, 0], 20)
    """
    x, y = _checked(estimates, references)
    mixtures = np.broadcast_to(_checked(np.asarray(mixture)[None], y[:1])[0], y.shape)
    ratios = _si_snr_of_pairs(np.concatenate([x, mixtures[:1]]), y)
    order = _best_order(ratios[:-1])
    x = x[order]
    outputs, inputs = {"si_snr": ratios[order, np.arange(len(y))]}, {"si_snr": ratios[-1]}
    if with_sdr:
        outputs["sdr"], inputs["sdr"] = sdr(x, y), sdr(mixtures, y)
    figures: dict[str, np.ndarray] = {}
    for name, output in outputs.items():
        inputs[name] = np.where(inputs[name] < LARGEST_DB, inputs[name], np.nan)
        figures |= {name: output, f"{name}i": output - inputs[name]}
    figures |= {name: measure(x, y) for name, measure in (more or {}).items()}
    scores = {name: _mean(values) for name, values in figures.items()}
    sources = [
        {"estimate": int(order[k]), **{name: _number(values[k]) for name, values in figures.items()}}
        for k in range(len(y))
    ]
    return {"scores": scores | {"input_si_snr": _mean(inputs["si_snr"])}, "sources": sources}


def _checked(estimates: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64; silent where a value is not finite."""
    if np.ndim(estimates) != 2 or np.shape(estimates) != np.shape(references):
        found = f"signals of shape {np.shape(estimates)}, references of {np.shape(references)}"
        raise UserError(found, expected="(sources, samples) of both, and a mixture of as many samples")
    x, y = (np.asarray(signals, dtype=np.float64) for signals in (estimates, references))
    return _without_nonfinite(x), _without_nonfinite(y)


def _without_nonfinite(signals: np.ndarray) -> np.ndarray:
    finite = np.isfinite(signals).all(1)
    return signals if finite.all() else np.where(finite[:, None], signals, 0)


def _centre(signals: np.ndarray) -> np.ndarray:
    """Less their means; zero where next to nothing is left."""
    centred = signals - signals.mean(1, keepdims=True) if signals.size else signals
    energies = np.einsum("sn,sn->s", centred, centred), np.einsum("sn,sn->s", signals, signals)
    return np.where((energies[0] > SILENT_SHARE * energies[1])[:, None], centred, 0)


def _si_snr_of_pairs(estimates: np.ndarray, references: np.ndarray) -> np.ndarray:
    """(E, N), (S, N) to (E, S)."""
    x, y = _centre(estimates), _centre(references)
    of_x, of_y = (np.einsum("sn,sn->s", signals, signals) for signals in (x, y))
    return _decibels(x @ y.T, of_x[:, None], of_y[None])


def _decibels(products: np.ndarray, of_x: np.ndarray, of_y: np.ndarray) -> np.ndarray:
    """SI-SNR of inner products of estimates with references, and of each with itself."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(of_x > 0, products / np.sqrt(of_x) / np.sqrt(of_y), 0) ** 2
        ratios = 10 * np.log10(share / np.maximum(1 - share, 0))
    return np.where(of_y > 0, np.clip(ratios, -LARGEST_DB, LARGEST_DB), np.nan)


def _best_order(ratios: np.ndarray) -> np.ndarray:
    """The estimate for each reference, (S,), so that the sum of `ratios` (S, S) is the largest."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(np.nan_to_num(ratios).T, maximize=True)[1]


def _mean(values: np.ndarray) -> float | None:
    """Over what is defined."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else None


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
