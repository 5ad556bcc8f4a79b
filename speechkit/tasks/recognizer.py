"""A trained recogniser in use."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from speechkit.decoding import GreedySearch, Search
from speechkit.tasks.inputs import compute_features, hear
from speechkit.tasks.listening import compute_log_probs, encode, find_texts
from speechkit.tasks.targets import Tokenizer


class Transcription(NamedTuple):
    """A text, and the natural log of the score by which the search chose it."""

    text: str
    log_probability: float


class Recognizer:
    """A trained recogniser, as `speechkit.load` gives it; without a `search` it decodes greedily."""

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
        wave = hear(waveform, sample_rate, self.sample_rate)
        device = next(self.modules.parameters()).device
        waveforms, lengths = wave[None].to(device), torch.tensor([len(wave)], device=device)
        frames, lengths = encode(self.modules, *compute_features(self.modules, waveforms, lengths))
        log_probs = compute_log_probs(self.modules, frames, self.tokenizer.n_tokens)
        [[best, *_]] = find_texts(self.modules, frames, lengths, log_probs, self.search)
        return Transcription(self.tokenizer.decode(best.tokens), best.score)
