"""Flips and rolls."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og

few = settings(max_examples=60, deadline=None)


def run(*nodes, feeds=None):
    values = og.RunTime().run(list(nodes), feeds)
    return values[0] if len(nodes) == 1 else values


def test_flip_agrees_with_numpy_and_is_a_view():
    x = np.arange(24).reshape(2, 3, 4)
    for axis in (None, 0, -1, (0, 2), [-2, 0], ()):
        np.testing.assert_array_equal(run(og.flip(x, axis)), np.flip(x, axis))
    assert run(og.flip(3.0)) == 3.0
    flip = og.registry.get("core.flip")
    assert all(np.shares_memory(flip(axes).view((x,))[0], x) for axes in (None, (0,), ()))


@few
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))
def test_roll_agrees_with_numpy(data, shape):
    x = np.arange(np.prod(shape)).reshape(shape)
    axes = st.integers(-len(shape), len(shape) - 1)
    pairs = st.lists(st.tuples(st.integers(-9, 9), axes), min_size=1, max_size=3)
    shift, axis = data.draw(
        st.one_of(
            st.tuples(st.integers(-9, 9), st.none() | axes | st.lists(axes, min_size=1, max_size=3)),
            st.tuples(st.lists(st.integers(-9, 9), min_size=1, max_size=3), st.none() | axes),
            pairs.map(lambda pairs: tuple(zip(*pairs, strict=True))),
        )
    )
    np.testing.assert_array_equal(run(og.roll(x, shift, axis)), np.roll(x, shift, axis))


def test_roll_flattens_values_of_unknown_size_and_refuses_shifts_without_axes():
    x = og.placeholder((None, 2))
    y = og.roll(x, 1)
    assert y.shape == (None, 2)
    assert run(y, feeds={x: [[1, 2], [3, 4]]}).tolist() == [[4, 1], [2, 3]]
    with pytest.raises(og.ArgumentError, match=r"roll: 3 shifts \(1, 2, 3\) for 2 axes \(0, 1\)"):
        og.roll(x, (1, 2, 3), (0, 1))
