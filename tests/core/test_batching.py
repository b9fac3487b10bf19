"""Many small steps that become one, and values that are made where a stack of them is to be."""

import re
from typing import ClassVar

import numpy as np
import pytest

import opgraph as og

RNG = np.random.default_rng(5)
PLAIN = og.RunTime(passes=(), threads=1)


@pytest.fixture(autouse=True)
def graph():
    with og.Graph().as_default_graph() as graph:
        yield graph


def plan_of(program, *feeds):
    return program._executable.plan([np.asarray(x) for x in feeds])


def steps(plan, name):
    return [step for group in plan.groups for step in group.steps if step.op.name == f"core.{name}"]


def compiled(inputs, fetches, *feeds):
    """The plan of a program, whose results agree with those of one that was compiled without passes."""
    program = og.RunTime(threads=1).compile(inputs, fetches)
    expected = PLAIN.compile(inputs, fetches)(*feeds)
    for found, plain in zip(program(*feeds), expected, strict=True):
        assert (found.shape, found.dtype) == (plain.shape, plain.dtype)
        np.testing.assert_allclose(found, plain, rtol=1e-12, atol=1e-12)
    return plan_of(program, *feeds)


def test_like_steps_that_do_not_depend_on_each_other_become_one_with_the_same_bits():
    x = og.placeholder((3,), dtype=np.float64)
    numbers = [og.reduce_max(og.sin(x) * float(i)) for i in range(6)]
    y = [og.tanh(number) for number in numbers]
    program = og.RunTime(threads=1).compile([x], [sum(y[1:], y[0])])
    fed = RNG.normal(size=3)
    assert len(steps(plan_of(program, fed), "tanh")) == 1
    (found,), (expected,) = program(fed), PLAIN.compile([x], [sum(y[1:], y[0])])(fed)
    assert found.tobytes() == expected.tobytes()


def test_steps_that_depend_on_each_other_stay_apart():
    x = h = og.placeholder((4,), dtype=np.float64)
    for _ in range(10):
        h = og.tanh(h)
    plan = compiled([x], [h], RNG.normal(size=4))
    assert len(steps(plan, "tanh")) == 10


def test_each_turn_of_independent_loops_becomes_one_step():
    xs = [og.placeholder((4,), dtype=np.float64) for _ in range(5)]
    ends = []
    for x in map(og.exp, xs):
        for _ in range(3):
            x = og.sinh(og.tanh(x))
        ends.append(og.reduce_max(x))
    plan = compiled(xs, [og.stack(ends)], *RNG.normal(size=(5, 4)))
    assert len(steps(plan, "tanh")) == len(steps(plan, "sinh")) == 3


def test_two_sets_of_steps_that_depend_on_each_other_crosswise_are_not_both_one():
    xs = [og.placeholder((2,), dtype=np.float64) for _ in range(8)]
    first = [og.sin(og.tanh(x)) for x in xs[:4]]
    second = [og.tanh(og.sin(x)) for x in xs[4:]]
    total = og.reduce_max(og.stack(first + second), 0)
    plan = compiled(xs, [total], *RNG.normal(size=(8, 2)))
    assert len(steps(plan, "sin")) + len(steps(plan, "tanh")) > 2


def test_a_stack_of_what_is_computed_is_not_copied():
    x = og.placeholder((3, 2), dtype=np.float64)
    rows = [og.tanh(x * float(i)) for i in range(3)]
    stacked, joined = og.stack(rows), og.concat([og.exp(x), og.exp(x * 2.0) @ np.ones((2, 2))])
    plan = compiled([x], [og.reduce_sum(stacked, (0, 1)), joined.T @ joined, rows[1] * 2.0], RNG.normal(size=(3, 2)))
    assert not steps(plan, "stack")
    assert not steps(plan, "concat")


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_parts_that_are_fetched_fed_repeated_or_updated_are_stacked_all_the_same(axis):
    x = og.placeholder((2, 3), dtype=np.float64)
    state = og.Variable(np.zeros((2, 3)))
    a, b = og.tanh(x), og.exp(x)
    c = og.sin(x) + state
    fetches = [og.stack([a, b, c], axis), og.stack([a, a], axis), og.stack([x, b], axis), og.concat([b, c], axis), a, c]
    fed = RNG.normal(size=(2, 3))
    found = og.RunTime(threads=1).compile([x], fetches, updates={state: c})(fed)
    assert state.val.tobytes() == np.sin(fed).tobytes()
    np_a, np_b, np_c = np.tanh(fed), np.exp(fed), np.sin(fed)
    expected = [np.stack([np_a, np_b, np_c], axis), np.stack([np_a] * 2, axis), np.stack([fed, np_b], axis)]
    expected += [np.concatenate([np_b, np_c], axis), np_a, np_c]
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-12)


