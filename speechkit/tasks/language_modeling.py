"""Language models: how likely a text is, told token by token."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from speechkit.data import TextBatch
from speechkit.errors import UserError
from speechkit.losses import seq2seq_loss
from speechkit.metrics import perplexity
from speechkit.models.token_input import BOUNDARY, to_log_probs
from speechkit.ops.search_state import State
from speechkit.tasks.targets import (
    UNKNOWN,
    Namer,
    Tokenizer,
    check_unfit_targets,
    encode_known,
    leave_out,
    pad_targets,
)
from speechkit.training import Brain, Loss, Stage

# B texts, U tokens of a text, V tokens there are with the boundary
N_AT_ONCE = 32  # texts that `LanguageModel.score` puts into a batch
NAT = 0.6931471805599453  # nats in a bit


class Told(NamedTuple):
    """What a language model gives of a batch."""

    logits: Tensor  # (B, U + 1, V)
    tokens: Tensor  # (B, U)
    lengths: Tensor  # (B,) int64, tokens
    known: list[bool]  # (B,) of texts that have symbols the tokenizer lacks false; they stand here as empty


class LanguageModeling(Brain):
    """A Brain for language models over the tokens of a tokenizer.

    modules: `lm` (tokens (B, U), lengths (B,)) -> logits (B, U + 1, V) of each token and the end, with
        `start(n_rows)` and `step(tokens, state)` for searches, as `models.TransformerLM` and `RecurrentLM`.
    tokenizer: texts to tokens; its `n_tokens` is V, and token 0 the boundary, which begins and ends a text.
    unfit_targets: of a training text with a symbol that the tokenizer lacks: "skip" leaves it out, counts it
        and names the first ten; "stop" ends with an error. In validation and test it has no probability: it
        is left out of the figures and counted.

    The loss is the mean over tokens, ends included. Figures: `perplexity` per word, comparable between models
    of any tokens; `token_perplexity`; `bits_per_character`; the end of a text counts as one more of each.
    """

    criterion = ("loss", "min")
    required_modules = ("lm",)
    inference_keys = ("modules", "tokenizer")
    task = "lm"

    def __init__(
        self, *, tokenizer: Tokenizer, unfit_targets: Literal["skip", "stop"] = "skip", **kwargs: Any
    ) -> None:
        check_unfit_targets(unfit_targets)
        super().__init__(**kwargs)
        self.tokenizer, self.unfit_targets = tokenizer, unfit_targets
        self._name = Namer()

    def prepare_run(self) -> None:
        self.tokenizer.prepare(self.train_data.texts(), self.output_folder)

    def load_run(self, run: Path) -> None:
        self.tokenizer.load(run)

    def screen(self, batch: TextBatch) -> TextBatch:
        """The batch without texts that cannot be learned."""
        return leave_out(
            batch,
            self._name,
            self.unfit_targets,
            lambda row: encode_known(self.tokenizer, batch.texts[row]),
            kind="sentence",
        )

    def compute_forward(self, batch: TextBatch, stage: Stage) -> Told:
        encoded = self._encode(batch)
        _, tokens, lengths = pad_targets({n: text or [] for n, text in enumerate(encoded)}, self.device)
        logits = compute_logits(self.modules, tokens, lengths, self.tokenizer.n_tokens)
        return Told(logits, tokens, lengths, [tokens is not None for tokens in encoded])

    def compute_objectives(self, predictions: Told, batch: TextBatch, stage: Stage) -> Loss:
        logits, tokens, lengths, known = predictions
        losses = seq2seq_loss(logits, tokens, lengths)
        n_tokens = sum(n + 1 for n, is_known in zip(lengths.tolist(), known, strict=True) if is_known)
        return Loss(losses[torch.tensor(known, device=losses.device)].sum(), n_tokens)

    def compute_records(self, predictions: Told, batch: TextBatch, stage: Stage) -> list[dict[str, Any]]:
        scores = score_tokens(predictions.logits, predictions.tokens, predictions.lengths)
        spellings = [] if batch.tokens is not None else getattr(self.tokenizer, "spellings", [])
        tokens = [row[:n] for row, n in zip(predictions.tokens.tolist(), predictions.lengths, strict=True)]
        return [
            self._record(
                batch, row, scores[row], [spellings[token - 1] for token in tokens[row] if spellings]
            )
            if predictions.known[row]
            else self._describe(batch, row, UNKNOWN)
            for row in range(len(batch))
        ]

    def summarize(self, records: list[dict[str, Any]]) -> dict[str, float]:
        return {
            "perplexity": perplexity(records, "words"),
            "token_perplexity": perplexity(records, "tokens"),
        }

    def fake_batch(self, n_utterances: int = 2) -> TextBatch:
        """Texts of eight tokens, five and so on, which no tokenizer has to know: for the dry run."""
        names = [f"fake-{row}" for row in range(n_utterances)]
        last = self.tokenizer.n_tokens - 1
        tokens = [[1 + number % last for number in range(max(1, 8 - 3 * row))] for row in range(n_utterances)]
        return TextBatch(names, [""] * n_utterances, [None] * n_utterances, tokens)

    def _encode(self, batch: TextBatch) -> list[list[int] | None]:
        """The tokens of each text; None where it has a symbol that the tokenizer lacks."""
        return list(batch.tokens) if batch.tokens is not None else [self._try(text) for text in batch.texts]

    def _try(self, text: str) -> list[int] | None:
        try:
            return self.tokenizer.encode(text)
        except UserError:
            return None

    def _record(
        self, batch: TextBatch, row: int, scores: Sequence[float], spellings: Sequence[bytes]
    ) -> dict[str, Any]:
        text = " ".join(batch.texts[row].split())
        n_units = {"words": len(text.split()), "characters": len(text)}
        return {
            **self._describe(batch, row),
            "counts": {"tokens": len(scores)} | {unit: n + 1 for unit, n in n_units.items()},  # and the end
            "scores": {"log_probability": sum(scores)},
            "surprise": split_by_word(spellings, scores),
        }

    def _describe(self, batch: TextBatch, row: int, skipped: str | None = None) -> dict[str, Any]:
        about = {"id": batch.ids[row], "speaker": batch.speakers[row], "seconds": None}
        return about | {"reference": batch.texts[row], "hypothesis": None, "skipped": skipped}


class LanguageModel:
    """A trained language model, as `speechkit.load` gives it."""

    def __init__(self, modules: nn.ModuleDict, tokenizer: Tokenizer) -> None:
        self.modules, self.tokenizer = modules.eval(), tokenizer

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.modules.parameters()).device

    @torch.inference_mode()
    def score(self, texts: Sequence[str]) -> list[float]:
        """Natural log of the probability of each text, its end included.

        Raises:
            UserError: a text with a symbol that the tokenizer lacks
        """
        if isinstance(texts, str):
            raise UserError("a text", expected="a list of texts")
        encoded = [self.tokenizer.encode(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda number: len(encoded[number]))
        scores = [0.0] * len(texts)
        for first in range(0, len(texts), N_AT_ONCE):
            chosen = order[first : first + N_AT_ONCE]
            _, tokens, lengths = pad_targets({number: encoded[number] for number in chosen}, self.device)
            logits = compute_logits(self.modules, tokens, lengths, self.tokenizer.n_tokens)
            for number, loss in zip(chosen, seq2seq_loss(logits, tokens, lengths).tolist(), strict=True):
                scores[number] = -loss
        return scores

    def start(self, n_rows: int) -> State:
        """The state before the first token of so many texts."""
        return self.modules["lm"].start(n_rows)  # type: ignore[operator]

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The last tokens (N,) to log-probabilities (N, V) of the next, and the state with them."""
        return self.modules["lm"].step(tokens, state)  # type: ignore[operator]


