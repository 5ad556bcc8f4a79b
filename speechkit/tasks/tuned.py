"""What `speechkit tune` has found for a run: kept with what it was found for, and used for nothing else."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from torch import nn

from speechkit import config, report
from speechkit.errors import UserError
from speechkit.tasks.asr_checks import checked_search
from speechkit.tasks.weights import weights_sha256
from speechkit.training import Checkpoint

FILE_NAME = "tuning.json"
Weights = dict[str, float]  # by their dotted names in a search: {"lm_weight": 0.5, "beam.length_bonus": 1.0}


@dataclass(frozen=True)
class Tuned:
    """A file that `tune_run` wrote, and the run that it belongs to."""

    run: Path
    file: Path
    content: dict[str, Any]

    def use(self, user: Any, checkpoint: Checkpoint, document: config.Document) -> dict[str, Any]:
        """Give a search the weights; returns what of this belongs into a `run.json`.

        user: whose `search` and `modules` they are: a Brain, or a Recognizer.
        checkpoint: that its model has.
        document: whose overrides hold: a weight that they set stays as it is.

        Raises UserError where model or search are not those that the weights were found for: of its weights
        alone the search may have others.
        """
        search: Any = getattr(user, "search", None)
        self._check_checkpoint(checkpoint)
        self._check_class(search)
        best = self.content["best"]
        if lacking := [name for name in best if name not in search.weights]:
            found = f"the search has no {lacking[0]} now, and {self.file} has one"
            raise UserError(found, expected="the search that was tuned", do=self._again, key="search")
        held = get_weights(search, [name for name in best if document.is_overridden(f"search.{name}")])
        set_weights(search, best)
        self._check_text("search", search.describe(), self.content["tuned_search"])
        if hasattr(user, "normalizer"):  # a Recognizer has nothing to compare its texts with
            self._check_text("normalizer", tell_rule(user), self.content["normalization"])
        set_weights(search, held)
        checked_search(search, user.modules, "search")  # what it needs may depend on its weights
        told = {name: self.content[name] for name in ("n_utterances", "ids_sha256", "commit")}
        return {"weights": {name: best[name] for name in best if name not in held}, "valid": told}

    @property
    def _again(self) -> str:
        return f"speechkit tune {self.run}"

    def _check_checkpoint(self, checkpoint: Checkpoint) -> None:
        now = weights_sha256(checkpoint)
        if now != self.content["weights_sha256"]:
            found = f"the best weights of {self.run} are now {checkpoint.folder.name} ({now[:10]})"
            then = f"{self.content['checkpoint']} ({self.content['weights_sha256'][:10]})"
            raise UserError(found, expected=f"{then}, for which {self.file} was tuned", do=self._again)

    def _check_class(self, search: Any) -> None:
        now, then = type(search).__name__, self.content["search_class"]
        if search is None:
            raise UserError(f"{self.run} has no search", expected=f"a {then}, which was tuned", key="search")
        if now != then:
            do = f"leave --search out, or give another and tune that too: {self._again}"
            found = f"the search is a {now}"
            raise UserError(found, expected=f"a {then}, for which {self.file} was tuned", do=do, key="search")

    def _check_text(self, key: str, now: str | None, then: str | None) -> None:
        if now != then:
            expected = f"{then!r}, for which {self.file} was tuned"
            do = f"{self._again}, with the same changes"
            raise UserError(f"it is now {now!r}", expected=expected, do=do, key=key)


def read_tuned(run: str | Path, file: str | Path | bool = True) -> Tuned:
    """What `tune_run` has found for a run, and written to its `tuning.json` or to another file."""
    path = Path(run) / FILE_NAME if isinstance(file, bool) else Path(file)
    do = f"speechkit tune {run}"
    if not path.is_file():
        raise UserError(f"there is no {path}", do=do)
    try:
        return Tuned(Path(run), path, report.read_json(path, "tuning"))
    except UserError as error:
        found = f"{path} does not tell what was tuned: {str(error).splitlines()[0]}"
        raise UserError(found, do=f"{do} again") from error


def find_weights(search: Any, modules: nn.ModuleDict) -> list[str]:
    """The names of the weights that matter: CTC's share only where there is something to share with."""
    heads = {"ctc", "decoder"} & {*modules}
    return [name for name in search.weights if name != "ctc_weight" or len(heads) == 2]


def get_weights(search: Any, names: Sequence[str]) -> Weights:
    """The values of attributes by their dotted names."""
    return {name: float(attrgetter(name)(search)) for name in names}


def set_weights(search: Any, weights: Weights) -> None:
    """Put values into attributes by their dotted names."""
    for name, value in weights.items():
        *owners, last = name.split(".")
        setattr(attrgetter(".".join(owners))(search) if owners else search, last, value)


def sum_ids(ids: Iterable[str]) -> str:
    """sha256 of the names of utterances, whatever their order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode("utf-8", "replace")).hexdigest()


def tell_rule(user: Any) -> str | None:
    """What is done to texts before they are compared; nothing without a `normalizer`."""
    normalizer = getattr(user, "normalizer", None)
    return normalizer.rule if normalizer else None
