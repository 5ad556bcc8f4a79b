"""Changes of a cut before its audio is read. Each is called with a generator keyed by seed, epoch and cut."""

from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from random import Random

import numpy as np
import torch
from lhotse import Recording
from lhotse.augmentation import Speed as LhotseSpeed
from lhotse.cut import Cut
from lhotse.utils import fastcopy

from speechkit.data.corpus import Clip, find_audio, make_cuts, read_infos
from speechkit.data.manifest import read_cuts
from speechkit.data.reading import map_recordings, open_cut
from speechkit.errors import UserError
from speechkit.ops.resample import resample

SPEED_STEPS = 40  # factors are multiples of 1/40: each needs a resampling kernel, kept once made


def check_probability(probability: float) -> None:
    """Refuse what is none."""
    if not 0 <= probability <= 1:
        raise UserError(f"a probability of {probability}", expected="0 to 1")


def _check_range(low: float, high: float, what: str) -> None:
    if low > high:
        raise UserError(f"{what} from {low} to {high}", expected="low not above high")


class Speed:
    """Play faster or slower by a factor drawn from `low` to `high`; pitch and duration change with it.

    Factors are multiples of 1/40 (0.900, 0.925, ...), so that few resampling kernels are needed.
    Source: Ko et al., Audio augmentation for speech recognition, Interspeech 2015.

    >>> Speed(0.9, 1.1).factors[:3]
    [Fraction(9, 10), Fraction(37, 40), Fraction(19, 20)]
    """

    def __init__(self, low: float, high: float) -> None:
        _check_range(low, high, "speed")
        # Rounded, because 0.9 * 40 may come out just above 36.
        first, last = ceil(round(low * SPEED_STEPS, 9)), floor(round(high * SPEED_STEPS, 9))
        if first < 1 or first > last:
            raise UserError(
                f"speed from {low} to {high}", expected="a range above 0 with a multiple of 0.025 in it"
            )
        self.factors = [Fraction(n, SPEED_STEPS) for n in range(first, last + 1)]

    def __call__(self, cut: Cut, random: Random) -> Cut:
        factor = random.choice(self.factors)
        if factor == 1:
            return cut
        return map_recordings(cut.perturb_speed(float(factor), affix_id=False), _with_exact_speed)


class _ExactSpeed(LhotseSpeed):
    """Lhotse rounds factor * rate to whole hertz, for which 22,050 Hz would need kernels of 500 MB."""

    def __call__(self, samples: np.ndarray, sampling_rate: int) -> np.ndarray:
        factor = Fraction(self.factor).limit_denominator(SPEED_STEPS)
        return resample(torch.from_numpy(samples), factor.numerator, factor.denominator).numpy()


def _with_exact_speed(recording: Recording, channels: list[int]) -> Recording:
    transforms = [
        _ExactSpeed(factor=t.factor) if type(t) is LhotseSpeed else t for t in recording.transforms or []
    ]
    return fastcopy(recording, transforms=transforms)


class Gain:
    """Make louder or softer by a gain drawn evenly from `low_db` to `high_db`."""

    def __init__(self, low_db: float, high_db: float) -> None:
        _check_range(low_db, high_db, "gain")
        self.low_db, self.high_db = low_db, high_db

    def __call__(self, cut: Cut, random: Random) -> Cut:
        gain_db = random.uniform(self.low_db, self.high_db)
        return cut.perturb_volume(10 ** (gain_db / 20), affix_id=False)


