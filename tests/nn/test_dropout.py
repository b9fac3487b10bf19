import math

import numpy as np
import pytest

import opgraph as og
import opgraph_nn as nn
from opgraph.testing import check_grads

rng = np.random.default_rng(3)
X = rng.uniform(0.5, 2.0, (300, 70))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_elements_are_dropped_at_the_rate_and_the_others_scaled(rate):
    x = og.placeholder((None, None), np.float64)
    y = og.RunTime(seed=0).run(nn.dropout(x, rate), {x: X})
    dropped = y == 0
    np.testing.assert_allclose(y[~dropped], X[~dropped] / (1 - rate), rtol=1e-15)
    # five standard deviations of a binomial count
    tolerance = 5 * math.sqrt(rate * (1 - rate) * X.size)
    assert abs(np.count_nonzero(dropped) - rate * X.size) < tolerance


def test_neighbours_are_dropped_independently():
    x = og.placeholder((None, None), np.float64)
    dropped = og.RunTime(seed=0).run(nn.dropout(x, 0.5), {x: X}) == 0
    both = np.count_nonzero(dropped[:, 1:] & dropped[:, :-1])
    pairs = 300 * 69
    # neighbouring pairs share an element, which doubles the variance at most
    assert abs(both - pairs / 4) < 5 * math.sqrt(2 * pairs * 3 / 16)


def test_rate_one_gives_zeros_and_a_zero_gradient():
    x = og.placeholder((2, 3))
    y = nn.dropout(x, 1)
    value, gradient = og.RunTime().run([y, og.grad(y, x)], {x: X[:2, :3]})
    assert value.tolist() == gradient.tolist() == [[0, 0, 0]] * 2


@pytest.mark.parametrize("options", [{"rate": 0}, {"rate": 0.5, "is_training": False}])
def test_without_anything_to_drop_the_result_is_the_input_itself(options):
    x = og.placeholder((2, 3))
    assert nn.dropout(x, **options) is x


def test_one_run_shares_its_mask_among_values_and_gradients():
    x = og.placeholder((None, 70), np.float64)
    y = nn.dropout(x, 0.5)
    first = og.grad(y * y, x)
    second = og.grad(first, x)
    value, one, two = og.RunTime().run([y, first, second], {x: X})
    mask = value / X
    np.testing.assert_allclose(one, 2 * mask * mask * X, rtol=1e-14)
    np.testing.assert_allclose(two, 2 * mask * mask, rtol=1e-14)


def test_gradients_agree_with_finite_differences_through_second_order():
    x = og.placeholder((None, 3), np.float64)
    check_grads(nn.dropout(x, 0.4) * x, [x], {x: X[:4, :3]})


def test_the_gradient_reads_the_input_for_its_shape_alone():
    x = og.placeholder((None, 3))
    h = og.log(x)
    gradient = og.grad(nn.dropout(h, 0.5), h)
    # the logarithm would go NaN, if it were run
    assert np.isin(og.RunTime(check_finite=True).run(gradient, {x: -np.ones((2, 3))}), [0, 2]).all()


def test_every_run_draws_another_mask_and_one_seed_the_same_ones():
    x = og.placeholder((None, 70), np.float64)
    y = nn.dropout(x, 0.5)
    one, other = og.RunTime(seed=7), og.RunTime(seed=7)
    runs = [one.run(y, {x: X}) for _ in range(2)]
    assert (runs[0] != runs[1]).any()
    for first in runs:
        np.testing.assert_array_equal(other.run(y, {x: X}), first)
    assert (og.RunTime(seed=8).run(y, {x: X}) != runs[0]).any()


def test_two_dropouts_of_one_run_draw_two_masks():
    x = og.placeholder((None, 70), np.float64)
    one, two = og.RunTime().run([nn.dropout(x, 0.5), nn.dropout(x, 0.5)], {x: X})
    assert (one != two).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_keep_their_dtype(dtype):
    x = og.placeholder((None, 70), dtype)
    y = nn.dropout(x, 0.5)
    value, gradient = og.RunTime().run([y, og.grad(y, x)], {x: X.astype(dtype)})
    assert value.dtype == gradient.dtype == dtype


@pytest.mark.parametrize("is_training", [True, False])
def test_integers_become_the_default_float(is_training):
    assert nn.dropout(np.array([1, 2]), 0.5, is_training).dtype == np.float32


def test_a_rate_near_one_overflows_nothing_but_what_it_keeps():
    x = og.placeholder((None,), np.float16)
    y = og.RunTime(seed=0).run(nn.dropout(x, 0.99999), {x: np.ones(1000, np.float16)})
    assert np.isin(y, [0, np.inf]).all()


def test_it_is_built_in_the_graph_of_its_input():
    x = og.placeholder((2, 3))
    with og.Graph().as_default_graph():
        y = nn.dropout(x, 0.5)
    assert y.graph is x.graph


@pytest.mark.parametrize("rate", [-0.1, 1.5, math.nan, True, "0.5", None])
def test_a_rate_that_is_no_probability_raises(rate):
    with pytest.raises(og.ArgumentError) as caught:
        nn.dropout(og.placeholder((2, 3)), rate, is_training=False)
    assert f"dropout: rate must be a number in [0, 1], not {rate!r}" in str(caught.value)
    assert "test_dropout.py" in str(caught.value)
