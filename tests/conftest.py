"""What every test can rely on: speeds, real data, one thread, repeatable randomness."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

# One thread a test process: the tests run side by side. Before anything imports torch or numpy.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# A shell starts what it runs in the background with Ctrl-C ignored; tests send it, also to their children.
signal.signal(signal.SIGINT, signal.default_int_handler)

PROJECT = Path(__file__).resolve().parent.parent
TIMEOUTS = {"slow": 2400, "integration": 300}  # seconds; unmarked tests have pyproject's

# No deadline: the machine may be busy. In CI the same examples each time; elsewhere new ones are welcome.
hypothesis.settings.register_profile("local", deadline=None, database=None)
hypothesis.settings.register_profile("ci", deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start the command as a process; give marked ones the time that their speed allows."""
    for item in items:
        if "run_cli" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.integration)
        if item.get_closest_marker("timeout") is None:
            seconds = next((TIMEOUTS[speed] for speed in TIMEOUTS if item.get_closest_marker(speed)), None)
            if seconds is not None:
                item.add_marker(pytest.mark.timeout(seconds))


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder of the project."""
    return PROJECT


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start every test from the same random numbers; torch and numpy only where a test brought them in."""
    random.seed(0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """No waiting for the disk: what a power cut leaves is not seen by the process that it ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs of the tests keep what they know of the user: not among what the user's own runs do."""
    folder = tmp_path_factory.mktemp("state")
    os.environ["XDG_STATE_HOME"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real corpora: the environment variable SPEECHKIT_DATA, by default ../shared/data."""
    folder = Path(os.environ.get("SPEECHKIT_DATA") or PROJECT.parent / "shared" / "data").resolve()
    if not folder.is_dir():
        pytest.skip(f"no real speech at {folder}: set SPEECHKIT_DATA to the folder of the corpora")
    return folder


@pytest.fixture(scope="session")
def real_speech_commands(real_data: Path) -> Path:
    """Real Speech Commands, in the data set's own layout."""
    folder = real_data / "speech_commands"
    if not folder.is_dir():
        pytest.skip(f"no Speech Commands at {folder}: set SPEECHKIT_DATA to a folder that has it")
    return folder


RunCli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_cli(tmp_path: Path) -> RunCli:
    """Run `speechkit ARGUMENTS...` in a process of its own: `run_cli("check", path, cwd=...)`."""

    def run(*arguments: object, cwd: Path = tmp_path, timeout: float = 120, **variables: str):
        command = [sys.executable, "-m", "speechkit.cli", *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
