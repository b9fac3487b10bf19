import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import opgraph as og
import opgraph_nn as nn
from opgraph.testing import check_grads


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


def gelu_tanh(x):
    return nn.gelu(x, approximate=True)


EXTREMES = [-np.inf, -1e4, -800.0, 800.0, 1e4, np.inf]
SMOOTH = {  # the limits of values and of first derivatives
    nn.sigmoid: ([0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]),
    nn.log_sigmoid: ([-np.inf, -1e4, -800, 0, 0, 0], [1, 1, 1, 0, 0, 0]),
    nn.softplus: ([0, 0, 0, 800, 1e4, np.inf], [0, 0, 0, 1, 1, 1]),
    nn.silu: ([0, 0, 0, 800, 1e4, np.inf], [0, 0, 0, 1, 1, 1]),
    nn.gelu: ([0, 0, 0, 800, 1e4, np.inf], [0, 0, 0, 1, 1, 1]),
    gelu_tanh: ([0, 0, 0, 800, 1e4, np.inf], [0, 0, 0, 1, 1, 1]),
    nn.elu: ([-1, -1, -1, 800, 1e4, np.inf], [0, 0, 0, 1, 1, 1]),
    nn.leaky_relu: ([-np.inf, -2e3, -160, 800, 1e4, np.inf], [0.2, 0.2, 0.2, 1, 1, 1]),
}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("function", SMOOTH)
def test_extreme_inputs_give_the_limits_of_values_and_derivatives(function, dtype):
    x = og.placeholder((None,), dtype)
    y = function(x)
    first = og.grad(y, x)
    found = run([y, first, og.grad(first, x)], {x: np.array(EXTREMES, dtype)})
    values, slopes = SMOOTH[function]
    assert found[0].tolist() == np.array(values).astype(dtype).tolist()
    assert found[1].tolist() == np.array(slopes).astype(dtype).tolist()
    assert found[2].tolist() == [0] * 6


def test_leaky_relu_of_alpha_zero_is_relu_at_infinity_too():
    assert run(nn.leaky_relu([-np.inf, -1.0, 2.0, np.inf], alpha=0)).tolist() == [0, 0, 2, np.inf]


@pytest.mark.parametrize("function", SMOOTH)
def test_activations_let_nan_through(function):
    assert np.isnan(run(function([np.nan]))).all()


@pytest.mark.parametrize("function", SMOOTH)
def test_integers_become_the_default_float_and_complex_numbers_raise(function):
    assert run(function(np.array([1, 2]))).dtype == np.float32
    with pytest.raises(og.DtypeError, match="takes floating-point values, not complex128") as caught:
        function(np.ones(2) * 1j)
    assert "test_activation.py" in str(caught.value)


@pytest.mark.parametrize("function", [nn.sigmoid, nn.log_sigmoid, nn.softplus, nn.silu, nn.elu, nn.selu])
@pytest.mark.parametrize("at", [-40.0, -3.0, 2.0, 40.0])
def test_derivatives_hold_through_third_order(function, at):
    x = og.placeholder((2,), np.float64)
    check_grads(function(x), x, {x: np.array([at, at / 2])}, order=3)


def test_gelu_is_x_times_the_normal_distribution_function():
    x = np.array([-12.0, -3.0, -0.5, 0.0, 1e-3, 2.0, 9.0])
    exact = [v * math.erfc(-v / math.sqrt(2)) / 2 for v in x]
    value, single = run([nn.gelu(x), nn.gelu(x.astype(np.float32))])
    np.testing.assert_allclose(value, exact, rtol=1e-13)
    np.testing.assert_allclose(single, exact, rtol=2e-5)
    assert single.dtype == np.float32


@pytest.mark.parametrize("function", [nn.gelu, gelu_tanh])
def test_derivatives_of_gelu_hold_through_third_order_at_zero_too(function):
    x = og.placeholder((5,), np.float64)
    check_grads(function(x), x, {x: [-3.0, -0.7, 0.0, 0.4, 2.5]}, order=3)


def test_gelu_approximately_is_the_form_with_tanh_and_near_the_exact_one():
    x = np.linspace(-6, 6, 101)
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    value, exact = run([gelu_tanh(x), nn.gelu(x)])
    np.testing.assert_allclose(value, x * (1 + np.tanh(u)) / 2, atol=1e-15)
    assert 1e-4 < np.abs(value - exact).max() < 5e-4


