# ruff: noqa: E501  (tables of texts and messages)
"""Names and arguments of !new, !name and !apply: what does not exist, and what does not fit, with its line."""

import subprocess
import sys
import textwrap

import pytest

from speechkit import config

LAYERS = '''
import dataclasses
import os
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import nn

from others import Base as Imported

open({marker!r}, "a").write("ran")


class Layer(nn.Module):
    """A layer with an attribute, a method, and a class inside."""

    scale = 2.0

    def __init__(self, width: int, *, bias: bool = True, mode: Literal["same", "valid"] = "same"):
        super().__init__()
        self.n_outputs = width

    @property
    def area(self): return self.n_outputs


class Inherits(Layer): pass
class Plain(nn.Module): pass
class PassesOn(Layer):
    def __init__(self, depth: int, **kwargs):
        super().__init__(**kwargs)
class TakesAny(nn.Module):
    def __init__(self, shape, **layers): super().__init__()
class FromOther(Imported): pass
class FromLibrary(nn.Linear): pass
class Dynamic(Layer):
    def __getattr__(self, name): return 1


@dataclass
class Options:
    size: int
    names: list[str] = field(default_factory=list)
    cache: dict = field(init=False, default=None)
    version: ClassVar[int] = 3
    ratio: float = field(kw_only=True, default=0.5)


@dataclasses.dataclass
class More(Options):
    extra: str = ""


def function(a, b=1): return a
system = os.system
'''
OTHERS = "class Base:\n    def __init__(self, left, right=2): ...\n"


@pytest.fixture
def recipe(tmp_path, write):
    """A recipe with files of its own, which leave a mark when they run; gives the folder of its YAMLs."""
    write(LAYERS.replace("{marker!r}", repr(str(tmp_path / "marker"))), "layers.py")
    write(OTHERS, "others.py")
    write("class B:\n    def __init__(self, **any): ...\nmain(B, __file__)\n", "train.py")
    return tmp_path


