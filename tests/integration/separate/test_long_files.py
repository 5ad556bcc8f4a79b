"""Files of many minutes: memory that does not grow with them, and time that grows as they do."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 8000  # Hz
# Not getrusage: its peak is also that of the process that started this one.
MEASURE = """
import re, sys, time
import torch
from torch import nn
from speechkit.models import FilterbankDecoder, FilterbankEncoder, MaskingSeparator, TemporalConvNet
from speechkit.tasks import Separator

encoder, decoder = FilterbankEncoder(64, 16), FilterbankDecoder(64, 16)
masker = TemporalConvNet(64, 2, width=32, hidden_size=64, skip_width=32, n_blocks=6, n_repeats=1)
model = Separator(nn.ModuleDict({"separator": MaskingSeparator(encoder, masker, decoder)}), 8000, 2)
seconds = []
for path in sys.argv[1:]:
    begin = time.process_time()
    model.separate_file(path, path + "-out")
    seconds.append(time.process_time() - begin)
peak = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
print(int(peak[1]) // 1024, *seconds)
"""


def write_minutes(path: Path, minutes: int, rate: int = RATE, n_channels: int = 1) -> Path:
    """Two tones that come and go, over noise."""
    n, random = np.arange(60 * rate) / rate, np.random.default_rng(0)
    voices = [
        np.sin(2 * np.pi * hz * n) * (np.sin(2 * np.pi * n / beat) > 0) for hz, beat in ((200, 5), (900, 7))
    ]
    minute = 0.2 * sum(voices) + random.normal(0, 0.01, len(n))
    with soundfile.SoundFile(path, "w", rate, n_channels, subtype="PCM_16") as file:
        for _ in range(minutes):
            file.write(np.stack([minute] * n_channels, 1))
    return path


def measure(*files: Path) -> tuple[int, list[float]]:
    """Of a process that separates these files: its peak in megabytes, the processor's seconds of each."""
    command = [sys.executable, "-c", MEASURE, *map(str, files)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout
    peak, *seconds = told.split()
    return int(peak), [float(each) for each in seconds]


@pytest.mark.slow
def test_memory_stays_and_time_is_linear(tmp_path: Path) -> None:
    """Of 30 minutes below 3 GB: what the model takes of a window. Their estimates alone are 115 MB."""
    minutes = {n: write_minutes(tmp_path / f"{n}.wav", n) for n in (1, 10, 20, 30)}
    peak_of_one, _ = measure(minutes[1])
    peak, (_, ten, twenty, thirty) = measure(*minutes.values())
    assert peak < 3000
    assert peak < peak_of_one + 60, (peak, peak_of_one)
    assert twenty / ten == pytest.approx(2, abs=0.5)
    assert thirty / ten == pytest.approx(3, abs=0.75)
    for source in (1, 2):
        assert soundfile.info(tmp_path / "30.wav-out" / f"30_{source}.wav").frames == 30 * 60 * RATE


@pytest.mark.slow
def test_memory_stays_at_other_rates_too(tmp_path: Path) -> None:
    """Stereo at 44.1 kHz, which is resampled there and back."""
    one, ten = (write_minutes(tmp_path / f"{n}.wav", n, 44100, 2) for n in (1, 10))
    (peak_of_one, _), (peak, _) = measure(one), measure(ten)
    assert peak < peak_of_one + 60, (peak, peak_of_one)
