"""Several runs of one recipe: each in its folder, none twice, a failed one named, a stopped one resumed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from speechkit import report
from speechkit.cli import main
from speechkit.errors import UserError
from speechkit.tasks import run_folds, several
from speechkit.tasks.entry import Command
from speechkit.tasks.several import Member, run_several

from .conftest import Recipe

# A train.py in place of the true one: quick, and told by the YAML's seed what to do.
STUB = '''"""A training that only says that it was called."""
import signal
import sys
import time
from pathlib import Path

words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
folder = Path(words["--output_folder"])
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "calls", "a") as file:
    print(*sys.argv[2:], file=file)
if words["--seed"] == "9":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    print("ready", flush=True)
    time.sleep(60)
sys.exit(3 if words["--seed"] == "2" else 0)
'''


@pytest.fixture
def stub(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The schema is the true train.py's; what runs only notes its arguments."""
    (recipe.folder / "stub.py").write_text(STUB)
    start = several._start

    def start_stub(words: list[str], told: Path | None) -> subprocess.Popen:
        return start([words[0], str(recipe.folder / "stub.py"), *words[2:]], told)

    monkeypatch.setattr(several, "_start", start_stub)
    return recipe


def command(recipe: Recipe, *overrides: str, flags: tuple[str, ...] = ()) -> Command:
    return Command(recipe.hparams, frozenset(flags), overrides)


def members(*seeds: int) -> list[Member]:
    return [Member(f"seed-{seed}", ("--seed", str(seed))) for seed in seeds]


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_each_member_gets_its_overrides_and_its_folder(stub: Recipe, tmp_path: Path) -> None:
    codes = run_several(command(stub, "--n_epochs", "7"), members(1, 3), tmp_path / "out")
    assert codes == {"seed-1": 0, "seed-3": 0}
    for seed in (1, 3):
        folder = tmp_path / "out" / f"seed-{seed}"
        assert calls(folder) == [f"--n_epochs 7 --seed {seed} --output_folder {folder}"]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_failed_run_is_told_and_stops_no_other(n_jobs: int, stub: Recipe, tmp_path: Path, capsys) -> None:
    codes = run_several(command(stub), members(1, 2, 3), tmp_path / "out", n_jobs=n_jobs)
    assert codes == {"seed-1": 0, "seed-2": 3, "seed-3": 0}
    assert list(codes) == ["seed-1", "seed-2", "seed-3"]
    assert "seed-2: failed, with code 3" in capsys.readouterr().err
    assert (tmp_path / "out" / "seed-1.txt").exists() == (n_jobs > 1)


def test_mistakes_of_any_member_come_before_all_runs(stub: Recipe, tmp_path: Path) -> None:
    bad = [*members(1), Member("other", ("--sede", "3"))]
    with pytest.raises(UserError, match=r"there is no key 'sede' to change \(did you mean"):
        run_several(command(stub), bad, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_signal_is_passed_on_and_what_waits_does_not_start(
    stub: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep = time.sleep

    def sleep_and_stop(seconds: float) -> None:
        sleep(seconds)
        told = tmp_path / "out" / "seed-9.txt"
        if told.is_file() and "ready" in told.read_text():
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(several.time, "sleep", sleep_and_stop)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run_several(command(stub), members(9, 2, 1), tmp_path / "out", n_jobs=2)
    assert not (tmp_path / "out" / "seed-1").exists()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("values", "flags", "told"),
    [
        (["1", "2", "1"], (), "each once, separated by commas"),
        ([""], (), "each once, separated by commas"),
        (["../1"], (), "each once, separated by commas"),
        (["1"], ("--debug",), "--debug with several runs; try one"),
    ],
)
def test_values_that_make_no_runs(values: list[str], flags: tuple[str, ...], told: str, recipe) -> None:
    with pytest.raises(UserError) as error:
        run_folds(command(recipe, flags=flags), "seed", values)
    assert told in str(error.value)


def test_a_yaml_without_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("seed: 1\n")
    with pytest.raises(UserError, match=r"has no train\.py"):
        run_several(Command(tmp_path / "a.yaml", frozenset(), ()), members(1), tmp_path)


def call(capsys: pytest.CaptureFixture, *words: object) -> tuple[int, str, str]:
    """The command in this process (its runs are processes all the same): code and what it printed."""
    with pytest.raises(SystemExit) as end:
        main(list(map(str, words)))
    told = capsys.readouterr()
    return int(end.value.code or 0), told.out, told.err


@pytest.mark.integration
def test_folds_by_the_command_line(recipe: Recipe, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two true runs; a second call runs neither; of a third value that fails the others' figures remain."""
    words = ["folds", recipe.hparams, "--key", "seed", "--n_epochs", "1"]
    code, summary, told = call(capsys, *words, "--values", "1,2")
    assert code == 0, told
    assert "2 runs by seed" in summary
    paths = [recipe.output / f"seed-{seed}" / "events.jsonl" for seed in (1, 2)]
    before = [path.read_bytes() for path in paths]
    assert call(capsys, *words, "--values", "1,2")[:2] == (0, summary)
    code, _, told = call(capsys, *words, "--values", "1,2,3,x")
    assert code == 2, "told before anything runs"
    assert "seed: expected a whole number, found text 'x'" in told
    start = several._start
    monkeypatch.setattr(several, "_start", lambda words, told: start([words[0], "-c", "exit(3)"], told))
    code, more, told = call(capsys, *words, "--values", "1,2,3")
    assert code == 1
    assert told.count("has ended before") == 2
    assert "failed: seed-3; the same command runs these again" in told
    assert more.startswith(summary.rstrip("\n"))
    assert [path.read_bytes() for path in paths] == before
    found = report.read_json(recipe.output / "folds.json", "folds")
    assert [each["name"] for each in found["runs"]] == ["seed-1", "seed-2"]
    assert found["failed"] == ["seed-3"]
    assert found["metrics"]["accuracy"]["pooled"] is None, "both tested the same clips"


@pytest.mark.integration
def test_a_run_that_was_stopped_goes_on(recipe: Recipe, capsys) -> None:
    """The command gets the signal, its run saves; the same command ends it."""
    words = ["folds", str(recipe.hparams), "--key", "seed", "--values", "1", "--n_epochs", "40"]
    process = subprocess.Popen(
        [sys.executable, "-m", "speechkit.cli", *words], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    told = ""
    while "epoch   2" not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=200)
    assert process.returncode == 130, told + rest
    events = [event["event"] for event in report.read_run(recipe.output / "seed-1").events]
    assert events[-1] == "interrupted"
    code, _, told = call(capsys, *words)
    assert code == 0, told
    assert "seed-1: goes on" in told
    events = [event["event"] for event in report.read_run(recipe.output / "seed-1").events]
    assert "resumed" in events
    assert events[-1] == "finished"
