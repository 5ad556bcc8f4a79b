"""`main`: from a YAML to a trained model and its report."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechkit import config, report
from speechkit.errors import UserError, UserErrors, explain_system_error, report_and_exit
from speechkit.ops.sharing import ALL, Share
from speechkit.tasks.assembly import build_brain, finder, placed, refuse_nulls
from speechkit.tasks.dry_run import dry_run
from speechkit.tasks.initialize import initialize
from speechkit.tasks.recipe import import_brain, is_imported_only, prepare
from speechkit.tasks.results import evaluate_subsets
from speechkit.tasks.run_folder import clear_run, describe_run, examine_run, locked
from speechkit.training import Brain, Interrupted
from speechkit.training.bar import say
from speechkit.training.processes import (
    Processes,
    fail_once,
    is_lost_connection,
    is_started_by_torchrun,
    joined_processes,
)

USAGE = """usage: {program} HPARAMS.yaml [--key value ...]

  --key value, --a.b=value   override a key of the YAML (also lists, null, keys of included files)
  --debug                    two batches, two epochs, into <output_folder>/debug, each time anew
  --download                 get the data set into data_folder first, where the recipe can
  --restart                  remove the run in output_folder and begin anew
  --trust-config             build whatever the YAML names, also what is not on the allow-list

The same command goes on with a run that was stopped."""
N_TURNS = 2  # of a data set under --debug
FLAGS = {"--debug", "--download", "--restart", "--trust-config"}


@dataclass(frozen=True)
class Command:
    """A train.py's command line."""

    hparams: Path
    flags: frozenset[str]
    overrides: tuple[str, ...]


def main(brain_class: type[Brain], file: str, arguments: Sequence[str] | None = None) -> None:
    """Train, evaluate and report as the YAML on the command line says; `file` is the train.py's `__file__`.

    Ends with code 2 and one message for a user's mistake, 130 when interrupted (saved).
    """
    if is_imported_only():
        return
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        command = parse_arguments(given, Path(file).name)
        with joined_processes() as processes:
            folder = run_experiment(brain_class, Path(file).resolve(), command, processes)
            if processes.is_main:
                page = report.write_report(folder)
                print(report.summarize(folder))
                print(f"report: {page}")
    except (Interrupted, KeyboardInterrupt) as stop:
        fail_once()
        where = f"{stop}; the same command goes on from there"
        last = "stopped; the same command goes on from the last checkpoint"
        say(where if isinstance(stop, Interrupted) else last)
        raise SystemExit(130) from None
    except Exception as error:
        fail_once()
        _explain_and_exit(error)
        raise


def parse_arguments(arguments: Sequence[str], program: str) -> Command:
    """Split a command line into the YAML, the flags and the overrides.

    >>> parse_arguments(["a.yaml", "--debug", "--seed", "3"], "train.py").overrides
    ('--seed', '3')
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(USAGE.format(program=program))
        raise SystemExit(0 if arguments else 2)
    if arguments[0].startswith("-"):
        raise UserError(
            f"{arguments[0]} comes first", expected="the YAML first", do=f"{program} HPARAMS.yaml ..."
        )
    rest = list(arguments[1:])
    flags = frozenset(FLAGS & set(rest))
    return Command(Path(arguments[0]), flags, tuple(each for each in rest if each not in flags))


def run_experiment(
    brain_class: type[Brain], train_file: Path, command: Command, processes: Processes
) -> Path:
    """Check, build, prepare, train and evaluate; returns the run's folder."""
    trust = "--trust-config" in command.flags
    schema = config.brain_schema(train_file)
    refuse_mistakes(command, schema, trust)
    if "--download" in command.flags and "download" not in schema.prepare_keys:
        raise UserError("--download: the prepare() of this recipe has nothing to download")
    document, built, brain = build(brain_class, train_file, command, schema, trust)
    with placed(document):
        if "--debug" in command.flags:
            _shorten(brain)
        model = dry_run(brain, finder(built))
        anew = bool(command.flags & {"--restart", "--debug"})
        beginning = initialize(brain, anew=anew)
        sources = processes.gather(beginning.source if beginning else None)
        if any(source != sources[0] for source in sources):
            found = "the run it names saved anew while the processes read it"
            raise UserError(found, expected="a run that is not training", key="init_from")
        with locked(brain.output_folder) if processes.is_main else nullcontext():
            if processes.is_main:
                if not anew:
                    brain.recorder.fingerprint = examine_run(brain, document, beginning)
                flags = {"download": True} if "--download" in command.flags else {}
                prepare(train_file, built.values | flags, schema)
                brain.recorder.data_digest = open_data(brain)
                if anew:  # only now: a run must not be lost for a mistyped data_folder
                    clear_run(brain.output_folder)
                    brain.recorder.fingerprint = examine_run(brain, document, beginning)
                describe_run(brain, document, model, train_file, beginning)
                brain.prepare_run()
            processes.wait_for_main("the run folder is open")
            if not processes.is_main:
                brain.load_run(brain.output_folder)
            brain.fit()
            evaluate_subsets(brain)
            return brain.output_folder


