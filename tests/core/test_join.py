"""`concat`, `stack`, and what takes values apart."""

import numpy as np
import pytest

import opgraph as og
from opgraph.ops.join import Split, SplitLike, Unstack
from opgraph.testing import check_grads

A, B, C = (np.random.default_rng(i).normal(size=(n, 3)) for i, n in enumerate((2, 0, 4)))


def run(nodes, feeds=None):
    return og.RunTime().run(nodes, feeds)


def fed(shape, dtype=np.float64, name="x"):
    return og.placeholder(shape, dtype=dtype, name=name)


def test_concat_joins_one_or_many_along_any_axis():
    np.testing.assert_array_equal(run(og.concat([A, B, C])), np.concatenate([A, B, C]), strict=True)
    np.testing.assert_array_equal(run(og.concat((A.T, C.T), axis=-1)), np.concatenate([A, C]).T, strict=True)
    np.testing.assert_array_equal(run(og.concat([A])), A, strict=True)
    assert run(og.concat([[1, 2], [3]])).dtype == np.float32


def test_concat_promotes_as_operators_do():
    x = fed((2,), np.float32)
    assert og.concat([x, [1, 2], np.array([3])]).dtype == np.float32
    assert og.concat([np.array([1], np.int8), np.array([2], np.int32)]).dtype == np.int32
    assert og.concat([x, fed((1,), np.complex64)]).dtype == np.complex64
    assert og.concat([np.array([True]), np.array([False])]).dtype == np.bool


def test_concat_knows_what_can_be_known_of_the_shape():
    assert og.concat([fed((None, 3)), fed((2, None))]).shape == (None, 3)
    assert og.concat([fed((1, None, 4)), fed((2, 3, None))]).shape == (3, 3, 4)
    with pytest.raises(og.ShapeError, match="concat: sizes differ along another axis than 0"):
        og.concat([fed((1, 3)), fed((None, None)), fed((2, 4))])
    x, y = fed((None, None)), fed((None, None))
    with pytest.raises(og.ShapeError, match="concat: sizes differ along another axis than 1"):
        run(og.concat([x, y], axis=1), {x: A, y: C})


@pytest.mark.parametrize("join", [og.concat, og.stack])
def test_joining_wants_a_sequence_with_something_in_it(join):
    with pytest.raises(og.ArgumentError, match=f"{join.__name__}: there is nothing to join") as caught:
        join([])
    assert "test_join.py" in str(caught.value)
    x = fed((2, 3))
    for wrong in ((x,), (5,), (x, x)):
        hint = rf"{join.__name__}: tensors is a list of tensors, not .*; write og\.{join.__name__}\(\[x, y\]\)"
        with pytest.raises(og.ArgumentError, match=hint):
            join(*wrong)


