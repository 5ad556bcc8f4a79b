"""N-gram models of tokens beside a search: scores of every next token, for many hypotheses at once."""

import math

import torch
from torch import Tensor

from speechkit.decoding.arpa_file import KEY, ArpaFile
from speechkit.decoding.ngram import BEGIN, END, UNKNOWN, Context, NGramModel
from speechkit.decoding.spelling import Symbols, find_other_case
from speechkit.errors import UserError
from speechkit.ops.search_state import State

# N hypotheses, V tokens with the boundary
BOUNDARY = 0
NOTHING = -1  # in a context that is not full yet
SPACE = "<space>"  # names the token " " in a file whose words stand between blanks
MAX_CELLS = 32_000_000  # of float32 in the rows that are kept: 128 MB


class NGramScorer:
    """Log-probabilities of tokens by an n-gram model of the same tokens: characters, pieces or words.

    arpa_file: read when the first score is asked for. In it the token " " is named <space>.
    tokenizer: of the hypotheses; its `symbols` are looked up in the file. Those that the file lacks share the
        probability of its <unk> equally.

    `step(tokens (N,), state) -> (log_probs (N, V), state)`: token 0 is the begin of a sentence in `tokens`
    and its end in `log_probs`. A state moves the last tokens, (N, order - 1), on the CPU. Rows of scores are
    made once a context, and kept.
    """

    may_rise = False

    def __init__(self, arpa_file: str, tokenizer: Symbols) -> None:
        self.arpa_file, self.tokenizer = arpa_file, tokenizer
        self._file = ArpaFile(arpa_file)
        self._model: NGramModel | None = None
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._rows: dict[Context, Tensor] = {}

    @property
    def model(self) -> NGramModel:
        """The file's; a UserError where it is one of other tokens."""
        if self._model is None:
            model = self._file.read()
            self._names = [BEGIN, *(SPACE if symbol == " " else symbol for symbol in self.tokenizer.symbols)]
            self._numbers = {END: BOUNDARY} | {
                name: token for token, name in enumerate(self._names) if token != BOUNDARY
            }
            self._check(model.words)
            self._model = model
        return self._model

    def describe(self) -> str:
        """For a report: what tells the file from others."""
        return f"{type(self).__name__} of {self._file.describe()}"

    def start(self, n_rows: int) -> State:
        """The state before the first step."""
        if not self.tokenizer.is_ready:
            return self._file.start_blindly()
        return State(None, torch.full((n_rows, self.model.order - 1), NOTHING))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Log-probabilities (N, V) in float32 of what follows the tokens (N,), and the next state."""
        if state.moving is None:
            return torch.zeros(len(tokens), self.tokenizer.n_tokens, device=tokens.device), state
        last = torch.cat([state.moving, tokens.cpu()[:, None]], 1)[:, 1:]
        model, names = self.model, self._names
        if len(self._rows) * len(names) > MAX_CELLS:
            self._rows.clear()
        contexts = [tuple([names[token] for token in row if token != NOTHING]) for row in last.tolist()]
        rows = torch.stack([self._row(model, context) for context in contexts])
        return rows.to(tokens.device), State(None, last)

    def _check(self, words: list[str]) -> None:
        """Half of the model's words at least must be tokens: else it is one of words, or of other texts."""
        others = [word for word in words if word not in self._numbers]
        if 2 * len(others) <= len(words):
            return
        pair = find_other_case(others, self._numbers.__contains__)
        strange, token = pair or (others[0], self._names[-1])
        raise UserError(
            f"{len(others)} of {len(words)} words of {self.arpa_file} are no tokens, such as {strange!r}",
            expected=f"a model of the tokenizer's tokens, such as {token!r}",
            do="make the file anew of texts in the tokenizer's case"
            if pair
            else "take WordNGramScorer for a model of words",
            key=KEY,
        )

    def _row(self, model: NGramModel, context: Context) -> Tensor:
        """(V,) after a context."""
        row = self._rows.get(context)
        if row is None:
            short = model.shorten(context)
            row = self._row(model, short) if short != context else self._make_row(model, context)
            self._rows[context] = row
        return row

    def _make_row(self, model: NGramModel, context: Context) -> Tensor:
        """What was seen after the context, and for all else what its shorter end says."""
        if context:
            row = self._row(model, context[1:]) + model.backoffs.get(context, 0.0)
        else:
            row = torch.full((len(self._names),), model.score(UNKNOWN) - math.log(self._count_unknown(model)))
        listed = model.successors.get(context, {})
        words = [word for word in listed if word in self._numbers]
        row[[self._numbers[word] for word in words]] = torch.tensor([listed[word] for word in words])
        return row

    def _count_unknown(self, model: NGramModel) -> int:
        return max(1, sum(name not in model.successors[()] for name in self._numbers))
