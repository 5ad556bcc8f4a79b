"""One forward pass over fake data: do the parts fit, and what is the model made of?"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from speechkit.errors import Place, UserError
from speechkit.ops.evaluating import evaluating
from speechkit.training import Brain, Loss, Stage
from speechkit.training.arguments import check_metric
from speechkit.training.evaluation import Evaluation
from speechkit.training.parallel import without_gradients

WhereIs = Callable[..., tuple[Place, str] | None]


def dry_run(brain: Brain, where_is: WhereIs) -> dict[str, Any]:
    """Run one eval batch through the Brain and describe its modules, as `model.json` holds them.

    where_is: `(name of a module, names of its children...)` -> its place and key in the YAML.
    Raises a UserError at the place of the layer that failed. Random state, modes and weights are left alone.
    """
    names = {module: name for name, module in brain.modules.named_modules() if name}
    with evaluating(brain.modules), without_gradients(brain.modules):
        batch = brain.fake_batch().to(brain.device)
        with _failing_layer_named(names, where_is):
            brain.compute_forward(batch, Stage.TRAIN)  # with augmentation; layers as in validation
            predictions = brain.compute_forward(batch, Stage.VALID)
        losses = _try_loss(brain, predictions, batch)
        measured = Evaluation()
        measured.add(losses, brain.compute_records(predictions, batch, Stage.VALID))
        check_metric(brain.criterion[0], measured.averages() | brain.summarize(measured.records))
        return _describe(brain, names)


def _try_loss(brain: Brain, predictions: Any, batch: Any) -> Loss | dict[str, Loss]:
    try:
        losses = brain.compute_objectives(predictions, batch, Stage.VALID)
    except UserError:
        raise
    except Exception as error:
        found = f"the loss fails on a batch of two: {type(error).__name__}: {error}"
        raise UserError(found, key="loss") from error
    for loss in losses.values() if isinstance(losses, Mapping) else [losses]:
        total = getattr(loss, "total", loss)
        if not isinstance(loss, Loss) or not isinstance(total, torch.Tensor) or total.ndim:
            shape = f" of shape {tuple(total.shape)}" if isinstance(total, torch.Tensor) else ""
            found = f"the loss of a batch of two is a {type(total).__name__}{shape}"
            raise UserError(found, expected="the sum over the batch, one number", key="loss")
    return losses


def _describe(brain: Brain, names: dict[nn.Module, str]) -> dict[str, Any]:
    batch = brain.fake_batch(n_utterances=1).to(brain.device)
    shapes: dict[str, list[int]] = {}

    inputs_of: dict[str, list[int]] = {}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if inputs and isinstance(inputs[0], torch.Tensor):
            inputs_of[names[module]] = list(inputs[0].shape)
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, torch.Tensor):
            shapes[names[module]] = list(first.shape)

    hooks = [module.register_forward_hook(note) for module in names]
    counter = FlopCounterMode(display=False)
    try:
        with counter, _frozen(brain.modules):
            brain.compute_forward(batch, Stage.VALID)
    finally:
        for hook in hooks:
            hook.remove()
    flops = _flops_by_module(counter, brain.modules)
    rows = [
        {
            "name": name,
            "class": type(module).__name__,
            "parameters": sum(weight.numel() for weight in module.parameters()),
            "trainable": sum(weight.numel() for weight in module.parameters() if weight.requires_grad),
            "output_shape": shapes.get(name),
            "multiply_adds": flops.get(name),
            "input_shape": inputs_of.get(name),
            **({"hop_seconds": module.hop_seconds} if hasattr(module, "hop_seconds") else {}),
        }
        for module, name in names.items()
    ]
    weights = list(brain.modules.parameters())
    return {
        "schema": 1,
        "modules": rows,
        "parameters": sum(weight.numel() for weight in weights),
        "trainable": sum(weight.numel() for weight in weights if weight.requires_grad),
        "multiply_adds": counter.get_total_flops() // 2,
        "input": _measure(batch),
    }


@contextmanager
def _frozen(modules: nn.Module) -> Iterator[None]:
    """Within it no weight asks for gradients: the counter looks for their graph also where none is made."""
    trained = [weight for weight in modules.parameters() if weight.requires_grad]
    for weight in trained:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)


def _measure(batch: Any) -> dict[str, float]:
    """How much a batch of one is."""
    return {"seconds": batch.seconds[0]} if hasattr(batch, "seconds") else {"tokens": len(batch.tokens[0])}


def _flops_by_module(counter: FlopCounterMode, modules: nn.ModuleDict) -> dict[str, int]:
    # The counter names a module by its class and its attributes below the one that was called first.
    known = {}
    for name, counts in counter.get_flop_counts().items():
        known[name] = sum(counts.values()) // 2
    result = {}
    for top, module in modules.items():
        for name, _ in module.named_modules():
            called = ".".join(filter(None, [type(module).__name__, name]))
            if called in known:
                result[".".join(filter(None, [top, name]))] = known[called]
    return result


@contextmanager
def _failing_layer_named(names: dict[nn.Module, str], where_is: WhereIs) -> Iterator[None]:
    """Turn any exception of a layer into a UserError at the line of the YAML where that layer stands."""
    running: list[str] = []
    hooks = [
        hook
        for module, name in names.items()
        for hook in (
            module.register_forward_pre_hook(lambda *_, name=name: running.append(name)),
            module.register_forward_hook(lambda *_: running.pop() and None),
        )
    ]
    try:
        yield
    except UserError as error:
        if error.place is None and running:
            raise _at_layer(error, running[-1], where_is) from error
        if error.place is None and error.key.startswith("modules."):
            error.place, error.key = where_is(*error.key.split(".")[1:]) or (None, error.key)
        raise
    except Exception as error:
        if not running:
            raise
        raise _at_layer(error, running[-1], where_is) from error
    finally:
        for hook in hooks:
            hook.remove()


def _at_layer(error: Exception, name: str, where_is: WhereIs) -> UserError:
    place, key = where_is(*name.split(".")) or (None, f"modules.{name}")
    text = error.found if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    expected = error.expected if isinstance(error, UserError) else ""
    do = ""
    if isinstance(error, TypeError) and "positional argument" in str(error):
        do = "modules are called with (batch, lengths): put torch's layers into a speechkit.nnet.Sequential"
    found = f"layer {name} fails on a batch of two: {text}"
    return UserError(found, expected=expected, do=do, place=place, key=key)
