"""Matrix products, tensordot and its kin."""

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
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
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
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)
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
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


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
