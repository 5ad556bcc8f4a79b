"""`speechkit find-lr`: the learning-rate range test of a YAML, in a folder of its own."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechkit import config, report
from speechkit.tasks.assembly import finder, placed
from speechkit.tasks.dry_run import dry_run
from speechkit.tasks.entry import Command, build, open_data, refuse_mistakes
from speechkit.tasks.initialize import initialize
from speechkit.tasks.recipe import import_brain, prepare
from speechkit.tasks.run_folder import find_commit, find_versions, locked
from speechkit.training import Brain, RateCurve, RateRange, range_test, suggest_rate

FOLDER = "find-lr"


def find_learning_rate(
    train_file: Path, hparams: str | Path, overrides: Sequence[str], rates: RateRange, *, trust: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Try rising learning rates on the first batches of a YAML's training, and suggest one.

    All is as in a run of the YAML, but it lies in `<output_folder>/find-lr`: manifests and a tokenizer that
    are made, `find_lr.json` and `find_lr.html`. A run in the output folder itself is not touched, and no
    checkpoint is left.

    Returns:
        The path of the page, and what `find_lr.json` holds.

    Raises:
        UserError: a mistake in the YAML or the data, as training tells it; an optimizer whose rate is 0.
    """
    schema = config.brain_schema(train_file)
    refuse_mistakes(Command(Path(hparams), frozenset(), tuple(overrides)), schema, trust)
    asked = config.read(hparams, overrides, schema=schema)
    folder = Path(asked.resolved()["output_folder"]) / FOLDER
    command = Command(Path(hparams), frozenset(), (*overrides, "--output_folder", str(folder)))
    document, built, brain = build(import_brain(train_file, schema), train_file, command, schema, trust)
    with placed(document):
        dry_run(brain, finder(built))
        initialize(brain, anew=True)
        given = {learner.name: learner.learning_rate for learner in brain.learners}
        with locked(folder):
            prepare(train_file, built.values, schema)
            open_data(brain)
            brain.prepare_run()
            curve = range_test(brain, rates)
            result = {
                **_describe(brain, asked, train_file),
                "n_steps": rates.n_steps,
                **_conclude(curve, given),
            }
            return report.write_rate_range(folder, result), result


def _conclude(curve: RateCurve, given: dict[str, float]) -> dict[str, Any]:
    known = [(rate, loss) for rate, loss in zip(curve.rates, curve.losses, strict=True) if loss is not None]
    found = suggest_rate(*([pair[side] for pair in known] for side in (0, 1)))
    first = next(iter(given.values()))
    return {
        "rates": curve.rates,
        "losses": curve.losses,
        "smoothed": found.smoothed,
        "ceiling": found.ceiling,
        "stopped": curve.stopped,
        "suggestion": found.steepest,
        "tenth_of_lowest": found.tenth,
        "notes": found.notes,
        "optimizers": {
            name: {
                "given": rate,
                "suggestion": None if found.steepest is None else found.steepest * rate / first,
            }
            for name, rate in given.items()
        },
    }


def _describe(brain: Brain, document: config.Document, train_file: Path) -> dict[str, Any]:
    text = document.dump()
    return {
        "schema": report.SCHEMA,
        "task": brain.task,
        "dataset": train_file.parent.parent.name,
        "hparams": text,
        "hparams_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "overrides": document.overrides,
        "seed": brain.seed,
        "device": str(brain.device),
        "commit": find_commit(train_file.parent),
        "versions": find_versions(),
    }
