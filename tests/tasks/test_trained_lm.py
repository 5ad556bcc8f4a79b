"""A trained language model beside a search: its scores, what it refuses, where it is looked for."""

import hashlib
import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from speechkit import config, load, report
from speechkit.data import CharacterTokenizer, SentencePieceTokenizer, WordTokenizer
from speechkit.decoding import AttentionBeam, Heard, JointSearch, Scorer, rescore, score_tokens
from speechkit.decoding.hypothesis import Hypothesis
from speechkit.errors import UserError
from speechkit.models import TransformerDecoder
from speechkit.ops.search_state import State, map_tree
from speechkit.tasks import LanguageModeling, TrainedLM, main
from speechkit.training.arguments import check_all_weights_in

pytestmark = pytest.mark.integration  # whole runs, small ones: several rooms together

LETTERS = CharacterTokenizer("abc")
WEIGHT, BONUS, LONGEST = 0.7, 0.4, 3
SIZES = {"width": 16, "num_layers": 1, "n_heads": 2, "hidden_size": 16}
HPARAMS = """seed: 1
output_folder: {folder}/run
device: cpu
n_epochs: 2
tokenizer: !new:speechkit.data.CharacterTokenizer
    symbols: abc
train_data: !new:speechkit.data.TextBatches
    files: [{folder}/texts.txt]
    batch_size: 4
    shuffle: True
valid_data: !ref <train_data>
test_data:
    test: !ref <train_data>
modules:
    lm: !new:speechkit.models.TransformerLM
        n_tokens: !ref <tokenizer.n_tokens>
        algebra: quaternion
        width: 16
        num_layers: 1
        n_heads: 2
        hidden_size: 16
optimizer: !name:torch.optim.Adam
    lr: 0.03
"""


SEARCH = """tokenizer: !new:speechkit.data.CharacterTokenizer
    symbols: abc
search: !new:speechkit.decoding.JointSearch
    beam: !new:speechkit.decoding.AttentionBeam
    lm: !new:speechkit.tasks.TrainedLM
        run: runs/lm
        tokenizer: !ref <tokenizer>
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that has seen "abc" often, "ca" sometimes, and one text with another letter."""
    folder = tmp_path_factory.mktemp("lm")
    (folder / "texts.txt").write_text("abc\nabc\nab\nca\nabX\n\nabcabc\n" * 4)
    (folder / "hparams.yaml").write_text(HPARAMS.format(folder=folder))
    (folder / "train.py").write_text(
        '"""Letters."""\n\nfrom speechkit.tasks import LanguageModeling, main\n\n'
        "main(LanguageModeling, __file__)\n"
    )
    main(LanguageModeling, str(folder / "train.py"), [str(folder / "hparams.yaml")])
    return folder / "run"


