"""Cumulative sums and linear recurrences."""

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


@few
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5), st.booleans(), st.booleans())
def test_cumulative_sums_agree_with_a_loop(data, shape, exclusive, reverse):
    x = data.draw(hnp.arrays(np.int32, shape, elements=st.integers(-9, 9)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    found = run(og.cumsum(x, axis, exclusive, reverse))
    assert found.dtype == np.int64
    lanes, found = np.moveaxis(x, axis, -1), np.moveaxis(found, axis, -1)
    for place in np.ndindex(lanes.shape[:-1]):
        lane = list(lanes[place])[:: -1 if reverse else 1]
        sums = [sum(lane[: i + (not exclusive)]) for i in range(len(lane))]
        assert list(found[place]) == (sums[::-1] if reverse else sums)


def test_cumsum_flattens_by_default_and_counts_booleans():
    x = og.placeholder((None, 2), dtype=np.bool)
    total = x.cumsum()
    assert total.shape == (None,)
    found = run(total, feeds={x: [[True, False], [True, True]]})
    assert found.tolist() == [1, 1, 2, 3]
    assert found.dtype == np.int64
    assert run(og.cumsum(2.0)).tolist() == [2.0]
    y = og.placeholder((None, None), dtype=np.float64)
    assert run(og.grad(og.cumsum(y), y), feeds={y: np.ones((2, 3))}).tolist() == [[6, 5, 4], [3, 2, 1]]


@pytest.mark.parametrize("dtype", [np.bool, *np.typecodes["AllInteger"]])
def test_cumulative_sums_of_integers_are_as_wide_as_numpy_s(dtype):
    x = np.array([[100, 101, 102], [103, 0, 104]], dtype)
    found = run(og.cumsum(x, 0))
    assert found.dtype == np.cumsum(x, 0).dtype
    np.testing.assert_array_equal(found, np.cumsum(x, 0))


def test_a_cumulative_sum_of_float16_finds_back_from_beyond_its_end():
    x = np.array([60000, 60000, -60000, -59999], np.float16)
    assert run(og.cumsum(x, 0)).tolist() == [60000.0, np.inf, 60000.0, 0.0]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 37])
def test_the_linear_scan_agrees_with_a_loop(n, reverse):
    rng = np.random.default_rng(n)
    x, h = rng.normal(size=(2, 3, n))
    x[0, n // 2 :] = 0.0
    scan = og.registry.get("core._linear_scan")
    found = run(og.apply(scan(axis=1, reverse=reverse), x, h))
    expected = np.zeros((3, n))
    steps = range(n - 1, 0, -1) if reverse else range(n - 1)
    for i in steps:
        expected[:, i + (-1 if reverse else 1)] = h[:, i] + x[:, i] * expected[:, i]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
