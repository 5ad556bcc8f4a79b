"""One process at a time in a run folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from speechkit.errors import UserError
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
