"""Normalisation of hypercomplex numbers: their parts become uncorrelated, over a batch or in a frame."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from speechkit.errors import UserError
from speechkit.nnet.hyper_weight import algebra_of, count_numbers
from speechkit.nnet.sizes import check_width, input_size_of
from speechkit.ops.lengths import expanded_mask, is_padded, mask_padding
from speechkit.ops.mixing import mix_parts, part_moments
from speechkit.ops.whitening import shared_scaling_matrix, whitening_matrix

# B batch, T frames, N numbers of one kind, n parts, F numbers in a frame
WHITEN: dict[str, Callable[[Tensor, float], Tensor]] = {
    "full": whitening_matrix,
    "shared": shared_scaling_matrix,
}


class HyperBatchNorm(nn.Module):
    """Batch normalisation of numbers: (B, T, n F), (B, T, bands, n F) or (B, n F), parts side by side.

    Each of the F numbers gets mean zero, and by `whiten: full` the identity as the n x n covariance of its
    parts (complex: Trabelsi et al., ICLR 2018; quaternion: Gaudet and Maida, IJCNN 2018), by `shared` one
    variance for all parts. Then a learned symmetric matrix and a shift, at first identity and zero (the
    papers start at identity / sqrt(n)); with `shared` a scale and a shift.
    In training the statistics are those of true frames; in eval mode the running ones, kept as in
    `BatchNorm1d`.

    >>> x = torch.randn(4, 50, 8)
    >>> y = HyperBatchNorm(input_shape=x.shape, algebra="quaternion")(x)
    >>> torch.allclose(y[..., 0::2].flatten(0, 1).T.cov(), torch.eye(4), atol=0.05)
    True
    """

    own_algebra: str | None = None

    def __init__(
        self,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        whiten: str = "full",
        algebra: str | None = None,
    ) -> None:
        super().__init__()
        if not 0 < momentum <= 1:
            raise UserError(f"momentum is {momentum!r}", expected="a number above 0, up to 1", key="momentum")
        self.algebra = algebra_of(self, algebra)
        n = self.algebra.n_parts
        n_numbers = count_numbers(self.algebra, input_shape, input_size, layer=type(self).__name__)
        self.input_size, self.eps, self.momentum = n * n_numbers, eps, momentum
        self.affine = _Affine(n, n_numbers, affine, whiten)
        self.running_mean: Tensor
        self.running_var: Tensor  # a covariance for each number
        self.register_buffer("running_mean", torch.zeros(n, n_numbers))
        self.register_buffer("running_var", torch.eye(n).repeat(n_numbers, 1, 1))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, ..., n F), true lengths (B,) in frames, to the same shape."""
        check_width(x, self.input_size, type(self).__name__)
        if self.training and x.numel() == 0:  # no frame, no statistics
            return x
        with torch.autocast(x.device.type, enabled=False):  # sums over many frames need all their digits
            rows = mask_padding(x, lengths).to(_type_of_sums(x)).reshape(-1, *self.running_mean.shape)
            if self.training:
                centred, covariance = self._centre(rows, _true_rows(x, lengths))
            else:
                centred, covariance = rows - self.running_mean, self.running_var.to(rows)
            matrix = self.affine.matrices(rows) @ WHITEN[self.affine.whiten](covariance, self.eps)
            y = mix_parts(matrix, centred) + self.affine.bias
        return y.reshape(x.shape).to(x.dtype)

    def _centre(self, rows: Tensor, true: Tensor | None) -> tuple[Tensor, Tensor]:
        """Rows (N, n, F) less their mean, zero where they are not true, and covariance (F, n, n)."""
        count = rows.new_tensor(float(len(rows))) if true is None else true.sum().clamp_min(1)
        mean = rows.sum(0) / count  # padding is zeros
        centred = rows - mean if true is None else (rows - mean) * true.view(-1, 1, 1)
        covariance = part_moments(centred, centred) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean.detach().to(self.running_mean), self.momentum)
            unbiased = covariance.detach() * (count / (count - 1).clamp_min(1))
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
        return centred, covariance


