"""N-gram models of words beside a search over characters or pieces."""

from typing import NamedTuple

import torch
from torch import Tensor

from speechkit.decoding.arpa_file import ArpaFile
from speechkit.decoding.changes import tell_changes
from speechkit.decoding.ngram import BEGIN, END, UNKNOWN, NGramModel
from speechkit.decoding.spelling import Spellings, check_spelling
from speechkit.errors import UserError
from speechkit.ops.search_state import State

# N hypotheses, V tokens with the boundary
BOUNDARY = 0
NOTHING = -1  # in a context that is not full yet
ROOT, ASTRAY = 0, 1  # nodes: before a word's first character, and where no known word begins like this
BLANK = ord(" ")
MAX_CELLS = 32_000_000  # of float32 in the rows that are kept: 128 MB


class InWord(NamedTuple):
    """What a state moves: where in a word hypotheses are, (N,), and the words before, (N, order - 1)."""

    nodes: Tensor
    words: Tensor


class WordNGramScorer:
    """Scores of tokens that spell words, by an n-gram model of the words.

    A word's log-probability counts when the word ends: with the blank, with a piece that begins with one, or
    with the sentence. So that hypotheses within words compare fairly, each token before that is given what
    the best of the words that begin like this loses by it (look-ahead by unigrams: Ortmanns et al.,
    "Language-model look-ahead for large vocabulary speech recognition", ICSLP 1996); when the word ends,
    that is taken back. So the sum over a whole text is that of its words and of the sentence's end.

    arpa_file: read when the first score is asked for; a UserError if the tokenizer can spell next to none of
        its words (`check_spelling`).
    tokenizer: of the hypotheses; a token may write a blank as its first character only.
    look_ahead: whether to.
    unknown: natural log, added for each word that the model does not know to the score of <unk>.

    `step(tokens (N,), state) -> (scores (N, V), state)`: token 0 is the begin of a sentence in `tokens` and
    its end in `scores`.
    """

    def __init__(
        self, arpa_file: str, tokenizer: Spellings, look_ahead: bool = True, unknown: float = 0.0
    ) -> None:
        self.arpa_file, self.tokenizer = arpa_file, tokenizer
        self._file = ArpaFile(arpa_file)
        self.look_ahead, self.unknown = look_ahead, unknown
        self._words: _Words | None = None

    @property
    def may_rise(self) -> bool:
        """Whether a score may be above 0, as a search must know (`Scorer.may_rise`)."""
        return self.look_ahead or self.unknown > 0

    @property
    def model(self) -> NGramModel:
        """The file's."""
        return self._ready().model

    def start(self, n_rows: int) -> State:
        """The state before the first step."""
        if not self.tokenizer.is_ready:
            return self._file.start_blindly()
        words = torch.full((n_rows, self.model.order - 1), NOTHING)
        return State(None, InWord(torch.full((n_rows,), ROOT), words))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Scores (N, V) in float32 of what follows the tokens (N,), and the next state."""
        if state.moving is None:
            return torch.zeros(len(tokens), self.tokenizer.n_tokens, device=tokens.device), state
        tree = self._ready()
        before: InWord = state.moving
        rows = [
            tree.advance(*each)
            for each in zip(tokens.tolist(), before.nodes.tolist(), before.words.tolist(), strict=True)
        ]
        scores = torch.stack([tree.within(node) for node, _ in rows])
        ends = torch.tensor([tree.end(node, words) for node, words in rows])  # (N, 2): word and sentence
        scores += ends[:, :1] * tree.begins  # a token that begins a word ends the one before
        scores[:, BOUNDARY] = ends[:, 1]
        nodes = torch.tensor([node for node, _ in rows])
        words = torch.tensor([words for _, words in rows], dtype=torch.int64).view(before.words.shape)
        return scores.to(tokens.device), State(None, InWord(nodes, words))

    def describe(self) -> str:
        """For a report: what tells the file from others, and the scorer."""
        return f"{type(self).__name__} of {self._file.describe()}{tell_changes(self)}"

    def _ready(self) -> "_Words":
        if self._words is None:
            spellings = [b"", *self.tokenizer.spellings]
            for token, spelling in enumerate(spellings):
                if BLANK in spelling[1:]:
                    found = f"token {token} writes {spelling.decode(errors='replace')!r}"
                    raise UserError(found, expected="a blank at its begin only", key="tokenizer")
            model = self._file.read()
            check_spelling(model.words, self.tokenizer, self.arpa_file)
            self._words = _Words(model, spellings, self.look_ahead, self.unknown)
        return self._words


class _Words:
    """The words of a model as a tree of their bytes, and what tokens do in it."""

    def __init__(self, model: NGramModel, spellings: list[bytes], look_ahead: bool, unknown: float) -> None:
        self.model, self.spellings, self.unknown = model, spellings, unknown
        self.names = [BEGIN, UNKNOWN, *model.words]
        self._children: dict[tuple[int, int], int] = {}
        self._word_at = {ASTRAY: 1}  # node -> number of the word that ends there; all others are unknown
        self._ahead = [0.0, model.score(UNKNOWN) + unknown]  # of the best word at or below a node
        for number, name in enumerate(model.words, start=2):
            self._grow(number, name.encode(), model.score(name))
        if not look_ahead:
            self._ahead = [0.0] * len(self._ahead)
        self.begins = torch.tensor([float(spelling[:1] == b" ") for spelling in spellings])  # (V,)
        self._first = torch.zeros(len(spellings))  # of the tokens that begin a word, what they lose
        self._inner: dict[int, list[tuple[int, bytes]]] = {}  # other tokens by their first byte
        for token, spelling in enumerate(spellings):
            if spelling[:1] == b" ":
                self._first[token] = self._ahead[self.walk(ROOT, spelling[1:])]
            elif spelling:
                self._inner.setdefault(spelling[0], []).append((token, spelling))
        self._rows: dict[int, Tensor] = {}

    def _grow(self, number: int, spelling: bytes, score: float) -> None:
        node = ROOT
        for byte in spelling:
            child = self._children.setdefault((node, byte), len(self._ahead))
            if child == len(self._ahead):
                self._ahead.append(score)
            self._ahead[child] = max(self._ahead[child], score)
            node = child
        self._word_at[node] = number

    def walk(self, node: int, spelling: bytes) -> int:
        for byte in spelling:
            node = self._children.get((node, byte), ASTRAY)
        return node

    def advance(self, token: int, node: int, words: list[int]) -> tuple[int, list[int]]:
        """The node and the words before it, one token later."""
        if token == BOUNDARY:
            return ROOT, [*words, 0][1:] if words else words
        spelling = self.spellings[token]
        if spelling[:1] != b" ":
            return self.walk(node, spelling), words
        if node != ROOT:  # two blanks are like one
            words = [*words, self._word_at.get(node, 1)][1:]
        return self.walk(ROOT, spelling[1:]), words

    def within(self, node: int) -> Tensor:
        """(V,) what tokens lose that go on with the word of a node; of others what they lose in theirs."""
        row = self._rows.get(node)
        if row is None:
            if len(self._rows) * len(self.spellings) > MAX_CELLS:
                self._rows.clear()
            astray = 0.0 if node == ASTRAY else self._ahead[ASTRAY] - self._ahead[node]
            row = torch.where(self.begins.bool(), self._first, astray)
            for byte, tokens in self._inner.items():
                if (node, byte) in self._children:
                    for token, spelling in tokens:
                        row[token] = self._ahead[self.walk(node, spelling)] - self._ahead[node]
            self._rows[node] = row
        return row

    def end(self, node: int, words: list[int]) -> tuple[float, float]:
        """What the end of the word of a node costs, and what the end of the sentence does there."""
        context = [self.names[word] for word in words if word != NOTHING]
        cost = 0.0
        if node != ROOT:
            name = self.names[self._word_at.get(node, 1)]
            cost = self.model.score(name, context) - self._ahead[node]
            cost += self.unknown if name == UNKNOWN else 0.0
            context.append(name)
        return cost, cost + self.model.score(END, context)
