"""Extremes and their ties, limits, magnitude and sign, rounding."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og
from opgraph.testing import check_grads


def run(*nodes, feeds=None):
    return og.RunTime().run(list(nodes), feeds)


@pytest.mark.parametrize(
    ("function", "values", "gx"),
    [
        (og.maximum, [2.0, 3.0, 2.0, math.inf], [0.0, 1.0, 0.5, 0.5]),
        (og.minimum, [1.0, 2.0, 2.0, math.inf], [1.0, 0.0, 0.5, 0.5]),
    ],
)
def test_a_tie_sends_half_of_the_gradient_to_each(function, values, gx):
    x, y = og.placeholder((4,)), og.placeholder((4,))
    z = function(x, y)
    data = {x: [1.0, 3.0, 2.0, math.inf], y: [2.0, 2.0, 2.0, math.inf]}
    found, by_x, by_y = run(z, *og.grad(z, [x, y]), feeds=data)
    assert found.tolist() == values
    assert by_x.tolist() == gx
    assert by_y.tolist() == [1.0 - g for g in gx]


@pytest.mark.parametrize("function", [og.maximum, og.minimum], ids=["maximum", "minimum"])
def test_nan_passes_through_extremes(function):
    assert np.isnan(run(function(np.array([math.nan, 1.0]), np.array([1.0, math.nan])))[0]).all()


def test_extremes_and_magnitudes_keep_integers_and_booleans():
    i, b = og.constant(np.array([3, -4], np.int8)), og.constant(np.array([True, False]))
    nodes = [og.maximum(i, 2), og.minimum(i, i), og.abs(i), og.sign(i), og.clip(i, -1, 1), og.maximum(b, True)]
    found = run(*nodes, og.abs(b))
    assert [v.dtype for v in found] == [np.int8] * 5 + [np.bool] * 2
    assert [v.tolist() for v in found[:5]] == [[3, 2], [3, -4], [3, 4], [1, -1], [1, -1]]
    assert [v.tolist() for v in found[5:]] == [[True, True], [True, False]]


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extremes_refuse_complex_numbers(name):
    with pytest.raises(og.DtypeError, match=f"{name}: takes no complex numbers; give it their parts"):
        getattr(og, name)(1j, 0.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.floats(-5, 5), st.floats(-5, 5))
def test_clip_is_numpy_s(values, low, high):
    x = np.array(values)
    with og.Graph().as_default_graph():
        found = run(og.clip(x, low, high), og.clip(x, low), og.clip(x, high=high))
    expected = np.minimum(np.maximum(x, low), high), np.maximum(x, low), np.minimum(x, high)
    np.testing.assert_array_equal(found, expected)


def test_clip_sends_the_gradient_to_x_inside_and_at_the_limits_and_to_the_limits_beyond():
    x, low, high = og.placeholder((None,)), og.placeholder(()), og.placeholder((None,))
    y = og.clip(x, low, high)
    data = {x: [-2.0, -1.0, 0.0, 1.0, 2.0], low: -1.0, high: np.ones(5, np.float32)}
    gx, g_low, g_high = run(*og.grad(y, [x, low, high]), feeds=data)
    assert gx.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert g_low == 1.0
    assert g_high.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_clip_between_limits_that_cross_is_the_upper_one_which_has_the_gradient():
    x, low, high = og.placeholder((3,)), og.placeholder(()), og.placeholder(())
    y = og.clip(x, low, high)
    value, *gradients = run(y, *og.grad(y, [x, low, high]), feeds={x: [-3.0, 0.0, 3.0], low: 1.0, high: -1.0})
    assert value.tolist() == [-1.0, -1.0, -1.0]
    assert gradients[0].tolist() == [0.0, 0.0, 0.0]
    assert (gradients[1], gradients[2]) == (0.0, 3.0)


def test_clip_promotes_broadcasts_and_keeps_nan():
    assert og.clip(np.array([1, 2]), 0.5).dtype == np.float32
    found = run(og.clip(og.constant(np.array([math.nan, 3.0])), np.array([[0.0], [4.0]]), 5))[0]
    np.testing.assert_array_equal(found, [[math.nan, 3.0], [math.nan, 4.0]])
    assert og.clip(og.placeholder((None, 3)), og.placeholder((2, 1))).shape == (2, 3)


def test_clip_without_limits_or_of_complex_numbers_is_refused_at_the_user_s_line():
    with pytest.raises(og.ArgumentError, match="clip: give low, high or both") as caught:
        og.clip(og.constant(1.0))
    assert "test_piecewise.py" in str(caught.value)
    with pytest.raises(og.DtypeError, match="takes no complex numbers") as caught:
        og.clip(og.constant(1j), 0.0)
    assert "test_piecewise.py" in str(caught.value)


def test_the_magnitude_s_gradient_is_the_sign_and_0_at_0():
    x = og.placeholder((4,))
    value, gradient = run(abs(x), og.grad(abs(x), x), feeds={x: [-2.0, -0.0, 0.0, 3.0]})
    assert value.tolist() == [2.0, 0.0, 0.0, 3.0]
    assert gradient.tolist() == [-1.0, 0.0, 0.0, 1.0]


def test_the_magnitude_of_complex_numbers_is_real_and_its_gradient_their_direction():
    z = og.placeholder((3,), dtype=np.complex64)
    value, gradient = run(og.abs(z), og.grad(og.abs(z), z), feeds={z: [3 + 4j, 0, -2j]})
    assert value.dtype == np.float32
    assert value.tolist() == [5.0, 0.0, 2.0]
    np.testing.assert_allclose(gradient, [0.6 + 0.8j, 0, -1j], rtol=1e-6)


def test_magnitude_and_direction_of_complex_numbers_are_right_to_third_order():
    z = og.placeholder((None,), dtype=np.complex128)
    check_grads(og.abs(z), z, {z: [1 + 0.5j, -0.7 + 1.2j]}, order=3)
    check_grads(og.sign(z), z, {z: [1 + 0.5j, -0.7 + 1.2j]}, order=2)


def test_the_direction_of_0_has_a_zero_gradient():
    z = og.placeholder((1,), dtype=np.complex128)
    assert run(og.grad(og.real(og.sign(z)), z), feeds={z: [0]})[0].tolist() == [0]


def test_a_real_sign_has_a_zero_gradient():
    x = og.placeholder((3,))
    value, gradient = run(og.sign(x), og.grad(og.sign(x), x), feeds={x: [-2.0, 0.0, 5.0]})
    assert value.tolist() == [-1.0, 0.0, 1.0]
    assert gradient.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round"])
def test_rounding_is_numpy_s_with_a_zero_gradient(name):
    at = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.7, math.inf], np.float32)
    x = og.placeholder((8,))
    value, gradient = run(getattr(og, name)(x), og.grad(getattr(og, name)(x), x), feeds={x: at})
    np.testing.assert_array_equal(value, getattr(np, name)(at))
    assert gradient.tolist() == [0.0] * 8


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round"])
@pytest.mark.parametrize("dtype", [np.bool, np.int8, np.uint64])
def test_rounding_leaves_integers_and_booleans_as_they_are(name, dtype):
    at = np.array([0, 1, 101]).astype(dtype)
    (found,) = run(getattr(og, name)(og.constant(at)))
    assert found.dtype == dtype
    assert found.tolist() == at.tolist()


def test_rounding_to_places_keeps_what_has_none():
    x = og.placeholder((3,), dtype=np.float16)
    assert run(round(x, 1), feeds={x: [60000.0, 1.26, -math.inf]})[0].tolist() == [60000.0, 1.2998046875, -math.inf]
    assert run(round(x), feeds={x: [0.5, 1.5, -2.5]})[0].tolist() == [0.0, 2.0, -2.0]
    assert run(og.round(np.array([1250.0, 1350.0]), -2))[0].tolist() == [1200.0, 1400.0]
    assert run(og.round(np.array([15, 25, -45], np.int8), -1))[0].tolist() == [20, 20, -40]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rounding_takes_more_places_than_the_dtype_has_powers_of_ten(dtype):
    x = np.array([0.0, 1.5, -2.25, math.inf, -math.inf, math.nan], dtype)
    for decimals in (5, 39, 309, 5000, 2**31, 2**70):
        np.testing.assert_array_equal(run(og.round(x, decimals))[0], x)
    for decimals in (-5, -39, -309, -5000, -(2**31), -(2**70)):
        rounded = run(og.round(x, decimals))[0]
        np.testing.assert_array_equal(rounded, [0.0, 0.0, -0.0, math.inf, -math.inf, math.nan])
        assert np.signbit(rounded[2])
    small = np.array([6e-8, 1.234e-5, 0.123456], np.float16)
    assert run(og.round(small, 5))[0].tolist() == np.array([0.0, 1e-5, 0.12346], np.float16).tolist()


def test_integers_are_rounded_exactly_to_tens():
    x = np.array([2**53 + 15, 2**62 + 5, -15, -25, -7, 2**63 - 8])
    wanted = [2**53 + 18, 2**62 + 6, -20, -20, -10, 2**63 - 8]
    assert run(og.round(x, -1))[0].tolist() == wanted
    assert run(og.round(np.array([2**64 - 16], np.uint64), -1))[0].tolist() == [2**64 - 16]
    for decimals in (-20, -400, -(2**70)):
        assert run(og.round(x, decimals))[0].tolist() == [0] * 6


def test_rounding_refuses_complex_numbers_and_fractions_of_places():
    for name in ("floor", "ceil", "trunc", "round"):
        with pytest.raises(og.DtypeError, match=f"{name}: takes no complex numbers"):
            getattr(og, name)(1j)
    with pytest.raises(og.ArgumentError, match="round: decimals=0.5: expected an integer"):
        og.round(1.0, 0.5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rounding_to_more_places_than_the_dtype_has_changes_nothing_and_to_none_of_them_gives_zero(dtype):
    x = np.array([1.5, -2.25, 0.0, np.inf, np.nan], dtype)
    for decimals, expected in ((400, x), (-400, [0, 0, 0, np.inf, np.nan])):
        np.testing.assert_array_equal(og.RunTime().run(og.round(og.constant(x), decimals)), expected)
