"""Losses of separated signals: how far estimates are from references, in the best order of speakers."""

from collections.abc import Callable
from itertools import permutations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from speechkit.errors import UserError
from speechkit.ops.lengths import check_lengths, is_padded, mask_padding

# B batch, S sources, N samples
Pairwise = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # (B, S, N) twice, (B,) -> (B, S, S)
MOST_ENUMERATED = 3  # sources of which all orders are tried; of more, the Hungarian method finds the best
FLOOR = 1e-9  # of the larger of two energies: ratios lie within 90 dB, and silence has a loss
SILENCE = 1e-20  # energy; the gradient, up to 10 / (SILENCE FLOOR ln 10), is within float32
SMALLEST_POWER = 1e-10  # of a value of a spectrum
LARGEST_CONVERGENCE = 100.0  # about: of an estimate 40 dB louder than its reference


class Products(NamedTuple):
    """Inner products over time of estimates and references, in float64."""

    pairs: Tensor  # (B, S, S), of estimate i with reference j
    estimates: Tensor  # (B, S, 1), of each with itself
    references: Tensor  # (B, 1, S)


def inner_products(
    estimates: Tensor, references: Tensor, lengths: Tensor | None = None, *, zero_mean: bool = True
) -> Products:
    """One matrix product of both over true samples, of signals less their means if `zero_mean`.

    estimates, references: (B, S, N); never changed. lengths: (B,) true samples.

    What a good estimate misses is a small difference of these products: in float32 sums over 30 s would end
    at 45 dB. In float64 a mean can also be taken off the products in place of the signals, as
    <x - mx, y - my> = <x, y> - n mx my.

    >>> x = torch.tensor([[[1.0, 3.0]]])
    >>> inner_products(x, x).pairs.item(), inner_products(x, x, zero_mean=False).pairs.item()
    (2.0, 10.0)
    """
    x, y = _checked(estimates, references, lengths)
    pairs, of_x, of_y, sums_x, sums_y = _Sums.apply(x, y)
    if zero_mean:
        n_samples = _count(x.shape[2], lengths, pairs)
        pairs = pairs - sums_x.unsqueeze(2) * sums_y.unsqueeze(1) / n_samples.unsqueeze(2)
        of_x, of_y = of_x - sums_x.square() / n_samples, of_y - sums_y.square() / n_samples
    return Products(pairs, of_x.clamp_min(0).unsqueeze(2), of_y.clamp_min(0).unsqueeze(1))


class _Sums(torch.autograd.Function):
    """(B, S, N) twice to <x_i, y_j> (B, S, S), <x_i, x_i>, <y_j, y_j>, sums of x_i, of y_j (B, S).

    Sums are in float64, of copies that are gone at once; the gradient is in the signals' own precision, in
    one pass less than automatic differentiation needs for each of them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(x, y)
        x, y = x.double(), y.double()
        energies = (torch.linalg.vecdot(signals, signals) for signals in (x, y))
        return x @ y.mT, *energies, x.sum(2), y.sum(2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, pairs: Tensor, of_x: Tensor, of_y: Tensor, sums_x: Tensor, sums_y: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        x, y = ctx.saved_tensors
        of_estimates = _gradient_of_sums(x, y, pairs, of_x, sums_x) if ctx.needs_input_grad[0] else None
        of_references = _gradient_of_sums(y, x, pairs.mT, of_y, sums_y) if ctx.needs_input_grad[1] else None
        return of_estimates, of_references


def _gradient_of_sums(x: Tensor, y: Tensor, pairs: Tensor, energies: Tensor, sums: Tensor) -> Tensor:
    """For `x`, of gradients for its products with `y`, for its energies and its sums."""
    with torch.autocast(x.device.type, enabled=False):
        gradient = pairs.to(x.dtype) @ y
    gradient.addcmul_(x, (2 * energies).to(x.dtype).unsqueeze(2))
    return gradient.add_(sums.to(x.dtype).unsqueeze(2))


def pairwise_si_snr(estimates: Tensor, references: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Negative scale-invariant signal-to-noise ratios in dB, (B, S, S): of estimate i for reference j.

    The signal is the reference times the factor that brings it nearest to the estimate, the noise what is
    left of the estimate, both less their means (Le Roux et al., "SDR - half-baked or well done?", ICASSP
    2019, equation 5; SI-SNR of Luo and Mesgarani, 2019). Within 90 dB, by a floor that is felt from 60 dB on
    (0.004 dB there, 0.4 at 80); of silence, in either, 90 and without a gradient.

    >>> s = torch.tensor([[[1.0, -1.0, 1.0, -1.0]]])
    >>> n = torch.tensor([[[1.0, 1.0, -1.0, -1.0]]])
    >>> round(pairwise_si_snr(s + 0.1 * n, 5 * s).item(), 4)
    -20.0
    """
    pairs, of_estimates, of_references = inner_products(estimates, references, lengths)
    # The squared cosine is the share of the estimate's energy that the reference explains.
    cosines = pairs * of_estimates.clamp_min(SILENCE).rsqrt() * of_references.clamp_min(SILENCE).rsqrt()
    share = cosines.square().clamp_max(1)
    return _decibels(1 - share, share).to(_float_type(estimates, references))