@pytest.mark.parametrize("wrong", ["tanh", "none", 1, None])
def test_gelu_asks_for_a_boolean(wrong):
    with pytest.raises(og.ArgumentError, match="gelu: approximate is True or False, not") as caught:
        nn.gelu([1.0], wrong)
    assert "test_activation.py" in str(caught.value)


def test_the_tails_keep_their_relative_precision():
    x = np.array([-700.0, -40.0, 40.0])
    sigmoid, softplus, log_sigmoid = run([nn.sigmoid(x), nn.softplus(x), nn.log_sigmoid(x)])
    np.testing.assert_allclose(sigmoid, [math.exp(-700), math.exp(-40), 1], rtol=1e-12)
    np.testing.assert_allclose(softplus, [math.exp(-700), math.exp(-40), 40], rtol=1e-12)
    np.testing.assert_allclose(log_sigmoid, [-700, -40, -math.exp(-40)], rtol=1e-12)


@pytest.mark.parametrize(
    "function", [nn.sigmoid, nn.log_sigmoid, nn.softplus, nn.silu, nn.gelu, gelu_tanh, nn.elu, nn.selu]
)
def test_float16_is_the_exact_value_rounded(function):
    x = np.linspace(-16, 16, 500).astype(np.float16)
    value, exact = run([function(x), function(x.astype(np.float64))])
    assert value.dtype == np.float16
    spacing = np.spacing(np.abs(exact).astype(np.float16)).astype(np.float64)
    # the scale of selu rounds once more
    assert (np.abs(value - exact) <= (0.51 if function is not nn.selu else 1.6) * spacing).all()


def test_the_gradient_at_the_kink_is_that_of_the_left():
    x = og.placeholder((3,), np.float64)
    data = {x: [-0.0, 0.0, 1e-30]}
    assert run(og.grad(nn.leaky_relu(x, 0.3), x), data).tolist() == [0.3, 0.3, 1]
    assert run(og.grad(nn.elu(x, 2.0), x), data).tolist() == [2, 2, 1]
    np.testing.assert_allclose(run(og.grad(nn.selu(x), x), data), [1.758099, 1.758099, 1.050701], rtol=1e-6)


def test_leaky_relu_has_second_derivative_zero():
    x = og.placeholder((3,))
    first = og.grad(nn.leaky_relu(x), x)
    assert run(og.grad(first, x), {x: [-1.0, 0.0, 2.0]}).tolist() == [0, 0, 0]


def test_softplus_of_a_large_beta_is_relu_and_does_not_overflow_in_float16():
    x = np.array([-5000, -1, 0, 1, 5000], np.float16)
    value = run(nn.softplus(x, beta=1000))
    np.testing.assert_allclose(value, [0, 0, np.float16(math.log(2) / 1000), 1, 5000], rtol=1e-3)


def test_selu_keeps_mean_zero_and_variance_one():
    value = run(nn.selu(np.random.default_rng(3).normal(size=200_000)))
    np.testing.assert_allclose([value.mean(), value.var()], [0, 1], atol=0.02)


@given(hnp.arrays(np.float64, (7,), elements=st.floats(-50, 50)))
def test_sigmoid_is_symmetric_and_softplus_its_integral(x):
    s, opposite, p, q = run([nn.sigmoid(x), nn.sigmoid(-x), nn.softplus(x), nn.softplus(-x)])
    np.testing.assert_allclose(s + opposite, 1, rtol=1e-14)
    np.testing.assert_allclose(p - q, x, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(np.exp(-q), s, rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.leaky_relu([1.0], math.inf), r"leaky_relu: alpha must be a number in \(-inf, inf\), not inf"),
        (lambda: nn.leaky_relu([1.0], "0.2"), r"leaky_relu: alpha='0.2': expected a number"),
        (lambda: nn.elu([1.0], math.nan), r"elu: alpha must be a number in \(-inf, inf\), not nan"),
        (lambda: nn.softplus([1.0], 0), r"softplus: beta must be a number in \(0, inf\), not 0"),
    ],
)
def test_attributes_out_of_range_are_named(make, message):
    with pytest.raises(og.ArgumentError, match=message) as caught:
        make()
    assert "test_activation.py" in str(caught.value)
