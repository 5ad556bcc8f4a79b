"""Separators over the short-time Fourier transform: exact transforms, masks, padding, level, gradients."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from speechkit import config
from speechkit.errors import UserError
from speechkit.models import (
    ComplexMasker,
    MagnitudeMasker,
    MaskingSeparator,
    NetworkMasker,
    STFTDecoder,
    STFTEncoder,
    apply_masks,
)
from speechkit.nnet import CLSTM, GRU, LSTM, QLSTM, CConv1d, CLayerNorm, ModReLU, Pooling1d, Sequential
from speechkit.ops.algebra import from_complex, multiply, to_complex

PIECES = Path(__file__).resolve().parents[2] / "configs" / "separators"
WINDOW, HOP = 16, 4
BINS = WINDOW // 2 + 1
CONVOLUTIONS = partial(
    Sequential,
    begin=partial(CConv1d, 6, 3),
    norm=CLayerNorm,
    activation=partial(ModReLU, "complex"),
    end=partial(CConv1d, 6, 3, dilation=2),
)


def complex_masker(net, algebra: str) -> ComplexMasker:
    return ComplexMasker(BINS, partial(NetworkMasker, n_sources=2, net=net, algebra=algebra), algebra)


def magnitude_masker(net) -> MagnitudeMasker:
    return MagnitudeMasker(BINS, partial(NetworkMasker, n_sources=2, net=net, activation=nn.Sigmoid()))


MASKERS = {
    "lstm": lambda: magnitude_masker(partial(LSTM, 6, bidirectional=True, num_layers=2)),
    "parts": lambda: complex_masker(partial(GRU, 6), "real"),
    "complex": lambda: complex_masker(partial(CLSTM, 6, bidirectional=True), "complex"),
    "quaternion": lambda: complex_masker(partial(QLSTM, 3), "quaternion"),
    "convolutions": lambda: complex_masker(CONVOLUTIONS, "complex"),
}


def separator(name: str, dtype: torch.dtype = torch.float64) -> MaskingSeparator:
    torch.manual_seed(0)
    return MaskingSeparator(STFTEncoder(WINDOW, HOP), MASKERS[name](), STFTDecoder(WINDOW, HOP)).to(dtype)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("piece", ["stft_lstm", "complex_lstm", "complex_conv", "deep_clustering"])
def test_pieces_are_separators_of_any_size(piece) -> None:
    sizes = ["--n_sources", "3", "--window_size", "16", "--hop_size", "4", "--hidden_size", "5"]
    model = config.build(config.read(PIECES / f"{piece}.yaml", sizes), only=["separator"]).values["separator"]
    lengths = torch.tensor([61, 40])
    estimates = model(noise(2, 61).float(), lengths)
    assert estimates.shape == (2, 3, 61)
    assert not estimates[1, :, 40:].any()
    # Each source has a mask of its own.
    assert (estimates[:, :1] - estimates[:, 1:]).abs().amax((1, 2)).min() > 1e-4


@pytest.mark.parametrize("n_samples", [0, 1, 3, 16, 61])
def test_the_decoder_undoes_the_encoder(n_samples) -> None:
    x = noise(2, n_samples)
    frames, _ = STFTEncoder(WINDOW, HOP)(x)
    found = STFTDecoder(WINDOW, HOP)(frames.unsqueeze(1), n_samples)
    torch.testing.assert_close(found[:, 0], x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MASKERS)
def test_a_padded_batch_is_single_items(name) -> None:
    model, x, lengths = separator(name).eval(), noise(4, 61), torch.tensor([61, 1, 40, 0])
    for row, n in enumerate(lengths):
        x[row, n:] = torch.nan
    with torch.no_grad():
        batch = model(x, lengths)
        for row, n in enumerate(lengths[:3]):
            alone = model(x[row : row + 1, :n])
            torch.testing.assert_close(batch[row, :, :n], alone[0], rtol=1e-9, atol=1e-9)
            assert not batch[row, :, n:].any()
    assert not batch[3].any()


@pytest.mark.parametrize("name", MASKERS)
def test_level_does_not_matter(name) -> None:
    model, x = separator(name).eval(), noise(1, 61)
    torch.testing.assert_close(model(1e-3 * x), 1e-3 * model(x), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", MASKERS)
@pytest.mark.parametrize("sources", ["silence", "identical", "one is silent"])
def test_gradients_are_finite(name, sources) -> None:
    model, signal = separator(name, torch.float32), 0.1 * noise(1, 61).float()
    silence = torch.zeros_like(signal)
    first, second = {
        "silence": (silence, silence),
        "identical": (signal, signal),
        "one is silent": (signal, silence),
    }[sources]
    mixture = (first + second).requires_grad_()
    estimates = model(mixture)
    (estimates - torch.stack([first, second], 1)).square().sum().backward()
    assert estimates.isfinite().all()
    assert mixture.grad.isfinite().all()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients)
    if sources != "silence":
        assert all(gradient.any() for gradient in gradients)


def test_the_ideal_complex_mask_gives_the_sources_and_the_ideal_real_one_keeps_the_phase() -> None:
    sources = noise(2, 3, 61)
    encode, decode = STFTEncoder(WINDOW, HOP), STFTDecoder(WINDOW, HOP)
    mixture, _ = encode(sources.sum(1))
    spectra = to_complex(encode(sources.flatten(0, 1))[0]).unflatten(0, (2, 3))
    quotients = spectra / to_complex(mixture).unsqueeze(1)
    found = decode(apply_masks(from_complex(quotients), mixture, "complex"), 61)
    torch.testing.assert_close(found, sources, rtol=0, atol=1e-9)
    masked = to_complex(apply_masks(quotients.abs(), mixture, "complex"))
    torch.testing.assert_close(masked.abs(), spectra.abs(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(masked.angle(), to_complex(mixture).angle().unsqueeze(1).expand_as(masked))


def test_masks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="masks of 3 values for frames of 10"):
        apply_masks(torch.zeros(1, 2, 4, 3), torch.zeros(1, 4, 10), "complex")


@pytest.mark.parametrize("algebra", ["complex", "quaternion"])
def test_sources_and_parts_are_not_mixed_up(algebra) -> None:
    """A linear masker of numbers is linear over complex ones from the right: frames z u have masks m u."""
    frames, n_numbers = noise(2, 7, 8), 8 // (2 if algebra == "complex" else 4)
    masker = NetworkMasker(8, 3, nn.Identity(), algebra).double()
    unit = torch.zeros(8, dtype=torch.float64)
    unit[n_numbers : 2 * n_numbers] = 1  # i, of every number
    turned = masker(multiply(frames, unit.expand_as(frames), algebra))
    masks = masker(frames)
    torch.testing.assert_close(turned, multiply(masks, unit.expand_as(masks), algebra))


def test_a_network_that_joins_frames_is_refused() -> None:
    masker = NetworkMasker(9, 2, partial(Pooling1d, "max", 2, padding="same"))
    with pytest.raises(UserError, match="4 frames of 7"):
        masker(torch.zeros(1, 7, 9))
