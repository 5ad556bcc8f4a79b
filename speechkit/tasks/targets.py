"""Texts as targets of a loss, and those that cannot be."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechkit.data import Skipped, WordTokenizer
from speechkit.errors import UserError
from speechkit.losses import ctc_min_frames

UNKNOWN = "unknown symbol"  # the reason for leaving out what a tokenizer cannot write
MAX_NAMED = 10  # utterances left out that are named to the user; all are counted

# R utterances that have a target, U tokens


class Tokenizer(Protocol):
    """Texts to numbers from 1 to n_tokens - 1, and back; 0 is CTC's blank, and begin and end of a text.

    One that learns from texts, or reads a file, is `is_ready` after `prepare` or `load`.
    """

    @property
    def n_tokens(self) -> int: ...

    @property
    def is_ready(self) -> bool: ...

    @property
    def symbols(self) -> list[str]: ...  # their names, from token 1 on

    @property
    def spellings(self) -> list[bytes]: ...  # and what they write

    def prepare(self, texts: Any, folder: Any) -> None: ...

    def load(self, folder: Any) -> None: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...


class Targets(NamedTuple):
    """The targets of those rows of a batch that have one."""

    rows: list[int]
    tokens: Tensor  # (R, U)
    lengths: Tensor  # (R,)


class UnfitTarget(UserError):
    """A text that cannot be learned; `reason` is a word or two to count by."""

    def __init__(self, reason: str, found: str, **told: Any) -> None:
        super().__init__(found, **told)
        self.reason = reason


def ready_tokenizer(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer, or before it has learned one of as many made-up words: for a dry run."""
    if tokenizer.is_ready:
        return tokenizer
    return WordTokenizer([f"word{number}" for number in range(1, tokenizer.n_tokens)])


def encode_known(tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens of a text, of which the tokenizer has every symbol."""
    try:
        return tokenizer.encode(text)
    except UserError as error:
        raise UnfitTarget(UNKNOWN, error.found, do=error.do, key="tokenizer") from None


def encode_text(tokenizer: Tokenizer, text: str, n_frames: int, *, by_ctc: bool) -> list[int]:
    """The tokens of a text, which can be learned from n_frames; by CTC they must have room there."""
    target = encode_known(tokenizer, text)
    if not n_frames:
        raise UnfitTarget("no frame", "the encoder leaves no frame of it", do="take longer audio")
    if by_ctc and (needed := ctc_min_frames(target)) > n_frames:
        found = f"CTC needs {needed} frames for {len(target)} tokens"
        do = "let the encoder keep more frames"
        raise UnfitTarget("text too long", found, expected=f"at most the {n_frames} there are", do=do)
    return target


def pad_targets(targets: Mapping[int, Sequence[int]], device: torch.device) -> Targets:
    """Token lists by row to tensors.

    >>> pad_targets({0: [3, 1], 2: []}, torch.device("cpu")).tokens.tolist()
    [[3, 1], [0, 0]]
    """
    tokens = [torch.tensor(target, dtype=torch.int64) for target in targets.values()]
    padded = pad_sequence(tokens, batch_first=True) if tokens else torch.zeros(0, 0, dtype=torch.int64)
    lengths = torch.tensor([len(target) for target in tokens], dtype=torch.int64)
    return Targets(list(targets), padded.to(device), lengths.to(device))


def check_unfit_targets(choice: str) -> None:
    """What is done about texts that cannot be learned must be one of two."""
    if choice not in ("skip", "stop"):
        raise UserError(f"unfit_targets: {choice!r}", expected="skip or stop", key="unfit_targets")


def leave_out(
    batch: Any, name: "Namer", unfit_targets: str, encode: Callable[[int], object], kind: str = "utterance"
) -> Any:
    """The batch without the rows whose `encode(row)` raises an `UnfitTarget`; of "stop", that error."""
    left_out = {}
    for row in range(len(batch)):
        try:
            encode(row)
        except UnfitTarget as error:
            error.found = f"{kind} {batch.ids[row]}: {error.found}"
            if unfit_targets == "stop":
                error.do = f"{error.do}, or set unfit_targets: skip"
                raise
            left_out[row] = Skipped(batch.ids[row], error.reason, str(error))
    return batch.without(left_out, name(list(left_out.values()))) if left_out else batch


class Namer:
    """Tells of utterances that are left out: each once, `MAX_NAMED` at most."""

    def __init__(self) -> None:
        self._named: set[str] = set()

    def __call__(self, left_out: Sequence[Skipped]) -> list[str]:
        """The notices for these."""
        new = [each for each in left_out if each.id not in self._named][: MAX_NAMED + 1 - len(self._named)]
        self._named |= {each.id for each in new}
        notices = [f"left out: {each.detail}" for each in new]
        if new and len(self._named) > MAX_NAMED:
            notices[-1] = "more utterances are left out for their texts; they are only counted"
        return notices
