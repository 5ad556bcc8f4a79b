"""Attention beam search beside SpeechBrain's: `python tools/bench/decoding_attention.py [--rounds 3]`.

Speed: one utterance of 4 s (100 encoded frames), beam 10, 100 tokens (the end is not allowed before), without
and with the CTC prefix score of all tokens; untrained decoders of equal sizes. Seconds of the processor on
one thread, medians over rounds that alternate.

Quality: both searches get the same distribution, that of our decoder and CTC with random weights, and the
same settings (beam 5, no length normalisation). Their best texts are scored anew, by teacher forcing and
CTC's loss: for how many distributions ours is the better, equal, or the worse.
"""

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from speechbrain.decoders import CTCScorer, S2SBeamSearcher, S2STransformerBeamSearcher, ScorerBuilder
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.nnet.linear import Linear
from torch import Tensor, nn

from speechkit.decoding import AttentionBeam, Scorer, Step, ctc_scorer
from speechkit.losses import ctc_loss
from speechkit.models import TransformerDecoder
from speechkit.ops.search_state import State, select_beams, start_beams

# V tokens with the boundary (0); SpeechBrain has two more: V begins, V + 1 ends a text; 0 is the blank alone
SIZES = {"width": 256, "num_layers": 6, "n_heads": 4, "hidden_size": 2048}
N_FRAMES, N_TOKENS, BEAM = 100, 500, 10
CTC_WEIGHT = 0.3
ROUNDING = 1e-4  # nats, of sums in float32


def theirs_with_ctc(ctc: nn.Module, n_tokens: int) -> ScorerBuilder:
    """SpeechBrain's CTC score of all tokens."""
    scorer = CTCScorer(ctc_fc=ctc, blank_index=0, eos_index=n_tokens + 1)
    return ScorerBuilder(full_scorers=[scorer], weights={"ctc": CTC_WEIGHT})


def their_settings(n_tokens: int, beam: int, **more: Any) -> dict[str, Any]:
    indices = {"bos_index": n_tokens, "eos_index": n_tokens + 1, "max_decode_ratio": 1.0}
    return indices | {"beam_size": beam, "using_eos_threshold": False, "length_normalization": False} | more


def their_search(n_tokens: int, scorer: ScorerBuilder | None) -> S2STransformerBeamSearcher:
    net = TransformerASR(
        tgt_vocab=n_tokens + 2,
        input_size=SIZES["width"],
        d_model=SIZES["width"],
        nhead=SIZES["n_heads"],
        num_encoder_layers=0,
        num_decoder_layers=SIZES["num_layers"],
        d_ffn=SIZES["hidden_size"],
        normalize_before=True,
        causal=False,
    )
    head = Linear(input_size=SIZES["width"], n_neurons=n_tokens + 2)
    settings = their_settings(n_tokens, BEAM, min_decode_ratio=1.0, scorer=scorer)
    return S2STransformerBeamSearcher(modules=[net.eval(), head], **settings).eval()


def make_searches() -> dict[str, Callable[[], Any]]:
    """Each way to decode the same encoded frames."""
    encoded, lengths = torch.randn(1, N_FRAMES, SIZES["width"]), torch.tensor([N_FRAMES])
    decoder = TransformerDecoder(N_TOKENS, input_size=SIZES["width"], **SIZES).eval()
    ctc = nn.Linear(SIZES["width"], N_TOKENS)
    beam = AttentionBeam(BEAM, min_ratio=1.0)

    def ours(weight: float) -> None:
        scorers = [Scorer(decoder.step, decoder.start(encoded, lengths), 1 - weight)]
        if weight:
            scorers.append(ctc_scorer(ctc(encoded).log_softmax(-1), lengths, weight))
        [[found]] = beam(scorers, lengths)
        assert len(found.tokens) == N_FRAMES

    plain = their_search(N_TOKENS, None)
    head = Linear(input_size=SIZES["width"], n_neurons=N_TOKENS + 2)
    joint = their_search(N_TOKENS, theirs_with_ctc(head, N_TOKENS))
    whole = torch.ones(1)
    return {
        "ours": lambda: ours(0.0),
        "theirs": lambda: plain(encoded, whole),
        "ours with CTC": lambda: ours(CTC_WEIGHT),
        "theirs with CTC": lambda: joint(encoded.clone(), whole),
    }


def measure_speed(rounds: int) -> dict[str, object]:
    searches = make_searches()
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    with torch.no_grad():
        for name, search in searches.items():
            if name.startswith("ours"):  # warm; theirs takes too long to matter
                search()
        for _ in range(rounds):
            for name, search in searches.items():
                started = time.process_time()
                search()
                seconds[name].append(time.process_time() - started)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    result: dict[str, object] = {f"{name}, s": round(value, 2) for name, value in medians.items()}
    for name in ("", " with CTC"):
        result[f"theirs / ours{name}"] = round(medians[f"theirs{name}"] / medians[f"ours{name}"], 1)
        slowest, fastest = max(seconds[f"ours{name}"]), min(seconds[f"theirs{name}"])
        result[f"theirs / ours{name}, least"] = round(fastest / slowest, 1)
    return result


