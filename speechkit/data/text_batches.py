"""Batches of sentences, for language models: one sequence an epoch, a function of the seed and the epoch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import torch

from speechkit.data.batches import Skipped
from speechkit.data.text_lines import TextTable
from speechkit.errors import UserError
from speechkit.ops.random import keyed_random
from speechkit.ops.sharing import ALL, ALONE, Share, Turn, take_turns

POOL = 50  # batches whose sentences are sorted by length together


@dataclass
class TextBatch:
    """Sentences; none where nothing was left for this process."""

    ids: list[str]
    texts: list[str]
    speakers: list[str | None]
    tokens: list[list[int]] | None = None  # of texts that are made up: what a tokenizer would give
    skipped: list[Skipped] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    turn: Turn = ALONE  # the batches and sentences that all processes take together with this one

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> "TextBatch":
        """The same: texts are on no device."""
        return self

    def without(self, left_out: Mapping[int, Skipped], notices: Iterable[str] = ()) -> "TextBatch":
        """The other sentences; those left out, by their row, join `skipped`."""
        rows = [row for row in range(len(self)) if row not in left_out]
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            texts=[self.texts[row] for row in rows],
            speakers=[self.speakers[row] for row in rows],
            tokens=None if self.tokens is None else [self.tokens[row] for row in rows],
            skipped=[*self.skipped, *left_out.values()],
            notices=[*self.notices, *notices],
        )


class TextBatches:
    """Batches of sentences of like length, from files with one a line.

    Args:
        files: paths of plain text in UTF-8, blank lines left out; or of `.jsonl`, whose lines have `id`,
            `text` and perhaps `speaker`, or are cuts with transcripts, as prepare.py writes them for speech
            recognition. `.gz` of either is held in memory unpacked; of other plain texts 12 bytes a sentence.
        batch_size: sentences of a batch, at most
        max_bytes: of a batch in UTF-8, padding included, at most; a longer sentence is a batch of its own.
            Bytes, since the sequence of batches is known before a tokenizer has learned its tokens, and is
            the same for any tokenizer.
        shuffle: whether the order is another one in each epoch

    One of `batch_size` and `max_bytes` at least is needed. Nothing is read before one iterates or counts.
    """

    def __init__(
        self,
        files: Sequence[str],
        batch_size: int | None = None,
        max_bytes: int | None = None,
        shuffle: bool = False,
    ) -> None:
        if isinstance(files, str):
            raise UserError(f"files: {files!r}", expected="a list of paths", do=f"write [{files}]")
        if batch_size is None and max_bytes is None:
            raise UserError("batches without a size", expected="batch_size, max_bytes or both")
        for name, value in (("batch_size", batch_size), ("max_bytes", max_bytes)):
            if value is not None and value < 1:
                raise UserError(f"{name}: {value}", expected="1 or more")
        self.files = [str(path) for path in files]
        self.batch_size, self.max_bytes, self.shuffle = batch_size, max_bytes, shuffle
        self._table: TextTable | None = None

    def n_cuts(self) -> int:
        """How many sentences there are."""
        return len(self._open().sizes)

    def digest(self) -> str:
        """Of the texts, in order; not of where the files lie."""
        return self._open().digest()

    def texts(self) -> Iterator[str]:
        """Each sentence, in order, for a tokenizer to learn."""
        table = self._open()
        return (table.read(number).text for number in table.order())

    def iterate(self, seed: int, epoch: int, skip: int = 0, share: Share = ALL) -> Iterator[TextBatch]:
        """The batches of an epoch, from number `skip` on, or a process's `share` of them; as `CutBatches`."""
        table = self._open()
        batches = islice(self._sequence(table, seed, epoch), skip, None)
        for own, turn in take_turns(batches, share):
            sentences = [table.read(number) for number in own or []]
            yield TextBatch(
                ids=[each.id for each in sentences],
                texts=[each.text for each in sentences],
                speakers=[each.speaker for each in sentences],
                turn=turn,
            )

    def _sequence(self, table: TextTable, seed: int, epoch: int) -> Iterator[list[int]]:
        """Numbers of sentences: pools of the epoch's order, each sorted by length and cut into batches."""
        numbers = table.order(seed, "order", epoch) if self.shuffle else table.order()
        pool_size, pool_number = POOL * self._mean_batch(table), 0
        while pool := list(islice(numbers, pool_size)):
            sizes = table.sizes[pool]
            ordered = np.argsort(sizes, kind="stable")
            batches = list(self._cut(np.asarray(pool)[ordered], sizes[ordered]))
            if self.shuffle:
                keyed_random(seed, "batches", epoch, pool_number).shuffle(batches)
            yield from batches
            pool_number += 1

    def _mean_batch(self, table: TextTable) -> int:
        """Some sentences a batch."""
        limits = [] if self.batch_size is None else [self.batch_size]
        if self.max_bytes is not None:
            limits.append(int(self.max_bytes / (1 + table.sizes.mean())))
        return max(1, min(limits))

    def _cut(self, numbers: np.ndarray, sizes: np.ndarray) -> Iterator[list[int]]:
        """Batches of sentences that stand in the order of their sizes."""
        batch: list[int] = []
        for number, size in zip(numbers.tolist(), sizes.tolist(), strict=True):
            is_full = self.batch_size is not None and len(batch) >= self.batch_size
            is_large = self.max_bytes is not None and (len(batch) + 1) * size > self.max_bytes
            if batch and (is_full or is_large):
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    def _open(self) -> TextTable:
        if self._table is None:
            self._table = TextTable(self.files)
        return self._table
