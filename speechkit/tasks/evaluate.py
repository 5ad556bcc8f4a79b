"""A run's weights on other data, or once more on its own: a second report beside the first."""

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from speechkit import config, report
from speechkit.errors import UserError, UserErrors
from speechkit.tasks.assembly import build_brain, finder, placed
from speechkit.tasks.changes import find_serving_keys, refuse_other_changes
from speechkit.tasks.dry_run import dry_run
from speechkit.tasks.initialize import load_matching
from speechkit.tasks.ownership import is_own
from speechkit.tasks.recipe import import_brain, prepare
from speechkit.tasks.results import evaluate_subsets
from speechkit.tasks.run_folder import find_commit, find_versions, recipe_sums
from speechkit.tasks.tuned import read_tuned
from speechkit.tasks.weights import EXPECTED, read_best, weights_sha256
from speechkit.training import Brain, Checkpoint
from speechkit.training.bar import say

FOLDER = "evaluations"
PATH_KEYS = ("data_folder", "manifest_folder")
BRAIN_KEYS = ("test_data", "device", "eval_precision", "deterministic")


@dataclass(frozen=True)
class Evaluation:
    """What is to be evaluated: a run, by the train.py of its recipe, with changes of the run's YAML."""

    run: Path
    description: dict[str, Any]  # the run's run.json
    train_file: Path
    document: config.Document
    schema: config.Schema

    @property
    def changed_keys(self) -> set[str]:
        """Top-level keys that the command line changes."""
        return {key.split(".")[0] for key in self.document.overrides}

    @property
    def prepares(self) -> bool:
        """Whether manifests are to be made anew; else those of the run serve."""
        read = {*self.schema.prepare_keys} - {"manifest_folder"}
        return bool(self.changed_keys & read)


def evaluate_run(
    run: str | Path,
    overrides: Sequence[str] = (),
    *,
    name: str | None = None,
    recipe: str | Path | None = None,
    trust: bool = False,
    tuned: bool | str | Path = False,
) -> Path:
    """Evaluate a run's best weights into `<run>/evaluations/<name>/`, a folder that reads like a run's own.

    Nothing else in the run's folder is written; the run may be training meanwhile.

    overrides: `["--data_folder", "elsewhere"]`; keys of the data, the device and the search, none of the
        model.
    name: by default that of the data folder, with a number where there is one already.
    recipe: the folder of the train.py to evaluate by, if it is not to be the one that the run recorded.
    tuned: search by the weights that `tune_run` has found, but for those that overrides set; or the file
        that it wrote, if not the run's `tuning.json`.

    Returns the path of `report.html`.
    """
    evaluation = _read(Path(run), overrides, recipe, trust)
    tuning = read_tuned(evaluation.run, tuned) if tuned else None
    brain_class = import_brain(evaluation.train_file, evaluation.schema)
    _refuse_changes_of_the_model(evaluation, brain_class)
    with _made_folder(evaluation.run / FOLDER, name, _default_name(evaluation)) as folder:
        _move_paths(evaluation, folder)
        with placed(evaluation.document):
            built, brain = build_brain(brain_class, evaluation.train_file, evaluation.document, trust=trust)
            checkpoint = _load_best(brain, evaluation.run)
            brain.load_run(evaluation.run)
            used = {"tuned": tuning.use(brain, checkpoint, evaluation.document)} if tuning else {}
            dry_run(brain, finder(built))
            if evaluation.prepares:
                prepare(evaluation.train_file, built.values, evaluation.schema)
            _describe(evaluation, brain, checkpoint, used)
            evaluate_subsets(brain)
        return report.write_report(folder)


class Opened(NamedTuple):
    """A run's Brain with its best weights, and where these come from."""

    brain: Brain
    evaluation: Evaluation
    checkpoint: Checkpoint


