"""Scores to tokens."""

from speechkit.decoding.ctc import greedy_ctc
from speechkit.decoding.hypothesis import Hypothesis
from speechkit.decoding.ngram_scorer import NGramScorer
from speechkit.decoding.rescoring import rescore, score_tokens
from speechkit.decoding.word_scorer import WordNGramScorer

__all__ = ["Hypothesis", "NGramScorer", "WordNGramScorer", "greedy_ctc", "rescore", "score_tokens"]
