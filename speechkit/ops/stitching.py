"""What was separated window by window, put together: one order of sources, one level, no seams."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

# S sources, N samples

SURER = 0.05  # by how much the correlations of those that change places must grow
QUIET = 0.01  # of a window's energy: with less in what two windows share, they share more
FAINT = 1e-4  # -40 dB: an estimate's share of the mixture's energy, below which it has no factor of its own
OPPOSITE = -0.1  # a correlation with the mixture below which an estimate's polarity is turned


def fit_to_mixture(estimates: Tensor, mixture: Tensor) -> Tensor:
    """The estimates times a positive factor each, by which they add up to the mixture as nearly as may be.

    A model that learned by a scale-invariant loss gives estimates of any scale and polarity. First all get
    the one factor, g, that brings their sum nearest to the mixture by least squares. Then each gets one of
    its own, by least squares again, held to g by a small penalty (ridge regression, Hoerl and Kennard, 1970):

        minimise |x - sum_s a_s y_s|^2 + 1e-4 |x|^2 sum_s (a_s / g - 1)^2

    so that the level of an estimate over 40 dB below the mixture, a silent speaker's say, stays what the
    model says it is to the others. Where one would not be positive, as of estimates that are hardly
    separated, all keep g. Before that, an estimate that is the mixture's opposite is turned over.

    estimates: (S, N), finite. mixture: (N,).

    >>> sources = torch.randn(2, 8000)
    >>> scaled = fit_to_mixture(torch.tensor([[2.0], [-0.5]]) * sources, sources.sum(0))
    >>> torch.allclose(scaled, sources, atol=0.02)
    True
    """
    y, x = estimates.double(), mixture.double()
    gram, with_mixture, energy = y @ y.T, y @ x, x.square().sum()
    if not gram.trace() > 0 or not energy > 0:
        return torch.zeros_like(estimates)
    signs = _find_signs(gram.diagonal(), with_mixture, energy)
    gram, with_mixture = gram * signs * signs[:, None], with_mixture * signs
    common = with_mixture.sum() / gram.sum()
    if not (common.isfinite() and common > 0):
        common = (energy / gram.trace()).sqrt()  # as if they were uncorrelated
    penalty = FAINT * energy
    ridge = common.square() * gram + penalty * torch.eye(len(y), dtype=y.dtype, device=y.device)
    factors = torch.linalg.solve(ridge, common * with_mixture + penalty)
    if not (factors > 0).all():
        factors = torch.ones_like(factors)
    return (estimates * (signs * common * factors).to(estimates)[:, None]).to(estimates.dtype)


def _find_signs(energies: Tensor, with_mixture: Tensor, energy: Tensor) -> Tensor:
    """1 or -1 for each estimate. A faint one hardly correlates with the mixture: it goes with the others."""
    overall = torch.where(with_mixture.sum() < 0, -1.0, 1.0).to(energies)
    correlations = (
        overall * with_mixture / (energies * energy).sqrt().clamp_min(torch.finfo(energies.dtype).tiny)
    )
    return torch.where(correlations < OPPOSITE, -overall, overall)


def find_order(former: Tensor, new: Tensor, last: Sequence[int]) -> list[int]:
    """Which estimate of the new window goes on with each of the former ones, by what both heard.

    former, new: (S, N), estimates of the same samples, at their levels in the mixture.
    last: the order to keep where these do not tell, as in silence, or where all sound alike.

    Of all orders that in which the estimates differ least, sum_i |former_i - new_order(i)|^2; as the energies
    are the same in any order, that of the largest sum of products, of which one Gram matrix has all. The
    best is found by the Hungarian method (Kuhn, 1955). Loud sources count most: of one that is silent here
    nothing can be told but which are left.

    >>> sources = torch.randn(3, 800)
    >>> find_order(sources, sources[[2, 0, 1]], last=[0, 1, 2])
    [1, 2, 0]
    >>> find_order(sources, 0 * sources, last=[1, 0, 2])
    [1, 0, 2]
    """
    from scipy.optimize import linear_sum_assignment

    former, new = former.double(), new.double()
    products = (former @ new.T).cpu().numpy()
    best = linear_sum_assignment(products, maximize=True)[1].tolist()
    moved = [row for row in range(len(best)) if best[row] != last[row]]
    if not moved:
        return best
    kept, chosen = [last[row] for row in moved], [best[row] for row in moved]
    gain = products[moved, chosen].sum() - products[moved, kept].sum()
    most = (former[moved].square().sum() * new[chosen].square().sum()).sqrt().item()
    return best if gain > SURER * most else list(last)


def cross_fade(former: Tensor, new: Tensor) -> Tensor:
    """From the one to the other, (..., N) both, by squared sines: weights that add up to 1.

    >>> [round(weight, 2) for weight in cross_fade(torch.ones(4), torch.zeros(4)).tolist()]
    [0.96, 0.69, 0.31, 0.04]
    """
    n_samples = new.shape[-1]
    places = (torch.arange(n_samples, dtype=new.dtype, device=new.device) + 0.5) / max(1, n_samples)
    return former + (new - former) * torch.sin(places * torch.pi / 2).square()


def cut_windows(
    blocks: Iterable[Tensor], n_window: int, n_hop: int, n_step: int = 1
) -> Iterator[tuple[int, Tensor]]:
    """Windows of a signal that comes in blocks (n,), each with the number of its first sample.

    Windows hold `n_window` samples and begin `n_hop` after one another, at multiples of `n_step`. Where what
    the next one would share is a pause, by which no sources can be told, it begins earlier: where it shares
    a hundredth of the energy, or half of the window. The last one begins where it ends with the signal and
    holds as many samples as the others, or up to `n_step` fewer. A signal no longer than a window is one. At
    most two windows and a block are held.

    n_hop: a multiple of n_step, at most n_window.

    >>> [(at, len(x)) for at, x in cut_windows([torch.zeros(7), torch.zeros(6)], 6, 4, 2)]
    [(0, 6), (4, 6), (8, 5)]
    """
    held, begin, at = torch.zeros(0), 0, 0  # what is held begins at `begin`, the next window at `at`
    for block in blocks:
        held = torch.cat([held, block])
        while begin + len(held) > at + n_window:
            window = held[at - begin : at - begin + n_window]
            yield at, window
            held, begin, at = held[at - begin :], at, at + _find_hop(window, n_hop, n_step)
    if at:
        n_total = begin + len(held)
        at = max(0, -(-(n_total - n_window) // n_step) * n_step)
    if len(held):
        yield at, held[at - begin :]


def _find_hop(window: Tensor, n_hop: int, n_step: int) -> int:
    """How far behind this window's begin the next one begins."""
    if n_hop == len(window):
        return n_hop
    energies = window.double().square()
    least = QUIET * energies.sum()
    while energies[n_hop:].sum() < least and n_hop - n_step >= len(window) / 2:
        n_hop -= n_step
    return n_hop


def join_windows(windows: Iterable[tuple[int, Tensor]], n_fade: int) -> Iterator[Tensor]:
    """The estimates of the whole, in stretches (S, n), from those of windows (S, n) that overlap.

    windows: as `cut_windows` orders them, each with the number of its first sample. Their sources may come in
        any order: they are told by what a window shares with the one before (`find_order`).
    n_fade: samples over which the one gives way to the other, in the middle of what they share. What lies
        outside is taken from the window in which it is farther from an edge, where a model hears little of
        what is around it.
    """
    held, begin, order = torch.zeros(0), 0, [0]
    for at, new in windows:
        if not len(held):
            held, begin, order = new, at, list(range(len(new)))
            continue
        end = begin + held.shape[1]
        first = max(at, begin)
        shared = new[:, first - at : end - at]
        order = find_order(held[:, first - begin :], shared, order)
        new = new[order]
        n = min(n_fade, end - first)
        seam = max(first, (at + end - n) // 2)
        yield held[:, : seam - begin]
        faded = cross_fade(held[:, seam - begin : seam - begin + n], new[:, seam - at : seam - at + n])
        held, begin = torch.cat([faded, new[:, seam - at + n :]], 1), seam
    if len(held):
        yield held
