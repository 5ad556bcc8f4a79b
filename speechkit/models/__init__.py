"""Whole networks made of layers of nnet."""

from speechkit.models.bcresnet import BCResNet
from speechkit.models.classifier import Classifier
from speechkit.models.convnet import ConvNet
from speechkit.models.crdnn import CRDNN
from speechkit.models.ensemble import Ensemble
from speechkit.models.resnet import ResNet

__all__ = ["BCResNet", "CRDNN", "Classifier", "ConvNet", "Ensemble", "ResNet"]
