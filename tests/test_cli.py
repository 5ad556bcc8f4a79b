"""The command `speechkit`, as typed."""

import json
import shutil
import subprocess
import sys
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


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["check", "--help"], ["classify", "--help"], ["synth", "--help"], ["report", "--help"]],
)
def test_help_does_not_wait_for_torch(arguments: list[str]) -> None:
    heavy = "{'torch', 'torchaudio', 'lhotse', 'scipy', 'matplotlib', 'soundfile'}"
    code = (
        f"import sys\nfrom speechkit.cli import main\ntry:\n    main({arguments})\n"
        f"except SystemExit as end:\n    print(end.code, sorted({heavy} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    assert "usage: speechkit" in done.stdout


def test_check_does_not_wait_for_torch_where_no_name_of_it_stands(recipe: Path) -> None:
    text = HPARAMS.replace("!name:torch.optim.Adam", "!name:speechkit.nnet.Linear").replace(
        "    lr: 0.05\n", "    n_neurons: 3\n"
    )
    text = text.replace("!name:lhotse.dataset.SimpleCutSampler", "!name:speechkit.nnet.GRU")
    text = text.replace("max_cuts: 8", "hidden_size: 8").replace("        shuffle: True\n", "")
    recipe.write_text(text)
    code = (
        "import sys\nfrom speechkit.cli import main\ntry:\n"
        f"    main(['check', {str(recipe)!r}, '--folder', 'x'])\n"
        "except SystemExit as end:\n    print(end.code, 'torch' in sys.modules, 'lhotse' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False False", done.stdout


def test_what_is_no_command(typed: Typed) -> None:
    for arguments in ([], ["chekc", "a.yaml"], ["classify"], ["check"], ["synth"], ["synth", "nothing", "x"]):
        code, _, told = typed(*arguments)
        assert code == 2, arguments
        assert "usage: speechkit" in told


def test_unknown_options_are_told(typed: Typed, tmp_path: Path) -> None:
    for command in ("report", "classify"):
        code, _, told = typed(command, tmp_path, tmp_path / "a.wav", "--colour")
        assert (code, "--colour" in told) == (2, True)


# check


def test_check_of_a_right_file(typed: Typed, recipe: Path) -> None:
    assert typed("check", recipe, "--folder", "x") == (0, f"{recipe}: no mistakes\n", "")


def test_check_tells_all_mistakes_with_their_lines(typed: Typed, recipe: Path) -> None:
    recipe.write_text(HPARAMS.replace("n_epochs: 3", "n_epoch: 3").replace("lr: 0.05", "lrr: 0.05"))
    code, told, _ = typed("check", recipe)
    assert code == 2
    assert f"{recipe}:2:9 folder: a value must be given: --folder VALUE" in told
    assert f"{recipe}:{HPARAMS[: HPARAMS.index('lr:')].count(chr(10)) + 1}:5 optimizer.lrr" in told
    assert f"{recipe}:6:1 n_epoch: warning: nobody reads this key (did you mean 'n_epochs'?)" in told


def test_check_of_several_files_tells_of_each(typed: Typed, recipe: Path) -> None:
    other, missing = recipe.with_name("other.yaml"), recipe.with_name("missing.yaml")
    other.write_text(HPARAMS.replace("seed: 1", "seed: one"))
    code, told, _ = typed("check", recipe, other, missing, "--folder", "x")
    assert code == 2
    assert f"{recipe}: no mistakes" in told
    assert f"{other}:1:7 seed" in told
    assert f"{missing}:1:1: cannot be read" in told


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (["--seed", "one"], "command line:1:3 seed: expected a whole number, found text 'one'"),
        (["--sede", "1"], "there is no key 'sede' to change (did you mean 'seed'?)"),
        (["--modules.model.output.n_neurons=abc"], "n_neurons"),
        (["--optimizer", "!new:os.system [ls]"], "optimizer"),
        (["--labels", "[tone, 3]"], "labels"),
        (["stray"], "stray"),
    ],
)
def test_check_of_overrides(override: list[str], told: str, typed: Typed, recipe: Path) -> None:
    code, out, err = typed("check", recipe, "--folder", "x", *override)
    assert code == 2
    assert told in out + err


def test_check_with_build_runs_the_model(typed: Typed, recipe: Path) -> None:
    arguments = ("check", recipe, "--build", "--folder", "x")
    assert typed(*arguments) == (0, f"{recipe}: no mistakes\n", "")
    recipe.write_text(HPARAMS.replace("n_neurons: 2", "n_neurons: 3"))
    assert typed(*arguments[:2], "--folder", "x")[0] == 0
    code, told, _ = typed(*arguments)
    assert code == 2
    assert "modules.model: the model gives 3 outputs" in told
    assert sorted(path.name for path in recipe.parent.iterdir()) == ["tones.yaml"]


