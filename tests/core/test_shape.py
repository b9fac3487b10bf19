"""Ops that change a value's shape, and sizes that no array can have."""

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_grads

X = np.random.default_rng(0).normal(size=(2, 3, 4))


def run(node, feeds=None):
    return og.RunTime().run(node, feeds)


def fed(shape, dtype=np.float64):
    return og.placeholder(shape, dtype=dtype, name="x")


@pytest.mark.parametrize(("a", "b"), [(0, 2), (-1, 1), (1, 1)])
def test_swapaxes_is_numpy_s(a, b):
    np.testing.assert_array_equal(run(og.swapaxes(X, a, b)), np.swapaxes(X, a, b), strict=True)


@pytest.mark.parametrize(("source", "destination"), [(0, -1), (-1, 0), ((0, 1), (-1, 0)), ([2, 0], [0, 1]), ((), ())])
def test_moveaxis_is_numpy_s(source, destination):
    value = run(og.moveaxis(X, source, destination))
    np.testing.assert_array_equal(value, np.moveaxis(X, source, destination), strict=True)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda x: og.swapaxes(x, 0, 2), "swapaxes: axis 2 is out of range for 2 dimensions"),
        (lambda x: og.moveaxis(x, 2, 0), "moveaxis: source 2 is out of range for 2 dimensions"),
        (lambda x: og.moveaxis(x, 0, -3), "moveaxis: destination -3 is out of range for 2 dimensions"),
        (lambda x: og.moveaxis(x, (0, 1), 0), "moveaxis: source .* are as many axes"),
        (lambda x: og.moveaxis(x, (0, -2), (0, 1)), "moveaxis: source .* are as many axes, each named once"),
    ],
)
def test_axes_that_are_not_there_are_named(build, message):
    with pytest.raises(og.ArgumentError, match=message) as caught:
        build(fed((2, 3)))
    assert "test_shape.py" in str(caught.value)


def test_broadcast_to_sums_in_its_gradient():
    x = fed((None, None))
    y = og.broadcast_to(x, (4, 2, 3))
    assert y.shape == (4, 2, 3)
    value, g = run([y, og.grad(y, x)], {x: [[1.0], [2.0]]})
    np.testing.assert_array_equal(value, np.broadcast_to([[1.0], [2.0]], (4, 2, 3)))
    assert g.tolist() == [[12.0], [12.0]]
    check_grads(og.exp(y) * y, x, {x: [[1.0], [2.0]]})
    with pytest.raises(og.ShapeError, match=r"broadcast_to: \(3, 1\) does not broadcast to \(4, 2, 3\)"):
        run(y, {x: np.zeros((3, 1))})
    assert og.broadcast_to(x, og.Shape(2, 3)).shape == (2, 3)


@pytest.mark.parametrize("shape", [(None, 2), og.Shape(None, 2)])
def test_an_unknown_size_to_reshape_or_broadcast_to_says_what_to_write(shape):
    x = fed((None, 2, 1))
    with pytest.raises(og.ArgumentError, match=r"reshape: .* not known; write -1 .* og.reshape_like") as caught:
        og.reshape(x, shape)
    assert "test_shape.py" in str(caught.value)
    with pytest.raises(og.ArgumentError, match=r"reshape: .* not known; write -1"):
        x.reshape(*shape)
    with pytest.raises(og.ArgumentError, match=r"broadcast_to: .* not known; use og.broadcast_like"):
        og.broadcast_to(x, shape)


def test_reshape_takes_a_shape_an_array_or_sizes():
    x = fed((2, 6))
    for shape in (og.Shape(3, 4), [3, 4], np.array([3, -1]), (np.int8(3), 4)):
        assert og.reshape(x, shape).shape == (3, 4)
    assert x.reshape(3, -1).shape == x.reshape(og.Shape(3, 4)).shape == (3, 4)


HUGE = 2**40


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("reshape", lambda x: og.reshape(og.placeholder((None,)), (HUGE, HUGE, -1))),
        ("reshape", lambda x: og.reshape(x[:0], (HUGE, 0, HUGE))),
        ("broadcast_to", lambda x: og.broadcast_to(x, (HUGE, HUGE, 2))),
        ("tile", lambda x: og.tile(x, (HUGE, HUGE))),
        ("repeat", lambda x: og.repeat(x, 2**62, 0)),
        ("pad", lambda x: og.pad(x, 2**62)),
        ("pad", lambda x: og.pad(x, 2**61, mode="edge")),
        ("cast", lambda x: og.broadcast_to(x.astype(np.int8), (2**61, 2)).astype(np.float64)),
        ("add", lambda x: og.broadcast_to(og.reshape(x, (2, 1)), (2, 2**50)) + og.broadcast_to(x[:1], (2**50, 1, 1))),
    ],
)
def test_sizes_that_no_array_can_have_raise_at_construction(name, build):
    with pytest.raises(og.ShapeError, match=rf"^{name}: .*(more than an array can)") as caught:
        build(fed((2,)))
    assert "test_shape.py" in str(caught.value)


def test_more_dimensions_than_an_array_can_have_raise_at_construction():
    x = fed((1,) * 64)
    for build in (lambda: og.expand_dims(x, 0), lambda: x[None], lambda: og.stack([x]), lambda: og.tile(x, [1] * 65)):
        with pytest.raises(og.ShapeError, match="65 dimensions are more than the 64 that an array can have") as caught:
            build()
        assert "test_shape.py" in str(caught.value)
    with pytest.raises(og.ShapeError, match="placeholder: 65 dimensions"):
        fed((None,) * 65)
    with pytest.raises(og.ShapeError, match="variable: .* is more than an array can hold"):
        og.variable((HUGE, HUGE), lambda shape, rng: np.zeros(shape))


def test_an_unknown_size_that_turns_out_too_large_raises_in_the_run():
    x = fed((None,), np.int8)
    y = og.tile(x, (2**30, 2**31))
    with pytest.raises(og.ShapeError, match=r"tile: \(1073741824, 8589934592\) int8 is more than an array can hold"):
        run(og.reduce_sum(y), {x: [1, 2, 3, 4]})


def test_arrays_of_many_dimensions_are_tiled_and_padded():
    x = np.arange(4.0).reshape((2,) + (1,) * 61 + (2, 1))
    y = run(og.tile(x, (2,) + (1,) * 62 + (3,)))
    np.testing.assert_array_equal(y.ravel(), np.tile(np.repeat([0.0, 1, 2, 3], 3).reshape(2, 6), (2, 1)).ravel())
    assert run(og.pad(x, 0, mode="edge")).shape == x.shape


def test_an_array_without_dimensions_counts_as_one_axis_or_size():
    x = np.arange(6.0).reshape(2, 3)
    one, six = np.array(1), np.array(6)
    assert run(og.reduce_sum(x, one)).tolist() == [3.0, 12.0]
    assert run(og.reshape(x, six)).shape == (6,)
    assert run(og.expand_dims(x, one)).shape == (2, 1, 3)
    assert og.placeholder(six).shape == (6,)
    with pytest.raises(og.ArgumentError, match="concat: tensors is a list of tensors, not np.int64"):
        og.concat(one)
