"""What a Brain for speech recognition may be given."""

from collections.abc import Mapping

from torch import nn

from speechkit.decoding import GreedySearch, Search
from speechkit.errors import UserError
from speechkit.tasks.targets import check_unfit_targets


def check_choices(unit: str, unfit_targets: str, label_smoothing: float) -> None:
    """Words among those that there are, and a number in its range."""
    if unit not in ("word", "phone"):
        raise UserError(f"unit: {unit!r}", expected="word or phone", key="unit")
    check_unfit_targets(unfit_targets)
    if not 0 <= label_smoothing < 1:
        expected = "a number from 0 to below 1"
        raise UserError(f"label_smoothing: {label_smoothing}", expected=expected, key="label_smoothing")


def check_modules(modules: nn.ModuleDict) -> None:
    """Parts that tell the lengths of what they give, and one at least that writes texts."""
    for name in ("features", "encoder"):
        if not callable(getattr(modules[name], "output_lengths", None)):
            found = f"{type(modules[name]).__name__} has no output_lengths"
            expected = "lengths (B,) to those of its output"
            raise UserError(found, expected=expected, key=f"modules.{name}")
    if not {"ctc", "decoder"} & set(modules):
        expected = "`ctc`, `decoder`, or both"
        raise UserError("modules has nothing that writes texts", expected=expected, key="modules")
    if "decoder" in modules and not hasattr(modules["decoder"], "step"):
        found = f"{type(modules['decoder']).__name__} has no step"
        expected = "start() and step(), as models.TransformerDecoder has"
        raise UserError(found, expected=expected, key="modules.decoder")


def checked_search(search: Search | None, modules: nn.ModuleDict, key: str) -> Search:
    """The search, for which the model has what it needs; without one the greedy."""
    search = GreedySearch() if search is None else search
    if not hasattr(search, "needs"):
        expected = "decoding.GreedySearch, CTCSearch, JointSearch or the like"
        raise UserError(f"a {type(search).__name__}", expected=expected, key=key)
    lacking = [name for name in search.needs if name not in modules]
    if lacking:
        found = f"{type(search).__name__} needs modules.{lacking[0]}, which is not there"
        raise UserError(found, do="search by what the model has", key=key)
    return search


def weights_by_epoch(weight: float | Mapping[int, float]) -> dict[int, float]:
    """CTC's weights by the epoch from which they hold.

    >>> weights_by_epoch(0.3)
    {1: 0.3}
    """
    weights = dict(weight) if isinstance(weight, Mapping) else {1: weight}
    right = all(isinstance(epoch, int) and epoch > 0 for epoch in weights) and 1 in weights
    if not right or not all(isinstance(each, (int, float)) and 0 <= each <= 1 for each in weights.values()):
        expected = "a number from 0 to 1, or such by epochs, the first 1: {1: 0.5, 10: 0.3}"
        raise UserError(f"ctc_weight: {weight}", expected=expected, key="ctc_weight")
    return weights