def test_check_with_build_needs_a_recipe(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "lonely.yaml").write_text("a: 1\n")
    assert typed("check", tmp_path / "lonely.yaml")[0] == 0
    code, told, _ = typed("check", tmp_path / "lonely.yaml", "--build")
    assert (code, "no train.py" in told) == (2, True)


def test_what_is_forbidden_needs_trust(typed: Typed, recipe: Path) -> None:
    recipe.write_text(HPARAMS.replace("torch.optim.Adam\n    lr: 0.05", "subprocess.Popen"))
    code, told, _ = typed("check", recipe, "--folder", "x")
    assert code == 2
    assert "subprocess.Popen is not on the list" in told
    assert typed("check", recipe, "--folder", "x", "--trust-config")[0] == 0


BAD_FILES = {
    "empty": b"",
    "broken": b"a: [1,\nb: 2\n",
    "not text": b"\xff\xfe\x00\x01",
    "a list": b"- 1\n",
    "tabs": b"a:\n\t- 1\n",
    "two documents": b"a: 1\n---\nb: 2\n",
    "a cycle": b"a: !ref <b>\nb: !ref <a>\n",
    "an alias without an anchor": b"a: *x\n",
    "code": b"a: !!python/object/apply:os.system [ls]\n",
}


@pytest.mark.parametrize("kind", BAD_FILES)
@pytest.mark.parametrize("command", ["check", "train"])
def test_files_that_are_no_hparams(kind: str, command: str, typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(BAD_FILES[kind])
    if command == "train":
        # The recipe is missing as well, which is told first, without starting anything.
        code, out, err = typed(command, path)
        assert (code, "no train.py" in err) == (2, True)
        return
    code, out, err = typed(command, path)
    assert code == 2
    assert "bad.yaml:" in out + err


def test_a_folder_and_nothing_instead_of_a_file(typed: Typed, tmp_path: Path) -> None:
    assert "this is a folder" in typed("check", tmp_path)[1]
    assert "cannot be read" in typed("check", tmp_path / "none.yaml")[1]
    assert typed("train", tmp_path / "none.yaml")[0] == 2


# train


@pytest.mark.integration
def test_train_runs_the_recipe_beside_the_yaml(trained: Path, run_cli, tmp_path: Path) -> None:
    done = run_cli(
        "train", trained / "tones.yaml", "--folder", trained, "--output_folder", "run", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "report: run/report.html" in done.stdout
    assert json.loads((tmp_path / "run" / "run.json").read_text())["recipe"] == str(trained / "train.py")
    result = json.loads((tmp_path / "run" / "report.json").read_text())
    assert result["metrics"]["accuracy"]["value"] >= 80
    same = ("predictions/test.jsonl", "checkpoints/epoch-0003/modules.safetensors")
    for name in same:  # in another process and another folder
        assert (tmp_path / "run" / name).read_bytes() == (trained / "run" / name).read_bytes()


@pytest.mark.integration
def test_train_gives_the_code_and_the_words_of_the_recipe(run_cli, recipe: Path) -> None:
    done = run_cli("train", recipe, "--folder", "nowhere", "--seed", "one")
    assert done.returncode == 2
    assert "seed: expected a whole number, found text 'one'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_a_run_that_is_interrupted_ends_with_130(recipe: Path, run_cli) -> None:
    (recipe.parents[1] / "train.py").write_text(
        "import speechkit.tasks.entry as entry\nfrom speechkit.tasks import Classification, main\n\n\n"
        "def interrupted(*arguments):\n    raise KeyboardInterrupt\n\n\n"
        "entry.config.brain_schema = interrupted\nmain(Classification, __file__)\n"
    )
    done = run_cli("train", recipe)
    assert done.returncode == 130
    assert "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr


# classify


def test_classify_prints_words_with_probabilities(typed: Typed, trained: Path) -> None:
    files = [trained / "valid0.wav", trained / "valid1.wav"]
    code, told, complaints = typed("classify", trained / "run", *files)
    assert (code, complaints) == (0, "")
    rows = [line.split("\t") for line in told.splitlines()]
    assert [row[0] for row in rows] == [str(file) for file in files]
    records = [json.loads(line) for line in (trained / "run" / "predictions" / "test.jsonl").open()]
    for row, record in zip(rows, records, strict=False):
        found = [(label, float(share)) for label, share in (cell.split(" ") for cell in row[1:])]
        assert [label for label, _ in found] == [label for label, _ in record["scores"]["top"]]
        assert [s for _, s in found] == pytest.approx([s for _, s in record["scores"]["top"]], abs=6e-4)


def test_classify_tells_of_files_that_cannot_be_read_and_labels_the_others(
    typed: Typed, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "nan.wav", np.full(800, np.nan), RATE, subtype="FLOAT")
    bad = [tmp_path / name for name in ("text.wav", "empty.wav", "nan.wav", "none.wav")]
    code, told, complaints = typed("classify", trained / "run", *bad, trained / "valid0.wav", tmp_path)
    assert code == 2
    assert [line.split("\t")[0] for line in told.splitlines()] == [str(trained / "valid0.wav")]
    for path in (*bad, tmp_path):
        assert str(path) in complaints
    assert len(complaints.splitlines()) == 5


def test_classify_shows_as_many_labels_as_asked(typed: Typed, trained: Path) -> None:
    for given, n_shown in (("1", 1), ("9", 2)):
        _, told, _ = typed("classify", trained / "run", trained / "valid0.wav", "--top", given)
        assert len(told.strip().split("\t")) == 1 + n_shown
    for given in ("0", "-1", "x"):
        code, _, complaints = typed("classify", trained / "run", trained / "valid0.wav", "--top", given)
        assert (code, "--top" in complaints) == (2, True)


def test_classify_with_what_is_no_run(typed: Typed, tmp_path: Path) -> None:
    code, told, complaints = typed("classify", tmp_path, tmp_path / "a.wav")
    assert (code, told) == (2, "")
    assert "expected the output folder of a training run" in complaints


# report


def test_report_writes_the_page_again(typed: Typed, trained: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(trained / "run", copied)
    before = json.loads((copied / "report.json").read_text())
    for name in ("report.json", "report.html"):
        (copied / name).unlink()
    code, told, _ = typed("report", copied)
    assert code == 0
    assert f"report: {copied / 'report.html'}" in told
    assert "accuracy" in told
    assert json.loads((copied / "report.json").read_text()) == before
    assert (copied / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    "missing",
    [
        ["predictions", "clips"],
        ["log.jsonl"],
        ["events.jsonl", "model.json", "hparams.yaml"],
        ["predictions", "clips", "log.jsonl", "events.jsonl", "model.json", "hparams.yaml", "checkpoints"],
    ],
)
def test_report_of_a_part_of_a_run(missing: list[str], typed: Typed, trained: Path, tmp_path: Path) -> None:
    copied = tmp_path / "part"
    shutil.copytree(trained / "run", copied)
    for name in missing:
        path = copied / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert typed("report", copied)[0] == 0
    assert (copied / "report.html").stat().st_size > 2000


def test_report_of_what_is_no_run(typed: Typed, tmp_path: Path) -> None:
    code, _, complaints = typed("report", tmp_path)
    assert (code, "holds no run.json" in complaints) == (2, True)
    (tmp_path / "run.json").write_text("{}")
    code, _, complaints = typed("report", tmp_path)
    assert (code, "run.json:1:1" in complaints) == (2, True)


def test_report_does_not_need_torch(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom speechkit.cli import main\ntry:\n"
        f"    main(['report', {str(tmp_path / 'run')!r}])\nexcept SystemExit as end:\n    print(end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0", done.stderr


# synth


def test_synth_makes_the_corpus_that_it_is_asked_for(typed: Typed, tmp_path: Path) -> None:
    arguments = ("synth", "speech-commands", tmp_path / "corpus", "--n_voices", 4, "--seed", 3)
    code, told, _ = typed(*arguments)
    assert (code, str(tmp_path / "corpus") in told) == (0, True)
    names = {path.name for path in (tmp_path / "corpus").iterdir()}
    assert {"yes", "stop", "_background_noise_", "testing_list.txt", "validation_list.txt"} <= names
    assert len(list((tmp_path / "corpus" / "yes").glob("*_nohash_*.wav"))) == 4
    before = (tmp_path / "corpus" / "synthesis.json").stat().st_mtime_ns
    assert typed(*arguments)[0] == 0
    assert (tmp_path / "corpus" / "synthesis.json").stat().st_mtime_ns == before, "made again"
    code, _, complaints = typed(*arguments[:-1], 4)
    assert (code, "another seed" in complaints) == (2, True)


def test_synth_refuses_a_folder_with_something_in_it(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    code, _, complaints = typed("synth", "speech-commands", tmp_path, "--n_voices", 4)
    assert code == 2
    assert "holds something else" in complaints
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "arguments", [["--n_voices", "0"], ["--n_voices", "-5"], ["--n_voices", "99999"], ["--n_voices", "many"]]
)
def test_synth_of_impossible_corpora(arguments: list[str], typed: Typed, tmp_path: Path) -> None:
    code, _, complaints = typed("synth", "speech-commands", tmp_path / "corpus", *arguments)
    assert (code, "n_voices" in complaints) == (2, True)
    assert not (tmp_path / "corpus").exists()


def test_synth_where_nothing_can_be_written(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        code, _, complaints = typed("synth", "speech-commands", folder, "--n_voices", 4)
        assert code == 2, complaints
        assert str(folder) in complaints
