"""SIGTERM and Ctrl-C to all processes of a group: data go on, and the workers end with the main process."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import pytest
from lhotse.dataset import SimpleCutSampler
from torch.multiprocessing import active_children

from speechkit.data import CutBatches

SECONDS = 50  # a hang, not a slow machine
MAKE = """
import sys
from functools import partial
from lhotse.dataset import SimpleCutSampler
from speechkit.data import CutBatches, Speed

def say(*words):
    print(*words, flush=True)

def digest(batches):
    return "".join(f"{sum(batch.lengths)}:{batch.waveforms.abs().sum()}" for batch in batches)

sampler = partial(SimpleCutSampler, max_cuts=3, shuffle=True)
data = CutBatches(sys.argv[1], sampler, 16000, [Speed(0.9, 1.1)], n_workers=2)
"""


def start(corpus: Path, code: str) -> subprocess.Popen:
    """A process of its own group that runs the code with `data` on two workers."""
    return subprocess.Popen(
        [sys.executable, "-c", MAKE + textwrap.dedent(code), str(corpus)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def group_is_gone(group: int) -> bool:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.integration
def test_a_signal_to_the_group_ends_no_data(corpus):
    """From the birth of the workers to the last batch, however often."""
    code = """
    import signal
    noted = []
    expected = digest(data.iterate(seed=1, epoch=1))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: noted.append(number))
    say("ready")
    while not noted:
        pass
    for _ in range(6):
        assert digest(data.iterate(seed=1, epoch=1)) == expected
    assert len(noted) > 50 and len(set(noted)) == 2
    open(sys.argv[1] + ".done", "w").close()
    sys.stdin.read()  # Python takes the handlers away at its end
    """
    process = start(corpus, code)
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    end = time.monotonic() + SECONDS
    done = Path(f"{corpus}.done")
    while not done.exists() and process.poll() is None and time.monotonic() < end:
        for number in (signal.SIGTERM, signal.SIGINT):
            os.killpg(process.pid, number)
            time.sleep(0.002)
    errors = process.communicate(timeout=SECONDS)[1]
    assert (process.returncode, errors) == (0, "")
    assert group_is_gone(process.pid)


@pytest.mark.integration
@pytest.mark.parametrize("how", ["end", "SIGTERM", "SIGKILL"])
def test_workers_end_with_the_main_process(corpus, how):
    """Also where nobody closed the iteration: Python itself terminates the workers then, and waits."""
    code = f"""
    import os, signal, sys
    sys.kept = batches = data.iterate(seed=1, epoch=1)
    next(batches)
    say("started")
    if {how!r} != "end":
        os.kill(os.getpid(), signal.{how if how != "end" else "SIGTERM"})
    """
    process = start(corpus, code)
    errors = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == (0 if how == "end" else -getattr(signal, how)), errors
    assert group_is_gone(process.pid)


def test_a_worker_ends_when_its_parent_says_so(corpus):
    sampler = partial(SimpleCutSampler, max_cuts=3)
    batches = CutBatches(str(corpus), sampler, 16000, n_workers=2).iterate(seed=1, epoch=1)
    next(batches)
    workers = active_children()
    for worker in workers:
        worker.terminate()
        worker.join(SECONDS)
    assert [worker.exitcode for worker in workers] == [0, 0]
    batches.close()
