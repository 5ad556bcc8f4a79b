"""How long should windows be? The word error rate of `speechkit transcribe` by its windows.

    python tools/compare_windows.py RUN RUN/manifests/test.jsonl windows.json

The utterances of a manifest are joined, in its order, to recordings of a minute, with pauses between whose
lengths are drawn; a pause is noise as loud as the quietest 0.2 s of the utterance before it. Each recording
is transcribed by the run's own windows, and by each plan SECONDS/OVERLAP, with `p` behind where windows end
in pauses. The truth is the joined texts, scored as the run's are. Beside them stands what the model makes of
the utterances one by one. Intervals are over recordings.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch

from speechkit import config, load
from speechkit.data import read_clips, read_cuts
from speechkit.metrics import edit_distance
from speechkit.stats import bootstrap_ratio
from speechkit.tasks import Recognizer, WindowPlan
from speechkit.tasks.run_folder import find_commit

PLANS = ("30/5", "15/5", "10/5", "10/5p", "6/3", "6/3p", "6/1p", "4/2p")


class Recording(NamedTuple):
    """Utterances with pauses behind them, and what is said."""

    samples: np.ndarray  # (N,)
    utterances: list[np.ndarray]
    text: str


def parse_plan(text: str) -> WindowPlan:
    """Windows as the command line has them: 30/5, or 6/3p."""
    seconds, overlap = text.removesuffix("p").split("/")
    return WindowPlan(float(seconds), float(overlap), text.endswith("p"))


def join_utterances(
    manifest: Path, rate: int, pauses: Sequence[float], seconds: float = 60
) -> Iterator[Recording]:
    """Recordings of so many seconds at least, but for the last; pauses: the shortest and the longest."""
    random, parts, said = np.random.default_rng(0), [], []
    texts = {cut.id: " ".join(each.text or "" for each in cut.supervisions) for cut in read_cuts(manifest)}
    for name, samples, _ in read_clips(str(manifest), list(texts), rate):
        noise = random.standard_normal(round(random.uniform(*pauses) * rate))
        parts += [samples, (find_loudness(samples, rate // 5) * noise).astype(np.float32)]
        said.append(texts[name])
        if sum(map(len, parts)) >= seconds * rate:
            yield Recording(np.concatenate(parts), parts[::2], " ".join(said))
            parts, said = [], []
    if parts:
        yield Recording(np.concatenate(parts), parts[::2], " ".join(said))


def find_loudness(samples: np.ndarray, n_quiet: int) -> float:
    """The root mean square of the quietest samples in a row."""
    n_quiet = min(len(samples), n_quiet)
    energy = np.concatenate([[0.0], np.square(samples, dtype=np.float64).cumsum()])
    return float(np.sqrt(max(0.0, (energy[n_quiet:] - energy[:-n_quiet]).min()) / n_quiet))


def hear(model: Recognizer, recording: Recording, plan: WindowPlan | None) -> str:
    """The text of a recording in windows; without a plan that of its utterances one by one."""
    if plan is None:
        return " ".join(model.recognize([torch.from_numpy(x)])[0].text for x in recording.utterances)
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        soundfile.write(file.name, recording.samples, model.sample_rate, subtype="FLOAT")
        return model.transcribe(file.name, plan).text


def read_normalizer(run: Path) -> Any:
    """What the run's texts are scored by."""
    document = config.read(run / "hparams.yaml")
    known = document.resolved().get("normalizer") is not None
    return config.build(document, only=["normalizer"]).values["normalizer"] if known else str


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("manifest", type=Path, help="of cuts with their texts")
    parser.add_argument("results", type=Path, help="a JSON file")
    parser.add_argument("--plans", nargs="*", default=PLANS, metavar="SECONDS/OVERLAP[p]")
    parser.add_argument("--pauses", type=float, nargs=2, default=(0.2, 1.0), metavar="SECONDS")
    parser.add_argument("--recordings", type=int, default=10, help="of a minute (10)")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    model, normalize = load(options.run, device=options.device), read_normalizer(options.run)
    own, commit = model.plan_windows(), find_commit(Path(__file__).parent)
    plans = {"the utterances one by one": None, f"by default {own.describe()}": own}
    plans |= {plan.describe(): plan for plan in map(parse_plan, options.plans)}
    joined = join_utterances(options.manifest, model.sample_rate, options.pauses)
    recordings = list(islice(joined, options.recordings))
    rows = []
    for name, plan in plans.items():
        said = [normalize(each.text).split() for each in recordings]
        heard = [normalize(hear(model, each, plan)).split() for each in recordings]
        wer = bootstrap_ratio(list(map(edit_distance, said, heard)), list(map(len, said)))
        told = f"{100 * wer.value:.1f} [{100 * wer.low:.1f}, {100 * wer.high:.1f}]"
        row = {"heard": name, "WER,_%": told, "words": sum(map(len, said)), "recordings": len(recordings)}
        pauses = "{} to {}".format(*options.pauses)
        rows.append({**row, "pauses,_s": pauses, "commit": commit["hash"][:10] if commit else "none"})
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps({"rows": rows}, indent=2) + "\n")
    print(options.results.read_text())


if __name__ == "__main__":
    main()
