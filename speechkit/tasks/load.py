"""A trained run's model, ready to use."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import soundfile
from torch import nn

from speechkit import config, report
from speechkit.errors import UserError
from speechkit.tasks.asr import ASR
from speechkit.tasks.changes import find_serving_keys, refuse_other_changes
from speechkit.tasks.classification import Classification, Classifier, Prediction
from speechkit.tasks.language_modeling import LanguageModel, LanguageModeling
from speechkit.tasks.recipe import importing_only
from speechkit.tasks.recognizer import Recognizer
from speechkit.tasks.separation import Separation
from speechkit.tasks.separator import Separator
from speechkit.tasks.tuned import read_tuned
from speechkit.training import CheckpointFolder, choose_device, load_weights

Predictor = Classifier | Recognizer | LanguageModel | Separator

PREDICTORS: dict[str, tuple[tuple[str, ...], Callable[..., Predictor]]] = {
    Classification.task: (Classification.inference_keys, Classifier),
    ASR.task: (ASR.inference_keys, Recognizer),
    LanguageModeling.task: (LanguageModeling.inference_keys, LanguageModel),
    Separation.task: (Separation.inference_keys, Separator),
}

DECODING_KEYS = ("search",)


def load(
    run: str | Path,
    recipe: str | Path | None = None,
    device: str = "cpu",
    overrides: Sequence[str] = (),
    *,
    tuned: bool | str | Path = False,
) -> Any:
    """A run's model with the weights of its best epoch: Classifier, Recognizer, LanguageModel or Separator.

    Reading the folder executes nothing: only `modules` and plain values are built, from the allow-list.

    recipe: folder of the recipe, needed when `modules` use classes of its own files (they are imported).
    overrides: changes of how it is used, `["--search.lm_weight", "0.5"]`; none of the model.
    tuned: search by the weights that `tune_run` has found, but for those that overrides set; or the file
        that it wrote, if not the run's `tuning.json`.
    """
    run = Path(run)
    if not (run / "hparams.yaml").is_file():
        raise UserError(f"{run} holds no hparams.yaml", expected="the output folder of a training run")
    if recipe is not None and not Path(recipe).is_dir():
        raise UserError(f"there is no folder {recipe}", expected="the folder of the recipe")
    description = report.read_json(run / "run.json", "run")
    if description["task"] not in PREDICTORS:
        raise UserError(
            f"{run} is of the task {description['task']!r}", expected=f"one of {sorted(PREDICTORS)}"
        )
    tuning = read_tuned(run, tuned) if tuned else None
    keys, make = PREDICTORS[description["task"]]
    document = config.read(run / "hparams.yaml", overrides)
    allowed = {*DECODING_KEYS} | find_serving_keys(document, DECODING_KEYS, keys)
    refuse_other_changes(document, allowed, "the model stays as it is")
    only = [key for key in keys if key in document.resolved()]
    try:
        with importing_only():
            built = config.build(document, only=only, recipe_folder=None if recipe is None else Path(recipe))
    except UserError as error:
        if recipe is None:
            error.do = error.do or "a run with classes of its recipe loads with recipe=FOLDER"
        raise
    values = dict(built.values)
    try:
        modules = nn.ModuleDict(values.pop("modules"))
        if hasattr(values.get("tokenizer"), "load"):  # what it learned lies in the run's folder
            values["tokenizer"].load(run)
        predictor = make(modules.to(choose_device(device)), **values)
    except (KeyError, TypeError, ValueError) as error:
        found = f"{run / 'hparams.yaml'} is not what a training wrote: {type(error).__name__}: {error}"
        raise UserError(found, expected=f"keys {', '.join(keys)} of the right kinds") from error
    checkpoint = CheckpointFolder(run / "checkpoints", _warn_of_damage).best()
    if checkpoint is None:
        raise UserError(f"{run} holds no whole checkpoint", do="train it first")
    load_weights(modules, checkpoint)
    if tuning is not None:
        tuning.use(predictor, checkpoint, document)
    if isinstance(predictor, Recognizer):
        predictor.utterance_seconds = (description.get("utterances") or {}).get("percentile_99")
    return predictor


def _warn_of_damage(name: str, reason: str) -> None:
    warnings.warn(f"checkpoint {name} is damaged and not used: {reason}", stacklevel=2)


def classify_file(model: Classifier, path: str | Path) -> Prediction:
    """Label an audio file of any format that soundfile reads; of several channels the mean is taken."""
    if not isinstance(model, Classifier):
        raise UserError(f"a {type(model).__name__}", expected="a run that classifies")
    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError, TypeError, ValueError) as error:
        # TypeError: raw samples, of which nothing is known.
        raise UserError(f"{path} cannot be read: {error}", expected="an audio file") from error
    if not len(samples):
        raise UserError(f"{path} has no samples", expected="some audio")
    try:
        return model.predict(samples.mean(1), sample_rate)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
