"""What a recogniser searches by, as a YAML names it: best paths, beams, and language models beside them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from speechkit.decoding.attention_beam import AttentionBeam
from speechkit.decoding.attention_greedy import greedy_attention
from speechkit.decoding.changes import tell_changes
from speechkit.decoding.ctc import greedy_ctc
from speechkit.decoding.ctc_beam import CTCBeam
from speechkit.decoding.ctc_scorer import ctc_scorer
from speechkit.decoding.hypothesis import Hypothesis
from speechkit.decoding.scorers import Scorer, with_coverage
from speechkit.errors import UserError
from speechkit.ops.search_state import State

# B utterances, K beams of each, N = B K, T frames, V tokens


class Heard(NamedTuple):
    """What an acoustic model tells of B utterances; a model has CTC, an attention decoder, or both.

    log_probs: CTC's, (B, T, V), normalised over V; None without CTC.
    lengths: (B,) true frames, each at least 1.
    attention: the decoder before its first token; None without one.
    """

    log_probs: Tensor | None
    lengths: Tensor
    attention: Scorer | None


class LanguageModel(Protocol):
    """`NGramScorer`, `WordNGramScorer`, or a trained network; whether its scores may be above 0."""

    @property
    def may_rise(self) -> bool: ...

    def start(self, n_rows: int) -> State: ...

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]: ...


class Search(Protocol):
    """What `search` of a YAML names: `GreedySearch`, `CTCSearch`, `JointSearch`, `RescoredSearch` or such.

    needs: of the modules `ctc` and `decoder`, those without which it finds nothing. weights: the dotted names
    of its attributes that may be tuned.
    """

    @property
    def needs(self) -> tuple[str, ...]: ...

    @property
    def weights(self) -> tuple[str, ...]: ...

    def __call__(self, heard: Heard) -> list[list[Hypothesis]]: ...

    def describe(self) -> str: ...


class GreedySearch:
    """CTC's most probable path, or, of a model without CTC, the attention decoder's likeliest tokens.

    max_ratio: tokens that an attention decoder may write, over encoded frames; at most these, then its text
        is cut.
    """

    needs: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()

    def __init__(self, max_ratio: float = 1.0) -> None:
        check_number(max_ratio, "max_ratio", low=0)
        self.max_ratio = max_ratio

    def __call__(self, heard: Heard) -> list[list[Hypothesis]]:
        """One result for each utterance."""
        if heard.log_probs is not None:
            return [[each] for each in greedy_ctc(heard.log_probs, heard.lengths)]
        found = greedy_attention([_attention(heard)], heard.lengths, self.max_ratio)
        return [[each] for each in found]

    def describe(self) -> str:
        """For a report."""
        told = "greedy: the likeliest token at each frame (CTC), or, without CTC, at each step"
        return told + tell_changes(self)


class CTCSearch:
    """CTC's prefix beam search, with a language model or without.

    The score of a text is the log of its summed probability, plus `lm_weight` times the language model's,
    plus the beam's bonus a token.
    """

    needs = ("ctc",)

    def __init__(self, beam: CTCBeam, lm: LanguageModel | None = None, lm_weight: float = 0.5) -> None:
        _check_beam(beam, CTCBeam)
        check_number(lm_weight, "lm_weight", low=0)
        check_lm(lm)
        self.beam, self.lm, self.lm_weight = beam, lm, lm_weight

    @property
    def weights(self) -> tuple[str, ...]:
        """What may be tuned."""
        return ("lm_weight",) * (self.lm is not None) + ("beam.length_bonus",)

    def __call__(self, heard: Heard) -> list[list[Hypothesis]]:
        """The results of each utterance, best first."""
        scorers = _language_scorers(self.lm, self.lm_weight, len(heard.lengths))
        return self.beam(_log_probs(heard), heard.lengths, scorers)

    def describe(self) -> str:
        """For a report."""
        return f"CTC prefix beam search, {_describe_beam(self.beam)}{_describe_lm(self.lm, self.lm_weight)}"


class JointSearch:
    """Beam search over attention decoder, CTC and language model (Watanabe et al., 2017; Hori et al., 2017).

    A text's score is `(1 - ctc_weight) log p_attention + ctc_weight log p_CTC + lm_weight log p_LM`, plus the
    beam's bonus a token, less `coverage_penalty` for frames listened to again (recurrent decoders only).
    `ctc_weight` 0 needs no CTC, 1 no attention decoder: then CTC's prefix scores alone lead the search.
    """

    def __init__(
        self,
        beam: AttentionBeam,
        ctc_weight: float = 0.3,
        lm: LanguageModel | None = None,
        lm_weight: float = 0.5,
        coverage_penalty: float = 0.0,
    ) -> None:
        _check_beam(beam, AttentionBeam)
        check_number(ctc_weight, "ctc_weight", low=0, high=1)
        check_number(lm_weight, "lm_weight", low=0)
        check_lm(lm)
        check_number(coverage_penalty, "coverage_penalty", low=0)
        self.beam, self.ctc_weight, self.lm, self.lm_weight = beam, ctc_weight, lm, lm_weight
        self.coverage_penalty = coverage_penalty

    @property
    def weights(self) -> tuple[str, ...]:
        """What may be tuned."""
        return ("ctc_weight",) + ("lm_weight",) * (self.lm is not None) + ("beam.length_bonus",)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the model must have."""
        return ("decoder",) * (self.ctc_weight < 1) + ("ctc",) * (self.ctc_weight > 0)

    def __call__(self, heard: Heard) -> list[list[Hypothesis]]:
        """The results of each utterance, best first."""
        scorers = []
        if self.ctc_weight < 1:
            attention = _attention(heard)._replace(weight=1 - self.ctc_weight)
            penalty = self.coverage_penalty
            scorers.append(with_coverage(attention, penalty) if penalty else attention)
        if self.ctc_weight:
            scorers.append(ctc_scorer(_log_probs(heard), heard.lengths, self.ctc_weight))
        scorers += _language_scorers(self.lm, self.lm_weight, len(heard.lengths))
        return self.beam(scorers, heard.lengths)

    def describe(self) -> str:
        """For a report."""
        parts = f"attention {1 - self.ctc_weight:g}, CTC {self.ctc_weight:g}"
        lm = _describe_lm(self.lm, self.lm_weight)
        coverage = f", coverage penalty {self.coverage_penalty:g}" if self.coverage_penalty else ""
        return f"beam search, {_describe_beam(self.beam)}, {parts}{lm}{coverage}"


