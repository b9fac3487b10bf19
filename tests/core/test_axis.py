"""Ops along an axis, held against NumPy and against loops that are slow and obvious."""

import itertools

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og
from opgraph.testing import check_grads

NAN = float("nan")
few = settings(max_examples=60, deadline=None)
# small numbers, so that many are equal, and NaN
ties = st.sampled_from([-1.0, -0.0, 0.0, 1.0, 2.0, NAN, -np.inf, np.inf])


def run(*nodes, feeds=None):
    values = og.RunTime().run(list(nodes), feeds)
    return values[0] if len(nodes) == 1 else values


def lanes(x, axis):
    """The lanes of `x` along `axis`, each with the index of its place in an array without that axis."""
    moved = np.moveaxis(x, axis, -1)
    return [(place, list(moved[place])) for place in np.ndindex(moved.shape[:-1])]


def greater(a, b):
    """Whether a comes before b in descending order: NaN is the greatest."""
    return (np.isnan(a) and not np.isnan(b)) or a > b


def slow_order(lane, descending):
    """The stable order of a lane, by insertion."""
    order = []
    for i, value in enumerate(lane):
        at = len(order)
        while at and (greater(value, lane[order[at - 1]]) if descending else greater(lane[order[at - 1]], value)):
            at -= 1
        order.insert(at, i)
    return order


def slow_add_along_axis(g, indices, shape, axis):
    total = np.zeros(shape, g.dtype)
    for place in np.ndindex(g.shape):
        to = [i if n > 1 else 0 for i, n in zip(place, shape, strict=True)]
        to[axis] = indices[tuple(i if n > 1 else 0 for i, n in zip(place, indices.shape, strict=True))]
        total[tuple(to)] += g[place]
    return total


def test_the_first_of_equal_extremes_is_found_and_nan_wins():
    x = np.array([[1.0, 3.0, 3.0], [2.0, NAN, NAN], [0.0, 0.0, -0.0]])
    assert run(og.argmax(x, 1)).tolist() == [1, 1, 0]
    assert run(og.argmin(x, 1)).tolist() == [0, 1, 0]
    assert run(og.argmax(x)) == 4
    found = run(og.constant(x).argmin(axis=-2, keepdims=True))
    assert found.tolist() == [[2, 1, 1]]
    assert found.dtype == np.int64


def test_argmax_takes_integers_and_booleans_and_is_no_way_for_a_gradient():
    assert run(og.argmax(np.array([3, 7, 7], np.uint8))) == 1
    assert run(og.argmin(np.array([True, False, False]))) == 1
    x = og.placeholder((3,))
    with pytest.raises(og.GradientError, match="only floating-point and complex values have gradients"):
        og.grad(og.argmax(x), x)
    with pytest.raises(og.GradientError, match="does not depend on"):
        og.grad(og.argmax(x).astype(np.float32), x)


def test_the_place_of_an_extreme_of_nothing_is_an_error_when_that_is_known():
    with pytest.raises(og.ShapeError, match=r"argmax: \(None, 0\) has size 0 along axis 1.*no maximum") as caught:
        og.argmax(og.placeholder((None, 0)), 1)
    assert "test_axis.py" in str(caught.value)
    x = og.placeholder((None, 3), name="x")
    least = og.argmin(x, 0)
    assert least.shape == (3,)
    with pytest.raises(og.ShapeError, match=r"argmin: \(0, 3\) has size 0 along axis 0.*no minimum"):
        run(least, feeds={x: np.ones((0, 3))})
    assert run(og.argmin(x, 1), feeds={x: np.ones((0, 3))}).shape == (0,)


def test_an_axis_that_is_no_integer_is_an_argument_error():
    x = og.placeholder((2, 3))
    for build in (
        lambda: og.argmax(x, (0, 1)),
        lambda: og.sort(x, None),
        lambda: og.cumsum(x, 1.0),
        lambda: og.flip(x, "x"),
        lambda: og.roll(x, 1, [0.5]),
        lambda: og.topk(x, True),
    ):
        with pytest.raises(og.ArgumentError, match="expected"):
            build()


@few
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6), st.booleans())
def test_sorting_is_stable_with_nan_the_greatest(data, shape, descending):
    x = data.draw(hnp.arrays(np.float64, shape, elements=ties))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    values, order = run(og.sort(x, axis, descending), og.argsort(x, axis, descending))
    for (place, lane), (_, got), (_, found) in zip(*(lanes(a, axis) for a in (x, values, order)), strict=True):
        wanted = slow_order(lane, descending)
        assert found == wanted, place
        np.testing.assert_array_equal(got, [lane[i] for i in wanted])


