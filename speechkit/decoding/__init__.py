"""Scores to tokens."""

from speechkit.decoding.attention_beam import AttentionBeam
from speechkit.decoding.attention_greedy import greedy_attention
from speechkit.decoding.ctc import greedy_ctc
from speechkit.decoding.ctc_beam import CTCBeam
from speechkit.decoding.ctc_scorer import ctc_scorer
from speechkit.decoding.hypothesis import Hypothesis
from speechkit.decoding.ngram_scorer import NGramScorer
from speechkit.decoding.rescored_search import RescoredSearch
from speechkit.decoding.rescoring import rescore, score_tokens
from speechkit.decoding.scorers import Scorer, Step, with_coverage
from speechkit.decoding.searches import CTCSearch, GreedySearch, Heard, JointSearch, LanguageModel, Search
from speechkit.decoding.word_scorer import WordNGramScorer

__all__ = [
    "AttentionBeam",
    "CTCBeam",
    "CTCSearch",
    "GreedySearch",
    "Heard",
    "Hypothesis",
    "JointSearch",
    "LanguageModel",
    "NGramScorer",
    "RescoredSearch",
    "Scorer",
    "Search",
    "Step",
    "WordNGramScorer",
    "ctc_scorer",
    "greedy_attention",
    "greedy_ctc",
    "rescore",
    "score_tokens",
    "with_coverage",
]