def open_run(
    run: str | Path,
    overrides: Sequence[str] = (),
    *,
    recipe: str | Path | None = None,
    trust: bool = False,
    keys: Sequence[str] = (),
) -> Opened:
    """The Brain of a run with its best weights and its tokenizer, to be used further; nothing is written.

    overrides: as those of `evaluate_run`.
    keys: what they may change at most, if less.
    """
    evaluation = _read(Path(run), overrides, recipe, trust)
    brain_class = import_brain(evaluation.train_file, evaluation.schema)
    _refuse_changes_of_the_model(evaluation, brain_class, keys)
    recorded = evaluation.document.resolved()["output_folder"]
    evaluation.document.move_paths(recorded, str(run))
    with placed(evaluation.document):
        built, brain = build_brain(brain_class, evaluation.train_file, evaluation.document, trust=trust)
        checkpoint = _load_best(brain, evaluation.run)
        brain.load_run(evaluation.run)
        dry_run(brain, finder(built))
    return Opened(brain, evaluation, checkpoint)


def _read(run: Path, overrides: Sequence[str], recipe: str | Path | None, trust: bool) -> Evaluation:
    hparams = run / "hparams.yaml"
    if not hparams.is_file():
        raise UserError(f"{run} holds no hparams.yaml", expected=EXPECTED)
    description = report.read_json(run / "run.json", "run")
    if "evaluation" in description:
        raise UserError(f"{run} is an evaluation", expected=EXPECTED, do="evaluate the run that it lies in")
    train_file = _find_recipe(run, description, recipe)
    schema = config.brain_schema(train_file)
    problems = config.check(hparams, overrides, schema=schema, trust=trust)
    mistakes = [problem.as_error() for problem in problems if not problem.warning]
    if mistakes:
        raise UserErrors(mistakes)
    evaluation = Evaluation(
        run, description, train_file, config.read(hparams, overrides, schema=schema), schema
    )
    _tell_changes(description, train_file)
    return evaluation


def _find_recipe(run: Path, description: dict[str, Any], recipe: str | Path | None) -> Path:
    """The train.py to run: the folder's given by the user, or what the user's own run recorded."""
    if recipe is not None:
        given = Path(recipe) / "train.py"
        if not given.is_file():
            raise UserError(f"there is no {given}", expected="the folder of the recipe", key="recipe")
        return given.resolve()
    recorded = description["recipe"]
    do = "give the folder of the recipe: --recipe FOLDER"
    if not recorded:
        raise UserError(f"{run} does not tell which train.py made it", do=do)
    # Whoever wrote run.json chose the path. A run folder from elsewhere must not choose what runs here.
    if not is_own(recorded, description.get("recipe_signature")):
        raise UserError(
            f"{run} names {recorded}, but nothing tells that you trained it on this machine",
            do=f"look at that file, then {do}",
        )
    if not Path(recorded).is_file():
        raise UserError(f"{recorded}, by which {run} was trained, is missing", do=do)
    return Path(recorded)


def _tell_changes(description: dict[str, Any], train_file: Path) -> None:
    say(f"evaluating by {train_file}")
    for file, changed in _changes(description, train_file).items():
        if changed is None:
            say(f"warning: the run does not tell which {file} it was trained by: it may have changed")
        elif changed:
            say(f"warning: {file} of the recipe has changed since the run; figures may differ for that")


def _changes(description: dict[str, Any], train_file: Path) -> dict[str, bool | None]:
    """Whether each file of the recipe differs from what the run was trained by; None where nobody knows."""
    then = description.get("recipe_sha256")
    return {
        file: None if then is None else then.get(file) != now
        for file, now in recipe_sums(train_file).items()
        if now is not None or (then or {}).get(file) is not None
    }


def _refuse_changes_of_the_model(
    evaluation: Evaluation, brain_class: type[Brain], keys: Sequence[str] = ()
) -> None:
    schema, decoding = evaluation.schema, getattr(brain_class, "decoding_keys", ())
    of_prepare = {*schema.prepare_keys} - {*getattr(brain_class, "inference_keys", ())}
    allowed = {*keys} or {*PATH_KEYS, *BRAIN_KEYS, *decoding} | of_prepare
    # A Brain that takes any key may read each of them.
    read = evaluation.document.keys() if schema.open_ended else schema.names
    allowed |= find_serving_keys(evaluation.document, decoding, read)
    found = "the model, and how it was trained, stay as they are"
    refuse_other_changes(evaluation.document, allowed, found)


