import numpy as np
import pytest
from structures import after, assert_passes_change_nothing, ops

import opgraph as og
from opgraph.ops.arithmetic import Add, Multiply, Subtract
from opgraph.ops.complexes import Conj, Real
from opgraph.ops.elementwise import Cast
from opgraph.ops.like import BroadcastLike, EnsureShapeLike, ReshapeLike, SumTo
from opgraph.ops.powers import Power
from opgraph.ops.reduce import ReduceMax, ReduceMean, ReduceProd, ReduceSum
from opgraph.ops.shape import BroadcastTo, Reshape, Transpose
from opgraph.passes.lower import lower
from opgraph.passes.simplify import simplify

SPECIAL = [0.0, -0.0, 1.0, -2.5, np.nan, -np.nan, np.inf, -np.inf, 1e-40, 65504.0]


def simplified(*fetches):
    return ops(after(simplify, *fetches))


FLOATS = [np.float16, np.float32, np.float64]
REALS = [*FLOATS, np.int8, np.uint8, np.int64]


def special(dtype):
    with np.errstate(all="ignore"):
        return (
            np.array(SPECIAL).astype(dtype)
            if np.dtype(dtype).kind != "c"
            else np.array([complex(a, b) for a in SPECIAL for b in SPECIAL], dtype)
        )


def number(value, dtype):
    return og.constant(np.array(value, dtype))


EXACT = {
    "x * 1": lambda x, n: x * n(1),
    "1 * x": lambda x, n: n(1) * x,
    "x - 0": lambda x, n: x - n(0),
    "-(-x)": lambda x, n: og.negative(-x),
    "+0 of (2 * x)": lambda x, n: (x * n(2)) - n(0),
}


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("formula", EXACT)
def test_neutral_elements_go_without_a_change_of_a_bit(formula, dtype):
    x = og.placeholder((None,), dtype=dtype)
    y = EXACT[formula](x, lambda value: number(value, dtype))
    assert simplified(y) == (["multiply"] if "2" in formula else [])
    assert_passes_change_nothing([y], {x: special(dtype)})


@pytest.mark.parametrize(
    ("dtype", "zero", "kept"),
    [
        (np.float32, 0.0, True),
        (np.float32, -0.0, False),
        (np.float16, -0.0, False),
        (np.complex64, complex(-0.0, -0.0), False),
        (np.complex64, complex(-0.0, 0.0), True),
        (np.complex64, 0.0, True),
        (np.int32, 0, False),
        (np.bool, False, False),
        (np.bool, True, True),
    ],
)
def test_adding_zero_goes_where_minus_zero_survives_it(dtype, zero, kept):
    x = og.placeholder((None,), dtype=dtype)
    for y in (x + number(zero, dtype), number(zero, dtype) + x):
        assert simplified(y) == ["add"] * kept
        assert_passes_change_nothing([y], {x: special(dtype)})


@pytest.mark.parametrize(("zero", "kept"), [(0.0, False), (-0.0, True)])
def test_subtracting_zero_goes_unless_it_is_minus_zero(zero, kept):
    for dtype in (np.float64, np.complex128):
        x = og.placeholder((None,), dtype=dtype)
        number_ = complex(zero, zero) if dtype is np.complex128 else zero
        y = x - number(number_, dtype)
        assert simplified(y) == ["subtract"] * kept
        assert_passes_change_nothing([y], {x: special(dtype)})


@pytest.mark.parametrize("dtype", FLOATS)
def test_division_by_one_goes_and_of_one_stays(dtype):
    x = og.placeholder((None,), dtype=dtype)
    assert simplified(x / number(1, dtype)) == []
    assert simplified(number(1, dtype) / x) == ["divide"]
    assert_passes_change_nothing([x / number(1, dtype)], {x: special(dtype)})


def test_complex_numbers_keep_factors_of_one():
    z = og.placeholder((None,), dtype=np.complex128)
    fetches = [z * 1.0, z / 1.0]
    assert simplified(*fetches) == ["multiply", "divide"]
    found = assert_passes_change_nothing(fetches, {z: special(np.complex128)})
    assert not np.array_equal(found[0], special(np.complex128), equal_nan=True)  # infinity times 0j is NaN


