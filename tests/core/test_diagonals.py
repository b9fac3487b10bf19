"""Diagonals and triangles."""

import itertools

import numpy as np
import pytest

import opgraph as og

rng = np.random.default_rng(1)


def normal(*shape):
    return rng.normal(size=shape)


def run(*nodes, feeds=None):
    return og.RunTime().run(list(nodes), feeds)


@pytest.mark.parametrize("offset", [-3, -1, 0, 1, 2, 5])
def test_diagonal_and_trace_are_numpy_s_for_every_offset_and_pair_of_axes(offset):
    x = normal(2, 3, 4)
    node = og.placeholder((None, None, None), dtype=np.float64)
    for axis1, axis2 in itertools.permutations((0, 1, -1), 2):
        y = og.diagonal(node, offset, axis1, axis2)
        found, total = run(y, og.trace(node, offset, axis1, axis2), feeds={node: x})
        np.testing.assert_array_equal(found, np.diagonal(x, offset, axis1, axis2))
        np.testing.assert_allclose(total, np.trace(x, offset, axis1, axis2), rtol=1e-13, atol=1e-14)


def test_the_gradient_of_a_diagonal_stands_on_that_diagonal():
    x = og.placeholder((None, None))
    (g,) = run(og.grad(og.trace(x, 1), x), feeds={x: np.ones((2, 4))})
    assert g.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0]]
    (g,) = run(og.grad(og.trace(x, -1), x), feeds={x: np.ones((2, 4))})
    assert g.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0]]


def test_diag_goes_from_a_vector_to_a_matrix_and_back():
    v, m = og.placeholder((None,)), og.placeholder((None, 4))
    assert og.diag(v, 2).shape == (None, None)
    for k in (-2, 0, 1):
        found, taken = run(og.diag(v, k), og.diag(m, k), feeds={v: [1, 2, 3], m: np.arange(12.0).reshape(3, 4)})
        np.testing.assert_array_equal(found, np.diag(np.float32([1, 2, 3]), k))
        np.testing.assert_array_equal(taken, np.diag(np.arange(12.0).reshape(3, 4), k))
    with pytest.raises(og.ShapeError, match=r"diag: \(2, 3, 4\) is neither a vector nor a matrix; og.diagonal takes"):
        og.diag(np.ones((2, 3, 4)))


def test_a_diagonal_along_one_axis_is_refused():
    with pytest.raises(
        og.ArgumentError, match="diagonal: axis1 1 and axis2 -1 are the same; a diagonal runs along two"
    ):
        og.diagonal(np.ones((2, 3)), 0, 1, -1)
    with pytest.raises(og.ShapeError, match=r"diagonal: \(3,\) is no matrix, nor a stack of them"):
        og.trace(np.ones(3))


@pytest.mark.parametrize("k", [-3, -1, 0, 1, 4])
@pytest.mark.parametrize("function", ["triu", "tril"])
def test_triangles_are_numpy_s_whatever_stands_outside(function, k):
    for shape in [(3, 4), (2, 3, 4), (4, 1), (0, 3)]:
        x = np.full(shape, np.inf)
        np.testing.assert_array_equal(run(getattr(og, function)(x, k))[0], getattr(np, function)(x, k))
    booleans = np.ones((2, 3), bool)
    np.testing.assert_array_equal(run(getattr(og, function)(booleans, k))[0], getattr(np, function)(booleans, k))


@pytest.mark.parametrize("offset", [2**31, -(2**31) - 1, 2**63, -(2**70)])
def test_a_diagonal_however_far_outside_is_empty(offset):
    x = og.placeholder((2, None), dtype=np.float64)
    data = np.arange(6.0).reshape(2, 3)
    taken = og.diagonal(x, offset)
    values = og.RunTime().run([taken, og.trace(x, offset), og.diag(x, offset), og.grad(taken, x)], {x: data})
    assert [v.shape for v in values] == [(0,), (), (0,), (2, 3)]
    assert values[1] == 0
    assert not values[3].any()
