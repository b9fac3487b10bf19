"""Max pooling and its gradients, against loops over every window and finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og
from opgraph.testing import check_grads
from opgraph_vision import maxpool2d

# images, window, strides, padding: no two sizes are equal, unless one follows from the other
CONFIGURATIONS = {
    "edge to edge": ((1, 8, 15, 1), (2, 3), (2, 3), "VALID"),
    "overlapping": ((2, 8, 13, 1), (3, 4), (1, 2), "VALID"),
    "odd margins": ((1, 8, 13, 6), (3, 2), (2, 3), "SAME"),
    "mostly padding": ((5, 3, 2, 6), (4, 5), (3, 2), "SAME"),
    "gaps": ((1, 9, 8, 6), (1, 2), (2, 3), "VALID"),
}
each_configuration = pytest.mark.parametrize(
    ("shape", "size", "strides", "padding"), CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys()
)


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
    """Return the maxima, and for each of them the pixel where it was found first."""
    rows = windows_of(x.shape[1], size[0], strides[0], padding)
    columns = windows_of(x.shape[2], size[1], strides[1], padding)
    y = np.zeros((x.shape[0], len(rows), len(columns), x.shape[3]))
    where = {}
    for n, i, j, c in np.ndindex(*y.shape):
        pixels = [(n, row, column, c) for row in rows[i] for column in columns[j]]
        values = [x[pixel] for pixel in pixels]
        y[n, i, j, c] = np.max(values)
        where[n, i, j, c] = pixels[int(np.argmax(values))]
    return y, where


def draw(shape, size):
    """Return images whose values in each window are so far apart that no difference quotient mixes them up."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices(shape[1:3])
    place = rows % size[0] * size[1] + columns % size[1]
    levels = np.arange(size[0] * size[1]) - size[0] * size[1] / 2
    per_channel = rng.permuted(np.tile(levels, (shape[0], shape[3], 1)), axis=-1)
    return per_channel[:, :, place].transpose(0, 2, 3, 1)


def run(node, feeds=None):
    return og.RunTime().run(node, feeds or {})


@each_configuration
def test_result_is_that_of_a_loop_over_windows(shape, size, strides, padding):
    x = np.random.default_rng(0).normal(size=shape)
    y, _ = pool_slowly(x, size, strides, padding)
    np.testing.assert_array_equal(run(maxpool2d(x, size, strides, padding)), y)


@settings(deadline=None)
@given(
    shape=st.tuples(st.integers(0, 2), st.integers(0, 7), st.integers(0, 7), st.integers(0, 3)),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    strides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.sampled_from(["SAME", "VALID"]),
    data=st.data(),
)
def test_any_sizes_and_ties_give_the_results_of_a_loop_over_windows(shape, size, strides, padding, data):
    if padding == "VALID":
        shape = (shape[0], max(shape[1], size[0]), max(shape[2], size[1]), shape[3])
    levels = data.draw(st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 2.0, np.inf, np.nan]), min_size=1))
    values = np.random.default_rng(0).choice(levels, shape)
    x = og.Variable(values)
    y = maxpool2d(x, size, strides, padding)
    g = np.random.default_rng(1).normal(size=y.shape)

    expected, where = pool_slowly(values, size, strides, padding)
    spread = np.zeros(shape)
    for window, pixel in where.items():
        spread[pixel] += g[window]

    found, gx = run([y, og.grad(y, x, g)])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(gx, spread, rtol=1e-12, atol=1e-12)


def test_example_in_dive_into_deep_learning():
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    assert run(maxpool2d(x, 2, strides=1))[0, :, :, 0].tolist() == [[4, 5], [7, 8]]


def test_windows_meet_edge_to_edge_by_default():
    x = og.placeholder((None, 5, 7, 3))
    y = maxpool2d(x, (2, 3))
    assert y.shape == (None, 2, 2, 3)
    assert (y.call.op.strides, y.call.op.padding) == ((2, 3), "VALID")


def test_one_number_goes_for_both_directions():
    op = maxpool2d(og.placeholder((2, 5, 7, 3)), 3, 2).call.op
    assert (op.kernel_size, op.strides) == ((3, 3), (2, 2))


def test_front_door_of_opgraph_is_the_typed_one():
    assert og.maxpool2d is maxpool2d


@pytest.mark.parametrize(("padding", "shape"), [("SAME", (None, None, 3, 6)), ("VALID", (None, None, 2, 6))])
def test_unknown_sizes_of_images_stay_unknown(padding, shape):
    assert maxpool2d(og.placeholder((None, None, 7, 6)), (4, 2), (2, 3), padding).shape == shape


