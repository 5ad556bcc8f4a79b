"""Rates without a common divisor: the sum taken tap by tap is the kernel's, and takes no memory."""

import math

import pytest
import torch

from speechkit.ops.resample import _resample_by_taps, resample, resample_blocks


@pytest.mark.parametrize(("rate", "new_rate"), [(8000, 16000), (44100, 16000), (7, 5), (100, 3), (3, 100)])
@pytest.mark.parametrize("n_samples", [1, 2, 7, 2500])
def test_tap_by_tap_is_torchaudios_kernel(rate: int, new_rate: int, n_samples: int) -> None:
    x = torch.randn(2, n_samples, dtype=torch.float64)
    divisor = math.gcd(rate, new_rate)
    y = _resample_by_taps(x, rate // divisor, new_rate // divisor)
    torch.testing.assert_close(y, resample(x, rate, new_rate), rtol=0, atol=1e-11)


@pytest.mark.parametrize(("rate", "new_rate"), [(8001, 8000), (44101, 16000), (16000, 44101), (16001, 8000)])
def test_a_tone_stays_a_tone_at_odd_rates(rate: int, new_rate: int) -> None:
    def tone(hz: int) -> torch.Tensor:
        return torch.sin(2 * torch.pi * 440 * torch.arange(hz // 4, dtype=torch.float64) / hz)

    y = resample(tone(rate), rate, new_rate)
    expected = tone(new_rate)[: len(y)]
    inner = slice(len(expected) // 10, -len(expected) // 10)
    torch.testing.assert_close(y[: len(expected)][inner], expected[inner], rtol=0, atol=5e-3)


def test_a_header_that_lies_about_its_rate_does_no_harm() -> None:
    assert resample(torch.randn(1, 4000), 4_294_967_291, 16000).shape == (1, 1)


def test_gradients_through_the_taps() -> None:
    x = torch.randn(2, 40, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda wave: _resample_by_taps(wave, 7, 5), x)


@pytest.mark.parametrize(
    ("rate", "new_rate"), [(100, 80), (80, 100), (147, 80), (101, 100), (100, 100), (4, 90), (90, 4)]
)
@pytest.mark.parametrize("sizes", [[5000], [1] * 40 + [1700, 333, 0, 2999], [350] * 9, [3], []])
def test_block_by_block_is_the_whole(rate: int, new_rate: int, sizes: list[int]) -> None:
    x = torch.randn(2, sum(sizes), dtype=torch.float64)
    given, taken = [], []
    for size in sizes:
        given.append(x[:, sum(part.shape[1] for part in given) :][:, :size])
    for block in resample_blocks(iter(given), rate, new_rate):
        taken.append(block)
    if not sizes:
        assert taken == []
        return
    torch.testing.assert_close(torch.cat(taken, 1), resample(x, rate, new_rate), rtol=0, atol=1e-12)


def test_blocks_come_as_they_can_and_not_at_the_end() -> None:
    n_given, behind = 0, []

    def blocks():
        nonlocal n_given
        for _ in range(30):
            n_given += 250
            yield torch.zeros(250)

    n_taken = 0
    for block in resample_blocks(blocks(), 100, 50):
        n_taken += len(block)
        behind.append(n_given - 2 * n_taken)
    assert n_taken == 30 * 125
    assert max(behind) <= 200
