"""Ranges, identity matrices, values in the shape of another, one-hot codes."""

import numpy as np
import pytest

import opgraph as og


def run(node, feeds=None):
    return og.RunTime().run(node, feeds)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: og.arange(5), np.arange(5)),
        (lambda: og.arange(2, 5), np.arange(2, 5)),
        (lambda: og.arange(5, 2, -2), np.array([5, 3])),
        (lambda: og.arange(5, 2), np.zeros(0, np.int64)),
        (lambda: og.arange(0, 1, 0.25), np.float32([0, 0.25, 0.5, 0.75])),
        (lambda: og.arange(3.0), np.float32([0, 1, 2])),
        (lambda: og.arange(3, dtype=np.float64), np.arange(3.0)),
        (lambda: og.arange(np.int8(3), dtype=np.uint8), np.arange(3, dtype=np.uint8)),
        (lambda: og.arange(0, 1, np.float64(0.5), dtype="float16"), np.float16([0, 0.5])),
        (lambda: og.linspace(0, 1, 5), np.float32([0, 0.25, 0.5, 0.75, 1])),
        (lambda: og.linspace(0, 1, 4, endpoint=False), np.float32([0, 0.25, 0.5, 0.75])),
        (lambda: og.linspace(-1, 2, dtype=np.float64), np.linspace(-1, 2)),
        (lambda: og.linspace(3, 4, 1), np.float32([3])),
        (lambda: og.linspace(3, 4, 0), np.float32([])),
        (lambda: og.eye(2), np.float32([[1, 0], [0, 1]])),
        (lambda: og.eye(2, 3, 1), np.float32([[0, 1, 0], [0, 0, 1]])),
        (lambda: og.eye(3, 2, -10, dtype=bool), np.zeros((3, 2), bool)),
        (lambda: og.eye(0, k=1 << 80), np.zeros((0, 0), np.float32)),
    ],
)
def test_constants_have_numpy_s_values(build, expected):
    node = build()
    assert isinstance(node, og.Constant)
    assert node.dtype == expected.dtype
    np.testing.assert_array_equal(node.value, expected)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: og.arange(0, 5, 0), og.ArgumentError, "arange: step is 0"),
        (lambda: og.arange(0, np.inf), og.ArgumentError, "arange: stop is a finite real number, .*, not inf"),
        (lambda: og.arange(1 << 70), og.ArgumentError, "arange: from 0 to 1180591620717411303424 in steps of 1"),
        (lambda: og.arange(1e30), og.ArgumentError, "arange: from 0 to 1e\\+30 in steps of 1: Maximum allowed size"),
        (lambda: og.arange(True), og.ArgumentError, "stop|start is a finite real number"),
        (lambda: og.arange(og.constant(3)), og.ArgumentError, "known when the graph is built"),
        (lambda: og.arange(0, 1, 0.5, dtype=np.int32), og.DtypeError, "float64 does not go into int32"),
        (lambda: og.arange(300, dtype=np.uint8), og.DtypeError, "299 is out of the range of uint8"),
        (lambda: og.zeros_like([1], dtype=str), og.DtypeError, "zeros_like: values are booleans, integers"),
        (lambda: og.linspace(0, 1, -1), og.ArgumentError, "linspace: num is no size: -1 is negative"),
        (lambda: og.linspace(0, 1, 2.5), og.ArgumentError, "linspace: num is an integer"),
        (lambda: og.linspace(0, 1j), og.ArgumentError, "linspace: stop is a finite real number"),
        (lambda: og.linspace(0, 1, dtype=np.int64), og.DtypeError, "float64 does not go into int64"),
        (lambda: og.eye(-1), og.ArgumentError, "eye: n is no size: -1 is negative"),
        (lambda: og.eye(2, 2.0), og.ArgumentError, "eye: m is an integer"),
        (lambda: og.eye(2, dtype=str), og.DtypeError, "eye: values are booleans, integers"),
    ],
)
def test_a_constant_that_cannot_be_is_refused(build, error, message):
    with pytest.raises(error, match=message) as caught:
        build()
    assert "test_create.py" in str(caught.value)


def test_the_default_float_is_that_which_was_set():
    og.set_default_dtype(np.float64)
    assert [n.dtype for n in (og.eye(2), og.linspace(0, 1), og.arange(0.5), og.one_hot([1], 2))] == [np.float64] * 4
    assert og.arange(2).dtype == np.int64


def test_values_in_the_shape_of_another_go_by_run_time_shapes_and_need_no_values():
    x = og.placeholder((None, 3), dtype=np.float64)
    broken = og.apply(Broken(), x)
    found = og.RunTime().run(
        [og.zeros_like(broken), og.ones_like(broken), og.full_like(broken, [1, 2, 3]), og.ones_like(x > 0)],
        {x: np.ones((2, 3))},
    )
    for value, expected in zip(
        found, [np.zeros((2, 3)), np.ones((2, 3)), [[1.0, 2, 3]] * 2, np.ones((2, 3), bool)], strict=True
    ):
        assert value.dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(value, expected)


class Broken(og.Op, name="test.broken_kernel"):
    """Compute nothing."""

    def infer(self, ins):
        return ins

    def compute(self, ins, outs):
        raise AssertionError("nobody asked for values")


