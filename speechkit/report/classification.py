"""What a report shows of a classification task: where words are taken for others, and how that sounds."""

from typing import Any

import numpy as np

from speechkit.report.clips import AudioBudget
from speechkit.report.flows import draw_flow, list_pairs
from speechkit.report.run import Run
from speechkit.report.view import (
    Measure,
    Section,
    View,
    mean_of_scores,
    parts_of_counts,
    parts_of_score,
    ratio_of_counts,
)
from speechkit.stats import bootstrap_ratio, count_pairs

MEASURES = {
    "accuracy": Measure(
        "%", ratio_of_counts("correct", "total"), scale=100.0, parts=parts_of_counts(["correct"], "total")
    ),
    "loss": Measure("nats", mean_of_scores("loss"), parts=parts_of_score("loss")),
}
N_LABELS_SHOWN = 30  # of a confusion matrix: more cannot be read on a page
N_ROWS = 200  # of the table of words: speakers or sounds may be thousands
OTHER = "(other)"


def describe_subset(run: Run, subset: str, budget: AudioBudget) -> list[Section]:
    """The sections for one test subset; none where nothing was classified."""
    records = [record for record in run.predictions[subset] if record["skipped"] is None]
    if not records:
        return []
    references = [record["reference"] for record in records]
    hypotheses = [record["hypothesis"] for record in records]
    labels = sorted(set(references) | set(hypotheses))
    matrix = count_pairs(references, hypotheses, labels)
    sections = [
        Section("Confusion matrix", "confusion.html", tabulate_confusion(matrix, labels)),
        Section(
            "Accuracy by word", "by_word.html", {"rows": describe_labels(matrix, labels), "n": len(labels)}
        ),
    ]
    clips = list_clips(run, subset, budget)
    return [*sections, Section("Worst clips", "clips.html", {"clips": clips})] if clips else sections


def tabulate_confusion(matrix: np.ndarray, labels: list[str]) -> dict[str, Any]:
    """The confusion matrix as rows of cells, and the pairs most often confused, drawn and as a table.

    With more than `N_LABELS_SHOWN` labels those with the most errors are shown and the others added up.
    """
    pairs = {(labels[i], labels[j]): int(matrix[i, j]) for i, j in np.argwhere(matrix) if i != j}
    flow = draw_flow(pairs, int(matrix.sum()))
    n_labels = len(labels)
    matrix, labels = _merge_labels(matrix, labels)
    n_shown = n_labels if len(labels) == n_labels else len(labels) - 1
    rows = []
    for index, label in enumerate(labels):
        total = int(matrix[index].sum())
        cells = [
            {
                "count": int(count),
                "share": round(100 * int(count) / total) if total else 0,
                # Among the words added up, right ones cannot be told from wrong ones.
                "kind": "mixed" if index == column == n_shown else "right" if index == column else "wrong",
            }
            for column, count in enumerate(matrix[index])
        ]
        rows.append({"label": label, "cells": cells, "total": total})
    counts = {"n_labels": n_labels, "n_shown": n_shown}
    return {"labels": labels, "rows": rows, "flow": flow, "pairs": list_pairs(pairs, flow)} | counts


def _merge_labels(matrix: np.ndarray, labels: list[str]) -> tuple[np.ndarray, list[str]]:
    if len(labels) <= N_LABELS_SHOWN:
        return matrix, labels
    errors = matrix.sum(0) + matrix.sum(1) - 2 * np.diag(matrix)
    kept = sorted(np.argsort(-errors, kind="stable")[: N_LABELS_SHOWN - 1])
    place = np.full(len(labels), len(kept))
    place[kept] = np.arange(len(kept))
    merged = np.zeros((len(kept) + 1, len(kept) + 1), dtype=np.int64)
    np.add.at(merged, (place[:, None], place[None, :]), matrix)
    return merged, [labels[i] for i in kept] + [OTHER]


def describe_labels(matrix: np.ndarray, labels: list[str]) -> list[dict[str, Any]]:
    """For each of the `N_ROWS` hardest labels how many there were, how many were found, with intervals.

    Those never said come last.
    """
    n, n_said = matrix.sum(1), matrix.sum(0)
    correct = np.diag(matrix)
    recall = np.where(n > 0, correct / np.maximum(n, 1), 2.0)
    hardest = sorted(range(len(labels)), key=lambda index: (recall[index], labels[index]))[:N_ROWS]
    return [
        _describe_label(labels[index], int(n[index]), int(n_said[index]), int(correct[index]))
        for index in hardest
    ]


def _describe_label(label: str, n: int, n_said: int, correct: int) -> dict[str, Any]:
    found = bootstrap_ratio([1] * correct + [0] * (n - correct), [1] * n)
    return {
        "label": label,
        "n": n,
        "correct": correct,
        "recall": 100 * found.value if n else None,
        "ends": [100 * found.low, 100 * found.high] if n > 0 else None,
        "precision": 100 * correct / n_said if n_said else None,
    }


def list_clips(run: Run, subset: str, budget: AudioBudget) -> list[dict[str, Any]]:
    """The clips of a subset with what was said, what was heard and how sure the model was."""
    records = {record["id"]: record for record in run.predictions[subset]}
    clips = []
    for entry in run.clips:
        if entry["subset"] != subset or entry["id"] not in records:
            continue
        record = records[entry["id"]]
        clips.append(
            {
                "id": entry["id"],
                "path": entry["path"],
                "audio": budget.embed(run.folder / entry["path"]),
                "seconds": entry["seconds"],
                "speaker": record.get("speaker"),
                "reference": record["reference"],
                "hypothesis": record["hypothesis"],
                "right": record["reference"] == record["hypothesis"],
                "loss": record["scores"].get("loss"),
                "top": [
                    (word, 100 * share)
                    for word, share in (record["scores"].get("top") or [])[:3]
                    if share is not None
                ],
            }
        )
    return clips


VIEW = View(MEASURES, describe_subset)
