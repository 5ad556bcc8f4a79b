"""After training: every test subset evaluated, its records and worst clips written."""

from typing import Any

import soundfile

from speechkit import report
from speechkit.training import Brain, Stage

N_CLIPS = 20
FIELDS = (
    "speaker", "group", "seconds", "audio", "reference", "hypothesis", "alignment", "counts", "scores",
    "skipped",
)  # fmt: skip


def evaluate_subsets(brain: Brain) -> None:
    """Evaluate the Brain's test data; `predictions/<subset>.jsonl` and `clips/` are written."""
    for subset, data in brain.test_data.items():
        _, records = brain.evaluate(data, Stage.TEST)
        if not brain.processes.is_main:
            continue
        complete = [dict.fromkeys(FIELDS) | record for record in records]
        report.write_records(
            brain.output_folder / "predictions" / f"{subset}.jsonl", complete, task=brain.task
        )
        worst = report.choose_worst(complete, N_CLIPS)
        report.write_clips(brain.output_folder, subset, _read_clips(worst))
    brain.recorder.note("finished")


def _read_clips(records: list[dict[str, Any]]) -> list[tuple[str, Any, int]]:
    clips = []
    for record in records:
        try:
            samples, sample_rate = soundfile.read(record["audio"] or "", dtype="float32", always_2d=True)
        except (OSError, soundfile.SoundFileError):  # audio in memory, or gone since it was heard
            continue
        clips.append((record["id"], samples.mean(1), sample_rate))
    return clips
