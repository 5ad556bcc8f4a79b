"""Speech as it sounds in a room: convolution with a measured or simulated impulse response."""

from dataclasses import dataclass, field
from random import Random

import numpy as np
from lhotse import Recording
from lhotse.augmentation import AudioTransform
from lhotse.cut import Cut
from lhotse.utils import fastcopy

from speechkit.data.reading import UnreadableAudio, load_waveform, map_recordings, open_cut
from speechkit.data.transforms import check_probability, read_recordings
from speechkit.errors import UserError

# N samples, K samples of an impulse response


class Reverberation:
    """Put a cut into a room, with a given probability: convolve it with an impulse response.

    impulse_responses: a manifest of cuts, or a folder of audio, of which one is drawn, and of its channels
        (microphones) one; other rates are resampled. Their level does not matter.

    The sample of an impulse response that is largest in amplitude is taken for the direct path: there it
    leaves the speech where it was, so that alignments hold, and a cut has as many samples as before; what
    rings on after its end is cut off. The mean power stays what it was. Give it before `Noise`, which then
    has its ratio to the speech in the room, and before paddings, of which it does not reach into the zeros.
    Of a mixture with recorded sources the sources stay dry.
    Source: Ko et al., A study on data augmentation of reverberant speech, ICASSP 2017.
    """

    for_mixtures_alone = True

    def __init__(self, impulse_responses: str, probability: float = 1.0) -> None:
        check_probability(probability)
        self.impulse_responses, self.probability = impulse_responses, probability
        self._rooms: list[Cut] | None = None

    def __call__(self, cut: Cut, random: Random) -> Cut:
        if random.random() >= self.probability:
            return cut
        if self._rooms is None:
            self._rooms = read_recordings(self.impulse_responses, "impulse responses")
        room = random.choice(self._rooms)
        microphones = room.channel if isinstance(room.channel, list) else [room.channel]
        response = _read_response(room, random.choice(microphones), cut.sampling_rate)

        def reverberate(recording: Recording, channels: list[int]) -> Recording:
            transforms = [*(recording.transforms or []), _Reverberate(response)]
            return fastcopy(recording, transforms=transforms)

        return map_recordings(cut, reverberate)


def convolve(x: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Samples (..., N) in a room of impulse response (K,): (..., N), of the same mean power, in float64.

    y_n = g sum_k h_k x_(n + d - k), with d where |h| is largest and x zero outside its samples.

    >>> convolve(np.array([1.0, 0.0, 0.0]), np.array([0.0, 2.0, 0.0])).tolist()
    [1.0, 0.0, 0.0]
    """
    n, n_out = x.shape[-1], x.shape[-1] + len(response) - 1
    size = 1 << max(0, n_out - 1).bit_length()
    spectrum = np.fft.rfft(x.astype(np.float64), size) * np.fft.rfft(response.astype(np.float64), size)
    direct = int(np.abs(response).argmax())
    y = np.fft.irfft(spectrum, size)[..., direct : direct + n]
    power_before, power = np.square(x, dtype=np.float64).mean(), np.square(y).mean()
    return y * np.sqrt(power_before / power) if power > 0 else y


@dataclass
class _Reverberate(AudioTransform):
    """As Lhotse applies it to what was read of a recording; times stay what they were."""

    response: np.ndarray = field(repr=False)

    def __call__(self, samples: np.ndarray, sampling_rate: int) -> np.ndarray:
        return convolve(samples, self.response).astype(np.float32)

    def reverse_timestamps(
        self, offset: float, duration: float | None, sampling_rate: int | None = None
    ) -> tuple[float, float | None]:
        return offset, duration


def _read_response(room: Cut, microphone: int, sample_rate: int) -> np.ndarray:
    try:
        response = load_waveform(open_cut(room.with_channels([microphone]), sample_rate))
    except UnreadableAudio as error:
        raise UserError(f"the impulse response {room.id} cannot be used: {error}") from error
    if not response.any():
        raise UserError(f"the impulse response {room.id} is silent", do="remove it")
    return response
