"""A run folder, read and checked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechkit.errors import UserError
from speechkit.report.alignments import FOLDER, read_alignments
from speechkit.report.clips import read_index
from speechkit.report.formats import read_events, read_json, read_log, read_records
from speechkit.report.strf import read_filters


@dataclass(frozen=True)
class Run:
    """What stands in a run folder. What a run has not (yet) written is empty or None."""

    folder: Path
    description: dict[str, Any]  # run.json
    hparams: str | None  # the YAML as resolved
    steps: list[dict] = field(default_factory=list)
    epochs: list[dict] = field(default_factory=list)
    events: list[dict] = field(default_factory=list)
    model: dict[str, Any] | None = None
    filters: dict[str, Any] | None = None
    decoding: dict[str, Any] | None = None  # how texts were found and scored
    predictions: dict[str, list[dict]] = field(default_factory=dict)  # subset -> records
    clips: list[dict] = field(default_factory=list)
    alignments: dict[str, dict[str, list[dict]]] = field(default_factory=dict)  # subset -> id -> lines


def read_run(folder: str | Path) -> Run:
    """Read and check a run folder, of which only `run.json` must be there.

    Raises:
        UserError: no such folder, no `run.json` in it, or a file without its format (told with the line).
    """
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise UserError(
            f"{folder} holds no run.json" if folder.is_dir() else f"there is no folder {folder}",
            expected="the output_folder of a run",
        )
    description = read_json(folder / "run.json", "run")
    log = _read_if_there(folder / "log.jsonl", read_log) or []
    hparams, predictions = folder / "hparams.yaml", _find_predictions(folder)
    return Run(
        folder=folder,
        description=description,
        hparams=hparams.read_text(encoding="utf-8", errors="replace") if hparams.is_file() else None,
        steps=[line for line in log if line["kind"] == "step"],
        epochs=[line for line in log if line["kind"] == "epoch"],
        events=_read_if_there(folder / "events.jsonl", read_events) or [],
        model=_read_if_there(folder / "model.json", lambda path: read_json(path, "model")),
        filters=_read_if_there(folder / "filters.json", read_filters),
        decoding=_read_if_there(folder / "decoding.json", lambda path: read_json(path, "decoding")),
        predictions={name: read_records(path, description["task"]) for name, path in predictions},
        clips=read_index(folder),
        alignments={
            name: _read_if_there(folder / FOLDER / f"{name}.jsonl", read_alignments) or {}
            for name, _ in predictions
        },
    )


def _read_if_there(path: Path, read: Callable[[Path], Any]) -> Any:
    return read(path) if path.is_file() else None


def _find_predictions(folder: Path) -> list[tuple[str, Path]]:
    """Subsets with their files: those of the test first, validation and training last."""
    last = ("valid", "dev", "train")
    files = [(path.stem, path) for path in (folder / "predictions").glob("*.jsonl") if path.is_file()]
    return sorted(files, key=lambda item: (item[0].startswith(last), not item[0].startswith("test"), item[0]))
