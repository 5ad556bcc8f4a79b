"""After training: every test subset evaluated, its records and worst clips written."""

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
    """Evaluate the Brain's test data; `predictions/<subset>.jsonl`, `clips/`, `filters.json` are written."""
    for subset, data in brain.test_data.items():
        _, records = brain.evaluate(data, Stage.TEST)
        if not brain.processes.is_main:
            continue
        complete = [dict.fromkeys(FIELDS) | record for record in records]
        report.write_records(
            brain.output_folder / "predictions" / f"{subset}.jsonl", complete, task=brain.task
        )
        worst = [record["id"] for record in report.choose_worst(complete, N_CLIPS, brain.task)]
        if hasattr(data, "manifest"):
            clips = read_clips(data.manifest, worst, data.sample_rate)
            report.write_clips(brain.output_folder, subset, clips)
    write_filters(brain)
    brain.recorder.note("finished")
