"""Average pooling and its gradient, against loops over every window and finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og
from opgraph.testing import check_grads
from opgraph_vision import avgpool2d


def windows_of(n, size, stride, padding):
    """Return the pixels of each window along an axis, those of the padding left out."""
    if padding == "VALID":
        starts = range(0, n - size + 1, stride)
    else:
        count = -(-n // stride)
        both = max((count - 1) * stride + size - n, 0)
        starts = range(-(both // 2), -(both // 2) + count * stride, stride)
    return [[pixel for pixel in range(start, start + size) if 0 <= pixel < n] for start in starts]


def pool_slowly(x, size, strides, padding):
    rows = windows_of(x.shape[1], size[0], strides[0], padding)
    columns = windows_of(x.shape[2], size[1], strides[1], padding)
    y = np.zeros((x.shape[0], len(rows), len(columns), x.shape[3]), x.dtype)
    for n, i, j, c in np.ndindex(*y.shape):
        y[n, i, j, c] = np.mean([x[n, row, column, c] for row in rows[i] for column in columns[j]])
    return y


def run(node, feeds=None):
    return og.RunTime().run(node, feeds or {})


@settings(deadline=None)
@given(
    shape=st.tuples(st.integers(0, 2), st.integers(0, 7), st.integers(0, 7), st.integers(0, 3)),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    strides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.sampled_from(["SAME", "VALID"]),
)
def test_any_sizes_give_the_result_of_a_loop_over_windows_and_its_adjoint(shape, size, strides, padding):
    if padding == "VALID":
        shape = (shape[0], max(shape[1], size[0]), max(shape[2], size[1]), shape[3])
    rng = np.random.default_rng(0)
    x = og.Variable(rng.normal(size=shape))
    y = avgpool2d(x, size, strides, padding)
    g = rng.normal(size=y.shape)
    found, gx = run([y, og.grad(y, x, g)])
    expected = pool_slowly(x.val, size, strides, padding)
    assert y.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    # <y, g> = <x, gx>, since y is linear in x
    np.testing.assert_allclose(np.vdot(x.val, gx), np.vdot(found, g), rtol=1e-9, atol=1e-9)


def test_example_in_dive_into_deep_learning():
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    assert run(avgpool2d(x, 2, strides=1))[0, :, :, 0].tolist() == [[2, 3], [5, 6]]


def test_padding_is_not_counted():
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).reshape(1, 2, 3, 1)
    assert run(avgpool2d(x, 2, padding="SAME"))[0, :, :, 0].tolist() == [[3, 4.5]]
    assert run(avgpool2d(np.ones((1, 5, 7, 2)), (4, 3), 2, "SAME")).tolist() == np.ones((1, 3, 4, 2)).tolist()


def test_gradient_is_shared_among_the_pixels_that_count():
    x = og.Variable(np.zeros((1, 2, 3, 1)))
    y = avgpool2d(x, 2, padding="SAME")
    gx = run(og.grad(y, x, np.array([8.0, 10.0]).reshape(1, 1, 2, 1)))
    assert gx[0, :, :, 0].tolist() == [[2, 2, 5], [2, 2, 5]]


def test_windows_meet_edge_to_edge_by_default():
    y = avgpool2d(og.placeholder((None, 5, 7, 3)), (2, 3))
    assert y.shape == (None, 2, 2, 3)
    assert (y.call.op.strides, y.call.op.padding) == ((2, 3), "VALID")


def test_it_takes_window_strides_and_padding_by_position_under_both_names():
    x = og.placeholder((2, 5, 7, 3))
    for function in (avgpool2d, og.avgpool2d, og.avgpool_2d):
        op = function(x, 3, 2, "SAME").call.op
        assert (op.kernel_size, op.strides, op.padding) == ((3, 3), (2, 2), "SAME")


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_gradients_hold_through_second_order_where_sizes_are_unknown(padding):
    x = og.placeholder([None] * 4, np.float64)
    y = og.exp(avgpool2d(x * x, (3, 2), (2, 1), padding))
    check_grads(y, [x], {x: np.random.default_rng(0).normal(size=(1, 5, 4, 2))})


def test_sum_that_float16_cannot_hold_is_averaged():
    x = og.Variable(np.full((1, 4, 8, 1), 60000, np.float16))
    y = avgpool2d(x, (2, 4))
    value, gx = run([y, og.grad(y, x)])
    assert (value.dtype, gx.dtype) == (np.float16, np.float16)
    assert np.unique(value) == np.float16(60000)
    assert np.unique(gx) == 0.125


def test_integers_are_averaged_in_the_default_float():
    x = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)
    value = run(avgpool2d(x, (2, 3)))
    assert (value.dtype, value.item()) == (np.float32, 2.5)


def test_complex_numbers_are_averaged():
    x = np.array([1 + 2j, 3 - 4j], np.complex64).reshape(1, 1, 2, 1)
    value = run(avgpool2d(x, (1, 2)))
    assert (value.dtype, value.item()) == (np.complex64, 2 - 1j)


def test_operand_may_be_a_view_of_any_strides():
    values = np.random.default_rng(0).normal(size=(3, 7, 2, 5))
    x = og.placeholder((3, 7, 2, 5), np.float64)
    y = avgpool2d(og.transpose(x, (2, 3, 1, 0)), (2, 3), (1, 2))
    expected = pool_slowly(values.transpose((2, 3, 1, 0)), (2, 3), (1, 2), "VALID")
    np.testing.assert_allclose(run(y, {x: values}), expected, rtol=1e-12)


def test_nan_and_infinity_stay_in_their_windows():
    x = np.array([1.0, np.nan, np.inf, 2.0, 3.0, 5.0]).reshape(1, 1, 6, 1)
    np.testing.assert_array_equal(run(avgpool2d(x, (1, 2)))[0, 0, :, 0], [np.nan, np.inf, 4.0])


@pytest.mark.parametrize(
    ("shape", "options", "error", "message"),
    [
        ((2, 5, 6, 3), {"kernel_size": 6}, og.ShapeError, "avgpool2d: window (6, 6) exceeds image (5, 6); pad x first"),
        ((5, 6, 3), {"kernel_size": 2}, og.ShapeError, "avgpool2d: x has shape (5, 6, 3); images are "),
        ((2, 5, 6, 3), {"kernel_size": (0, 2)}, og.ArgumentError, "avgpool2d: kernel_size (0, 2): both must be"),
        ((2, 5, 6, 3), {"kernel_size": 2, "strides": 0}, og.ArgumentError, "avgpool2d: strides (0, 0): both must be"),
        (
            (2, 5, 6, 3),
            {"kernel_size": 2, "padding": 1},
            og.ArgumentError,
            "avgpool2d: padding=1: expected 'SAME'",
        ),
        (
            (2, 5, 6, 3),
            {"kernel_size": 2, "padding": "same"},
            og.ArgumentError,
            "avgpool2d: padding='same': expected 'SAME' or 'VALID'; did you mean 'SAME'?",
        ),
    ],
)
def test_what_does_not_fit_raises_at_construction(shape, options, error, message):
    x = og.placeholder(shape)
    with pytest.raises(error) as raised:
        avgpool2d(x, **options)
    first, *_, line = str(raised.value).split("\n  ")
    assert first.startswith(message)
    assert line.startswith("at test_avgpool2d.py:")


def test_image_that_turns_out_too_small_raises_at_the_run():
    x = og.placeholder((None, None, None, 3), name="photos")
    y = avgpool2d(x, (6, 4))
    with pytest.raises(og.ShapeError) as raised:
        run(y, {x: np.zeros((2, 5, 7, 3))})
    assert str(raised.value).startswith("avgpool2d: window (6, 4) exceeds image (5, 7); pad x first")
