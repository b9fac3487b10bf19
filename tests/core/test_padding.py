"""`pad` in its modes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import opgraph as og
from opgraph.testing import check_grads

X = np.random.default_rng(0).normal(size=(3, 4))
BORDERS = ("reflect", "symmetric", "edge")


def run(node, feeds=None):
    return og.RunTime().run(node, feeds)


def fed(shape, dtype=np.float64):
    return og.placeholder(shape, dtype=dtype, name="x")


@settings(max_examples=80, deadline=None)
@given(st.data(), st.sampled_from(("constant", *BORDERS)))
def test_pad_is_numpy_s_and_its_gradient_counts_how_often_an_element_comes(data, mode):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    most = [n - 1 if mode == "reflect" else n for n in shape]
    widths = [data.draw(st.tuples(st.integers(0, m), st.integers(0, m))) for m in most]
    values = np.arange(float(np.prod(shape))).reshape(shape)
    with og.Graph().as_default_graph():
        x = fed([None] * len(shape))
        y = og.pad(x, widths, -1, mode=mode)
        weights = np.random.default_rng(0).normal(size=[n + sum(w) for n, w in zip(shape, widths, strict=True)])
        value, gradient = run([y, og.grad(y, x, weights)], {x: values})
        assert og.pad(fed(shape), widths, mode=mode).shape == value.shape
    expected = np.pad(values, widths, mode, **{"constant_values": -1} if mode == "constant" else {})
    np.testing.assert_array_equal(value, expected, strict=True)
    by_hand = [weights[expected == element].sum() for element in values.ravel()]
    np.testing.assert_allclose(gradient.ravel(), by_hand, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["constant", *BORDERS])
def test_gradients_hold_through_third_order(mode):
    x = fed((None, None))
    y = og.pad(x, [[1, 2], [0, 3]], 0.5, mode)
    check_grads(og.exp(y) * y, x, {x: X[:, ::-1]}, order=3 if mode == "reflect" else 2)


def test_the_constant_may_be_a_node_and_has_a_gradient():
    x, c = fed((None, 2)), og.placeholder((), dtype=np.float64, name="c")
    y = og.pad(x, 1, c)
    data = {x: X[:, :2], c: 0.3}
    assert run(og.grad(y, c), data) == 20 - 6
    check_grads(og.exp(y) * y, [x, c], data)


@pytest.mark.parametrize("paddings", [1, (1, 2), [[1, 2]], [[1], [2]], np.array([[1, 2], [0, 3]]), 0], ids=repr)
def test_paddings_broadcast_as_numpy_s(paddings):
    np.testing.assert_array_equal(run(og.pad(X, paddings)), np.pad(X, paddings), strict=True)


def test_the_constant_is_the_third_argument():
    assert run(og.pad(np.array([1, 2]), [[1, 1]], 7)).tolist() == [7, 1, 2, 7]
    assert run(og.pad(np.array([True]), 1)).tolist() == [False, True, False]
    with pytest.raises(og.ArgumentError, match="pad: constant_value is a number, not 'edge'; write mode='edge'"):
        og.pad(X, 1, "edge")


def test_the_dtype_of_x_stays():
    assert og.pad(fed((1,), np.float16), 1, 0.1).dtype == np.float16
    assert og.pad(fed((1,), np.complex64), 1, 1j).dtype == np.complex64
    with pytest.raises(og.DtypeError, match="pad: float64 does not go into int32"):
        og.pad(fed((1,), np.int32), 1, 0.5)


@pytest.mark.parametrize(("mode", "dtype"), [(m, d) for m in BORDERS for d in (np.float16, np.float32, np.complex64)])
def test_gradients_keep_the_dtype(mode, dtype):
    x = fed((3,), dtype)
    g = run(og.grad(og.pad(x, 1, mode=mode), x, np.ones(5, dtype)), {x: np.ones(3, dtype)})
    assert g.dtype == dtype
    assert g.tolist() == ([1, 3, 1] if mode == "reflect" else [2, 1, 2])


def test_sums_of_float16_may_pass_its_largest_value_on_the_way():
    x = fed((2,), np.float16)
    g = og.grad(og.pad(x, (2, 0), mode="edge"), x, np.array([6e4, -6e4, 6e4, 1], np.float16))
    assert run(g, {x: [1, 2]}).tolist() == [np.float16(6e4), 1]


@pytest.mark.parametrize(
    ("mode", "n", "width", "most"),
    [("reflect", 3, 3, 2), ("reflect", 1, 1, 0), ("reflect", 0, 1, 0), ("symmetric", 3, 4, 3), ("edge", 0, 1, 0)],
)
def test_a_border_wider_than_what_it_repeats_is_refused(mode, n, width, most):
    message = rf"{mode} cannot put \(0, {width}\) around axis 1 of size {n}: {most} at most"
    with pytest.raises(og.ShapeError, match=message):
        og.pad(fed((2, n)), [[0, 0], [0, width]], mode=mode)
    x = fed((2, None))
    y = og.pad(x, [[0, 0], [0, width]], mode=mode)
    with pytest.raises(og.ShapeError, match=message):
        run(y, {x: np.zeros((2, n))})


@pytest.mark.parametrize(
    ("paddings", "mode", "error", "message"),
    [
        (-1, "constant", og.ArgumentError, r"pad: paddings \(\(-1, -1\), .* cannot be negative"),
        ([[0, 0], [0, -1]], "edge", og.ArgumentError, "cannot be negative"),
        ([[1, 1]] * 3, "constant", og.ArgumentError, r"pad: paddings of shape \(3, 2\) are no \[2, 2\] array"),
        ([1, 2, 3], "constant", og.ArgumentError, r"pad: paddings of shape \(3,\) are no \[2, 2\] array"),
        (1.5, "constant", og.DtypeError, "pad: paddings are integers, not float64"),
        (1, "mirror", og.ArgumentError, "pad: mode='mirror' is none of constant, reflect, symmetric, edge"),
        (1, "relfect", og.ArgumentError, "did you mean 'reflect'"),
    ],
)
def test_what_is_no_padding_is_refused(paddings, mode, error, message):
    with pytest.raises(error, match=message) as caught:
        og.pad(fed((2, 3)), paddings, mode=mode)
    assert "test_padding.py" in str(caught.value)


def test_a_constant_that_is_no_scalar_is_refused():
    with pytest.raises(og.ShapeError, match=r"pad: constant_value is a scalar, not of shape \(2,\)"):
        og.pad(fed((2,)), 1, [1.0, 2.0])


def test_scalars_and_nothing_are_padded():
    assert run(og.pad(2.0, [])).tolist() == 2.0
    assert run(og.pad(2.0, np.zeros((0, 2), int), mode="edge")).tolist() == 2.0
    assert run(og.pad(np.zeros((0, 2)), [[1, 0], [0, 1]], 3)).tolist() == [[3, 3, 3]]


def test_padding_stays_in_the_graph_of_its_constant():
    with og.Graph().as_default_graph() as other:
        c = og.placeholder((), dtype=np.float64)
    assert og.pad(X, 1, c).graph is other


def test_a_mode_that_is_an_array_is_refused():
    with pytest.raises(og.ArgumentError, match="pad: mode="):
        og.pad(np.zeros(3), 1, mode=np.array(["edge", "reflect"]))


@pytest.mark.parametrize("mode", ["reflect", "symmetric", "edge"])
def test_errors_of_a_border_name_pad(mode):
    with pytest.raises(og.ArgumentError, match=r"^pad: paddings .* cannot be negative"):
        og.pad(og.placeholder((2, 3)), [1, -1], mode=mode)
