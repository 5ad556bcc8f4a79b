"""Layers one after another, each told the shape of what it will get."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.ops.evaluating import evaluating

# B batch, T frames
Shape = tuple[int | None, ...]
OPEN_SIZES = (1, 100)  # batch and frames to try a layer with, where the input's shape leaves them open


class Sequential(nn.Module):
    """Layers in a row. Factories are built with the `input_shape` that the layers before them give.

    `input_shape` is (B, T, ...), with None for the batch and for frames that vary. A layer is a ready module
    or a factory: anything callable that returns a module (a class, `functools.partial`, a YAML's
    `!name:`). A factory with an argument `input_shape` that is not set yet is given the inferred shape.
    Lengths (B,) go to the layers whose `forward` takes them and follow `output_lengths` where a layer has it.

    >>> from speechkit.nnet import Linear
    >>> hidden = functools.partial(Linear, 16)
    >>> net = Sequential((None, None, 40), hidden=hidden, activation=nn.ReLU, output=nn.Linear(16, 3))
    >>> net(torch.zeros(2, 7, 40)).shape
    torch.Size([2, 7, 3])

    Raises `UserError`, with the layer's name as its key, where a width does not fit.
    """

    def __init__(self, input_shape: Shape, **layers: nn.Module | Callable[..., nn.Module]) -> None:
        super().__init__()
        self.input_shape = _checked_shape(input_shape)
        self._takes_lengths: dict[str, bool] = {}
        self._widths: dict[str, int | None] = {}
        shape = self.input_shape
        for name, layer in layers.items():
            shape = self._append(name, layer, shape)
        self.output_shape = shape

    def _append(self, name: str, layer: nn.Module | Callable[..., nn.Module], shape: Shape) -> Shape:
        with _named(name):
            module = layer if isinstance(layer, nn.Module) else _build(layer, shape)
            output_shape = infer_output_shape(module, shape)
        self.add_module(name, module)
        self._takes_lengths[name] = _takes(module.forward, "lengths")
        self._widths[name] = shape[-1]
        return output_shape

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, ...) to the last layer's output."""
        for name, layer in self.named_children():
            try:
                x = layer(x, lengths) if self._takes_lengths[name] else layer(x)
            except UserError as error:
                error.key = f"{name}.{error.key}" if error.key else name
                raise
            except RuntimeError as error:
                # Only a wrong width is the user's mistake; anything else is told as torch tells it.
                if self._widths[name] in (None, x.shape[-1]):
                    raise
                raise _misfit(layer, tuple(x.shape), error, name) from error
            if lengths is not None:
                lengths = _lengths_after(layer, lengths)
        return x

    def output_lengths(self, lengths: Tensor) -> Tensor | None:
        """True lengths of the output; None where a layer leaves no frames (pooling over time)."""
        current: Tensor | None = lengths
        for layer in self.children():
            current = None if current is None else _lengths_after(layer, current)
        return current


def infer_output_shape(module: nn.Module, input_shape: Shape) -> Shape:
    """The shape of what `module` makes of `input_shape`, by a trial on zeros.

    Nothing is left behind: the trial is in eval mode, without gradients, and the random state is put back.
    An open size (None) stays open.

    >>> infer_output_shape(nn.Linear(4, 3), (None, 9, 4))
    (None, 9, 3)
    """
    sizes = [OPEN_SIZES[axis] if size is None else size for axis, size in enumerate(input_shape)]
    parameter = next(module.parameters(), None)
    x = torch.zeros(sizes, device=None if parameter is None else parameter.device)
    if parameter is not None and parameter.is_floating_point():
        x = x.to(parameter.dtype)
    with evaluating(module), torch.no_grad():
        y = _try(module, x, input_shape)
    if not isinstance(y, Tensor):
        raise UserError(f"{type(module).__name__} returns a {type(y).__name__}", expected="a tensor")
    keeps_frames = _lengths_after(module, torch.tensor([sizes[1]])) is not None
    is_open = [input_shape[0] is None, keeps_frames and input_shape[1] is None]
    return tuple(None if axis < 2 and is_open[axis] else size for axis, size in enumerate(y.shape))


def _try(module: nn.Module, x: Tensor, shape: Shape) -> Tensor:
    """The module's output; of torch's Sequential the very layer that fails is named."""
    if type(module) is nn.Sequential:
        for name, layer in module.named_children():
            with _named(name):
                x = _try(layer, x, tuple(x.shape))
        return x
    try:
        return module(x)
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError) as error:
        raise _misfit(module, shape, error) from error


def _build(factory: Callable[..., nn.Module], input_shape: Shape) -> nn.Module:
    if not callable(factory):
        raise UserError(f"{factory!r}", expected="a module, or a factory of one (!name:...)")
    given = factory.keywords if isinstance(factory, functools.partial) else {}
    needs_shape = _takes(factory, "input_shape") and not {"input_shape", "input_size"} & given.keys()
    try:
        module = factory(input_shape=input_shape) if needs_shape else factory()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{_factory_name(factory)} cannot be built: {error}") from error
    if not isinstance(module, nn.Module):
        raise UserError(f"{_factory_name(factory)} made a {type(module).__name__}", expected="a torch module")
    return module


def _takes(function: Callable, argument: str) -> bool:
    try:
        return argument in inspect.signature(function).parameters
    except (TypeError, ValueError):  # built-ins without a signature
        return False


def _factory_name(factory: Callable) -> str:
    inner = factory.func if isinstance(factory, functools.partial) else factory
    return getattr(inner, "__name__", type(inner).__name__)


def _lengths_after(layer: nn.Module, lengths: Tensor) -> Tensor | None:
    output_lengths = getattr(layer, "output_lengths", None)
    return output_lengths(lengths) if output_lengths else lengths


def _misfit(layer: nn.Module, shape: Shape, error: Exception, key: str = "") -> UserError:
    described = ", ".join("any" if size is None else str(size) for size in shape)
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UserError(
        f"{type(layer).__name__} cannot take an input of shape ({described}): {reason}",
        expected="a layer that fits the one before it",
        key=key,
    )


def _checked_shape(shape: Shape) -> Shape:
    sizes = tuple(shape) if isinstance(shape, (tuple, list, torch.Size)) else ()
    are_counts = all(size is None or (isinstance(size, int) and size > 0) for size in sizes)
    if len(sizes) < 2 or not are_counts or None in sizes[2:]:
        expected = "(batch, frames, features...), where batch and frames may be null"
        raise UserError(f"input_shape {shape!r}", expected=expected)
    return sizes


@contextmanager
def _named(name: str) -> Iterator[None]:
    """What goes wrong inside carries the layer's name."""
    try:
        yield
    except UserError as error:
        error.key = f"{name}.{error.key}" if error.key else name
        raise
