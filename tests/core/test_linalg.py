"""Matrix products, tensordot and its kin, diagonals, triangles and norms."""

import itertools

import numpy as np
import pytest

import opgraph as og
from opgraph.ops._contraction import matrix_product
from opgraph.testing import check_grads

rng = np.random.default_rng(1)


def normal(*shape):
    return rng.normal(size=shape)


def run(*nodes, feeds=None):
    return og.RunTime().run(list(nodes), feeds)


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        *itertools.product([(3,), (2, 3), (4, 2, 3), (5, 1, 2, 3)], [(3,), (3, 6), (4, 3, 6), (1, 3, 6), (5, 4, 3, 1)]),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 3)),
        ((0, 2, 3), (3, 4)),
        ((4, 2, 3), (4, 3, 0)),
        ((0,), (0,)),
    ],
)
def test_matmul_gives_numpy_s_values_and_adjoint_gradients(x, y, unknown):
    a, b = normal(*x) + 1j * normal(*x), normal(*y) + 1j * normal(*y)
    nodes = [og.placeholder([None] * len(s) if unknown else s, dtype=np.complex128) for s in (x, y)]
    z = og.matmul(*nodes)
    expected = np.matmul(a, b)
    g = normal(*expected.shape) * (2 - 1j)
    found, ga, gb = run(z, *og.grad(z, nodes, og.constant(g)), feeds=dict(zip(nodes, (a, b), strict=True)))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    for gradient, product in [(ga, lambda v: np.matmul(v, b)), (gb, lambda v: np.matmul(a, v))]:
        direction = normal(*gradient.shape)
        # the cotangent of a linear map is its adjoint
        np.testing.assert_allclose(np.vdot(gradient, direction), np.vdot(g, product(direction)), rtol=1e-10, atol=1e-12)


def test_the_gradient_of_a_product_of_matrices_is_two_products_and_two_views():
    x, y = og.placeholder((2, 3)), og.placeholder((3, 4))
    gx, gy = og.grad(x @ y, [x, y], np.ones((2, 4), np.float32))
    assert [[n.call.op.name for n in (g, *g.inputs) if n.call is not None] for g in (gx, gy)] == [
        ["core.matmul", "core.transpose"],
        ["core.matmul", "core.transpose"],
    ]


def test_the_gradient_of_weights_shared_by_a_stack_is_one_product_without_a_stack_of_gradients():
    x, w = og.placeholder((None, None, 3)), og.placeholder((3, 4))
    gradient = og.grad(og.matmul(x, w), w)
    shapes, pending = [], [gradient]
    while pending:
        node = pending.pop()
        shapes.append(node.shape)
        pending += node.inputs
    assert (None, 3, 4) not in shapes


def test_stacks_that_turn_out_to_broadcast_have_gradients_of_their_own_shapes():
    x, y = (og.placeholder((None, None, None), dtype=np.float64) for _ in range(2))
    z = x @ y
    gradients = og.grad(z, [x, y])
    for shapes in [((1, 2, 3), (4, 3, 5)), ((4, 2, 3), (1, 3, 5)), ((4, 2, 3), (4, 3, 5)), ((1, 2, 3), (1, 3, 5))]:
        data = {x: normal(*shapes[0]), y: normal(*shapes[1])}
        assert tuple(g.shape for g in run(*gradients, feeds=data)) == shapes
        check_grads(z, [x, y], data, order=1)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128, np.float16, np.int64, np.longdouble])
def test_matmul_takes_any_layout(dtype):
    big = (rng.integers(-5, 5, (40, 60)) * (1 + 1j if dtype == np.complex128 else 1)).astype(dtype)
    y = rng.integers(-5, 5, (20, 7)).astype(dtype)
    for x in (
        big[::2, ::3],
        big[::-1, :20],
        big.T[:20].T,
        np.broadcast_to(dtype(2), (5, 20)),
        np.broadcast_to(big[:, :1], (40, 20)),
        np.broadcast_to(big[:30, ::3], (3, 30, 20)),
        big.reshape(3, 20, 40).transpose(0, 2, 1),
    ):
        out = np.full((*x.shape[:-1], 7), 99, dtype)
        if dtype == np.float16:
            out = run(og.matmul(x, y))[0]
        else:
            matrix_product(x, y, out)
        assert out.dtype == dtype
        np.testing.assert_array_equal(out, x.astype(complex) @ y.astype(complex))


def test_float16_products_do_not_overflow_on_the_way_and_keep_small_terms():
    x = np.array([[300, 300]], np.float16)
    assert run(og.matmul(x, np.array([[300], [-299]], np.float16)))[0].tolist() == [[300.0]]
    ones = np.ones((4096,), np.float16)
    assert run(og.matmul(ones, ones))[0] == 4096


def test_matmul_of_integers_stays_integer_and_booleans_are_refused():
    i = np.arange(6).reshape(2, 3)
    assert run(og.matmul(i, i.T))[0].dtype == np.int64
    assert (og.placeholder((2, 3)) @ i.T).dtype == np.float32
    with pytest.raises(og.DtypeError, match="matmul: booleans are not summed; cast them, to an integer to count"):
        og.matmul(i > 2, i.T > 2)


