"""The weights of a search: climbed towards fewer errors, on validation alone, and used again."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from speechkit import config
from speechkit.decoding import (
    AttentionBeam,
    CTCBeam,
    CTCSearch,
    GreedySearch,
    JointSearch,
    RescoredSearch,
)
from speechkit.errors import UserError
from speechkit.metrics import TextNormalizer
from speechkit.ops.search_state import State
from speechkit.tasks import ASR, read_tuned
from speechkit.tasks.tune import RANGES, _choose_weights, _count_errors, _find_records, _hear, climb
from speechkit.tasks.tuned import Tuned, find_weights, get_weights, set_weights, sum_ids
from speechkit.training import Checkpoint, Stage
from speechkit.training.evaluation import News

from .test_asr import Kept, Same, make_batch, make_brain
from .test_asr_attention import make_modules


class Named:
    """A language model that is never asked for more than its name."""

    may_rise = False

    def __init__(self, name: str) -> None:
        self.name = name

    def start(self, n_rows: int) -> State:
        raise AssertionError

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        raise AssertionError

    def describe(self) -> str:
        return self.name


FEW, MANY = Named("few words"), Named("many words")


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


def test_weights_are_put_where_their_names_say() -> None:
    search = JointSearch(AttentionBeam(length_bonus=0.5), ctc_weight=0.3)
    assert search.weights == ("ctc_weight", "beam.length_bonus")
    set_weights(search, {"ctc_weight": 0.7, "beam.length_bonus": 1.5})
    assert get_weights(search, search.weights) == {"ctc_weight": 0.7, "beam.length_bonus": 1.5}
    assert search.beam.length_bonus == 1.5
    assert find_weights(search, nn.ModuleDict(make_modules("ctc", "decoder"))) == [
        "ctc_weight", "beam.length_bonus"
    ]  # fmt: skip
    alone = JointSearch(AttentionBeam(), ctc_weight=1.0)
    assert find_weights(alone, nn.ModuleDict(make_modules("ctc"))) == ["beam.length_bonus"]
    assert find_weights(GreedySearch(), nn.ModuleDict(make_modules("ctc"))) == []


class Projected(Same):
    """An encoder that computes in the precision of its context."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.layer(x)


@pytest.fixture
def heard_brain(tmp_path: Path) -> ASR:
    """Of bf16 in evaluation, with four utterances, one of them without a frame."""
    data = Kept(make_batch([40, 23], ["ab b", "aa"]), make_batch([3, 12], ["a", ""]))
    data.batches[1].ids = ["v0", "v1"]
    search = JointSearch(AttentionBeam(beam_size=2, length_bonus=3.0), ctc_weight=0.3)
    modules = make_modules("ctc", "decoder") | {"encoder": Projected()}
    return make_brain(tmp_path, modules=modules, search=search, valid_data=data, eval_precision="bf16")


