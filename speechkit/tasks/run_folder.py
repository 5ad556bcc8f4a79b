"""Opening a run folder: whose experiment it holds, what changed, what is written before a step."""

import fcntl
import hashlib
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from speechkit import config, report
from speechkit.errors import UserError
from speechkit.tasks.initialize import Beginning, combine, other_beginning, recorded_source
from speechkit.tasks.ownership import sign
from speechkit.training import Brain, append_event

PACKAGES = ("speechkit", "torch", "torchaudio", "lhotse", "numpy")
LENGTHS = ("n_epochs", "n_steps")
N_MEASURED = 100_000  # utterances whose lengths are sorted, of more
RUN_FILES = (
    "hparams.yaml", "run.json", "log.jsonl", "log.csv", "events.jsonl", "model.json", "filters.json",
    "decoding.json", "report.json", "report.html", "checkpoints", "predictions", "clips",
    "alignments", "evaluations", "tokenizer.model", "lexicon.txt", "tuning.json", "tunings",
)  # fmt: skip


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within it no other process trains in this folder; a process that dies holds nothing."""
    _check_writable(folder)
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock, not of forked workers too
        except OSError:
            do = "wait for it, or give another output_folder"
            raise UserError(f"another process is training in {folder}", do=do, key="output_folder") from None
        yield


def clear_run(folder: Path) -> None:
    """Remove a run's files, and nothing else that may lie beside them; nothing where there is no run."""
    if not any((folder / name).is_file() for name in ("run.json", "hparams.yaml")):
        return
    for name in RUN_FILES:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def examine_run(brain: Brain, document: config.Document, beginning: Beginning | None = None) -> str:
    """The fingerprint of the experiment; refused when the Brain's folder holds another one."""
    if _has_trained(brain.output_folder):
        return _same_experiment(brain.output_folder, document, _free_keys(brain, document), beginning)
    return combine(document.fingerprint(_free_keys(brain, document)), beginning)


def describe_run(
    brain: Brain,
    document: config.Document,
    model: dict[str, Any],
    train_file: Path,
    beginning: Beginning | None = None,
) -> None:
    """Write what is known of a run before its first step: hparams.yaml, model.json, run.json."""
    folder = brain.output_folder
    text = document.dump()
    report.write_atomic(folder / "hparams.yaml", text.encode())
    report.write_json(folder / "model.json", model, "model")
    run = {
        "schema": report.SCHEMA,
        "task": brain.task,
        "dataset": _dataset(train_file),
        **identify_recipe(train_file),
        "seed": brain.seed,
        "hparams_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "fingerprint": brain.recorder.fingerprint,
        "commit": find_commit(train_file.parent),
        "versions": find_versions(),
        "parameters": model["parameters"],
        "device": str(brain.device),
        "started": _first_start(folder),
        "overrides": document.overrides,
        "init_from": _source(folder, beginning),
        "utterances": measure_utterances(brain.train_data),
    }
    report.write_json(folder / "run.json", run, "run")
    append_event(folder, "started", overrides=document.overrides)
    if beginning is not None and beginning.matches is not None:
        append_event(folder, "initialized", **beginning.event())


def measure_utterances(data: Any) -> dict[str, Any] | None:
    """How many utterances data have, and how long they are; None where nothing tells, as of texts.

    Windows of long files are as long as these (`tasks.windows.plan_windows`).
    """
    if not callable(getattr(data, "durations", None)):
        return None
    durations = np.asarray(data.durations())
    some = durations[:: max(1, len(durations) // N_MEASURED)]  # of hundreds of millions, not a copy
    told = durations.sum(), durations.max(), np.quantile(some, 0.99)
    seconds, longest, percentile = (round(float(each), 3) for each in told)
    return {"n": len(durations), "seconds": seconds, "longest": longest, "percentile_99": percentile}


def identify_recipe(train_file: Path) -> dict[str, Any]:
    """Which files a run was trained by: their path, their sums, and that it was this user who ran them."""
    recipe = str(train_file)
    return {"recipe": recipe, "recipe_sha256": recipe_sums(train_file), "recipe_signature": sign(recipe)}


def recipe_sums(train_file: Path) -> dict[str, str | None]:
    """sha256 of a recipe's files; None for one that is not there."""
    files = {"train.py": train_file, "prepare.py": config.find_prepare_file(train_file)}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest() if file and file.is_file() else None
        for name, file in files.items()
    }


def find_versions() -> dict[str, str | None]:
    """Of Python and of the packages that figures depend on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def find_commit(folder: Path) -> dict[str, Any] | None:
    """The git commit that the recipe stands in, and whether its files differ from it; None outside git."""
    try:
        commit, status = (
            subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"hash": commit, "dirty": bool(status)}


def _free_keys(brain: Brain, document: config.Document) -> list[str]:
    """The task's free keys; the length of a training is none where something, a schedule, is made from it."""
    return [key for key in brain.free_keys if key not in LENGTHS or not document.keys_read_by(key)]


def _has_trained(folder: Path) -> bool:
    """False too for what a start left that failed before its first checkpoint: there is nothing to lose."""
    made = [*folder.glob("checkpoints/[!.]*"), *folder.glob("predictions/*"), *folder.glob("report.json")]
    return (folder / "run.json").is_file() and bool(made)


def _same_experiment(
    folder: Path, document: config.Document, free_keys: Sequence[str], beginning: Beginning | None
) -> str:
    """The fingerprint that the folder's run began with; an error if it is another experiment's."""
    # As it was computed then: hparams.yaml knows no more which values were made from free keys.
    before = report.read_json(folder / "run.json", "run")["fingerprint"]
    old = config.read(folder / "hparams.yaml").resolved()
    source = recorded_source(folder)
    fingerprint = combine(document.fingerprint(free_keys), None if source is None else Beginning(source))
    differences = document.differences(old, free_keys) if before != fingerprint else []
    if began := other_beginning(folder, beginning):
        differences.append(began)
    if differences:
        listed = "\n  ".join(differences)
        raise UserError(
            f"{folder} holds another experiment:\n  {listed}",
            do="give another output_folder, or --restart to remove that run and begin anew",
            key="output_folder",
        )
    if changes := document.differences(old):
        append_event(folder, "changed", keys=changes)
    return before


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write into {folder}: {error.strerror}",
            expected="a folder that may be written, or one that can be made",
            key="output_folder",
        ) from error


def _source(folder: Path, beginning: Beginning | None) -> dict[str, str] | None:
    """Of a run that goes on, the weights that it began with, whatever its source holds now."""
    if beginning is None:
        return None
    then = recorded_source(folder) if beginning.matches is None else None
    return asdict(then or beginning.source)


def _first_start(folder: Path) -> float:
    """When the run began, also for one that is resumed."""
    path = folder / "run.json"
    return report.read_json(path, "run")["started"] if path.exists() else time.time()


def _dataset(train_file: Path) -> str:
    # recipes/<Dataset>/<task>/train.py
    return train_file.parent.parent.name


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
