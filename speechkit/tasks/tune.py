"""The weights of a trained recogniser's search, chosen on the validation set: never on a test set."""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import torch

from speechkit import report
from speechkit.data import Batch
from speechkit.errors import UserError
from speechkit.metrics.error_rate import ERRORS
from speechkit.tasks.asr import ASR
from speechkit.tasks.evaluate import open_run
from speechkit.training import Brain, Stage

FILE_NAME = "tuning.json"
KEYS = (*ASR.decoding_keys, "device")


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
Weights = dict[str, float]
Errors = tuple[int, int]  # of words (or phones), then of characters


class Trial(NamedTuple):
    """Weights of a search, and the errors that they make."""

    weights: Weights
    errors: Errors


def tune_run(
    run: str | Path,
    overrides: Sequence[str] = (),
    *,
    recipe: str | Path | None = None,
    trust: bool = False,
    tell: Callable[[Trial], None] = lambda trial: None,
) -> dict[str, Any]:
    """Try weights of a run's `search` on its validation set; returns and writes `<run>/tuning.json`.

    From the weights that the YAML has, one after another is moved up and down as long as fewer words are
    wrong (of equal ones: fewer characters), then by half the step, and so on. The utterances are encoded
    once. `speechkit evaluate RUN --tuned` uses what was found.

    overrides: of the search, the normalizer and the device. The data are those of the run.
    tell: called with each trial.
    """
    for key in overrides[::2]:
        if key.removeprefix("--").split(".")[0] not in KEYS:
            raise UserError(
                f"{key}: tuning uses the run's own data", expected=f"changes of {', '.join(KEYS)}"
            )
    brain = open_run(run, overrides, recipe=recipe, trust=trust)
    if not isinstance(brain, ASR):
        raise UserError(f"{run} is no run of speech recognition", do="tune takes runs with a search")
    names = find_weights(brain)
    if not names:
        found = f"{type(brain.search).__name__} has no weights"
        raise UserError(found, do="give the YAML a search such as decoding.JointSearch", key="search")
    heard = list(_hear(brain))
    n_words = sum(len(text.split()) for batch, _ in heard for text in batch.texts)
    if not n_words:
        raise UserError("no word of the validation set could be read", key="valid_data")

    def count(weights: Weights) -> Errors:
        set_weights(brain.search, weights)
        return _count_errors(_find_records(brain, heard))

    trials = []
    for trial in climb(get_weights(brain.search, names), count):
        trials.append(trial)
        tell(trial)
    tuned = _describe(trials, n_words)
    report.write_json(Path(run) / FILE_NAME, tuned, "tuning")
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


def find_weights(brain: ASR) -> list[str]:
    """The names of the weights that matter: CTC's share only where there is something to share with."""
    heads = {"ctc", "decoder"} & set(brain.modules)
    return [name for name in brain.search.weights if name != "ctc_weight" or len(heads) == 2]


def get_weights(search: Any, names: Sequence[str]) -> Weights:
    """The values of attributes by their dotted names."""
    return {name: float(attrgetter(name)(search)) for name in names}


def set_weights(search: Any, weights: Weights) -> None:
    """Put values into attributes by their dotted names."""
    for name, value in weights.items():
        *owners, last = name.split(".")
        setattr(attrgetter(".".join(owners))(search) if owners else search, last, value)


def read_tuned(run: str | Path) -> list[str]:
    """What `tune_run` has found for a run, as overrides of its YAML."""
    path = Path(run) / FILE_NAME
    if not path.is_file():
        raise UserError(f"{run} holds no {FILE_NAME}", do=f"speechkit tune {run}")
    best = report.read_json(path, "tuning")["best"]
    return [part for name, value in best.items() for part in (f"--search.{name}", str(value))]


def _move(name: str, value: float, share: float) -> float:
    limits = RANGES[name]
    return round(min(limits.high, max(limits.low, value + share * limits.step)), 6)


def _hear(brain: Brain) -> Iterator[tuple[Batch, Any]]:
    """The validation set with what the model makes of it."""
    brain.modules.eval()
    with torch.no_grad():
        for batch in brain.valid_data.iterate(brain.seed, 0, 0):
            if len(batch):
                on_device = batch.to(brain.device)
                yield on_device, brain.compute_forward(on_device, Stage.TEST)


def _find_records(brain: ASR, heard: list[tuple[Batch, Any]]) -> list[dict[str, Any]]:
    with torch.no_grad():
        found = (brain.compute_records(predictions, batch, Stage.TEST) for batch, predictions in heard)
        return [record for records in found for record in records if not record["skipped"]]


def _count_errors(records: list[dict[str, Any]]) -> Errors:
    n_errors = sum(record["counts"][name] for record in records for name in ERRORS)
    return n_errors, sum(record["counts"].get("character_errors", 0) for record in records)


def _describe(trials: list[Trial], n_words: int) -> dict[str, Any]:
    best = min(trials, key=lambda trial: trial.errors)
    return {
        "schema": report.SCHEMA,
        "subset": "valid",
        "n_words": n_words,
        "best": best.weights,
        "trials": [
            {"weights": trial.weights, "errors": trial.errors[0], "character_errors": trial.errors[1]}
            for trial in trials
        ],
    }
