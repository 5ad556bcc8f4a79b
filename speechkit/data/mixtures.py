"""Mixtures with their sources: as recorded, or mixed from cuts of single speakers while one trains."""

import json
from array import array
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

import numpy as np
from lhotse import Recording
from lhotse.cut import Cut, MonoCut, MultiCut
from lhotse.cut.data import DataCut
from lhotse.utils import fastcopy

from speechkit.data.batch import Heard, Talker
from speechkit.data.reading import TOLERANCE_SECONDS, UnreadableAudio, load_samples
from speechkit.data.tables import CutTable, Line, decode
from speechkit.data.transforms import RandomCrop
from speechkit.errors import UserError
from speechkit.ops.random import keyed_random

# S sources, N samples
# A cut, the key of what is drawn for it, whether it is a source of a mixture -> the cut as heard, unread.
OpenCut = Callable[..., Cut]
LEVEL_DB = -26.0  # of the active parts of a source, re full scale, before `level_db` is drawn
ACTIVE_DB = 40.0  # parts that are this much below the loudest one are pauses
PART_SECONDS = 0.02
SILENT = 1e-4  # root mean square of a stretch that is no speech
N_STRETCHES = 4  # tried to find one with speech in it


class Mixing(Protocol):
    """Makes the mixtures of `CutBatches`."""

    def choose(self, table: CutTable, line: Line, key: tuple[int, int]) -> list[Line]:
        """The lines of other cuts that the item of this one needs; key: (seed, epoch)."""
        ...

    def mix(self, cut: Cut, others: Sequence[Cut], open_cut: OpenCut, random: Random) -> Heard:
        """The item of a cut, with the others that were chosen."""
        ...


class RecordedSources:
    """Mixtures whose sources stand beside them: a cut's recording is the mixture, its sources are custom
    recordings of it, `source1` to `source<n_sources>`, of the same length, in the order of its supervisions.

    Transforms act on all of them alike, with the same draws, `Noise` and `Reverberation` on the mixture only.
    What lies beyond -1 to 1 is scaled down together. One source is enhancement.
    """

    def __init__(self, n_sources: int = 2) -> None:
        _check_count(n_sources)
        self.names = tuple(f"source{number}" for number in range(1, n_sources + 1))

    def choose(self, table: CutTable, line: Line, key: tuple[int, int]) -> list[Line]:
        """None."""
        return []

    def mix(self, cut: Cut, others: Sequence[Cut], open_cut: OpenCut, random: Random) -> Heard:
        """The mixture (N,) as recorded, and its sources (S, N)."""
        if not isinstance(cut, DataCut):
            do = "add noise and the like by transforms; write mixtures as files of their own"
            found = f"cut {cut.id} is a {type(cut).__name__}"
            raise UserError(found, expected="one recording, with its sources beside it", do=do)
        recordings = [self._find(cut, name) for name in self.names]
        alone = fastcopy(cut, custom=None, supervisions=[])
        opened = open_cut(alone, cut.id)
        mixture = load_samples(opened)
        sources = [
            load_samples(open_cut(_of_recording(alone, each), cut.id, is_source=True)) for each in recordings
        ]
        rate = opened.sampling_rate
        heard = [_fit(x, len(mixture), rate, name) for x, name in zip(sources, self.names, strict=True)]
        return _within_one(mixture, np.stack(heard), _list_talkers(cut, len(heard)))

    def _find(self, cut: Cut, name: str) -> Recording:
        found = (cut.custom or {}).get(name)
        if not isinstance(found, Recording):
            there = [key for key, value in (cut.custom or {}).items() if isinstance(value, Recording)]
            expected = f"a recording of each of {', '.join(self.names)}"
            raise UserError(
                f"cut {cut.id} has {', '.join(there) or 'none'}", expected=expected, key="n_sources"
            )
        return found


