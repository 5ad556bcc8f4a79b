"""Perturbation along frequency, against what it stands for."""

import math

import pytest
import torch

from speechkit.errors import UserError
from speechkit.features import BandGain, FrequencyWarp, LogMel


def test_warping_moves_a_ramp_by_its_factor():
    ramp = torch.arange(40.0).repeat(200, 3, 1)
    y = FrequencyWarp(0.2)(ramp)
    factors = y[:, 0, 20] / 20
    assert factors.min() > 0.79
    assert factors.max() < 1.21
    assert factors.std() > 0.08  # uniform: 0.4 / sqrt(12)
    expected = (torch.arange(40.0) * factors.unsqueeze(1)).clamp_max(39)
    torch.testing.assert_close(y[:, 1], expected, atol=1e-4, rtol=1e-4)


def test_no_warping_is_no_change():
    x = torch.randn(3, 5, 8)
    torch.testing.assert_close(FrequencyWarp(0.0)(x), x)


def test_gains_have_the_deviation_in_decibels_and_are_steady_in_time():
    x = torch.randn(2000, 4, 11)
    change = BandGain(3.0, n_points=6)(x) - x
    assert (change - change[:, :1]).abs().max() < 1e-5
    decibels = change[:, 0, ::2] * 10 / math.log(10)
    assert decibels.std() == pytest.approx(3.0, rel=0.05)
    torch.testing.assert_close(change[:, 0, 1], (change[:, 0, 0] + change[:, 0, 2]) / 2, atol=1e-5, rtol=1e-5)


def test_a_flat_gain_is_what_a_louder_waveform_gives():
    torch.manual_seed(0)
    front_end, x = LogMel(16000, n_mels=40), torch.randn(1, 4000) * 0.1
    torch.manual_seed(5)
    gain_db = 6.0 * torch.randn(1, 1, 2)
    torch.manual_seed(5)
    changed = BandGain(6.0, n_points=2)(front_end(x)[0])
    louder = front_end(x * 10 ** (gain_db[0, 0, 0] / 20))[0]
    torch.testing.assert_close(changed[:, :, 0], louder[:, :, 0])


@pytest.mark.parametrize("augmentation", [FrequencyWarp(0.1), BandGain()])
def test_the_default_generator_decides(augmentation):
    x = torch.randn(3, 5, 8)
    torch.manual_seed(3)
    first, second = augmentation(x), augmentation(x)
    torch.manual_seed(3)
    torch.testing.assert_close(augmentation(x), first, rtol=0, atol=0)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    "build", [lambda: FrequencyWarp(1.0), lambda: BandGain(-1.0), lambda: BandGain(n_points=1)]
)
def test_impossible_arguments_are_users_mistakes(build):
    with pytest.raises(UserError):
        build()
