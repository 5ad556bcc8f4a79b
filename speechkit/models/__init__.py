"""Whole networks made of layers of nnet."""

from speechkit.models.bcresnet import BCResNet
from speechkit.models.resnet import ResNet

__all__ = ["BCResNet", "ResNet"]