@pytest.mark.parametrize(
    ("call", "message"),
    [
        # modules, classes and functions, and attributes, told apart
        ("@!new:torhc.nn.ReLU", "a: there is no module 'torhc' (did you mean 'torch'?)"),
        ("@!new:speechkit.nnnet.Linear", "a: there is no module speechkit.nnnet (did you mean 'nnet'?)"),
        ("@!new:torch.nnn.ReLU", "a: torch.nnn.ReLU is not on the list of what a YAML may build (did you mean 'torch.nn'?)"),
        ("@!new:torch.nn.moduls.ReLU", "a: there is no module torch.nn.moduls (did you mean 'modules'?)"),
        ("@!new:torch.nn.ReLuu", "a: torch.nn has no class or function 'ReLuu' (did you mean 'ReLU'?)"),
        ("@!new:speechkit.nnet.Linaer", "a: speechkit.nnet has no class or function 'Linaer' (did you mean 'Linear'?)"),
        ("@!new:speechkit.models.Resnet", "a: speechkit.models has no class or function 'Resnet' (did you mean 'ResNet'?)"),
        ("@!new:layers.Laier", "a: layers has no class or function 'Laier' (did you mean 'Layer'?)"),
        ("@!new:torch.nn.ReLU.forwrad", "a: torch.nn.ReLU has no attribute 'forwrad' (did you mean 'forward'?)"),
        ("@!new:speechkit.nnet", "a: speechkit.nnet is a module; a class or function in it is expected"),
        ("@!name:lhotse.dataset.SimpleCutSamplr", "a: lhotse.dataset.SimpleCutSamplr is not on the list of what a "
         "YAML may build (did you mean 'lhotse.dataset.SimpleCutSampler'?)"),
        # arguments
        ("!new:layers.Layer {width: 3, @bais: true}", "a.bais: Layer has no argument 'bais' (did you mean 'bias'?)"),
        ("@!new:layers.Layer", "a: Layer needs the argument 'width'"),
        ("@!new:layers.Layer [1, 2]", "a: Layer takes 1 argument by position, 2 are given"),
        ("!new:layers.Layer {width: @x}", "a.width: 'width' of Layer is a whole number, found 'x'"),
        ("!new:layers.Layer {width: @2.5}", "a.width: 'width' of Layer is a whole number, found 2.5"),
        ("!new:layers.Layer {@width: }", "a.width: 'width' of Layer has no value"),
        ("!new:layers.Layer {width: 3, bias: @1}", "a.bias: 'bias' of Layer is true or false, found 1"),
        ("!new:layers.Layer {width: 3, mode: @sam}", "a.mode: 'mode' of Layer is one of 'same', 'valid' "
         "(did you mean 'same'?), found 'sam'"),
        ("!new:layers.Inherits {@widht: 3}", "a.widht: Inherits has no argument 'widht' (did you mean 'width'?)"),
        ("!new:layers.Plain {@x: 3}", "a.x: Plain has no argument 'x'"),
        ("!new:layers.PassesOn {depth: 3, width: 4, @widht: 3}", "a.widht: PassesOn has no argument 'widht'"),
        ("@!new:layers.PassesOn {depth: 3}", "a: PassesOn needs the argument 'width'"),
        ("!new:layers.TakesAny {shape: 1, whatever: 3, shap: 2}", None),
        ("!new:layers.FromOther {@lfet: 3, left: 1}", "a.lfet: FromOther has no argument 'lfet'"),
        ("!new:layers.FromLibrary {in_features: 3, out_features: 4, @bais: true}",
         "a.bais: FromLibrary has no argument 'bais' (did you mean 'bias'?)"),
        ("!new:layers.Options {size: 3, ratio: 1, @nmaes: []}", "a.nmaes: Options has no argument 'nmaes' "
         "(did you mean 'names'?)"),
        ("!new:layers.Options {size: 3, @cache: 1}", "a.cache: Options has no argument 'cache'"),
        ("!new:layers.Options {size: 3, @version: 1}", "a.version: Options has no argument 'version'"),
        ("@!new:layers.Options {names: [a]}", "a: Options needs the argument 'size'"),
        ("!new:layers.Options {size: 3, names: @[a, 2]}", "a.names: 'names' of Options is a list in which item 2 is "
         "text, found a list"),
        ("!new:layers.More {size: 3, extra: @1}", "a.extra: 'extra' of More is text, found 1"),
        ("@!new:torch.nn.Linear {in_features: 3}", "a: Linear needs the argument 'out_features'"),
        ("!new:torch.nn.Linear {in_features: 3, out_features: 4, @bia: true}", "a.bia: Linear has no argument 'bia'"),
        ("!name:torch.nn.Linear {@in_featurs: 3}", "a.in_featurs: Linear has no argument 'in_featurs'"),
        ("!name:torch.nn.Linear {in_features: 3}", None),
        ("!name:torch.optim.AdamW {lr: @1e-3x}", "a.lr: 'lr' of AdamW is a number, found '1e-3x'"),
        # what kind of thing
        ("@!new:speechkit.losses.cross_entropy", "a: !new: makes an object of a class, and "
         "speechkit.losses.cross_entropy is a function"),
        ("@!apply:torch.nn.ReLU", "a: !apply: calls a function, and torch.nn.ReLU is a class; use !new:"),
        ("!apply:speechkit.losses.cross_entropy {@logit: 3, targets: 3}", "a.logit: cross_entropy has no argument"),
        ("@!apply:speechkit.losses.cross_entropy", "a: cross_entropy needs arguments 'logits', 'targets'"),
        ("!name:speechkit.losses.cross_entropy", None),
    ],
)  # fmt: skip
def test_a_call_is_held_against_its_signature(recipe, write, told, call, message):
    """The '@' stands where the mistake is told."""
    text = f"a: {call}\n"
    column = text.find("@") + 1
    messages = told(write(text.replace("@", ""), "hparams/h.yaml"), trust=False)
    if message is None:
        assert messages == []
    else:
        assert messages[0].startswith(f"hparams/h.yaml:1:{column} {message}"), messages
        assert len(messages) == 1
    assert not (recipe / "marker").exists(), "a recipe's file was run"


def test_the_same_mistakes_are_told_of_other_libraries_when_trusted(write, told):
    path = write(
        "a: !apply:math.gdc [1]\nb: !apply:nowhere.f\nc: !new:os.pth.X\nd: !new:json.JSONEncoder {intent: 3}\n"
    )
    assert told(path, trust=True) == [
        "h.yaml:1:4 a: math has no class or function 'gdc' (did you mean 'gcd'?)",
        "h.yaml:2:4 b: there is no module 'nowhere'",
        "h.yaml:3:4 c: there is no module os.pth (did you mean 'path'?)",
        "h.yaml:4:27 d.intent: JSONEncoder has no argument 'intent' (did you mean 'indent'?)",
    ]


