"""`speechkit separate`."""

import argparse
import sys
from typing import Any

from speechkit.errors import UserError

DESCRIPTION = (
    "Write what each source of audio files says to DIR/NAME_1.wav, DIR/NAME_2.wav and so on, as long as the "
    "file and at its rate, in 32-bit floats. Any format that soundfile reads, any rate, the mean of the "
    "channels, any length: a long file is heard in windows, and its memory is that of two windows. Results "
    "that are there already are replaced. A file that cannot be separated is told, the others are done, and "
    "the command ends with code 2."
)


def add_separate(commands: Any) -> None:
    """Add the command to the parser's."""
    separate = commands.add_parser(
        "separate", help="write what each source of audio files says", description=DESCRIPTION
    )
    separate.add_argument("run_folder", metavar="RUN")
    separate.add_argument("files", nargs="+", metavar="FILE")
    separate.add_argument("--out", metavar="DIR", required=True, help="where the results are written")
    separate.add_argument("--window_seconds", type=float, metavar="S", help="of a window (16)")
    separate.add_argument(
        "--overlap_seconds", type=float, metavar="S", help="that two windows share (4, or half of a window)"
    )
    separate.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (cpu)")
    separate.add_argument("--recipe", metavar="FOLDER", help="of the recipe, if its own classes are used")
    separate.set_defaults(run=_separate)


def _separate(options: argparse.Namespace, rest: list[str]) -> int:
    from speechkit.tasks import Separator, load
    from speechkit.tasks.separate import name_outputs, plan_windows

    plan = plan_windows(options.window_seconds, options.overlap_seconds)
    model = load(options.run_folder, recipe=options.recipe, device=options.device)
    if not isinstance(model, Separator):
        raise UserError(f"{options.run_folder} is a {type(model).__name__}", expected="a run of separation")
    n_failed = 0
    for file, paths in zip(
        options.files, name_outputs(options.files, options.out, model.n_sources), strict=True
    ):
        try:
            done = model.write_sources(file, paths, plan)
        except UserError as error:
            print(error, file=sys.stderr)
            n_failed += 1
            continue
        if done.sample_rate > model.sample_rate:
            above = f"{model.sample_rate / 2:g} Hz, half the model's rate"
            print(f"{file}: its results hold nothing above {above}", file=sys.stderr)
        print("\t".join([file, *map(str, done.paths)]), flush=True)
    return 2 if n_failed else 0