def test_values_in_the_shape_of_another_take_its_dtype_or_the_one_given():
    i = og.constant(np.arange(3))
    assert run(og.zeros_like(i)).dtype == np.int64
    assert run(og.zeros_like(i, bool)).tolist() == [False] * 3
    assert run(og.full_like(i, 2.5, np.float32)).tolist() == [2.5] * 3
    assert run(og.full_like(np.zeros((2, 1)), np.float32(2))).dtype == np.float64
    with pytest.raises(og.DtypeError, match="full_like: float64 does not go into int64"):
        og.full_like(i, 2.5)
    with pytest.raises(og.ShapeError, match=r"\(2, 3\) does not broadcast to \(3,\)"):
        og.full_like(i, np.ones((2, 3), int))


def test_a_gradient_flows_into_the_value_and_not_into_the_shape():
    x, v = og.placeholder((None, 3)), og.placeholder(())
    y = og.full_like(x, v)
    gv, gx = og.grad(y, [v, x], unconnected="zeros")
    assert run([gv, gx], {x: np.ones((2, 3)), v: 2})[0] == 6
    with pytest.raises(og.GradientError, match="does not depend"):
        og.grad(og.ones_like(x), x)


def test_a_shape_s_graph_is_where_the_value_lives():
    with og.Graph().as_default_graph() as other:
        x = og.placeholder((3,))
    assert og.zeros_like(x).graph is other
    assert og.full_like(x, 2.0).graph is other


def test_one_hot_codes_along_any_axis():
    indices = og.placeholder((None, 2), dtype=np.uint8)
    nodes = [og.one_hot(indices, 4, axis=axis) for axis in (-1, 0, 1)]
    assert [n.shape for n in nodes] == [(None, 2, 4), (4, None, 2), (None, 4, 2)]
    at = np.array([[0, 3], [1, 1], [2, 0]])
    expected = np.eye(4, dtype=np.float32)[at]
    for value, axis in zip(run(nodes, {indices: at}), (-1, 0, 1), strict=True):
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, np.moveaxis(expected, -1, axis))
    assert run(og.one_hot([1, 0], 2)).tolist() == [[0, 1], [1, 0]]
    assert run(og.one_hot(2, 3, dtype=bool)).tolist() == [False, False, True]
    assert run(og.one_hot(np.zeros((0, 2), int), 0)).shape == (0, 2, 0)
    assert run(og.one_hot(np.array([1, 2], np.uint64)[::-1], 3)).tolist() == [[0, 0, 1], [0, 1, 0]]


def test_an_index_out_of_range_is_told_with_the_depth():
    with pytest.raises(og.ArgumentError, match=r"one_hot: index 3 at \(1,\) is not in 0 … 2, as depth 3 wants"):
        og.one_hot([0, 3], 3)
    indices = og.placeholder((None, 2), dtype=np.int64, name="labels")
    codes = og.one_hot(indices, 3)
    with pytest.raises(og.ArgumentError, match=r"one_hot: index -1 at \(1, 0\) is not in 0 … 2") as caught:
        run(codes, {indices: [[0, 2], [-1, 1]]})
    assert "codes = og.one_hot(indices, 3)" in str(caught.value)
    scalar = og.placeholder((), dtype=np.int64)
    with pytest.raises(og.ArgumentError, match="one_hot: index 3 is not in 0 … 2"):
        run(og.one_hot(scalar, 3), {scalar: 3})


def test_one_hot_of_floats_says_what_to_do():
    with pytest.raises(og.DtypeError, match=r"one_hot: indices are integers, not float32; use .astype\(np.int64\)"):
        og.one_hot(og.placeholder((2,)), 3)
    with pytest.raises(og.ArgumentError, match="one_hot: depth='many'"):
        og.one_hot([1], "many")


def test_numbers_that_their_dtype_cannot_hold_are_refused_by_name():
    with pytest.raises(og.DtypeError, match="^linspace: float64 does not go into int64"):
        og.linspace(0, 1, 3, dtype=np.int64)
    with pytest.raises(og.DtypeError, match="^arange: 300 is out of the range of uint8"):
        og.arange(301, dtype=np.uint8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: og.arange(2**58), "arange: from 0 to 288230376151711744 in steps of 1"),
        (lambda: og.linspace(0, 1, 2**58), r"linspace: \(288230376151711744,\) float64 takes 23\d* bytes"),
        (lambda: og.linspace(0, 1, 2**62), r"linspace: \(4611686018427387904,\) float64 is more than an array can"),
        (lambda: og.linspace(0, 10**400), "linspace: stop is more than a float can hold"),
        (lambda: og.eye(2**29), r"eye: \(536870912, 536870912\) float32 takes 11\d* bytes"),
        (lambda: og.eye(2**64), "eye: size 18446744073709551616 is more than an array can have"),
    ],
)
def test_what_is_too_large_is_refused(make, message):
    with pytest.raises(og.OpgraphError, match=message) as caught:
        make()
    assert "at test_create.py" in str(caught.value)


def test_large_integers_may_be_the_ends_of_a_linspace():
    assert run(og.linspace(0, 2**64, 3, dtype=np.float64)).tolist() == [0.0, 2.0**63, 2.0**64]