def _move_paths(evaluation: Evaluation, folder: Path) -> None:
    """Let the YAML of the run speak of where the run lies now, of the other data and of this folder."""
    document, run = evaluation.document, evaluation.run
    of_run = config.read(run / "hparams.yaml")
    recorded = of_run.resolved()["output_folder"]
    for each in (document, of_run):
        each.move_paths(recorded, str(run))  # the run may have been moved since
    before = of_run.resolved()
    document.put("output_folder", str(folder))
    if evaluation.prepares and "manifest_folder" not in evaluation.changed_keys:
        document.put("manifest_folder", str(folder / "manifests"))
    now = document.resolved()
    if evaluation.prepares:
        _refuse_manifests_of_the_run(now["manifest_folder"], before.get("manifest_folder"), run, folder)
    for key in PATH_KEYS:
        if isinstance(before.get(key), str) and isinstance(now[key], str):
            document.move_paths(before[key], now[key], within="test_data")


def _refuse_manifests_of_the_run(given: str, recorded: str | None, run: Path, folder: Path) -> None:
    path = Path(given).resolve()
    in_run = path.is_relative_to(run.resolve()) and not path.is_relative_to(folder.resolve())
    if in_run or (recorded and path == Path(recorded).resolve()):
        do = "leave --manifest_folder out, or give another folder"
        raise UserError(f"{given} holds the run's own manifests", do=do, key="manifest_folder")


def _load_best(brain: Brain, run: Path) -> Checkpoint:
    checkpoint, weights = read_best(run)
    found = load_matching(brain.modules, weights)
    misfits = [f"{name}: {shapes}" for name, shapes in found.other_shape.items()]
    misfits += [f"{name}: not in the checkpoint" for name in found.only_here]
    misfits += [f"{name}: only in the checkpoint" for name in found.only_there]
    if misfits:
        do = "evaluate by the recipe that it was trained by"
        raise UserError(f"{checkpoint.folder} holds another model: {'; '.join(misfits[:5])}", do=do)
    brain.progress.epoch = checkpoint.weights_epoch  # a loss may be weighted by epochs
    return checkpoint


def _describe(evaluation: Evaluation, brain: Brain, checkpoint: Checkpoint, used: dict[str, Any]) -> None:
    """Write what makes the folder read like a run's: the training as it stands now, and what is new here."""
    folder, run = brain.output_folder, evaluation.run
    report.write_atomic(folder / "hparams.yaml", evaluation.document.dump().encode())
    for name in ("model.json", "log.jsonl"):
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)
    about = {
        "name": folder.name,
        "checkpoint": checkpoint.folder.name,
        "weights_sha256": weights_sha256(checkpoint),
        "recipe_changed": _changes(evaluation.description, evaluation.train_file),
        "commit": find_commit(evaluation.train_file.parent),
        "versions": find_versions(),
        "device": str(brain.device),
        "started": time.time(),
        "overrides": evaluation.document.overrides,
        **used,
    }
    report.write_json(folder / "run.json", evaluation.description | {"evaluation": about}, "run")


def _default_name(evaluation: Evaluation) -> str:
    """The name of the data folder where that is another than the run's, else "again"."""
    if "data_folder" not in evaluation.changed_keys:
        return "again"
    name = Path(evaluation.document.resolved()["data_folder"]).expanduser().resolve().name
    return re.sub(r"[^\w-]+", "-", name).strip("-") or "data"


@contextmanager
def _made_folder(parent: Path, name: str | None, default: str) -> Iterator[Path]:
    """A new folder, which no other evaluation has; removed again if nothing comes of it."""
    if name is not None and not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(
            f"an evaluation named {name!r}", expected="letters, digits, '-', '_', '.'", key="name"
        )
    for number in range(1, 1_000_000):
        folder = parent / (name or (default if number == 1 else f"{default}-{number}"))
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            if name is not None:
                do = "give another --name, or remove that folder"
                raise UserError(f"there is an evaluation {folder} already", do=do, key="name") from None
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if not any(parent.iterdir()):
            parent.rmdir()
        raise
