"""What defines the tasks of Speech Commands: their labels, and which clips stand for two of them.

Source: P. Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition, arXiv:1804.03209.
"""

from collections.abc import Iterable, Sequence
from math import ceil

from lhotse import SupervisionSegment
from lhotse.cut import Cut

from speechkit.errors import UserError
from speechkit.ops.random import derive_seed, keyed_random

CORE_WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
# Of both versions; of version 0.02 alone.
MORE_WORDS = (
    *("bed", "bird", "cat", "dog", "eight", "five", "four", "happy", "house", "marvin", "nine", "one"),
    *("seven", "sheila", "six", "three", "tree", "two", "wow", "zero"),
)
NEW_WORDS = ("backward", "follow", "forward", "learn", "visual")
UNKNOWN, SILENCE = "_unknown_", "_silence_"
TASKS: dict[int, tuple[str, ...]] = {
    10: CORE_WORDS,
    12: (*CORE_WORDS, UNKNOWN, SILENCE),
    30: (*CORE_WORDS, *MORE_WORDS),
    35: (*CORE_WORDS, *MORE_WORDS, *NEW_WORDS),
}
SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}
SILENCE_SECONDS = 1.0


def speech_commands_labels(task: int) -> list[str]:
    """The labels of a task, in the order of a model's outputs.

    task: 10 is the core words; 12 these, `_unknown_` (all other words) and `_silence_` (noise without
        speech); 30 the words of version 0.01, 35 those of version 0.02.

    >>> speech_commands_labels(12)[-3:]
    ['go', '_unknown_', '_silence_']
    """
    if isinstance(task, bool) or task not in TASKS:
        raise UserError(f"task is {task!r}", expected=f"one of {', '.join(map(str, TASKS))}", key="task")
    return list(TASKS[task])


def random_subset(clip: str, seed: int) -> str:
    """`train`, `valid` or `test`, with chances of 60, 20 and 20%; it depends on the id and the seed alone.

    >>> [random_subset(f"yes/{n}", seed=0) for n in range(4)]
    ['train', 'train', 'valid', 'train']
    """
    share = derive_seed(seed, "split", clip) / 2**63
    if share < SHARES["train"]:
        return "train"
    return "valid" if share < SHARES["train"] + SHARES["valid"] else "test"


def draw_unknown(clips: Iterable[str], n: int, seed: int) -> list[str]:
    """`n` of the clips of other words (all, if they are fewer), in their order.

    >>> draw_unknown(["bed/a", "bird/b", "cat/c"], 5, seed=0)
    ['bed/a', 'bird/b', 'cat/c']
    """
    clips = list(clips)
    drawn = set(sorted(clips, key=lambda clip: derive_seed(seed, "unknown", clip))[:n])
    return [clip for clip in clips if clip in drawn]


def part_of_noise(noise: Cut, subset: str) -> Cut:
    """The part of a recording that belongs to a subset: the first 60%, the next or the last 20%.

    So no subset has noise that another has heard.
    """
    names = list(SHARES)
    before = sum(SHARES[name] for name in names[: names.index(subset)])
    offset, duration = before * noise.duration, SHARES[subset] * noise.duration
    return noise.truncate(offset=round(offset, 3), duration=round(duration, 3), preserve_id=True)


def cut_silence(noises: Sequence[Cut], subset: str, n: int, seed: int) -> list[Cut]:
    """`n` clips of a second from the subset's parts of recordings of noise, labelled `_silence_`.

    Each is drawn by (seed, subset, number): a recording, a place in it, and a level between nothing and that
    of the recording. Its speaker is the recording, since clips of one sound alike.

    Raises:
        UserError: no recording has a second in its part for the subset
    """
    parts = [part_of_noise(noise, subset) for noise in noises]
    parts = [part for part in parts if part.duration >= SILENCE_SECONDS]
    if n and not parts:
        needed = ceil(SILENCE_SECONDS / SHARES[subset])
        expected = f"recordings of noise of {needed} s or more, from which {SILENCE} is cut"
        raise UserError(f"no noise for {subset}", expected=expected)
    return [_silence(parts, f"{SILENCE}/{subset}_{number:05d}", seed) for number in range(n)]


def _silence(parts: Sequence[Cut], name: str, seed: int) -> Cut:
    random = keyed_random(seed, name)
    part = random.choice(parts)
    offset = random.uniform(0, part.duration - SILENCE_SECONDS)
    cut = part.truncate(offset=round(offset, 3), duration=SILENCE_SECONDS, preserve_id=True)
    cut = cut.perturb_volume(random.uniform(0, 1), affix_id=False)
    cut.id = name
    cut.supervisions = [
        SupervisionSegment(name, name, 0, cut.duration, text=SILENCE, speaker=part.recording_id)
    ]
    return cut
