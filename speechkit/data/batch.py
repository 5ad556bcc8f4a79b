"""What a batch holds: utterances side by side, or mixtures with their sources."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from lhotse.cut import Cut
from torch import Tensor

from speechkit.ops.sharing import ALONE, Turn

# B batch, S sources, N samples


class Skipped(NamedTuple):
    """A cut that is not in its batch, and why: a word or two to count by, and what is wrong in detail."""

    id: str
    reason: str  # "unreadable", "empty", "too short" or "not finite"; a task may have others
    detail: str


class Talker(NamedTuple):
    """Who speaks in a source of a mixture; "" where that is not known."""

    speaker: str = ""
    gender: str = ""


class Heard(NamedTuple):
    """What was read for an item of a batch."""

    waveform: np.ndarray  # (N,) float32
    sources: np.ndarray | None = None  # (S, N), of a mixture
    talkers: Sequence[Talker] = ()  # of each source


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
    sources: Tensor | None = None  # (B, S, N), of mixtures; zeros past the length
    talkers: list[Sequence[Talker]] = field(default_factory=list)  # of mixtures, each source's

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch with its tensors on a device."""
        return replace(
            self,
            waveforms=self.waveforms.to(device),
            lengths=self.lengths.to(device),
            sources=None if self.sources is None else self.sources.to(device),
        )

    def without(self, left_out: Mapping[int, Skipped], notices: Iterable[str] = ()) -> "Batch":
        """The other utterances; those left out, by their row, join `skipped`."""
        rows = [row for row in range(len(self)) if row not in left_out]
        lengths = self.lengths[rows]
        n_samples = int(lengths.max()) if rows else 0
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            waveforms=self.waveforms[rows, :n_samples],
            lengths=lengths,
            texts=[self.texts[row] for row in rows],
            speakers=[self.speakers[row] for row in rows],
            groups=[self.groups[row] for row in rows],
            seconds=[self.seconds[row] for row in rows],
            paths=[self.paths[row] for row in rows],
            skipped=[*self.skipped, *left_out.values()],
            notices=[*self.notices, *notices],
            sources=None if self.sources is None else self.sources[rows, :, :n_samples],
            talkers=[self.talkers[row] for row in rows] if self.talkers else [],
        )


def collate(read: Sequence[tuple[Cut, Heard]], skipped: list[Skipped]) -> Batch:
    """A batch of cuts and what was read for them."""
    cuts, heard = [cut for cut, _ in read], [each for _, each in read]
    lengths = torch.tensor([len(each.waveform) for each in heard], dtype=torch.int64)
    sources = [each.sources for each in heard if each.sources is not None]
    return Batch(
        ids=[cut.id for cut in cuts],
        waveforms=_pad([each.waveform for each in heard]) if heard else torch.zeros(0, 0),
        lengths=lengths,
        texts=[text_of(cut) for cut in cuts],
        speakers=[next((s.speaker for s in cut.supervisions if s.speaker), "") for cut in cuts],
        groups=[_group(cut) for cut in cuts],
        seconds=[float(cut.duration) for cut in cuts],
        paths=[_path(cut) for cut in cuts],
        skipped=skipped,
        sources=_pad(sources) if sources else None,
        talkers=[each.talkers for each in heard] if sources else [],
    )


def _pad(signals: Sequence[np.ndarray]) -> Tensor:
    """Signals (..., N) of different lengths side by side, (B, ..., N), with zeros behind them."""
    n_samples = max(each.shape[-1] for each in signals)
    padded = torch.zeros(len(signals), *signals[0].shape[:-1], n_samples)
    for row, x in zip(padded, signals, strict=True):
        row[..., : x.shape[-1]] = torch.from_numpy(x)
    return padded


def text_of(cut: Cut) -> str:
    """What is said in a cut, "" where nothing tells."""
    return " ".join(supervision.text for supervision in cut.supervisions if supervision.text)


def _group(cut: Cut) -> str:
    customs = [getattr(cut, "custom", None), *(supervision.custom for supervision in cut.supervisions)]
    return next((str(custom["group"]) for custom in customs if custom and "group" in custom), "")


def _path(cut: Cut) -> str:
    first = cut.tracks[0].cut if hasattr(cut, "tracks") else cut
    sources = first.recording.sources if getattr(first, "recording", None) else []
    return str(sources[0].source) if sources and sources[0].type == "file" else ""
