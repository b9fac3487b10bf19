import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import opgraph as og
import opgraph_nn as nn


def run(fetches, feeds=None):
    return og.RunTime().run(fetches, feeds)


def test_relu_keeps_positive_elements_and_zeroes_the_others():
    assert run(nn.relu([[-2.0, -0.0, 3.0], [0.5, -np.inf, np.inf]])).tolist() == [[0, 0, 3], [0.5, 0, np.inf]]


def test_relu_lets_nan_through():
    assert np.isnan(run(nn.relu([np.nan]))).all()


def test_relu_has_gradient_zero_at_zero():
    x = og.placeholder((None,))
    assert run(og.grad(nn.relu(x), x), {x: [-1.0, -0.0, 0.0, 1e-30, 2.0]}).tolist() == [0, 0, 0, 1, 1]


def test_relu_has_second_derivative_zero():
    x = og.placeholder((3,))
    first = og.grad(nn.relu(x), x)
    assert run(og.grad(first, x), {x: [-1.0, 0.0, 2.0]}).tolist() == [0, 0, 0]


def test_the_square_of_relu_has_second_derivative_two_where_positive():
    x = og.placeholder((3,))
    y = nn.relu(x) * nn.relu(x)
    second = og.grad(og.grad(y, x), x)
    assert run(second, {x: [-1.0, 0.0, 2.0]}).tolist() == [0, 0, 2]


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool])
def test_relu_of_integers_and_booleans_keeps_their_dtype(dtype):
    x = np.array([0, 1, 1], dtype)
    value = run(nn.relu(x))
    assert value.dtype == dtype
    assert value.tolist() == x.tolist()


def test_relu_of_complex_numbers_raises():
    with pytest.raises(og.DtypeError, match="relu: complex numbers are not ordered") as caught:
        nn.relu(np.ones(3) * 1j)
    assert "test_activation.py" in str(caught.value)


SLICES = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4),
    elements=st.floats(-1e4, 1e4),
)


@given(SLICES, st.data())
def test_softmax_is_a_distribution_that_ignores_shifts(x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    y, shifted = run([nn.softmax(x, axis), nn.softmax(x + 1e4, axis)])
    assert (y >= 0).all()
    np.testing.assert_allclose(y.sum(axis), 1, rtol=1e-14)
    np.testing.assert_allclose(shifted, y, rtol=1e-7)


@given(SLICES, st.data())
def test_log_softmax_is_x_less_one_number_per_slice(x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    y = run(nn.log_softmax(x, axis))
    difference = x - y
    np.testing.assert_allclose(difference, difference.max(axis, keepdims=True) + 0 * x, rtol=0, atol=1e-11)
    np.testing.assert_allclose(np.exp(y).sum(axis), 1, rtol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_softmax_of_huge_logits_is_exact(dtype):
    x = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4]], dtype)
    assert run(nn.log_softmax(x)).tolist() == [[0, -2e4, -1e4], [-2e4, -2e4, 0]]


def test_softmax_of_slices_without_elements_is_empty():
    y, log_y = run([nn.softmax(np.ones((2, 0))), nn.log_softmax(np.ones((2, 0)))])
    assert y.shape == log_y.shape == (2, 0)


def test_softmax_of_integers_is_the_default_float():
    assert nn.softmax(np.array([1, 2])).dtype == nn.log_softmax(np.array([1, 2])).dtype == np.float32


@pytest.mark.parametrize("function", [nn.softmax, nn.log_softmax])
def test_an_axis_out_of_range_is_named(function):
    x = og.placeholder((None, 3), name="x")
    with pytest.raises(og.ArgumentError, match="softmax: axis 2 is out of range for 2 dimensions") as caught:
        function(x, axis=2)
    assert "placeholder 'x' (None, 3) float32" in str(caught.value)
    assert "test_activation.py" in str(caught.value)


def test_log_softmax_of_many_float16_logits_does_not_overflow():
    x = og.placeholder((70_000,), dtype=np.float16)
    value = og.RunTime().run(og.log_softmax(x), {x: np.zeros(70_000)})
    assert value.dtype == np.float16
    assert value[0] == np.float16(-np.log(70_000))
