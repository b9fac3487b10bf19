"""The places of extremes, sorting and the greatest few."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og
from opgraph.testing import check_grads

NAN = float("nan")
few = settings(max_examples=60, deadline=None)
# small numbers, so that many are equal, and NaN
ties = st.sampled_from([-1.0, -0.0, 0.0, 1.0, 2.0, NAN, -np.inf, np.inf])


def run(*nodes, feeds=None):
    values = og.RunTime().run(list(nodes), feeds)
    return values[0] if len(nodes) == 1 else values


def lanes(x, axis):
    """The lanes of `x` along `axis`, each with the index of its place in an array without that axis."""
    moved = np.moveaxis(x, axis, -1)
    return [(place, list(moved[place])) for place in np.ndindex(moved.shape[:-1])]


def greater(a, b):
    """Whether a comes before b in descending order: NaN is the greatest."""
    return (np.isnan(a) and not np.isnan(b)) or a > b


def slow_order(lane, descending):
    """The stable order of a lane, by insertion."""
    order = []
    for i, value in enumerate(lane):
        at = len(order)
        while at and (greater(value, lane[order[at - 1]]) if descending else greater(lane[order[at - 1]], value)):
            at -= 1
        order.insert(at, i)
    return order


def test_the_first_of_equal_extremes_is_found_and_nan_wins():
    x = np.array([[1.0, 3.0, 3.0], [2.0, NAN, NAN], [0.0, 0.0, -0.0]])
    assert run(og.argmax(x, 1)).tolist() == [1, 1, 0]
    assert run(og.argmin(x, 1)).tolist() == [0, 1, 0]
    assert run(og.argmax(x)) == 4
    found = run(og.constant(x).argmin(axis=-2, keepdims=True))
    assert found.tolist() == [[2, 1, 1]]
    assert found.dtype == np.int64


def test_argmax_takes_integers_and_booleans_and_is_no_way_for_a_gradient():
    assert run(og.argmax(np.array([3, 7, 7], np.uint8))) == 1
    assert run(og.argmin(np.array([True, False, False]))) == 1
    x = og.placeholder((3,))
    with pytest.raises(og.GradientError, match="only floating-point and complex values have gradients"):
        og.grad(og.argmax(x), x)
    with pytest.raises(og.GradientError, match="does not depend on"):
        og.grad(og.argmax(x).astype(np.float32), x)


def test_the_place_of_an_extreme_of_nothing_is_an_error_when_that_is_known():
    with pytest.raises(og.ShapeError, match=r"argmax: \(None, 0\) has size 0 along axis 1.*no maximum") as caught:
        og.argmax(og.placeholder((None, 0)), 1)
    assert "test_ordering.py" in str(caught.value)
    x = og.placeholder((None, 3), name="x")
    least = og.argmin(x, 0)
    assert least.shape == (3,)
    with pytest.raises(og.ShapeError, match=r"argmin: \(0, 3\) has size 0 along axis 0.*no minimum"):
        run(least, feeds={x: np.ones((0, 3))})
    assert run(og.argmin(x, 1), feeds={x: np.ones((0, 3))}).shape == (0,)


@few
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6), st.booleans())
def test_sorting_is_stable_with_nan_the_greatest(data, shape, descending):
    x = data.draw(hnp.arrays(np.float64, shape, elements=ties))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    values, order = run(og.sort(x, axis, descending), og.argsort(x, axis, descending))
    for (place, lane), (_, got), (_, found) in zip(*(lanes(a, axis) for a in (x, values, order)), strict=True):
        wanted = slow_order(lane, descending)
        assert found == wanted, place
        np.testing.assert_array_equal(got, [lane[i] for i in wanted])


def test_integers_booleans_and_strided_values_are_sorted():
    x = np.array([[3, 1], [2, 9], [5, 4]], np.int16)
    turned = og.transpose(og.constant(x))
    assert run(og.sort(turned)).tolist() == [[2, 3, 5], [1, 4, 9]]
    assert run(og.sort(turned, 0, descending=True)).tolist() == [[3, 9, 5], [1, 2, 4]]
    assert run(og.argsort(og.flip(turned, 1))).tolist() == [[1, 2, 0], [2, 0, 1]]
    assert run(og.sort(np.array([True, False, True]))).tolist() == [False, True, True]
    assert run(og.sort(turned)).dtype == np.int16


def test_the_gradient_of_sorting_goes_back_in_stable_order():
    x = og.placeholder((None,), dtype=np.float64)
    weights = np.array([1.0, 10.0, 100.0, 1000.0])
    at = {x: [2.0, 1.0, 2.0, 0.0]}
    assert run(og.grad(og.sort(x) * weights, x), feeds=at).tolist() == [100.0, 10.0, 1000.0, 1.0]
    assert run(og.grad(og.sort(x, descending=True) * weights, x), feeds=at).tolist() == [1.0, 100.0, 10.0, 1000.0]


def test_gradients_of_functions_of_sorted_values_hold_through_third_order():
    x = og.placeholder((None, None), dtype=np.float64)
    at = {x: [[0.5, -1.5, 2.5], [3.5, 1.0, -0.25]]}
    ranked = og.sort(x, 0)
    check_grads(ranked * ranked * ranked * np.array([[1.0], [2.0]]), x, at, order=3)
    values, _ = og.topk(x, 2)
    check_grads(og.exp(values) * np.array([1.0, 3.0]), x, at, order=3)


@few
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6))
def test_topk_takes_the_greatest_first_and_of_equal_ones_the_first(data, shape):
    x = data.draw(hnp.arrays(np.float32, shape, elements=ties))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    k = data.draw(st.integers(0, shape[axis]))
    values, indices = run(*og.topk(x, k, axis))
    assert (values.dtype, indices.dtype) == (np.float32, np.int64)
    assert values.shape == indices.shape == tuple(k if i == axis % x.ndim else n for i, n in enumerate(shape))
    for (_, lane), (_, got), (_, found) in zip(*(lanes(a, axis) for a in (x, values, indices)), strict=True):
        wanted = slow_order(lane, descending=True)[:k]
        assert found == wanted
        np.testing.assert_array_equal(got, [lane[i] for i in wanted])


def test_topk_of_many_distinct_numbers_is_the_head_of_the_sorted_ones():
    x = np.random.default_rng(0).permuted(np.tile(np.arange(200.0), (5, 1)), axis=1)
    x[2, 17] = NAN
    values, indices = run(*og.topk(og.transpose(og.constant(x)), 7, axis=0))
    np.testing.assert_array_equal(indices, np.argsort(-np.where(np.isnan(x), np.inf, x), axis=1)[:, :7].T)
    np.testing.assert_array_equal(values, np.take_along_axis(x.T, indices, 0))


def test_topk_s_gradient_goes_to_what_was_taken():
    x = og.placeholder((None,), name="x")
    values, _ = og.topk(x, 2)
    assert values.shape == (2,)
    assert run(og.grad(values * [3.0, 5.0], x), feeds={x: [1.0, 2.0, 4.0, 2.0]}).tolist() == [0.0, 5.0, 3.0, 0.0]


def test_a_k_that_is_too_large_is_an_error_when_that_is_known():
    with pytest.raises(og.ArgumentError, match="topk: k=4 exceeds the size of axis 1, which is 3") as caught:
        og.topk(og.placeholder((None, 3)), 4)
    assert "test_ordering.py" in str(caught.value)
    x = og.placeholder((None, 3))
    values, _ = og.topk(x, 4, axis=0)
    assert values.shape == (4, 3)
    with pytest.raises(og.ArgumentError, match="topk: k=4 exceeds the size of axis 0, which is 2"):
        run(values, feeds={x: np.ones((2, 3))})