def test_scalars_are_stacked_and_not_concatenated():
    with pytest.raises(og.ArgumentError, match="concat: scalars have no axis; og.stack joins them"):
        og.concat([1.0, 2.0])
    assert run(og.stack([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_the_gradient_of_concat_goes_by_run_time_sizes():
    x, y, z = (fed((None, None), name=n) for n in "xyz")
    joined = og.concat([x, y, x, z])
    data = {x: A, y: B, z: C}
    check_grads(og.exp(joined) * joined, [x, y, z], data)
    cotangent = np.arange(24.0).reshape(8, 3)
    gx, gy, gz = run(og.grad(joined, [x, y, z], cotangent), data)
    np.testing.assert_array_equal(gx, cotangent[:2] + cotangent[2:4])
    assert gy.shape == (0, 3)
    np.testing.assert_array_equal(gz, cotangent[4:])


def test_a_gradient_of_some_parts_is_zero_in_the_others():
    x = fed((None, 3))
    for parts in (og.split(x, (1, -1, 2)), og.split_like(x, [A[:1], C[:1], A]), og.unstack(x, 0, 4)):
        g = run(og.grad(parts[1] * 2.0, x), {x: C})
        assert g.tolist() == [[0] * 3, [2] * 3, [0] * 3, [0] * 3]


def test_split_makes_equal_parts_or_parts_of_given_sizes():
    x = fed((None, 6))
    data = np.arange(24.0).reshape(4, 6)
    for sizes, axis, at in [(2, 0, [2]), (3, -1, [2, 4]), ((1, 0, 5), 1, [1, 1]), ((1, -1, 1), 0, [1, 3]), (1, 1, [])]:
        found = run(list(og.split(x, sizes, axis)), {x: data})
        for part, expected in zip(found, np.split(data, at, axis), strict=True):
            np.testing.assert_array_equal(part, expected, strict=True)
    assert [p.shape for p in og.split(x, np.array([1, -1]))] == [(1, 6), (None, 6)]
    assert [p.shape for p in og.split(x, 2)] == [(None, 6)] * 2
    assert isinstance(og.split(x, 1), tuple)


@pytest.mark.parametrize(
    ("sizes", "rows", "message"),
    [
        (3, 4, "axis 0 of size 4 has no 3 equal parts; give their sizes"),
        ((2, 1), 4, "axis 0 of size 4 does not split into 3 elements"),
        ((2, -1, 3), 4, "axis 0 of size 4 does not split into 5 elements"),
    ],
)
def test_sizes_that_do_not_add_up_raise_as_soon_as_they_are_known(sizes, rows, message):
    with pytest.raises(og.ShapeError, match=f"split: {message}"):
        og.split(fed((rows, 2)), sizes)
    x = fed((None, 2))
    parts = og.split(x, sizes)
    with pytest.raises(og.ShapeError, match=f"split: {message}"):
        run(parts[0], {x: np.zeros((rows, 2))})


@pytest.mark.parametrize("sizes", [0, -2, (), (-1, -1), (1, -2)])
def test_split_refuses_what_is_no_size(sizes):
    with pytest.raises(og.ArgumentError, match="split: "):
        og.split(fed((4,)), sizes)


def test_split_like_goes_by_the_sizes_of_the_run():
    x, a, b = fed((None, 3)), fed((None, 5), name="a"), fed((None, 0), np.int8, name="b")
    parts = og.split_like(x, [a, b])
    assert [p.shape for p in parts] == [(None, 3), (None, 3)]
    found = run(list(parts), {x: C, a: np.zeros((1, 5)), b: np.zeros((3, 0), np.int8)})
    np.testing.assert_array_equal(found[0], C[:1])
    np.testing.assert_array_equal(found[1], C[1:])
    with pytest.raises(og.ShapeError, match="split_like: axis 0 of size 4 does not split into 3 elements"):
        run(parts[0], {x: C, a: np.zeros((1, 5)), b: np.zeros((2, 0), np.int8)})
    with pytest.raises(og.ArgumentError, match="split_like: there is nothing in likes"):
        og.split_like(x, [])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_stack_and_unstack_undo_each_other(axis):
    x, y = fed((2, None)), fed((None, 3), name="y")
    joined = og.stack([x, y], axis)
    data = {x: A, y: A * 2}
    np.testing.assert_array_equal(run(joined, data), np.stack([A, A * 2], axis), strict=True)
    again = og.unstack(joined, axis)
    np.testing.assert_array_equal(run(again[1], data), A * 2, strict=True)
    check_grads(og.exp(joined) * joined, [x, y], data)


def test_stack_knows_what_can_be_known_of_the_shape():
    assert og.stack([fed((2, None)), fed((None, 3))], -1).shape == (2, 3, 2)
    with pytest.raises(og.ShapeError, match=r"stack: \(2, 3\) and \(2, 4\) differ"):
        og.stack([fed((2, 3)), fed((2, 4))])
    with pytest.raises(og.ArgumentError, match="stack: axis 2 is out of range"):
        og.stack([fed((2,))], 2)


def test_unstack_wants_to_know_how_many_parts_there_are():
    x = fed((None, 2))
    with pytest.raises(og.ShapeError, match=r"unstack: axis 0 of \(None, 2\) has no known size; give it, with count="):
        og.unstack(x)
    parts = og.unstack(x, count=3)
    assert [p.shape for p in parts] == [(2,)] * 3
    with pytest.raises(og.ShapeError, match="unstack: axis 0 has size 4, not 3"):
        run(parts[0], {x: np.zeros((4, 2))})
    with pytest.raises(og.ArgumentError, match="unstack: axis 2 is out of range"):
        og.unstack(x, 2)


def test_parts_are_views():
    x = np.arange(12.0).reshape(3, 4)
    for op, ins in [
        (Split(sizes=2, axis=1), (x,)),
        (SplitLike(axis=1), (x, x[:, :1], x[:, 1:])),
        (Unstack(count=3), (x,)),
        (Unstack(count=3, axis=-1), (x[0, :3],)),
    ]:
        for part in op.view(ins):
            assert isinstance(part, np.ndarray)
            assert np.may_share_memory(part, x)


def test_a_thousand_parts_join_in_one_op():
    x = fed((1000, 2))
    joined = og.concat([2.0 * part for part in og.split(x, 1000)])
    g = og.grad(og.reduce_sum(joined * joined), x)
    data = np.arange(2000.0).reshape(1000, 2)
    np.testing.assert_array_equal(run(g, {x: data}), 8 * data)
