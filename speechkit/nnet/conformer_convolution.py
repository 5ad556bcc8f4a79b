"""The Conformer's convolution module."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from speechkit.errors import UserError
from speechkit.nnet.hyper_convolution import HyperConv1d
from speechkit.nnet.hyper_linear import HyperLinear
from speechkit.nnet.hyper_normalization import HyperBatchNorm, HyperLayerNorm
from speechkit.nnet.hyper_weight import algebra_of, count_numbers
from speechkit.nnet.normalization import BatchNorm, LayerNorm

# B batch, T frames, n parts, F numbers of a frame


class ConformerConvolution(nn.Module):
    """What neighbouring frames tell (Gulati et al., 2020, figure 2): (B, T, n F) to the same shape.

    Pointwise product to twice the width and a gated linear unit (each part has its own gate), convolution of
    `kernel_size` frames of each number alone, norm, swish, pointwise product. The layer norm before it and
    the dropout after it belong to whoever adds its output to its input.
    `normalization`: `batchnorm`, whose statistics are those of true frames only, or `layernorm`.

    >>> import torch
    >>> ConformerConvolution(input_shape=(2, 7, 16), algebra="complex")(torch.zeros(2, 7, 16)).shape
    torch.Size([2, 7, 16])
    """

    def __init__(
        self,
        kernel_size: int = 31,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        normalization: str = "batchnorm",
        algebra: str = "real",
    ) -> None:
        super().__init__()
        kind = algebra_of(self, algebra)
        size = count_numbers(kind, input_shape, input_size, layer="ConformerConvolution")
        self.n_parts = kind.n_parts
        self.gated = HyperLinear(2 * size, input_size=size, algebra=kind.name)
        # The batch norm takes the mean away, and with it any bias.
        has_bias = normalization != "batchnorm"
        self.depthwise = HyperConv1d(
            size,
            kernel_size,
            input_size=size,
            groups=size,
            bias=has_bias,
            init_criterion="he",  # counts what one number sees, not what all give
            algebra=kind.name,
        )
        self.norm = _find_norm(normalization, kind.name)(input_size=size)
        self.output = HyperLinear(size, input_size=size, algebra=kind.name)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, n F), true lengths (B,) in frames, to the same shape."""
        halves = self.gated(x).unflatten(-1, (self.n_parts, 2, -1))
        x = self.depthwise(F.glu(halves, -2).flatten(-3), lengths)
        x = self.norm(x, lengths) if isinstance(self.norm, (BatchNorm, HyperBatchNorm)) else self.norm(x)
        return self.output(F.silu(x))


def _find_norm(name: str, algebra: str) -> Callable[..., nn.Module]:
    norms: dict[str, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = {
        "batchnorm": (BatchNorm, partial(HyperBatchNorm, algebra=algebra)),
        "layernorm": (LayerNorm, partial(HyperLayerNorm, whiten="shared", algebra=algebra)),
    }
    if name not in norms:
        raise UserError(f"normalization is {name!r}", expected=" or ".join(norms), key="normalization")
    real, hyper = norms[name]
    return real if algebra == "real" else hyper
