"""Layers with weights: (x, lengths=None) to x, channels last."""

from speechkit.nnet.conformer_convolution import ConformerConvolution
from speechkit.nnet.convolution import Conv1d, Conv2d
from speechkit.nnet.dropout import Dropout, Dropout2d
from speechkit.nnet.feed_forward import FeedForward
from speechkit.nnet.global_norm import GlobalLayerNorm
from speechkit.nnet.hyper_activations import Cardioid, HyperDropout, ModReLU, PhaseTanh, ZReLU
from speechkit.nnet.hyper_attention import (
    CMultiheadAttention,
    HyperMultiheadAttention,
    MultiheadAttention,
    QMultiheadAttention,
)
from speechkit.nnet.hyper_convolution import CConv1d, CConv2d, HyperConv1d, HyperConv2d, QConv1d, QConv2d
from speechkit.nnet.hyper_initialization import hyper_init
from speechkit.nnet.hyper_linear import CLinear, HyperLinear, QLinear
from speechkit.nnet.hyper_normalization import (
    CBatchNorm,
    CLayerNorm,
    HyperBatchNorm,
    HyperLayerNorm,
    QBatchNorm,
    QLayerNorm,
)
from speechkit.nnet.hyper_pooling import HyperPooling1d, HyperPooling2d, QPooling2d
from speechkit.nnet.hyper_recurrent import (
    CGRU,
    CLSTM,
    CRNN,
    QGRU,
    QLSTM,
    QRNN,
    HyperGRU,
    HyperLSTM,
    HyperRNN,
)
from speechkit.nnet.hyper_weight import keep_matrices
from speechkit.nnet.join_bands import JoinBands
from speechkit.nnet.ligru import CLiGRU, HyperLiGRU, LiGRU, QLiGRU
from speechkit.nnet.linear import Linear
from speechkit.nnet.norm_pool import NormPool2d
from speechkit.nnet.normalization import BatchNorm, LayerNorm, SubSpectralNorm
from speechkit.nnet.normalization import BatchNorm as BatchNorm1d
from speechkit.nnet.normalization import BatchNorm as BatchNorm2d
from speechkit.nnet.pooling import GlobalAveragePool, Pooling1d, Pooling2d, StatisticsPooling
from speechkit.nnet.positions import SinusoidalPositions
from speechkit.nnet.prelu import PReLU
from speechkit.nnet.recurrent import GRU, LSTM, RNN
from speechkit.nnet.sequential import Sequential
from speechkit.nnet.strf import STRFConv2d
from speechkit.nnet.subsampling import ConvSubsampling, JoinFrames

__all__ = [
    "CGRU",
    "CLSTM",
    "CRNN",
    "QGRU",
    "QLSTM",
    "QRNN",
    "HyperGRU",
    "HyperLSTM",
    "HyperRNN",
    "CLiGRU",
    "HyperLiGRU",
    "LiGRU",
    "QLiGRU",
    "GRU",
    "LSTM",
    "RNN",
    "BatchNorm",
    "STRFConv2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "CBatchNorm",
    "CConv1d",
    "CConv2d",
    "CLayerNorm",
    "CLinear",
    "CMultiheadAttention",
    "Cardioid",
    "ConformerConvolution",
    "Conv1d",
    "Conv2d",
    "ConvSubsampling",
    "Dropout",
    "Dropout2d",
    "FeedForward",
    "GlobalAveragePool",
    "GlobalLayerNorm",
    "HyperBatchNorm",
    "HyperConv1d",
    "HyperConv2d",
    "HyperDropout",
    "HyperLayerNorm",
    "HyperLinear",
    "HyperMultiheadAttention",
    "HyperPooling1d",
    "HyperPooling2d",
    "JoinBands",
    "JoinFrames",
    "LayerNorm",
    "Linear",
    "ModReLU",
    "MultiheadAttention",
    "NormPool2d",
    "PReLU",
    "PhaseTanh",
    "Pooling1d",
    "Pooling2d",
    "QBatchNorm",
    "QConv1d",
    "QConv2d",
    "QLayerNorm",
    "QLinear",
    "QMultiheadAttention",
    "QPooling2d",
    "Sequential",
    "SinusoidalPositions",
    "StatisticsPooling",
    "SubSpectralNorm",
    "ZReLU",
    "hyper_init",
    "keep_matrices",
]
