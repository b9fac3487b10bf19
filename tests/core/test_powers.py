"""Powers: their shortcuts, their gradients at 0, integers."""

import math

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_grads


def run(*nodes, feeds=None):
    return og.RunTime().run(list(nodes), feeds)


def vector(name, dtype=np.float64):
    return og.placeholder((None,), dtype=dtype, name=name)


@pytest.mark.parametrize(
    ("exponent", "kind"),
    [(2, "square"), (2.0, "square"), (0.5, "sqrt"), (-1, "reciprocal"), (3, "power"), (0, "power"), (-0.5, "power")],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_a_constant_exponent_takes_the_short_way(exponent, kind, dtype):
    x = og.placeholder((None,), dtype=dtype)
    y = x**exponent
    assert y.call.op.short_name() == kind
    assert y.dtype == dtype
    at = np.array([0.5, 1.0, 4.0], dtype)
    np.testing.assert_allclose(run(y, feeds={x: at})[0], at**exponent, rtol=1e-6)


def test_the_first_power_is_the_node_itself():
    x = vector("x")
    assert x**1 is x
    assert x ** og.constant(1.0) is x
    assert x ** np.array(1) is x
    assert (x ** np.ones(1)).call.op.short_name() == "power"


def test_integers_take_a_short_way_only_to_integers():
    i = og.placeholder((3,), dtype=np.int64)
    nodes = [i**2, i**1, i**0, i**0.5, i**-1.0, 2**i]
    assert [n.dtype for n in nodes] == [np.int64] * 3 + [np.float32] * 2 + [np.int64]
    found = run(*nodes, feeds={i: [1, 4, 9]})
    wanted = [[1, 16, 81], [1, 4, 9], [1, 1, 1], [1, 2, 3], [1, 0.25, 1 / 9], [2, 16, 512]]
    for value, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("exponent", [-1, np.array(-2), np.array([1, -1, 2])])
def test_a_negative_power_of_integers_is_refused_when_it_is_written(exponent):
    i = og.placeholder((3,), dtype=np.int64, name="i")
    with pytest.raises(
        og.ArgumentError, match="power: integers have no negative powers, such as -[12]; cast"
    ) as caught:
        i**exponent
    assert "test_powers.py" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_negative_power_of_integers_is_refused_in_the_run_where_it_was_not_known():
    i, j = og.placeholder((3,), dtype=np.int64, name="i"), og.placeholder((3,), dtype=np.int64, name="j")
    with pytest.raises(og.ArgumentError, match="power: integers have no negative powers, such as -1; cast") as caught:
        run(i**j, feeds={i: [1, 2, 3], j: [1, -1, 2]})
    assert "test_powers.py" in str(caught.value)


def test_booleans_have_no_power_but_count_beside_integers():
    b = og.placeholder((2,), dtype=np.bool)
    with pytest.raises(og.DtypeError, match="power: takes no booleans"):
        b**b
    assert run(b**2, feeds={b: [True, False]})[0].tolist() == [1, 0]


def test_powers_of_0_and_of_negative_numbers_are_numpy_s():
    x, y = vector("x"), vector("y")
    at, to = np.array([0.0, 0.0, -2.0, -2.0, math.nan]), np.array([0.0, -1.0, 3.0, 0.5, 0.0])
    found = run(x**y, feeds={x: at, y: to})[0]
    np.testing.assert_array_equal(found, [1.0, math.inf, -8.0, math.nan, 1.0])


def test_gradients_agree_with_differences_through_third_order():
    x, y = vector("x"), vector("y")
    check_grads(x**y, [x, y], {x: [0.5, 1.3, 2.0], y: [-1.2, 0.7, 2.0]}, order=3)


@pytest.mark.parametrize("exponent", [4, 3, -1, -2, 0.5, 2.5, -0.5])
def test_gradients_by_the_base_of_a_constant_power_agree_through_third_order(exponent):
    x = vector("x")
    check_grads(x**exponent, x, {x: [0.5, 1.3, 2.0]}, order=3)


def test_gradients_of_complex_powers_agree():
    z, w = vector("z", np.complex128), vector("w", np.complex128)
    data = {z: [0.5 + 1j, -1.3 + 0.4j], w: [1.2 - 0.3j, 0.7j]}
    check_grads(z**w, [z, w], data, order=2)
    check_grads(z**3, z, data, order=2)


def test_derivatives_by_x_at_0_are_those_of_the_polynomial_to_every_order():
    x, y = vector("x"), vector("y")
    exponents = np.array([0.0, 1.0, 2.0, 3.0])
    derivative, found = x**y, []
    for _ in range(4):
        derivative = og.grad(derivative, x)
        found.append(derivative)
    values = run(*found, feeds={x: np.zeros(4), y: exponents})
    # the n-th derivative of x**n is n!, every other one is 0 at 0
    for n, value in enumerate(values, start=1):
        assert value.tolist() == [math.factorial(n) if n == k else 0.0 for k in range(4)]


def test_derivatives_by_x_at_0_diverge_where_the_power_is_fractional():
    x, y = vector("x"), vector("y")
    (gradient,) = run(og.grad(x**y, x), feeds={x: np.zeros(3), y: [0.5, 1.5, -1.0]})
    assert gradient.tolist() == [math.inf, 0.0, -math.inf]


def test_the_derivative_by_y_is_0_where_x_is_0_to_every_order():
    x, y = vector("x"), vector("y")
    gy = og.grad(x**y, y)
    values = run(gy, *og.grad(gy, [x, y]), feeds={x: np.zeros(4), y: [0.0, 0.5, 2.0, -1.0]})
    for value in values:
        assert value.tolist() == [0.0] * 4


def test_a_tiny_base_to_the_power_0_has_no_gradient():
    x, y = vector("x"), vector("y")
    assert run(og.grad(x**y, x), feeds={x: [1e-310, math.inf], y: [0.0, 0.0]})[0].tolist() == [0.0, 0.0]


def test_the_zeroth_power_has_a_zero_gradient_at_0_too():
    x = vector("x")
    assert run(og.grad(x**0, x), feeds={x: [0.0, 2.0]})[0].tolist() == [0.0, 0.0]


def test_a_negative_base_has_a_gradient_by_x_and_none_by_y():
    x, y = vector("x"), vector("y")
    gx, gy = run(*og.grad(x**y, [x, y]), feeds={x: [-2.0], y: [3.0]})
    assert gx.tolist() == [12.0]
    assert np.isnan(gy).all()


def test_the_gradient_by_a_constant_exponent_can_be_had():
    x, n = vector("x"), og.constant(3.0, dtype=np.float64)
    (gradient,) = run(og.grad(x**n, n), feeds={x: [1.0, 2.0]})
    np.testing.assert_allclose(gradient, 8.0 * math.log(2.0), rtol=1e-15)


def test_narrow_floats_stay_narrow_beside_strong_and_weak_exponents():
    for dtype in (np.float16, np.float32):
        x = vector("x", dtype)
        for exponent in (3, 2.5, np.array(3), og.constant(3.0, dtype=dtype)):
            y = x**exponent
            assert y.dtype == dtype
            assert og.grad(y, x).dtype == dtype


def test_the_square_s_gradient_stops_at_the_third_order():
    x = vector("x")
    first = og.grad(og.square(x), x)
    assert run(og.grad(first, x), feeds={x: [1.0, 2.0]})[0].tolist() == [2.0, 2.0]


def test_the_reciprocal_of_integers_is_a_float():
    assert run(og.reciprocal(np.array([1, 2, 4])))[0].tolist() == [1.0, 0.5, 0.25]


def test_a_boolean_s_square_is_refused():
    with pytest.raises(og.DtypeError, match="square: takes no booleans; cast them to an integer"):
        og.square(og.constant(np.array([True])))
