"""Norms, of one tensor and of several."""

import numpy as np
import pytest

import opgraph as og

rng = np.random.default_rng(1)


def normal(*shape):
    return rng.normal(size=shape)


def run(*nodes, feeds=None):
    return og.RunTime().run(list(nodes), feeds)


def test_norm_takes_axes_and_is_real():
    x = normal(2, 3, 4) + 1j * normal(2, 3, 4)
    for axis, keepdims in [(None, False), (1, False), ((0, -1), True), ((), False)]:
        (found,) = run(og.norm(x, axis, keepdims))
        expected = np.sqrt(np.sum(np.abs(x) ** 2, axis=axis, keepdims=keepdims))
        assert found.dtype == np.float64
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert og.norm(np.array([3, 4])).dtype == np.float32
    assert run(og.norm([3, 4]))[0] == 5


@pytest.mark.parametrize(
    ("dtype", "size"), [(np.float32, 1e30), (np.float32, 1e-30), (np.float64, 1e300), (np.float16, 1e4)]
)
def test_a_norm_is_right_where_squares_leave_the_range(dtype, size):
    x = np.array([[3, 4], [0, 0], [1e-3, 0]], dtype) * dtype(size)
    row, whole, together = run(og.norm(x, 1), og.norm(x), og.global_norm([x[:1], x[1:]]))
    np.testing.assert_allclose(row, np.array([5, 0, 1e-3]) * size, rtol=3 * np.finfo(dtype).eps)
    np.testing.assert_allclose([whole, together], [5 * size * np.sqrt(1 + 4e-8)] * 2, rtol=3 * np.finfo(dtype).eps)


def test_the_norm_of_nan_and_infinity_is_that_and_of_nothing_zero():
    x = np.array([[np.inf, 1], [np.nan, 1], [-np.inf, np.inf], [3, 4]])
    np.testing.assert_array_equal(run(og.norm(x, 1))[0], [np.inf, np.nan, np.inf, 5])
    assert run(og.norm(np.ones((0, 3)), 0))[0].tolist() == [0, 0, 0]
    assert run(og.norm(np.ones((0, 3))), og.global_norm([np.ones(0)])) == [0, 0]


def test_the_gradient_of_a_norm_at_zero_is_zero_and_so_are_those_of_higher_order():
    x = og.placeholder((2, 3), dtype=np.float64)
    for y in (og.norm(x, 1), og.global_norm([x * 2, x])):
        first = og.grad(y, x)
        second = og.grad(og.reduce_sum(first), x)
        third = og.grad(og.reduce_sum(second * x), x)
        for value in run(first, second, third, feeds={x: np.zeros((2, 3))}):
            assert value.tolist() == np.zeros((2, 3)).tolist()
    g = run(og.grad(og.norm(x, 1), x), feeds={x: np.array([[0, 0, 0], [3.0, 0, 4]])})[0]
    np.testing.assert_allclose(g, [[0, 0, 0], [0.6, 0, 0.8]], rtol=1e-15)


def test_global_norm_is_the_norm_of_all_elements_together():
    xs = [normal(2, 3), normal(4), normal()]
    nodes = [og.placeholder([None] * x.ndim, dtype=np.float64) for x in xs]
    y = og.global_norm(nodes)
    feeds = dict(zip(nodes, xs, strict=True))
    expected = np.linalg.norm(np.concatenate([x.ravel() for x in xs]))
    np.testing.assert_allclose(run(y, feeds=feeds)[0], expected, rtol=1e-14)
    for g, x in zip(run(*og.grad(y, nodes), feeds=feeds), xs, strict=True):
        np.testing.assert_allclose(g, x / expected, rtol=1e-14)
    with pytest.raises(og.ArgumentError, match="global_norm: xs is a sequence of tensors; write \\[x\\]"):
        og.global_norm(nodes[0])
    with pytest.raises(og.ArgumentError, match="global_norm: of nothing; give at least one tensor"):
        og.global_norm([])


def test_global_norm_of_strided_operands():
    x = normal(6, 8)
    views = [x[::2, ::3], x.T, x[:, ::-1]]
    expected = np.sqrt(sum((v**2).sum() for v in views))
    op = og.global_norm([np.ones(1)]).call.op
    out = np.empty(())
    ins = tuple(og.Spec(v.shape, v.dtype) for v in views)
    scratch = tuple(np.empty(s.shape, s.dtype) for s in op.scratch(ins, op.infer(ins)))
    op.compute(tuple(views), (out,), scratch)
    np.testing.assert_allclose(out, expected, rtol=1e-14)
