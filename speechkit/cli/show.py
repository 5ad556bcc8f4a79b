"""`speechkit show`."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from speechkit import config
from speechkit.errors import UserError, UserErrors

NARROWEST, WIDEST = 80, 120  # columns
NOT_GIVEN = "-not-given"  # what a path ends with that nothing is read from
DESCRIPTION = (
    "Print what a YAML builds, as a tree: classes, output shapes, parameters and multiply-adds for a second "
    "of audio. No data are needed: folders and files that the YAML leaves open need not be given. Of a "
    "run's folder it is what the run recorded."
)


def add_show(commands: Any) -> None:
    """Add the command to the parser's."""
    show = commands.add_parser(
        "show", allow_abbrev=False, help="print the model that a YAML builds", description=DESCRIPTION
    )
    show.add_argument("file", metavar="FILE", help="a YAML, or the folder of a run")
    show.add_argument("--all", action="store_true", help="several equal layers one by one")
    show.add_argument("--json", action="store_true", help="print it as model.json of a run holds it")
    show.add_argument("--trust-config", action="store_true", help="allow names off the allow-list")
    show.set_defaults(run=_show, takes_overrides=True)


def _show(options: argparse.Namespace, overrides: list[str]) -> int:
    from speechkit import report

    path = Path(options.file)
    if path.is_dir():
        model = _read_recorded(path, overrides)
    else:
        model = _build(path, overrides, options.trust_config)
    if options.json:
        print(json.dumps(model, ensure_ascii=False, indent=2))
        return 0
    columns = shutil.get_terminal_size(fallback=(WIDEST, 24)).columns
    width = min(max(columns, NARROWEST), WIDEST)
    print(report.format_model(model, width=width, unfolded=options.all), end="")
    return 0


def _read_recorded(folder: Path, overrides: list[str]) -> dict[str, Any]:
    from speechkit import report

    if overrides:
        found = f"{overrides[0]} for a model that was built already"
        raise UserError(found, do=f"show {folder / 'hparams.yaml'} with it, or the recipe's YAML")
    if not (folder / "model.json").is_file():
        raise UserError(f"{folder} holds no model.json", expected="the output_folder of a run, or a YAML")
    return report.read_json(folder / "model.json", "model")


def _build(file: Path, overrides: list[str], trust: bool) -> dict[str, Any]:
    train_file = config.find_train_file(file)
    if train_file is None:
        raise UserError(f"{file} has no train.py beside it or one folder above")
    schema = config.brain_schema(train_file)
    given = [*overrides, *_stand_in(file, overrides, schema, trust)]
    problems = config.check(file, given, schema=schema, trust=trust)
    mistakes = [problem for problem in problems if not problem.warning]
    if mistakes:
        raise UserErrors(UserError(each.message, place=each.place, key=each.key) for each in mistakes)
    from speechkit.tasks import describe_build

    return describe_build(train_file, file, given, trust=trust)


def _stand_in(file: Path, overrides: list[str], schema: config.Schema, trust: bool) -> list[str]:
    """Overrides for keys left to the user that take any text: paths. What must be a number is asked for."""
    texts = {key: f"{key}{NOT_GIVEN}" for key in config.find_placeholders(file, overrides)}
    if not texts:
        return []
    flags = [word for key, text in texts.items() for word in (f"--{key}", text)]
    problems = config.check(file, [*overrides, *flags], schema=schema, trust=trust)
    told = " ".join(problem.message for problem in problems if not problem.warning)
    taken = {key: text for key, text in texts.items() if text not in told}
    return [word for key, text in taken.items() for word in (f"--{key}", text)]
