"""A trained language model beside a search of speech recognition."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechkit.decoding.spelling import Spellings
from speechkit.errors import UserError, under_key
from speechkit.ops.search_state import State, map_tree
from speechkit.tasks.language_modeling import LanguageModel
from speechkit.tasks.weights import read_best, weights_sha256

KEY = "search.lm.run"
MOVED = f"give its place now: --{KEY} PATH"


class TrainedLM:
    """Log-probabilities of tokens by the language model of a run, for `search.lm` of a YAML.

    run: the output folder of a training of the task "lm", read when the first score is asked for, the weights
        of its best epoch; nothing in it is executed. A relative path begins at the working directory.
    tokenizer: of the hypotheses; the run's must have the same tokens.

    `step(tokens (N,), state) -> (log_probs (N, V), state)`, as language models have it. The model is on the
    device of the tokens. It is no part of `modules`: not trained, and not saved.
    """

    may_rise = False

    def __init__(self, run: str, tokenizer: Spellings) -> None:
        self.run, self.tokenizer = str(run), tokenizer
        self._model: LanguageModel | None = None
        self._is_checked = False
        self._told = ""

    @property
    def model(self) -> LanguageModel:
        """The run's; a UserError where it is none, or one of other tokens."""
        if self._model is None:
            with torch.random.fork_rng(devices=[]):  # weights are drawn before they are read
                self._model = _load(self.run)
            self._model.modules.requires_grad_(False)
            self.describe()  # of the weights as they are now: the run may still be training
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
        """For a report: the run's folder and the begin of its weights' sha256; found once, then kept."""
        if not self._told:
            with under_key(KEY, MOVED):
                checkpoint, _ = read_best(self.run)
            folder = Path(*Path(self.run).absolute().parts[-2:])  # runs are often numbered: lm/1
            self._told = f"{type(self).__name__} of {folder}, weights {weights_sha256(checkpoint)[:12]}"
        return self._told

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

    with under_key(KEY, MOVED):
        model = load(run)
    if not isinstance(model, LanguageModel):
        found = f"{run} is a {type(model).__name__}"
        raise UserError(found, expected="a run of the task 'lm'", key=KEY)
    return model


def _tell_difference(here: Spellings, there: Spellings) -> str:
    if here.n_tokens != there.n_tokens:
        return f"{there.n_tokens}, where the recogniser has {here.n_tokens}"
    if not here.is_ready or (here.symbols, here.spellings) == (there.symbols, there.spellings):
        return ""
    ours, others = here.symbols, there.symbols
    for number, (own, other) in enumerate(zip(ours, others, strict=True), start=1):
        if own != other:
            return f"token {number} is {other!r} there and {own!r} here"
    return f"{type(there).__name__} there, {type(here).__name__} here"
