"""Lhotse cuts to batches: manifests, the sequence of batches, augmentation of cuts, synthetic corpora."""

from speechkit.data.batch import Batch, Skipped, Talker
from speechkit.data.batches import CutBatches
from speechkit.data.clips import read_clips
from speechkit.data.corpus import (
    Clip,
    check_labels,
    find_audio,
    find_folder,
    make_cuts,
    match_names,
    prepare_once,
    read_infos,
    write_once,
)
from speechkit.data.csv_table import read_table
from speechkit.data.download import run_download
from speechkit.data.lexicon import LexiconTokenizer
from speechkit.data.librispeech_synthesis import synthesize_librispeech
from speechkit.data.manifest import read_cuts, write_cuts
from speechkit.data.mixture_lists import build_mixtures, mix_speech
from speechkit.data.mixture_manifests import (
    MixtureFiles,
    find_layout,
    find_mixtures,
    prepare_layout,
    prepare_mixtures,
)
from speechkit.data.mixture_synthesis import synthesize_mixtures
from speechkit.data.mixtures import DynamicMixing, RecordedSources
from speechkit.data.own import prepare_folder, prepare_table, prepare_transcripts
from speechkit.data.reverberation import Reverberation
from speechkit.data.sentence_piece import SentencePieceTokenizer
from speechkit.data.sharding import Sharded, write_shards
from speechkit.data.single_speakers import read_kaldi_table
from speechkit.data.sinusoid_synthesis import synthesize_sinusoids
from speechkit.data.speech_commands import (
    SILENCE,
    UNKNOWN,
    cut_silence,
    draw_unknown,
    part_of_noise,
    random_subset,
    speech_commands_labels,
)
from speechkit.data.speech_commands_lists import SPEECH_COMMANDS_LISTS, read_speech_commands_lists
from speechkit.data.speech_commands_synthesis import synthesize_speech_commands
from speechkit.data.speech_level import active_speech_level
from speechkit.data.splitting import split_clips, split_transcripts
from speechkit.data.subsets import batches_by_subset
from speechkit.data.text_batches import TextBatch, TextBatches
from speechkit.data.text_lines import Sentence, write_sentences
from speechkit.data.tokenizers import CharacterTokenizer, WordTokenizer
from speechkit.data.transforms import FixDuration, Gain, Noise, RandomCrop, Speed, TimeShift

__all__ = [
    "SILENCE",
    "UNKNOWN",
    "SPEECH_COMMANDS_LISTS",
    "Batch",
    "CharacterTokenizer",
    "Clip",
    "CutBatches",
    "DynamicMixing",
    "FixDuration",
    "Gain",
    "LexiconTokenizer",
    "MixtureFiles",
    "Noise",
    "RandomCrop",
    "RecordedSources",
    "Reverberation",
    "SentencePieceTokenizer",
    "Sentence",
    "Sharded",
    "Skipped",
    "Speed",
    "Talker",
    "TextBatch",
    "TextBatches",
    "TimeShift",
    "WordTokenizer",
    "active_speech_level",
    "batches_by_subset",
    "build_mixtures",
    "check_labels",
    "cut_silence",
    "draw_unknown",
    "find_audio",
    "find_folder",
    "find_layout",
    "find_mixtures",
    "make_cuts",
    "match_names",
    "mix_speech",
    "part_of_noise",
    "prepare_folder",
    "prepare_layout",
    "prepare_mixtures",
    "prepare_once",
    "prepare_table",
    "prepare_transcripts",
    "random_subset",
    "read_clips",
    "read_cuts",
    "read_infos",
    "read_kaldi_table",
    "read_speech_commands_lists",
    "read_table",
    "run_download",
    "speech_commands_labels",
    "split_clips",
    "split_transcripts",
    "synthesize_librispeech",
    "synthesize_mixtures",
    "synthesize_sinusoids",
    "synthesize_speech_commands",
    "write_cuts",
    "write_once",
    "write_sentences",
    "write_shards",
]
