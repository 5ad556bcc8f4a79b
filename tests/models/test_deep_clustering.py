"""Deep clustering: the loss against all pairs of bins, ideal embeddings, padding through k-means, silence."""

from functools import partial

import pytest
import torch
from torch import Tensor

from speechkit.models import DeepClustering, STFTDecoder, STFTEncoder
from speechkit.nnet import LSTM
from speechkit.ops.algebra import from_complex, to_complex

WINDOW, HOP = 16, 4


def make(n_sources: int = 2) -> DeepClustering:
    torch.manual_seed(0)
    net = partial(LSTM, 6, bidirectional=True)
    model = DeepClustering(
        STFTEncoder(WINDOW, HOP), net, STFTDecoder(WINDOW, HOP), n_sources=n_sources, n_dimensions=4
    )
    return model.double()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def spectra_of(sources: Tensor) -> Tensor:
    """(B, S, N) to complex (B, S, T, F)."""
    frames, _ = STFTEncoder(WINDOW, HOP)(sources.flatten(0, 1))
    return to_complex(frames).unflatten(0, sources.shape[:2])


def test_the_loss_compares_all_pairs_of_bins() -> None:
    model, sources = make(), noise(2, 3, 33)
    found = model.compute_loss(sources.sum(1), sources)
    spectra = spectra_of(sources)
    frames = from_complex(spectra.sum(1))
    embeddings = model.embed(frames)
    torch.testing.assert_close(embeddings.norm(dim=2), torch.ones_like(embeddings[..., 0]))
    for item in range(2):
        magnitudes = spectra[item].sum(0).abs().flatten()
        magnitudes = torch.where(magnitudes > 0.01 * magnitudes.max(), magnitudes, 0)
        weights = magnitudes / magnitudes.sum()
        labels = spectra[item].abs().argmax(0).flatten()
        same = (labels[:, None] == labels[None]).double()
        affinities = embeddings[item] @ embeddings[item].T
        expected = (weights[:, None] * weights[None] * (affinities - same).square()).sum()
        torch.testing.assert_close(found[item], expected, rtol=1e-9, atol=0)


def test_perfect_embeddings_give_the_ideal_binary_masks(monkeypatch) -> None:
    model, sources = make(3), noise(2, 3, 50)
    spectra = spectra_of(sources)
    loudest = torch.nn.functional.one_hot(spectra.abs().argmax(1), 3).double()  # (B, T, F, S)
    turn = torch.linalg.qr(noise(3, 3))[0]
    monkeypatch.setattr(model, "embed", lambda frames, lengths: (loudest @ turn).flatten(1, 2))
    estimates = model(sources.sum(1))
    masked = loudest.movedim(-1, 1) * spectra.sum(1, keepdim=True)
    expected = STFTDecoder(WINDOW, HOP)(from_complex(masked), 50)
    differences = (estimates.unsqueeze(2) - expected.unsqueeze(1)).abs().amax(3)  # of each pair
    assert (differences.amin(2) < 1e-9).all()
    assert (differences.argmin(2).sort(1).values == torch.arange(3)).all()
    losses = model.compute_loss(sources.sum(1), sources)
    torch.testing.assert_close(losses, torch.zeros_like(losses), rtol=0, atol=1e-12)


def test_a_padded_batch_is_single_items_through_k_means_too() -> None:
    model, lengths = make().eval(), torch.tensor([61, 1, 40, 0])
    sources = noise(4, 2, 61)
    for row, n in enumerate(lengths):
        sources[row, :, n:] = torch.nan
    mixtures = sources.sum(1)
    batch, losses = model(mixtures, lengths), model.compute_loss(mixtures, sources, lengths)
    for row, n in enumerate(lengths):
        mixture, alone = mixtures[row : row + 1, :n], sources[row : row + 1, :, :n]
        torch.testing.assert_close(batch[row, :, :n], model(mixture)[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(losses[row], model.compute_loss(mixture, alone)[0], rtol=1e-9, atol=1e-9)
        assert not batch[row, :, n:].any()
    assert not batch[3].any()
    assert losses[3] == 0


def test_estimates_share_out_the_mixture() -> None:
    mixture = noise(2, 61)
    torch.testing.assert_close(make(3)(mixture).sum(1), mixture)


@pytest.mark.parametrize("kind", ["silence", "identical", "one is silent"])
def test_gradients_are_finite(kind) -> None:
    model, signal = make(), 0.1 * noise(1, 1, 61)
    first, second = {
        "silence": (0 * signal, 0 * signal),
        "identical": (signal, signal),
        "one is silent": (signal, 0 * signal),
    }[kind]
    sources = torch.cat([first, second], 1)
    model.compute_loss(sources.sum(1), sources).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert model(sources.sum(1)).isfinite().all()