def check_build(
    train_file: Path, hparams: str | Path, overrides: Sequence[str], *, trust: bool = False
) -> None:
    """Build what a YAML (found right by `config.check`) describes, and run one batch of noise through it.

    Imports the recipe's train.py. A constructor that raises and layers that do not fit are UserErrors.
    """
    document, brain, _ = _build_and_try(train_file, hparams, overrides, trust)
    with placed(document):
        initialize(brain, anew=True)


def describe_build(
    train_file: Path, hparams: str | Path, overrides: Sequence[str], *, trust: bool = False
) -> dict[str, Any]:
    """What `model.json` holds of a run of a YAML that `config.check` has found right.

    Errors are those of `check_build`, but the weights that `init_from` names are not looked for.
    """
    return _build_and_try(train_file, hparams, overrides, trust)[2]


def _build_and_try(
    train_file: Path, hparams: str | Path, overrides: Sequence[str], trust: bool
) -> tuple[config.Document, Brain, dict[str, Any]]:
    schema = config.brain_schema(train_file)
    brain_class = import_brain(train_file, schema)
    command = Command(Path(hparams), frozenset(), tuple(overrides))
    document, built, brain = build(brain_class, train_file, command, schema, trust)
    with placed(document):
        return document, brain, dry_run(brain, finder(built))


def _explain_and_exit(error: Exception) -> None:
    """Returns where the error is nobody's but our own."""
    if isinstance(error, UserError):
        report_and_exit(error)
    if isinstance(error, OSError) and (explained := explain_system_error(error)):
        report_and_exit(explained)
    if is_started_by_torchrun() and is_lost_connection(error):
        say(f"another process of this run has ended: {str(error).splitlines()[0]}")
        raise SystemExit(1) from None


def refuse_mistakes(command: Command, schema: config.Schema, trust: bool) -> None:
    """Say the warnings of a command's YAML, and raise its mistakes."""
    problems = config.check(command.hparams, command.overrides, schema=schema, trust=trust)
    for problem in problems:
        if problem.warning and Processes().is_main:
            say(str(problem))
    mistakes = [problem for problem in problems if not problem.warning]
    if mistakes:
        raise UserErrors(UserError(each.message, place=each.place, key=each.key) for each in mistakes)


def build(
    brain_class: type[Brain], train_file: Path, command: Command, schema: config.Schema, trust: bool
) -> tuple[config.Document, config.Built, Brain]:
    """What a command's YAML, found right, describes."""
    document = config.read(command.hparams, command.overrides, schema=schema)
    with placed(document):
        refuse_nulls(document, schema)
        return document, *build_brain(brain_class, train_file, document, trust=trust)


def open_data(brain: Brain) -> str:
    """The digest of the training data. Validation and test are opened too: what is wrong with a manifest must
    not be found after a night of training."""
    digest: str = brain.train_data.digest()
    for data in (brain.valid_data, *brain.test_data.values()):
        data.n_cuts()
    return digest


def _shorten(brain: Brain) -> None:
    brain.n_epochs, brain.n_steps, brain.log_steps = 2, None, 1
    brain.train_data, brain.valid_data = _FirstBatches(brain.train_data), _FirstBatches(brain.valid_data)
    brain.test_data = {name: _FirstBatches(data) for name, data in brain.test_data.items()}
    brain.move_to(brain.output_folder / "debug")


class _FirstBatches:
    """Two turns of a data set."""

    def __init__(self, data: Any) -> None:
        self._data = data
        for name in ("manifest", "sample_rate", "durations"):  # of data that have them, as speech has
            if hasattr(data, name):
                setattr(self, name, getattr(data, name))

    def iterate(self, seed: int, epoch: int, skip: int = 0, share: Share = ALL) -> Any:
        for index, batch in enumerate(self._data.iterate(seed, epoch, skip, share), start=1):
            batch.turn = batch.turn._replace(ends_group=batch.turn.ends_group or index == N_TURNS)
            yield batch
            if index == N_TURNS:
                return

    def n_cuts(self) -> int:
        return self._data.n_cuts()

    def texts(self) -> Any:
        return self._data.texts()

    def digest(self) -> str:
        return self._data.digest()
