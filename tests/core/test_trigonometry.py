"""Circular and hyperbolic functions at their edges, lengths and angles."""

import math
from decimal import Decimal

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_grads


def run(*nodes, feeds=None):
    return og.RunTime().run(list(nodes), feeds)


@pytest.mark.parametrize(
    ("function", "inverse", "at"),
    [
        (og.sin, og.arcsin, [-1.5, 0.0, 0.7]),
        (og.cos, og.arccos, [0.1, 1.5, 3.0]),
        (og.tan, og.arctan, [-1.5, 0.0, 0.7]),
        (og.sinh, og.arcsinh, [-3.0, 0.0, 0.7]),
        (og.cosh, og.arccosh, [0.1, 1.5, 3.0]),
        (og.tanh, og.arctanh, [-2.0, 0.0, 0.7]),
    ],
)
def test_an_inverse_undoes_its_function_and_so_do_their_derivatives(function, inverse, at):
    x = og.placeholder((None,), dtype=np.float64)
    back = inverse(function(x))
    value, slope = run(back, og.grad(back, x), feeds={x: at})
    np.testing.assert_allclose(value, at, rtol=1e-13)
    np.testing.assert_allclose(slope, np.ones(3), rtol=1e-13)


@pytest.mark.parametrize(
    ("function", "derivative", "at"),
    [
        (og.arctan, lambda x: 1 / (1 + x * x), [-1e100, 0.0, 1e100]),
        (og.arcsinh, lambda x: 1 / math.hypot(1, x), [-1e300, 0.0, 1e300]),
        (og.arccosh, lambda x: 1 / math.sqrt(x - 1) / math.sqrt(x + 1), [1 + 1e-15, 2.0, 1e300]),
        (og.arctanh, lambda x: 1 / (1 - x) / (1 + x), [-1 + 1e-15, 0.0, 0.5]),
    ],
)
def test_derivatives_hold_near_the_edges_and_far_out(function, derivative, at):
    x = og.placeholder((None,), dtype=np.float64)
    (found,) = run(og.grad(function(x), x), feeds={x: at})
    np.testing.assert_allclose(found, [derivative(t) for t in at], rtol=1e-14)


@pytest.mark.parametrize(("function", "sign"), [(og.arcsin, 1.0), (og.arccos, -1.0)])
def test_the_derivative_of_an_arc_keeps_its_digits_next_to_1(function, sign):
    at = [1 - 1e-9, 1e-13 - 1]
    x = og.placeholder((2,), dtype=np.float64)
    (found,) = run(og.grad(function(x), x), feeds={x: at})
    exact = [sign / float((1 - Decimal(t) ** 2).sqrt()) for t in at]  # 28 digits
    np.testing.assert_allclose(found, exact, rtol=1e-15)


def test_outside_of_their_domains_inverses_are_nan():
    x = np.array([2.0, -2.0])
    for function in (og.arcsin, og.arccos, og.arctanh):
        assert np.isnan(run(function(x))[0]).all()
    assert np.isnan(run(og.arccosh(x))[0]).tolist() == [False, True]


@pytest.mark.parametrize("name", ["sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh"])
def test_functions_are_right_to_third_order(name):
    x = og.placeholder((None,), dtype=np.float64)
    check_grads(getattr(og, name)(x), x, {x: [-0.6, 0.2, 0.7]}, order=3)


@pytest.mark.parametrize("name", ["arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh"])
def test_complex_inverses_are_differentiated_on_either_side_of_their_cuts(name):
    z = og.placeholder((None,), dtype=np.complex128)
    check_grads(getattr(og, name)(z), z, {z: [2 + 1j, -2 + 1j, 2 - 1j, -2 - 1j, 0.3 + 2j, 0.3 - 2j]})


def test_lengths_and_angles_are_those_of_the_math_module():
    y, x = np.array([[3.0], [-3.0], [0.0]]), np.array([4.0, -4.0])
    length, angle = run(og.hypot(x, y), og.arctan2(y, x))
    assert length.tolist() == [[5.0, 5.0], [5.0, 5.0], [4.0, 4.0]]
    np.testing.assert_allclose(angle, [[math.atan2(b, a) for a in (4.0, -4.0)] for b in (3.0, -3.0, 0.0)])


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_gradients_of_length_and_angle_neither_overflow_nor_vanish(scale):
    x, y = og.placeholder((1,)), og.placeholder((1,))
    data = {x: [3 * scale], y: [4 * scale]}
    found = run(*og.grad(og.hypot(x, y), [x, y]), *og.grad(og.arctan2(y, x), [x, y]), feeds=data)
    expected = [0.6, 0.8, -0.16 / scale, 0.12 / scale]
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-6)


def test_the_gradients_of_length_and_angle_are_0_at_the_origin_to_second_order():
    x, y = og.placeholder((1,)), og.placeholder((1,))
    for z in (og.hypot(x, y), og.arctan2(y, x)):
        first = og.grad(z, [x, y])
        for gradient in run(*first, *og.grad(first[0] * 2.0, [x, y]), feeds={x: [0.0], y: [0.0]}):
            assert gradient.tolist() == [0.0]


def test_length_and_angle_are_right_to_third_order():
    x, y = og.placeholder((None,), dtype=np.float64), og.placeholder((2, 1), dtype=np.float64)
    data = {x: [0.5, -1.3], y: [[0.7], [-1.1]]}
    check_grads(og.hypot(x, y), [x, y], data, order=3)
    check_grads(og.arctan2(y, x), [x, y], data, order=3)


def test_angles_take_their_arguments_by_name_and_integers():
    assert og.arctan2(y=np.array([1]), x=1).dtype == np.float32
    with pytest.raises(og.DtypeError, match="arctan2: takes no complex numbers"):
        og.arctan2(1j, 1.0)
    with pytest.raises(og.ShapeError, match="arctan2: .* do not broadcast"):
        og.arctan2(np.ones(2), np.ones(3))
