"""Separation without a trained model, as a table: `python tools/separation_baselines.py MANIFEST`.

MANIFEST is one of mixtures with their sources (`tt.jsonl`). Printed as JSON, of each method: mean SI-SNR,
SI-SNRi and SDRi in dB over the mixtures, with the 95% interval over these. Methods are

- the mixture itself in the place of every source;
- ideal masks on the short-time Fourier transform, made from the sources: upper bounds for masks of a kind;
- FastICA on as many microphones as speakers, which hear them at once with other gains each (needs the extra
  `baselines`): what several microphones are worth where nothing echoes;
- NMF with a dictionary for each speaker of the mixture, learned from what else that speaker says in the
  manifest's other mixtures. It knows who speaks, which a separator does not.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lhotse.dataset import SimpleCutSampler
from torch import Tensor

from speechkit.data import CutBatches, RecordedSources, Talker
from speechkit.errors import UserError, report_and_exit
from speechkit.metrics import score_separation
from speechkit.models import (
    MaskingSeparator,
    NMFMasker,
    STFTDecoder,
    STFTEncoder,
    apply_masks,
    learn_dictionary,
    separate_by_ica,
)
from speechkit.ops import ideal_masks
from speechkit.ops.algebra import from_complex, to_complex
from speechkit.stats import bootstrap_mean

# S sources, N samples
IDEAL_MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "ideal binary mask": ideal_masks.binary_masks,
    "ideal ratio mask": ideal_masks.ratio_masks,
    "ideal Wiener-like mask": partial(ideal_masks.ratio_masks, power=2),
    "ideal phase-sensitive mask": ideal_masks.phase_sensitive_masks,
    "ideal complex mask within the unit circle": ideal_masks.complex_masks,
}
DIVERGENCES = {"kl": "Kullback-Leibler", "euclidean": "Euclidean"}
SAME_SPEECH = 0.9  # correlation from which two signals are one utterance, at other levels or cut elsewhere


class Mixture(NamedTuple):
    """A mixture (N,) and its sources (S, N)."""

    id: str
    mixture: Tensor
    sources: Tensor
    talkers: Sequence[Talker]


def read_mixtures(manifest: Path, sample_rate: int, n_sources: int, limit: int | None) -> list[Mixture]:
    """The mixtures that can be read, in the manifest's order."""
    sampler = partial(SimpleCutSampler, max_cuts=1)
    batches = CutBatches(manifest, sampler, sample_rate, mixing=RecordedSources(n_sources), unreadable="stop")
    found = []
    for batch in batches.iterate(seed=0, epoch=1):
        if limit is not None and len(found) == limit:
            break
        assert batch.sources is not None
        found.append(Mixture(batch.ids[0], batch.waveforms[0], batch.sources[0], batch.talkers[0]))
    return found


def is_same_speech(x: Tensor, y: Tensor) -> bool:
    """Whether two signals begin with the same utterance, at any level.

    >>> x = torch.randn(900)
    >>> is_same_speech(x, -0.5 * x[:700]), is_same_speech(x, torch.randn(700))
    (True, False)
    """
    n = min(len(x), len(y))
    return bool(torch.cosine_similarity(x[:n], y[:n], 0).abs() > SAME_SPEECH)


def cut_after(signals: Sequence[Tensor], n_samples: int) -> list[Tensor]:
    """The first samples of signals one after another.

    >>> [len(each) for each in cut_after([torch.ones(5), torch.ones(5), torch.ones(5)], 7)]
    [5, 2]
    """
    begins = [sum(len(each) for each in signals[:number]) for number in range(len(signals))]
    return [each[: n_samples - at] for each, at in zip(signals, begins, strict=True) if at < n_samples]


def gather_speech(mixtures: Sequence[Mixture]) -> dict[str, list[Tensor]]:
    """Each speaker's utterances, each once, from the sources of all mixtures."""
    found: dict[str, list[Tensor]] = {}
    for mixture in mixtures:
        for talker, source in zip(mixture.talkers, mixture.sources, strict=True):
            utterances = found.setdefault(talker.speaker, [])
            if not any(is_same_speech(source, each) for each in utterances):
                utterances.append(source)
    return found


class SpeakerNMF:
    """Separation by dictionaries that are learned from what else a mixture's speakers say.

    sizes: components of a dictionary, and samples of speech that it is learned from, at most.
    """

    def __init__(
        self,
        speech: dict[str, list[Tensor]],
        stft: tuple[STFTEncoder, STFTDecoder],
        divergence: str,
        sizes: tuple[int, int],
    ) -> None:
        self.speech, self.stft, self.divergence, self.sizes = speech, stft, divergence, sizes
        self.learn = cache(self._learn)

    def _learn(self, speaker: str, left_out: tuple[int, ...]) -> Tensor:
        others = [x for number, x in enumerate(self.speech[speaker]) if number not in left_out]
        if not others:
            found = f"speaker {speaker!r} says one utterance in all mixtures"
            raise UserError(found, do="take more mixtures, or leave NMF out: --components 0")
        n_components, n_samples = self.sizes
        return learn_dictionary(cut_after(others, n_samples), self.stft[0], n_components, self.divergence)

    def __call__(self, mixture: Mixture) -> Tensor:
        """(S, N) estimates, in the order of the talkers."""
        dictionaries = []
        for talker, source in zip(mixture.talkers, mixture.sources, strict=True):
            utterances = self.speech[talker.speaker]
            same = tuple(number for number, each in enumerate(utterances) if is_same_speech(source, each))
            dictionaries.append(self.learn(talker.speaker, same))
        masker = NMFMasker(dictionaries, self.divergence)
        return MaskingSeparator(self.stft[0], masker, self.stft[1])(mixture.mixture.unsqueeze(0))[0]


