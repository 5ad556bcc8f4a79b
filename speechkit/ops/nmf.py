"""Non-negative matrix factorisation by multiplicative updates: spectra as sums of parts that never cancel."""

import torch
from torch import Tensor

from speechkit.errors import UserError

# F bins, T frames, K components
DIVERGENCES = ("kl", "euclidean")
TINY = 1e-12  # what is divided by is at least this


def divergence(spectra: Tensor, estimate: Tensor, kind: str = "kl") -> Tensor:
    """How far V (..., F, T) is from its estimate: sum V ln(V / E) - V + E, or half the squared distance.

    >>> divergence(torch.ones(1, 3), torch.full((1, 3), 2.0), "euclidean").item()
    1.5
    """
    _check(kind)
    if kind == "euclidean":
        return (spectra - estimate).square().sum((-2, -1)) / 2
    logs = torch.xlogy(spectra, spectra / estimate.clamp_min(TINY))
    return (logs - spectra + estimate).sum((-2, -1))


def factorize(
    spectra: Tensor, n_components: int, kind: str = "kl", n_iterations: int = 200, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Non-negative V (F, T) as W H: a dictionary W (F, K), whose columns sum to 1, and activations H (K, T).

    Lee and Seung, "Algorithms for non-negative matrix factorization", NIPS 2000, theorems 1 and 2: no
    iteration increases the divergence. First values are drawn from `seed`.

    >>> dictionary, activations = factorize(torch.tensor([[1.0, 2.0], [3.0, 6.0]]), n_components=1)
    >>> [round(each, 4) for each in dictionary.flatten().tolist()]
    [0.25, 0.75]
    """
    generator = torch.Generator().manual_seed(seed)
    scale = (spectra.mean() / n_components).sqrt()
    dictionary, activations = (
        scale * (torch.rand(*shape, generator=generator, dtype=spectra.dtype).to(spectra) + 0.5)
        for shape in ((spectra.shape[0], n_components), (n_components, spectra.shape[1]))
    )
    for _ in range(n_iterations):
        dictionary = dictionary * update_of_right(spectra.mT, activations.mT, dictionary.mT, kind).mT
        activations = activations * update_of_right(spectra, dictionary, activations, kind)
    sums = dictionary.sum(0).clamp_min(TINY)
    return dictionary / sums, activations * sums.unsqueeze(1)


def activate(spectra: Tensor, dictionary: Tensor, kind: str = "kl", n_iterations: int = 100) -> Tensor:
    """Activations (..., K, T) of a dictionary (F, K) that bring V (..., F, T) nearest to W H.

    They begin equal in a frame, and no frame knows of another. The problem is convex: it has one least value.

    >>> dictionary = torch.tensor([[1.0, 0.0], [0.0, 0.5], [0.0, 0.5]])
    >>> activate(torch.tensor([[2.0], [3.0], [3.0]]), dictionary).flatten().tolist()
    [2.0, 6.0]
    """
    n_components = dictionary.shape[1]
    first = spectra.sum(-2, keepdim=True) / (dictionary.sum() / n_components).clamp_min(TINY) / n_components
    activations = first.expand(*spectra.shape[:-2], n_components, -1)
    for _ in range(n_iterations):
        activations = activations * update_of_right(spectra, dictionary, activations, kind)
    return activations


def update_of_right(spectra: Tensor, left: Tensor, right: Tensor, kind: str) -> Tensor:
    """By what each value of H (..., K, T) is multiplied, given V (..., F, T) and W (F, K)."""
    _check(kind)
    if kind == "euclidean":
        return (left.mT @ spectra) / ((left.mT @ left) @ right).clamp_min(TINY)
    quotients = spectra / (left @ right).clamp_min(TINY)
    return (left.mT @ quotients) / left.sum(0).clamp_min(TINY).unsqueeze(1)


def _check(kind: str) -> None:
    if kind not in DIVERGENCES:
        raise UserError(f"divergence {kind!r}", expected=" or ".join(DIVERGENCES), key="divergence")
