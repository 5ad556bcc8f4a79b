"""One process at a time in a run folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from speechkit.errors import UserError
from speechkit.tasks import entry
from speechkit.tasks.run_folder import locked


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    """The lock belongs to the process: one killed with -9 leaves a folder that can be used."""
    program = (
        "import fcntl, sys, time\n"
        f"file = open({str(tmp_path / '.lock')!r}, 'w')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match="another process is training"), locked(tmp_path):
            pass
        other.kill()
    with locked(tmp_path):
        pass


def test_torchrun_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several processes in one folder would ruin each other's run."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    command = entry.Command(Path("any.yaml"), frozenset(), ())
    with pytest.raises(UserError, match="one of 2 processes"):
        entry.run_experiment(object, Path("train.py"), command)  # type: ignore[type-var]