class HyperLayerNorm(nn.Module):
    """Layer normalisation of numbers within each frame: (B, T, n F), (B, n F), or (B, T, bands, n F).

    A frame's numbers get mean zero and, by `whiten: full`, the identity as the covariance of their parts, by
    `shared` one variance for all parts; then each number its own learned symmetric matrix (or scale) and
    shift. `axis`: the last axis, or [2, 3] for the numbers of all bands together; never time.

    >>> x = torch.randn(2, 5, 24)
    >>> HyperLayerNorm(input_shape=x.shape, algebra="octonion", whiten="shared")(x).shape
    torch.Size([2, 5, 24])
    """

    own_algebra: str | None = None

    def __init__(
        self,
        input_shape: Sequence[int | None] | None = None,
        input_size: int | None = None,
        eps: float = 1e-5,
        affine: bool = True,
        axis: int | Sequence[int] = -1,
        whiten: str = "full",
        algebra: str | None = None,
    ) -> None:
        super().__init__()
        self.algebra = algebra_of(self, algebra)
        name, n = type(self).__name__, self.algebra.n_parts
        n_numbers = count_numbers(self.algebra, input_shape, input_size, layer=name)
        self.input_size, self.eps = n * n_numbers, eps
        self.over_bands = _is_over_bands(name, axis, input_shape)
        n_bands = input_size_of(input_shape, None, 2, layer=name) if self.over_bands else 1
        self.affine = _Affine(n, n_bands * n_numbers, affine, whiten)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, ..., n F) to the same shape."""
        check_width(x, self.input_size, type(self).__name__)
        with torch.autocast(x.device.type, enabled=False):
            numbers = x.to(_type_of_sums(x)).unflatten(-1, (self.algebra.n_parts, -1))
            if self.over_bands:
                numbers = numbers.transpose(2, 3)
            rows = numbers.flatten(-2) if self.over_bands else numbers
            centred = rows - rows.mean(-1, keepdim=True)
            covariance = centred @ centred.transpose(-1, -2) / centred.shape[-1]
            white = WHITEN[self.affine.whiten](covariance, self.eps) @ centred
            y = mix_parts(self.affine.matrices(white), white) + self.affine.bias
            y = y.reshape(numbers.shape)
            if self.over_bands:
                y = y.transpose(2, 3)
        return y.flatten(-2).to(x.dtype)


class CBatchNorm(HyperBatchNorm):
    """`HyperBatchNorm` of complex numbers, by 2 x 2 whitening.

    >>> CBatchNorm(input_shape=(10, 16, 30))(torch.randn(10, 16, 30)).shape
    torch.Size([10, 16, 30])
    """

    own_algebra = "complex"


class QBatchNorm(HyperBatchNorm):
    """`HyperBatchNorm` of quaternions, by 4 x 4 whitening.

    >>> QBatchNorm(input_shape=(10, 16, 40), whiten="shared")(torch.randn(10, 16, 40)).shape
    torch.Size([10, 16, 40])
    """

    own_algebra = "quaternion"


class CLayerNorm(HyperLayerNorm):
    """`HyperLayerNorm` of complex numbers.

    >>> CLayerNorm(input_shape=(10, 16, 30))(torch.randn(10, 16, 30)).shape
    torch.Size([10, 16, 30])
    """

    own_algebra = "complex"


class QLayerNorm(HyperLayerNorm):
    """`HyperLayerNorm` of quaternions.

    >>> QLayerNorm(input_shape=(10, 16, 40))(torch.randn(10, 16, 40)).shape
    torch.Size([10, 16, 40])
    """

    own_algebra = "quaternion"


class _Affine(nn.Module):
    """A learned symmetric matrix (with `shared`, a scale) and a shift for each of F numbers."""

    def __init__(self, n_parts: int, n_numbers: int, is_learned: bool, whiten: str) -> None:
        super().__init__()
        if whiten not in WHITEN:
            raise UserError(f"whiten {whiten!r}", expected=" or ".join(WHITEN), key="whiten")
        self.whiten = whiten
        rows, columns = torch.tril_indices(n_parts, n_parts)
        if whiten == "shared":
            rows, columns = rows[:1], columns[:1]
        first = (rows == columns).float().unsqueeze(1).repeat(1, n_numbers)
        self.weight = nn.Parameter(first, requires_grad=is_learned)
        self.bias = nn.Parameter(torch.zeros(n_parts, n_numbers), requires_grad=is_learned)
        # Which of the weights, those on and below the diagonal, each entry of the matrix is.
        kept = torch.zeros(n_parts, n_parts, dtype=torch.int64)
        kept[rows, columns] = kept[columns, rows] = torch.arange(len(rows))
        self.kept: Tensor
        self.register_buffer("kept", kept, persistent=False)

    def matrices(self, like: Tensor) -> Tensor:
        """(F, n, n)."""
        matrices = self.weight[self.kept].permute(2, 0, 1).to(like)
        if self.whiten == "full":
            return matrices
        return matrices * torch.eye(len(self.kept), dtype=like.dtype, device=like.device)


def _type_of_sums(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _true_rows(x: Tensor, lengths: Tensor | None) -> Tensor | None:
    """1 for each row of a true frame of (B, T, ..., C), and 0 for padding; None where all are true."""
    if lengths is None or not is_padded(lengths, x.shape[1]):
        return None
    true = expanded_mask(lengths, x).expand(*x.shape[:-1], 1)
    return true.reshape(-1).to(_type_of_sums(x))


def _is_over_bands(layer: str, axis: int | Sequence[int], input_shape: Sequence[int | None] | None) -> bool:
    n_axes = 3 if input_shape is None else len(input_shape)
    axes = sorted(a % n_axes for a in ([axis] if isinstance(axis, int) else axis))
    if axes == [n_axes - 1]:
        return False
    if n_axes != 4 or axes != [2, 3]:
        raise UserError(f"{layer}: axis is {axis!r}", expected="the last axis, or [2, 3] of four", key="axis")
    return True
