"""Batches of cuts: one sequence an epoch, a function of the seed and the epoch alone."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Any, Literal

import numpy as np
import torch
from lhotse.cut import Cut
from torch.utils.data import DataLoader, Dataset

from speechkit.data.batch import Batch, Heard, Skipped, collate, text_of
from speechkit.data.indexing import ManifestTable
from speechkit.data.mixtures import Mixing
from speechkit.data.reading import UnreadableAudio, load_waveform, notice, notices, open_cut
from speechkit.data.sampling import Sampler, check_limits, sample
from speechkit.data.shards import ShardTable
from speechkit.data.signals import hold_signals, leave_signals_to_parent
from speechkit.data.tables import CutTable, Line, open_line
from speechkit.errors import UserError
from speechkit.ops.random import keyed_random
from speechkit.ops.sharing import ALL, Share, Turn, take_turns

LEFT_OUT = "left out "  # how the kinds of notices begin that name a skipped cut
MAX_NAMED = 10  # skipped cuts that are named to the user; the others are in the records all the same
Transform = Callable[[Cut, Random], Cut]
# Of one process's batch, unread: the lines of each item, one unless mixtures are made.
Own = tuple[list[list[Line]] | None, Turn]


class CutBatches:
    """Batches from a manifest of cuts.

    Args:
        manifest: path of a `.jsonl` or `.jsonl.gz` of cuts (`read_cuts`), or a folder that `speechkit shard`
            wrote; of each cut 16 bytes are held in memory, and its line is read when its batch comes
            (a `.gz` is held in memory unpacked)
        sampler: makes a Lhotse sampler: called with the cuts, `seed`, `world_size` and `rank`; bound to
            `shuffle=True` it gets them in an order of (seed, epoch), the shards' if there are any
        sample_rate: Hz; audio of another rate is resampled
        transforms: called in turn as `transform(cut, random) -> cut`
        n_workers: processes that read audio; the batches are the same for any number
        unreadable: what to do about audio that cannot be read, or is shorter than its manifest says, or has
            no samples, or some that are not finite: "skip" leaves it out, lists it in `Batch.skipped` and
            names the first ten in `Batch.notices`; "stop" ends with an error that names the file
        mixing: makes mixtures with their sources, `RecordedSources` or `DynamicMixing`; without it a cut is
            one signal

    Of several channels the mean is taken. Nothing is read before one iterates or counts.
    """

    def __init__(
        self,
        manifest: str,
        sampler: Sampler,
        sample_rate: int,
        transforms: Iterable[Transform] = (),
        n_workers: int = 0,
        unreadable: Literal["skip", "stop"] = "skip",
        mixing: Mixing | None = None,
    ) -> None:
        if unreadable not in ("skip", "stop"):
            raise UserError(f"unreadable: {unreadable!r}", expected="skip or stop")
        if n_workers < 0:
            raise UserError(f"n_workers: {n_workers}", expected="0 or more")
        check_limits(sampler)
        self.manifest = os.fspath(manifest)
        self.sampler = sampler
        self.sample_rate = sample_rate
        self.transforms = tuple(transforms)
        self.n_workers = n_workers
        self.unreadable = unreadable
        self.mixing = mixing
        self._table: CutTable | None = None
        self._said: set[str] = set()

    def n_cuts(self) -> int:
        """How many cuts the manifest has."""
        return len(self._open().seconds)

    def digest(self) -> str:
        """Of what the sequence of batches depends on, and of the texts; not of where the audio lies."""
        return self._open().digest()

    def durations(self) -> np.ndarray:
        """How long each cut is, (n,) seconds in float64, in the manifest's order; before any transform."""
        return self._open().seconds

    def texts(self) -> Iterator[str]:
        """The text of each cut, in the manifest's order, for a tokenizer to learn; no audio is read."""
        table = self._open()
        return (text_of(open_line(table.line(number))) for number in table.order())

    def iterate(self, seed: int, epoch: int, skip: int = 0, share: Share = ALL) -> Iterator[Batch]:
        """The batches of an epoch, from number `skip` on; those before cost no reading of audio.

        Of several processes each gets its `share` of every group of batches (which `skip` must not cut),
        and an empty batch where others have one more than it.

        Raises:
            UserError: no manifest, a line in it that is no cut, no cuts at all, settings that the sampler
                refuses; unreadable audio under `unreadable="stop"`
        """
        reader = _Reader((seed, epoch), self.sample_rate, self.transforms, self.unreadable, self.mixing)
        turns = self._take_turns(seed, epoch, skip, share)
        read = map(reader.__getitem__, turns) if self.n_workers == 0 else self._load(reader, turns)
        try:
            for result in read:
                if isinstance(result, UserError):
                    raise result
                batch, told = result
                batch.notices = self._not_said_yet(told)
                yield batch
        finally:
            del read  # ends the workers, which a traceback that holds this frame would keep

    def _take_turns(self, seed: int, epoch: int, skip: int, share: Share) -> Iterator[Own]:
        """The sequence without audio, of which only the lines of this process's own batches are read."""
        table = self._open()
        batches = islice(sample(table, self.sampler, seed, epoch, self.manifest), skip, None)
        for own, turn in take_turns(batches, share):
            yield (None if own is None else [self._lines(number, seed, epoch) for number in own]), turn

    def _lines(self, number: int, seed: int, epoch: int) -> list[Line]:
        """The line of a cut, and of those that are mixed with it."""
        table = self._open()
        line = table.line(number)
        return [line] if self.mixing is None else [line, *self.mixing.choose(table, line, (seed, epoch))]

    def _not_said_yet(self, told: dict[str, str]) -> list[str]:
        texts = []
        for kind, text in told.items():
            n_left_out = (
                sum(each.startswith(LEFT_OUT) for each in self._said) if kind.startswith(LEFT_OUT) else 0
            )
            if kind not in self._said and n_left_out <= MAX_NAMED:
                texts.append(
                    text if n_left_out < MAX_NAMED else "more cuts are left out; they are only counted"
                )
                self._said.add(kind)
        return texts

    def _open(self) -> CutTable:
        if self._table is None:
            folder = os.path.isdir(self.manifest)
            self._table = ShardTable(self.manifest) if folder else ManifestTable(self.manifest)
        return self._table

    def _load(self, reader: "_Reader", turns: Iterator[Own]) -> Iterator[Any]:
        with hold_signals():
            return iter(
                DataLoader(
                    reader,
                    batch_size=None,
                    sampler=turns,
                    num_workers=self.n_workers,
                    worker_init_fn=_start_worker,
                    # DataLoader draws a seed for its workers; not from the generator that the model uses.
                    generator=torch.Generator(),
                )
            )


