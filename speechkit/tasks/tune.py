"""The weights of a trained recogniser's search, chosen on the validation set: never on a test set."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from speechkit import config, report
from speechkit.errors import UserError
from speechkit.metrics.error_rate import ERRORS
from speechkit.tasks.asr import ASR
from speechkit.tasks.evaluate import Opened, open_run
from speechkit.tasks.listening import find_texts
from speechkit.tasks.run_folder import find_commit
from speechkit.tasks.scoring import describe_texts
from speechkit.tasks.targets import ready_tokenizer
from speechkit.tasks.tuned import (
    FILE_NAME,
    Weights,
    find_weights,
    get_weights,
    set_weights,
    sum_ids,
    tell_rule,
)
from speechkit.tasks.weights import weights_sha256
from speechkit.training import Stage
from speechkit.training.bar import say
from speechkit.training.evaluation import News
from speechkit.training.execution import autocast, determinism
from speechkit.training.parallel import without_gradients

KEYS = (*ASR.decoding_keys, "device", "eval_precision", "deterministic")
# B utterances, T frames, W width, V tokens with the blank


class Range(NamedTuple):
    """Where a weight may lie, and by how much it is moved at first."""

    low: float
    high: float
    step: float


RANGES = {
    "ctc_weight": Range(0.0, 1.0, 0.2),
    "lm_weight": Range(0.0, 2.0, 0.3),
    "beam.length_bonus": Range(-1.0, 4.0, 0.5),
    "length_bonus": Range(-1.0, 4.0, 0.5),
}
Errors = tuple[int, int]  # of words (or phones), then of characters
Records = list[dict[str, Any]]


class Trial(NamedTuple):
    """Weights of a search, and the errors that they make."""

    weights: Weights
    errors: Errors


class Encoded(NamedTuple):
    """A batch as far as no search changes it, in the precision that the model gives."""

    ids: list[str]
    texts: list[str]
    frames: Tensor  # (B, T, W)
    lengths: Tensor  # (B,)
    log_probs: Tensor | None  # CTC's (B, T, V)


def tune_run(
    run: str | Path,
    overrides: Sequence[str] = (),
    *,
    recipe: str | Path | None = None,
    trust: bool = False,
    file: str | Path | None = None,
    tell: Callable[[Trial], None] = lambda trial: None,
) -> dict[str, Any]:
    """Try weights of a run's `search` on its validation set; returns and writes `<run>/tuning.json`.

    From the weights that the YAML has, one after another is moved up and down as long as fewer words are
    wrong (of equal ones: fewer characters), then by half the step, and so on. The utterances are encoded
    once, in the run's `eval_precision`. `speechkit evaluate RUN --tuned` uses what was found.

    overrides: of the search, the normalizer and the device. The data are those of the run. A weight that is
        set here is held: `["--search.lm_weight", "0"]` tunes the others without the language model.
    file: to write in place of `<run>/tuning.json`.
    tell: called with each trial.
    """
    opened = open_run(run, overrides, recipe=recipe, trust=trust, keys=KEYS)
    if not isinstance(opened.brain, ASR):
        raise UserError(f"{run} is no run of speech recognition", do="tune takes runs with a search")
    brain, news = opened.brain, News()
    names = _choose_weights(brain, opened.evaluation.document)
    searched = {"search_class": type(brain.search).__name__, "search": brain.search.describe()}
    with determinism(brain.deterministic), without_gradients(brain.modules):
        heard = list(_hear(brain, news))
        n_words = sum(len(text.split()) for batch in heard for text in batch.texts)
        if not n_words:
            raise UserError("no word of the validation set could be read", key="valid_data")
        trials, records = _try(brain, heard, get_weights(brain.search, names), tell)
    tuned = {
        "schema": report.SCHEMA,
        "subset": "valid",
        **_identify(opened),
        **searched,
        **_describe_data(records, news),
        "n_words": n_words,
        **_describe_best(brain, trials),
    }
    report.write_json(Path(run) / FILE_NAME if file is None else Path(file), tuned, "tuning")
    return tuned


def climb(start: Weights, count: Callable[[Weights], Errors], n_rounds: int = 3) -> Iterator[Trial]:
    """Every set of weights that is tried, the first as given; the best has the fewest errors.

    >>> def count(weights):
    ...     return round(100 * (weights["lm_weight"] - 0.9) ** 2), 0
    >>> trials = list(climb({"lm_weight": 0.3}, count))
    >>> min(trials, key=lambda trial: trial.errors).weights
    {'lm_weight': 0.9}
    """
    best = Trial(start, count(start))
    yield best
    seen = {tuple(start.values())}
    for number in range(n_rounds):
        for name in start:
            for sign in (1, -1):
                while True:
                    weights = best.weights | {name: _move(name, best.weights[name], sign / 2**number)}
                    if tuple(weights.values()) in seen:
                        break
                    seen.add(tuple(weights.values()))
                    trial = Trial(weights, count(weights))
                    yield trial
                    if trial.errors >= best.errors:
                        break
                    best = trial


def _move(name: str, value: float, share: float) -> float:
    limits = RANGES[name]
    return round(min(limits.high, max(limits.low, value + share * limits.step)), 6)


def _choose_weights(brain: ASR, document: config.Document) -> list[str]:
    """The names of the weights to tune: those that matter and that the command line does not set."""
    names = [name for name in find_weights(brain.search, brain.modules) if name in RANGES]
    if not names:
        found = f"{type(brain.search).__name__} has no weights"
        raise UserError(found, do="give the YAML a search such as decoding.JointSearch", key="search")
    free = [name for name in names if not document.is_overridden(f"search.{name}")]
    if not free:
        found = f"all weights are set on the command line: {', '.join(names)}"
        raise UserError(found, do="leave out those that are to be tuned", key="search")
    return free


def _hear(brain: ASR, news: News) -> Iterator[Encoded]:
    """The validation set with what the model makes of it; what is left out, and why, joins the news."""
    brain.modules.eval()
    for batch in brain.valid_data.iterate(brain.seed, 0, 0):
        news.add(batch)
        for notice in batch.notices:
            say(notice)
        if len(batch):
            on_device = batch.to(brain.device)
            with autocast(brain.device, brain.eval_dtype):
                told = brain.compute_forward(on_device, Stage.TEST)
            yield Encoded(batch.ids, batch.texts, told.frames, told.lengths, told.log_probs)


def _try(
    brain: ASR, heard: Sequence[Encoded], start: Weights, tell: Callable[[Trial], None]
) -> tuple[list[Trial], Records]:
    """All trials, and the records of one of them."""
    records: Records = []

    def count(weights: Weights) -> Errors:
        set_weights(brain.search, weights)
        records[:] = _find_records(brain, heard)
        return _count_errors(records)

    trials = []
    for trial in climb(start, count):
        trials.append(trial)
        tell(trial)
    return trials, records


def _find_records(brain: ASR, heard: Sequence[Encoded]) -> Records:
    """What the search finds now, as records have it; neither losses nor times."""
    records: Records = []
    tokenizer = ready_tokenizer(brain.tokenizer)
    for batch in heard:
        with autocast(brain.device, brain.eval_dtype):
            found = find_texts(brain.modules, batch.frames, batch.lengths, batch.log_probs, brain.search)
        records += [
            {"id": name, **describe_texts(tokenizer, text, best.tokens, brain.normalizer, brain.unit)}
            for name, text, (best, *_) in zip(batch.ids, batch.texts, found, strict=True)
        ]
    return records


def _count_errors(records: Records) -> Errors:
    counts = [record["counts"] for record in records if not record["skipped"]]
    n_errors = sum(count[name] for count in counts for name in ERRORS)
    return n_errors, sum(count.get("character_errors", 0) for count in counts)


def _identify(opened: Opened) -> dict[str, Any]:
    """Which model the weights are found for, and by which code."""
    return {
        "checkpoint": opened.checkpoint.folder.name,
        "weights_sha256": weights_sha256(opened.checkpoint),
        "overrides": opened.evaluation.document.overrides,
        "commit": find_commit(opened.evaluation.train_file.parent),
    }


def _describe_best(brain: ASR, trials: list[Trial]) -> dict[str, Any]:
    """The best weights, all trials, and the search as it is by the best: what they are good for."""
    best = min(trials, key=lambda trial: trial.errors).weights
    set_weights(brain.search, best)
    return {
        "tuned_search": brain.search.describe(),
        "normalization": tell_rule(brain),
        "best": best,
        "trials": [
            {"weights": trial.weights, "errors": trial.errors[0], "character_errors": trial.errors[1]}
            for trial in trials
        ],
    }


def _describe_data(records: Records, news: News) -> dict[str, Any]:
    """Which utterances were counted, and how many were not."""
    ids = [record["id"] for record in records if not record["skipped"]]
    skipped = Counter(record["skipped"] for record in records if record["skipped"]) + Counter(news.skipped)
    return {"n_utterances": len(ids), "ids_sha256": sum_ids(ids), "skipped": dict(skipped)}
