"""`tile` and `repeat`."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import opgraph as og
from opgraph.testing import check_grads

X = np.random.default_rng(0).normal(size=(2, 3))


def run(node, feeds=None):
    return og.RunTime().run(node, feeds)


def fed(shape, dtype=np.float64):
    return og.placeholder(shape, dtype=dtype, name="x")


@settings(max_examples=60, deadline=None)
@given(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), st.lists(st.integers(0, 3), max_size=4))
def test_tile_is_numpy_s_and_its_gradient_counts_the_tiles(shape, reps):
    data = np.arange(float(np.prod(shape))).reshape(shape)
    with og.Graph().as_default_graph():
        x = fed([None] * len(shape))
        y = og.tile(x, reps)
        g = og.grad(y * y, x)
        value, gradient = run([y, g], {x: data})
        assert og.tile(fed(shape), reps).shape == value.shape
    np.testing.assert_array_equal(value, np.tile(data, reps), strict=True)
    np.testing.assert_array_equal(gradient, 2 * data * np.prod(reps, dtype=int), strict=True)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_repeat_is_numpy_s_and_its_gradient_counts_the_repeats(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    n = math.prod(shape) if axis is None else shape[axis]
    repeats = data.draw(st.one_of(st.integers(0, 3), st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    values = np.arange(float(np.prod(shape))).reshape(shape)
    with og.Graph().as_default_graph():
        x = fed([None] * len(shape))
        y = og.repeat(x, repeats, axis)
        value, gradient = run([y, og.grad(y * y, x)], {x: values})
        assert og.repeat(fed(shape), repeats, axis).shape == value.shape
    times = np.broadcast_to(np.asarray(repeats, int), (n,))
    np.testing.assert_array_equal(value, np.repeat(values, times, axis), strict=True)
    counts = times.reshape(shape if axis is None else [n if i == axis % len(shape) else 1 for i in range(len(shape))])
    np.testing.assert_array_equal(gradient, 2 * values * counts)


def test_transposed_values_are_repeated():
    x = fed((None, None))
    found = run([og.tile(x.T, (1, 2)), og.repeat(x.T, 2, 0), og.repeat(x.T, 2)], {x: X})
    for value, expected in zip(found, [np.tile(X.T, (1, 2)), np.repeat(X.T, 2, 0), np.repeat(X.T, 2)], strict=True):
        np.testing.assert_array_equal(value, expected, strict=True)


def test_gradients_hold_through_second_order():
    x = fed((None, None))
    for y in (og.tile(x, (2, 1, 2)), og.repeat(x, (2, 0, 1), 1), og.repeat(x, 2)):
        check_grads(og.exp(y) * y, x, {x: X})
        check_grads(og.exp(og.grad(og.exp(y), x)), x, {x: X})


def test_unknown_sizes_follow():
    x = fed((None, 3))
    assert og.tile(x, (2, 2)).shape == (None, 6)
    assert og.tile(x, 0).shape == (None, 0)
    assert og.tile(x, (0, 1)).shape == (0, 3)
    assert og.repeat(x, 2, 0).shape == (None, 3)
    assert og.repeat(x, [2, 1], 0).shape == (3, 3)
    assert og.repeat(x, 2).shape == (None,)
    with pytest.raises(og.ShapeError, match="repeat: 2 repeats for axis 0 of size 4; give one number, or one for each"):
        run(og.repeat(x, [2, 1], 0), {x: np.zeros((4, 3))})
    with pytest.raises(og.ShapeError, match="repeat: 2 repeats for axis 1 of size 3"):
        og.repeat(x, [2, 1], 1)


def test_one_repeat_in_a_list_holds_for_all_as_in_numpy():
    assert run(og.repeat([1.0, 2.0], [2])).tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.complex64])
def test_gradients_keep_the_dtype(dtype):
    x = fed((2, 3), dtype)
    for y in (og.tile(x, (2, 2)), og.repeat(x, 2, 1)):
        g = run(og.grad(y, x, np.ones(y.shape, dtype)), {x: X.astype(dtype)})
        assert g.dtype == dtype
        assert np.unique(g).tolist() == [y.shape.size / 6]


def test_sums_of_more_float16_tiles_than_a_buffer_holds_do_not_overflow():
    x = fed((1,), np.float16)
    g = og.grad(og.tile(x, 40_000), x, np.repeat(np.array([1000, -1000], np.float16), 20_000))
    assert run(g, {x: [1]}).tolist() == [0]


def test_sums_of_float16_may_pass_its_largest_value_on_the_way():
    x = fed((1,), np.float16)
    cotangent = np.array([6e4, 6e4, -6e4], np.float16)
    for y in (og.tile(x, 3), og.repeat(x, 3)):
        assert run(og.grad(y, x, cotangent), {x: [1]}).tolist() == [np.float16(6e4)]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda x: og.tile(x, (-1, 2)), r"tile: reps \(-1, 2\) cannot be negative"),
        (lambda x: og.repeat(x, -1), "repeat: repeats -1 cannot be negative"),
        (lambda x: og.repeat(x, [1, -1], 0), r"repeat: repeats \(1, -1\) cannot be negative"),
        (lambda x: og.repeat(x, 1.5, 0), "repeat: repeats=1.5"),
        (lambda x: og.repeat(x, 1, 2), "repeat: axis 2 is out of range"),
        (lambda x: og.tile(x, 2.0), "tile: reps="),
    ],
)
def test_what_is_no_count_is_refused(build, message):
    with pytest.raises(og.ArgumentError, match=message) as caught:
        build(fed((2, 3)))
    assert "test_tiling.py" in str(caught.value)
