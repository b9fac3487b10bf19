"""Comparisons and `where`."""

import numpy as np
import pytest

import opgraph as og


def test_the_operators_compare_on_either_side():
    x = og.placeholder((3,), name="x")
    at = np.array([1.0, 2.0, 3.0], np.float32)
    found = og.RunTime().run([x < 2, x <= 2, x > 2, x >= 2, 2 < x, np.float32(2) >= x], {x: at})  # noqa: SIM300  # the reflected ones
    expected = [at < 2, at <= 2, at > 2, at >= 2, at > 2, at <= 2]
    for value, wanted in zip(found, expected, strict=True):
        assert value.dtype == np.bool
        np.testing.assert_array_equal(value, wanted)


def test_a_comparison_of_complex_numbers_says_what_to_do():
    z = og.placeholder((3,), dtype=np.complex64, name="z")
    with pytest.raises(og.DtypeError, match="less: complex numbers are not ordered; compare their parts"):
        z < 1  # noqa: B015  # it raises
    assert og.equal(z, 1).dtype == np.bool


def test_where_chooses_and_sends_each_gradient_where_it_was_chosen():
    x, y = og.placeholder((3,), name="x"), og.placeholder((2, 1), name="y")
    chosen = og.where(x > 0, x, y)
    data = {x: [1.0, -1.0, 2.0], y: [[5.0], [7.0]]}
    value, gx, gy = og.RunTime().run([chosen, *og.grad(chosen, [x, y])], data)
    assert value.tolist() == [[1.0, 5.0, 2.0], [1.0, 7.0, 2.0]]
    assert gx.tolist() == [2.0, 0.0, 2.0]
    assert gy.tolist() == [[1.0], [1.0]]


def test_where_stays_in_the_graph_of_its_condition():
    with og.Graph().as_default_graph() as other:
        x = og.placeholder((3,))
    assert og.where(x > 0, 1.0, np.zeros(3)).graph is other


def test_a_condition_that_is_no_boolean_is_refused():
    x = og.placeholder((3,), name="x")
    with pytest.raises(og.DtypeError, match="where: condition is boolean, not float32; compare it with something"):
        og.where(x, 1.0, 2.0)


def test_the_operators_of_booleans_are_the_logical_ones():
    x = og.placeholder((4,), dtype=np.bool, name="x")
    y = np.array([True, True, False, False])
    data = {x: [True, False, True, False]}
    found = og.RunTime().run([x & y, x | y, x ^ y, ~x, y & x, True | x, False ^ x], data)
    expected = [[1, 0, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1], [1, 0, 1, 0]]
    assert [v.dtype for v in found] == [np.bool] * 7
    assert [v.astype(int).tolist() for v in found] == expected


def test_a_logical_function_of_numbers_says_to_compare_first():
    x = og.placeholder((3,), name="x")
    i = og.placeholder((3,), dtype=np.int64, name="i")
    with pytest.raises(og.DtypeError, match=r"logical_and: operands are booleans, not int64; compare first, in paren"):
        i & 1
    with pytest.raises(og.DtypeError, match=r"logical_or: operands are booleans, not float32.*\n.*x: placeholder 'x'"):
        x | (x > 0)
    with pytest.raises(og.DtypeError, match="logical_not: operands are booleans, not int64"):
        _ = ~i


def test_numbers_are_told_finite_infinite_or_none():
    x = og.placeholder((None,), name="x")
    found = og.RunTime().run([og.isfinite(x), og.isinf(x), og.isnan(x)], {x: [1.0, np.inf, -np.inf, np.nan]})
    assert [v.tolist() for v in found] == [
        [True, False, False, False],
        [False, True, True, False],
        [False, False, False, True],
    ]


def test_a_question_has_no_gradient():
    x = og.placeholder((3,), name="x")
    with pytest.raises(og.GradientError, match="only floating-point and complex values have gradients"):
        og.grad(og.isnan(x), x)


def test_nodes_are_equal_to_themselves_alone_and_say_so_beside_numbers():
    x, y = og.placeholder((3,), name="x"), og.placeholder((3,), name="y")
    assert x == x  # that is what is tested
    assert x != y
    assert x != None  # noqa: E711  # that is what is tested
    assert x != "x"
    for compare in (lambda: x == 0, lambda: x != 1.5, lambda: np.zeros(3) == x, lambda: x == np.float32(1)):
        with pytest.raises(og.DtypeError, match=r"placeholder 'x' .* is compared by identity; og.equal") as caught:
            compare()
        assert "test_compare.py" in str(caught.value)


def test_what_a_comparison_by_identity_gives_is_not_taken_for_values():
    x, y = og.placeholder((3,)), og.placeholder((3,))
    with pytest.raises(og.DtypeError, match="where: takes values, not False: == on nodes tells whether"):
        og.where(x == y, 1.0, 0.0)
    with pytest.raises(og.DtypeError, match="cast: takes values, not True"):
        og.cast(x != y, np.float32)
