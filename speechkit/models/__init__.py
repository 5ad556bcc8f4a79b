"""Whole networks made of layers of nnet."""

from speechkit.models.bcresnet import BCResNet
from speechkit.models.classifier import Classifier
from speechkit.models.contexts import ContentAttention, LocationAttention, MeanContext, MultiheadContext
from speechkit.models.convnet import ConvNet
from speechkit.models.crdnn import CRDNN
from speechkit.models.deep_clustering import DeepClustering
from speechkit.models.dual_path import DualPath
from speechkit.models.ensemble import Ensemble
from speechkit.models.frame_separator import FrameSeparator
from speechkit.models.ica import separate_by_ica
from speechkit.models.language_models import RecurrentLM, TransformerLM
from speechkit.models.masks import apply_masks
from speechkit.models.network_masker import NetworkMasker
from speechkit.models.nmf_masker import NMFMasker, learn_dictionary
from speechkit.models.paths import RecurrentPath, RecurrentTransformerPath, TransformerPath
from speechkit.models.pyramidal_encoder import PyramidalEncoder
from speechkit.models.recurrent_decoder import RecurrentDecoder
from speechkit.models.resnet import ResNet
from speechkit.models.separator import FilterbankDecoder, FilterbankEncoder, MaskingSeparator
from speechkit.models.spectral_maskers import ComplexMasker, MagnitudeMasker
from speechkit.models.stft import STFTDecoder, STFTEncoder
from speechkit.models.temporal_conv_net import TemporalConvNet
from speechkit.models.transformer_decoder import TransformerDecoder
from speechkit.models.transformer_encoder import ConformerEncoder, TransformerEncoder

__all__ = [
    "BCResNet",
    "CRDNN",
    "Classifier",
    "ComplexMasker",
    "ConformerEncoder",
    "ContentAttention",
    "ConvNet",
    "DeepClustering",
    "DualPath",
    "Ensemble",
    "FilterbankDecoder",
    "FilterbankEncoder",
    "LocationAttention",
    "MagnitudeMasker",
    "MaskingSeparator",
    "MeanContext",
    "MultiheadContext",
    "NMFMasker",
    "FrameSeparator",
    "NetworkMasker",
    "PyramidalEncoder",
    "RecurrentDecoder",
    "RecurrentLM",
    "RecurrentPath",
    "RecurrentTransformerPath",
    "ResNet",
    "STFTDecoder",
    "STFTEncoder",
    "TemporalConvNet",
    "TransformerDecoder",
    "TransformerEncoder",
    "TransformerLM",
    "TransformerPath",
    "apply_masks",
    "learn_dictionary",
    "separate_by_ica",
]
