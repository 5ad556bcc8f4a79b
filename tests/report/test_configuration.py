"""Resolved YAMLs side by side."""

import pytest

from speechkit.errors import UserError
from speechkit.report.configuration import list_differences, read_settings

TEXT = """seed: 3
output_folder: runs/one
manifests: /data/cuts.jsonl
sizes: [3, 5]
nothing:
model: !new:speechkit.models.BCResNet
  bands: 40
  blocks:
    - !new:speechkit.nnet.Linear
      width: 8
    - 5
optimizer: !name:torch.optim.AdamW
  lr: 0.003
front: !ref <model[bands]>
labels: !apply:speechkit.data.speech_commands_labels
  task: 10
"""


DOUBLED = "x{0}: &x{0} {{a: *x{1}, b: *x{1}}}\n"  # 2 ** 40 keys


def test_values_stand_under_their_dotted_keys_and_objects_under_their_class() -> None:
    assert read_settings(TEXT, "a.yaml") == {
        "seed": "3",
        "sizes": "[3, 5]",
        "nothing": "",
        "model": "BCResNet",
        "model.bands": "40",
        "model.blocks[0]": "Linear",
        "model.blocks[0].width": "8",
        "model.blocks[1]": "5",
        "optimizer": "AdamW",
        "optimizer.lr": "0.003",
        "front": "<model[bands]>",
        "labels": "speech_commands_labels",
        "labels.task": "10",
    }


def test_an_empty_yaml_has_no_value() -> None:
    assert read_settings("", "a.yaml") == {}


def test_reading_builds_and_executes_nothing(tmp_path) -> None:
    text = f"a: !!python/object/apply:os.mkdir [{tmp_path}/made]\nb: !new:os.mkdir\n  path: {tmp_path}/made\n"
    read_settings(text, "a.yaml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "is not YAML"),
        ("a: *b", "is not YAML"),
        ("a: &x [*x]", "nested more than 100 deep|is not YAML"),
        ("x0: &x0 {a: 1, b: 1}\n" + "".join(map(DOUBLED.format, range(1, 41), range(40))), "20,000 keys"),
    ],
)
def test_what_a_stranger_may_write_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_settings(text, "a.yaml")


def test_seeds_and_what_only_some_have_come_last() -> None:
    one = {"seed": "1", "front": "STRF", "front.width": "3", "lr": "0.1", "n_workers": "4", "same": "x"}
    two = {"seed": "2", "front": "Conv", "lr": "0.2", "n_workers": "0", "same": "x"}
    assert list_differences([one, two]) == ["front", "lr", "front.width", "seed"]
    assert list_differences([one]) == []