class Bigrams(nn.Module):
    """The simplest language model; it works on the meta device too."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 4)

    def start(self, n_rows: int) -> State:
        return State(None, {"last": torch.zeros(n_rows, 4)})

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return (self.table(tokens) + state.moving["last"]).log_softmax(-1), state


def exhaust(step: object, state: object, device: str = "cpu") -> dict[tuple[int, ...], float]:
    """The scores of all texts of at most LONGEST letters, each by itself."""
    texts = [text for n in range(LONGEST + 1) for text in itertools.product((1, 2, 3), repeat=n)]
    return {text: score_tokens(step, state, [text])[0] for text in texts}


def test_what_could_not_be_learned_is_counted(run: Path) -> None:
    told = report.read_json(run / "report.json", "report")
    assert told["skipped_in_training"]["utterances"] == {"unknown symbol": 8}
    assert told["skipped"] == {"unknown symbol": 4}
    assert told["metrics"]["perplexity"]["n"] == 20


@torch.no_grad()
def test_a_search_with_it_finds_what_all_texts_rescored_have_best(run: Path) -> None:
    """Beams for all prefixes: the n-best list is that of all texts, each scored by its parts, by hand."""
    torch.manual_seed(4)
    decoder = TransformerDecoder(4, input_size=8, **SIZES).double().eval()
    encoded, lengths = torch.randn(1, LONGEST, 8, dtype=torch.float64), torch.tensor([LONGEST])
    lm = TrainedLM(str(run), LETTERS)
    attention = Scorer(decoder.step, decoder.start(encoded, lengths))
    search = JointSearch(AttentionBeam(120, n_best=40, length_bonus=BONUS), 0.0, lm, WEIGHT)
    [found] = search(Heard(None, lengths, attention))
    heard = exhaust(decoder.step, decoder.start(encoded, lengths))
    spoken = load(run).score(["".join("abc"[token - 1] for token in text) for text in heard])
    listed = [Hypothesis(list(text), None, score) for text, score in heard.items()]
    expected = rescore(listed, spoken, gamma=WEIGHT, length_bonus=BONUS)
    assert [each.tokens for each in found] == [each.tokens for each in expected]
    assert [each.score for each in found] == pytest.approx([each.score for each in expected], rel=1e-5)
    best = report.read_json(run / "report.json", "report")["best_epoch"]
    weights = run / "checkpoints" / f"epoch-{best:04d}" / "modules.safetensors"
    total = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert f"TrainedLM of {run.parent.name}/run, weights {total[:12]} {WEIGHT}" in search.describe()
    without = rescore(listed, spoken, gamma=0.0, length_bonus=BONUS)
    assert [each.tokens for each in without] != [each.tokens for each in expected], "it has a say"


def test_nothing_is_read_before_it_is_used_and_it_is_never_trained(run: Path) -> None:
    lm = TrainedLM("nowhere/at/all", LETTERS)
    with pytest.raises(
        UserError, match=r"nowhere/at/all holds no hparams.yaml.*--search.lm.run PATH"
    ) as told:
        lm.start(2)
    assert told.value.key == "search.lm.run"
    lm.run = str(run)
    before = torch.random.get_rng_state()
    log_probs, _ = lm.step(torch.tensor([0, 0]), lm.start(2))
    assert torch.equal(torch.random.get_rng_state(), before), "another random state"
    assert not log_probs.requires_grad
    assert log_probs.exp().sum(-1).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert not any(weight.requires_grad for weight in lm.model.modules.parameters())
    assert not any(module.training for module in lm.model.modules.modules())
    check_all_weights_in(nn.ModuleDict(), {"search": JointSearch(AttentionBeam(), 0.3, lm), "lm": lm})


@pytest.mark.parametrize(
    ("tokenizer", "told"),
    [
        (CharacterTokenizer("abcd"), "4, where the recogniser has 5"),
        (CharacterTokenizer("acb"), "token 2 is 'b' there and 'c' here"),
        (WordTokenizer("a b c"), "CharacterTokenizer there, WordTokenizer here"),
    ],
)
def test_other_tokens_are_refused(tokenizer: object, told: str, run: Path) -> None:
    with pytest.raises(UserError, match=f"has other tokens: {told}.*recogniser's tokenizer"):
        TrainedLM(str(run), tokenizer).start(1)


def test_a_tokenizer_that_is_not_there_yet_is_compared_when_it_is(run: Path, tmp_path: Path) -> None:
    """As in a dry run: only the number of tokens is known then."""
    with pytest.raises(UserError, match="4, where the recogniser has 300"):
        TrainedLM(str(run), SentencePieceTokenizer(300)).start(1)
    tokenizer = SentencePieceTokenizer(4, byte_fallback=False)
    lm = TrainedLM(str(run), tokenizer)
    lm.start(1)
    tokenizer.prepare(["a b", "b a"], tmp_path)
    with pytest.raises(UserError, match="token 1 is 'a' there"):
        lm.start(1)


def test_a_yaml_names_it_and_an_override_says_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text(SEARCH)
    assert config.check(path) == []
    values = config.build(config.read(path)).values
    assert (values["search"].lm.run, values["search"].lm.tokenizer) == ("runs/lm", values["tokenizer"])
    moved = config.build(config.read(path, ["--search.lm.run", "elsewhere"])).values
    assert moved["search"].lm.run == "elsewhere"


@pytest.mark.parametrize(
    "name", ["main", "load", "LanguageModel", "ASR", "evaluate_run", "trained_lm.TrainedLM"]
)
def test_a_yaml_names_nothing_else_of_tasks(name: str, tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text(SEARCH.replace("tasks.TrainedLM", f"tasks.{name}"))
    refused = ("not on the list", "use the public name", "is a module")
    assert any(words in str(problem) for problem in config.check(path) for words in refused)
    with pytest.raises(UserError):
        config.build(config.read(path))


def test_a_run_of_another_task_is_refused(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    path = other / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"task": "none"}))
    with pytest.raises(UserError, match="of the task 'none'"):
        TrainedLM(str(other), LETTERS).start(1)


def test_a_run_that_names_what_is_not_allowed_builds_nothing(run: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    shutil.copytree(run, evil)
    path = evil / "hparams.yaml"
    path.write_text(path.read_text().replace("speechkit.models.TransformerLM", "os.system"))
    with pytest.raises(UserError, match="not on the list"):
        TrainedLM(str(evil), LETTERS).start(1)


def test_it_follows_the_tokens_to_their_device(run: Path) -> None:
    """The meta device stands for another one: state and weights go there."""
    lm = TrainedLM(str(run), LETTERS)
    lm.model.modules["lm"] = Bigrams()
    log_probs, after = lm.step(torch.zeros(2, dtype=torch.long, device="meta"), lm.start(2))
    found = [log_probs.device.type]
    map_tree(lambda x: found.append(x.device.type), after)
    assert set(found) == {"meta"}
