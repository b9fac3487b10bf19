"""Losses of regression, l2norm and the normal density, against closed forms."""

import math

import numpy as np
import pytest

import opgraph as og
import opgraph_nn as nn
from opgraph.testing import check_grads

rng = np.random.default_rng(8)


def run(fetches, feeds=None):
    return og.RunTime().run(fetches, feeds)


def test_mse_is_the_mean_over_all_elements():
    predictions = og.placeholder((None, 2), np.float64)
    loss = nn.mse_loss(predictions, np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    assert loss.shape == ()
    value, gradient = run([loss, og.grad(loss, predictions)], {predictions: [[2.0, 2.0], [3.0, 1.0], [5.0, 6.0]]})
    assert value == (1 + 9) / 6
    np.testing.assert_allclose(gradient, [[2 / 6, 0], [0, -6 / 6], [0, 0]], rtol=1e-15)


def test_huber_is_quadratic_within_delta_and_linear_beyond():
    predictions = og.placeholder((None,), np.float64)
    loss = nn.huber_loss(predictions, 1.0, delta=2.0)
    first = og.grad(loss, predictions)
    found = run([loss, first, og.grad(first, predictions)], {predictions: [-4.0, 0.0, 1.0, 2.5, 11.0]})
    # delta * (abs(d) - delta / 2) at d = -5 and 10
    assert found[0].tolist() == [8.0, 0.5, 0.0, 1.125, 18.0]
    assert found[1].tolist() == [-2.0, -1.0, 0.0, 1.5, 2.0]
    assert found[2].tolist() == [0, 1, 1, 1, 0]


def test_huber_of_an_infinite_difference_has_a_finite_gradient():
    x = og.placeholder((2,))
    loss = nn.huber_loss(x, 0.0)
    value, gradient = run([loss, og.grad(loss, x)], {x: [np.inf, -np.inf]})
    assert value.tolist() == [np.inf, np.inf]
    assert gradient.tolist() == [1, -1]


def test_l2norm_is_half_of_the_sum_of_squares():
    x, scale = og.placeholder((None, 3), np.float64), og.placeholder((), np.float64)
    loss = nn.l2norm(x, scale)
    data = rng.normal(size=(2, 3))
    value, gx, gscale = run([loss, *og.grad(loss, [x, scale])], {x: data, scale: 0.01})
    np.testing.assert_allclose(value, 0.01 * sum(v**2 for v in data.ravel()) / 2, rtol=1e-14)
    np.testing.assert_allclose(gx, 0.01 * data, rtol=1e-14)
    np.testing.assert_allclose(gscale, (data**2).sum() / 2, rtol=1e-14)
    assert run(nn.l2norm(np.array([3, 4]), 2)) == 25


def test_l2norm_takes_a_scalar_alone():
    with pytest.raises(og.ShapeError, match=r"l2norm: scalar has shape \(2,\), which is no scalar's") as caught:
        nn.l2norm(np.ones(3), np.ones(2))
    assert "test_regression.py" in str(caught.value)


def test_float16_squares_do_not_overflow():
    x = og.placeholder((None,), np.float16)
    norm = nn.l2norm(x, 1e-4)
    large = np.full(1000, 300, np.float16)
    value, gradient = run([norm, og.grad(norm, x)], {x: large})
    assert value.dtype == gradient.dtype == np.float16
    np.testing.assert_allclose(value, 1e-4 * 1000 * 300**2 / 2, rtol=1e-3)
    np.testing.assert_allclose(gradient, 0.03, rtol=1e-3)
    loss = nn.mse_loss(x, np.array(60, np.float16))
    np.testing.assert_allclose(run(loss, {x: large}), 240**2, rtol=1e-3)


def test_the_normal_density_is_that_of_the_tables():
    density, log_density = run([nn.normal_density([0.0, 1.0, -2.0]), nn.normal_log_density([0.0, 1.0, -2.0])])
    np.testing.assert_allclose(density, [0.3989423, 0.2419707, 0.0539910], rtol=1e-6)
    np.testing.assert_allclose(log_density, np.log([0.3989423, 0.2419707, 0.0539910]), rtol=1e-5)


def test_the_normal_density_broadcasts_and_integrates_to_one():
    grid = np.linspace(-60, 60, 4001)[:, None]
    density = run(nn.normal_density(grid, np.array([-1.0, 2.0]), np.array([0.5, 3.0])))
    np.testing.assert_allclose(density.sum(0) * (grid[1] - grid[0]), 1, rtol=1e-9)


def test_the_logarithm_of_the_density_does_not_underflow():
    x = og.placeholder((2,), np.float64)
    log_density = nn.normal_log_density(x, 0.0, 2.0)
    value, gradient = run([log_density, og.grad(log_density, x)], {x: [1e4, -1e4]})
    np.testing.assert_allclose(value, -0.5 * 5e3**2 - math.log(2) - 0.5 * math.log(2 * math.pi), rtol=1e-14)
    assert gradient.tolist() == [-2500, 2500]


@pytest.mark.parametrize(
    "function", [nn.normal_density, nn.normal_log_density, nn.mse_loss, lambda x, y, _: nn.huber_loss(x, y)]
)
def test_gradients_agree_with_finite_differences_through_second_order(function):
    nodes = [og.placeholder((None,), np.float64) for _ in range(3)]
    nodes = nodes[:2] if function is nn.mse_loss else nodes
    values = [np.array([0.3, -0.8]), np.array([0.1, 0.9]), np.array([0.7, 1.6])]
    wrt = nodes if function in (nn.normal_density, nn.normal_log_density) else nodes[:2]
    check_grads(function(*nodes), wrt, dict(zip(nodes, values, strict=False)))


@pytest.mark.parametrize("delta", [0, -1.0, math.inf])
def test_delta_is_positive(delta):
    with pytest.raises(og.ArgumentError, match=r"huber_loss: delta must be a number in \(0, inf\)"):
        nn.huber_loss([1.0], [2.0], delta)