def check_number(value: Any, key: str, low: float = -math.inf, high: float = math.inf) -> None:
    """A UserError unless it is a finite number from `low` to `high`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and low <= value <= high:
        return
    expected = "a number"
    if low > -math.inf:
        expected += f" from {low:g} on" if high == math.inf else f" from {low:g} to {high:g}"
    raise UserError(f"{key} {value!r}", expected=expected, key=key)


def check_lm(lm: Any) -> None:
    """A UserError unless there is none, or one that can be asked for scores."""
    if lm is not None and not callable(getattr(lm, "step", None)):
        expected = "decoding.WordNGramScorer, NGramScorer, tasks.TrainedLM or the like"
        raise UserError(f"lm is a {type(lm).__name__}", expected=expected, key="lm")


def name_lm(lm: LanguageModel) -> str:
    """For a report."""
    describe: Callable[[], str] = getattr(lm, "describe", lambda: type(lm).__name__)
    return describe()


def _check_beam(beam: object, kind: type) -> None:
    if not isinstance(beam, kind):
        raise UserError(f"the beam is a {type(beam).__name__}", expected=kind.__name__, key="beam")


def _language_scorers(lm: LanguageModel | None, weight: float, n_utterances: int) -> list[Scorer]:
    if lm is None or not weight:
        return []
    return [Scorer(lm.step, lm.start(n_utterances), weight, lm.may_rise)]


def _attention(heard: Heard) -> Scorer:
    if heard.attention is None:
        found = "the model has no attention decoder"
        raise UserError(found, do="add modules.decoder, or search by CTC alone (CTCSearch)", key="search")
    return heard.attention


def _log_probs(heard: Heard) -> Tensor:
    if heard.log_probs is None:
        raise UserError(
            "the model has no CTC layer", do="add modules.ctc, or set ctc_weight: 0", key="search"
        )
    return heard.log_probs


def _describe_beam(beam: CTCBeam | AttentionBeam) -> str:
    bonus = f", bonus of {beam.length_bonus:g} a token" if beam.length_bonus else ""
    # How many results are told changes none of them.
    changes = tell_changes(beam, told=("beam_size", "n_best", "length_bonus"))
    return f"{beam.beam_size} beams{bonus}{changes}"


def _describe_lm(lm: LanguageModel | None, weight: float) -> str:
    if lm is None or not weight:
        return ""
    return f", {name_lm(lm)} {weight:g}"