def test_a_neutral_element_that_changes_shape_or_dtype_stays():
    x = og.placeholder((3,), dtype=np.float32)
    assert simplified(x * number(np.ones((2, 3)), np.float32)) == ["multiply"]
    assert simplified(x * number(np.ones((1, 3)), np.float32)) == ["multiply"]
    assert simplified(og.apply(Multiply(), x, number(1, np.float64))) == ["multiply"]
    assert simplified(x * number(np.ones(3), np.float32)) == []
    unknown = og.placeholder((None,), dtype=np.float32)
    assert simplified(unknown * number(np.ones(3), np.float32)) == ["multiply"]  # a size of 1 becomes 3
    assert simplified(unknown * number(np.ones(1), np.float32)) == []
    assert simplified(unknown * number([1, 1, 2], np.float32)) == ["multiply"]


def test_a_zero_of_another_dtype_is_no_minus_zero():
    x = og.placeholder((2,), dtype=np.float32)
    assert simplified(og.apply(Add(), x, number(0, np.int16))) == ["add"]
    assert simplified(x + 0) == ["add"]  # a Python 0 is 0.0 beside floats


def test_conjugates_and_real_parts_of_real_numbers_go():
    x, z = og.placeholder((2,)), og.placeholder((2,), dtype=np.complex64)
    assert simplified(og.apply(Conj(), x), og.apply(Real(), x)) == []
    assert simplified(og.conj(og.conj(z))) == []
    assert simplified(og.conj(z), og.real(z)) == ["conj", "real"]
    assert_passes_change_nothing([og.conj(og.conj(z))], {z: [complex(-0.0, 0.0), complex(np.nan, -np.inf)]})


def test_identity_and_stopped_gradients_are_read_through():
    x = og.placeholder((2,))
    assert simplified(og.identity(x), og.exp(og.stop_gradient(og.identity(x)))) == ["exp"]


@pytest.mark.parametrize(
    ("chain", "left"),
    [
        ((np.float32, np.float64, np.float32), 0),
        ((np.float16, np.float32, np.float64), 1),
        ((np.float64, np.float32, np.float64), 2),
        ((np.float32, np.complex128, np.complex64), 1),
        ((np.int8, np.int32, np.int8), 0),
        ((np.int8, np.float32, np.int8), 0),
        ((np.int32, np.float32, np.int32), 2),
        ((np.int64, np.float64, np.int64), 2),
        ((np.int8, np.float32, np.uint8), 2),
        ((np.int8, np.int16, np.uint8), 1),
        ((np.float32, np.float64, np.int8), 2),
        ((np.float32, np.int32, np.float32), 2),
        ((np.float32, np.float64, np.bool), 1),
        ((np.bool, np.float16, np.int64), 1),
        ((np.uint8, np.float16, np.float64), 1),
        ((np.int16, np.float16, np.float64), 2),
    ],
)
def test_casts_by_way_of_a_dtype_that_holds_the_values_are_one(chain, left):
    x = og.placeholder((None,), dtype=chain[0])
    y = x
    for dtype in chain[1:]:
        y = og.cast(y, dtype)
    assert simplified(y) == ["cast"] * left
    rng = np.random.default_rng(0)
    values = [0, 1, 2, 3, 100] if np.dtype(chain[0]).kind in "b" else [-0.0, 1, 100, *rng.normal(size=4)]
    with np.errstate(all="ignore"):
        assert_passes_change_nothing([y], {x: np.array(values).astype(chain[0])})


def test_a_cast_to_its_own_dtype_goes():
    x = og.placeholder((2,))
    assert simplified(og.apply(Cast(np.dtype(np.float32)), x)) == []