def test_what_is_handed_out_of_a_stack_is_not_written_by_later_runs():
    x = og.placeholder((2,), dtype=np.float64)
    parts = [og.tanh(x + float(i)) for i in range(4)]
    program = og.RunTime(threads=1).compile([x], [og.stack(parts), parts[2]])
    stacked, part = program([0.0, 1.0])
    kept = stacked.copy(), part.copy()
    program([5.0, 6.0])
    np.testing.assert_array_equal(stacked, kept[0])
    np.testing.assert_array_equal(part, kept[1])


def unrolled(length, batch, known=True):
    """A recurrent network over a sequence, with the gradients of its weights."""
    rng = np.random.default_rng(length)
    xs = og.placeholder((length, batch if known else None, 3), dtype=np.float64)
    wx, wh, wy = (og.Variable(rng.normal(size=shape)) for shape in [(3, 5), (5, 5), (5, 2)])
    b = og.Variable(rng.normal(size=5))
    h = np.zeros((1, 5))
    losses = []
    for t in range(length):
        h = og.tanh(xs[t] @ wx + og.matmul(h, wh) + b)
        losses.append(og.reduce_mean(og.square(h @ wy)))
    loss = sum(losses[1:], losses[0])
    return xs, [loss, *og.grad(loss, [wx, wh, wy, b])]


@pytest.mark.parametrize("known", [True, False])
def test_the_products_of_an_unrolled_loop_are_one_for_each_that_no_turn_waits_for(known):
    length = 6
    xs, fetches = unrolled(length, 4, known)
    plan = compiled([xs], fetches, RNG.normal(size=(length, 4, 3)))
    # x wx, h wy, its cotangent, and the gradients of wx, wh and wy; each turn, there and back, has one more
    assert len(steps(plan, "matmul")) <= 6 + 2 * length
    assert len(steps(plan, "stack")) <= (1 if known else 3)


def test_a_sum_of_products_is_one_product():
    xs = [og.placeholder((3, 2), dtype=np.float64) for _ in range(5)]
    hs, gs = [og.tanh(x) for x in xs], [og.sin(x) for x in xs]
    products = [h.T @ g for h, g in zip(hs, gs, strict=True)]
    total = sum(products[1:], products[0]) + np.ones((2, 2))
    plan = compiled(xs, [total], *RNG.normal(size=(5, 3, 2)))
    assert len(steps(plan, "matmul")) == 1


def test_products_that_something_else_reads_stay():
    xs = [og.placeholder((3, 2), dtype=np.float64) for _ in range(5)]
    products = [og.tanh(x).T @ og.sin(x) for x in xs]
    total = sum(products[1:], products[0])
    compiled(xs, [total, products[2], og.reduce_max(products[0])], *RNG.normal(size=(5, 3, 2)))


def test_a_sum_of_sums_is_one_sum():
    xs = [og.placeholder((3, 4, 2), dtype=np.float64) for _ in range(5)]
    sums = [og.reduce_sum(og.tanh(x), (0, 2)) for x in xs]
    plan = compiled(xs, [sum(sums[1:], sums[0])], *RNG.normal(size=(5, 3, 4, 2)))
    assert len(steps(plan, "reduce_sum")) == 1


def test_views_that_read_another_value_s_shape_are_stacked_among_others():
    x, like = og.placeholder((4, 3), dtype=np.float64), og.placeholder((None,), dtype=np.float64)
    parts = [x[0], x[1], og.sum_to(x[2], like), x[3]]
    y = og.stack([og.reduce_max(og.exp(og.tanh(part) + part)) for part in parts])
    compiled([x, like], [y], RNG.normal(size=(4, 3)), np.ones(3))


