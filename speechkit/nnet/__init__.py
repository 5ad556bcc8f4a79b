"""Layers with weights: (x, lengths=None) to x, channels last."""

from speechkit.nnet.convolution import Conv1d, Conv2d
from speechkit.nnet.dropout import Dropout2d
from speechkit.nnet.linear import Linear
from speechkit.nnet.norm_pool import NormPool2d
from speechkit.nnet.normalization import BatchNorm, LayerNorm, SubSpectralNorm
from speechkit.nnet.normalization import BatchNorm as BatchNorm1d
from speechkit.nnet.normalization import BatchNorm as BatchNorm2d
from speechkit.nnet.pooling import GlobalAveragePool, Pooling1d, Pooling2d, StatisticsPooling
from speechkit.nnet.recurrent import GRU, LSTM, RNN
from speechkit.nnet.sequential import Sequential
from speechkit.nnet.strf import STRFConv2d

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BatchNorm",
    "STRFConv2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "Dropout2d",
    "GlobalAveragePool",
    "LayerNorm",
    "Linear",
    "NormPool2d",
    "Pooling1d",
    "Pooling2d",
    "Sequential",
    "StatisticsPooling",
    "SubSpectralNorm",
]
