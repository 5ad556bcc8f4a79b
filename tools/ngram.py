"""Train an n-gram language model on a text, one sentence a line, and write it as an ARPA file.

    python tools/ngram.py TEXT... lm.arpa --order 3                    of words
    python tools/ngram.py TEXT lm.arpa --order 6 --units characters    of characters, the space as <space>
    python tools/ngram.py TEXT lm.arpa --order 4 --units RUN           of pieces, as in RUN/tokenizer.model

Interpolated modified Kneser-Ney (`speechkit/decoding/kneser_ney.py`); no n-gram is cut off, so this is for
texts that fit in memory some ten times over. A file that ends in .gz is packed. The perplexity is told of
sentences that were not trained on: of --held-out, or of each Nth of the text.
"""

import argparse
import gzip
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from speechkit.decoding.arpa import format_arpa, read_arpa
from speechkit.decoding.kneser_ney import train_kneser_ney
from speechkit.decoding.ngram import NGramModel, perplexity
from speechkit.errors import UserError, report_and_exit
from speechkit.metrics import TextNormalizer

Split = Callable[[str], list[str]]


def splitter(units: str) -> Split:
    """How a sentence becomes the words of the model."""
    if units == "words":
        return str.split
    if units == "characters":
        return lambda sentence: ["<space>" if sign == " " else sign for sign in " ".join(sentence.split())]
    import sentencepiece

    model = Path(units) / "tokenizer.model" if Path(units).is_dir() else Path(units)
    if not model.is_file():
        raise UserError(f"there is no {model}", expected="words, characters or a run with a tokenizer.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    return lambda sentence: processor.encode(sentence, out_type=str)


def read_sentences(path: Path, ids: bool) -> list[str]:
    """The lines of a text that are not empty; with `ids`, as in .trans.txt, without their first words.

    Of a folder, those of all transcripts below it.
    """
    if path.is_dir():
        files = sorted(path.rglob("*.trans.txt"))
        if not files:
            raise UserError(f"{path} has no .trans.txt files", expected="a text, or a folder of transcripts")
        return [sentence for file in files for sentence in read_sentences(file, ids)]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", expected="a text") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}", do="save it as UTF-8") from None
    if ids:
        lines = [" ".join(line.split(maxsplit=1)[1:]) for line in lines]
    return [line for line in lines if line.strip()]


def write_arpa(model: NGramModel, path: Path) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    data = "".join(format_arpa(model)).encode()
    partial.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    partial.replace(path)


def describe(model: NGramModel, held_out: Iterable[list[str]]) -> str:
    """Numbers of n-grams, and what the model makes of other sentences."""
    counts = [0] * model.order
    for context, listed in model.successors.items():
        counts[len(context)] += len(listed)
    lines = [f"{order}-grams: {count:,}" for order, count in enumerate(counts, start=1)]
    sentences = list(held_out)
    if sentences:
        units = [unit for sentence in sentences for unit in sentence]
        unknown = sum(model.known(unit) != unit for unit in units)
        figure = f"{perplexity(model, sentences):.2f} a unit, ends included"
        lines.append(f"perplexity of {len(sentences):,} held-out sentences: {figure}")
        lines.append(f"{unknown:,} of {len(units):,} units unknown, counted as <unk>")
    return "\n".join(lines)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="+", type=Path, help="files; of a folder its .trans.txt files")
    parser.add_argument("arpa", type=Path)
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument(
        "--units", default="words", help="words, characters, or a folder with tokenizer.model"
    )
    parser.add_argument("--ids", action="store_true", help="lines begin with an id, as in .trans.txt")
    parser.add_argument("--case", default="keep", choices=["keep", "lower", "upper"])
    parser.add_argument("--punctuation", default="keep", choices=["keep", "remove"])
    parser.add_argument("--held-out", type=Path, help="a text whose perplexity is told")
    parser.add_argument(
        "--hold-out-every", type=int, metavar="N", help="hold out each Nth sentence of the text"
    )
    return parser.parse_args(arguments)


def run(arguments: argparse.Namespace) -> str:
    """Train and write; returns what is told."""
    split, normalize = splitter(arguments.units), TextNormalizer(arguments.case, arguments.punctuation)
    lines = [line for path in arguments.texts for line in read_sentences(path, arguments.ids)]
    sentences = [split(normalize(line)) for line in lines]
    held_out: list[list[str]] = []
    if arguments.hold_out_every:
        held_out = sentences[:: arguments.hold_out_every]
        del sentences[:: arguments.hold_out_every]
    if arguments.held_out:
        held_out += [split(normalize(line)) for line in read_sentences(arguments.held_out, arguments.ids)]
    write_arpa(train_kneser_ney(sentences, arguments.order), arguments.arpa)
    told = describe(read_arpa(arguments.arpa), held_out)  # of the file, as it will be used
    return f"{told}\ntexts: {normalize.rule}\nwrote {arguments.arpa}"


def main() -> None:
    try:
        print(run(parse(sys.argv[1:])))
    except UserError as error:
        report_and_exit(error)


if __name__ == "__main__":
    main()
