"""Cross-validation: one run for each fold of a corpus, and what they come to together."""

import re
from collections.abc import Sequence
from pathlib import Path

from speechkit import config, report
from speechkit.errors import UserError
from speechkit.tasks.entry import Command
from speechkit.tasks.several import Member, run_several


def run_folds(command: Command, key: str, values: Sequence[str], n_jobs: int = 1) -> tuple[str, list[str]]:
    """Run a recipe once for each value of `key`, in `<output_folder>/<key>-<value>`, and sum the runs up.

    Writes `<output_folder>/folds.json`; what stands there already is not run again (`run_several`).

    Returns:
        The summary as text, and the names of the runs that failed.

    Raises:
        UserError: values that are none or twice the same, `--debug`, mistakes in the YAML
    """
    wrong = [value for value in values if not re.fullmatch(r"[\w.+-]+", value)]
    if wrong or not values or len(set(values)) < len(values):
        found = f"values {', '.join(map(repr, values)) or 'none'}"
        raise UserError(found, expected="each once, separated by commas, as in 1,2,3", key="--values")
    if "--debug" in command.flags:
        raise UserError("--debug with several runs", do=f"try one: speechkit train {command.hparams} --debug")
    members = [Member(f"{key}-{value}", (f"--{key}", value)) for value in values]
    folder = _parent_folder(command, members[0])
    codes = run_several(command, members, folder, n_jobs)
    failed = [name for name, code in codes.items() if code]
    ended = [name for name, code in codes.items() if not code]
    return (report.write_folds(folder, key, ended, failed) if ended else ""), failed


def _parent_folder(command: Command, first: Member) -> Path:
    train_file = config.find_train_file(command.hparams)
    schema = None if train_file is None else config.brain_schema(train_file)
    document = config.read(command.hparams, (*command.overrides, *first.overrides), schema=schema)
    return Path(document.resolved().get("output_folder", "."))
