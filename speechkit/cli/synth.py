"""`speechkit synth`: a command for each synthetic corpus."""

import argparse
from pathlib import Path


def add_corpora(synth: argparse.ArgumentParser) -> None:
    """Give the parser of `speechkit synth` its corpora; each sets `run(options, rest) -> exit code`."""
    corpora = synth.add_subparsers(dest="corpus", required=True, metavar="CORPUS")
    words = _add(corpora, "speech-commands", "spoken words in the layout of Speech Commands")
    words.add_argument("--n_voices", type=int, default=200)
    words.set_defaults(run=_speech_commands)

    read = _add(corpora, "librispeech", "sentences read aloud, in the layout of LibriSpeech")
    read.add_argument("--n_voices", type=int, default=80)
    read.add_argument("--n_utterances", type=int, default=2000)
    read.add_argument(
        "--texts",
        nargs="+",
        metavar="FILE",
        help="a sentence a line (with its name, if each has a digit), instead of made-up ones",
    )
    read.set_defaults(run=_librispeech)

    mixtures = _add(corpora, "2mix", "sentences read aloud and mixed, in the layout of WSJ0-2mix")
    mixtures.add_argument("--n_sources", type=int, default=2, help="speakers in a mixture (2)")
    mixtures.add_argument("--n_voices", type=int, default=60)
    mixtures.add_argument("--n_mixtures", type=int, default=400, help="in all: 60%% in tr, 25%% in tt (400)")
    mixtures.set_defaults(run=_mixtures)

    sinusoids = _add(corpora, "sinusoids", "mixtures of two sinusoids, one low and one high")
    sinusoids.add_argument("--n_examples", type=int, default=100)
    sinusoids.add_argument("--seconds", type=float, default=2.0, help="of an example (2)")
    sinusoids.set_defaults(run=_sinusoids)


def _add(corpora: "argparse._SubParsersAction", name: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = corpora.add_parser(name, help=description)
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _speech_commands(options: argparse.Namespace, rest: list[str]) -> int:
    from speechkit.data import synthesize_speech_commands

    folder = synthesize_speech_commands(Path(options.folder), seed=options.seed, n_voices=options.n_voices)
    print(f"synthetic Speech Commands: {folder}")
    return 0


def _librispeech(options: argparse.Namespace, rest: list[str]) -> int:
    from speechkit.data import synthesize_librispeech

    counts = {"n_voices": options.n_voices, "n_utterances": options.n_utterances}
    folder = synthesize_librispeech(Path(options.folder), seed=options.seed, texts=options.texts, **counts)
    print(f"synthetic LibriSpeech: {folder}")
    return 0


def _mixtures(options: argparse.Namespace, rest: list[str]) -> int:
    from speechkit.data import synthesize_mixtures

    counts = {name: getattr(options, name) for name in ("n_sources", "n_voices", "n_mixtures")}
    folder = synthesize_mixtures(Path(options.folder), seed=options.seed, **counts)
    print(f"synthetic WSJ0-{options.n_sources}mix: {folder}")
    return 0


def _sinusoids(options: argparse.Namespace, rest: list[str]) -> int:
    from speechkit.data import synthesize_sinusoids

    keys = {"n_examples": options.n_examples, "seconds": options.seconds}
    folder = synthesize_sinusoids(Path(options.folder), seed=options.seed, **keys)
    print(f"sinusoids: {folder}")
    return 0
