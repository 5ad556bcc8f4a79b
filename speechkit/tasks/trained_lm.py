"""A trained language model beside a search of speech recognition."""

from typing import Any, Protocol

import torch
from torch import Tensor

from speechkit.errors import UserError
from speechkit.ops.search_state import State, map_tree
from speechkit.tasks.language_modeling import LanguageModel
from speechkit.tasks.weights import read_best, weights_sha256


class Named(Protocol):
    """A tokenizer, as far as tokens are compared by it."""

    @property
    def n_tokens(self) -> int: ...

    @property
    def is_ready(self) -> bool: ...

    @property
    def symbols(self) -> list[str]: ...

    @property
    def spellings(self) -> list[bytes]: ...


class TrainedLM:
    """Log-probabilities of tokens by the language model of a run, for `search.lm` of a YAML.

    run: the output folder of a training of the task "lm", read when the first score is asked for, the weights
        of its best epoch; nothing in it is executed. A relative path begins at the working directory.
    tokenizer: of the hypotheses; the run's must have the same tokens.

    `step(tokens (N,), state) -> (log_probs (N, V), state)`, as language models have it. The model is on the
    device of the tokens. It is no part of `modules`: not trained, and not saved.
    """

    may_rise = False

    def __init__(self, run: str, tokenizer: Named) -> None:
        self.run, self.tokenizer = str(run), tokenizer
        self._model: LanguageModel | None = None
        self._is_checked = False

    @property
    def model(self) -> LanguageModel:
        """The run's; a UserError where it is none, or one of other tokens."""
        if self._model is None:
            with torch.random.fork_rng(devices=[]):  # weights are drawn before they are read
                self._model = _load(self.run)
            self._model.modules.requires_grad_(False)
        if not self._is_checked:
            self._check_tokens(self._model.tokenizer)
            self._is_checked = self.tokenizer.is_ready
        return self._model

    def start(self, n_rows: int) -> State:
        """The state before the first step."""
        return self.model.start(n_rows)

    @torch.no_grad()
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Log-probabilities (N, V) of what follows the tokens (N,), and the next state."""
        model = self.model
        if model.device != tokens.device:  # at the first step, of which only the tokens are there
            model.modules.to(tokens.device)
            state = map_tree(lambda x: x.to(tokens.device), state)
        return model.step(tokens, state)

    def describe(self) -> str:
        """For a report: the sum of the weights, which tells them apart wherever they lie."""
        checkpoint, _ = read_best(self.run)
        return f"{type(self).__name__} of weights {weights_sha256(checkpoint)[:12]}"

    def _check_tokens(self, there: Any) -> None:
        """In a dry run, before pieces are learned, only their number can be told."""
        here = self.tokenizer
        difference = _tell_difference(here, there)
        if not difference:
            return
        found = f"the language model of {self.run} has other tokens: {difference}"
        do = "train it with the tokenizer of the recogniser (of pieces: model_file: RUN/tokenizer.model)"
        raise UserError(found, expected="those of the recogniser's tokenizer", do=do, key="search.lm")


def _load(run: str) -> LanguageModel:
    from speechkit.tasks.load import load  # which knows all tasks

    try:
        model = load(run)
    except UserError as error:
        error.key = "search.lm.run"
        error.do = error.do or "give its place now: --search.lm.run PATH"
        raise
    if not isinstance(model, LanguageModel):
        found = f"{run} is a {type(model).__name__}"
        raise UserError(found, expected="a run of the task 'lm'", key="search.lm.run")
    return model


def _tell_difference(here: Named, there: Named) -> str:
    if here.n_tokens != there.n_tokens:
        return f"{there.n_tokens}, where the recogniser has {here.n_tokens}"
    if not here.is_ready or (here.symbols, here.spellings) == (there.symbols, there.spellings):
        return ""
    ours, others = here.symbols, there.symbols
    for number, (own, other) in enumerate(zip(ours, others, strict=True), start=1):
        if own != other:
            return f"token {number} is {other!r} there and {own!r} here"
    return f"{type(there).__name__} there, {type(here).__name__} here"
