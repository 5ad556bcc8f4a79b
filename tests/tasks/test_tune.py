"""The weights of a search: climbed towards fewer errors, on validation alone, and used again."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.data import CharacterTokenizer
from speechkit.decoding import (
    AttentionBeam,
    CTCBeam,
    CTCSearch,
    GreedySearch,
    JointSearch,
    RescoredSearch,
    WordNGramScorer,
)
from speechkit.errors import UserError
from speechkit.tasks.tune import RANGES, climb, find_weights, get_weights, read_tuned, set_weights, tune_run

from .test_asr import make_brain
from .test_asr_attention import make_modules

FEW = WordNGramScorer("few.arpa", CharacterTokenizer("ab "))  # never read


@given(st.floats(0, 1), st.floats(0, 2), st.floats(0, 1), st.floats(0, 2))
def test_climbing_never_ends_worse_and_finds_a_single_valley(a: float, b: float, x: float, y: float) -> None:
    """Of a bowl around (a, b), from (x, y), within half of the last step in each direction."""

    def count(weights: dict[str, float]) -> tuple[int, int]:
        n = 1e6 * ((weights["ctc_weight"] - a) ** 2 + (weights["lm_weight"] - b) ** 2)
        return int(n), 0

    trials = list(climb({"ctc_weight": x, "lm_weight": y}, count, n_rounds=4))
    best = min(trials, key=lambda trial: trial.errors)
    assert trials[0].weights == {"ctc_weight": x, "lm_weight": y}
    assert best.errors <= trials[0].errors
    assert abs(best.weights["ctc_weight"] - a) <= RANGES["ctc_weight"].step / 8
    assert abs(best.weights["lm_weight"] - b) <= RANGES["lm_weight"].step / 8
    tried = [tuple(trial.weights.values()) for trial in trials]
    assert len(set(tried)) == len(tried)
    for trial in trials[1:]:
        for name, value in trial.weights.items():
            assert RANGES[name].low <= value <= RANGES[name].high


def test_of_equal_word_errors_characters_decide() -> None:
    def count(weights: dict[str, float]) -> tuple[int, int]:
        return 5, round(100 * abs(weights["lm_weight"] - 1.1))

    assert min(climb({"lm_weight": 0.5}, count), key=lambda trial: trial.errors).weights == {"lm_weight": 1.1}


def test_weights_are_put_where_their_names_say(tmp_path: Path) -> None:
    search = JointSearch(AttentionBeam(length_bonus=0.5), ctc_weight=0.3)
    assert search.weights == ("ctc_weight", "beam.length_bonus")
    set_weights(search, {"ctc_weight": 0.7, "beam.length_bonus": 1.5})
    assert get_weights(search, search.weights) == {"ctc_weight": 0.7, "beam.length_bonus": 1.5}
    assert search.beam.length_bonus == 1.5
    both = make_brain(tmp_path, modules=make_modules("ctc", "decoder"), search=search)
    assert find_weights(both) == ["ctc_weight", "beam.length_bonus"]
    alone = JointSearch(AttentionBeam(), ctc_weight=1.0)
    assert find_weights(make_brain(tmp_path, modules=make_modules("ctc"), search=alone)) == [
        "beam.length_bonus"
    ]
    assert find_weights(make_brain(tmp_path, modules=make_modules("ctc"), search=GreedySearch())) == []


def test_of_a_rescored_search_its_own_weights_are_tuned(tmp_path: Path) -> None:
    inner = CTCSearch(CTCBeam(n_best=2, length_bonus=0.5), FEW, 0.3)
    search = RescoredSearch(inner, FEW, lm_weight=0.6)
    brain = make_brain(tmp_path, modules=make_modules("ctc"), search=search)
    names = find_weights(brain)
    assert get_weights(search, names) == {"lm_weight": 0.6, "length_bonus": 0.0}
    set_weights(search, {"lm_weight": 0.9, "length_bonus": -0.5})
    assert (search.lm_weight, search.length_bonus, inner.lm_weight) == (0.9, -0.5, 0.3)
    assert {*names, *inner.weights} <= set(RANGES)


def test_what_was_never_tuned_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no tuning.json; speechkit tune"):
        read_tuned(tmp_path)


def test_tuning_takes_no_other_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--data_folder: tuning uses the run's own data"):
        tune_run(tmp_path, ["--data_folder", "elsewhere"])