class FixDuration:
    """Give every cut the same duration around its middle: zeros on both sides, or both ends cut off."""

    def __init__(self, seconds: float) -> None:
        if seconds <= 0:
            raise UserError(f"a duration of {seconds} seconds", expected="more than 0")
        self.seconds = seconds

    def __call__(self, cut: Cut, random: Random) -> Cut:
        wanted = round(self.seconds * cut.sampling_rate)
        missing = wanted - cut.num_samples
        if missing < 0:
            offset = (-missing // 2) / cut.sampling_rate
            return cut.truncate(offset=offset, duration=self.seconds, preserve_id=True)
        if missing > 0:
            return _pad(cut, n_left=missing // 2, n_right=missing - missing // 2)
        return cut


class RandomCrop:
    """Take a random stretch of `seconds` of every cut that is longer."""

    def __init__(self, seconds: float) -> None:
        if seconds <= 0:
            raise UserError(f"a stretch of {seconds} seconds", expected="more than 0")
        self.seconds = seconds

    def __call__(self, cut: Cut, random: Random) -> Cut:
        rate = cut.sampling_rate
        n_kept = max(1, round(self.seconds * rate))
        n_more = cut.num_samples - n_kept
        if n_more <= 0:
            return cut
        offset = random.randint(0, n_more) / rate
        return cut.truncate(offset=offset, duration=n_kept / rate, preserve_id=True)


class TimeShift:
    """Move a cut in time by up to `max_seconds` either way, at most half its duration; the gap is zeros."""

    def __init__(self, max_seconds: float) -> None:
        if max_seconds < 0:
            raise UserError(f"a shift of up to {max_seconds} seconds", expected="0 or more")
        self.max_seconds = max_seconds

    def __call__(self, cut: Cut, random: Random) -> Cut:
        rate, n_samples = cut.sampling_rate, cut.num_samples
        limit = min(round(self.max_seconds * rate), n_samples // 2)
        shift = random.randint(-limit, limit)
        if shift == 0:
            return cut
        offset, kept = max(0, -shift) / rate, (n_samples - abs(shift)) / rate
        cut = cut.truncate(offset=offset, duration=kept, preserve_id=True)
        return _pad(cut, n_left=max(0, shift), n_right=max(0, -shift))


def _pad(cut: Cut, n_left: int, n_right: int) -> Cut:
    n_samples = cut.num_samples
    for n, direction in ((n_left, "left"), (n_right, "right")):
        if n:
            n_samples += n
            cut = cut.pad(num_samples=n_samples, direction=direction, preserve_id=True)
    return cut


class Noise:
    """Add noise from the recordings of a manifest, or of a folder of audio, with a given probability.

    The signal-to-noise ratio, drawn evenly from `snr_db`, is that of the mean power of the cut (its padding
    not counted) to the mean power of the noise. A random span of a random recording is read, no more; a
    recording shorter than the cut is repeated, and one without samples left out. Of a mixture with recorded
    sources (`RecordedSources`) the sources stay as they are.
    """

    for_mixtures_alone = True

    def __init__(self, manifest: str, snr_db: tuple[float, float], probability: float = 1.0) -> None:
        if len(snr_db) != 2:
            raise UserError(f"snr_db {snr_db}", expected="two numbers, [low, high]")
        _check_range(*snr_db, "signal-to-noise ratio")
        check_probability(probability)
        self.manifest, self.snr_db, self.probability = manifest, tuple(snr_db), probability
        self._noises: list[Cut] | None = None

    def __call__(self, cut: Cut, random: Random) -> Cut:
        if random.random() >= self.probability:
            return cut
        noise = open_cut(random.choice(self._read()), cut.sampling_rate)
        noise = _span(noise, cut.duration, random)
        return cut.mix(noise, snr=random.uniform(*self.snr_db), preserve_id="left")

    def _read(self) -> list[Cut]:
        if self._noises is None:
            self._noises = read_recordings(self.manifest, "noise")
        return self._noises


def _span(noise: Cut, seconds: float, random: Random) -> Cut:
    while noise.duration < seconds:
        noise = noise.append(noise)
    offset = random.uniform(0, noise.duration - seconds)
    return noise.truncate(offset=offset, duration=seconds)


def read_recordings(source: str, what: str) -> list[Cut]:
    """The cuts of a manifest, or of all audio below a folder, that have samples."""
    if Path(source).is_dir():
        paths = find_audio(Path(source))
        names = [path.relative_to(source).as_posix() for path in paths]
        readable = zip(paths, names, read_infos(paths), strict=True)
        cuts = make_cuts([Clip(path, name) for path, name, info in readable if info])
    else:
        cuts = [cut.drop_supervisions() for cut in read_cuts(source) if cut.num_samples]
    if not cuts:
        raise UserError(f"no {what} in {source}", do=f"give a manifest or a folder with recordings of {what}")
    return cuts