def compute_logits(modules: nn.ModuleDict, tokens: Tensor, lengths: Tensor, n_tokens: int) -> Tensor:
    """Logits (B, U + 1, V) of each token and the end."""
    logits = modules["lm"](tokens, lengths)
    expected = (len(tokens), tokens.shape[1] + 1, n_tokens)
    if tuple(logits.shape) != expected:
        found = f"the model gives {logits.shape[-1]} outputs, in a tensor of shape {tuple(logits.shape)}"
        told = f"{expected}: of each token and the end, one output a token of the tokenizer and the boundary"
        raise UserError(found, expected=told, key="modules.lm")
    return logits


def score_tokens(logits: Tensor, tokens: Tensor, lengths: Tensor) -> list[list[float]]:
    """Log-probabilities of the tokens of each text, and of its end."""
    targets = nn.functional.pad(tokens, (0, 1), value=BOUNDARY)
    scores = to_log_probs(logits).gather(2, targets.unsqueeze(2)).squeeze(2)  # padding is 0, as the end
    return [row[: n + 1] for row, n in zip(scores.tolist(), lengths.tolist(), strict=True)]


def split_by_word(spellings: Sequence[bytes], scores: Sequence[float]) -> list[tuple[str, float]]:
    """Surprise in bits of each word of a text, and of its end, which is named "".

    spellings: of the tokens; a blank belongs to the word that it begins. scores: natural logs, one more.

    >>> split_by_word([b"a", b"b", b" c"], [-0.693147, -0.693147, -0.693147, -0.693147])
    [('ab', 2.0), ('c', 1.0), ('', 1.0)]
    """
    words: list[tuple[bytes, float]] = []
    for spelling, score in zip(spellings, scores, strict=False):  # the end is left over
        if not words or spelling.startswith(b" "):
            words.append((b"", 0.0))
        words[-1] = words[-1][0] + spelling, words[-1][1] + score
    named = [(word.decode("utf-8", "replace").strip(), score) for word, score in words]
    return [(word, round(-score / NAT, 3)) for word, score in [*named, ("", scores[-1])]]
