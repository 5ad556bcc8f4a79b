"""Normalisation of numbers: by the covariance it gives, torch's real layers, and what padding may do."""

from functools import partial

import pytest
import torch
from torch import nn

from speechkit.errors import UserError
from speechkit.nnet import (
    CBatchNorm,
    CLayerNorm,
    HyperBatchNorm,
    HyperLayerNorm,
    QBatchNorm,
    QLayerNorm,
)
from speechkit.ops.algebra import find_algebra, split_parts
from speechkit.ops.whitening import whitening_matrix

LENGTHS = torch.tensor([70, 31, 55])
ALGEBRAS = ("complex", "quaternion", "octonion")


def correlated(n_parts, *shape):
    """Parts that are mixed, shifted and of different sizes: (..., n F)."""
    mix = torch.randn(n_parts, n_parts, dtype=torch.float64) + torch.eye(n_parts)
    numbers = torch.randn(*shape[:-1], n_parts, shape[-1], dtype=torch.float64)
    return (mix @ numbers + torch.arange(n_parts).view(-1, 1)).flatten(-2)


def covariance_of(rows):
    """(N, n, F) to the covariance (F, n, n) of each number's parts, by torch."""
    return torch.stack([rows[..., f].T.cov(correction=0) for f in range(rows.shape[-1])])


def true_rows(x, algebra, lengths=LENGTHS):
    return torch.cat([split_parts(x[i, :n], algebra) for i, n in enumerate(lengths)])


@pytest.mark.parametrize("n_parts", [1, 2, 4, 8])
def test_whitening_matrix_makes_the_covariance_the_identity(n_parts):
    root = torch.randn(5, n_parts, n_parts, dtype=torch.float64)
    covariance = root @ root.mT + 0.1 * torch.eye(n_parts)
    matrix = whitening_matrix(covariance, eps=0.0)
    identity = torch.eye(n_parts, dtype=torch.float64).expand(5, -1, -1)
    torch.testing.assert_close(matrix @ covariance @ matrix.mT, identity, rtol=0, atol=1e-10)


def test_complex_whitening_is_the_symmetric_root():
    root = torch.randn(5, 2, 2, dtype=torch.float64)
    covariance = root @ root.mT + 0.1 * torch.eye(2)
    values, vectors = torch.linalg.eigh(covariance)
    expected = vectors @ torch.diag_embed(values.rsqrt()) @ vectors.mT
    torch.testing.assert_close(whitening_matrix(covariance, eps=0.0), expected)


def test_equal_parts_are_no_trouble():
    part = 1e3 * torch.randn(500, 1, 1)
    rows = part.expand(-1, 4, 3).flatten(1).requires_grad_()
    for layer in (QBatchNorm(input_size=3), QLayerNorm(input_size=3), CBatchNorm(input_size=6)):
        y = layer(rows)
        assert y.isfinite().all()
        assert torch.autograd.grad(y.square().sum(), rows)[0].isfinite().all()


@pytest.mark.parametrize("algebra", ALGEBRAS)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_batch_norm_gives_mean_zero_and_covariance_identity(algebra, lengths):
    n = find_algebra(algebra).n_parts
    layer = HyperBatchNorm(input_size=3, eps=1e-12, algebra=algebra).double()
    x = correlated(n, 3, 70, 3)
    rows = true_rows(layer(x, lengths), algebra, LENGTHS if lengths is not None else [70] * 3)
    assert rows.mean(0).abs().max() < 1e-9
    identity = torch.eye(n, dtype=torch.float64).expand(3, -1, -1)
    torch.testing.assert_close(covariance_of(rows), identity, rtol=0, atol=1e-8)


def test_shared_batch_norm_scales_all_parts_alike():
    layer = QBatchNorm(input_size=3, eps=1e-12, whiten="shared").double()
    x = correlated(4, 3, 70, 3)
    rows, before = (
        split_parts(layer(x), "quaternion").flatten(0, 1),
        split_parts(x, "quaternion").flatten(0, 1),
    )
    before = before - before.mean(0)
    torch.testing.assert_close(rows.square().mean((0, 1)), torch.ones(3).double())
    torch.testing.assert_close(rows / before, (rows / before)[:1, :1].expand_as(rows))


@pytest.mark.parametrize("layer", [CBatchNorm, QBatchNorm, partial(QBatchNorm, whiten="shared")])
def test_batch_norm_takes_no_notice_of_padding(layer):
    layer = layer(input_shape=(None, None, 8))
    x = torch.randn(3, 70, 8)
    other = x.clone()
    other[1, 31:], other[2, 55:] = torch.nan, 1e6
    torch.testing.assert_close(true_rows(layer(x, LENGTHS), "real"), true_rows(layer(other, LENGTHS), "real"))
    assert layer.running_mean.isfinite().all()
    assert layer.running_var.isfinite().all()


