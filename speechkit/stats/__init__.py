"""Bootstrap intervals, paired tests, seeds, Pareto fronts. Numpy only."""

from speechkit.stats.counting import count_pairs
from speechkit.stats.intervals import Interval, bootstrap_mean, bootstrap_ratio
from speechkit.stats.paired import Comparison, compare_means, compare_ratios, matched_pairs
from speechkit.stats.pareto import pareto_front
from speechkit.stats.seeds import Seeds, compare_seeds, summarize_seeds
from speechkit.stats.student import student_t_quantile, student_t_tail

__all__ = [
    "Comparison",
    "Interval",
    "Seeds",
    "bootstrap_mean",
    "bootstrap_ratio",
    "compare_means",
    "compare_ratios",
    "compare_seeds",
    "count_pairs",
    "matched_pairs",
    "pareto_front",
    "student_t_quantile",
    "student_t_tail",
    "summarize_seeds",
]
