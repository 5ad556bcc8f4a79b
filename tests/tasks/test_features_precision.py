"""Features are computed in full precision, whatever the model computes in."""

import torch
from torch import nn

from speechkit.features import LogMel
from speechkit.tasks.classification import compute_features


def test_features_within_autocast_equal_those_without() -> None:
    modules = nn.ModuleDict({"features": LogMel(16000, n_mels=40)})
    waveforms, lengths = 0.1 * torch.randn(2, 8000), torch.tensor([8000, 5000])
    expected, _ = compute_features(modules, waveforms, lengths, None)
    with torch.autocast("cpu", torch.bfloat16):
        features, _ = compute_features(modules, waveforms, lengths, None)
    assert features.dtype is torch.float32
    assert torch.equal(features, expected)
