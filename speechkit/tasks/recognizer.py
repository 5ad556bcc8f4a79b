"""A trained recogniser in use."""

import math
import warnings
from collections.abc import Sequence
from os import PathLike
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from speechkit.decoding import GreedySearch, Hypothesis, Search
from speechkit.errors import UserError
from speechkit.report import Span, TimedWord, Transcript
from speechkit.tasks.inputs import compute_features, hear
from speechkit.tasks.listening import compute_log_probs, encode, find_texts
from speechkit.tasks.targets import Tokenizer
from speechkit.tasks.timing import find_frame_seconds, time_texts
from speechkit.tasks.transcribe import Recognized, transcribe_file
from speechkit.tasks.windows import WindowPlan, plan_windows


class Transcription(NamedTuple):
    """A text, and the natural log of the score by which the search chose it."""

    text: str
    log_probability: float


class Recognizer:
    """A trained recogniser, as `speechkit.load` gives it; without a `search` it decodes greedily.

    utterance_seconds: which few utterances of the training exceed, for the windows of long files; None where
        the run does not tell.
    """

    utterance_seconds: float | None = None

    def __init__(
        self, modules: nn.ModuleDict, tokenizer: Tokenizer, sample_rate: int, search: Search | None = None
    ) -> None:
        self.modules, self.tokenizer, self.sample_rate = modules.eval(), tokenizer, sample_rate
        self.search = GreedySearch() if search is None else search

    @torch.inference_mode()
    def predict(self, waveform: Tensor | np.ndarray | Sequence[float], sample_rate: int) -> Transcription:
        """Transcribe one waveform.

        waveform: (N,) within [-1, 1], or (C, N), of which the mean over channels is taken.
        sample_rate: Hz; another rate than the model's is resampled.

        As with data, a waveform beyond [-1, 1] is scaled down to its peak.
        """
        return self.predict_n_best(waveform, sample_rate)[0]

    @torch.inference_mode()
    def predict_n_best(
        self, waveform: Tensor | np.ndarray | Sequence[float], sample_rate: int
    ) -> list[Transcription]:
        """All results of the search in one waveform, the best first: at most as many as its beam's `n_best`.

        The arguments are those of `predict`.
        """
        [results], _, _ = self._find([hear(waveform, sample_rate, self.sample_rate)])
        return [Transcription(self.tokenizer.decode(each.tokens), each.score) for each in results]

    def transcribe(
        self, path: str | PathLike[str], plan: WindowPlan | None = None, batch_size: int = 4
    ) -> Transcript:
        """The text of an audio file of any length and the times of its words, in memory that stays the same.

        path: of any format, rate and number of channels that soundfile reads.
        plan: the windows that a longer file is heard in; by default those of `plan_windows`. Words at their
            seams are put together by their times (`join_windows`). A model without CTC knows no times: its
            windows end in pauses, and a window's time is shared out among its words.
        batch_size: windows decoded together.

        Raises UserError for a file that cannot be heard to its end.
        """
        chosen = self.plan_windows() if plan is None else plan
        chosen = chosen._replace(at_pauses=chosen.at_pauses or not self._knows_times)
        transcript = transcribe_file(path, self.recognize, self.sample_rate, chosen, batch_size)
        if plan is None and self.utterance_seconds is None and transcript.seconds > chosen.seconds:
            warnings.warn(self.explain(chosen), stacklevel=2)
        return transcript

    def plan_windows(
        self,
        seconds: float | None = None,
        overlap_seconds: float | None = None,
        at_pauses: bool | None = None,
    ) -> WindowPlan:
        """Windows as long as the utterances that the model learned from; what is given is kept.

        Raises UserError for windows that cannot be, also such that overlap, of a model without CTC.
        """
        if not self._knows_times and at_pauses is False:
            found = "windows that overlap, and a model without CTC, which knows no times to join them by"
            raise UserError(found, do="let them end in pauses", key="at_pauses")
        plan = plan_windows(
            self.utterance_seconds, seconds, overlap_seconds, at_pauses if self._knows_times else True
        )
        plan.check()
        return plan

    def explain(self, plan: WindowPlan) -> str:
        """The windows of `plan_windows` in words, and where their length comes from."""
        if self.utterance_seconds is None:
            do = "give them the length of these (--window_seconds)"
            return f"{plan.describe()}: the run does not tell how long its training utterances were; {do}"
        return f"{plan.describe()}: 99 of 100 training utterances last at most {self.utterance_seconds:.1f} s"

    @torch.inference_mode()
    def recognize(self, waveforms: Sequence[Tensor]) -> list[Recognized]:
        """The texts of waveforms (N,) at the model's rate, and where it has CTC their words' times.

        The times are those of CTC's most probable path that says the text, wherever the text comes from.
        """
        results, log_probs, lengths = self._find(waveforms)
        best = [each[0] for each in results]
        texts = [self.tokenizer.decode(each.tokens) for each in best]
        found = [Recognized(text, None if text.split() else []) for text in texts]
        rows = [row for row, each in enumerate(found) if each.words is None]
        if log_probs is None or not rows:
            return found
        tokens = [best[row].tokens for row in rows]
        seconds = find_frame_seconds(self.modules, self.sample_rate)
        for row, timed in zip(
            rows, time_texts(log_probs[rows], lengths[rows], tokens, self.tokenizer, seconds), strict=True
        ):
            if timed is not None:
                found[row] = Recognized(texts[row], [_as_word(span) for span in timed.words])
        return found

    @property
    def _knows_times(self) -> bool:
        return "ctc" in self.modules

    def _find(self, waveforms: Sequence[Tensor]) -> tuple[list[list[Hypothesis]], Tensor | None, Tensor]:
        """The results in each waveform, CTC's log-probabilities where there are, true lengths."""
        device = next(self.modules.parameters()).device
        lengths = torch.tensor([len(wave) for wave in waveforms], device=device)
        batch = pad_sequence(list(waveforms), batch_first=True).to(device)
        frames, lengths = encode(self.modules, *compute_features(self.modules, batch, lengths))
        log_probs = compute_log_probs(self.modules, frames, self.tokenizer.n_tokens)
        return find_texts(self.modules, frames, lengths, log_probs, self.search), log_probs, lengths


def _as_word(span: Span) -> TimedWord:
    """With the geometric mean of its frames' probabilities as the confidence."""
    confidence = None if span.log_prob is None else math.exp(min(0.0, span.log_prob))
    return TimedWord(span.label, span.start, span.end, confidence)
