"""Runs of the experiment in processes of their own, and what two equal runs must share."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
CLOCK = re.compile(r"time|.*_seconds")
SECONDS_TO_LEAVE = 15  # a worker looks after its parent every 5 s


@dataclass(frozen=True)
class Experiment:
    """A run folder, the corpus it learns from, what is taken out of the toolkit meanwhile, the processes.

    program, hparams: the train.py of a task and its YAML, among `programs`.
    """

    folder: Path
    corpus: Path
    without: str = ""
    n_processes: int = 1
    overrides: tuple[str, ...] = ()
    program: str = "train.py"
    hparams: str = "hparams.yaml"

    def run(self, kill_at: str = "") -> None:
        """Go on to the end of training, or to the kill, which must happen."""
        process = self.start(kill_at)
        killed = -signal.SIGKILL if self.n_processes == 1 else 1  # torchrun's own code where a process died
        assert process.wait(timeout=200) == (killed if kill_at else 0), self.told()
        wait_until_gone(process.pid)

    def start(self, kill_at: str = "") -> subprocess.Popen:
        """The process, leading a group of its own; what it says goes beside its folder."""
        command = [sys.executable, PROGRAMS / self.program, PROGRAMS / self.hparams]
        if self.n_processes > 1:
            torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", self.n_processes]
            command[1:1] = torchrun
        command += ["--manifest_folder", self.corpus, "--output_folder", self.folder, *self.overrides]
        environment = os.environ | {
            "KILL_AT": kill_at, "TAKE_OUT": self.without, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg",
        }  # fmt: skip
        with open(self.folder.with_suffix(".stderr"), "w") as errors:
            return subprocess.Popen(
                list(map(str, command)),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def results(self) -> dict[str, object]:
        """All that may not depend on kills: names and weights of checkpoints, log and predictions."""
        checkpoints = sorted((self.folder / "checkpoints").iterdir())
        return {
            "log": log_without_clock(self.folder / "log.jsonl"),
            "checkpoints": [each.name for each in checkpoints],
            **{
                f"weights of {each.name}": (each / "modules.safetensors").read_bytes() for each in checkpoints
            },
            "predictions": (self.folder / "predictions" / "test.jsonl").read_bytes(),
        }

    def events(self, name: str) -> int:
        """How often something happened to the run."""
        path = self.folder / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return sum(json.loads(line)["event"] == name for line in lines)

    def finished(self) -> bool:
        """Whether the run came to its end."""
        return (self.folder / "report.html").exists()

    def told(self) -> str:
        """What the last process wrote to stderr."""
        return self.folder.with_suffix(".stderr").read_text()


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Until the condition holds, at most so long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain: {what}"
        time.sleep(0.02)


def differences(found: dict[str, object], expected: dict[str, object]) -> list[str]:
    """What of two runs' results is not equal, bit for bit."""
    names = {**expected, **found}
    return [name for name in names if found.get(name) != expected.get(name)]


def log_without_clock(path: Path) -> list[str]:
    """The lines of a log as they are, but for the fields of the clock."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [json.dumps({k: v for k, v in line.items() if not CLOCK.fullmatch(k)}) for line in lines]


def wait_until_gone(group: int) -> None:
    """Workers of a killed process end by themselves, soon."""
    wait_for(lambda: not members(group), f"processes of group {group} are left behind", SECONDS_TO_LEAVE)


def members(group: int) -> list[int]:
    """Processes of a group that still run (a zombie does not)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # ended meanwhile
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found