def test_integers_booleans_and_strided_values_are_sorted():
    x = np.array([[3, 1], [2, 9], [5, 4]], np.int16)
    turned = og.transpose(og.constant(x))
    assert run(og.sort(turned)).tolist() == [[2, 3, 5], [1, 4, 9]]
    assert run(og.sort(turned, 0, descending=True)).tolist() == [[3, 9, 5], [1, 2, 4]]
    assert run(og.argsort(og.flip(turned, 1))).tolist() == [[1, 2, 0], [2, 0, 1]]
    assert run(og.sort(np.array([True, False, True]))).tolist() == [False, True, True]
    assert run(og.sort(turned)).dtype == np.int16


def test_the_gradient_of_sorting_goes_back_in_stable_order():
    x = og.placeholder((None,), dtype=np.float64)
    weights = np.array([1.0, 10.0, 100.0, 1000.0])
    at = {x: [2.0, 1.0, 2.0, 0.0]}
    assert run(og.grad(og.sort(x) * weights, x), feeds=at).tolist() == [100.0, 10.0, 1000.0, 1.0]
    assert run(og.grad(og.sort(x, descending=True) * weights, x), feeds=at).tolist() == [1.0, 100.0, 10.0, 1000.0]


def test_gradients_of_functions_of_sorted_values_hold_through_third_order():
    x = og.placeholder((None, None), dtype=np.float64)
    at = {x: [[0.5, -1.5, 2.5], [3.5, 1.0, -0.25]]}
    ranked = og.sort(x, 0)
    check_grads(ranked * ranked * ranked * np.array([[1.0], [2.0]]), x, at, order=3)
    values, _ = og.topk(x, 2)
    check_grads(og.exp(values) * np.array([1.0, 3.0]), x, at, order=3)


@few
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6))
def test_topk_takes_the_greatest_first_and_of_equal_ones_the_first(data, shape):
    x = data.draw(hnp.arrays(np.float32, shape, elements=ties))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    k = data.draw(st.integers(0, shape[axis]))
    values, indices = run(*og.topk(x, k, axis))
    assert (values.dtype, indices.dtype) == (np.float32, np.int64)
    assert values.shape == indices.shape == tuple(k if i == axis % x.ndim else n for i, n in enumerate(shape))
    for (_, lane), (_, got), (_, found) in zip(*(lanes(a, axis) for a in (x, values, indices)), strict=True):
        wanted = slow_order(lane, descending=True)[:k]
        assert found == wanted
        np.testing.assert_array_equal(got, [lane[i] for i in wanted])


def test_topk_of_many_distinct_numbers_is_the_head_of_the_sorted_ones():
    x = np.random.default_rng(0).permuted(np.tile(np.arange(200.0), (5, 1)), axis=1)
    x[2, 17] = NAN
    values, indices = run(*og.topk(og.transpose(og.constant(x)), 7, axis=0))
    np.testing.assert_array_equal(indices, np.argsort(-np.where(np.isnan(x), np.inf, x), axis=1)[:, :7].T)
    np.testing.assert_array_equal(values, np.take_along_axis(x.T, indices, 0))


def test_topk_s_gradient_goes_to_what_was_taken():
    x = og.placeholder((None,), name="x")
    values, _ = og.topk(x, 2)
    assert values.shape == (2,)
    assert run(og.grad(values * [3.0, 5.0], x), feeds={x: [1.0, 2.0, 4.0, 2.0]}).tolist() == [0.0, 5.0, 3.0, 0.0]


def test_a_k_that_is_too_large_is_an_error_when_that_is_known():
    with pytest.raises(og.ArgumentError, match="topk: k=4 exceeds the size of axis 1, which is 3") as caught:
        og.topk(og.placeholder((None, 3)), 4)
    assert "test_axis.py" in str(caught.value)
    x = og.placeholder((None, 3))
    values, _ = og.topk(x, 4, axis=0)
    assert values.shape == (4, 3)
    with pytest.raises(og.ArgumentError, match="topk: k=4 exceeds the size of axis 0, which is 2"):
        run(values, feeds={x: np.ones((2, 3))})