def pairwise_snr(estimates: Tensor, references: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Negative signal-to-noise ratios in dB, (B, S, S): of estimate i for reference j, scales and means too.

    Within 90 dB: 90 of a silent reference, 0 if the estimate is silent as well.

    >>> s = torch.tensor([[[1.0, -1.0, 1.0, -1.0]]])
    >>> round(pairwise_snr(1.1 * s, s).item(), 4)
    -20.0
    """
    pairs, of_estimates, of_references = inner_products(estimates, references, lengths, zero_mean=False)
    noise = (of_estimates + of_references - 2 * pairs).clamp_min(0)
    larger = torch.maximum(of_estimates, of_references).detach().clamp_min(SILENCE)
    return _decibels(noise / larger, of_references / larger).to(_float_type(estimates, references))


def pairwise_l1(estimates: Tensor, references: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Mean absolute differences over true samples, (B, S, S): of estimate i and reference j.

    >>> x = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]])
    >>> pairwise_l1(x, x)[0].tolist()
    [[0.0, 2.0], [2.0, 0.0]]
    """
    x, y = _checked(estimates, references, lengths)
    sums = torch.stack([(x - each.unsqueeze(1)).abs().sum(2) for each in y.unbind(1)], 2)
    return sums / _count(x.shape[2], lengths, x).unsqueeze(2)


class MultiResolutionSTFT:
    """Spectral convergence and log amplitudes over several short-time Fourier transforms, (B, S, S).

    Yamamoto, Song, Kim: Parallel WaveGAN, ICASSP 2020, equations 3 to 6: of every resolution the sum of both,
    and of these the mean. Amplitudes are at least 1e-5. A silent reference has a loss of about 100.

    fft_sizes: samples; hops are a quarter of them, windows Hann windows of their length.

    >>> loss, x = MultiResolutionSTFT((16, 32)), torch.randn(1, 1, 100)
    >>> loss(x, x).item(), round(loss(torch.zeros_like(x), 1e3 * x).item()) > 1
    (0.0, True)
    """

    def __init__(self, fft_sizes: tuple[int, ...] = (512, 1024, 2048)) -> None:
        if not fft_sizes or min(fft_sizes) < 4:
            found = f"fft_sizes {fft_sizes}"
            raise UserError(found, expected="one or more, of 4 samples at least", key="fft_sizes")
        self.fft_sizes = tuple(fft_sizes)

    def __call__(self, estimates: Tensor, references: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, S, N) twice, (B,) true samples, to (B, S, S)."""
        x, y = _checked(estimates, references, lengths)
        return torch.stack([_spectral_distances(x, y, lengths, size) for size in self.fft_sizes]).mean(0)


def _spectral_distances(x: Tensor, y: Tensor, lengths: Tensor | None, size: int) -> Tensor:
    """(B, S, N) twice to (B, S, S), of estimate i from reference j, by frames of `size` samples."""
    n_frames = None if lengths is None else lengths.to(x.device) // (size // 4) + 1
    heard, said = (_amplitudes(each, size, n_frames) for each in (x, y))
    n_values = heard.shape[2] * _count(heard.shape[3], n_frames, heard)
    norms = _norms(said, n_frames)
    # So that a silent reference, of which all is missed, has no boundless loss.
    norms = norms.unsqueeze(1).maximum(_norms(heard.detach(), n_frames).unsqueeze(2) / LARGEST_CONVERGENCE)
    columns = []
    for number, each in enumerate(said.unbind(1)):
        difference = heard - each.unsqueeze(1)
        missed = (difference.square().sum((2, 3)) + SMALLEST_POWER).sqrt() - SMALLEST_POWER**0.5
        logs = (heard.log() - each.unsqueeze(1).log()).abs().sum((2, 3)) / n_values
        columns.append(missed / norms[:, :, number] + logs)
    return torch.stack(columns, 2)


def permutation_invariant(losses: Tensor) -> tuple[Tensor, Tensor]:
    """The mean over sources of the best assignment, (B,), and which reference each estimate is, (B, S).

    losses: (B, S, S), of estimate i for reference j. Up to three sources all orders are tried; of more the
    Hungarian method finds the best one (Kuhn, 1955; scipy's). Both give the same.

    >>> mean, order = permutation_invariant(torch.tensor([[[4.0, 1.0], [2.0, 5.0]]]))
    >>> mean.tolist(), order.tolist()
    ([1.5], [[1, 0]])
    """
    n_sources = losses.shape[1]
    find = enumerate_orders if n_sources <= MOST_ENUMERATED else assign_by_hungarian_method
    order = find(losses.detach())
    return losses.gather(2, order.unsqueeze(2)).squeeze(2).mean(1), order


def enumerate_orders(losses: Tensor) -> Tensor:
    """Of all S! orders of references the one of the smallest sum, (B, S); of equal ones the first."""
    n_sources = losses.shape[1]
    orders = torch.tensor(list(permutations(range(n_sources))), device=losses.device)
    estimates = torch.arange(n_sources, device=losses.device)
    return orders[losses[:, estimates, orders].sum(2).argmin(1)]


def assign_by_hungarian_method(losses: Tensor) -> Tensor:
    """The order of references of the smallest sum, (B, S), in time S^3; a NaN counts as a great loss."""
    from scipy.optimize import linear_sum_assignment

    costs = losses.double().nan_to_num(nan=1e9, posinf=1e9, neginf=-1e9).cpu().numpy()
    found = [linear_sum_assignment(each)[1].tolist() for each in costs]
    return torch.tensor(found, device=losses.device)


def separation_loss(
    estimates: Tensor,
    references: Tensor,
    lengths: Tensor | None = None,
    pairwise: Pairwise = pairwise_si_snr,
) -> Tensor:
    """The permutation-invariant loss of each mixture, (B,): Yu et al., ICASSP 2017; Kolbaek et al., 2017.

    estimates, references: (B, S, N). lengths: (B,) true samples. pairwise: the loss of a pair, such as
    `pairwise_si_snr`, in dB; their mean over sources is returned.

    >>> signals = torch.randn(1, 2, 800)
    >>> round(separation_loss(signals.flip(1), signals).item())
    -90
    """
    return permutation_invariant(pairwise(estimates, references, lengths))[0]


def _checked(x: Tensor, y: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Both in float32 at least, zero past the true lengths."""
    if x.dim() != 3 or x.shape != y.shape:
        found = f"estimates of shape {tuple(x.shape)}, references of {tuple(y.shape)}"
        raise UserError(found, expected="(batch, sources, samples) of both")
    check_lengths(lengths, x.shape[2])
    dtype = _float_type(x, y)
    return mask_padding(x.to(dtype), lengths, axis=2), mask_padding(y.to(dtype), lengths, axis=2)


def _float_type(x: Tensor, y: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)


def _count(n_max: int, lengths: Tensor | None, x: Tensor) -> Tensor:
    """True lengths as numbers of `x`'s kind, (B, 1) or, where all are equal, (1, 1); at least 1."""
    if lengths is None or not is_padded(lengths, n_max):
        return x.new_full((1, 1), max(1, n_max))
    return lengths.to(x.device, x.dtype).clamp(1, max(1, n_max)).unsqueeze(1)


def _decibels(noise: Tensor, signal: Tensor) -> Tensor:
    """How much more noise there is than signal; both are shares of the larger energy."""
    return 10 * ((noise + FLOOR) / (signal + FLOOR)).log10()


def _amplitudes(x: Tensor, fft_size: int, n_frames: Tensor | None) -> Tensor:
    """(B, S, N) to (B, S, F, T), the smallest amplitude past the true numbers of frames."""
    window = torch.hann_window(fft_size, device=x.device, dtype=x.dtype)
    padded = torch.nn.functional.pad(x.flatten(0, 1), (fft_size // 2, fft_size // 2))
    spectrum = torch.stft(padded, fft_size, fft_size // 4, window=window, center=False, return_complex=True)
    power = (spectrum.real.square() + spectrum.imag.square()).unflatten(0, x.shape[:2])
    return mask_padding(power, n_frames, axis=3).clamp_min(SMALLEST_POWER).sqrt()


def _norms(amplitudes: Tensor, n_frames: Tensor | None) -> Tensor:
    """(B, S, F, T) to (B, S)."""
    return mask_padding(amplitudes.square(), n_frames, axis=3).sum((2, 3)).sqrt()