def test_transposes_are_composed():
    x = og.placeholder((None, 3, 4), dtype=np.float64)
    assert simplified(x.T.T) == []
    assert simplified(og.transpose(x, (0, -2, 2))) == []
    turned = og.transpose(og.transpose(x, (1, 2, 0)), (1, 2, 0))
    structure = after(simplify, turned)
    assert [step.op for step in structure.steps] == [Transpose((2, 0, 1))]
    assert simplified(og.transpose(turned, (1, 2, 0))) == []
    assert_passes_change_nothing([turned, x.T.T], {x: np.arange(24.0).reshape(2, 3, 4)})


def test_reshapes_are_one_or_none():
    x = og.placeholder((4, 3), dtype=np.float64)
    assert simplified(x.reshape(12).reshape(2, 6)) == ["reshape"]
    assert simplified(x.reshape(12).reshape(4, -1)) == []
    assert simplified(x.reshape(4, 3)) == []
    assert simplified(og.reshape_like(x.reshape(12), x)) == []
    assert simplified(og.squeeze(og.expand_dims(x, 1), 1)) == []
    assert simplified(og.expand_dims(x.reshape(12), 0)) == ["reshape"]
    assert simplified(og.expand_dims(og.expand_dims(x, 1), 0)) == ["expand_dims", "expand_dims"]
    assert_passes_change_nothing(
        [x.reshape(12).reshape(2, 6), og.expand_dims(x.reshape(12), 0)], {x: np.arange(12.0).reshape(4, 3)}
    )


def test_views_of_any_layout_do_not_become_reshapes_which_may_copy():
    x = og.placeholder((4, 1, 3))
    y = og.expand_dims(og.squeeze(x.T, 1), 0)
    assert simplified(y) == ["transpose", "squeeze", "expand_dims"]


def test_reshapes_of_unknown_sizes_stay_where_the_run_checks_them():
    x = og.placeholder((None, 3), dtype=np.float64)
    assert simplified(x.reshape(-1, 3)) == []
    assert simplified(x.reshape(4, 3)) == ["reshape"]
    assert simplified(x.reshape(-1).reshape(-1, 3)) == []
    assert simplified(x.reshape(-1).reshape(3, -1)) == ["reshape"]
    assert simplified(x.reshape(-1, 2).reshape(-1)) == ["reshape", "reshape"]  # an odd number of rows will not do
    assert simplified(og.reshape_like(x.reshape(-1), x)) == []
    assert simplified(og.squeeze(og.expand_dims(x, 0), 0)) == []
    assert simplified(og.expand_dims(og.squeeze(x, 0), 0)) == ["squeeze", "expand_dims"]
    for passes in (None, ()):
        with pytest.raises(og.ShapeError):
            og.RunTime(passes=passes).run(x.reshape(-1, 2).reshape(-1), {x: np.ones((3, 3))})
        with pytest.raises(og.ShapeError):
            og.RunTime(passes=passes).run(og.expand_dims(og.squeeze(x, 0), 0), {x: np.ones((2, 3))})


def test_what_has_the_shape_already_stays_as_it_is():
    x, known = og.placeholder((4, 3)), og.placeholder((4, 3))
    for op in (BroadcastLike(), SumTo(), EnsureShapeLike(), ReshapeLike()):
        assert simplified(og.apply(op, x, known)) == []
    assert simplified(og.apply(BroadcastTo((4, 3)), x), og.apply(Reshape((4, 3)), x)) == []


def test_unknown_sizes_are_known_to_be_equal_where_one_comes_from_the_other():
    x = og.placeholder((None, 3))
    y = og.tanh(x) * 2.0 + og.constant([1.0, 2.0, 3.0]) - og.reduce_max(x, 1, keepdims=True)
    for op in (BroadcastLike(), SumTo(), EnsureShapeLike(), ReshapeLike()):
        assert op.short_name() not in simplified(og.apply(op, og.exp(x), y))
        assert op.short_name() in simplified(og.apply(op, x, og.placeholder((None, 3))))


def test_shapes_that_a_run_has_to_check_are_checked():
    x, z = og.placeholder((None,)), og.placeholder((None,))
    y = og.ensure_shape_like(x, z) * og.ones_like(x)
    for passes in (None, ("simplify",), ()):
        runtime = og.RunTime(passes=passes)
        assert runtime.run(y, {x: [1.0, 2.0], z: [0.0, 0.0]}).tolist() == [1.0, 2.0]
        with pytest.raises(og.ShapeError, match="x has shape"):
            runtime.run(y, {x: [1.0, 2.0], z: [0.0]})


