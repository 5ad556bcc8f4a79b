"""A recipe that learns three tones in a second, and its finished run."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import Recording, SupervisionSegment
from lhotse.cut import Cut

from speechkit.data import write_cuts

RATE = 8000
PITCHES = {"low": 300, "middle": 900, "high": 2000}  # Hz
TRAIN = '''"""Which of three tones."""

from speechkit.tasks import Classification, main

if __name__ == "__main__":
    main(Classification, __file__)
'''
DATA = """train_data: !new:speechkit.data.CutBatches
    manifest: !ref <manifest_folder>/train.jsonl
    sampler: !name:lhotse.dataset.SimpleCutSampler
        max_cuts: 8
        shuffle: True
    sample_rate: !ref <sample_rate>
    n_workers: !ref <n_workers>
valid_data: !new:speechkit.data.CutBatches
    manifest: !ref <manifest_folder>/valid.jsonl
    sampler: !name:lhotse.dataset.SimpleCutSampler
        max_cuts: 5
    sample_rate: !ref <sample_rate>
test_data:
    test: !new:speechkit.data.CutBatches
        manifest: !ref <manifest_folder>/test.jsonl
        sampler: !name:lhotse.dataset.SimpleCutSampler
            max_cuts: 5
        sample_rate: !ref <sample_rate>
"""
HPARAMS = (
    """seed: 3
manifest_folder: {manifests}
output_folder: {output}
data_folder: somewhere
labels: [low, middle, high]
sample_rate: 8000
clip_seconds: 0.5
n_epochs: 2
n_workers: 0
device: cpu

"""
    + DATA
    + """
augmentation: !new:speechkit.features.SpecAugment
    max_time_frames: 10
    max_frequency_bands: 3
modules:
    features: !new:speechkit.features.LogMel
        sample_rate: !ref <sample_rate>
        n_mels: 20
    model: !new:speechkit.nnet.Sequential
        input_shape: [null, null, 20]
        conv: !new:speechkit.nnet.Conv1d
            out_channels: 16
            kernel_size: 3
            input_size: 20
        norm: !new:speechkit.nnet.BatchNorm1d
            input_size: 16
        pool: !new:speechkit.nnet.GlobalAveragePool
        output: !new:torch.nn.Linear [16, 3]
optimizer: !name:torch.optim.Adam
    lr: 0.03
"""
)

PREPARE = '''"""The manifests of a folder of tones lie in it."""

import shutil
from pathlib import Path

from speechkit.errors import UserError


def prepare(data_folder, manifest_folder, *, labels, n_called=0):
    if not Path(data_folder).is_dir():
        raise UserError(f"there is no data_folder {data_folder}", key="data_folder")
    Path(manifest_folder).mkdir(parents=True, exist_ok=True)
    for name in ("train", "valid", "test"):
        shutil.copy(Path(data_folder) / f"{name}.jsonl", manifest_folder)
'''


@dataclass
class Recipe:
    """A recipe's folder: `train` is its train.py, `hparams` its YAML, `output` where that writes."""

    folder: Path
    manifests: Path

    @property
    def train(self) -> Path:
        return self.folder / "train.py"

    @property
    def hparams(self) -> Path:
        return self.folder / "hparams.yaml"

    @property
    def output(self) -> Path:
        return self.folder / "run"

    def write(self) -> "Recipe":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.train.write_text(TRAIN)
        self.hparams.write_text(HPARAMS.format(manifests=self.manifests, output=self.output))
        return self

    def change(self, old: str, new: str) -> int:
        """Put one text of the YAML in place of another; the line where it stands."""
        text = self.hparams.read_text()
        assert text.count(old) == 1, f"{text.count(old)} times {old!r}"
        self.hparams.write_text(text.replace(old, new))
        return text[: text.index(old)].count("\n") + 1


def write_tones(folder: Path, subset: str, n_clips: int) -> list[Cut]:
    """Noisy tones of 0.3 to 0.8 s with a manifest `<subset>.jsonl`; of two speakers, in two groups."""
    random = np.random.default_rng([n_clips, len(subset)])
    cuts = []
    for index in range(n_clips):
        kind, name = list(PITCHES)[index % 3], f"{subset}-{index:02d}"
        time = np.arange(random.integers(round(0.3 * RATE), round(0.8 * RATE))) / RATE
        tone = 0.3 * np.sin(2 * np.pi * PITCHES[kind] * random.uniform(0.7, 1.4) * time)
        x = tone + random.normal(0, 0.15, len(time))
        soundfile.write(folder / f"{name}.wav", x.clip(-1, 1), RATE, subtype="PCM_16")
        cut = Recording.from_file(folder / f"{name}.wav", recording_id=name).to_cut()
        cut.id = name
        segment = SupervisionSegment(name, name, 0, cut.duration, text=kind, speaker=f"speaker{index % 2}")
        segment.custom = {"group": f"group{index % 2}"}
        cut.supervisions = [segment]
        cuts.append(cut)
    write_cuts(cuts, folder / f"{subset}.jsonl")
    return cuts


@pytest.fixture(scope="session")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones in three manifests."""
    folder = tmp_path_factory.mktemp("tones")
    for subset, n_clips in (("train", 48), ("valid", 9), ("test", 13)):
        write_tones(folder, subset, n_clips)
    return folder


@pytest.fixture
def recipe(tmp_path: Path, manifests: Path) -> Recipe:
    return Recipe(tmp_path / "recipe", manifests).write()


Run = Callable[..., int]


@pytest.fixture
def run() -> Run:
    """Call a recipe's `main` in this process: `run(recipe, "--seed", 2)`; the code that it ends with.

    Whatever is raised but an exit would be a traceback, and fails the test.
    """
    from speechkit.tasks import Classification, main

    def call(recipe: Recipe, *arguments: object, brain: type | None = None) -> int:
        try:
            main(brain or Classification, str(recipe.train), [str(recipe.hparams), *map(str, arguments)])
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, manifests: Path) -> Recipe:
    """A recipe whose run has ended; not to be written into."""
    from speechkit.tasks import Classification, main

    recipe = Recipe(tmp_path_factory.mktemp("finished") / "recipe", manifests).write()
    main(Classification, str(recipe.train), [str(recipe.hparams), "--n_epochs", "6"])
    return recipe


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, manifests: Path) -> Recipe:
    """A finished run of a recipe with a prepare.py; its manifests lie in the run. Not to be written into."""
    from speechkit.tasks import Classification, main

    recipe = Recipe(tmp_path_factory.mktemp("prepared") / "recipe", manifests).write()
    (recipe.folder / "prepare.py").write_text(PREPARE)
    recipe.change("data_folder: somewhere", f"data_folder: {manifests}")
    recipe.change(f"manifest_folder: {manifests}\n", "manifest_folder: !ref <output_folder>/manifests\n")
    main(Classification, str(recipe.train), [str(recipe.hparams), "--n_epochs", "5"])
    return recipe


@pytest.fixture
def trained(prepared: Recipe, tmp_path: Path) -> Recipe:
    """The same, to be written into; the recipe stays where the run recorded it."""
    shutil.copytree(prepared.output, tmp_path / "recipe" / "run")
    return Recipe(tmp_path / "recipe", prepared.manifests)


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]
