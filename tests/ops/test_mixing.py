"""Small matrices times numbers' parts, against torch's einsum and differences."""

import pytest
import torch

from speechkit.ops.mixing import mix_parts, part_moments


@pytest.mark.parametrize("n_parts", [1, 2, 4])
def test_they_are_sums_over_parts_and_rows(n_parts):
    matrices, x, y = torch.randn(5, n_parts, n_parts), torch.randn(7, n_parts, 5), torch.randn(7, n_parts, 5)
    torch.testing.assert_close(mix_parts(matrices, x), torch.einsum("fnm,tmf->tnf", matrices, x))
    torch.testing.assert_close(part_moments(x, y), torch.einsum("tmf,tnf->fmn", x, y))


def test_gradients_are_those_of_differences_twice():
    matrices, x, y = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 2, 2), (3, 2, 2), (3, 2, 2))
    )
    for function, values in ((mix_parts, (matrices, x)), (part_moments, (x, y))):
        assert torch.autograd.gradcheck(function, values)
        assert torch.autograd.gradgradcheck(function, values)
    assert torch.autograd.gradcheck(lambda x: part_moments(x, x), (x,))