def test_a_shape_that_nothing_reads_any_more_is_still_checked():
    x, p, q = og.placeholder((None,)), og.placeholder((None,)), og.placeholder((None,))
    z = x + og.reduce_sum(p * q)
    g = og.grad(og.reduce_sum(z), x)  # ones in the shape of z, which is that of x
    for passes in (None, ()):
        runtime = og.RunTime(passes=passes)
        assert runtime.run(g, {x: [1.0, 2.0], p: [1.0], q: [2.0]}).tolist() == [1.0, 1.0]
        with pytest.raises(og.ShapeError, match="do not broadcast"):
            runtime.run(g, {x: [1.0, 2.0], p: [1.0, 2.0], q: [1.0, 2.0, 3.0]})


def test_a_broadcast_is_left_to_the_op_that_reads_it():
    x, s = og.placeholder((None, 3)), og.placeholder(())
    structure = after(simplify, og.broadcast_like(s, x) * og.exp(x), og.where(x > 0, x, og.zeros_like(x)))
    assert ops(structure) == ["exp", "multiply", "greater", "where"]
    feeds = {x: np.arange(6.0).reshape(2, 3) - 3, s: 2.0}
    assert_passes_change_nothing([og.broadcast_like(s, x) * og.exp(x), og.where(x > 0, x, og.zeros_like(x))], feeds)


class Paired(og.Elementwise, name="testsimplify.paired"):
    """x + y, of equal shapes alone."""

    inputs = ("x", "y")

    def infer(self, ins):
        if not ins[0].shape.compatible_with(ins[1].shape):
            raise og.ShapeError("shapes differ")
        return super().infer(ins)

    def compute(self, ins, outs):
        np.add(ins[0], ins[1], out=outs[0])


def test_an_op_that_wants_equal_shapes_gets_them():
    x, column = og.placeholder((None, None)), og.placeholder((None, 1))
    y = og.apply(Paired(), x, og.broadcast_like(og.reduce_sum(x, 1, keepdims=True), x))
    assert "broadcast_like" in simplified(y)
    assert simplified(og.apply(Paired(), x, og.broadcast_like(column, x)))[0] == "broadcast_like"
    assert_passes_change_nothing([y], {x: np.ones((2, 3))})


def test_a_broadcast_that_makes_the_shape_stays():
    column, row = og.placeholder((None, 1)), og.placeholder((1, 3))
    x = og.placeholder((None, 3))
    assert simplified(og.broadcast_like(column, x) * row) == ["broadcast_like", "multiply"]
    y = og.broadcast_like(row, x) * column  # column may have another number of rows
    assert simplified(y) == ["broadcast_like", "multiply"]
    assert_passes_change_nothing([y], {row: np.ones((1, 3)), column: np.ones((1, 1)), x: np.ones((4, 3))})
    with pytest.raises(og.ShapeError):
        og.RunTime().run(y, {row: np.ones((1, 3)), column: np.ones((2, 1)), x: np.ones((4, 3))})


def test_ones_in_a_shape_times_a_number_are_the_number_in_the_shape():
    x, s = og.placeholder((None, 3)), og.placeholder(())
    y = s * og.ones_like(x)
    assert simplified(y) == ["broadcast_like"]
    assert simplified(og.ones_like(x) * og.exp(x)) == ["exp"]
    assert_passes_change_nothing([y], {x: np.ones((2, 3)), s: 5.0})


def test_arithmetic_on_what_is_broadcast_is_done_before():
    x, s = og.placeholder((None, 3)), og.placeholder(())
    y = -(og.broadcast_like(s, x) * 2.0) / og.broadcast_like(s, x)
    structure = after(simplify, y)
    assert ops(structure) == ["multiply", "negative", "divide", "broadcast_like"]
    assert [structure.specs[step.outputs[0]].shape for step in structure.steps] == [(), (), (), (None, 3)]
    assert_passes_change_nothing([y], {x: np.ones((2, 3)), s: 5.0})


