"""Algebras against their laws, torch's complex numbers and each other."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechkit.errors import UserError
from speechkit.ops.algebra import (
    BILINEAR,
    NAMES,
    block_matrix,
    conjugate,
    find_algebra,
    from_complex,
    imag_part,
    multiply,
    norm,
    normalize,
    parts,
    real_part,
    split_parts,
    to_complex,
)

NORMED = ("real", "complex", "quaternion", "octonion")


def draw(name, *shape):
    n = find_algebra(name).n_parts
    return torch.randn(*shape[:-1], n * shape[-1], dtype=torch.float64)


def unit(name, part):
    return torch.eye(find_algebra(name).n_parts, dtype=torch.float64)[part]


def test_quaternion_units_obey_hamiltons_law():
    one, i, j, k = (unit("quaternion", part) for part in range(4))

    def product(x, y):
        return multiply(x, y, "quaternion")

    for square in (product(i, i), product(j, j), product(k, k), product(product(i, j), k)):
        assert torch.equal(square, -one)
    assert torch.equal(product(i, j), k)
    assert torch.equal(product(j, i), -k)


@pytest.mark.parametrize(("name", "square"), [("complex", -1.0), ("split-complex", 1.0), ("dual", 0.0)])
def test_the_second_unit_has_its_square(name, square):
    assert multiply(unit(name, 1), unit(name, 1), name).tolist() == [square, 0.0]


@pytest.mark.parametrize("name", [*NAMES, "phm:3"])
def test_the_first_unit_is_one(name):
    x = draw(name, 5)
    one = torch.cat([torch.ones(5), torch.zeros(len(x) - 5)]).double()
    torch.testing.assert_close(multiply(one, x, name), x)
    torch.testing.assert_close(multiply(x, one, name), x)


@pytest.mark.parametrize("name", NORMED)
def test_norms_multiply(name):
    x, y = draw(name, 3, 7), draw(name, 3, 7)
    torch.testing.assert_close(norm(multiply(x, y, name), name), norm(x, name) * norm(y, name))
    torch.testing.assert_close(norm(normalize(x, name), name), torch.ones(3, 7).double())


@pytest.mark.parametrize("name", NORMED)
def test_a_number_times_its_conjugate_is_its_squared_norm(name):
    x = draw(name, 7)
    product = multiply(x, conjugate(x, name), name)
    torch.testing.assert_close(real_part(product, name), norm(x, name).square())
    assert (imag_part(product, name).abs() < 1e-12).all()


def associator(x, y, z, name):
    return multiply(multiply(x, y, name), z, name) - multiply(x, multiply(y, z, name), name)


@pytest.mark.parametrize("name", ["complex", "quaternion", "split-complex", "dual", "phm:5"])
def test_products_associate(name):
    assert associator(draw(name, 4), draw(name, 4), draw(name, 4), name).abs().max() < 1e-12


def test_octonions_are_alternative_and_not_associative():
    x, y, z = (draw("octonion", 4) for _ in range(3))
    assert associator(x, x, y, "octonion").abs().max() < 1e-12
    assert associator(y, x, x, "octonion").abs().max() < 1e-12
    assert associator(x, y, z, "octonion").abs().max() > 0.1


def test_complex_numbers_are_torchs():
    x, y = draw("complex", 3, 5), draw("complex", 3, 5)
    expected = to_complex(x) * to_complex(y)
    assert expected.dtype == torch.complex128
    torch.testing.assert_close(to_complex(multiply(x, y, "complex")), expected)
    torch.testing.assert_close(from_complex(to_complex(x).conj()), conjugate(x, "complex"))
    torch.testing.assert_close(norm(x, "complex"), to_complex(x).abs())


@pytest.mark.parametrize("name", BILINEAR)
@settings(max_examples=20)
@given(data=st.data())
def test_a_decomposition_equals_the_table(name, data):
    algebra = find_algebra(name)
    values = st.lists(st.integers(-9, 9), min_size=algebra.n_parts, max_size=algebra.n_parts)
    x, y = (torch.tensor(data.draw(values), dtype=torch.float64) for _ in range(2))
    fast = algebra.bilinear
    got = fast.combine @ ((fast.left @ x) * (fast.right @ y))
    assert torch.equal(got, multiply(x, y, algebra))


def test_decompositions_save_products():
    ranks = {name: find_algebra(name).bilinear.rank for name in BILINEAR}
    assert ranks == {"real": 1, "complex": 3, "quaternion": 8, "split-complex": 2}


@pytest.mark.parametrize("name", [*NAMES, "phm:3"])
def test_block_matrix_multiplies_from_the_left(name):
    algebra = find_algebra(name)
    n, n_out, n_in = algebra.n_parts, 3, 2
    weight, x = torch.randn(n, n_out, n_in, dtype=torch.float64), draw(name, n_in)
    got = split_parts(x @ block_matrix(weight, algebra.table).T, name)
    expected = torch.zeros(n, n_out, dtype=torch.float64)
    for out in range(n_out):
        for index in range(n_in):
            number = split_parts(x, name)[:, index].contiguous()
            expected[:, out] += multiply(weight[:, out, index].contiguous(), number, name)
    torch.testing.assert_close(got, expected)


def test_block_matrix_of_complex_weights_is_torchs_product():
    weight, x = torch.randn(2, 3, 5, dtype=torch.float64), draw("complex", 4, 5)
    got = to_complex(x @ block_matrix(weight, find_algebra("complex").table).T)
    torch.testing.assert_close(got, to_complex(x) @ torch.complex(weight[0], weight[1]).T)


def test_parts_stand_side_by_side():
    x = torch.arange(8.0)
    assert [part.tolist() for part in parts(x, "quaternion")] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert imag_part(x, "quaternion").tolist() == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(("name", "told"), [("quaternoin", "'quaternion'"), ("phm:0", "phm:n"), (3, "phm:n")])
def test_an_unknown_algebra_is_a_users_mistake(name, told):
    with pytest.raises(UserError, match=told):
        find_algebra(name)


def test_a_width_that_holds_no_whole_numbers_is_a_users_mistake():
    with pytest.raises(UserError, match="multiple of 4"):
        parts(torch.zeros(6), "quaternion")
