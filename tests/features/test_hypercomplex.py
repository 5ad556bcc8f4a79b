"""Complex spectra against the transform they are made of; derivatives against torchaudio and a loop."""

import math

import pytest
import torch
import torchaudio

from speechkit.errors import UserError
from speechkit.features import ComplexSpectrogram, Deltas, LogMel, Spectrogram
from speechkit.features.hypercomplex import SILENCE, differentiate
from speechkit.nnet import CConv1d, JoinBands
from speechkit.ops.algebra import to_complex

RATE = 16000


def noise(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.zeros(len(lengths), max(lengths))
    for row, n in enumerate(lengths):
        x[row, :n] = 0.1 * torch.randn(n)
    return x, torch.tensor(lengths)


def transform(x, lengths):
    return torch.view_as_complex(Spectrogram(RATE, power=None)(x, lengths)[0])


@pytest.mark.parametrize("compression", [0.3, 0.5, 1.0])
def test_compression_keeps_the_phase_and_takes_a_power_of_the_amplitude(compression):
    x, lengths = noise(3000, 1777)
    front = ComplexSpectrogram(RATE, form="real-imaginary", compression=compression)
    y, n_frames = front(x, lengths)
    z = transform(x, lengths)
    expected = torch.polar(z.abs() ** compression, z.angle())
    torch.testing.assert_close(torch.view_as_complex(y), expected, rtol=1e-4, atol=1e-5)
    assert n_frames.tolist() == [19, 12]


def test_amplitude_and_phase_give_the_transform_back():
    x, lengths = noise(3000, 1777)
    log_amplitude, phase = ComplexSpectrogram(RATE)(x, lengths)[0].unbind(-1)
    z = transform(x, lengths)
    is_heard = z.abs() > SILENCE
    assert is_heard.float().mean() > 0.5
    back = torch.polar(log_amplitude.exp(), math.pi * phase)
    torch.testing.assert_close(back[is_heard], z[is_heard], rtol=1e-4, atol=1e-5)
    assert phase.min() > -1
    assert phase.max() <= 1


@pytest.mark.parametrize("form", ["amplitude-phase", "real-imaginary"])
def test_silence_has_finite_features_and_slopes(form):
    x = torch.zeros(2, 2000)
    x[0, :500] = 0.1 * torch.randn(500)
    x.requires_grad_()
    y, _ = ComplexSpectrogram(RATE, form=form)(x, torch.tensor([2000, 900]))
    y.square().sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    assert x.grad[0, :500].abs().max() > 0
    assert (y[1, :, :, 1] == 0).all(), "silence has no phase"


@pytest.mark.parametrize("half_width", [1, 2, 4])
def test_derivatives_are_torchaudios(half_width):
    x = torch.randn(3, 11, 5)
    oracle = torchaudio.functional.compute_deltas(x.mT, 2 * half_width + 1, mode="replicate").mT
    got = differentiate(x, torch.tensor([11, 11, 11]), half_width)
    torch.testing.assert_close(got, oracle)


def test_derivatives_repeat_the_last_true_frame():
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    got = differentiate(x, torch.tensor([9, 4]))[1, :4]
    for t in range(4):
        slope = sum(n * (x[1, min(t + n, 3)] - x[1, max(t - n, 0)]) for n in (1, 2)) / 10
        torch.testing.assert_close(got[t], slope)


def test_the_parts_of_a_band_are_energy_and_its_derivatives():
    x, lengths = noise(4000, 2500)
    log_mel = LogMel(RATE, n_mels=20)
    static, n_frames = log_mel(x, lengths)
    y, same = Deltas(log_mel, n_derivatives=2, energy=True)(x, lengths)
    assert same.tolist() == n_frames.tolist() == Deltas(log_mel).output_lengths(lengths).tolist()
    assert Deltas(log_mel, n_derivatives=2, energy=True).output_shape == (None, None, *y.shape[2:])
    torch.testing.assert_close(y[0, ..., 0], static[0])
    torch.testing.assert_close(y[0, ..., 2], differentiate(y[..., 1], n_frames)[0])
    energy = static.exp().sum(-1).log()
    torch.testing.assert_close(y[0, :, 7, 3], energy[0])
    torch.testing.assert_close(y[0, :, 0, 3], y[0, :, 19, 3])


def test_joined_bands_are_the_complex_numbers_of_all_bands():
    y = torch.randn(2, 5, 6, 2)
    joined = to_complex(JoinBands("complex")(y))
    torch.testing.assert_close(joined, torch.view_as_complex(y))
    assert CConv1d(4, 3, input_shape=(2, 5, 12))(JoinBands("complex")(y)).shape == (2, 5, 8)


def test_mistakes_are_told():
    with pytest.raises(UserError, match=r"form is 'polar'.*real-imaginary"):
        ComplexSpectrogram(RATE, form="polar")
    with pytest.raises(UserError, match="compression is 0"):
        ComplexSpectrogram(RATE, compression=0)
    with pytest.raises(UserError, match="n_derivatives is 0"):
        Deltas(LogMel(RATE), n_derivatives=0)
    with pytest.raises(UserError, match="real"):
        Deltas(ComplexSpectrogram(RATE))(torch.zeros(1, 4000))
