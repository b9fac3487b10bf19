"""Indexing: ``x[...]``, ``x.at[...]``, `gather`, `scatter_add` and `slice`."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import opgraph as og
from opgraph.ops.index import AddAt, GetItem, GetLast, SetAt
from opgraph.ops.keys import parse_key
from opgraph.testing import check_grads

X = np.random.default_rng(0).normal(size=(2, 3, 4))


def run(node, feeds=None):
    return og.RunTime().run(node, feeds)


def fed(shape, dtype=np.float64, name="x"):
    return og.placeholder(shape, dtype=dtype, name=name)


KEYS = [
    1,
    -2,
    np.int8(1),
    np.array(1),
    (1, 2),
    (0, -1, 3),
    slice(None),
    slice(1, None),
    slice(None, None, -1),
    (slice(None), slice(5, 0, -2), slice(-3, 100)),
    (slice(np.int64(0), np.uint8(1)),),
    None,
    (None, 1, None, ..., None, slice(2)),
    ...,
    (..., 1),
    (1, ..., 1),
    (1, 2, 3, ...),
    (),
    [0, 1, 1],
    [[0, -1], [1, 1]],
    [],
    ([], slice(None), 1),
    (slice(None), (2, 0)),
    (slice(None), [2, 0], [1, 3]),
    ([0, 1], slice(None), [1, 3]),
    ([0, 1], slice(None), 3),
    (0, slice(None), [1, 3]),
    (0, [1, 2]),
    ([0, 1], None, [1, 2]),
    (slice(None), [0, 1], ..., [1, 3]),
    (slice(None), [0, 1], ..., None),
    (None, [[0], [1]], [2, 1, 0]),
    ([[0], [1]], [2, 1, 0], slice(None, None, 2)),
    (np.array(1), slice(None), np.array(2)),
    (np.array([1, 0], np.uint8), np.array([-1, 0], np.int16)),
    np.array([1, 0], np.uint64),
    ([1], ..., slice(1, 3)),
]


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_a_key_picks_what_numpy_picks(key, known):
    expected = X[key]
    x = fed(X.shape if known else [None] * 3)
    y = x[key]
    assert y.shape.compatible_with(expected.shape)
    if known:
        assert y.shape == expected.shape
    value = run(y, {x: X})
    assert isinstance(value, np.ndarray)
    np.testing.assert_array_equal(value, expected, strict=True)


@st.composite
def arrays_with_keys(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    if draw(st.booleans()):
        key = draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=8))
    else:
        at = sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
        picks = draw(hnp.mutually_broadcastable_shapes(num_shapes=len(at), min_dims=0, max_dims=2, max_side=3))
        parts = [draw(hnp.basic_indices((n,), min_dims=0, allow_ellipsis=False)) for n in shape]
        parts = [part[0] if isinstance(part, tuple) and part else part for part in parts]
        parts = [slice(None) if part == () else part for part in parts]
        for axis, pick in zip(at, picks.input_shapes, strict=True):
            n = shape[axis]
            parts[axis] = draw(hnp.arrays(np.int64, pick, elements=st.integers(-n, n - 1)))
        for extra in draw(st.sampled_from([(), (None,), (...,), (None, ...)])):
            parts.insert(draw(st.integers(0, len(parts))), extra)
        key = tuple(parts)
    return np.arange(1.0, np.prod(shape) + 1).reshape(shape), key


@settings(max_examples=150, deadline=None)
@given(arrays_with_keys())
def test_any_key_picks_what_numpy_picks_and_adds_back_where_it_picked(case):
    data, key = case
    with og.Graph().as_default_graph():
        x = fed([None] * data.ndim)
        parsed, indices, _ = parse_key(key)
        nodes = [og.placeholder([None] * i.ndim, dtype=i.dtype) for i in indices]
        y = og.apply(GetItem(key=parsed), x, *nodes)
        value = run(y, {x: data, **dict(zip(nodes, indices, strict=True))})
        expected = data[key]
        np.testing.assert_array_equal(value, expected, strict=True)
        cotangent = np.arange(2.0, 2.0 + expected.size).reshape(expected.shape)
        gradient = run(og.grad(y, x, cotangent), {x: data, **dict(zip(nodes, indices, strict=True))})
    by_hand = np.zeros_like(data)
    for place, g in zip(data[key].ravel(), cotangent.ravel(), strict=True):
        by_hand[data == place] += g  # the elements of data are all different
    np.testing.assert_array_equal(gradient, by_hand)


@settings(max_examples=100, deadline=None)
@given(arrays_with_keys())
def test_the_last_value_stays_and_alone_has_a_gradient(case):
    data, key = case
    picked = data[key]
    values = -np.arange(1.0, picked.size + 1).reshape(picked.shape)
    by_hand, winner = data.copy(), {}
    for i, place in enumerate(picked.ravel()):
        by_hand[data == place] = values.ravel()[i]
        winner[place] = i
    with og.Graph().as_default_graph():
        x, v = fed([None] * data.ndim), fed([None] * values.ndim)
        y = x.at[key].set(v)
        gx, gv = og.grad(y, [x, v], data)  # the cotangent tells each place apart
        found, gx, gv = run([y, gx, gv], {x: data, v: values})
    np.testing.assert_array_equal(found, by_hand)
    np.testing.assert_array_equal(gx, np.where(np.isin(data, picked), 0, data))
    wins = np.isin(np.arange(picked.size), list(winner.values())).reshape(picked.shape)
    np.testing.assert_array_equal(gv, np.where(wins, picked, 0))


def test_indices_may_be_nodes():
    x, i, j = fed((None, 4)), og.placeholder((), dtype=np.int32), og.placeholder((None, 1), dtype=np.int64)
    at = {x: X[0], i: 2, j: [[-1], [0]]}
    assert x[i].shape == (4,)
    assert x[j, :].shape == (None, 1, 4)
    for y, expected in [
        (x[i], X[0][2]),
        (x[i, 1], X[0][2, 1]),
        (x[j, i], X[0][[[-1], [0]], 2]),
        (x[..., j], X[0][..., [[-1], [0]]]),
    ]:
        np.testing.assert_array_equal(run(y, at), expected)


def test_a_basic_key_takes_a_view_of_one_that_is_no_array():
    x = fed((2, 3))
    (y,) = GetItem(key=(1, -1)).view((np.ones((2, 3)),))
    assert isinstance(y, np.ndarray)
    assert y.shape == ()
    assert run(x[0, 0][...], {x: np.ones((2, 3))}).shape == ()
    assert GetItem(key=("array",)).view((np.ones(3), np.array([1]))) is None


def test_the_key_of_an_op_is_plain_data():
    op = x_op(fed((2, 3, 4))[None, ..., ::-1, np.int64(1)])
    assert op.key == (None, "...", (None, None, -1), 1)
    assert hash(op) == hash(GetItem(key=op.key))
    again = json.loads(json.dumps(op.attributes()))
    assert GetItem(**again) == op


def x_op(node):
    return node.call.op


@pytest.mark.parametrize("start", [None, 0, 1, 3, -1, -2])
@pytest.mark.parametrize("stop", [None, 0, 1, 3, -1, -2])
@pytest.mark.parametrize("step", [None, 2, -1, -2])
def test_what_a_slice_of_an_unknown_size_is_said_to_be_it_is(start, stop, step):
    (said,) = fed((None,))[start:stop:step].shape
    sizes = {len(range(*slice(start, stop, step).indices(n))) for n in range(12)}
    assert sizes == {said} if said is not None else len(sizes) > 1


def test_duplicate_indices_accumulate_in_the_gradient():
    x = fed((3, 2))
    y = x[[2, 0, 2, -1]]
    g = run(og.grad(y, x, np.arange(1.0, 9).reshape(4, 2)), {x: np.zeros((3, 2))})
    assert g.tolist() == [[3, 4], [0, 0], [1 + 5 + 7, 2 + 6 + 8]]


def test_gradients_through_a_node_of_indices_hold_to_third_order():
    x, i = fed((3, 2)), og.placeholder((4,), dtype=np.int64)
    data = {x: np.random.default_rng(0).normal(size=(3, 2)), i: [2, 0, 2, -1]}
    check_grads(og.exp(x[i]) * x[i, :], x, data, order=3)
    check_grads(og.exp(x.at[i].set(x[::-1][i] * x[0])), x, data, order=2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.complex64, np.complex128])
def test_a_gradient_keeps_the_dtype(dtype):
    x = og.placeholder((4, 3), dtype=dtype)
    g = og.grad(x[[1, 1, 2]], x, np.ones((3, 3), dtype))
    value = run(g, {x: np.zeros((4, 3), dtype)})
    assert value.dtype == dtype
    assert value[:, 0].tolist() == [0, 2, 1, 0]


def test_sums_of_float16_may_pass_its_largest_value_on_the_way():
    x = np.zeros(2, np.float16)
    v = np.array([6e4, 6e4, -6e4], np.float16)
    assert run(og.constant(x).at[[0, 0, 0]].add(v)).tolist() == [np.float16(6e4), 0]


def test_at_leaves_x_as_it_is_and_broadcasts():
    x = og.Variable(np.arange(6).reshape(2, 3))
    changed, added = x.at[:, 1].set(9), x.at[[0, 0], :2].add([[1], [10]])
    found = run([changed, added, x])
    assert [f.tolist() for f in found] == [
        [[0, 9, 2], [3, 9, 5]],
        [[11, 12, 2], [3, 4, 5]],
        [[0, 1, 2], [3, 4, 5]],
    ]
    assert changed.dtype == added.dtype == x.dtype


def test_at_takes_values_that_its_dtype_can_hold_and_no_others():
    x = fed((3,), np.float32)
    assert x.at[0].set(np.float64(0.5)).dtype == np.float32
    assert x.at[0].set(og.constant(2)).dtype == np.float32
    i = fed((3,), np.int32)
    with pytest.raises(og.DtypeError, match=r"set_at: float64 does not go into int32; convert it first"):
        i.at[0].set(0.5)
    with pytest.raises(og.DtypeError, match=r"add_at: float32 does not go into int32; convert it first"):
        i.at[0].add(x[0])
    with pytest.raises(og.ShapeError, match=r"set_at: \(2,\) does not broadcast to \(3,\)"):
        x.at[:].set([1, 2])


def test_unknown_sizes_of_a_value_are_checked_in_the_run():
    x, v = fed((None, 3)), fed((None,), name="v")
    y = x.at[:, 0].set(v)
    assert run(y, {x: np.zeros((2, 3)), v: [7]})[:, 0].tolist() == [7, 7]
    with pytest.raises(og.ShapeError, match=r"set_at: \(3,\) does not broadcast to \(2,\)"):
        run(y, {x: np.zeros((2, 3)), v: [7, 8, 9]})


ROWS, COLUMNS = np.array([True, False]), [True, False, True, True]


@pytest.mark.parametrize(
    "key",
    [
        ROWS,
        [False, True],
        (slice(None), X[0, :, 0] > 0),
        (..., COLUMNS),
        X[..., 0] > 0,
        (slice(1), X[0] > 0),
        (0, X[0] > 0),
        X > 0,
        (ROWS, None, [0, 2, 1]),
        (ROWS, slice(None), [*COLUMNS[1:], False]),
        ([[0], [1]], slice(None), COLUMNS),
        np.zeros(2, bool),
    ],
    ids=repr,
)
def test_a_mask_that_is_known_picks_what_numpy_picks(key):
    x = fed(X.shape)
    found = run([x[key], x.at[key].set(0.0), x.at[key].add(X[key])], {x: X})
    changed, raised = X.copy(), X.copy()
    changed[key] = 0.0
    raised[key] += X[key]
    for value, expected in zip(found, [X[key], changed, raised], strict=True):
        np.testing.assert_array_equal(value, expected, strict=True)
    check_grads(og.sin(x[key]), [x], {x: X})


def test_a_constant_is_a_mask_and_axes_beside_it_may_be_unknown():
    x = fed((None, 4))
    y = x[:, og.constant(np.array(COLUMNS))]
    assert y.shape == (None, 3)
    np.testing.assert_array_equal(run(y, {x: X[0]}), X[0][:, COLUMNS])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ([True, False], r"getitem: a mask of size 2 does not pick from axis 0 with size 3\n"),
        ((slice(None), np.ones((4, 1), bool)), r"getitem: a mask of size 1 does not pick from axis 2 with size 5\n"),
        (
            (..., [True] * 7),
            r"getitem: a mask of size 7 does not pick from axis 3, whose size is unknown; give the pos",
        ),
    ],
)
def test_a_mask_of_another_size_is_refused(key, message):
    x = fed((3, 4, 5, None))
    with pytest.raises(og.ShapeError, match=message) as caught:
        x[key]
    assert "test_index.py" in str(caught.value)


@pytest.mark.parametrize("index", [True, np.False_, np.array(True)], ids=repr)
def test_a_single_boolean_is_no_index(index):
    x = fed((2,))
    with pytest.raises(og.DtypeError, match=rf"getitem: {bool(index)} is no index; x\[None\] adds a dimension"):
        x[index]
    with pytest.raises(og.DtypeError, match="set_at: .* is no index"):
        x.at[index].set(0)


def test_a_boolean_node_is_no_index_and_says_what_to_do_instead():
    x = fed((2,))
    with pytest.raises(
        og.DtypeError, match=r"getitem: how many .* depends on data; .* og.where\(mask, x, 0\)"
    ) as caught:
        x[x > 0]
    assert "test_index.py" in str(caught.value)
    with pytest.raises(og.DtypeError, match="set_at: .* depends on data"):
        x.at[x > 0].set(0)
    with pytest.raises(og.DtypeError, match=r"gather: indices are integers, not booleans; x\[\.\.\.\] takes a mask"):
        og.gather(x, ROWS)


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (1.0, og.DtypeError, "an index is an integer, not float64"),
        ([0.0], og.DtypeError, "an index is an integer, not float64"),
        ("a", og.DtypeError, "not strings"),
        (slice(0.5, 2), og.DtypeError, "a slice's bounds are integers or None, not 0.5"),
        (slice(True, 2), og.DtypeError, "a slice's bounds are integers or None, not True"),
        (slice(0, 2, 0), og.ArgumentError, "step cannot be 0"),
        ((..., ...), og.ArgumentError, "one '...' at most"),
        ((0, 0, 0), og.ArgumentError, "3 indices are too many for 2 dimensions"),
        ((0, [1], 0), og.ArgumentError, "3 indices are too many for 2 dimensions"),
        (2, og.ArgumentError, "index 2 is out of range for axis 0 with size 2"),
        ((..., -4), og.ArgumentError, "index -4 is out of range for axis 1 with size 3"),
        ((None, ..., [0, 3]), og.ArgumentError, "index 3 is out of range for axis 1 with size 3"),
        (([0, 1], [0, 1, 2]), og.ShapeError, "do not broadcast"),
    ],
    ids=repr,
)
def test_a_key_that_does_not_fit_raises_when_the_node_is_made(key, error, message):
    x = fed((2, 3))
    for build, name in [(lambda: x[key], "getitem"), (lambda: x.at[key].add(1), "add_at")]:
        with pytest.raises(error, match=f"^{name}: .*{message}") as caught:
            build()
        assert "test_index.py" in str(caught.value)


def test_a_dynamic_slice_says_what_to_do_instead():
    x, i = fed((5,)), og.placeholder((), dtype=np.int64)
    with pytest.raises(og.DtypeError, match="bounds are plain integers.*og.gather"):
        x[i : i + 2]
    assert run(og.gather(x, i + np.arange(2)), {x: range(5), i: 3}).tolist() == [3, 4]


def test_what_is_out_of_range_only_in_the_run_is_named_there():
    x, i = fed((None, 3)), og.placeholder((None,), dtype=np.int64, name="i")
    rows = np.zeros((2, 3))
    with pytest.raises(og.ArgumentError, match=r"getitem: index 4 is out of range for axis 0 with size 2"):
        run(x[4], {x: rows})
    for y in (x[:, i], x[i, :, None], x[0, i], x.at[i].add(1.0), x.at[i].set(1.0), og.gather(x, i)):
        with pytest.raises(
            og.ArgumentError, match=r"index (7|-8) is out of range for axis [01] with size [23]"
        ) as caught:
            run(y, {x: rows, i: [0, 7] if y is not x else [-8]})
        assert "i: " in str(caught.value) or "indices[0]: placeholder 'i'" in str(caught.value)
    with pytest.raises(og.ArgumentError, match=r"index -4 is out of range for axis 1 with size 3"):
        run(x[:, i], {x: rows, i: np.array([0, -4])})
    with pytest.raises(og.ArgumentError, match=r"index 0 is out of range for axis 0 with size 0"):
        run(x[i], {x: np.zeros((0, 3)), i: np.array([0])})
    assert run(x[i], {x: np.zeros((0, 3)), i: np.array([], np.int64)}).shape == (0, 3)


def test_a_large_unsigned_index_is_out_of_range():
    x = fed((3,))
    with pytest.raises(og.ArgumentError, match=f"index {2**64 - 1} is out of range"):
        x[np.array([2**64 - 1], np.uint64)]


@pytest.mark.parametrize(
    ("trap", "hint"),
    [
        (lambda x: x.__setitem__(0, 1), r"never changes; x.at\[key\].set"),
        (lambda x: x.__delitem__(0), "never changes; og.concat"),
        (lambda x: 1 in x, "run it, then search"),
        (int, "run it first"),
        (float, "run it first"),
        (complex, "run it first"),
        (lambda x: [1, 2][x], "run it first"),
    ],
)
def test_what_a_node_cannot_do_says_what_can_be_done(trap, hint):
    x = fed((), np.int64)
    with pytest.raises(og.DtypeError, match=hint) as caught:
        trap(x)
    assert "test_index.py" in str(caught.value)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("indices", [1, [2, 0, 2], [[1], [-2]], np.zeros((0, 2), np.int64)], ids=repr)
def test_gather_takes_along_an_axis(axis, indices):
    x = fed((None, None, None))
    data = np.arange(60.0).reshape(3, 4, 5)
    np.testing.assert_array_equal(
        run(og.gather(x, indices, axis), {x: data}), np.take(data, indices, axis), strict=True
    )
    np.testing.assert_array_equal(
        run(og.gather(og.transpose(x), indices, axis), {x: data}), np.take(data.T, indices, axis), strict=True
    )


def test_gather_refuses_what_is_no_array_of_integers():
    x = fed((2, 3))
    with pytest.raises(og.ArgumentError, match="gather: indices are integers, not slice"):
        og.gather(x, slice(0, 2))
    with pytest.raises(og.DtypeError, match="gather: an index is an integer, not float64"):
        og.gather(x, [0.5])
    with pytest.raises(og.ArgumentError, match="gather: axis 2 is out of range"):
        og.gather(x, 0, axis=2)


def test_scatter_add_adds_as_often_as_an_index_comes():
    x, u = fed((None, None)), fed((None, None), name="u")
    y = og.scatter_add(x, [[0, 2], [0, -1]], og.reshape(u, (2, 2, 1)), axis=0)
    data = {x: np.zeros((3, 2)), u: [[1.0, 2.0], [3.0, 4.0]]}
    assert run(y, data).tolist() == [[4, 4], [0, 0], [6, 6]]
    check_grads(og.exp(y), [x, u], data)
    z = og.scatter_add(np.zeros((2, 3)), [1], 5, axis=-1)
    assert run(z).tolist() == [[0, 5, 0]] * 2


def test_slice_takes_a_block_and_never_less():
    x = fed((None, 4))
    y = og.slice(x, [1, 0], np.array([2, -1]))
    assert y.shape == (2, 4)
    assert og.slice(x, (1, 1), (-1, 2)).shape == (None, 2)
    data = np.arange(12.0).reshape(3, 4)
    assert run(y, {x: data}).tolist() == data[1:3].tolist()
    with pytest.raises(og.ShapeError, match=r"slice: 2 elements from 1 on along axis 0 goes? beyond its size 2"):
        run(y, {x: data[:2]})
    with pytest.raises(og.ShapeError, match=r"slice: begin 5 along axis 1 goes beyond its size 4"):
        og.slice(x, (0, 5), (-1, -1))
    assert run(og.slice(og.constant(np.arange(5)), 1, 3)).tolist() == [1, 2, 3]


def test_indexing_an_array_by_a_node_stays_in_the_graph_of_the_node():
    with og.Graph().as_default_graph() as other:
        i = og.placeholder((), dtype=np.int64)
    assert og.getitem(X, i).graph is other
    assert og.set_at(X, i, 0.0).graph is other
    assert og.gather(X, i).graph is other
    assert og.scatter_add(X, i, 0.0).graph is other


def test_empty_and_scalar_values_are_indexed():
    s, e = fed(()), fed((0, 3))
    assert run(s[...], {s: 2.0}).tolist() == 2.0
    assert run(s[None], {s: 2.0}).tolist() == [2.0]
    assert run(s.at[()].set(5), {s: 2.0}).tolist() == 5.0
    assert run(e[:, [0, 0]], {e: np.zeros((0, 3))}).shape == (0, 2)
    assert run(og.grad(e[:, [0, 0]], e), {e: np.zeros((0, 3))}).shape == (0, 3)


def test_ops_made_by_hand_are_checked():
    x = og.constant(np.zeros((2, 3)))
    with pytest.raises(og.ArgumentError, match=r"wants 1 index arrays, not 0"):
        og.apply(GetItem(key=("array",)), x)
    with pytest.raises(og.DtypeError, match="v is int64 where x is float64"):
        og.apply(AddAt(key=(0,)), x, np.array(1))
    with pytest.raises(og.DtypeError, match="depends on data"):
        og.apply(GetLast(key=("array",)), x, np.array([True, False]))
    with pytest.raises(og.ArgumentError, match="step cannot be 0"):
        og.apply(SetAt(key=((None, None, 0),)), x, np.array(1.0))


def test_huge_bounds_clip_as_python_s_do():
    x = fed((3,))
    assert run(x[: 2**80], {x: [1, 2, 3]}).tolist() == [1, 2, 3]
    assert x[-sys.maxsize * 4 :].shape == (3,)
    with pytest.raises(og.ArgumentError, match="out of range"):
        x[2**80]


def test_a_key_that_would_need_more_dimensions_than_an_array_has_is_refused_when_the_graph_is_built():
    x = og.placeholder((3,))
    for build in (lambda key: x[key], lambda key: x.at[key].set(1.0), lambda key: x.at[key].add(1.0)):
        with pytest.raises(og.ShapeError, match="71 dimensions are more than the 64"):
            build((None,) * 70)


def test_errors_name_what_was_called():
    x, i = og.placeholder((2, 3), name="x"), og.placeholder((1,), np.int64)
    with pytest.raises(og.ArgumentError, match="gather: index 7 is out of range for axis 0 with size 2"):
        og.gather(x, [7])
    with pytest.raises(og.ArgumentError, match="scatter_add: index 7 is out of range"):
        og.scatter_add(x, [7], 1.0)
    with pytest.raises(og.ArgumentError, match="getitem: index 7 is out of range"):
        x[[7]]
    late = og.gather(x, i)
    assert repr(late).startswith("<gather ")
    with pytest.raises(og.ArgumentError, match="gather: index 9 is out of range"):
        og.RunTime().run(late, {x: np.ones((2, 3)), i: [9]})