def test_integer_powers_of_one_go_and_those_of_floats_stay():
    n, x = og.placeholder((None,), dtype=np.int32), og.placeholder((None,))
    assert simplified(og.apply(Power(), n, number(1, np.int32))) == []
    assert simplified(og.apply(Power(), x, number(1, np.float32))) == ["power"]


@pytest.mark.parametrize("op_class", [ReduceSum, ReduceProd, ReduceMax, ReduceMean])
def test_reductions_of_one_element_go_where_every_bit_stays(op_class):
    x = og.placeholder((10, 1), dtype=np.float32)
    y, kept = og.apply(op_class((1,)), x), og.apply(op_class((-1,), keepdims=True), x)
    exact = op_class in (ReduceProd, ReduceMax)
    assert simplified(y) == (["squeeze"] if exact else [op_class.short_name()])
    assert simplified(kept) == ([] if exact else [op_class.short_name()])
    assert_passes_change_nothing([y, kept], {x: special(np.float32).reshape(10, 1)})
    assert simplified(og.apply(op_class((1,)), og.placeholder((10, None)))) == [op_class.short_name()]


def test_sums_of_one_integer_go_but_where_they_widen_it():
    n, small, b = (og.placeholder((2, 1), dtype=dtype) for dtype in (np.int64, np.int8, np.bool))
    assert simplified(n.sum(1)) == ["squeeze"]
    assert simplified(small.sum(1)) == simplified(b.sum(1)) == ["reduce_sum"]
    feeds = {n: [[1], [-1]], small: [[1], [-1]], b: [[True], [False]]}
    assert_passes_change_nothing([n.sum(1), small.sum(1), b.sum(1)], feeds)


def test_fetches_and_updates_of_what_goes_get_the_same_values():
    x, v = og.placeholder((2,), dtype=np.float64), og.Variable(np.array([1.0, 2.0]))
    fetches = [og.identity(x), x * 1.0, og.identity(v), og.negative(-x)]
    program = og.RunTime().compile([x], fetches, {v: og.identity(v) * 1.0 + og.identity(x) - 0.0})
    feed = np.array([3.0, -0.0])
    for _ in range(2):
        before = v.val
        found = program(feed)
        assert [value.tolist() for value in found] == [[3.0, -0.0], [3.0, -0.0], before.tolist(), [3.0, -0.0]]
        assert not any(np.shares_memory(a, b) for i, a in enumerate(found) for b in [*found[:i], feed])
        assert v.val.tolist() == (before + feed).tolist()


def test_variables_swap_through_steps_that_go():
    a, b = og.Variable([1.0]), og.Variable([2.0])
    og.RunTime().compile([], [], {a: og.identity(b), b: a * 1.0})()
    assert (a.val.tolist(), b.val.tolist()) == ([2.0], [1.0])


def test_a_checkpointed_function_stays_recomputed():
    x = og.placeholder((None,), dtype=np.float64)
    y = og.checkpoint(lambda x: og.exp(og.sin(x) * 1.0) * og.identity(x))(x)
    g = og.grad(og.reduce_sum(y * y), x)
    structure = after(simplify, y, g)
    assert [step.op.short_name() for step in structure.steps if step.recomputes].count("sin") == 1
    assert_passes_change_nothing([y, g], {x: [0.5, -1.0]})


def test_steps_that_stay_keep_their_names_and_lines():
    x = og.placeholder((None,), name="x")
    y = og.log(og.identity(x) * 1.0)
    (step,) = after(simplify, y).steps
    assert (step.name, step.source) == (y.name, y.source)
    with pytest.raises(og.NonFiniteError, match=r"'log' went NaN") as caught:
        og.RunTime(check_finite=True).run(y, {x: [-1.0]})
    assert "og.log(og.identity(x) * 1.0)" in str(caught.value)


