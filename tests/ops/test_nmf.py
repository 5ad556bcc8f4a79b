"""Non-negative factorisation: against scikit-learn, and by the property that Lee and Seung proved."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.errors import UserError
from speechkit.ops.nmf import DIVERGENCES, activate, divergence, factorize, update_of_right

BETA = {"kl": "kullback-leibler", "euclidean": "frobenius"}


def positive(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", DIVERGENCES)
def test_equal_to_scikit_learn(kind, monkeypatch) -> None:
    from sklearn.decomposition import NMF  # here: slow to import

    spectra = positive(8, 11)
    drawn = [positive(8, 3, seed=1), positive(3, 11, seed=2)]
    scale = (spectra.mean() / 3).sqrt()
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: drawn[0 if shape == (8, 3) else 1])
    dictionary, activations = factorize(spectra, 3, kind, n_iterations=50)
    monkeypatch.undo()
    oracle = NMF(3, init="custom", solver="mu", beta_loss=BETA[kind], max_iter=50, tol=0)
    first = [(scale * (each + 0.5)).numpy() for each in drawn]
    of_oracle = oracle.fit_transform(spectra.numpy(), W=first[0].copy(), H=first[1].copy())
    sums = of_oracle.sum(0)
    np.testing.assert_allclose(dictionary.numpy(), of_oracle / sums, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(activations.numpy(), oracle.components_ * sums[:, None], rtol=1e-6, atol=1e-9)
    found = divergence(spectra, dictionary @ activations, kind).item()
    # of the squared error scikit-learn tells the root of twice the half
    expected = oracle.reconstruction_err_**2 / 2
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", DIVERGENCES)
@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), zeros=st.booleans())
def test_no_update_increases_the_divergence(kind, seed, zeros) -> None:
    spectra, left, right = (
        positive(6, 5, seed=seed),
        positive(6, 3, seed=seed + 1),
        positive(3, 5, seed=seed + 2),
    )
    if zeros:
        spectra[:, 2] = 0
        spectra[1] = 0
    before = divergence(spectra, left @ right, kind)
    for _ in range(6):
        right = right * update_of_right(spectra, left, right, kind)
        after = divergence(spectra, left @ right, kind)
        assert after <= before + 1e-9
        left = left * update_of_right(spectra.mT, right.mT, left.mT, kind).mT
        before = divergence(spectra, left @ right, kind)
        assert before <= after + 1e-9


@pytest.mark.parametrize("kind", DIVERGENCES)
def test_activations_are_the_best_of_all_and_of_each_frame_alone(kind) -> None:
    """The problem is convex: at its least value no slope of an activation leads down."""
    spectra, dictionary = positive(2, 7, 4), positive(7, 3, seed=1)
    found = activate(spectra, dictionary, kind, n_iterations=3000).requires_grad_()
    (slopes,) = torch.autograd.grad(divergence(spectra, dictionary @ found, kind).sum(), found)
    assert slopes.min() > -1e-3
    assert (slopes * found).abs().max() < 1e-3
    alone = activate(spectra[1, :, 2:3], dictionary, kind, n_iterations=3000)
    torch.testing.assert_close(alone, found[1, :, 2:3].detach(), rtol=1e-9, atol=1e-12)


def test_an_unknown_divergence_is_refused() -> None:
    with pytest.raises(UserError, match="divergence 'itakura'"):
        divergence(torch.ones(2, 2), torch.ones(2, 2), "itakura")