def test_matmul_tells_what_does_not_fit():
    x = og.placeholder((None, 784), name="images")
    with pytest.raises(
        og.ShapeError, match=r"matmul: \(None, 784\) @ \(512, 10\): inner sizes 784 and 512 differ"
    ) as caught:
        x @ np.ones((512, 10), np.float32)
    assert "x: placeholder 'images' (None, 784) float32" in str(caught.value)
    assert "test_linalg.py" in str(caught.value)
    with pytest.raises(og.ShapeError, match=r"\(None, 784\) @ \(\): a scalar is no matrix; multiply by it with \*"):
        x @ 2.0
    with pytest.raises(og.ShapeError, match="do not broadcast"):
        og.matmul(np.ones((2, 3, 4)), np.ones((5, 4, 1)))
    y = og.placeholder((None, None))
    with pytest.raises(og.ShapeError, match="inner sizes 784 and 3 differ"):
        og.RunTime().run(x @ y, {x: np.ones((2, 784)), y: np.ones((3, 4))})
    with pytest.raises(og.DtypeError, match="operands are of one dtype, not float32 and float64; cast them"):
        og.apply(type((x @ y).call.op)(), x, og.placeholder((784, 2), dtype=np.float64))


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        *[("dot", s) for s in [((), (2, 3)), ((2, 3), ()), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 4))]],
        *[("dot", s) for s in [((3,), (2, 3, 4)), ((5, 2, 3), (3,)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (4, 3, 1))]],
        *[("inner", s) for s in [((), (2,)), ((3,), (3,)), ((2, 3), (4, 3)), ((2, 3), (3,)), ((5, 2, 3), (4, 3))]],
        *[("outer", s) for s in [((3,), (4,)), ((), (4,)), ((2, 3), (4,)), ((0, 3), (4,)), ((2,), (1, 3))]],
    ],
)
@pytest.mark.parametrize("unknown", [False, True])
def test_dot_inner_and_outer_are_numpy_s_and_have_gradients(function, shapes, unknown):
    arrays = [normal(*shape) for shape in shapes]
    nodes = [og.placeholder([None] * len(s) if unknown else s, dtype=np.float64) for s in shapes]
    y = getattr(og, function)(*nodes)
    feeds = dict(zip(nodes, arrays, strict=True))
    expected = getattr(np, function)(*arrays)
    (found,) = run(y, feeds=feeds)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    check_grads(y, nodes, feeds, order=2)


@pytest.mark.parametrize(
    ("x", "y", "axes"),
    [
        ((2, 3, 4), (3, 4, 5), 2),
        ((2, 3), (4, 5), 0),
        ((2, 3), (3, 4), 1),
        ((2, 3, 4), (5, 3), (1, 1)),
        ((2, 3, 4), (4, 5, 2), ([0, 2], [2, 0])),
        ((2, 3, 4), (4, 5, 2), ([-1], [0])),
        ((2, 0), (0, 3), 1),
    ],
)
def test_tensordot_takes_axes_as_numpy_does(x, y, axes):
    a, b = normal(*x), normal(*y)
    (found,) = run(og.tensordot(a, b, axes))
    expected = np.tensordot(a, b, axes)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("axes", "error", "message"),
    [
        (3, og.ArgumentError, "axes 3 is no number of dimensions that both have, 2 and 2"),
        (-1, og.ArgumentError, "axes -1 is no number of dimensions"),
        (True, og.ArgumentError, "axes is a number of dimensions or a pair"),
        ("01", og.ArgumentError, "axes is a number of dimensions or a pair"),
        (((0, 1), (0,)), og.ArgumentError, "2 of x and 1 of y; they go in pairs"),
        ((2, 0), og.ArgumentError, "axes of x: 2 is out of range"),
        (((0, 0), (0, 1)), og.ArgumentError, "axes of x: .* names a dimension twice"),
        ((0, 0), og.ShapeError, "axis 0 of x has size 2, axis 0 of y 1"),
    ],
)
def test_tensordot_tells_what_is_wrong_with_its_axes(axes, error, message):
    with pytest.raises(error, match=f"tensordot: .*{message}"):
        og.tensordot(np.ones((2, 3)), np.ones((1, 3)), axes)


def test_tensordot_does_not_broadcast_sizes_that_turn_out_to_be_1():
    x, y = og.placeholder((None, 2)), og.placeholder((None, 3))
    z = og.tensordot(x, y, (0, 0))
    assert z.shape == (2, 3)
    with pytest.raises(og.ShapeError, match="axis 0 of x has size 4, axis 0 of y 1"):
        og.RunTime().run(z, {x: np.ones((4, 2)), y: np.ones((1, 3))})


@pytest.mark.parametrize("offset", [-3, -1, 0, 1, 2, 5])
def test_diagonal_and_trace_are_numpy_s_for_every_offset_and_pair_of_axes(offset):
    x = normal(2, 3, 4)
    node = og.placeholder((None, None, None), dtype=np.float64)
    for axis1, axis2 in itertools.permutations((0, 1, -1), 2):
        y = og.diagonal(node, offset, axis1, axis2)
        found, total = run(y, og.trace(node, offset, axis1, axis2), feeds={node: x})
        np.testing.assert_array_equal(found, np.diagonal(x, offset, axis1, axis2))
        np.testing.assert_allclose(total, np.trace(x, offset, axis1, axis2), rtol=1e-13)


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