def test_random_numbers_are_drawn_as_they_were():
    x = og.placeholder((2,), dtype=np.float64)
    drawn = [og.reduce_max(x * og.random_normal((2,), dtype=np.float64)) for _ in range(5)]
    total = og.stack([og.tanh(number) for number in drawn])
    fed = RNG.normal(size=2)
    found, plain = (og.RunTime(seed=3, passes=passes).compile([x], [total])(fed) for passes in (None, ()))
    np.testing.assert_array_equal(found[0], plain[0])


def test_what_is_recomputed_for_a_gradient_is_left_alone():
    x = og.placeholder((2,), dtype=np.float64)
    y = og.checkpoint(lambda x: sum((og.tanh(x * float(i)) for i in range(1, 6)), og.sin(x)))(x)
    compiled([x], [y, og.grad(og.reduce_sum(y), x)], RNG.normal(size=2))


class Half(og.Op, name="batching.half"):
    """Halve each element: (…) -> (…)."""

    def infer(self, ins):
        return ins

    def compute(self, ins, outs):
        np.multiply(ins[0], 0.5, out=outs[0])

    def batch(self, ins, batched):
        return self


class HalfAsOne(Half, name="batching.half_as_one"):
    """Halve each element, but promise stacks that it does not make."""

    def batch(self, ins, batched):
        return og.ops.reduce.ReduceSum((0,))


class HalfRaises(Half, name="batching.half_raises"):
    """Halve each element, and raise where it is asked about stacks."""

    def batch(self, ins, batched):
        raise RuntimeError("not today")


class HalfAgrees(Half, name="batching.half_agrees"):
    """Halve each element, and say of stacks that they are fine."""

    def batch(self, ins, batched):
        return True


def halves(op):
    x = og.placeholder((3,), dtype=np.float64)
    return x, og.stack([og.reduce_max(og.apply(op, og.tanh(x * float(i)))) for i in range(5)])


def test_an_op_of_anybody_s_takes_part_by_its_batch():
    x, y = halves(Half())
    plan = compiled([x], [y], RNG.normal(size=3))
    assert len([step for group in plan.groups for step in group.steps if step.op == Half()]) == 1


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (HalfAsOne(), "its batch returned"),
        (HalfRaises(), "its batch raised RuntimeError: not today"),
        (HalfAgrees(), "its batch returned True, not an op or None"),
    ],
)
def test_a_batch_that_goes_wrong_is_told_with_the_op_and_the_line(op, message):
    x, y = halves(op)
    with pytest.raises(og.KernelError, match=message) as error:
        og.RunTime(threads=1).compile([x], [y])(np.ones(3))
    assert op.name in str(error.value)
    assert "test_batching.py" in str(error.value)


class Picky(Half, name="batching.picky"):
    """Halve each element; refuse what is larger than 3."""

    def compute(self, ins, outs):
        if ins[0].max() > 3:
            raise ValueError("too large")
        super().compute(ins, outs)


def test_what_fails_in_one_of_many_is_told_and_later_runs_are_right():
    x = og.placeholder((3,), dtype=np.float64)
    y = og.stack([og.reduce_max(og.apply(Picky(), x * float(i))) for i in range(5)])
    program = og.RunTime(threads=1).compile([x], [y])
    with pytest.raises(og.KernelError, match="too large"):
        program(np.ones(3))
    np.testing.assert_allclose(program(np.full(3, 0.5))[0], np.arange(5) * 0.25)


def test_what_fails_in_one_of_many_is_told_by_its_own_line():
    x = og.placeholder((3,), dtype=np.float64)
    halves = [og.reduce_max(og.apply(Picky(), og.tanh(x * float(i)) * 2.0)) for i in (1, 2)]
    halves.append(og.reduce_max(og.apply(Picky(), og.tanh(x) * 4.0)))  # this line
    halves += [og.reduce_max(og.apply(Picky(), og.tanh(x * float(i)) * 2.0)) for i in (3, 4)]
    program = og.RunTime(threads=1).compile([x], [og.stack(halves)])
    (one,) = [step for group in plan_of(program, np.ones(3)).groups for step in group.steps if step.op == Picky()]
    assert len(one.members) == 5
    with pytest.raises(og.KernelError, match="too large") as error:
        program(np.full(3, 3.0))
    assert "# this line" in str(error.value)
    assert "multiply" in str(error.value)