def test_a_rewritten_step_is_at_the_line_of_the_one_in_whose_place_it_stands():
    x = og.placeholder((None, 4))
    y = og.exp(x)
    turned = y.T.T.T
    steps = after(simplify, turned).steps
    assert [(step.op.short_name(), step.source) for step in steps] == [("exp", y.source), ("transpose", turned.source)]


def test_gradients_of_a_mean_multiply_nothing_by_ones():
    x, w = og.placeholder((None, 3)), og.Variable(np.ones((3, 2), np.float32))
    loss = og.reduce_mean(og.tanh(x @ w))
    structure = after(simplify, og.grad(loss, w))
    assert not {"sum_to", "ensure_shape_like"} & set(ops(structure))


def test_a_graph_to_which_no_rule_applies_stays_as_it_is():
    x = og.placeholder((None, 3))
    structure = lower([og.exp(x) + 1.0], {}).structure
    assert simplify(structure) is structure


@pytest.mark.parametrize("dtype", [*REALS, np.complex128])
def test_negatives_are_subtracted_and_what_is_subtracted_added_without_a_change_of_a_bit(dtype):
    values = special(dtype)
    x, y = og.placeholder((len(values), 1), dtype), og.placeholder((len(values),), dtype)
    formulas = [x + -y, -y + x, x - -y, -x + -y]
    program, plain = (og.RunTime(passes=passes).compile([x, y], formulas) for passes in (None, ()))
    for found, expected in zip(program(values[:, None], values), plain(values[:, None], values), strict=True):
        same = found.view(np.uint8) == expected.view(np.uint8)
        missing = np.isnan(expected) if expected.dtype.kind in "fc" else np.zeros(expected.shape, bool)
        assert (same.reshape(*expected.shape, -1).all(-1) | missing).all()
    assert [simplified(f) for f in formulas] == [
        ["subtract"],
        ["subtract"],
        ["add"],
        ["negative", "subtract"],
    ]


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_broadcast_again_is_still_checked_against_the_last_shape(times):
    x, like = og.placeholder((4,), np.float64), og.placeholder((None,), np.float64)
    y = og.ones_like(x) if times == 1 else og.broadcast_like(og.reduce_sum(x), x)
    y = og.broadcast_like(y, like)
    for passes in (None, ("simplify",), ()):
        runtime = og.RunTime(passes=passes)
        assert runtime.run(y, {x: np.ones(4), like: np.ones(4)}).shape == (4,)
        with pytest.raises(og.ShapeError, match="broadcast_like"):
            runtime.run(y, {x: np.ones(4), like: np.ones(5)})


def test_what_is_broadcast_on_its_way_to_a_shape_that_takes_it_is_broadcast_at_once():
    s, x = og.placeholder(()), og.placeholder((None, 3))
    rows = og.broadcast_like(s, og.reduce_sum(x, 0))
    assert simplified(og.broadcast_like(rows, x)) == ["broadcast_like"]
    assert simplified(og.broadcast_to(og.broadcast_to(s, (3,)), (2, 3))) == ["broadcast_to"]


def test_negatives_of_narrower_integers_stay():
    x, y = og.placeholder((2,), np.int64), og.placeholder((2,), np.int8)
    formulas = [og.apply(Add(), x, -y), og.apply(Add(), -y, x), og.apply(Subtract(), x, -y)]
    program = og.RunTime().compile([x, y], formulas)
    # int8 has no 128, so that -128 is its own negative
    assert [each.tolist() for each in program([0, 0], [-128, 1])] == [[-128, -1], [-128, -1], [128, 1]]


def test_an_error_names_the_op_that_was_written_and_not_what_it_was_rewritten_to():
    a, b = og.placeholder((None,)), og.placeholder((None,))
    rt = og.RunTime()
    for build, op in [(lambda: a + -b, "add"), (lambda: a - -b, "subtract"), (lambda: og.log(og.exp(a) + b), "add")]:
        for _ in range(2):  # the second graph finds what the first one was compiled to
            with pytest.raises(og.ShapeError, match=f"^{op}: "):
                rt.run(build(), {a: np.ones(3), b: np.ones(4)})
