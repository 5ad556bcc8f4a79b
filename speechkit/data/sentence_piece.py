"""Pieces of words, learned from the training's texts by SentencePiece."""

import io
import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from speechkit.errors import UserError

FILE_NAME = "tokenizer.model"
BLANK = "▁"  # U+2581, by which SentencePiece writes the blank
MAX_BYTES = 2**20  # of a text: SentencePiece leaves out longer ones, by default of more than 4,192
_BYTE = re.compile("<0x([0-9A-F]{2})>")


class SentencePieceTokenizer:
    """A token for each piece of a word, as many as one asks for (Kudo and Richardson, EMNLP 2018).

    n_tokens: with the blank, token 0, so that it is the width of a CTC layer.
    kind: "unigram" (Kudo, ACL 2018) or "bpe" (Sennrich et al., ACL 2016).
    byte_fallback: 256 of the tokens are bytes, which spell characters that the training's texts lack. Without
        them such a character is a UserError, as it is of other tokenizers.
    model_file: of SentencePiece, trained already; by default `prepare` trains one.

    Nothing is read before `prepare` or `load`, which a run calls with its folder. Texts are taken as they
    stand, but for blanks, of which one stands between words; so `decode(encode(text))` is the text. The
    character U+2581 is a blank too.
    """

    def __init__(
        self,
        n_tokens: int,
        kind: Literal["unigram", "bpe"] = "unigram",
        byte_fallback: bool = True,
        model_file: str | None = None,
    ) -> None:
        if kind not in ("unigram", "bpe"):
            raise UserError(f"kind: {kind!r}", expected="unigram or bpe", key="tokenizer.kind")
        least = 258 if byte_fallback else 2
        if n_tokens < least:
            expected = (
                f"{least} at least, the blank" + (" and 256 bytes" if byte_fallback else "") + " included"
            )
            raise UserError(f"n_tokens: {n_tokens}", expected=expected, key="tokenizer.n_tokens")
        self.n_tokens, self.kind, self.byte_fallback, self.model_file = (
            n_tokens,
            kind,
            byte_fallback,
            model_file,
        )
        self._processor: Any = None

    @property
    def is_ready(self) -> bool:
        """Whether texts can be encoded."""
        return self._processor is not None

    def prepare(self, texts: Iterable[str], folder: str | os.PathLike[str]) -> None:
        """Learn the pieces of texts, or take `model_file`; keep the model as `tokenizer.model` in a folder.

        A model that the folder holds is taken as it is: a run that goes on has the pieces that it began with.
        `model_file` may be gone by then; one that is there must be the same.
        """
        path = Path(folder) / FILE_NAME
        kept = _read(path) if path.is_file() else None
        given = None
        if self.model_file is not None and (kept is None or os.path.exists(self.model_file)):
            given = _read(Path(self.model_file))
        if kept is None:
            kept = given if given is not None else self._train(texts)
            self._open(kept, str(self.model_file or path))  # a model that does not fit is not kept
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{FILE_NAME}.partial")
            partial.write_bytes(kept)
            partial.replace(path)
        elif given is not None and given != kept:
            found = f"{path} is another model than {self.model_file}"
            raise UserError(found, do="give another output_folder", key="tokenizer.model_file")
        self._open(kept, str(path))

    def load(self, folder: str | os.PathLike[str]) -> None:
        """Take the model that `prepare` kept in a folder."""
        path = Path(folder) / FILE_NAME
        self._open(_read(path), str(path))

    @cached_property
    def symbols(self) -> list[str]:
        """The pieces, of which the first has number 1; a blank is U+2581."""
        return [self._model.id_to_piece(number) for number in self._numbers[1:]]

    @property
    def spellings(self) -> list[bytes]:
        """What each piece writes, in UTF-8."""
        return [_spell(piece) for piece in self.symbols]

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's pieces."""
        tokens = [self._tokens[number] for number in self._model.encode(text)]
        if 0 in tokens:
            lacking = self._model.encode(text, out_type=str)[tokens.index(0)]
            found = f"the tokenizer has no symbol {lacking!r}"
            raise UserError(found, do="set byte_fallback: True, or change the transcript")
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of numbers from 1 to n_tokens - 1; bytes that are no UTF-8 become U+FFFD."""
        wrong = [token for token in tokens if not 0 < token < self.n_tokens]
        if wrong:
            raise ValueError(f"token {wrong[0]}; symbols have the numbers 1 to {self.n_tokens - 1}")
        return self._model.decode([self._numbers[token] for token in tokens])

    @property
    def _model(self) -> Any:
        if self._processor is None:
            raise UserError("the tokenizer is not trained", do="call prepare(texts, folder) or load(folder)")
        return self._processor

    def _train(self, texts: Iterable[str]) -> bytes:
        import sentencepiece

        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=model,
                model_type=self.kind,
                vocab_size=self.n_tokens,  # its <unk>, number 0, takes the place of the blank
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                byte_fallback=self.byte_fallback,
                character_coverage=1.0,
                normalization_rule_name="identity",
                num_threads=1,  # sums, and so pieces, the same each time
                max_sentence_length=MAX_BYTES,
                minloglevel=2,
            )
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"SentencePiece cannot learn {self.n_tokens} tokens: {_explain(error)}",
                do="give fewer, or more text",
                key="tokenizer.n_tokens",
            ) from None
        return model.getvalue()

    def _open(self, model: bytes, name: str) -> None:
        """Number the real pieces from 1 on; <unk>, <s>, </s>, <pad> have no number of ours."""
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor()
        try:
            processor.load_from_serialized_proto(model)
        except RuntimeError:
            raise UserError(f"{name} is no model of SentencePiece", key="tokenizer.model_file") from None
        numbers = [number for number in range(processor.get_piece_size()) if _is_piece(processor, number)]
        if len(numbers) + 1 != self.n_tokens:
            found = f"{name} has {len(numbers)} pieces; n_tokens is {self.n_tokens}"
            raise UserError(found, expected=f"n_tokens: {len(numbers) + 1}", key="tokenizer.n_tokens")
        self._numbers = [processor.unk_id(), *numbers]  # token -> number of SentencePiece
        self._tokens = [0] * processor.get_piece_size()  # and back
        for token, number in enumerate(numbers, start=1):
            self._tokens[number] = token
        self._processor = processor
        self.__dict__.pop("symbols", None)


def _is_piece(processor: Any, number: int) -> bool:
    return not (processor.is_unknown(number) or processor.is_control(number) or processor.is_unused(number))


def _spell(piece: str) -> bytes:
    match = _BYTE.fullmatch(piece)
    return bytes([int(match[1], 16)]) if match else piece.replace(BLANK, " ").encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}", expected="a model of SentencePiece"
        ) from None


def _explain(error: Exception) -> str:
    """SentencePiece's own words, without the place in its sources."""
    return re.sub(r"^.*?\.cc\(\d+\) \[.*?\] ?", "", str(error)).strip() or "there is no text"