class Strict(og.Elementwise, name="batching.strict"):
    """Copy each element; refuse what is larger than 3."""

    inplace = True

    def compute(self, ins, outs):
        if (ins[0] > 3).any():
            raise ValueError("too large")
        np.copyto(outs[0], ins[0])


def test_what_fails_in_one_of_many_whose_inputs_are_made_in_blocks_is_told_by_its_own_line():
    x = og.placeholder((8, 3), dtype=np.float64)
    rows = og.unstack(x)
    copies = [og.apply(Strict(), og.cos(row) + row) for row in rows[:5]]
    copies.append(og.apply(Strict(), og.cos(rows[5]) + rows[5]))  # this line
    copies += [og.apply(Strict(), og.cos(row) + row) for row in rows[6:]]
    program = og.RunTime(threads=1).compile([x], [og.stack(copies)])
    groups = plan_of(program, np.ones((8, 3))).groups
    (fused,) = [g for g in groups if any(step.op == Strict() for step in g.steps)]
    assert len(fused.steps) > 1
    values = np.zeros((8, 3))
    values[5] = 9.0
    with pytest.raises(og.KernelError, match="too large") as error:
        program(values)
    assert "# this line" in str(error.value)
    assert f"x: add '{copies[5].inputs[0].name}' (3,) float64 in [8.08887, 8.08887]" in str(error.value)


class Once(og.Elementwise, name="batching.once"):
    """Copy each element; fail on the first call."""

    failed: ClassVar[bool] = False

    def compute(self, ins, outs):
        if not self.failed:
            type(self).failed = True
            raise ValueError("not yet")
        np.copyto(outs[0], ins[0])


def test_where_none_of_many_fails_alone_the_message_says_that_it_may_be_any():
    x = og.placeholder((6, 3), dtype=np.float64)
    copies = [og.apply(Once(), row) for row in og.unstack(x)]
    program = og.RunTime(threads=1).compile([x], [og.reduce_max(og.stack(copies))])
    with pytest.raises(og.KernelError, match="batching.once, here or in one of 5 like calls: .*not yet") as error:
        program(np.ones((6, 3)))
    assert "test_batching.py" in str(error.value)


def test_values_of_which_many_are_made_at_once_keep_their_own_names_in_messages():
    xs = [og.placeholder((3,), dtype=np.float64) for _ in range(8)]
    i = og.placeholder((), dtype=np.int64)
    waves = [og.tanh(x) for x in xs]
    fetches = [waves[5][i], og.reduce_sum(og.stack([og.exp(wave) for wave in waves]))]
    with pytest.raises(og.OpgraphError, match="out of range") as error:
        og.RunTime(threads=1).compile([*xs, i], fetches)(*np.ones((8, 3)), 9)
    assert f"x: tanh '{waves[5].name}' (3,)" in str(error.value)


def test_what_is_not_finite_in_one_of_many_is_told_by_its_own_name():
    x = og.placeholder((5, 3), dtype=np.float64)
    logs = [og.log(row) for row in og.unstack(x)]
    program = og.RunTime(threads=1, check_finite=True).compile([x], [og.reduce_max(og.stack(logs))])
    values = np.ones((5, 3))
    values[3, 1] = -1.0
    with pytest.raises(og.NonFiniteError, match=re.escape(repr(logs[3].name))):
        program(values)


def test_a_graph_of_the_same_structure_tells_its_own_names_and_lines():
    runtime = og.RunTime(threads=1)

    def program():
        x = og.placeholder((5, 3), dtype=np.float64)
        copies = [og.apply(Strict(), row * 2.0) for row in og.unstack(x)]
        return copies, runtime.compile([x], [og.reduce_max(og.stack(copies))])

    values = np.ones((5, 3))
    values[3] = 9.0
    for _ in range(2):
        copies, run = program()
        with pytest.raises(og.KernelError, match="too large") as error:
            run(values)
        assert f"x: multiply '{copies[3].inputs[0].name}'" in str(error.value)


def test_additions_of_several_sums_stay_those_of_their_sums():
    fed = [og.placeholder((4, 100)) for _ in range(16)]
    sums = []
    for k in range(4):
        four = fed[4 * k : 4 * k + 4]
        if k:
            four = [og.tanh(x) for x in four]
        a, b, c, d = [x @ og.transpose(x) for x in four]
        sums.append(a + b + c + d)
    values = RNG.normal(size=(16, 4, 100)).astype(np.float32)
    program = og.RunTime(threads=1).compile(fed, sums)
    for found, right in zip(program(*values), PLAIN.compile(fed, sums)(*values), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-4)


