"""True lengths of padded batches: integer counts of samples, frames or tokens, never fractions."""

from typing import TypeVar

import torch
from torch import Tensor

from speechkit.errors import UserError

# B batch, T frames

Lengths = TypeVar("Lengths", int, Tensor)


def is_padded(lengths: Tensor | None, n_max: int) -> bool:
    """Whether some item of a batch may be shorter than `n_max`.

    Lengths on the CPU are looked at, so that a batch without padding pays nothing for masks; lengths on
    an accelerator are not (that would wait for it), and count as padded.

    >>> is_padded(torch.tensor([3, 3]), 3), is_padded(torch.tensor([3, 2]), 3), is_padded(None, 3)
    (False, True, False)
    """
    if lengths is None:
        return False
    if lengths.device.type != "cpu" or torch.compiler.is_compiling():
        return True
    return bool((lengths < n_max).any())


def check_lengths(lengths: Tensor | None, n_max: int) -> None:
    """A UserError for lengths that are no integers, or beyond `n_max`, the size of the padded axis.

    How great they are is looked at on the CPU alone, as in `is_padded`; on an accelerator greater ones count
    as `n_max`.

    >>> check_lengths(torch.tensor([3, 2]), 3)
    """
    if lengths is None:
        return
    _check_counts(lengths)
    if lengths.device.type != "cpu" or torch.compiler.is_compiling():
        return
    if bool((lengths > n_max).any()):
        found = f"a length of {int(lengths.max())} in a batch padded to {n_max}"
        raise UserError(found, expected=f"lengths of at most {n_max}")


def _check_counts(lengths: Tensor) -> None:
    if lengths.is_floating_point():
        raise UserError(
            f"lengths of type {lengths.dtype}", expected="integer counts", do="multiply fractions by the size"
        )


def length_mask(lengths: Tensor, n_max: int) -> Tensor:
    """True where there is signal: (B,) lengths to a (B, T) mask with T = `n_max`.

    >>> length_mask(torch.tensor([1, 3]), 3).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    _check_counts(lengths)
    return torch.arange(n_max, device=lengths.device) < lengths.unsqueeze(-1)


def mask_padding(x: Tensor, lengths: Tensor | None, axis: int = 1, value: float = 0.0) -> Tensor:
    """`x` (B, ...) with `value` past each item's true length along `axis`, also where NaN stood.

    >>> mask_padding(torch.ones(2, 3), torch.tensor([1, 3])).tolist()
    [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    if lengths is None or not is_padded(lengths, x.shape[axis]):
        return x
    return x.masked_fill(~expanded_mask(lengths, x, axis), value)


def expanded_mask(lengths: Tensor, x: Tensor, axis: int = 1) -> Tensor:
    """The mask of `lengths` on `x`'s device, with one axis for each of `x`'s, so that it broadcasts.

    >>> expanded_mask(torch.tensor([1, 3]), torch.ones(2, 3, 5)).shape
    torch.Size([2, 3, 1])
    """
    shape = [1] * x.dim()
    shape[0], shape[axis] = x.shape[0], x.shape[axis]
    return length_mask(lengths, x.shape[axis]).to(x.device).view(shape)


def reverse_padded(x: Tensor, lengths: Tensor | None) -> Tensor:
    """(B, T, ...) with the true frames of each item in reverse order; padding stays in its place.

    Lengths are checked by `check_lengths`.

    >>> reverse_padded(torch.tensor([[1, 2, 0], [1, 2, 3]]), torch.tensor([2, 3])).tolist()
    [[2, 1, 0], [3, 2, 1]]
    """
    check_lengths(lengths, x.shape[1])
    if lengths is None or not is_padded(lengths, x.shape[1]):
        return x.flip(1)
    frames = torch.arange(x.shape[1], device=x.device)
    ends = lengths.to(x.device).clamp_max(x.shape[1]).unsqueeze(-1)
    index = torch.where(frames < ends, ends - 1 - frames, frames)
    return x.gather(1, index.view(*index.shape, *[1] * (x.dim() - 2)).expand_as(x))


def padding_amounts(kernel_size: int, dilation: int = 1, padding: str = "same") -> tuple[int, int]:
    """Zeros before and after the signal: `same` keeps ceil(T / stride) frames, `causal` never looks ahead.

    >>> padding_amounts(4), padding_amounts(3, 2, "causal"), padding_amounts(3, 1, "valid")
    ((1, 2), (4, 0), (0, 0))
    """
    total = dilation * (kernel_size - 1)
    if padding == "same":
        return total // 2, total - total // 2
    if padding == "causal":
        return total, 0
    if padding == "valid":
        return 0, 0
    raise UserError(f"padding {padding!r}", expected="same, valid or causal", key="padding")


def conv_output_lengths(
    lengths: Lengths, kernel_size: int, stride: int = 1, dilation: int = 1, padding: str = "same"
) -> Lengths:
    """Frames that a convolution or pooling makes of `lengths`; 0 where the kernel does not fit.

    >>> conv_output_lengths(torch.tensor([7, 8, 1]), 3, stride=2, padding="valid").tolist()
    [3, 3, 0]
    """
    before, after = padding_amounts(kernel_size, dilation, padding)
    frames = (lengths + before + after - dilation * (kernel_size - 1) - 1) // stride + 1
    return frames.clamp_min(0) if isinstance(frames, Tensor) else max(frames, 0)
