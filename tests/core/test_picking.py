"""Elements picked along an axis by their places, and added up there."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og
from opgraph.testing import check_grads

few = settings(max_examples=60, deadline=None)


def run(*nodes, feeds=None):
    values = og.RunTime().run(list(nodes), feeds)
    return values[0] if len(nodes) == 1 else values


def slow_add_along_axis(g, indices, shape, axis):
    total = np.zeros(shape, g.dtype)
    for place in np.ndindex(g.shape):
        to = [i if n > 1 else 0 for i, n in zip(place, shape, strict=True)]
        to[axis] = indices[tuple(i if n > 1 else 0 for i, n in zip(place, indices.shape, strict=True))]
        total[tuple(to)] += g[place]
    return total


@st.composite
def picks(draw):
    """An array, indices into it whose other dimensions broadcast against its own, and the axis."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    ones = draw(st.tuples(*[st.sampled_from(["x", "indices", "neither"]) for _ in shape]))
    size = shape[axis]
    x = [1 if one == "x" else n for n, one in zip(shape, ones, strict=True)]
    x[axis] = size
    places = [1 if one == "indices" else n for n, one in zip(shape, ones, strict=True)]
    places[axis] = draw(st.integers(0, 5))
    dtype = draw(st.sampled_from([np.int64, np.int8, np.uint8, np.uint64]))
    least = 0 if np.dtype(dtype).kind == "u" else -size
    indices = draw(hnp.arrays(dtype, tuple(places), elements=st.integers(least, size - 1)))
    return np.arange(1.0, 1 + np.prod(x)).reshape(x), indices, axis


@few
@given(picks())
def test_taking_along_an_axis_agrees_with_numpy_and_its_gradient_with_a_loop(pick):
    x, indices, axis = pick
    source = og.placeholder([None] * x.ndim, dtype=np.float64)
    places = og.placeholder([None] * x.ndim, dtype=indices.dtype)
    y = og.take_along_axis(source, places, axis)
    expected = np.take_along_axis(x, indices.astype(np.int64), axis)
    g = og.placeholder([None] * x.ndim, dtype=np.float64)
    cotangent = np.arange(1.0, 1 + expected.size).reshape(expected.shape)
    value, gradient = run(y, og.grad(y, source, g), feeds={source: x, places: indices, g: cotangent})
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(gradient, slow_add_along_axis(cotangent, indices, x.shape, axis))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64])
def test_what_is_taken_twice_gets_both_gradients_in_its_own_dtype(dtype):
    x = og.placeholder((3,), dtype=dtype)
    y = og.take_along_axis(x, [0, 2, 0, -1])
    gradient = run(og.grad(y, x, np.array([1, 2, 4, 8], dtype)), feeds={x: np.ones(3, dtype)})
    assert gradient.tolist() == [5, 0, 10]
    assert gradient.dtype == dtype


def test_a_scattered_sum_of_float16_may_pass_its_end_on_the_way():
    x = og.placeholder((2,), dtype=np.float16)
    y = og.take_along_axis(x, [1, 1, 1])
    cotangent = np.array([60000, 60000, -60000], np.float16)
    assert run(og.grad(y, x, cotangent), feeds={x: np.ones(2)}).tolist() == [0.0, 60000.0]


def test_integers_and_booleans_are_taken():
    assert run(og.take_along_axis(np.array([5, 6, 7], np.int8), np.array([-1, 0]))).tolist() == [7, 5]
    found = run(og.take_along_axis(np.array([[True, False]]), [[1, 1, 0]]))
    assert found.dtype == np.bool
    assert found.tolist() == [[False, False, True]]


def test_what_is_taken_may_be_strided():
    x = np.arange(6.0).reshape(2, 3)
    indices = np.array([[0, 1], [1, 1], [0, 0]])
    turned = og.take_along_axis(og.transpose(og.constant(x)), og.flip(og.constant(indices)), 1)
    np.testing.assert_array_equal(run(turned), np.take_along_axis(x.T, indices[::-1, ::-1], 1))


@pytest.mark.parametrize(("wrong", "place"), [(3, r"\[0, 2\]"), (-4, r"\[0, 2\]")])
def test_an_index_out_of_range_is_named_with_its_place_the_axis_and_the_user_s_line(wrong, place):
    x, indices = og.placeholder((2, 3), name="x"), og.placeholder((2, None), dtype=np.int64, name="indices")
    y = og.take_along_axis(x, indices, -1)
    at = {x: np.ones((2, 3)), indices: [[0, 2, wrong], [1, wrong, 0]]}
    message = f"take_along_axis: indices{place} is {wrong}, out of range for axis 1 of size 3"
    with pytest.raises(og.ArgumentError, match=message) as caught:
        run(y, feeds=at)
    assert "y = og.take_along_axis(x, indices, -1)" in str(caught.value)
    with pytest.raises(og.ArgumentError, match=message.replace("take_along_axis", "add_along_axis")):
        run(og.grad(y, x, np.ones((2, 3))), feeds=at)


def test_nothing_is_taken_from_nothing_and_something_is_not():
    x = og.placeholder((None,), name="x")
    indices = og.placeholder((None,), dtype=np.int32)
    y = og.take_along_axis(x, indices)
    assert run(y, feeds={x: [], indices: np.zeros(0, np.int32)}).shape == (0,)
    with pytest.raises(og.ArgumentError, match="out of range for axis 0 of size 0"):
        run(y, feeds={x: [], indices: [0]})


def test_indices_that_do_not_fit_are_refused_with_what_came():
    x = og.placeholder((2, 3), name="x")
    with pytest.raises(og.DtypeError, match="indices are integers, not float32"):
        og.take_along_axis(x, og.placeholder((2, 3)))
    with pytest.raises(og.DtypeError, match="indices are integers, not bool"):
        og.take_along_axis(x, [[True, False, True]])
    with pytest.raises(og.ShapeError, match=r"indices \(2,\) have 1 dimensions where x \(2, 3\) has 2"):
        og.take_along_axis(x, [0, 1], 0)
    with pytest.raises(og.ShapeError, match="take_along_axis: a list that is no array"):
        og.take_along_axis(x, [[0], [1, 2]])
    with pytest.raises(og.ArgumentError, match="axis 2 is out of range for 2 dimensions"):
        og.take_along_axis(x, [[0]], 2)


def test_gradients_of_what_is_taken_hold_through_third_order_with_broadcasting():
    x = og.placeholder((None, None), dtype=np.float64)
    y = og.take_along_axis(x, np.array([[0, 0, 2], [1, -1, 1]]), 1)
    check_grads(y * y * y, x, {x: [[0.5, -1.5, 2.0]]}, order=3)
