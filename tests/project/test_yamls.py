"""Every YAML that is shipped is right: read and checked here, built and run on fake data in `make test`."""

from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def recipe_yamls() -> list[Path]:
    return sorted((PROJECT / "recipes").glob("*/*/hparams/**/*.yaml"))


def yaml_pieces() -> list[Path]:
    return sorted((PROJECT / "configs").glob("**/*.yaml"))


ENCODERS = sorted((PROJECT / "configs" / "encoders").glob("*.yaml"))
SEPARATORS = sorted((PROJECT / "configs" / "separators").glob("*.yaml"))
# With CTC's share of the search.
RECOGNIZERS = {"conformer": "0.4", "conformer_ctc": "1.0", "las": "0.0", "transformer": "0.4"}


def name_of(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def placeholders(path: Path) -> list[str]:
    """Command-line values for what the user of a recipe must give."""
    lines = path.read_text().splitlines()
    keys = [
        line.split(":")[0] for line in lines if "!PLACEHOLDER" in line.split("#")[0] and line[0] not in " #"
    ]
    return [word for key in keys for word in (f"--{key}", "given/by/the/user")]


def test_no_yaml_is_overlooked() -> None:
    """All YAMLs of the recipes and configs, wherever they lie, are among those that are checked."""
    names = {name_of(path) for path in recipe_yamls()}
    assert {"recipes/SpeechCommands/kws/hparams/quickstart.yaml"} <= names
    everywhere = {
        path
        for folder in ("recipes", "configs")
        for ending in ("*.yaml", "*.yml")
        for path in (PROJECT / folder).rglob(ending)
        if "runs" not in path.parts
    }
    assert everywhere == {*recipe_yamls(), *yaml_pieces()}
    for path in recipe_yamls():
        assert recipe_of(path).is_file(), f"{name_of(path)} has no train.py beside its folder"


def recipe_of(path: Path) -> Path:
    """The train.py that a YAML is for: beside the folder `hparams`."""
    hparams = next(folder for folder in path.parents if folder.name == "hparams")
    return hparams.parent / "train.py"


@pytest.mark.parametrize("path", recipe_yamls(), ids=name_of)
def test_a_recipe_has_no_mistake_and_no_warning(path: Path) -> None:
    from speechkit.config import brain_schema, check

    problems = check(path, placeholders(path), schema=brain_schema(recipe_of(path)))
    assert [str(problem) for problem in problems] == []


@pytest.mark.parametrize("path", recipe_yamls(), ids=name_of)
def test_a_recipe_is_of_readable_length(path: Path) -> None:
    """As a guide 100 lines; with what it includes it should still fit two screens."""
    assert len(path.read_text().splitlines()) <= 120
    assert len(recipe_of(path).read_text().splitlines()) <= 80


def test_every_piece_is_used_by_a_recipe() -> None:
    """A piece that nobody includes is checked by nobody, and dead."""
    included = {
        (path.parent / line.split("!include:")[1].split()[0]).resolve()
        for path in [*recipe_yamls(), *yaml_pieces()]
        for line in path.read_text().splitlines()
        if "!include:" in line.split("#")[0]
    }
    # Swapped for one another below; separators also in tests/models/test_separators.py.
    included |= {
        *ENCODERS,
        *SEPARATORS,
        *(PROJECT / f"configs/recognizers/{name}.yaml" for name in RECOGNIZERS),
    }
    assert [name_of(path) for path in yaml_pieces() if path.resolve() not in included] == []


@pytest.mark.parametrize("path", recipe_yamls(), ids=name_of)
def test_the_check_is_not_blind(path: Path, tmp_path: Path) -> None:
    """The same recipe with one key renamed is refused, at that line."""
    from speechkit.config import brain_schema, check

    text = path.read_text()
    assert "\nmodules:" in text
    broken = path.with_name(f".{path.stem}-broken.yaml") if "!include" in text else tmp_path / path.name
    try:
        broken.write_text(text.replace("\nmodules:", "\nmoduels:"))
        problems = check(broken, placeholders(path), schema=brain_schema(recipe_of(path)))
    finally:
        broken.unlink(missing_ok=True)
    line = text[: text.index("\nmodules:")].count("\n") + 2
    assert any("moduels" in str(problem) and problem.place.line == line for problem in problems)


@pytest.mark.integration
@pytest.mark.parametrize("path", recipe_yamls(), ids=name_of)
def test_a_recipe_builds_and_runs_on_fake_data(path: Path, run_cli, tmp_path: Path) -> None:
    done = run_cli("check", path, "--build", *placeholders(path), cwd=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == [], "a check writes nothing"


@pytest.mark.integration
@pytest.mark.parametrize("piece", ENCODERS, ids=name_of)
@pytest.mark.parametrize(
    "name", ["SpeechCommands/kws/hparams/encoders.yaml", "LibriSpeech/asr/hparams/ctc.yaml"]
)
def test_one_line_swaps_the_encoder(name: str, piece: Path, tmp_path: Path) -> None:
    """The recipe builds, and runs on fake data, with any encoder in the place of the real one."""
    from speechkit.tasks import check_build

    recipe = PROJECT / "recipes" / name
    text = recipe.read_text()
    assert text.count("../../../../configs/encoders/real.yaml") == 1
    swapped = tmp_path / "swapped.yaml"
    swapped.write_text(text.replace("../../../../configs/encoders/real.yaml", str(piece)))
    check_build(recipe_of(recipe), swapped, placeholders(recipe))


@pytest.mark.integration
@pytest.mark.parametrize("encoder", ENCODERS, ids=name_of)
@pytest.mark.parametrize("name", RECOGNIZERS)
def test_one_line_swaps_the_recognizer(name: str, encoder: Path, tmp_path: Path) -> None:
    """The small recipe builds, and runs on fake data, with any recogniser over any encoder."""
    from speechkit.tasks import check_build

    piece = PROJECT / "configs" / "recognizers" / f"{name}.yaml"
    text = piece.read_text()
    assert text.count("../encoders/real.yaml") == 1
    (tmp_path / "piece.yaml").write_text(text.replace("../encoders/real.yaml", str(encoder)))
    recipe = PROJECT / "recipes" / "LibriSpeech" / "asr" / "hparams" / "joint_small.yaml"
    swapped = tmp_path / "swapped.yaml"
    text = recipe.read_text()
    swapped.write_text(
        text.replace("../../../../configs/recognizers/conformer.yaml", "piece.yaml").replace(
            "../../../../configs", str(PROJECT / "configs")
        )
    )
    check_build(recipe_of(recipe), swapped, [*placeholders(recipe), "--search.ctc_weight", RECOGNIZERS[name]])


@pytest.mark.parametrize("piece", SEPARATORS, ids=name_of)
def test_a_separator_takes_sizes_where_it_is_included(piece: Path, tmp_path: Path) -> None:
    from speechkit import config

    parent = tmp_path / "parent.yaml"
    lines = [
        "n_sources: 3",
        f"part: !include:{piece}",
        "    n_sources: !ref <n_sources>",
        "    hidden_size: 8",
    ]
    parent.write_text("\n".join([*lines, "separator: !ref <part[separator]>", ""]))
    assert [str(problem) for problem in config.check(parent, [], schema=None)] == []