class TheirSearch(S2SBeamSearcher):
    """SpeechBrain's search over the steps of our decoder."""

    def __init__(self, step: Step, state: State, n_tokens: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.step, self.state, self.n_tokens = step, state, n_tokens

    def set_n_out(self) -> int:
        return self.n_tokens + 2

    def reset_mem(self, batch_size: int, device: Any) -> State:
        return start_beams(self.state, self.beam_size)

    def permute_mem(self, memory: State, index: Tensor) -> State:
        return select_beams(memory, index)

    def forward_step(self, inp_tokens: Tensor, memory: State, enc_states: Tensor, enc_lens: Tensor) -> Any:
        ours = inp_tokens.where(inp_tokens < self.n_tokens, 0)
        log_probs, memory = self.step(ours, memory)
        never = torch.full_like(log_probs[:, :1], self.minus_inf)
        return torch.cat([never, log_probs[:, 1:], never, log_probs[:, :1]], 1), memory, None


class Toy:
    """A small decoder and CTC with random weights, sharp as trained ones, over random frames.

    The end becomes likelier with each token, so that texts have about a dozen and none reaches the limit.
    """

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.n_tokens, self.lengths = 12, torch.tensor([24])
        sizes = {"width": 32, "num_layers": 1, "n_heads": 2, "hidden_size": 64}
        self.decoder = TransformerDecoder(self.n_tokens, input_size=32, **sizes).eval()
        self.encoded = torch.randn(1, 24, 32)
        self.head = nn.Linear(32, self.n_tokens)
        for parameter in [*self.decoder.parameters(), *self.head.parameters()]:
            if parameter.dim() > 1:
                parameter.data *= 2

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        n_written = state.moving[0].keys.shape[2]
        log_probs, state = self.decoder.step(tokens, state)
        log_probs[:, 0] += n_written - 12
        return log_probs.log_softmax(-1), state

    def log_probs_of_ctc(self) -> Tensor:
        return self.head(self.encoded).log_softmax(-1)

    def find(self, weight: float, beam: int) -> list[int]:
        scorers = [Scorer(self.step, self.decoder.start(self.encoded, self.lengths), 1 - weight)]
        scorers.append(ctc_scorer(self.log_probs_of_ctc(), self.lengths, weight))
        return AttentionBeam(beam)(scorers, self.lengths)[0][0].tokens

    def find_theirs(self, weight: float, beam: int) -> list[int]:
        def ctc(encoded: Tensor) -> Tensor:
            return nn.functional.pad(self.head(encoded), (0, 2), value=-1e4)

        scorer = theirs_with_ctc(ctc, self.n_tokens) if weight else None
        settings = their_settings(self.n_tokens, beam, min_decode_ratio=0.0, scorer=scorer)
        state = self.decoder.start(self.encoded, self.lengths)
        search = TheirSearch(self.step, state, self.n_tokens, **settings)
        [tokens], *_ = search(self.encoded.clone(), torch.ones(1))
        return [token for token in tokens if token <= self.n_tokens]

    def score(self, text: list[int], weight: float) -> float:
        """The log-probability of a text and its end, by other ways than a search's."""
        tokens, length = torch.tensor([text], dtype=torch.long).view(1, -1), torch.tensor([len(text)])
        logits = self.decoder(tokens, length, self.encoded, self.lengths)
        logits[0, :, 0] += torch.arange(len(text) + 1) - 12
        log_probs = logits.log_softmax(-1)
        targets = torch.cat([tokens, torch.zeros(1, 1, dtype=torch.long)], 1)
        attention = log_probs.gather(2, targets.unsqueeze(-1)).sum().item()
        if not weight:
            return attention
        return (1 - weight) * attention - weight * ctc_loss(
            self.log_probs_of_ctc(), self.lengths, tokens, length
        ).item()


def measure_quality(n_toys: int) -> dict[str, object]:
    result: dict[str, object] = {}
    for name, weight in (("", 0.0), (" with CTC", CTC_WEIGHT)):
        gains = []
        for seed in range(n_toys):
            toy = Toy(seed)
            with torch.no_grad():
                ours, theirs = toy.find(weight, 5), toy.find_theirs(weight, 5)
                gains.append(toy.score(ours, weight) - toy.score(theirs, weight))
        counts = (sum(test(gain) for gain in gains) for test in (is_better, is_equal, is_worse))
        result[f"better, equal, worse{name}"] = ", ".join(map(str, counts))
    return result


def is_better(gain: float) -> bool:
    return gain > ROUNDING


def is_worse(gain: float) -> bool:
    return gain < -ROUNDING


def is_equal(gain: float) -> bool:
    return abs(gain) <= ROUNDING


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--distributions", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    result = measure_speed(options.rounds) | measure_quality(options.distributions)
    project = Path(__file__).resolve().parents[2]
    commit = ["git", "rev-parse", "--short", "HEAD"]
    found = subprocess.run(commit, cwd=project, capture_output=True, text=True, check=False)
    result |= {"rounds": options.rounds, "distributions": options.distributions}
    result |= {"torch": torch.__version__, "machine": platform.machine(), "commit": found.stdout.strip()}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
