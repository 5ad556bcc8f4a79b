"""Batches of cuts: one sequence an epoch, a function of the seed and the epoch alone."""

import os
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import islice
from random import Random
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from speechkit.data.manifest import count_cuts, read_cuts
from speechkit.data.reading import UnreadableAudio, load_waveform, notice, notices, open_cut
from speechkit.data.signals import hold_signals, leave_signals_to_parent
from speechkit.errors import UserError
from speechkit.ops.random import derive_seed, keyed_random
from speechkit.ops.sharing import ALL, ALONE, Share, Turn, take_turns

LEFT_OUT = "left out "  # how the kinds of notices begin that name a skipped cut
MAX_NAMED = 10  # skipped cuts that are named to the user; the others are in the records all the same
# Settings of Lhotse's samplers that have to be above 0.
LIMITS = ("max_cuts", "max_duration", "quadratic_duration", "num_buckets", "num_cuts_for_bins_estimate")
Transform = Callable[[Cut, Random], Cut]


class Skipped(NamedTuple):
    """A cut that is not in its batch, and why: a word or two to count by, and what is wrong in detail."""

    id: str
    reason: str  # "unreadable", "empty", "too short" or "not finite"
    detail: str


@dataclass
class Batch:
    """Utterances side by side; length 0 where nothing could be read, or nothing was left for this process."""

    ids: list[str]
    waveforms: Tensor  # (B, N) float32 within -1 to 1, zeros past the length
    lengths: Tensor  # (B,) int64, samples
    texts: list[str]
    speakers: list[str]
    groups: list[str]  # `group` among the cut's or its supervision's custom fields
    seconds: list[float]  # duration in the manifest, before any transform
    paths: list[str]  # the (first) audio file, "" for audio in memory
    skipped: list[Skipped] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)  # to tell the user; each comes once
    turn: Turn = ALONE  # the batches and cuts that all processes take together with this one

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch with its tensors on a device."""
        return replace(self, waveforms=self.waveforms.to(device), lengths=self.lengths.to(device))


class CutBatches:
    """Batches from a manifest of cuts.

    Args:
        manifest: path of a `.jsonl` or `.jsonl.gz` of cuts (`read_cuts`); held in memory once read
        sampler: makes a Lhotse sampler: called with the cuts, `seed`, `world_size` and `rank`
        sample_rate: Hz; audio of another rate is resampled
        transforms: called in turn as `transform(cut, random) -> cut`
        n_workers: processes that read audio; the batches are the same for any number
        unreadable: what to do about audio that cannot be read, or is shorter than its manifest says, or has
            no samples, or some that are not finite: "skip" leaves it out, lists it in `Batch.skipped` and
            names the first ten in `Batch.notices`; "stop" ends with an error that names the file

    Of several channels the mean is taken. Nothing is read before one iterates or counts.
    """

    def __init__(
        self,
        manifest: str,
        sampler: Callable[..., Iterable[CutSet]],
        sample_rate: int,
        transforms: Iterable[Transform] = (),
        n_workers: int = 0,
        unreadable: Literal["skip", "stop"] = "skip",
    ) -> None:
        if unreadable not in ("skip", "stop"):
            raise UserError(f"unreadable: {unreadable!r}", expected="skip or stop")
        if n_workers < 0:
            raise UserError(f"n_workers: {n_workers}", expected="0 or more")
        _check_limits(sampler)
        self.manifest = os.fspath(manifest)
        self.sampler = sampler
        self.sample_rate = sample_rate
        self.transforms = tuple(transforms)
        self.n_workers = n_workers
        self.unreadable = unreadable
        self._cuts: CutSet | None = None
        self._n_cuts: int | None = None
        self._said: set[str] = set()

    def n_cuts(self) -> int:
        """How many cuts the manifest has."""
        if self._n_cuts is None:
            self._n_cuts = count_cuts(self.manifest)
        return self._n_cuts

    def digest(self) -> str:
        """Of the ids, durations and texts of the cuts, in order; where their audio lies does not matter."""
        state = blake2b(digest_size=16)
        for cut in self._all_cuts():
            text = " ".join(segment.text or "" for segment in cut.supervisions)
            state.update(f"{cut.id}\x1f{cut.duration}\x1f{text}\x1e".encode())
        return state.hexdigest()

    def iterate(self, seed: int, epoch: int, skip: int = 0, share: Share = ALL) -> Iterator[Batch]:
        """The batches of an epoch, from number `skip` on; those before cost no reading of audio.

        Of several processes each gets its `share` of every group of batches (which `skip` must not cut),
        and an empty batch where others have one more than it.

        Raises:
            UserError: no manifest, a line in it that is no cut, no cuts at all, settings that the sampler
                refuses; unreadable audio under `unreadable="stop"`
        """
        reader = _Reader(seed, epoch, self.sample_rate, self.transforms, self.unreadable)
        turns = take_turns(islice(self._cuts_in_batches(seed, epoch), skip, None), share)
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

    def _cuts_in_batches(self, seed: int, epoch: int) -> Iterator[list[Cut]]:
        """The sequence without audio: the cuts of every batch."""
        cuts = self._all_cuts()
        # One sequence for all processes; the seed holds the epoch, as Lhotse's seed + epoch would let
        # (seed 1, epoch 2) and (seed 2, epoch 1) meet.
        sampler_seed = derive_seed(seed, "sampler", epoch) % 2**31
        try:
            with warnings.catch_warnings():
                # Dynamic bucketing would rather read lazily; cuts in memory serve it as well.
                warnings.filterwarnings("ignore", message=".*eagerly read CutSet")
                sampler: Any = self.sampler(cuts, seed=sampler_seed, world_size=1, rank=0)
            if getattr(sampler, "concurrent", False):
                raise ValueError("a concurrent sampler's batches depend on the clock, leave `concurrent` out")
            for batch in sampler:
                yield list(batch)
        except (AssertionError, ValueError, TypeError) as error:
            found = f"the sampler does not work on {self.manifest}: {_reason(error)}"
            raise UserError(found, do="change the sampler's settings") from error

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

    def _all_cuts(self) -> CutSet:
        if self._cuts is None:
            # In memory, because Lhotse shuffles a lazy manifest only within a moving window.
            cuts = CutSet.from_cuts(read_cuts(self.manifest))
            _check_ids(cuts, self.manifest)
            self._cuts = cuts
        if not len(self._cuts):
            raise UserError(f"no cuts in {self.manifest}", do="look at what prepare wrote")
        return self._cuts

    def _load(self, reader: "_Reader", turns: Iterator[tuple[list[Cut] | None, Turn]]) -> Iterator[Any]:
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


def _check_limits(sampler: Callable[..., Any]) -> None:
    """Of the settings bound to a sampler (`functools.partial`), those that no manifest makes possible."""
    for name, value in getattr(sampler, "keywords", {}).items():
        if name in LIMITS and isinstance(value, int | float) and not value > 0:
            raise UserError(f"the sampler's {name} is {value}", expected="more than 0")


def _check_ids(cuts: CutSet, manifest: str) -> None:
    seen: set[str] = set()
    for cut in cuts:
        if cut.id in seen:
            found = f"two cuts with the id {cut.id!r} in {manifest}"
            raise UserError(found, expected="an id of its own for each cut")
        seen.add(cut.id)


def _reason(error: Exception) -> str:
    """What an exception says; of an assertion without text, the line that failed."""
    failed = traceback.extract_tb(error.__traceback__)[-1].line
    return str(error) or f"{type(error).__name__} at {failed}"


def _start_worker(worker: int) -> None:
    leave_signals_to_parent()
    torch.set_num_threads(1)


class _Reader(Dataset):
    """Cuts of a batch and its turn -> (batch, notices by kind), or the UserError that ends the run.

    The error is returned, not raised: DataLoader would put a worker's traceback in its place.
    """

    def __init__(
        self, seed: int, epoch: int, sample_rate: int, transforms: tuple[Transform, ...], unreadable: str
    ) -> None:
        self.seed, self.epoch, self.sample_rate = seed, epoch, sample_rate
        self.transforms, self.unreadable = transforms, unreadable

    def __getitem__(self, own: tuple[list[Cut] | None, Turn]) -> tuple[Batch, dict[str, str]] | UserError:
        told: dict[str, str] = {}
        token, n_threads = notices.set(told), torch.get_num_threads()
        # Resampling a second of audio takes longer on several threads than on one.
        torch.set_num_threads(1)
        try:
            cuts, turn = own
            return replace(self._read(cuts or []), turn=turn), told
        except UserError as error:
            return error
        finally:
            torch.set_num_threads(n_threads)
            notices.reset(token)

    def _read(self, cuts: list[Cut]) -> Batch:
        read: list[tuple[Cut, np.ndarray]] = []
        skipped = []
        for cut in cuts:
            try:
                read.append((cut, self._waveform(cut)))
            except UnreadableAudio as error:
                if self.unreadable == "stop":
                    do = "mend or remove the audio, or set unreadable: skip"
                    raise UserError(f"audio of cut {cut.id} cannot be used: {error}", do=do) from error
                skipped.append(Skipped(cut.id, error.reason, str(error)))
                notice(f"{LEFT_OUT}{cut.id}", f"cut {cut.id} is left out: {error}")
        return _collate(read, skipped)

    def _waveform(self, cut: Cut) -> np.ndarray:
        random = keyed_random(self.seed, self.epoch, cut.id)
        if cut.duration == 0:
            raise UnreadableAudio("zero length in the manifest", "empty")
        opened = open_cut(cut, self.sample_rate)
        for transform in self.transforms:
            opened = transform(opened, random)
        return load_waveform(opened)


def _collate(read: list[tuple[Cut, np.ndarray]], skipped: list[Skipped]) -> Batch:
    cuts = [cut for cut, _ in read]
    lengths = torch.tensor([len(x) for _, x in read], dtype=torch.int64)
    waveforms = torch.zeros(len(read), int(lengths.max()) if read else 0)
    for row, (_, x) in zip(waveforms, read, strict=True):
        row[: len(x)] = torch.from_numpy(x)
    return Batch(
        ids=[cut.id for cut in cuts],
        waveforms=waveforms,
        lengths=lengths,
        texts=[" ".join(s.text for s in cut.supervisions if s.text) for cut in cuts],
        speakers=[next((s.speaker for s in cut.supervisions if s.speaker), "") for cut in cuts],
        groups=[_group(cut) for cut in cuts],
        seconds=[float(cut.duration) for cut in cuts],
        paths=[_path(cut) for cut in cuts],
        skipped=skipped,
    )


def _group(cut: Cut) -> str:
    customs = [getattr(cut, "custom", None), *(supervision.custom for supervision in cut.supervisions)]
    return next((str(custom["group"]) for custom in customs if custom and "group" in custom), "")


def _path(cut: Cut) -> str:
    first = cut.tracks[0].cut if hasattr(cut, "tracks") else cut
    sources = first.recording.sources if getattr(first, "recording", None) else []
    return str(sources[0].source) if sources and sources[0].type == "file" else ""