def test_parts_of_a_stack_that_are_read_one_by_one_cost_their_number():
    x = og.placeholder((300, 4), dtype=np.float64)
    states = og.stack([og.tanh(x[t]) for t in range(300)])
    y = og.reduce_sum(sum((og.reduce_max(states[t]) for t in range(1, 300)), og.reduce_max(states[0])))
    plan = compiled([x], [y], RNG.normal(size=(300, 4)))
    assert sum(map(len, plan.blueprint.owners.values())) < 5 * 300


def test_what_outlives_a_concatenation_does_not_keep_all_of_it():
    h = x = og.placeholder((40, 1000), dtype=np.float64)
    kept = []
    for _ in range(12):
        kept.append(og.cumsum(h[:1], 0))
        h = og.cumsum(og.concat([og.cumsum(h, 0), kept[-1]]), 0)[1:] * 0.01
    plan = compiled([x], [h, *kept], RNG.normal(size=(40, 1000)))
    assert plan.blueprint.arena.nbytes < 6 * 41 * 8000


def test_parts_that_live_in_blocks_alone_are_not_joined():
    x = og.placeholder((4, 4), dtype=np.float64)
    a, b, c = x @ x, x @ (x * 2.0), og.cos(x)
    y = og.broadcast_like(x, og.stack([a, b, c]))
    found = og.RunTime(passes=["fuse", "inplace"]).compile([x], [b, y, c * 2.0])(np.eye(4))
    np.testing.assert_allclose(found[0], 2 * np.eye(4))


def test_a_graph_of_other_names_has_them_in_what_is_explained():
    rt = og.RunTime(threads=1)
    for name in ("first", "second"):
        with og.Graph().as_default_graph():
            x = og.placeholder((2,), dtype=np.float64, name=name)
            with og.name_scope(name):
                y = og.stack([og.reduce_max(og.tanh(x * float(i))) for i in range(6)])
            program = rt.compile([x], [y])
            program(np.ones(2))
            assert f"{name}/tanh" in str(program.explain())


def test_single_elements_are_not_computed_in_place_which_takes_numpy_longer():
    x = y = og.placeholder((), dtype=np.float64)
    for _ in range(8):
        y = og.sin(y) * 1.01
    plan = compiled([x], [y], np.array(0.5))
    for call in plan.calls:
        *ins, out = call.args
        assert not any(np.may_share_memory(read, out) for read in ins)


def test_a_value_that_is_computed_in_place_is_read_from_the_very_array_that_is_written():
    x = y = og.placeholder((5, 7), dtype=np.float64)
    for _ in range(4):
        y = og.sin(y) * 1.01
    plan = compiled([x], [y], RNG.normal(size=(5, 7)))
    in_place = [call for call in plan.calls if np.may_share_memory(call.args[0], call.args[-1])]
    assert len(in_place) >= 6
    assert all(call.args[0] is call.args[-1] for call in in_place)


class Chosen(og.Op, name="batching.chosen"):
    """Show the first half of `x` or, where `second` is set, that of `y`."""

    inputs = ("x", "y")
    second: bool = False

    def infer(self, ins):
        return (ins[0].with_shape((ins[0].shape[0] // 2, *ins[0].shape[1:])),)

    def view(self, ins):
        return (ins[self.second][: len(ins[0]) // 2],)

    def compute(self, ins, outs):
        np.copyto(outs[0], *self.view(ins))


@pytest.mark.parametrize("second", [False, True])
def test_a_view_of_several_values_shows_what_is_joined_in_the_place_where_it_is(second):
    x = og.placeholder((2, 6), dtype=np.float64)
    joined = [og.concat([og.cumsum(f(x), 1), og.cumsum(x, 0)], 0) for f in (og.tanh, og.exp)]
    y = og.apply(Chosen(second), *joined) * 2.0
    program = og.RunTime(threads=1).compile([x], [y])
    for value in RNG.normal(size=(3, 2, 6)):
        expected = np.cumsum((np.exp if second else np.tanh)(value), 1) * 2.0
        np.testing.assert_allclose(program(value)[0], expected, rtol=1e-15)