def test_texts_are_those_of_an_evaluation_and_nothing_else_is_made(
    heard_brain: ASR, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the precision of evaluation; with neither losses nor times at each trial."""
    _, expected = heard_brain.evaluate(heard_brain.valid_data, Stage.TEST)
    with torch.inference_mode():
        heard = list(_hear(heard_brain, News()))
        assert {each.frames.dtype for each in heard} == {torch.bfloat16}
        for unneeded in ("compute_forward", "compute_records", "_losses", "_time"):
            monkeypatch.setattr(ASR, unneeded, None)
        records = _find_records(heard_brain, heard)
    assert any(record["hypothesis"] for record in records)
    for record in records:
        alike = next(each for each in expected if each["id"] == record["id"])
        assert record == {key: alike[key] for key in record}
    n_errors = sum(sum(sign != "C" for sign, *_ in each["alignment"]) for each in expected)
    assert _count_errors(records)[0] == n_errors


YAML = """
beam: !new:speechkit.decoding.AttentionBeam
    length_bonus: 0.5
search: !new:speechkit.decoding.JointSearch
    beam: !ref <beam>
    ctc_weight: 0.3
    lm_weight: 0.5
"""
BEST = {"ctc_weight": 0.6, "lm_weight": 0.9, "beam.length_bonus": 1.5}
CONTENT = {
    "checkpoint": "epoch-0002", "weights_sha256": "ab" * 32, "search_class": "JointSearch", "best": BEST,
    "tuned_search":
        "beam search, 10 beams, bonus of 1.5 a token, attention 0.4, CTC 0.6, few words 0.9",
    "normalization": None,
    "n_utterances": 9, "ids_sha256": sum_ids("abc"), "commit": None,
}  # fmt: skip

Use = Callable[..., tuple[JointSearch, dict[str, Any]]]


@pytest.fixture
def use(tmp_path: Path) -> Use:
    """Put what was tuned into a search, under these overrides: the search, and what a run.json tells."""
    (tmp_path / "h.yaml").write_text(YAML)

    def call(*overrides: str, sha256: str = "ab" * 32, heads: str = "ctc decoder", **user: Any) -> Any:
        document = config.read(tmp_path / "h.yaml", overrides)
        modules = nn.ModuleDict(make_modules(*heads.split()))
        search = JointSearch(AttentionBeam(length_bonus=0.5), 0.3, lm=FEW)
        user = {"search": search, "modules": modules, "normalizer": None} | user
        files = {"files": {"modules.safetensors": {"sha256": sha256}}}
        checkpoint = Checkpoint(tmp_path / "epoch-0003", files)
        tuned = Tuned(tmp_path, tmp_path / "tuning.json", CONTENT)
        return user["search"], tuned.use(SimpleNamespace(**user), checkpoint, document)

    return call


@pytest.mark.parametrize(
    ("overrides", "held"),
    [
        ([], {}),
        (["--search.lm_weight", "0.5"], {"lm_weight": 0.5}),  # also where it is what the YAML has
        (["--search", "{lm_weight: 0.5, ctc_weight: 0.3}"], {"lm_weight": 0.5, "ctc_weight": 0.3}),
        (["--beam.length_bonus=0.5"], {"beam.length_bonus": 0.5}),
        (["--search.beam", "null"], {}),
    ],
)
def test_tuned_weights_are_put_into_the_search_but_for_those_given(
    overrides: list[str], held: dict[str, float], use: Use
) -> None:
    """A given one is in the search already, when that is built."""
    search, told = use(*overrides)
    assert get_weights(search, search.weights) == BEST | held
    assert told["weights"] == {name: value for name, value in BEST.items() if name not in held}
    assert told["valid"] == {"n_utterances": 9, "ids_sha256": CONTENT["ids_sha256"], "commit": None}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"sha256": "cd" * 32},
            r"weights of .* are now epoch-0003 \(cdcdcdcdcd\); expected epoch-0002 \(abab.*speechkit tune ",
        ),
        ({"search": GreedySearch()}, "the search is a GreedySearch; expected a JointSearch.*speechkit tune "),
        ({"search": None}, "has no search; expected a JointSearch"),
        ({"search": JointSearch(AttentionBeam(), 0.3)}, "has no lm_weight now, and .*tuning.json has one"),
        (
            {"search": JointSearch(AttentionBeam(), 0.3, MANY)},
            "now 'beam .* many words 0.9'; expected 'beam .* few words 0.9'.*tune .*, with",
        ),
        ({"search": JointSearch(AttentionBeam(5), 0.3, FEW)}, "now 'beam search, 5 beams, .* 10 beams, "),
        (
            {"search": JointSearch(AttentionBeam(end_threshold=1.5), 0.3, FEW)},
            "it is now '.*, end_threshold 1.5, .*'; expected",
        ),
        ({"normalizer": TextNormalizer("lower")}, "normalizer: it is now 'Unicode .*'; expected None, for"),
        ({"heads": "ctc"}, "JointSearch needs modules.decoder, which is not there"),
    ],
)
def test_what_was_tuned_for_something_else_is_refused(
    changed: dict[str, Any], message: str, use: Use
) -> None:
    with pytest.raises(UserError, match=message):
        use(**changed)


def test_another_search_is_refused_whatever_is_given(use: Use) -> None:
    """A tuned weight that is given changes nothing of what the others were tuned for."""
    for search in (JointSearch(AttentionBeam(), 0.3, MANY), JointSearch(AttentionBeam(), 0.3)):
        with pytest.raises(UserError, match="speechkit tune "):
            use("--search.lm_weight", "0", search=search)


def test_weights_that_are_given_are_not_tuned(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text(YAML)
    search = JointSearch(AttentionBeam(), ctc_weight=0.3)
    brain = make_brain(tmp_path, modules=make_modules("ctc", "decoder"), search=search)
    document = config.read(tmp_path / "h.yaml", ["--search.ctc_weight", "0"])
    assert _choose_weights(brain, document) == ["beam.length_bonus"]
    document = config.read(tmp_path / "h.yaml", ["--search.ctc_weight", "0", "--beam.length_bonus", "1"])
    with pytest.raises(UserError, match="all weights are set on the command line: ctc_weight, beam"):
        _choose_weights(brain, document)


def test_of_a_rescored_search_its_own_weights_are_tuned() -> None:
    inner = CTCSearch(CTCBeam(n_best=2, length_bonus=0.5), FEW, 0.3)
    search = RescoredSearch(inner, FEW, lm_weight=0.6)
    names = find_weights(search, nn.ModuleDict(make_modules("ctc")))
    assert get_weights(search, names) == {"lm_weight": 0.6, "length_bonus": 0.0}
    set_weights(search, {"lm_weight": 0.9, "length_bonus": -0.5})
    assert (search.lm_weight, search.length_bonus, inner.lm_weight) == (0.9, -0.5, 0.3)
    assert {*names, *inner.weights} <= set(RANGES)


def test_what_was_never_tuned_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no .*tuning.json; speechkit tune"):
        read_tuned(tmp_path)
    before = {"schema": 1, "subset": "valid", "n_words": 3, "best": {"lm_weight": 1.0}, "trials": []}
    (tmp_path / "tuning.json").write_text(json.dumps(before))  # as older versions wrote it
    with pytest.raises(UserError, match=r"does not tell what was tuned: .*; speechkit tune .* again"):
        read_tuned(tmp_path)


def test_utterances_are_told_by_their_names_in_any_order() -> None:
    assert sum_ids(["a", "b", "c"]) == sum_ids(["c", "a", "b"])
    assert sum_ids(["a", "b"]) != sum_ids(["a", "c"]) != sum_ids(["a"])