def hear_at_microphones(sources: Tensor) -> Tensor:
    """Sources (S, N) as S microphones hear them: microphone m source s by 1 / (1 + m s), the first all alike.

    >>> hear_at_microphones(torch.eye(2)).tolist()
    [[1.0, 1.0], [1.0, 0.5]]
    """
    numbers = torch.arange(len(sources), dtype=sources.dtype)
    return 1 / (1 + torch.outer(numbers, numbers)) @ sources


def separate_by_microphones(mixture: Mixture) -> Tensor:
    """(S, N) estimates."""
    return separate_by_ica(hear_at_microphones(mixture.sources), len(mixture.sources))


def apply_ideal_masks(
    mixture: Mixture, make: Callable[[Tensor], Tensor], stft: tuple[STFTEncoder, STFTDecoder]
) -> Tensor:
    """(S, N) estimates by masks that `make` makes of the sources' spectra."""
    encode, decode = stft
    spectra = to_complex(encode(mixture.sources)[0]).unsqueeze(0)
    masks = make(spectra)
    masks = from_complex(masks) if masks.is_complex() else masks
    frames = encode(mixture.mixture.unsqueeze(0))[0]
    return decode(apply_masks(masks, frames, "complex"), mixture.mixture.shape[0])[0]


def make_methods(
    mixtures: Sequence[Mixture], stft: tuple[STFTEncoder, STFTDecoder], sizes: tuple[int, int]
) -> Iterator[tuple[str, Callable[[Mixture], Tensor]]]:
    """Names, and what makes (S, N) estimates of a mixture."""
    yield "the mixture", lambda mixture: mixture.mixture.expand_as(mixture.sources)
    if sizes[0]:
        speech = gather_speech(mixtures)
        for divergence, name in DIVERGENCES.items():
            yield f"NMF, {name}, speakers known", SpeakerNMF(speech, stft, divergence, sizes)
    yield "FastICA, a microphone for each speaker", separate_by_microphones
    for name, make in IDEAL_MASKS.items():
        yield name, partial(apply_ideal_masks, make=make, stft=stft)


def describe(
    name: str, separate: Callable[[Mixture], Tensor], mixtures: Sequence[Mixture]
) -> dict[str, str | int]:
    """A row of the table."""
    found: dict[str, list[float]] = {"si_snr": [], "si_snri": [], "sdri": []}
    for each in mixtures:
        scores = score_separation(separate(each).numpy(), each.sources.numpy(), each.mixture.numpy())[
            "scores"
        ]
        for figure, values in found.items():
            if scores[figure] is not None:
                values.append(scores[figure])
    row: dict[str, Any] = {"method": name, "mixtures": len(mixtures)}
    for figure, title in (("si_snr", "SI-SNR,_dB"), ("si_snri", "SI-SNRi,_dB"), ("sdri", "SDRi,_dB")):
        mean = bootstrap_mean(found[figure])
        known = math.isfinite(mean.low)
        row[title] = f"{mean.value:.2f} [{mean.low:.2f}, {mean.high:.2f}]" if known else f"{mean.value:.2f}"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--sample_rate", type=int, default=8000)
    parser.add_argument("--n_sources", type=int, default=2)
    parser.add_argument("--window_ms", type=float, default=32.0)
    parser.add_argument("--hop_ms", type=float, default=8.0)
    parser.add_argument("--components", type=int, default=40, help="of a dictionary; 0: no NMF")
    parser.add_argument("--seconds", type=float, default=30, help="of speech for a dictionary, at most")
    parser.add_argument("--limit", type=int, help="this many mixtures, the first ones")
    options = parser.parse_args()
    try:
        sizes = [round(each * options.sample_rate / 1000) for each in (options.window_ms, options.hop_ms)]
        stft = STFTEncoder(*sizes), STFTDecoder(*sizes)
        mixtures = read_mixtures(options.manifest, options.sample_rate, options.n_sources, options.limit)
        of_dictionaries = options.components, round(options.seconds * options.sample_rate)
        methods = make_methods(mixtures, stft, of_dictionaries)
        with torch.inference_mode():
            rows = [describe(name, separate, mixtures) for name, separate in methods]
    except UserError as error:
        report_and_exit(error)
    print(json.dumps({"rows": rows}, indent=2))


if __name__ == "__main__":
    main()
