"""The command `speechkit`. Rooms are imported by the command that needs them: --help and check stay quick."""

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechkit import config
from speechkit.cli.compare import add_compare
from speechkit.cli.find_lr import add_find_lr
from speechkit.cli.separation import add_separate
from speechkit.cli.show import add_show
from speechkit.cli.synth import add_corpora
from speechkit.errors import UserError, UserErrors, explain_system_error, report_and_exit

TUNED = "search by the weights that `speechkit tune` has found, but for those given"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line; ends with code 2 and one message for a user's mistake."""
    parser = _make_parser()
    # What the parser does not know are overrides of the YAML's keys, for the commands that take them.
    options, rest = parser.parse_known_args(arguments)
    try:
        if rest and not options.takes_overrides:
            raise UserError(f"unknown argument {rest[0]!r}", do=f"see speechkit {options.command} --help")
        raise SystemExit(options.run(options, rest))
    except UserError as error:
        report_and_exit(error)
    except OSError as error:
        if explained := explain_system_error(error):
            report_and_exit(explained)
        raise
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="speechkit", description="Speech experiments from one YAML.")
    parser.set_defaults(takes_overrides=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    check = commands.add_parser("check", allow_abbrev=False, help="find the mistakes of YAMLs")
    check.add_argument("files", nargs="+", metavar="FILE")
    check.add_argument("--build", action="store_true", help="also build all and try a batch of noise")
    check.add_argument("--trust-config", action="store_true", help="allow names off the allow-list")
    check.set_defaults(run=_check, takes_overrides=True)

    add_show(commands)
    add_find_lr(commands)

    train = commands.add_parser(
        "train", help="run the train.py that a YAML belongs to", add_help=False, allow_abbrev=False
    )
    train.add_argument("file", metavar="FILE")
    train.set_defaults(run=_train, takes_overrides=True)

    folds = commands.add_parser("folds", allow_abbrev=False, help="run a YAML once for each fold, sum up")
    folds.add_argument("file", metavar="FILE")
    folds.add_argument("--key", default="fold", help="the YAML's key that runs differ in (fold)")
    folds.add_argument("--values", default="1,2,3,4,5", metavar="A,B,...", help="its values (1,2,3,4,5)")
    folds.add_argument("--jobs", type=_positive, default=1, metavar="N", help="runs at a time (1)")
    folds.set_defaults(run=_folds, takes_overrides=True)

    evaluate = commands.add_parser(
        "evaluate", allow_abbrev=False, help="report on a run's weights, on other data or once more"
    )
    evaluate.add_argument("run_folder", metavar="RUN")
    evaluate.add_argument("--name", help="of the evaluation; by default that of the data folder")
    evaluate.add_argument("--tuned", action="store_true", help=TUNED)
    evaluate.add_argument("--recipe", metavar="FOLDER", help="of the train.py to use, if not the run's own")
    evaluate.add_argument("--trust-config", action="store_true", help="allow names off the allow-list")
    evaluate.set_defaults(run=_evaluate, takes_overrides=True)

    tune = commands.add_parser(
        "tune", allow_abbrev=False, help="choose the weights of a run's search on its validation set"
    )
    tune.add_argument("run_folder", metavar="RUN")
    tune.add_argument("--recipe", metavar="FOLDER", help="of the train.py to use, if not the run's own")
    tune.add_argument("--trust-config", action="store_true", help="allow names off the allow-list")
    tune.set_defaults(run=_tune, takes_overrides=True)

    classify = commands.add_parser("classify", help="label audio files with a trained classifier")
    classify.add_argument("run_folder", metavar="RUN")
    classify.add_argument("files", nargs="+", metavar="FILE")
    classify.add_argument(
        "--top", type=_positive, default=3, metavar="N", help="labels shown for each file (3)"
    )
    classify.add_argument("--recipe", metavar="FOLDER", help="of the recipe, if its own classes are used")
    classify.set_defaults(run=_classify)

    transcribe = commands.add_parser(
        "transcribe",
        allow_abbrev=False,
        help="write down what is said in audio files",
        usage="%(prog)s [options] RUN FILE... [--search null | --search.KEY VALUE ...]",
        description="Print what is said in audio files, and when. Any format that soundfile reads, any rate, "
        "the mean of the channels, any length: a long file is heard in windows, and its memory is that of a "
        "few windows. Behind the files the run's search may be changed for this once: "
        "--search null, --search.lm_weight 0.5. A file that cannot be heard is told, the others are done, "
        "and the command ends with code 2.",
    )
    transcribe.add_argument("run_folder", metavar="RUN")
    transcribe.add_argument("files", nargs="+", metavar="FILE")
    transcribe.add_argument(
        "--format",
        choices=("text", "srt", "json"),
        default="text",
        help="lines with times (text), subtitles (srt), or an object a file and line, with the time and the "
        "confidence of each word (json); text unless given",
    )
    transcribe.add_argument(
        "--out", metavar="DIR", help="write DIR/NAME.txt, .srt or .json for each file; printed is plain text"
    )
    transcribe.add_argument(
        "--window_seconds",
        type=float,
        metavar="S",
        help="of a window (as long as the utterances of the training, 30 at most)",
    )
    transcribe.add_argument(
        "--overlap_seconds", type=float, metavar="S", help="that two windows share (5, or half of a window)"
    )
    transcribe.add_argument(
        "--at_pauses",
        action=argparse.BooleanOptionalAction,
        help="share nothing: end each window in a pause of that part of it (where windows are below 15 s)",
    )
    transcribe.add_argument(
        "--batch_size", type=_positive, default=4, metavar="N", help="windows decoded together (4)"
    )
    transcribe.add_argument("--tuned", action="store_true", help=TUNED)
    transcribe.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (cpu)")
    transcribe.add_argument("--recipe", metavar="FOLDER", help="of the recipe, if its own classes are used")
    transcribe.set_defaults(run=_transcribe, takes_overrides=True)

    add_separate(commands)

    report = commands.add_parser("report", help="write the report of runs again, from their folders alone")
    report.add_argument("run_folders", nargs="+", metavar="RUN")
    report.set_defaults(run=_report)

    add_compare(commands)

    shard = commands.add_parser("shard", help="write a manifest and its audio as shards, for large data")
    shard.add_argument("manifest", metavar="MANIFEST", help="cuts, .jsonl or .jsonl.gz")
    shard.add_argument("folder", metavar="DIR", help="new or empty, or one where this was stopped")
    shard.add_argument(
        "--shard_size", type=_positive, default=1000, metavar="N", help="cuts in a shard (1000)"
    )
    shard.add_argument(
        "--format", choices=("flac", "wav", "original"), default="flac", help="of the audio (flac)"
    )
    shard.add_argument(
        "--n_workers", type=_positive, default=os.cpu_count() or 1, help="processes (all cores)"
    )
    shard.set_defaults(run=_shard)

    synth = commands.add_parser("synth", help="make a synthetic corpus")
    add_corpora(synth)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_positive.__name__ = "whole number above 0"  # as argparse tells it


def _check(options: argparse.Namespace, overrides: list[str]) -> int:
    n_mistakes = 0
    for file in options.files:
        try:
            warnings = _check_file(file, overrides, options)
        except UserError as error:
            print(error)
            n_mistakes += len(error.errors) if isinstance(error, UserErrors) else 1
        else:
            print(f"{file}: no mistakes" + (f", {warnings} warnings" if warnings else ""))
    return 2 if n_mistakes else 0


def _check_file(file: str, overrides: list[str], options: argparse.Namespace) -> int:
    """Print the warnings and return their number; raise the mistakes."""
    train_file = config.find_train_file(file)
    schema = None if train_file is None else config.brain_schema(train_file)
    problems = config.check(file, overrides, schema=schema, trust=options.trust_config)
    warnings = [problem for problem in problems if problem.warning]
    for warning in warnings:
        print(warning)
    mistakes = [problem for problem in problems if not problem.warning]
    if mistakes:
        raise UserErrors(UserError(each.message, place=each.place, key=each.key) for each in mistakes)
    if schema is not None:
        _check_source(config.read(file, overrides, schema=schema))
    if options.build:
        if train_file is None:
            raise UserError(
                f"{file} has no train.py beside it or one folder above", do="check without --build"
            )
        from speechkit.tasks import check_build

        check_build(train_file, file, overrides, trust=options.trust_config)
    return len(warnings)


def _check_source(document: config.Document) -> None:
    """The run that a new one begins from must be there; whether its weights fit shows by building."""
    source = document.resolved().get("init_from")
    if isinstance(source, str) and not Path(source).expanduser().is_dir():
        expected = "the output folder of a training run, or one of its checkpoints"
        place = document.place("init_from")
        raise UserError(f"there is no folder {source}", expected=expected, place=place, key="init_from")


def _train(options: argparse.Namespace, rest: list[str]) -> int:
    train_file = config.find_train_file(options.file)
    if train_file is None:
        raise UserError(f"{options.file} has no train.py beside it or one folder above")
    # In place of this process: Ctrl-C and SIGTERM must reach the training, and no one who waits for it.
    os.execv(sys.executable, [sys.executable, str(train_file), options.file, *rest])


def _folds(options: argparse.Namespace, rest: list[str]) -> int:
    from speechkit.tasks import run_folds
    from speechkit.tasks.entry import parse_arguments

    command = parse_arguments([options.file, *rest], "speechkit folds")
    summary, failed = run_folds(command, options.key, options.values.split(","), options.jobs)
    print(summary, end="")
    if failed:
        print(f"failed: {', '.join(failed)}; the same command runs these again", file=sys.stderr)
    return 1 if failed else 0


def _evaluate(options: argparse.Namespace, rest: list[str]) -> int:
    from speechkit import report
    from speechkit.tasks import evaluate_run

    chosen = {"name": options.name, "recipe": options.recipe, "tuned": options.tuned}
    page = evaluate_run(options.run_folder, rest, trust=options.trust_config, **chosen)
    print(report.summarize(page.parent))
    print(f"report: {page}")
    return 0


def _tune(options: argparse.Namespace, rest: list[str]) -> int:
    from speechkit.tasks import tune_run

    print(f"{'errors':>8} {'of characters':>14}  weights")

    def tell(trial: Any) -> None:
        print("{:8d} {:14d}  ".format(*trial.errors) + _list_weights(trial.weights), flush=True)

    tuned = tune_run(options.run_folder, rest, recipe=options.recipe, trust=options.trust_config, tell=tell)
    left_out = ", ".join(f"{count} {reason}" for reason, count in tuned["skipped"].items())
    print(f"validation set: {tuned['n_utterances']} utterances; left out: {left_out or 'none'}")
    print(f"best of {len(tuned['trials'])}: {_list_weights(tuned['best'])}")
    print(shlex.join(["speechkit", "evaluate", options.run_folder, "--tuned", *rest]))
    return 0


def _list_weights(weights: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in weights.items())


def _classify(options: argparse.Namespace, rest: list[str]) -> int:
    from speechkit.tasks import classify_file, load

    model = load(options.run_folder, recipe=options.recipe)
    n_failed = 0
    for file in options.files:
        try:
            prediction = classify_file(model, file)
        except UserError as error:
            print(error, file=sys.stderr)
            n_failed += 1
            continue
        best = sorted(prediction.probabilities.items(), key=lambda item: -item[1])[: options.top]
        print("\t".join([file, *(f"{label} {probability:.3f}" for label, probability in best)]))
    return 2 if n_failed else 0


def _transcribe(options: argparse.Namespace, overrides: list[str]) -> int:
    from speechkit import report
    from speechkit.tasks import Recognizer, load

    outputs = _name_transcripts(options)
    chosen = {"recipe": options.recipe, "device": options.device, "tuned": options.tuned}
    model = load(options.run_folder, overrides=overrides, **chosen)
    if not isinstance(model, Recognizer):
        raise UserError(f"{options.run_folder} is a {type(model).__name__}", expected="a run of recognition")
    plan = model.plan_windows(options.window_seconds, options.overlap_seconds, options.at_pauses)
    if None in (options.window_seconds, options.overlap_seconds, options.at_pauses):
        print(plan.describe() if options.window_seconds else model.explain(plan), file=sys.stderr)
    n_failed = 0
    for file, output in zip(options.files, outputs, strict=True):
        try:
            transcript = model.transcribe(file, plan, options.batch_size)
        except UserError as error:
            print(error, file=sys.stderr)
            n_failed += 1
            continue
        content = report.format_transcript(transcript, options.format, file)
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            report.write_atomic(output, content.encode())
            content = report.format_transcript(transcript, "text", file)
        is_text = output is not None or options.format == "text"
        heading = f"{file}:\n" if is_text and len(options.files) > 1 else ""
        print(f"{heading}{content}", end="", flush=True)
    return 2 if n_failed else 0


def _name_transcripts(options: argparse.Namespace) -> list[Path | None]:
    """Where the transcript of each file is written, if it is."""
    if options.out is None:
        if options.format == "srt" and len(options.files) > 1:
            raise UserError("the subtitles of several files", do="give --out DIR: a file for each")
        return [None] * len(options.files)
    suffix = {"text": ".txt", "srt": ".srt", "json": ".json"}[options.format]
    outputs = [Path(options.out) / f"{Path(file).stem}{suffix}" for file in options.files]
    for output, count in Counter(outputs).items():
        if count > 1:
            files = " and ".join(f for f, each in zip(options.files, outputs, strict=True) if each == output)
            raise UserError(f"{files} would all be written to {output}", do="transcribe one at a time")
    return list(outputs)


def _report(options: argparse.Namespace, rest: list[str]) -> int:
    from speechkit import report

    for folder in options.run_folders:
        page = report.write_report(folder)
        print(report.summarize(folder))
        print(f"report: {page}")
    return 0


def _shard(options: argparse.Namespace, rest: list[str]) -> int:
    from speechkit.data import write_shards

    done = write_shards(
        options.manifest, options.folder, options.shard_size, options.format, options.n_workers
    )
    for name, _, detail in done.skipped[:10]:
        print(f"cut {name} is left out: {detail}")
    reasons = Counter(reason for _, reason, _ in done.skipped)
    left_out = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    print(f"left out: {left_out}" if left_out else "no cut is left out")
    hours, gigabytes = done.seconds / 3600, done.n_bytes / 1e9
    print(
        f"{done.n_cuts} cuts ({hours:.2f} h, {gigabytes:.3f} GB) in {done.n_shards} shards: {options.folder}"
    )
    return 0
