"""CTC prefix beam search beside SpeechBrain's: `python tools/bench/decoding_ctc.py [--rounds 5]`.

Utterances of 4 s (100 frames), 32 tokens, equal beams. Scores like those of trained networks: mostly blanks,
a token at every fourth frame, and noise that confuses both (sharp or blurred). SpeechBrain's searches are
measured without pruning, as ours prunes nothing but the beam, and as they are by default. Seconds of the
processor on one thread for a batch, medians over rounds that alternate. The texts found are scored anew by
CTC's loss: the mean of log p(text), and how many of ours are less or more probable.
"""

import argparse
import json
import logging
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechkit.decoding import CTCBeam
from speechkit.losses import ctc_loss

PROJECT = Path(__file__).resolve().parents[2]
N_FRAMES, N_TOKENS = 100, 32
SYMBOLS = ["<blank>", *(chr(ord("A") + token) for token in range(N_TOKENS - 1))]
SHARPNESS = {"sharp": 7.0, "blurred": 4.0}  # nats of the right token above the noise
UNPRUNED = {"beam_prune_logp": -1e9, "token_prune_min_logp": -1e9, "prune_history": False}
SAME = 1e-4  # nats; theirs computes in float32
Search = Callable[[Tensor], list[list[int]]]


def make_scores(n_utterances: int, sharpness: float) -> Tensor:
    """Log-probabilities (B, T, V)."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n_utterances, N_FRAMES, N_TOKENS, generator=generator)
    path = torch.zeros(n_utterances, N_FRAMES, dtype=torch.int64)
    tokens = torch.randint(1, N_TOKENS, path[:, ::4].shape, generator=generator)
    path[:, ::4] = tokens
    logits.scatter_add_(2, path.unsqueeze(2), torch.full((*path.shape, 1), sharpness))
    return logits.log_softmax(-1)


def make_searches(beam: int) -> dict[str, Search]:
    """Ours and theirs, to lists of tokens."""
    from speechbrain.decoders.ctc import CTCBeamSearcher, CTCPrefixBeamSearcher

    logging.getLogger("speechbrain").setLevel(logging.ERROR)  # they miss a blank between words
    numbers = {symbol: token for token, symbol in enumerate(SYMBOLS)}
    ours = CTCBeam(beam)

    def search(log_probs: Tensor) -> list[list[int]]:
        lengths = torch.full((len(log_probs),), N_FRAMES)
        return [found[0].tokens for found in ours(log_probs, lengths)]

    def theirs(kind: type, **settings: Any) -> Search:
        searcher = kind(blank_index=0, vocab_list=SYMBOLS, beam_size=beam, **settings)
        return lambda log_probs: [
            [numbers[symbol] for symbol in found[0].text] for found in searcher(log_probs)
        ]

    return {
        "ours": search,
        "CTCPrefixBeamSearcher": theirs(CTCPrefixBeamSearcher, **UNPRUNED),
        "CTCPrefixBeamSearcher, pruned": theirs(CTCPrefixBeamSearcher),
        "CTCBeamSearcher": theirs(CTCBeamSearcher, **UNPRUNED),
        "CTCBeamSearcher, pruned": theirs(CTCBeamSearcher),
    }


def score(log_probs: Tensor, texts: list[list[int]]) -> Tensor:
    """log p(text) of each utterance, (B,)."""
    sizes = torch.tensor([len(text) for text in texts])
    padded = torch.tensor([text + [0] * (int(sizes.max()) - len(text)) for text in texts])
    return -ctc_loss(log_probs.double(), torch.full_like(sizes, N_FRAMES), padded, sizes)


def compare(n_utterances: int, beam: int, sharpness: str, n_rounds: int) -> list[dict[str, Any]]:
    """A row for each of their searches."""
    log_probs = make_scores(n_utterances, SHARPNESS[sharpness])
    searches = make_searches(beam)
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    texts = {}
    for number in range(n_rounds + 1):
        for name, search in searches.items():
            started = time.process_time()
            texts[name] = search(log_probs)
            if number:
                seconds[name].append(time.process_time() - started)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    scores = {name: score(log_probs, each) for name, each in texts.items()}
    rows = []
    for name in list(searches)[1:]:
        ratios = sorted(theirs / ours for theirs, ours in zip(seconds[name], seconds["ours"], strict=True))
        gain = scores["ours"] - scores[name]
        rows.append(
            {
                "scores": sharpness,
                "utterances": n_utterances,
                "beam": beam,
                "SpeechBrain's": name,
                "theirs, ms": round(1000 * medians[name]),
                "ours, ms": round(1000 * medians["ours"]),
                "theirs / ours": f"{statistics.median(ratios):.1f}",
                "least and most": [f"{ratios[0]:.1f}", f"{ratios[-1]:.1f}"],
                "log p, theirs": f"{scores[name].mean():.3f}",
                "log p, ours": f"{scores['ours'].mean():.3f}",
                "ours less probable": int((gain < -SAME).sum()),
                "ours more probable": int((gain > SAME).sum()),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beam", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    commit = ["git", "rev-parse", "--short", "HEAD"]
    rows = [
        row
        for sharpness in SHARPNESS
        for n_utterances in (1, 16)
        for row in compare(n_utterances, options.beam, sharpness, options.rounds)
    ]
    found = [
        f"{options.rounds} rounds, one thread, torch {torch.__version__}",
        f"SpeechBrain {version('speechbrain')}",
        platform.machine(),
        "commit "
        + subprocess.run(commit, cwd=PROJECT, capture_output=True, text=True, check=False).stdout.strip(),
    ]
    rows.append({"scores": f"({', '.join(found)})"})
    print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
