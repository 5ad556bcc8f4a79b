"""What layers ask of their arguments and inputs, told in one way."""

from collections.abc import Sequence

from torch import Tensor

from speechkit.errors import UserError


def input_size_of(
    input_shape: Sequence[int | None] | None, input_size: int | None, axis: int = -1, *, layer: str
) -> int:
    """The width of the input along `axis`, from a shape or given outright.

    >>> input_size_of((8, 10, 40), None, layer="Linear"), input_size_of(None, 40, layer="Linear")
    (40, 40)
    """
    if input_size is None:
        if input_shape is None:
            raise UserError(f"{layer} without input_shape", expected="input_shape or input_size")
        input_size = input_shape[axis]
    return check_positive(layer, input_size=input_size)


def check_positive(layer: str, **sizes: int | None) -> int:
    """Every size is a whole number above 0; the last one is returned.

    >>> check_positive("Conv1d", stride=2)
    2
    """
    size = None
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise UserError(f"{layer}: {name} is {size!r}", expected="a whole number above 0", key=name)
    assert size is not None
    return size


def check_probability(layer: str, **values: float) -> None:
    """Every value is in [0, 1)."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise UserError(f"{layer}: {name} is {value!r}", expected="a number from 0 to below 1", key=name)


def check_width(x: Tensor, expected: int, layer: str) -> None:
    """The last axis is as wide as the layer was built for."""
    if x.shape[-1] != expected:
        raise UserError(
            f"{layer} got {x.shape[-1]} features in an input of shape {tuple(x.shape)}",
            expected=f"{expected} features in the last axis",
        )


def pair_of(size: int | Sequence[int], layer: str, name: str) -> tuple[int, int]:
    """(time, frequency) from one number for both or from two.

    >>> pair_of(3, "Conv2d", "stride"), pair_of([1, 2], "Conv2d", "stride")
    ((3, 3), (1, 2))
    """
    both = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Sequence) else ()
    if len(both) != 2:
        expected = "a whole number, or two: [time, frequency]"
        raise UserError(f"{layer}: {name} is {size!r}", expected=expected, key=name)
    for value in both:
        check_positive(layer, **{name: value})
    return both[0], both[1]
