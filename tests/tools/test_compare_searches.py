"""The comparison of searches: rows of every test set; what is there already is used only where it fits."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from speechkit import report
from speechkit.decoding import AttentionBeam, GreedySearch, JointSearch
from speechkit.metrics import align, count_operations, edit_distance
from speechkit.report.recognition import MEASURES
from speechkit.report.result import build_report
from speechkit.tasks.tuned import get_weights, set_weights

PROJECT = Path(__file__).resolve().parents[2]
DESCRIPTION = {
    "schema": 1, "task": "asr", "dataset": "none", "recipe": None, "seed": 1, "hparams_sha256": "a",
    "fingerprint": "b", "commit": None, "versions": {}, "parameters": 1, "device": "cpu", "started": 0.0,
    "overrides": {},
}  # fmt: skip
SAID = "the red door"


@pytest.fixture
def tool() -> Any:
    spec = importlib.util.spec_from_file_location("compare_searches", PROJECT / "tools/compare_searches.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_record(number: int, hypothesis: str) -> dict[str, Any]:
    alignment = align(SAID.split(), hypothesis.split())
    counts = {"words": 3, "characters": len(SAID), "character_errors": edit_distance(SAID, hypothesis)}
    return {
        "id": f"u{number:03d}", "speaker": f"s{number // 10}", "seconds": 1.0, "reference": SAID,
        "hypothesis": hypothesis, "alignment": alignment, "counts": count_operations(alignment) | counts,
        "scores": {"loss": 1.0}, "skipped": None,
    }  # fmt: skip


def write_evaluation(
    folder: Path,
    search: str,
    texts: dict[str, list[str]],
    sha256: str = "ab",
    overrides: dict[str, str] | None = None,
) -> Path:
    evaluation = {
        "name": folder.name, "checkpoint": "epoch-0001", "weights_sha256": sha256, "recipe_changed": {},
        "commit": {"hash": "0123456789abcdef", "dirty": False}, "versions": {}, "device": "cpu",
        "started": 0.0, "overrides": overrides or {},
    }  # fmt: skip
    report.write_json(folder / "run.json", DESCRIPTION | {"evaluation": evaluation}, "run")
    decoding = {"schema": 1, "normalization": "none", "search": search, "tokenizer_sha256": None}
    report.write_json(folder / "decoding.json", decoding, "decoding")
    for subset, hypotheses in texts.items():
        records = [make_record(number, text) for number, text in enumerate(hypotheses)]
        report.write_records(folder / "predictions" / f"{subset}.jsonl", records, "asr")
    content = build_report(report.read_run(folder), MEASURES)  # the page takes longer
    report.write_json(folder / "report.json", content, "report")
    return folder


def test_a_row_for_each_test_set_and_search(tool: Any, tmp_path: Path) -> None:
    bad, good = ["the red dore"] * 40, ["the red door"] * 20 + ["the red dore"] * 20
    texts = {"test-clean": bad, "test-other": good}
    folders = {
        tool.GREEDY: write_evaluation(tmp_path / "greedy", "greedy", texts),
        "joint": write_evaluation(tmp_path / "joint", "beam search", dict.fromkeys(texts, good)),
    }
    rows = tool.compare(folders)
    assert [(row["test_set"], row["search"]) for row in rows] == [
        ("test-clean", tool.GREEDY), ("test-clean", "joint"),
        ("test-other", tool.GREEDY), ("test-other", "joint"),
    ]  # fmt: skip
    first, second, _, last = rows
    assert list(first) == list(second)
    assert first["WER,_%"].startswith("33.3 [")
    assert (first["less_that_of_greedy"], first["less_that_of_greedy,_over_speakers"]) == ("", "")
    assert second["less_that_of_greedy"].startswith("-16.7 [-")
    assert last["less_that_of_greedy"].startswith("0.0 [-")
    told = report.read_json(folders["joint"] / "report.json", "report")["subsets"]["test-clean"]["metrics"]
    low, high = told["wer"]["ci95_speakers"]
    assert second["WER,_over_speakers"] == f"[{low:.1f}, {high:.1f}]"
    assert second["WER,_over_speakers"] != second["WER,_%"].split(" ", 1)[1]
    assert second["CER,_%"].startswith(f"{told['cer']['value']:.1f} [")
    assert (second["how"], second["utterances"], second["speakers"]) == ("beam search", 40, 4)
    assert second["commit"] == "0123456789"


class FakeRun:
    """Stands for a run: opens, tunes and evaluates it at no cost, and counts how often."""

    def __init__(self, tool: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sha256, self.best, self.done = "ab", {"beam.length_bonus": 1.5}, []
        for name in ("open_run", "tune_run", "evaluate_run", "read_tuned", "weights_sha256"):
            monkeypatch.setattr(tool, name, getattr(self, name))
        self.folder, self.tunings = folder, {}

    def open_run(self, run: Path, changes: list[str]) -> Any:
        search = JointSearch(AttentionBeam(length_bonus=0.5), ctc_weight=0.3)
        brain = SimpleNamespace(search=GreedySearch() if "null" in changes else search, modules={})
        overrides = dict(zip((key[2:] for key in changes[::2]), changes[1::2], strict=True))
        evaluation = SimpleNamespace(run=run, document=SimpleNamespace(overrides=overrides))
        return SimpleNamespace(brain=brain, evaluation=evaluation, checkpoint=None)

    def weights_sha256(self, checkpoint: None) -> str:
        return self.sha256

    def read_tuned(self, run: Path, file: Path) -> Any:
        return SimpleNamespace(content=self.tunings.get(file, {}))

    def tune_run(self, run: Path, changes: list[str], *, file: Path) -> Any:
        self.done.append(f"tuned {file.stem}")
        opened = self.open_run(run, changes)
        self.tunings[file] = {
            "weights_sha256": self.sha256,
            "search": opened.brain.search.describe(),
            "normalization": None,
            "overrides": opened.evaluation.document.overrides,
            **self.tell_best(),
        }
        return self.tunings[file]

    def tell_best(self) -> dict[str, Any]:
        search = JointSearch(AttentionBeam(), ctc_weight=0.3)
        set_weights(search, self.best)
        return {"best": dict(self.best), "tuned_search": search.describe()}

    def evaluate_run(self, run: Path, changes: list[str], *, name: str, tuned: Any) -> Path:
        self.done.append(f"evaluated {name}")
        opened = self.open_run(run, changes)
        search = opened.brain.search
        if tuned:
            for key, value in self.tunings[tuned]["best"].items():
                setattr(search.beam, key.split(".")[1], value)
            assert get_weights(search, list(self.best)) == self.best
        overrides = opened.evaluation.document.overrides
        folder = run / "evaluations" / name
        write_evaluation(folder, search.describe(), {"test": ["the door"]}, self.sha256, overrides)
        return folder / "report.html"


def test_only_what_is_missing_is_made(tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Again after other weights, and after other tuning; what was there stays where it is."""
    run = FakeRun(tool, tmp_path, monkeypatch)
    assert tool.decode(tmp_path, "joint") == tmp_path / "evaluations" / "joint"
    assert tool.decode(tmp_path, tool.GREEDY) == tmp_path / "evaluations" / "ctc-greedy"
    made = ["tuned joint", "evaluated joint", "evaluated ctc-greedy"]
    assert run.done == made
    assert tool.decode(tmp_path, "joint") == tmp_path / "evaluations" / "joint"
    assert tool.decode(tmp_path, tool.GREEDY) == tmp_path / "evaluations" / "ctc-greedy"
    assert run.done == made, "nothing more"
    run.sha256 = "cd"
    assert tool.decode(tmp_path, "joint") == tmp_path / "evaluations" / "joint-2"
    assert run.done[3:] == ["tuned joint", "evaluated joint-2"]
    run.best, file = {"beam.length_bonus": 2.0}, tmp_path / "tunings" / "joint.json"
    run.tunings[file] |= run.tell_best()
    assert tool.decode(tmp_path, "joint") == tmp_path / "evaluations" / "joint-3"
    assert run.done[5:] == ["evaluated joint-3"]
    run.tunings[file] |= {"tuned_search": "a beam search with another language model"}
    assert tool.decode(tmp_path, "joint") == tmp_path / "evaluations" / "joint-3"
    assert run.done[6:] == ["tuned joint"], "for what is there no more"
    assert (tmp_path / "evaluations" / "joint" / "report.json").is_file()