@st.composite
def picks(draw):
    """An array, indices into it whose other dimensions broadcast against its own, and the axis."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    ones = draw(st.tuples(*[st.sampled_from(["x", "indices", "neither"]) for _ in shape]))
    size = shape[axis]
    x = [1 if one == "x" else n for n, one in zip(shape, ones, strict=True)]
    x[axis] = size
    places = [1 if one == "indices" else n for n, one in zip(shape, ones, strict=True)]
    places[axis] = draw(st.integers(0, 5))
    dtype = draw(st.sampled_from([np.int64, np.int8, np.uint8, np.uint64]))
    least = 0 if np.dtype(dtype).kind == "u" else -size
    indices = draw(hnp.arrays(dtype, tuple(places), elements=st.integers(least, size - 1)))
    return np.arange(1.0, 1 + np.prod(x)).reshape(x), indices, axis


@few
@given(picks())
def test_taking_along_an_axis_agrees_with_numpy_and_its_gradient_with_a_loop(pick):
    x, indices, axis = pick
    source = og.placeholder([None] * x.ndim, dtype=np.float64)
    places = og.placeholder([None] * x.ndim, dtype=indices.dtype)
    y = og.take_along_axis(source, places, axis)
    expected = np.take_along_axis(x, indices.astype(np.int64), axis)
    g = og.placeholder([None] * x.ndim, dtype=np.float64)
    cotangent = np.arange(1.0, 1 + expected.size).reshape(expected.shape)
    value, gradient = run(y, og.grad(y, source, g), feeds={source: x, places: indices, g: cotangent})
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(gradient, slow_add_along_axis(cotangent, indices, x.shape, axis))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64])
def test_what_is_taken_twice_gets_both_gradients_in_its_own_dtype(dtype):
    x = og.placeholder((3,), dtype=dtype)
    y = og.take_along_axis(x, [0, 2, 0, -1])
    gradient = run(og.grad(y, x, np.array([1, 2, 4, 8], dtype)), feeds={x: np.ones(3, dtype)})
    assert gradient.tolist() == [5, 0, 10]
    assert gradient.dtype == dtype


def test_a_scattered_sum_of_float16_may_pass_its_end_on_the_way():
    x = og.placeholder((2,), dtype=np.float16)
    y = og.take_along_axis(x, [1, 1, 1])
    cotangent = np.array([60000, 60000, -60000], np.float16)
    assert run(og.grad(y, x, cotangent), feeds={x: np.ones(2)}).tolist() == [0.0, 60000.0]


def test_integers_and_booleans_are_taken():
    assert run(og.take_along_axis(np.array([5, 6, 7], np.int8), np.array([-1, 0]))).tolist() == [7, 5]
    found = run(og.take_along_axis(np.array([[True, False]]), [[1, 1, 0]]))
    assert found.dtype == np.bool
    assert found.tolist() == [[False, False, True]]


def test_what_is_taken_may_be_strided():
    x = np.arange(6.0).reshape(2, 3)
    indices = np.array([[0, 1], [1, 1], [0, 0]])
    turned = og.take_along_axis(og.transpose(og.constant(x)), og.flip(og.constant(indices)), 1)
    np.testing.assert_array_equal(run(turned), np.take_along_axis(x.T, indices[::-1, ::-1], 1))


@pytest.mark.parametrize(("wrong", "place"), [(3, r"\[0, 2\]"), (-4, r"\[0, 2\]")])
def test_an_index_out_of_range_is_named_with_its_place_the_axis_and_the_user_s_line(wrong, place):
    x, indices = og.placeholder((2, 3), name="x"), og.placeholder((2, None), dtype=np.int64, name="indices")
    y = og.take_along_axis(x, indices, -1)
    at = {x: np.ones((2, 3)), indices: [[0, 2, wrong], [1, wrong, 0]]}
    message = f"take_along_axis: indices{place} is {wrong}, out of range for axis 1 of size 3"
    with pytest.raises(og.ArgumentError, match=message) as caught:
        run(y, feeds=at)
    assert "y = og.take_along_axis(x, indices, -1)" in str(caught.value)
    with pytest.raises(og.ArgumentError, match=message.replace("take_along_axis", "add_along_axis")):
        run(og.grad(y, x, np.ones((2, 3))), feeds=at)


def test_nothing_is_taken_from_nothing_and_something_is_not():
    x = og.placeholder((None,), name="x")
    indices = og.placeholder((None,), dtype=np.int32)
    y = og.take_along_axis(x, indices)
    assert run(y, feeds={x: [], indices: np.zeros(0, np.int32)}).shape == (0,)
    with pytest.raises(og.ArgumentError, match="out of range for axis 0 of size 0"):
        run(y, feeds={x: [], indices: [0]})


def test_indices_that_do_not_fit_are_refused_with_what_came():
    x = og.placeholder((2, 3), name="x")
    with pytest.raises(og.DtypeError, match="indices are integers, not float32"):
        og.take_along_axis(x, og.placeholder((2, 3)))
    with pytest.raises(og.DtypeError, match="indices are integers, not bool"):
        og.take_along_axis(x, [[True, False, True]])
    with pytest.raises(og.ShapeError, match=r"indices \(2,\) have 1 dimensions where x \(2, 3\) has 2"):
        og.take_along_axis(x, [0, 1], 0)
    with pytest.raises(og.ShapeError, match="take_along_axis: a list that is no array"):
        og.take_along_axis(x, [[0], [1, 2]])
    with pytest.raises(og.ArgumentError, match="axis 2 is out of range for 2 dimensions"):
        og.take_along_axis(x, [[0]], 2)


def test_gradients_of_what_is_taken_hold_through_third_order_with_broadcasting():
    x = og.placeholder((None, None), dtype=np.float64)
    y = og.take_along_axis(x, np.array([[0, 0, 2], [1, -1, 1]]), 1)
    check_grads(y * y * y, x, {x: [[0.5, -1.5, 2.0]]}, order=3)


@few
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5), st.booleans(), st.booleans())
def test_cumulative_sums_agree_with_a_loop(data, shape, exclusive, reverse):
    x = data.draw(hnp.arrays(np.int32, shape, elements=st.integers(-9, 9)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    found = run(og.cumsum(x, axis, exclusive, reverse))
    assert found.dtype == np.int32
    for (_, lane), (_, got) in zip(lanes(x, axis), lanes(found, axis), strict=True):
        lane = lane[::-1] if reverse else lane
        sums = [sum(lane[: i + (not exclusive)]) for i in range(len(lane))]
        assert got == (sums[::-1] if reverse else sums)


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


def test_a_cumulative_sum_of_float16_finds_back_from_beyond_its_end():
    x = np.array([60000, 60000, -60000, -59999], np.float16)
    assert run(og.cumsum(x, 0)).tolist() == [60000.0, np.inf, 60000.0, 0.0]


@pytest.mark.parametrize("op", [og.cumsum, og.flip, lambda x, axis: og.roll(x, 2, axis)])
def test_linear_ops_along_an_axis_take_complex_numbers(op):
    z = og.placeholder((None, 3), dtype=np.complex128)
    y = op(z, 1)
    check_grads(og.real(y * y), z, {z: [[1 + 2j, -0.5j, 3.0], [0.25, 1 - 1j, -2 + 0.5j]]}, order=2)


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


def test_flip_agrees_with_numpy_and_is_a_view():
    x = np.arange(24).reshape(2, 3, 4)
    for axis in (None, 0, -1, (0, 2), [-2, 0], ()):
        np.testing.assert_array_equal(run(og.flip(x, axis)), np.flip(x, axis))
    assert run(og.flip(3.0)) == 3.0
    flip = og.registry.get("core.flip")
    assert all(np.shares_memory(flip(axes).view((x,))[0], x) for axes in (None, (0,), ()))


@few
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))
def test_roll_agrees_with_numpy(data, shape):
    x = np.arange(np.prod(shape)).reshape(shape)
    axes = st.integers(-len(shape), len(shape) - 1)
    pairs = st.lists(st.tuples(st.integers(-9, 9), axes), min_size=1, max_size=3)
    shift, axis = data.draw(
        st.one_of(
            st.tuples(st.integers(-9, 9), st.none() | axes | st.lists(axes, min_size=1, max_size=3)),
            st.tuples(st.lists(st.integers(-9, 9), min_size=1, max_size=3), st.none() | axes),
            pairs.map(lambda pairs: tuple(zip(*pairs, strict=True))),
        )
    )
    np.testing.assert_array_equal(run(og.roll(x, shift, axis)), np.roll(x, shift, axis))


def test_roll_flattens_values_of_unknown_size_and_refuses_shifts_without_axes():
    x = og.placeholder((None, 2))
    y = og.roll(x, 1)
    assert y.shape == (None, 2)
    assert run(y, feeds={x: [[1, 2], [3, 4]]}).tolist() == [[4, 1], [2, 3]]
    with pytest.raises(og.ArgumentError, match=r"roll: 3 shifts \(1, 2, 3\) for 2 axes \(0, 1\)"):
        og.roll(x, (1, 2, 3), (0, 1))


def test_the_shapes_of_unknown_sizes_follow():
    x, indices = og.placeholder((None, 4, None)), og.placeholder((None, 1, 3), dtype=np.int64)
    assert og.argmax(x).shape == ()
    assert og.argmax(x, 1, keepdims=True).shape == (None, 1, None)
    assert og.sort(x, 1).shape == og.flip(x).shape == og.cumsum(x, 2).shape == (None, 4, None)
    assert og.topk(x, 5)[1].shape == (None, 4, 5)
    assert og.take_along_axis(x, indices, 1).shape == (None, 1, 3)
    assert og.take_along_axis(x, indices, 2).shape == (None, 4, 3)


def test_every_kernel_takes_strided_input_and_fills_outputs_that_hold_garbage():
    x = np.arange(24.0).reshape(4, 3, 2)[::-1, :, ::-1] % 7
    for name, attrs in itertools.product(("cumsum", "_product_before", "sort", "argsort"), ({"axis": 0}, {"axis": 1})):
        op = og.registry.get(f"core.{name}")(**attrs)
        (spec,) = op.infer((og.Spec(x.shape, x.dtype),))
        found, plain = np.full(x.shape, 77, spec.dtype), np.full(x.shape, -77, spec.dtype)
        op.compute((x,), (found,))
        op.compute((x.copy(),), (plain,))
        np.testing.assert_array_equal(found, plain)
