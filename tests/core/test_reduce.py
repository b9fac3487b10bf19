"""Reductions, held against NumPy, closed forms, and their conventions at ties, zeros, infinities and nothing."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og
from opgraph.testing import check_grads

NAN, INF = float("nan"), float("inf")
AXES = [None, 0, -1, (0, 2), [1, -1], (-3, 1, 2), ()]
NUMPY = {
    "reduce_sum": np.sum,
    "reduce_mean": np.mean,
    "reduce_prod": np.prod,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_variance": np.var,
    "reduce_std": np.std,
    "logsumexp": lambda x, axis, keepdims: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
}


def run(*nodes, feeds=None):
    values = og.RunTime().run(list(nodes), feeds)
    return values[0] if len(nodes) == 1 else values


def gradient(build, at, dtype=np.float64):
    """The gradient of what `build` makes of a node of unknown sizes, where that has the value `at`."""
    at = np.asarray(at, dtype)
    x = og.placeholder([None] * at.ndim, dtype=dtype)
    return run(og.grad(build(x), x), feeds={x: at})


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", NUMPY)
def test_every_way_to_give_axes_is_numpy_s(name, keepdims):
    x = np.random.default_rng(0).uniform(-2.0, 2.0, (4, 2, 3))
    # the same numbers, reversed and transposed back and forth, so that the kernel reads along strides
    strided = og.transpose(og.constant(np.ascontiguousarray(x.T)))
    for axis in AXES:
        np_axis = tuple(axis) if isinstance(axis, list) else axis
        expected = NUMPY[name](x, axis=np_axis, keepdims=keepdims)
        found = run(getattr(og, name)(strided, axis, keepdims))
        assert found.shape == np.shape(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
@pytest.mark.parametrize("dtype", [np.bool, np.int8, np.uint64, np.float16, np.float64])
def test_extremes_of_reversed_arrays_are_those_of_their_copies(name, dtype):
    x = np.random.default_rng(0).integers(0, 2 if dtype == np.bool else 100, (2, 4, 3)).astype(dtype)
    for flipped, axis in itertools.product([0, 1, (0, 2), (0, 1, 2)], [0, 1, (1, 2), None]):
        found = run(getattr(og, name)(og.flip(og.constant(x), flipped), axis))
        np.testing.assert_array_equal(found, NUMPY[name](np.flip(x, flipped).copy(), axis=axis))


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
@pytest.mark.parametrize("value", [-INF, INF, NAN, -128, 127])
def test_extremes_are_found_where_they_are_the_dtype_s_own(name, value):
    x = np.full((2, 3), value, np.int8 if isinstance(value, int) else np.float32)
    np.testing.assert_array_equal(run(getattr(og, name)(x, 1)), x[:, 0])


@pytest.mark.parametrize("name", [*NUMPY, "reduce_any", "reduce_all"])
def test_a_wrong_axis_is_an_error_at_the_user_s_line(name):
    x = og.placeholder((2, 3), dtype=np.bool if name in ("reduce_any", "reduce_all") else np.float32)
    reduce = getattr(og, name)
    for axis, message in [
        (2, "axis 2 is out of range for 2 dimensions"),
        ((1, -1), "names a dimension twice"),
        ("x", "expected"),
        (0.0, "expected"),
        (True, "expected"),
    ]:
        with pytest.raises(og.ArgumentError, match=message) as caught:
            reduce(x, axis)
        assert name in str(caught.value)
        assert "test_reduce.py" in str(caught.value)
    with pytest.raises(og.ArgumentError, match="keepdims=1: expected True or False"):
        reduce(x, 0, 1)


def test_nodes_have_numpy_s_methods():
    x = np.random.default_rng(1).normal(size=(2, 3))
    node = og.constant(x)
    for name in ("sum", "mean", "prod", "max", "min", "var", "std", "argmax", "argmin", "cumsum"):
        for arguments in ((), (1,)):
            expected = getattr(x, name)(*arguments)
            np.testing.assert_allclose(run(getattr(node, name)(*arguments)), expected, rtol=1e-14)
    np.testing.assert_allclose(run(node.var(0, keepdims=True, ddof=1)), x.var(0, keepdims=True, ddof=1))
    np.testing.assert_allclose(run(node.std(ddof=1)), x.std(ddof=1))
    assert run((node > 0).any(1), (node > 0).all(0))[0].tolist() == (x > 0).any(1).tolist()
    assert run((node > 0).all(0, keepdims=True)).tolist() == (x > 0).all(0, keepdims=True).tolist()


@pytest.mark.parametrize("axis", [None, 0, 1, ()])
@pytest.mark.parametrize("dtype", [np.bool, *np.typecodes["AllInteger"]])
@pytest.mark.parametrize("name", ["sum", "prod"])
def test_sums_and_products_of_integers_are_as_wide_as_numpy_s(name, dtype, axis):
    x = np.array([[1, 0, 1], [1, 1, 1]] if dtype == np.bool else [[101, 127, 113], [109, 107, 103]], dtype)
    node = og.placeholder((None, 3), dtype=dtype)
    expected = getattr(x, name)(axis)
    total = getattr(node, name)(axis)
    found = run(total, feeds={node: x})
    assert total.dtype == found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_sums_over_one_element_are_wide_too():
    x = og.placeholder((1, 2), dtype=np.int8)
    assert run(x.sum(0), x.prod(0), feeds={x: [[100, -100]]})[0].dtype == np.int64
    assert run((x + x).sum(0), feeds={x: [[60, -60]]}).tolist() == [120, -120]


@pytest.mark.parametrize("name", ["reduce_mean", "reduce_variance", "reduce_std", "logsumexp"])
def test_integers_become_the_default_float_at_the_front_door_and_are_refused_behind_it(name):
    x = og.placeholder((2, 3), dtype=np.int8)
    assert getattr(og, name)(x).dtype == np.float32
    assert getattr(og, name)([[1, 2]]).dtype == np.float32
    op = og.registry.get("core.reduce_logsumexp" if name == "logsumexp" else f"core.{name}")
    with pytest.raises(
        og.DtypeError, match=f"{name}: takes floating-point values, not int8; cast first, or call og."
    ) as caught:
        og.apply(op(), x)
    assert "test_reduce.py" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("reduce_sum", [60000, 60000, -60000], 60000),
        ("reduce_mean", [60000] * 1000, 60000),
        ("reduce_mean", [2] * 70000, 2),
        ("reduce_prod", [1000, 1000, 0.0625, 0.0625], 3906),  # 3906.25, to 11 bits
        ("reduce_variance", [200, -200, 200], 35555.5),
        ("reduce_std", [60000, -60000], 60000),
        ("logsumexp", [1.0] * 70000, 1 + math.log(70000)),
        ("logsumexp", [60000, -60000, 60000], 60000),
    ],
)
def test_float16_overflows_nowhere_on_the_way_to_what_fits(name, values, expected):
    x = og.placeholder((None,), dtype=np.float16)
    y = getattr(og, name)(x)
    value, slope = run(y, og.grad(y, x), feeds={x: np.array(values)})
    assert value.dtype == slope.dtype == np.float16
    assert value == pytest.approx(expected, rel=1e-3)
    assert np.isfinite(slope).all()


def test_the_gradient_of_a_float16_product_overflows_nowhere_on_the_way():
    found = gradient(og.reduce_prod, [1000, 1000, 0.0625, 0.0625], np.float16)
    np.testing.assert_allclose(found, [3.90625, 3.90625, 62500, 62500], rtol=1e-3)


@pytest.mark.parametrize("function", [og.reduce_max, og.reduce_min])
def test_an_infinite_cotangent_of_an_extreme_reaches_that_alone(function):
    x = og.placeholder((None,))
    g = og.grad(function(x), x, np.float32(INF))
    sign = 1 if function is og.reduce_max else -1
    assert run(g, feeds={x: np.multiply(sign, [1, 4, 2])}).tolist() == [0, INF, 0]


def test_many_that_tie_in_float16_share_the_gradient():
    x = og.placeholder((None,), dtype=np.float16)
    found = run(og.grad(og.reduce_max(x), x, 60000), feeds={x: np.zeros(70000)})
    np.testing.assert_allclose(found, np.full(70000, 60000 / 70000), rtol=1e-3)


@pytest.mark.parametrize("name", ["reduce_sum", "reduce_mean", "reduce_prod", "reduce_variance", "reduce_std"])
def test_complex_numbers_are_reduced_and_differentiated(name):
    rng = np.random.default_rng(2)
    at = rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))
    at[1, 0] = 0
    z = og.placeholder((None, None), dtype=np.complex128)
    y = getattr(og, name)(z, 0)
    value = run(y, feeds={z: at})
    np.testing.assert_allclose(value, NUMPY[name](at, axis=0), rtol=1e-13)
    assert value.dtype == (np.float64 if name in ("reduce_variance", "reduce_std") else np.complex128)
    check_grads(y, z, {z: at}, order=2)


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min", "logsumexp"])
def test_complex_numbers_without_an_order_are_refused_with_advice(name):
    z = og.placeholder((3,), dtype=np.complex64)
    with pytest.raises(og.DtypeError, match=f"{name}: complex numbers .*(compare their parts|write og.log)"):
        getattr(og, name)(z)


def test_elements_that_tie_share_the_gradient_of_an_extreme_evenly():
    x = [[3.0, 1.0, 3.0], [0.0, 3.0, 2.0]]
    third = 1.0 / 3.0
    assert gradient(og.reduce_max, x).tolist() == [[third, 0, third], [0, third, 0]]
    assert gradient(lambda x: og.reduce_max(x, 1), x).tolist() == [[0.5, 0, 0.5], [0, 1, 0]]
    assert gradient(lambda x: og.reduce_min(x, 0, keepdims=True), [[1.0, 2], [1, 3]]).tolist() == [[0.5, 1], [0.5, 0]]
    assert gradient(og.reduce_min, [INF, INF]).tolist() == [0.5, 0.5]


def test_nan_wins_an_extreme_and_makes_the_gradient_of_its_slice_nan():
    x = [[1.0, NAN, 2.0], [1.0, 5.0, 2.0]]
    for name in ("reduce_max", "reduce_min"):
        found = run(getattr(og, name)(np.array(x), 1))
        assert np.isnan(found[0])
        slopes = gradient(lambda x, name=name: getattr(og, name)(x, 1), x)
        assert np.isnan(slopes[0]).all()
        assert sorted(slopes[1]) == [0.0, 0.0, 1.0]


def test_extremes_take_integers_and_booleans():
    found = run(og.reduce_max(np.array([3, 250], np.uint8)), og.reduce_min(np.array([True, False])))
    assert [(v.dtype, v.item()) for v in found] == [(np.uint8, 250), (np.bool, False)]


@pytest.mark.parametrize(("name", "what"), [("reduce_max", "maximum"), ("reduce_min", "minimum")])
def test_the_extreme_of_nothing_is_an_error_when_that_is_known(name, what):
    reduce = getattr(og, name)
    with pytest.raises(og.ShapeError, match=rf"{name}: \(0, 3\) has size 0 along axis 0, so that there is no {what}"):
        reduce(og.placeholder((0, 3)))
    x = og.placeholder((None, 3), name="x")
    y = reduce(x, 0)
    with pytest.raises(og.ShapeError, match=rf"{name}: \(0, 3\) has size 0 along axis 0") as caught:
        run(y, feeds={x: np.ones((0, 3))})
    assert "y = reduce(x, 0)" in str(caught.value)
    assert run(reduce(x, 1), feeds={x: np.ones((0, 3))}).shape == (0,)


def products_without(x, *left_out):
    return math.prod(value for i, value in enumerate(x) if i not in left_out)


@pytest.mark.parametrize(
    "x", [[2.0, -3.0, 5.0, 0.5], [2.0, 0.0, 5.0, -0.5], [2.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 4.0], [3.0], [0.0], []]
)
def test_the_gradient_of_a_product_is_that_of_the_other_factors_in_three_orders(x):
    node = og.placeholder((None,), dtype=np.float64)
    n, at = len(x), {node: np.array(x)}
    first = og.grad(og.reduce_prod(node), node)
    assert run(first, feeds=at).tolist() == [products_without(x, i) for i in range(n)]
    for i in range(n):
        unit = np.eye(n)[i]
        second = og.grad(first, node, unit)
        assert run(second, feeds=at).tolist() == [0 if j == i else products_without(x, i, j) for j in range(n)]
        for j in range(n):
            third = og.grad(second, node, np.eye(n)[j])
            expected = [0 if len({i, j, k}) < 3 else products_without(x, i, j, k) for k in range(n)]
            assert run(third, feeds=at).tolist() == expected


@pytest.mark.parametrize("axis", [None, (0, 2), (1,), (2, 1)])
def test_a_product_over_several_axes_of_unknown_sizes_has_its_gradient_with_zeros(axis):
    at = np.random.default_rng(3).normal(size=(2, 3, 2))
    at[0, 1, 1] = at[1, 2, 0] = at[1, 1, 0] = 0.0
    x = og.placeholder((None, None, None), dtype=np.float64)
    for keepdims in (False, True):
        check_grads(og.reduce_prod(x, axis, keepdims), x, {x: at}, order=2)


def test_products_and_sums_of_nothing_have_gradients_of_that_shape():
    for reduce in (og.reduce_prod, og.reduce_sum, og.reduce_mean, og.logsumexp, og.reduce_variance, og.reduce_std):
        assert gradient(lambda x, reduce=reduce: reduce(x, 0), np.ones((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_variance_is_stable_far_from_zero(dtype):
    offset = 1e6 if dtype == np.float32 else 1e12
    x = np.array([offset - 2, offset - 1, offset, offset + 1, offset + 2], dtype)
    assert run(og.reduce_variance(x)) == 2
    assert run(og.reduce_std(x, ddof=1)) == dtype(math.sqrt(2.5))


def test_equal_elements_have_no_variance_and_their_deviation_the_gradient_zero():
    x = og.placeholder((None, 2), dtype=np.float32)
    at = {x: np.array([[0.1, 1.0]] * 3 + [[0.1, 2.0]])}  # the mean of three times 0.1 is another number
    deviation = og.reduce_std(x, 0)
    first = og.grad(deviation, x)
    found = run(og.reduce_variance(x, 0), deviation, first, og.grad(first * first, x), feeds=at)
    assert found[0][0] == found[1][0] == 0
    assert found[2][:, 0].tolist() == found[3][:, 0].tolist() == [0.0] * 4
    assert (found[2][:, 1] != 0).all()


def test_a_divisor_below_one_gives_nan_or_infinity():
    x = og.placeholder((None,), dtype=np.float64)
    for ddof in (0, 1, 2, 3):
        y, s = og.reduce_variance(x, ddof=ddof), og.reduce_std(x, ddof=ddof)
        for at in ([], [5.0], [5.0, 7.0]):
            found = run(y, s, og.grad(y, x), og.grad(s, x), feeds={x: at})
            if len(at) > ddof:
                expected = sum((v - np.mean(at)) ** 2 for v in at) / (len(at) - ddof)
                np.testing.assert_allclose(found[:2], [expected, math.sqrt(expected)])
                assert np.isfinite(found[2]).all()
            else:
                assert not np.isfinite(found[0])
                assert not np.isfinite(found[1])
                assert not np.isfinite(found[2]).any()


def test_a_ddof_that_is_negative_or_no_integer_is_refused():
    x = og.placeholder((3,))
    with pytest.raises(og.ArgumentError, match="reduce_variance: ddof=-1 is negative"):
        og.reduce_variance(x, ddof=-1)
    with pytest.raises(og.ArgumentError, match="reduce_std: ddof=0.5: expected an integer"):
        og.reduce_std(x, ddof=0.5)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([1000.0, 1000.0], 1000 + math.log(2)),
        ([-1000.0, -1000.0], -1000 + math.log(2)),
        ([0.0, -INF], 0.0),
        ([-INF, -INF], -INF),
        ([INF, 1.0], INF),
        ([INF, -INF], INF),
        ([NAN, INF], NAN),
        ([], -INF),
    ],
)
def test_logsumexp_neither_overflows_nor_makes_nan_of_infinities(x, expected):
    np.testing.assert_allclose(run(og.logsumexp(np.array(x))), expected, rtol=1e-15)


def test_the_gradient_of_logsumexp_at_infinities_is_what_is_promised():
    assert gradient(og.logsumexp, [-INF, 0.0, 0.0]).tolist() == [0.0, 0.5, 0.5]
    assert gradient(og.logsumexp, [-INF, -INF]).tolist() == [0.0, 0.0]
    np.testing.assert_array_equal(gradient(og.logsumexp, [INF, 1.0, -INF]), [NAN, 0.0, 0.0])
    x = og.placeholder((None,), dtype=np.float64)
    second = og.grad(og.grad(og.logsumexp(x), x), x, np.array([1.0, 0.0, 0.0]))
    assert run(second, feeds={x: [0.0, 0.0, -INF]}).tolist() == [0.25, -0.25, 0.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=8), st.floats(-1e4, 1e4))
def test_logsumexp_moves_with_its_argument(values, shift):
    x = np.array(values)
    plain, moved = run(og.logsumexp(x), og.logsumexp(x + shift))
    assert plain == pytest.approx(math.log(math.fsum(map(math.exp, values))), rel=1e-13, abs=1e-13)
    assert moved == pytest.approx(plain + shift, rel=1e-11, abs=1e-11)


def test_reduce_logsumexp_and_logsumexp_are_one():
    x = og.placeholder((2, 3))
    assert og.logsumexp(x, 0, True).call.op == og.reduce_logsumexp(x, [0], keepdims=True).call.op


def test_any_and_all_agree_with_python_and_refuse_numbers():
    for row in itertools.product([False, True], repeat=3):
        assert run(og.reduce_any(list(row)), og.reduce_all(list(row))) == [any(row), all(row)]
    empty = np.zeros((0, 2), bool)
    found = run(og.reduce_any(empty, 0), og.reduce_all(empty, 0))
    assert [value.tolist() for value in found] == [[False, False], [True, True]]
    assert found[0].dtype == np.bool
    with pytest.raises(og.DtypeError, match="reduce_any: takes booleans, not float32; compare x with something first"):
        og.reduce_any(og.placeholder((3,)))


def test_the_shapes_of_unknown_sizes_follow():
    x = og.placeholder((None, 4, None))
    for name in NUMPY:
        reduce = getattr(og, name)
        assert reduce(x).shape == ()
        assert reduce(x, 1).shape == (None, None)
        assert reduce(x, (0, -1), keepdims=True).shape == (1, 4, 1)
        assert reduce(x, ()).shape == (None, 4, None)


def test_gradients_hold_for_sizes_that_only_the_run_knows():
    x = og.placeholder((None, None), dtype=np.float64)
    at = {x: [[0.5, -1.25, 2.0], [1.5, 0.25, -0.75]]}
    for name in NUMPY:
        check_grads(getattr(og, name)(x, -1) * og.reduce_sum(x, 1), x, at, order=2)


@pytest.mark.parametrize(
    "name", ["reduce_sum", "reduce_mean", "reduce_prod", "reduce_variance", "reduce_std", "reduce_logsumexp"]
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.complex64])
def test_kernels_fill_outputs_and_work_space_that_hold_garbage(name, dtype):
    if name == "reduce_logsumexp" and dtype == np.complex64:
        return  # it refuses complex numbers
    op = og.registry.get(f"core.{name}")(axes=(0, 2))
    x = np.random.default_rng(4).normal(size=(4, 3, 2))[::-1, :, ::-1].astype(dtype)
    ins = (og.Spec(x.shape, x.dtype),)
    outs = op.infer(ins)
    found = []
    for garbage in (NAN, 77.0):
        arrays = [np.full(s.shape, garbage, s.dtype) if s.dtype != np.bool else np.ones(s.shape, bool) for s in outs]
        scratch = [np.full(s.shape, garbage).astype(s.dtype) for s in op.scratch(ins, outs)]
        op.compute((x,), tuple(arrays), *([tuple(scratch)] if scratch else []))
        found.append(arrays[0])
    np.testing.assert_array_equal(*found)
    assert np.isfinite(found[0]).all()


ONE_SIGN = np.full((200_000, 3), 0.1, np.float32)


@pytest.mark.parametrize("passes", [(), None])
@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda x: og.reduce_sum(x, 0), 20_000.0),
        (lambda x: og.reduce_sum(og.reshape(x, (40, 5_000, 3)), (0, 1), keepdims=True), 20_000.0),
        (lambda x: og.reduce_sum(og.reshape(og.transpose(x), (3, 5_000, 40)), (1, 2)), 20_000.0),
        (lambda x: og.reduce_mean(x, 0), 0.1),
        (lambda x: og.reduce_sum(x * (1 + 1j), 0), 20_000.0 * (1 + 1j)),
        (lambda x: og.grad(og.reduce_sum(x * (b := og.Variable(np.ones(3, np.float32)))), b), 20_000.0),
    ],
    ids=["sum", "over two axes", "of what is transposed", "mean", "complex", "gradient of what was broadcast"],
)
def test_float32_sums_along_leading_axes_keep_digits_that_numpy_loses(build, expected, passes):
    x = og.placeholder((None, 3), dtype=np.float32)
    (found,) = og.RunTime(passes=passes).run([build(x)], {x: ONE_SIGN})
    np.testing.assert_allclose(found, np.full_like(found, expected), rtol=2e-5)
    assert np.abs(ONE_SIGN.sum(0) / 20_000.0 - 1.0).min() > 2e-4


def test_the_float32_variance_of_what_lies_far_from_its_first_element_keeps_five_digits():
    values = np.tile(np.array([[4.0], [6.0]], np.float32), (100_000, 3))
    values[0] = 0.0
    x = og.placeholder((None, 3), dtype=np.float32)
    found = og.RunTime().run(og.reduce_variance(x, 0), {x: values})
    np.testing.assert_allclose(found, values.astype(np.float64).var(0), rtol=1e-5)
