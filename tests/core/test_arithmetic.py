"""Integer division, squares of differences, and the product and quotient in which 0 wins."""

import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og
from opgraph.testing import check_grads


def run(*nodes, feeds=None):
    return og.RunTime().run(list(nodes), feeds)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("operation", [operator.floordiv, operator.mod])
def test_floor_division_and_remainder_follow_python_s_signs(operation, dtype):
    pairs = [(7, 3), (-7, 3), (7, -3), (-7, -3), (6, 3), (-6, 3), (0, -3)]
    x, y = np.array(pairs, dtype).T
    (found,) = run(operation(og.constant(x), og.constant(y)))
    assert found.dtype == dtype
    assert found.tolist() == [operation(a, b) for a, b in pairs]


def test_divmod_gives_both_parts():
    x = og.placeholder((3,), np.int64)
    quotient, rest = run(*divmod(x, 3), feeds={x: [7, -7, 1]})
    assert (quotient.tolist(), rest.tolist()) == ([2, -3, 0], [1, 2, 1])
    quotient, rest = run(*divmod(9, x), feeds={x: [7, -7, 1]})
    assert (quotient.tolist(), rest.tolist()) == ([1, -2, 9], [2, -5, 0])


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e3), st.sampled_from([1.0, -1.0]))
def test_the_remainder_of_floats_is_python_s(x, y, side):
    with og.Graph().as_default_graph():
        (found,) = run(og.remainder(np.array(x), np.array(side * y)))
    assert found == x % (side * y)


def test_the_reflected_operators_keep_the_order():
    x = og.placeholder((3,), name="x")
    data = {x: np.array([2.0, 3.0, 4.0], np.float32)}
    floor, rest = run(9 // x, np.float32(9) % x, feeds=data)
    assert floor.tolist() == [4.0, 3.0, 2.0]
    assert rest.tolist() == [1.0, 0.0, 1.0]


def test_integers_by_zero_give_zero_and_floats_what_numpy_gives():
    x, zero = og.constant(np.array([3, -3])), og.constant(np.array([0, 0]))
    floor, rest, quotient = run(x // zero, x % zero, og.constant([3.0, -3.0]) // 0.0)
    assert floor.tolist() == rest.tolist() == [0, 0]
    assert quotient.tolist() == [math.inf, -math.inf]


def test_the_remainder_s_gradient_is_1_and_minus_the_floor():
    x, y = og.placeholder((None,)), og.placeholder((None,))
    gx, gy = run(*og.grad(x % y, [x, y]), feeds={x: [7.5, -7.5, 6.0], y: [2.0, 2.0, 2.0]})
    assert gx.tolist() == [1.0, 1.0, 1.0]
    assert gy.tolist() == [-3.0, 4.0, -3.0]


def test_floor_division_has_a_zero_gradient():
    x, y = og.placeholder((3,)), og.placeholder((3,))
    gx, gy = run(*og.grad(x // y, [x, y]), feeds={x: [1.0, 2.0, 3.0], y: [1.0, 2.0, 2.0]})
    assert gx.tolist() == gy.tolist() == [0.0, 0.0, 0.0]


def test_a_squared_difference_is_the_square_of_the_difference_to_third_order():
    x, y = og.placeholder((2, 1), dtype=np.float64), og.placeholder((3,), dtype=np.float64)
    data = {x: [[1.0], [-2.0]], y: [0.5, 3.0, -1.0]}
    cubed = og.squared_difference(x, y) * (x - y)
    check_grads(cubed, [x, y], data, order=3)
    assert run(og.squared_difference(x, y), feeds=data)[0].tolist() == [[0.25, 4.0, 4.0], [6.25, 25.0, 1.0]]
    assert run(og.squared_difference(np.uint8([3]), np.uint8([5])))[0].tolist() == [4]


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "squared_difference"])
def test_complex_numbers_and_booleans_are_refused_with_advice(name):
    function = getattr(og, name)
    with pytest.raises(og.DtypeError, match=f"{name}: takes no complex numbers; give it their parts, og.real"):
        function(og.constant(np.array([1j])), 2)
    with pytest.raises(og.DtypeError, match=f"{name}: takes no booleans; cast them to an integer"):
        function(og.constant(np.array([True])), True)


def test_zero_wins_over_infinity_in_the_product_and_the_quotient():
    multiply, divide = (og.registry.get(f"core._{name}_or_zero")() for name in ("multiply", "divide"))
    x = og.placeholder((4,), dtype=np.float64)
    at = np.array([0.0, -0.0, 2.0, math.inf])
    with_infinity = og.apply(multiply, x, og.constant(np.full(4, math.inf)))
    by_itself = og.apply(divide, x, x)
    gradient = og.grad(og.apply(multiply, x, x), x)
    product, quotient, slope = run(with_infinity, by_itself, gradient, feeds={x: at})
    assert product.tolist() == [0.0, 0.0, math.inf, math.inf]
    assert quotient[:3].tolist() == [0.0, 0.0, 1.0]
    assert slope.tolist() == [0.0, 0.0, 4.0, math.inf]