def test_tie_sends_gradient_to_first():
    x = og.Variable(np.array([[1.0, 3.0, 3.0], [3.0, 0.0, 3.0]]).reshape(1, 2, 3, 1))
    # the left window's first maximum is at (0, 1), and so is the right one's
    y = maxpool2d(x, 2, strides=1)
    gx = run(og.grad(y, x, np.array([10.0, 5.0]).reshape(1, 1, 2, 1)))
    assert gx[0, :, :, 0].tolist() == [[0, 15, 0], [0, 0, 0]]


def test_padding_does_not_win_against_minus_infinity():
    x = og.Variable(np.full((1, 3, 2, 1), -np.inf))
    y = maxpool2d(x, (2, 3), padding="SAME")
    value, gx = run([y, og.grad(y, x)])
    assert value[0, :, :, 0].tolist() == [[-np.inf], [-np.inf]]
    assert gx[0, :, :, 0].tolist() == [[1, 0], [0, 0], [1, 0]]


def test_padding_does_not_win_against_the_lowest_integer():
    x = np.full((1, 3, 2, 1), -128, np.int8)
    assert run(maxpool2d(x, (2, 3), padding="SAME")).tolist() == [[[[-128]], [[-128]]]]


def test_nan_is_the_maximum_and_takes_the_gradient():
    x = og.Variable(np.array([[1.0, np.nan, 2.0, 7.0], [np.nan, 5.0, 4.0, 3.0]]).reshape(1, 2, 4, 1))
    y = maxpool2d(x, 2)
    value, gx = run([y, og.grad(y, x)])
    np.testing.assert_array_equal(value[0, :, :, 0], [[np.nan, 7.0]])
    assert gx[0, :, :, 0].tolist() == [[0, 1, 0, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_cotangent_that_is_not_finite_reaches_the_maximum_alone(bad):
    x = og.Variable(np.array([[1.0, 4.0, 2.0, 3.0]]).reshape(1, 1, 4, 1))
    y = maxpool2d(x, (1, 2))
    gx = og.grad(y, x, np.array([bad, 2.0]).reshape(1, 1, 2, 1))
    np.testing.assert_array_equal(run(gx)[0, 0, :, 0], [0, bad, 0, 2])


@pytest.mark.untraced
@each_configuration
def test_gradients_agree_with_finite_differences_through_second_order(shape, size, strides, padding):
    x = og.placeholder(shape, np.float64)
    y = maxpool2d(x * x * 0.5 + x, size, strides, padding)
    # the values stay in order, since all are above -1
    check_grads(y, [x], {x: draw(shape, size) / 20})


@each_configuration
def test_gather_and_scatter_are_adjoint(shape, size, strides, padding):
    rng = np.random.default_rng(0)
    x = og.Variable(rng.normal(size=shape))
    y = maxpool2d(x, size, strides, padding)
    g = og.Variable(rng.normal(size=y.shape))
    h = rng.normal(size=shape)
    scattered = og.grad(y, x, g)
    gathered = og.grad(scattered, g, h)
    left, right = run([scattered, gathered])
    # <scatter(g), h> = <g, gather(h)>
    np.testing.assert_allclose(np.vdot(left, h), np.vdot(g.val, right), rtol=1e-12)


def test_gather_takes_what_stands_at_the_maxima():
    values = np.random.default_rng(0).normal(size=(2, 8, 13, 1))
    x = og.Variable(values)
    y = maxpool2d(x, (3, 4), (1, 2))
    g = og.Variable(np.ones(y.shape))
    h = np.arange(values.size, dtype=float).reshape(values.shape)
    gathered = run(og.grad(og.grad(y, x, g), g, h))
    _, where = pool_slowly(values, (3, 4), (1, 2), "VALID")
    for window, pixel in where.items():
        assert gathered[window] == h[pixel]


def test_window_of_more_than_255_elements_finds_its_maximum():
    values = np.zeros((1, 20, 19, 1))
    values[0, 17, 15] = 1.0
    x = og.Variable(values)
    gx = run(og.grad(maxpool2d(x, (18, 16)), x))
    assert np.argwhere(gx).tolist() == [[0, 17, 15, 0]]


@pytest.mark.parametrize("pool", [maxpool2d, og.avgpool2d])
@pytest.mark.parametrize(("size", "strides", "padding"), [((2, 2), (2, 2), "VALID"), ((3, 2), (2, 1), "SAME")])
def test_threads_that_share_the_images_give_the_result_of_one_bit_by_bit(pool, size, strides, padding):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(97, 30, 28, 12)).astype(np.float32)
    values[-1, 3, 4] = np.nan
    x = og.Variable(values)
    y = pool(x, size, strides, padding)
    gx = og.grad(y, x, og.constant(rng.normal(size=y.shape).astype(np.float32)))
    again = og.grad(gx, y.call.outputs[0], unconnected="zeros") if pool is maxpool2d else gx
    one, *more = (og.RunTime(threads=threads).run([y, gx, again]) for threads in (1, 2, 3))
    for found in more:
        for value, expected in zip(found, one, strict=True):
            assert value.tobytes() == expected.tobytes()

    # the first and the last image, which different calls may see to, alone
    ends = og.Variable(values[[0, -1]])
    np.testing.assert_array_equal(one[0][[0, -1]], run(pool(ends, size, strides, padding)))


def test_the_first_of_several_nans_takes_the_gradient_wherever_the_maximum_stood_before():
    x = og.Variable(np.array([3.0, np.nan, 5.0, np.nan, 7.0, 6.0]).reshape(1, 2, 3, 1))
    assert run(og.grad(maxpool2d(x, (2, 3)), x)).ravel().tolist() == [0, 1, 0, 0, 0, 0]


def test_operand_may_be_a_view_of_any_strides():
    values = np.random.default_rng(0).normal(size=(3, 7, 2, 5))
    x = og.placeholder((3, 7, 2, 5), np.float64)
    y = maxpool2d(og.transpose(x, (2, 3, 1, 0)), (2, 3), (1, 2))
    expected, _ = pool_slowly(values.transpose((2, 3, 1, 0)), (2, 3), (1, 2), "VALID")
    np.testing.assert_array_equal(run(y, {x: values}), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_result_and_gradient_have_the_dtype_of_the_operand(dtype):
    x = og.Variable(np.ones((2, 5, 7, 3), dtype))
    y = maxpool2d(x, (3, 2))
    assert [value.dtype for value in run([y, og.grad(y, x)])] == [dtype] * 2


@pytest.mark.parametrize("dtype", [np.bool, np.int8, np.uint16, np.int64])
def test_integers_and_booleans_are_pooled_as_they_are(dtype):
    values = np.random.default_rng(0).integers(0, 2, (2, 5, 7, 3)).astype(dtype)
    y = run(maxpool2d(values, (3, 2), 1, "SAME"))
    expected, _ = pool_slowly(values, (3, 2), (1, 1), "SAME")
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected)


def test_complex_numbers_have_no_maximum():
    with pytest.raises(og.DtypeError, match="maxpool2d: complex numbers have no maximum"):
        maxpool2d(np.ones((2, 5, 7, 3), complex), 2)


@pytest.mark.parametrize(
    ("shape", "options", "error", "message"),
    [
        ((2, 5, 6, 3), {"kernel_size": 6}, og.ShapeError, "maxpool2d: window (6, 6) exceeds image (5, 6); pad x first"),
        (
            (5, 6, 3),
            {"kernel_size": 2},
            og.ShapeError,
            "maxpool2d: x has shape (5, 6, 3); images are (N, height, width, channels)",
        ),
        (
            (2, 5, 6, 3),
            {"kernel_size": (0, 2)},
            og.ArgumentError,
            "maxpool2d: kernel_size (0, 2): both must be at least 1",
        ),
        (
            (2, 5, 6, 3),
            {"kernel_size": 2, "strides": (1, 0)},
            og.ArgumentError,
            "maxpool2d: strides (1, 0): both must be at least 1",
        ),
        (
            (2, 5, 6, 3),
            {"kernel_size": "2"},
            og.ArgumentError,
            "maxpool2d: kernel_size='2': expected a pair of integers",
        ),
        (
            (2, 5, 6, 3),
            {"kernel_size": 2, "padding": "REFLECT"},
            og.ArgumentError,
            "maxpool2d: padding='REFLECT': expected 'SAME' or 'VALID'",
        ),
    ],
)
def test_what_does_not_fit_raises_at_construction(shape, options, error, message):
    x = og.placeholder(shape, name="photos")
    with pytest.raises(error) as raised:
        maxpool2d(x, **options)
    first, *_, line = str(raised.value).split("\n  ")
    assert first == message
    assert line.startswith("at test_maxpool2d.py:")


def test_image_that_turns_out_too_small_raises_at_the_run():
    x = og.placeholder((None, None, None, 3), name="photos")
    y = maxpool2d(x, (6, 4))
    with pytest.raises(og.ShapeError) as raised:
        run(y, {x: np.zeros((2, 5, 7, 3))})
    first, operands, line = str(raised.value).split("\n  ")
    assert first == "maxpool2d: window (6, 4) exceeds image (5, 7); pad x first"
    assert "placeholder 'photos' (2, 5, 7, 3) float32" in operands
    assert line.endswith("y = maxpool2d(x, (6, 4))")


def test_it_answers_to_the_name_with_an_underscore_too():
    assert og.maxpool_2d is maxpool2d
    op = og.maxpool_2d(og.placeholder((2, 5, 7, 3)), (3, 2), 2, "SAME").call.op
    assert (op.kernel_size, op.strides, op.padding) == ((3, 2), (2, 2), "SAME")
