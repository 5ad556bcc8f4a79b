"""A recipe of two sounds, its run, and the command as typed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechkit.cli import main

RATE = 8000
TRAIN = "from speechkit.tasks import Classification, main\n\nmain(Classification, __file__)\n"
HPARAMS = """seed: 1
folder: !PLACEHOLDER
output_folder: !ref <folder>/run
labels: [tone, noise]
sample_rate: 8000
n_epochs: 3
n_mels: 12
train_data: !new:speechkit.data.CutBatches
    manifest: !ref <folder>/train.jsonl
    sampler: !name:lhotse.dataset.SimpleCutSampler
        max_cuts: 8
        shuffle: True
    sample_rate: !ref <sample_rate>
valid_data: !new:speechkit.data.CutBatches
    manifest: !ref <folder>/valid.jsonl
    sampler: !name:lhotse.dataset.SimpleCutSampler
        max_cuts: 8
    sample_rate: !ref <sample_rate>
test_data:
    test: !ref <valid_data>
modules:
    features: !new:speechkit.features.LogMel
        sample_rate: !ref <sample_rate>
        n_mels: !ref <n_mels>
    model: !new:speechkit.nnet.Sequential
        input_shape: [null, null, !ref <n_mels>]
        pool: !new:speechkit.nnet.StatisticsPooling
        output: !name:speechkit.nnet.Linear
            n_neurons: 2
optimizer: !name:torch.optim.Adam
    lr: 0.05
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A YAML with a train.py one folder above."""
    (tmp_path / "recipe" / "hparams").mkdir(parents=True)
    (tmp_path / "recipe" / "train.py").write_text(TRAIN)
    path = tmp_path / "recipe" / "hparams" / "tones.yaml"
    path.write_text(HPARAMS)
    return path


def write_corpus(folder: Path) -> None:
    from lhotse import Recording, SupervisionSegment

    from speechkit.data import write_cuts

    random = np.random.default_rng(0)
    for subset, n_clips in (("train", 32), ("valid", 8)):
        cuts = []
        for index in range(n_clips):
            name, label = f"{subset}{index}", ("tone", "noise")[index % 2]
            time = np.arange(random.integers(1500, 3000)) / RATE
            tone = np.sin(2 * np.pi * random.uniform(300, 2000) * time)
            x = 0.3 * tone if label == "tone" else random.normal(0, 0.2, len(time))
            soundfile.write(folder / f"{name}.wav", x.clip(-1, 1), RATE)
            cut = Recording.from_file(folder / f"{name}.wav", recording_id=name).to_cut()
            cut.id = name
            cut.supervisions = [SupervisionSegment(name, name, 0, cut.duration, text=label, speaker=name)]
            cuts.append(cut)
        write_cuts(cuts, folder / f"{subset}.jsonl")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus and a finished run on it."""
    from speechkit.tasks import Classification
    from speechkit.tasks import main as train

    folder = tmp_path_factory.mktemp("trained")
    write_corpus(folder)
    (folder / "train.py").write_text(TRAIN)
    (folder / "tones.yaml").write_text(HPARAMS)
    train(Classification, str(folder / "train.py"), [str(folder / "tones.yaml"), "--folder", str(folder)])
    return folder


Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture) -> Typed:
    """Run a command line in this process: its code, what it printed and what it complained of.

    Whatever is raised but an exit would be a traceback, and fails the test.
    """

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return int(end.value.code or 0), told.out, told.err

    return call
