"""`speechkit find-lr`."""

import argparse
from typing import Any

from speechkit import config
from speechkit.errors import UserError

DESCRIPTION = (
    "Take the first steps of a YAML's training at learning rates that rise from one to the next, and suggest "
    "the one where the loss falls fastest. Behind the file its keys may be changed, as for training. What it "
    "writes lies in find-lr/ of the output folder; a run that is there is not touched."
)


def add_find_lr(commands: Any) -> None:
    """Add the command to the parser's."""
    find = commands.add_parser(
        "find-lr", allow_abbrev=False, help="suggest a learning rate for a YAML", description=DESCRIPTION
    )
    find.add_argument("file", metavar="FILE")
    find.add_argument("--min", type=float, default=1e-7, metavar="RATE", help="the first one (1e-7)")
    find.add_argument("--max", type=float, default=10.0, metavar="RATE", help="the last one (10)")
    find.add_argument("--steps", type=int, default=200, metavar="N", help="from the one to the other (200)")
    find.add_argument("--trust-config", action="store_true", help="allow names off the allow-list")
    find.set_defaults(run=_find_lr, takes_overrides=True)


def _find_lr(options: argparse.Namespace, overrides: list[str]) -> int:
    train_file = config.find_train_file(options.file)
    if train_file is None:
        raise UserError(f"{options.file} has no train.py beside it or one folder above")
    from speechkit import report
    from speechkit.tasks import find_learning_rate
    from speechkit.training import RateRange

    rates = RateRange(options.min, options.max, options.steps)
    page, result = find_learning_rate(train_file, options.file, overrides, rates, trust=options.trust_config)
    print(report.format_rate_range(result))
    print(f"page: {page}")
    return 130 if result["stopped"] == "interrupted" else 0