class DynamicMixing:
    """New mixtures each epoch, of cuts of single speakers: as many as there are cuts, by whose ids they go.

    n_sources: of a mixture: different speakers, each as probable as another however much there is of him;
        of each a cut, in the same way.
    crop_seconds: length of a mixture; of each cut a random stretch, in which something is said; a shorter cut
        lies somewhere within it.
    level_db: each source's level, drawn evenly around -26 dB of full scale, of its active parts.

    Transforms act on each cut before it is mixed, with draws of its own. Which cuts, stretches and levels is
    keyed by seed, epoch and the mixture's id. The mixture is the sum of its sources; all are scaled down
    together where it is beyond -1 to 1 (Zeghidour and Grangier, Wavesplit, 2021, section III-C). Of the cut
    that names a mixture a batch also has the text, the speaker and the seconds; who speaks in it is told by
    `talkers`.
    """

    def __init__(
        self,
        n_sources: int = 2,
        crop_seconds: float = 3.0,
        level_db: tuple[float, float] = (-2.5, 2.5),
    ) -> None:
        if n_sources < 2:
            do = "for one source in noise take recorded mixtures, configs/data/recorded_mixtures.yaml"
            raise UserError(f"mixtures of {n_sources} source", expected="2 or more", do=do, key="n_sources")
        if len(level_db) != 2 or level_db[0] > level_db[1]:
            raise UserError(f"level_db {level_db}", expected="two numbers, [low, high]", key="level_db")
        self.n_sources, self.level_db = n_sources, (level_db[0], level_db[1])
        self.crop_seconds = crop_seconds
        self._crop = RandomCrop(crop_seconds)
        self._known: tuple[CutTable, list[array]] | None = None

    def choose(self, table: CutTable, line: Line, key: tuple[int, int]) -> list[Line]:
        """Cuts of different speakers."""
        cuts = self._cuts_by_speaker(table, line.place.file)
        random = keyed_random(*key, _read_talker(line)[0], "speakers")
        return [table.line(random.choice(numbers)) for numbers in random.sample(cuts, self.n_sources)]

    def mix(self, cut: Cut, others: Sequence[Cut], open_cut: OpenCut, random: Random) -> Heard:
        """The sum (N,) of the sources (S, N), and these."""
        sources = []
        for place, other in enumerate(others):
            opened = open_cut(other, f"{cut.id}\x1f{place}\x1f{other.id}")
            n_samples = max(1, round(self.crop_seconds * opened.sampling_rate))
            x = _place(self._draw_stretch(opened, random), n_samples, random)
            sources.append(_at_level(x, opened.sampling_rate, LEVEL_DB + random.uniform(*self.level_db)))
        stacked = np.stack(sources)
        talkers = [talker for other in others for talker in _list_talkers(other, 1)]
        return _within_one(stacked.sum(0), stacked, talkers)

    def _cuts_by_speaker(self, table: CutTable, manifest: str) -> list[array]:
        """The numbers of each speaker's cuts, 4 bytes a cut; from one pass over the manifest."""
        if self._known is None or self._known[0] is not table:
            numbers: dict[str, array] = {}
            for number in range(len(table.seconds)):
                _, speaker = _read_talker(table.line(number))
                numbers.setdefault(speaker, array("I")).append(number)
            if len(numbers) < self.n_sources:
                found = f"{len(numbers)} speakers in {manifest}"
                raise UserError(found, expected=f"{self.n_sources} or more to mix", key="n_sources")
            self._known = table, [numbers[speaker] for speaker in sorted(numbers)]
        return self._known[1]

    def _draw_stretch(self, opened: Cut, random: Random) -> np.ndarray:
        for _ in range(N_STRETCHES):
            x = load_samples(self._crop(opened, random))
            if np.sqrt(np.mean(x**2)) > SILENT:
                break
        return x


def _check_count(n_sources: int) -> None:
    if n_sources < 1:
        raise UserError(f"n_sources {n_sources}", expected="1 or more", key="n_sources")


def _read_talker(line: Line) -> tuple[str, str]:
    """A cut's id and speaker, from its line; checked when the cut is made of it."""
    try:
        data: dict[str, Any] = json.loads(decode(line.text, line.place))
        name, supervisions = data["id"], data.get("supervisions") or []
        speaker = next((each["speaker"] for each in supervisions if each.get("speaker")), "")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError("not a cut", expected="what Lhotse writes", place=line.place) from error
    if not speaker:
        found, do = f"cut {name} tells no speaker", "give its supervision one: mixtures are of different ones"
        raise UserError(found, do=do, place=line.place)
    return name, speaker


def _of_recording(cut: Cut, recording: Recording) -> Cut:
    """The same stretch of another recording."""
    channels = recording.channel_ids or [0]
    kind = MonoCut if len(channels) == 1 else MultiCut
    return kind(
        id=cut.id,
        start=cut.start,
        duration=cut.duration,
        channel=channels[0] if len(channels) == 1 else channels,
        recording=recording,
    )


def _fit(x: np.ndarray, n_samples: int, rate: int, name: str) -> np.ndarray:
    """A source as long as its mixture, from which it may differ by rounding."""
    if abs(len(x) - n_samples) > TOLERANCE_SECONDS * rate:
        found = f"{name} has {len(x)} samples, its mixture {n_samples}"
        raise UnreadableAudio(found, "lengths differ")
    return np.pad(x[:n_samples], (0, max(0, n_samples - len(x))))


def _place(x: np.ndarray, n_samples: int, random: Random) -> np.ndarray:
    """Somewhere within `n_samples`, where it is shorter; at most these."""
    missing = max(0, n_samples - len(x))
    before = random.randint(0, missing)
    return np.pad(x[:n_samples], (before, missing - before))


def _at_level(x: np.ndarray, rate: int, level_db: float) -> np.ndarray:
    power = active_power(x, rate)
    return x * np.float32(np.sqrt(10 ** (level_db / 10) / power)) if power > SILENT**2 else x


def active_power(x: np.ndarray, rate: int) -> float:
    """Mean power of the parts of 20 ms of (N,) that are less than 40 dB below the loudest.

    A quick measure for levels while one trains; a corpus is levelled by ITU-T P.56.

    >>> round(active_power(np.array([0.5] * 800 + [0.0] * 800), 8000), 6)
    0.25
    """
    size = max(1, min(len(x), round(PART_SECONDS * rate)))
    parts = np.square(x[: len(x) // size * size].reshape(-1, size), dtype=np.float64).mean(1)
    return float(parts[parts >= parts.max() * 10 ** (-ACTIVE_DB / 10)].mean())


def _within_one(mixture: np.ndarray, sources: np.ndarray, talkers: Sequence[Talker]) -> Heard:
    peak = max(1.0, float(np.abs(mixture).max()), float(np.abs(sources).max()))
    scale = np.float32(1 / peak)
    return Heard((mixture * scale).astype(np.float32), (sources * scale).astype(np.float32), talkers)


def _list_talkers(cut: Cut, n_sources: int) -> list[Talker]:
    """Who speaks in each source, from the supervisions; unknown where these are not one a source."""
    if len(cut.supervisions) != n_sources:
        return [Talker()] * n_sources
    return [Talker(each.speaker or "", each.gender or "") for each in cut.supervisions]
