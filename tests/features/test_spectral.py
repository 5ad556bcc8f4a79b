"""Spectra against torchaudio, explicit sums and physics; padding never matters."""

import math

import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.errors import UserError
from speechkit.features import MFCC, ComplexSpectrogram, Deltas, LogMel, Spectrogram, UtteranceNorm

RATE = 16000
FRONT_ENDS = {
    "log-mel": LogMel(RATE, n_mels=40, window_ms=30),
    "mfcc": MFCC(RATE, n_coefficients=13),
    "power": Spectrogram(RATE),
    "root": Spectrogram(RATE, window_ms=20, hop_ms=7.5, power=0.5),
    "complex": Spectrogram(RATE, n_fft=800, power=None),
    "compressed": ComplexSpectrogram(RATE, form="real-imaginary"),
    "amplitude and phase": ComplexSpectrogram(RATE),
    "deltas": Deltas(LogMel(RATE, n_mels=20)),
    "deltas and energy": Deltas(LogMel(RATE, n_mels=20), n_derivatives=2, energy=True, half_width=3),
}


@pytest.mark.parametrize("name", FRONT_ENDS)
@settings(max_examples=5)
@given(lengths=st.lists(st.integers(1, 3000), min_size=2, max_size=3))
def test_padding_never_matters(name, lengths):
    torch.manual_seed(len(lengths))
    x = torch.rand(len(lengths), max(lengths), dtype=torch.float64) - 0.5
    front_end = FRONT_ENDS[name]
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        front_end = front_end.to(dtype)
        features, n_frames = front_end(x.to(dtype), torch.tensor(lengths))
        assert features.dtype == dtype
        for item, length in enumerate(lengths):
            alone, n_alone = front_end(x[item : item + 1, :length].to(dtype))
            assert n_alone.item() == n_frames[item] == alone.shape[1]
            difference = features[item, : n_frames[item]] - alone[0]
            assert difference.abs().max() <= tolerance * alone.abs().max()
    front_end.float()


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_spectrogram_is_torchaudios(power):
    x = torch.randn(2, 5000)
    oracle = torchaudio.transforms.Spectrogram(512, 400, 160, power=power, pad_mode="constant")
    torch.testing.assert_close(
        Spectrogram(RATE, power=power)(x)[0], oracle(x).transpose(1, 2), atol=1e-4, rtol=1e-4
    )


def test_complex_spectrogram_is_the_sum_of_its_definition():
    x = torch.randn(1, 100, dtype=torch.float64)
    layer = Spectrogram(1000, window_ms=16, hop_ms=10, power=None).double()
    features, _ = layer(x)
    frame, band = 3, 5
    samples = torch.arange(30 - 8, 30 + 8)  # centred on frame * hop
    window = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(16) / 16)
    angle = -2 * math.pi * band * torch.arange(16) / 16
    expected = torch.stack([(x[0, samples] * window * f(angle)).sum() for f in (torch.cos, torch.sin)])
    torch.testing.assert_close(features[0, frame, band], expected, atol=1e-5, rtol=1e-5)


def test_log_mel_is_torchaudios():
    x = torch.randn(2, 8000) * 0.1
    oracle = torchaudio.transforms.MelSpectrogram(
        RATE, 512, 480, 160, f_min=50, f_max=7000, n_mels=40, pad_mode="constant"
    )
    ours = LogMel(RATE, n_mels=40, window_ms=30, low_hz=50, high_hz=7000)
    torch.testing.assert_close(ours(x)[0], oracle(x).transpose(1, 2).log(), atol=1e-3, rtol=1e-4)


def test_mfcc_is_torchaudios_dct_of_log_mel():
    x = torch.randn(2, 8000) * 0.1
    oracle = torchaudio.transforms.MFCC(
        RATE,
        13,
        log_mels=True,
        melkwargs={
            "n_fft": 512,
            "win_length": 400,
            "hop_length": 160,
            "n_mels": 40,
            "f_min": 20,
            "pad_mode": "constant",
        },
    )
    torch.testing.assert_close(MFCC(RATE, 13)(x)[0], oracle(x).transpose(1, 2), atol=2e-3, rtol=1e-3)


def test_a_tone_is_loudest_in_the_band_around_it():
    hz = 1000.0
    x = torch.sin(2 * math.pi * hz * torch.arange(RATE) / RATE).unsqueeze(0)
    mel = LogMel(RATE, n_mels=40, low_hz=0)(x)[0][0, 50]
    edges = torch.linspace(0, 2595 * math.log10(1 + 8000 / 700), 42)
    nearest = (edges[1:-1] - 2595 * math.log10(1 + hz / 700)).abs().argmin()
    assert mel.argmax() == nearest
    peak = Spectrogram(RATE)(x)[0][0, 50]
    assert peak.argmax() == round(hz * 512 / RATE)


def test_louder_by_20_db_is_2_log_10_more():
    x, front_end = torch.randn(1, 8000) * 0.01, LogMel(RATE, n_mels=40)
    torch.testing.assert_close(
        front_end(x * 10)[0] - front_end(x)[0], torch.full((1, 51, 40), 2 * math.log(10))
    )


def test_silence_is_the_floor_and_has_gradients():
    x = torch.zeros(1, 1600, requires_grad=True)
    features, _ = LogMel(RATE, n_mels=40, floor=1e-4)(x)
    assert torch.allclose(features, torch.tensor(math.log(1e-4)))
    (Spectrogram(RATE, power=0.5)(x)[0].sum() + features.sum()).backward()
    assert x.grad.isfinite().all()


def test_utterance_norm_is_over_true_frames():
    x, lengths = torch.randn(3, 9, 4, dtype=torch.float64) * 3 + 2, torch.tensor([9, 4, 1])
    y, _ = UtteranceNorm()(x, lengths)
    for item, length in enumerate(lengths):
        frames = x[item, :length]
        expected = (frames - frames.mean(0)) / (frames.std(0, correction=0) + 1e-5)
        torch.testing.assert_close(y[item, :length], expected)
        assert y[item, length:].abs().sum() == 0


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("window_ms", {"window_ms": 0.01}),
        ("hop_ms", {"hop_ms": 0}),
        ("n_fft", {"n_fft": 100}),
        ("low_hz", {"low_hz": 9000}),
        ("fewer n_mels", {"n_mels": 300}),
        ("n_mels", {"n_mels": 0}),
        ("floor", {"floor": 0.0}),
    ],
)
def test_impossible_arguments_are_users_mistakes(message, arguments):
    with pytest.raises(UserError, match=message):
        LogMel(RATE, **arguments)


def test_waveforms_of_three_axes_are_told():
    with pytest.raises(UserError, match=r"\(batch, samples\)"):
        LogMel(RATE)(torch.zeros(2, 1, 1600))