@pytest.mark.parametrize(
    ("attribute", "hint"),
    [("n_outputs", None), ("scale", None), ("area", None), ("forward", None), ("n_output", " (did you mean 'n_outputs'?)"),
     ("whatever", "")],
)  # fmt: skip
def test_attributes_of_our_classes_are_known(recipe, write, told, attribute, hint):
    path = write(f"a: !new:layers.Inherits {{width: 3}}\nb: !ref <a.{attribute}>\n", "hparams/h.yaml")
    expected = [f"hparams/h.yaml:2:4 b: <a.{attribute}>: Inherits has no attribute {attribute!r}{hint}"]
    assert told(path) == ([] if hint is None else expected)


def test_attributes_that_may_exist_are_not_complained_about(recipe, write, told):
    calls = {"Dynamic": "{width: 3}", "FromLibrary": "{in_features: 3, out_features: 4}"}
    for name, arguments in calls.items():
        assert (
            told(write(f"a: !new:layers.{name} {arguments}\nb: !ref <a.anything>\n", "hparams/h.yaml")) == []
        )


def test_a_wrong_value_is_told_where_it_is_written_not_where_it_is_used(write, told):
    path = write("n: 4o\na: !new:torch.nn.Linear [!ref <n>, 2]\nb: !new:torch.nn.Linear [!ref <n>, 2]\n")
    assert told(path) == ["h.yaml:1:4 n: 'in_features' of Linear is a whole number, found '4o'"]


def test_the_mistake_of_an_override_is_told_at_the_command_line(write, told):
    path = write("a: !new:torch.nn.Linear {in_features: 1, out_features: 2}\n")
    assert told(path, ["--a.out_feature", "3"]) == [
        "command line:1:1 a.out_feature: Linear has no argument 'out_feature'; it takes bias, device, dtype"
    ]


def test_a_recipe_file_that_is_not_python(recipe, write, told):
    write("def broken(:\n", "layers.py")
    (message,) = told(write("a: !new:layers.Layer\n", "hparams/h.yaml"))
    assert message.startswith("hparams/h.yaml:1:4 a: layers.py:1 is not valid Python")


def test_a_library_that_fails_to_import(monkeypatch, tmp_path, write, told):
    write("raise RuntimeError('no such device')\n", "broken_library_of_a_test.py")
    monkeypatch.syspath_prepend(tmp_path)
    (message,) = told(write("a: !new:broken_library_of_a_test.X\n", "deep/h.yaml"), trust=True)
    assert (
        message
        == "deep/h.yaml:1:4 a: importing broken_library_of_a_test failed: RuntimeError: no such device"
    )


def in_a_process(code: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_reading_and_checking_without_names_of_torch_does_not_import_it(write, tmp_path):
    write("from torch import nn\nclass Layer(nn.Module):\n    pass\n", "layers.py")
    write("from speechkit.tasks import Classification, main\nmain(Classification, __file__)\n", "train.py")
    path = write(
        "a: !new:layers.Layer\nb: !name:speechkit.losses.cross_entropy\n"
        "c: !new:speechkit.features.LogMel {n_mles: 3}\n",
        "hparams/h.yaml",
    )
    out = in_a_process(f"""
        import sys
        from speechkit import config
        print(len(config.check({str(path)!r}, schema=config.brain_schema({str(tmp_path / "train.py")!r}))) > 1)
        heavy = ("torch", "torchaudio", "lhotse", "numpy", "hyperpyyaml", "speechkit.nnet", "speechkit.tasks")
        print([name for name in heavy if name in sys.modules])
    """)  # fmt: skip
    assert out.split("\n") == ["True", "[]"]


def test_no_global_state_of_yaml_libraries_changes(write):
    import ruamel.yaml
    import yaml

    def state() -> list:
        found = [repr(ruamel.yaml.resolver.implicit_resolvers)]
        for library, classes in ((yaml, [yaml.Loader, yaml.SafeLoader, yaml.FullLoader]),
                                 (ruamel.yaml, [ruamel.yaml.Loader, ruamel.yaml.constructor.SafeConstructor])):  # fmt: skip
            found.append(repr(library.constructor.BaseConstructor.construct_object.__defaults__))
            for one in classes:
                found.append(repr(sorted(one.yaml_constructors, key=str)))
                found.append(repr(sorted(one.yaml_multi_constructors, key=str)))
                found.append(repr(getattr(one, "yaml_implicit_resolvers", None)))
        return found

    before = state()
    good = write("a: (1, 2)\nb: !new:torch.nn.ReLU\nc: !ref <b>\nd: !name:torch.nn.ReLU {inplace: true}\n")
    config.build(config.read(good))
    config.read(good).dump()
    for text in ("a: (1, [", "a: !ref <b>", "a: [", "a: !new:torch.nn.Linear"):
        config.check(write(text, "bad.yaml"))
    assert state() == before
