"""`init_from`: a new run begins with the weights of another, where names and shapes match."""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from speechkit import report
from speechkit.errors import UserError
from speechkit.tasks.filters import mark_start
from speechkit.tasks.weights import read_folder
from speechkit.training import Brain, CheckpointFolder
from speechkit.training.checkpoint import own_tensors
from speechkit.training.parallel import like

KEY = "init_from"
N_SHOWN = 12  # differences on the terminal; events.jsonl holds all


@dataclass(frozen=True)
class Source:
    """Where the weights come from that a run begins with, as `run.json` holds it."""

    path: str  # of the run or checkpoint, absolute
    checkpoint: str
    sha256: str  # of the weights


@dataclass
class Matches:
    """Tensors by name: those taken, and why others were not."""

    matched: list[str] = field(default_factory=list)
    other_shape: dict[str, str] = field(default_factory=dict)
    only_here: list[str] = field(default_factory=list)
    only_there: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Beginning:
    """What a run begins with. `matches` is None where it goes on, with weights of its own."""

    source: Source
    matches: Matches | None = None

    def event(self) -> dict[str, Any]:
        """For `events.jsonl`."""
        return asdict(self.source) | asdict(self.matches or Matches())


def initialize(brain: Brain, *, anew: bool = False) -> Beginning | None:
    """Give a Brain the weights that its `init_from` names; tell what matched and what did not.

    A run that has a checkpoint goes on from that, unless it is begun `anew`; its source may be gone.
    """
    if brain.init_from is None:
        return None
    path = Path(brain.init_from).expanduser().resolve()
    goes_on = not anew and CheckpointFolder(brain.output_folder / "checkpoints").newest() is not None
    recorded = recorded_source(brain.output_folder) if goes_on else None
    if recorded is not None and recorded.path == str(path) and not path.exists():
        return Beginning(recorded)
    try:
        name, sha256, saved = read_folder(path)
    except UserError as error:
        error.key = KEY
        raise
    source = Source(str(path), name, sha256)
    if goes_on:
        return Beginning(source)
    matches = load_matching(brain.modules, saved)
    if not {name for name, _ in brain.modules.named_parameters()} & {*matches.matched}:
        expected = "a run whose modules share names and shapes with this one's"
        raise UserError(f"nothing in {path} fits: {_first(matches)}", expected=expected, key=KEY)
    mark_start(brain)  # filters that another run has learned are where this one begins
    for line in _describe(matches, source, brain.modules):
        brain.recorder.say(line)
    return Beginning(source, matches)


def load_matching(modules: nn.Module, saved: dict[str, Tensor]) -> Matches:
    """Take the tensors that have a namesake of the same shape in `modules`; the others stay as they are."""
    found = Matches()
    own = own_tensors(modules)  # without second names of tied weights, which no checkpoint has
    for name, tensor in own.items():
        if name not in saved:
            found.only_here.append(name)
        elif saved[name].shape != tensor.shape:
            found.other_shape[name] = f"{tuple(saved[name].shape)} there, {tuple(tensor.shape)} here"
        else:
            found.matched.append(name)
    found.only_there = [name for name in saved if name not in own]
    modules.load_state_dict({name: like(saved[name], own[name]) for name in found.matched}, strict=False)
    return found


def combine(fingerprint: str, beginning: Beginning | None) -> str:
    """The fingerprint of an experiment that begins with given weights: these are a part of it."""
    if beginning is None:
        return fingerprint
    return hashlib.sha256(f"{fingerprint} {beginning.source.sha256}".encode()).hexdigest()


def other_beginning(folder: Path, beginning: Beginning | None) -> str:
    """How the run in a folder began otherwise; "" if it did not.

    A source that was moved has another path, one that trained on has other weights: only both together are
    another beginning.
    """
    then, now = recorded_source(folder), None if beginning is None else beginning.source
    if then == now or (then and now and (then.path == now.path or then.sha256 == now.sha256)):
        return ""
    return f"{KEY}: {then.path if then else None} -> {now.path if now else None}"


def recorded_source(folder: Path) -> Source | None:
    """The source that a folder's `run.json` tells of."""
    path = folder / "run.json"
    known = report.read_json(path, "run").get(KEY) if path.is_file() else None
    return Source(**{name: known[name] for name in ("path", "checkpoint", "sha256")}) if known else None


def _first(found: Matches) -> str:
    examples = [f"{name}: {shapes}" for name, shapes in found.other_shape.items()]
    examples += [f"{name}: only there" for name in found.only_there]
    return examples[0] if examples else "it holds no tensors"


def _describe(found: Matches, source: Source, modules: nn.Module) -> list[str]:
    sizes = {name: tensor.numel() for name, tensor in own_tensors(modules).items()}
    n_taken = sum(sizes[name] for name in found.matched)
    lines = [
        f"{KEY} {source.path}, {source.checkpoint}: {len(found.matched)} of {len(sizes)} tensors match "
        f"({n_taken:,} of {sum(sizes.values()):,} numbers)"
    ]
    others = [f"  {name}: {shapes}; begins afresh" for name, shapes in found.other_shape.items()]
    others += [f"  {name}: not there; begins afresh" for name in found.only_here]
    others += [f"  {name}: only there; not used" for name in found.only_there]
    if len(others) > N_SHOWN:
        others = [*others[:N_SHOWN], f"  and {len(others) - N_SHOWN} more, in events.jsonl"]
    return lines + others