@pytest.mark.parametrize("layer", [CBatchNorm, QBatchNorm])
def test_batch_norm_over_bands_is_that_of_frames_in_a_row(layer):
    layer, x = layer(input_shape=(None, None, 5, 8)), torch.randn(3, 7, 5, 8)
    lengths = torch.tensor([7, 3, 5])
    row = torch.cat([x[i, :n].flatten(0, 1) for i, n in enumerate(lengths)])
    got = layer(x, lengths)
    got = torch.cat([got[i, :n].flatten(0, 1) for i, n in enumerate(lengths)])
    torch.testing.assert_close(got, layer(row), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algebra", ["complex", "quaternion"])
def test_in_eval_mode_the_running_statistics_count(algebra):
    n = find_algebra(algebra).n_parts
    layer = HyperBatchNorm(input_size=2, momentum=0.25, eps=0.0, algebra=algebra).double()
    batches = [correlated(n, 2, 40, 2) for _ in range(2)]
    mean, covariance = torch.zeros(n, 2).double(), torch.eye(n).double().expand(2, -1, -1)
    for x in batches:
        layer(x)
        rows = split_parts(x, algebra).flatten(0, 1)
        mean = 0.75 * mean + 0.25 * rows.mean(0)
        covariance = 0.75 * covariance + 0.25 * covariance_of(rows) * 80 / 79
    torch.testing.assert_close(layer.running_mean, mean)
    torch.testing.assert_close(layer.running_var, covariance)
    y = layer.eval()(batches[0])
    whitener = whitening_matrix(covariance, 0.0)
    one = whitener[1] @ (split_parts(batches[0], algebra)[1, 7, :, 1] - mean[:, 1])
    torch.testing.assert_close(split_parts(y, algebra)[1, 7, :, 1], one)
    torch.testing.assert_close(layer(batches[0][:1, :3]), y[:1, :3])  # and nothing else does


def test_statistics_follow_the_rule_that_processes_rely_on():
    """From buffers at zero a batch leaves momentum times its statistics."""
    one, zeroed = CBatchNorm(input_size=2), CBatchNorm(input_size=2)
    zeroed.running_mean.zero_()
    before = one.running_var.clone()
    zeroed.running_var.zero_()
    x = torch.randn(3, 50, 4)
    one(x), zeroed(x)
    torch.testing.assert_close(one.running_var, 0.9 * before + zeroed.running_var)
    torch.testing.assert_close(one.running_mean, zeroed.running_mean)


@pytest.mark.parametrize("whiten", ["full", "shared"])
def test_over_real_numbers_batch_norm_is_torchs(whiten):
    layer, oracle = (
        HyperBatchNorm(input_size=3, algebra="real", whiten=whiten).double(),
        nn.BatchNorm1d(3).double(),
    )
    x = torch.randn(50, 3, dtype=torch.float64) * 3 + 1
    torch.testing.assert_close(layer(x), oracle(x))
    torch.testing.assert_close(layer.eval()(x), oracle.eval()(x))


@pytest.mark.parametrize(
    "layer", [partial(CBatchNorm), QBatchNorm, partial(QBatchNorm, whiten="shared"), CLayerNorm]
)
def test_gradients_are_those_of_differences(layer):
    layer = layer(input_shape=(2, 5, 4), eps=0.1).double()
    nn.init.normal_(layer.affine.weight)
    x = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    lengths = (torch.tensor([5, 4]),) if isinstance(layer, HyperBatchNorm) else ()
    assert torch.autograd.gradcheck(lambda x: layer(x, *lengths)[0], x)


@pytest.mark.parametrize("layer", [CBatchNorm, QBatchNorm, CLayerNorm, QLayerNorm])
def test_the_learned_symmetric_matrix_and_shift_come_after_the_whitening(layer):
    layer = layer(input_size=7).double()
    n = layer.algebra.n_parts
    x = correlated(n, 3, 40, 7)
    white = split_parts(layer(x), layer.algebra)
    nn.init.normal_(layer.affine.weight), nn.init.normal_(layer.affine.bias)
    got = split_parts(layer(x), layer.algebra)
    rows, columns = torch.tril_indices(n, n)
    for number in range(7):
        matrix = torch.zeros(n, n, dtype=torch.float64)
        matrix[rows, columns] = matrix[columns, rows] = layer.affine.weight[:, number].detach()
        expected = white[..., number] @ matrix.T + layer.affine.bias[:, number]
        torch.testing.assert_close(got[..., number], expected)


@pytest.mark.parametrize("algebra", ALGEBRAS)
def test_layer_norm_whitens_within_each_frame(algebra):
    n = find_algebra(algebra).n_parts
    layer = HyperLayerNorm(input_size=30, eps=1e-12, algebra=algebra).double()
    x = correlated(n, 2, 3, 30)
    y = layer(x)
    frame = split_parts(y, algebra)[1, 2]
    assert frame.mean(-1).abs().max() < 1e-9
    torch.testing.assert_close(frame.cov(correction=0), torch.eye(n).double(), rtol=0, atol=1e-8)
    torch.testing.assert_close(layer(x[:, 1:2]), y[:, 1:2])


def test_layer_norm_of_all_bands_is_that_of_one_long_frame():
    layer = CLayerNorm(input_shape=(None, None, 5, 8), axis=[2, 3])
    x = torch.randn(2, 3, 5, 8)
    long = CLayerNorm(input_size=20)
    frames = split_parts(x, "complex").transpose(2, 3).flatten(3).flatten(2)
    expected = split_parts(long(frames), "complex").unflatten(-1, (5, 4)).transpose(2, 3).flatten(3)
    torch.testing.assert_close(layer(x), expected)


def test_over_real_numbers_layer_norm_is_torchs():
    layer, oracle = HyperLayerNorm(input_size=9, algebra="real"), nn.LayerNorm(9)
    x = torch.randn(2, 5, 9) * 3 + 1
    torch.testing.assert_close(layer(x), oracle(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: CBatchNorm(input_size=3, whiten="ful"), "full or shared"),
        (lambda: CBatchNorm(input_size=3, momentum=0.0), "above 0"),
        (lambda: CLayerNorm(input_size=3, axis=1), "axis"),
    ],
)
def test_mistakes_are_told(make, told):
    with pytest.raises(UserError, match=told):
        make()
