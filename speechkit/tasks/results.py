"""After training: every test subset evaluated, its records and worst clips written."""

from typing import Any

from speechkit import report
from speechkit.data import read_clips
from speechkit.tasks.filters import write_filters
from speechkit.training import Brain, Stage

N_CLIPS = 20
FIELDS = (
    "speaker", "group", "seconds", "audio", "reference", "hypothesis", "alignment", "counts", "scores",
    "skipped",
)  # fmt: skip


def evaluate_subsets(brain: Brain) -> None:
    """Evaluate the Brain's test data; `predictions/`, `clips/`, `alignments/`, `filters.json` are written."""
    for subset, data in brain.test_data.items():
        _, records = brain.evaluate(data, Stage.TEST)
        tokens = {record["id"]: record.pop("tokens") for record in records if "tokens" in record}
        complete = [dict.fromkeys(FIELDS) | record for record in records]
        worst = [record["id"] for record in report.choose_worst(complete, N_CLIPS, brain.task)]
        lines = _align(brain, data, {name: tokens[name] for name in worst if name in tokens})
        kept = brain.list_clips(complete) if hasattr(brain, "list_clips") else None
        if not brain.processes.is_main:
            continue
        report.write_records(
            brain.output_folder / "predictions" / f"{subset}.jsonl", complete, task=brain.task
        )
        if kept is not None:
            report.write_clips(brain.output_folder, subset, kept)
        elif hasattr(data, "manifest"):
            clips = read_clips(data.manifest, worst, data.sample_rate)
            report.write_clips(brain.output_folder, subset, clips)
        if tokens:
            report.write_alignments(brain.output_folder, subset, lines)
    write_filters(brain)
    brain.recorder.note("finished")


def _align(brain: Any, data: Any, tokens: dict[str, list[int]]) -> list[dict[str, Any]]:
    """Where in time recognised texts lie; by all processes together, which a sharded model needs."""
    if not tokens or not hasattr(data, "manifest"):
        return []
    return brain.align_clips(read_clips(data.manifest, list(tokens), data.sample_rate), tokens)