def _start_worker(worker: int) -> None:
    leave_signals_to_parent()
    torch.set_num_threads(1)


class _Reader(Dataset):
    """Cuts of a batch and its turn -> (batch, notices by kind), or the UserError that ends the run.

    The error is returned, not raised: DataLoader would put a worker's traceback in its place.
    """

    def __init__(
        self,
        key: tuple[int, int],
        sample_rate: int,
        transforms: tuple[Transform, ...],
        unreadable: str,
        mixing: Mixing | None,
    ) -> None:
        self.key, self.sample_rate = key, sample_rate
        self.transforms, self.unreadable, self.mixing = transforms, unreadable, mixing

    def __getitem__(self, own: Own) -> tuple[Batch, dict[str, str]] | UserError:
        told: dict[str, str] = {}
        token, n_threads = notices.set(told), torch.get_num_threads()
        # Resampling a second of audio takes longer on several threads than on one.
        torch.set_num_threads(1)
        try:
            lines, turn = own
            items = [[open_line(line) for line in each] for each in lines or []]
            return replace(self._read(items), turn=turn), told
        except UserError as error:
            return error
        finally:
            torch.set_num_threads(n_threads)
            notices.reset(token)

    def _read(self, items: list[list[Cut]]) -> Batch:
        read: list[tuple[Cut, Heard]] = []
        skipped = []
        for cut, *others in items:
            try:
                read.append((cut, self._hear(cut, others)))
            except UnreadableAudio as error:
                if self.unreadable == "stop":
                    do = "mend or remove the audio, or set unreadable: skip"
                    raise UserError(f"audio of cut {cut.id} cannot be used: {error}", do=do) from error
                skipped.append(Skipped(cut.id, error.reason, str(error)))
                notice(f"{LEFT_OUT}{cut.id}", f"cut {cut.id} is left out: {error}")
        return collate(read, skipped)

    def _hear(self, cut: Cut, others: list[Cut]) -> Heard:
        if self.mixing is not None:
            draws = keyed_random(*self.key, cut.id, "mixture")
            return self.mixing.mix(cut, others, self._open, draws)
        return Heard(load_waveform(self._open(cut, cut.id)))

    def _open(self, cut: Cut, key: str, is_source: bool = False) -> Cut:
        """A cut as it is heard, unread; what is drawn for it depends on `key` (its id, unless it is one of
        several). Of a mixture's source what comes to the mixture alone is left out."""
        random = keyed_random(*self.key, key)
        if cut.duration == 0:
            raise UnreadableAudio("zero length in the manifest", "empty")
        opened = open_cut(cut, self.sample_rate)
        for transform in self.transforms:
            changed = transform(opened, random)
            if not (is_source and getattr(transform, "for_mixtures_alone", False)):
                opened = changed
        return opened
