"""Learnable spectro-temporal receptive fields: filters of an envelope times a wave, over log-mel features.

Riad, Karadayi, Bachoud-Levi, Dupoux: Learning spectro-temporal representations of complex sounds with
parameterized neural networks, JASA 150(1), 2021.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError, suggest
from speechkit.nnet.sizes import check_positive, pair_of
from speechkit.ops.filtering import filter_spectra
from speechkit.ops.graphs import is_exporting
from speechkit.ops.lengths import conv_output_lengths, mask_padding, padding_amounts

# B batch, T frames, F bands, C kernels, R carriers (cosine, sine), K taps in frequency, L taps in time
CARRIERS = {"cos": ("cos",), "sin": ("sin",), "both": ("cos", "sin")}
ROUTES = ("auto", "dense", "separable", "fourier")
SMALLEST_FOR_FOURIER = 450  # K L from which the transform is the faster over seconds of speech
EPSILON = 1e-3  # the paper's, added to the widths of the envelope
NUMBERS = ("direction", "modulation", "width_f", "width_t")  # of a kernel
Pads = tuple[tuple[int, int], tuple[int, int]]  # zeros (before, after) in time, in frequency


def strf_grid(n_taps: int, like: Tensor) -> Tensor:
    """The paper's points along an axis: from -ceil(K/2) + 1 to ceil(K/2), whole numbers where K is even.

    >>> strf_grid(4, torch.zeros(())).tolist(), strf_grid(3, torch.zeros(())).tolist()
    ([-1.0, 0.0, 1.0, 2.0], [-1.0, 0.5, 2.0])
    """
    half = math.ceil(n_taps / 2)
    return torch.linspace(1 - half, half, n_taps, dtype=like.dtype, device=like.device)


def strf_factors(
    direction: Tensor, modulation: Tensor, width_f: Tensor, width_t: Tensor, kernel_size: tuple[int, int],
    carrier: str = "cos",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """What kernels are sums of products of: along frequency (C, R, 2, K), along time (C, 2, L).

    With a = modulation cos(direction) and b = modulation sin(direction), in radians, a kernel is an envelope
    times cos(a t + b f) = cos(a t) cos(b f) - sin(a t) sin(b f), or
    sin(a t + b f) = cos(a t) sin(b f) + sin(a t) cos(b f).
    """
    f, t = strf_grid(kernel_size[0], width_f), strf_grid(kernel_size[1], width_t)
    amplitude = (2 * math.pi * width_f * width_t).reciprocal()
    envelope_f = amplitude[:, None] * torch.exp(-0.5 * (f / (width_f + EPSILON)[:, None]) ** 2)
    envelope_t = torch.exp(-0.5 * (t / (width_t + EPSILON)[:, None]) ** 2)
    phase_f = (modulation * direction.sin())[:, None] * f
    phase_t = (modulation * direction.cos())[:, None] * t
    cosine, sine = phase_f.cos(), phase_f.sin()
    pairs = {"cos": (cosine, -sine), "sin": (sine, cosine)}
    # One stack for all: kernels are made anew in every step, of tensors so small that calls are what counts.
    rows = torch.stack([part for each in CARRIERS[carrier] for part in pairs[each]], 1)
    in_time = torch.stack((phase_t.cos(), phase_t.sin()), 1) * envelope_t[:, None]
    return (rows * envelope_f[:, None]).unflatten(1, (-1, 2)), in_time


def strf_kernels(in_frequency: Tensor, in_time: Tensor) -> Tensor:
    """Factors (C, R, 2, K) and (C, 2, L) to kernels (R C, K, L), all cosines before all sines."""
    rows = in_frequency.transpose(2, 3).flatten(1, 2)  # einsum would do the same, slower
    kernels = torch.bmm(rows, in_time).unflatten(1, (in_frequency.shape[1], -1))
    return kernels.transpose(0, 1).flatten(0, 1)


def convolve_dense(x: Tensor, kernels: Tensor, pads: Pads, stride: tuple[int, int]) -> Tensor:
    """(B, T, F) and kernels (C, K, L) to (B, T', F', C): K L products for a value."""
    image = F.pad(x, (*pads[1], *pads[0])).unsqueeze(1)
    return F.conv2d(image, kernels.transpose(1, 2).unsqueeze(1), stride=stride).permute(0, 2, 3, 1)


def convolve_separable(
    x: Tensor, in_frequency: Tensor, in_time: Tensor, pads: Pads, stride: tuple[int, int]
) -> Tensor:
    """As `convolve_dense`, along time and then along frequency: 2 (K + L) products for a value."""
    n_kernels, n_carriers, _, n_taps = in_frequency.shape
    image = F.pad(x, (*pads[1], *pads[0])).unsqueeze(1)
    parts = F.conv2d(image, in_time.reshape(2 * n_kernels, 1, -1, 1), stride=(stride[0], 1))
    weight = in_frequency.reshape(n_kernels * n_carriers, 2, 1, n_taps)
    y = F.conv2d(parts, weight, stride=(1, stride[1]), groups=n_kernels)
    return y.unflatten(1, (n_kernels, n_carriers)).permute(0, 3, 4, 2, 1).flatten(3)


def convolve_fourier(
    x: Tensor, in_frequency: Tensor, in_time: Tensor, pads: Pads, stride: tuple[int, int]
) -> Tensor:
    """As `convolve_dense`: by the discrete Fourier transform along time, tap by tap along frequency.

    A kernel's few taps in frequency cost less as a product than as a longer transform, and taken before the
    way back there is one transform for each output band and kernel.
    """
    n_frames, dtype = x.shape[1] + sum(pads[0]), x.dtype
    size = smooth_size(n_frames)  # a correlation whose kernel stays inside its input never wraps around
    with torch.autocast(x.device.type, enabled=False):
        x, in_frequency, in_time = (_transformable(each) for each in (x, in_frequency, in_time))
        # Time last: both ways then run along memory, in the backward pass too.
        bands = torch.fft.rfft(F.pad(x, (*pads[1], *pads[0])).transpose(1, 2).contiguous(), n=size)
        rows = bands.unfold(1, in_frequency.shape[-1], stride[1]).permute(2, 0, 1, 3)
        waves = torch.fft.rfft(in_time, n=size).conj()
        weight = torch.einsum("cpw,crpk->wkrc", waves, in_frequency.to(waves.dtype)).flatten(2)
        n_outputs = n_frames - in_time.shape[-1] + 1
        y = filter_spectra(rows.flatten(1, 2), weight, size, n_outputs, stride[0])  # (B F'), (R C), T'
    return y.unflatten(0, (len(x), -1)).permute(0, 3, 1, 2).to(dtype)


def smooth_size(n: int) -> int:
    """The least number from `n` on without a prime factor above 5: transforms of these are fast.

    >>> smooth_size(511), smooth_size(7)
    (512, 8)
    """
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def _transformable(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class STRFConv2d(nn.Module):
    """Learned spectro-temporal filters (Riad et al., 2021): log-mel (B, T, F) to (B, T', F', C).

    A kernel with f and t on `strf_grid` is, with four learned numbers g, m, s_f and s_t,
    exp(-1/2 [f^2 / (s_f + 1e-3)^2 + t^2 / (s_t + 1e-3)^2]) cos(m (t cos g + f sin g)) / (2 pi s_f s_t).
    They start as published: g uniform in (-pi, pi), m = pi/2 1.41^-U(0, 5), s = 2 1.41^U(0, 6), in taps. (The
    published angles theta and psi do not enter the published kernel, and are not here.)

    `kernel_size` and `stride` are [frequency, time], as in the paper. `carrier`: `cos`, `sin`, or `both`, for
    complex numbers: 2 x out_channels values, all cosines before all sines. `padding` as in `Conv1d` for time;
    in frequency `causal` is `same`. `route`: `dense` and `separable` convolve, `fourier` transforms; `auto`
    takes the fastest for the kernel's size. Frames past an item's true length count as zeros.

    `trainable` false keeps the filters as they start: the control that tells what learning them is worth. The
    buffer `start` (4, C) holds the numbers that training begins with; a report shows how far they moved.

    >>> STRFConv2d(8, kernel_size=(9, 25))(torch.zeros(2, 50, 40)).shape
    torch.Size([2, 50, 40, 8])
    """

    def __init__(
        self,
        out_channels: int,
        kernel_size: int | Sequence[int],
        input_shape: Sequence[int | None] | None = None,
        stride: int | Sequence[int] = 1,
        padding: str = "same",
        carrier: str = "cos",
        route: str = "auto",
        trainable: bool = True,
    ) -> None:
        super().__init__()
        check_positive("STRFConv2d", out_channels=out_channels)
        _check_one_of("carrier", carrier, CARRIERS)
        _check_one_of("route", route, ROUTES)
        if input_shape is not None and len(input_shape) > 3:
            _check_one_channel(input_shape[3])
        self.kernel_size = pair_of(kernel_size, "STRFConv2d", "kernel_size")
        self.stride = pair_of(stride, "STRFConv2d", "stride")
        self.padding, self.carrier, self.route = padding, carrier, route
        in_frequency = "same" if padding == "causal" else padding
        self._pads = (
            padding_amounts(self.kernel_size[1], 1, padding),
            padding_amounts(self.kernel_size[0], 1, in_frequency),
        )
        uniform = torch.rand(4, out_channels)
        self.direction = nn.Parameter(math.pi * (2 * uniform[0] - 1))
        self.modulation = nn.Parameter(math.pi / 2 * 1.41 ** (-5 * uniform[1]))
        self.width_f = nn.Parameter(2 * 1.41 ** (6 * uniform[2]))
        self.width_t = nn.Parameter(2 * 1.41 ** (6 * uniform[3]))
        self.start: Tensor
        self.register_buffer("start", torch.zeros(4, out_channels))
        self.mark_start()
        self.requires_grad_(trainable)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F) or (B, T, F, 1), true lengths (B,) in frames, to (B, T', F', C), with `both` 2 C."""
        if x.dim() == 4:
            _check_one_channel(x.shape[3])
            x = x.squeeze(3)
        if self.output_frames(x.shape[1]) < 1 or x.shape[2] + sum(self._pads[1]) < self.kernel_size[0]:
            raise UserError(
                f"STRFConv2d got {x.shape[1]} frames of {x.shape[2]} bands, less than its kernel spans",
                do="use longer input or padding: same",
            )
        x, stride, route = mask_padding(x, lengths), (self.stride[1], self.stride[0]), self._route()
        in_frequency, in_time = self.factors()
        if route == "dense":
            return convolve_dense(x, strf_kernels(in_frequency, in_time), self._pads, stride)
        convolve = convolve_fourier if route == "fourier" else convolve_separable
        return convolve(x, in_frequency, in_time, self._pads, stride)

    def factors(self) -> tuple[Tensor, Tensor]:
        """What the kernels are products of: (C, R, 2, K) along frequency, (C, 2, L) along time."""
        numbers = (self.direction, self.modulation, self.width_f, self.width_t)
        return strf_factors(*numbers, self.kernel_size, self.carrier)

    def kernels(self) -> Tensor:
        """The filters, (C, K, L) in frequency and time, with `both` 2 C of them."""
        return strf_kernels(*self.factors())

    @torch.no_grad()
    def mark_start(self) -> None:
        """Let the filters as they are now be those that training begins with."""
        self.start.copy_(self._numbers())

    def describe_filters(self) -> dict[str, Any]:
        """Plain values that a report makes filters from: at the start of training, and as they are now."""
        return {
            "kind": "strf",
            "kernel_size": dict(zip(("bands", "frames"), self.kernel_size, strict=True)),
            "carrier": self.carrier,
            "trainable": any(number.requires_grad for number in self.parameters()),
            "start": dict(zip(NUMBERS, self.start.tolist(), strict=True)),
            "end": dict(zip(NUMBERS, self._numbers().tolist(), strict=True)),
        }

    def _numbers(self) -> Tensor:
        """Of all kernels (4, C); of a model spread over processes by all of these together."""
        own: list[Any] = [getattr(self, name).detach() for name in NUMBERS]
        return torch.stack([each.full_tensor() if hasattr(each, "full_tensor") else each for each in own])

    def output_frames(self, n_frames: int) -> int:
        """Frames made of `n_frames`."""
        return conv_output_lengths(n_frames, self.kernel_size[1], self.stride[1], padding=self.padding)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """True lengths of the output."""
        return conv_output_lengths(lengths, self.kernel_size[1], self.stride[1], padding=self.padding)

    def _route(self) -> str:
        if self.route != "auto":
            return self.route
        is_large = math.prod(self.kernel_size) >= SMALLEST_FOR_FOURIER
        # Exported graphs hold no complex numbers.
        return "fourier" if is_large and not is_exporting() else "dense"


def _check_one_of(name: str, value: str, expected: Sequence[str] | dict) -> None:
    if value not in expected:
        found = f"STRFConv2d: {name} is {value!r}{suggest(str(value), expected)}"
        raise UserError(found, expected=", ".join(expected), key=name)


def _check_one_channel(n_channels: int | None) -> None:
    if n_channels != 1:
        raise UserError(f"STRFConv2d got {n_channels} channels", expected="features with one, (B, T, F)")
