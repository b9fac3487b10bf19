import numpy as np
import pytest
from structures import after, assert_passes_change_nothing, ops

import opgraph as og
from opgraph.passes.eliminate_common import CONSTANT_BYTES, eliminate_common


def test_equal_ops_of_equal_values_are_one_step():
    x = og.placeholder((2,), name="x")
    y = (og.exp(x) + 1.0) * (og.exp(x) + 1.0)
    structure = after(eliminate_common, y)
    assert [step.name for step in structure.steps] == ["exp", "add", "multiply"]
    assert_passes_change_nothing([y], {x: [0.5, -1.0]})


def test_order_of_operands_and_attributes_tell_steps_apart():
    x, y = og.placeholder((2, 3)), og.placeholder((2, 3))
    assert ops(after(eliminate_common, x - y, y - x)) == ["subtract", "subtract"]
    assert ops(after(eliminate_common, x.sum(0), x.sum(1))) == ["reduce_sum", "reduce_sum"]
    assert ops(after(eliminate_common, x.sum(0), x.sum(0))) == ["reduce_sum"]


class Shifted(og.Elementwise, name="testpasses.shifted"):
    """x + by."""

    by: float = 0.0

    def compute(self, ins, outs):
        np.add(ins[0], self.by, out=outs[0])


@pytest.mark.parametrize(("by", "steps"), [(-0.0, 2), (0.0, 1)])
def test_attributes_are_told_apart_by_their_bits(by, steps):
    x = og.placeholder((2,))
    first, second = og.apply(Shifted(0.0), x), og.apply(Shifted(by), x)
    assert len(after(eliminate_common, first, second).steps) == steps
    assert_passes_change_nothing([first, second], {x: [-0.0, 0.0]})


def test_constants_are_told_apart_by_their_bits():
    x = og.placeholder((2,))
    assert ops(after(eliminate_common, x + 0.0, x + 0.0, x + -0.0)) == ["add", "add"]
    one, other = og.constant(np.float32(1)), og.constant(np.int32(1))
    assert ops(after(eliminate_common, og.exp(og.constant([np.nan])), og.exp(og.constant([np.nan])))) == ["exp"]
    assert ops(after(eliminate_common, -one, -other)) == ["negative", "negative"]


def test_large_constants_are_left_alone():
    large = np.zeros(CONSTANT_BYTES // 8 + 1)
    first, second = og.constant(large), og.constant(large)
    assert ops(after(eliminate_common, -first, -second, -first)) == ["negative", "negative"]


def test_draws_of_one_key_are_one_and_those_of_two_are_two():
    key, other = og.random_key(), og.random_key()
    draws = [og.random_normal((3,), key=k) for k in (key, key, other)]
    structure = after(eliminate_common, *draws)
    assert ops(structure).count("standard_normal") == 2
    first, second, third = assert_passes_change_nothing(draws)
    assert first.tolist() == second.tolist() != third.tolist()


def test_fetches_and_updates_read_the_step_that_stays():
    x = og.placeholder((2,))
    v = og.Variable([1.0, 2.0])
    first, second = og.exp(x), og.exp(x)
    structure = after(eliminate_common, first, second, updates={v: og.exp(x)})
    assert len(structure.steps) == 1
    assert {*structure.fetches, *(new for _, new in structure.updates)} == set(structure.steps[0].outputs)
    program = og.RunTime().compile([x], [first, second], {v: og.exp(x)})
    a, b = program([0.0, 1.0])
    assert not np.shares_memory(a, b)
    np.testing.assert_array_equal(v.val, b)


def test_all_outputs_of_a_step_are_merged():
    x = og.placeholder((4,))
    parts = [*og.split(x, 2), *og.split(x, 2)]
    assert ops(after(eliminate_common, *parts)) == ["split"]
    assert_passes_change_nothing(parts, {x: [1.0, 2.0, 3.0, 4.0]})


def test_a_step_that_is_read_for_its_shape_runs_when_one_equal_to_it_runs():
    x = og.placeholder((None, 3))
    shape, data = og.exp(x), og.exp(x)
    y = og.broadcast_like(og.constant(2.0), shape) + og.log(data)
    assert ops(after(eliminate_common, y)).count("exp") == 1
    for passes in (("prune", "eliminate_common"), ("eliminate_common",)):
        assert_passes_change_nothing([y], {x: np.ones((2, 3))}, passes)


def checkpointed_gradient(function):
    x = og.placeholder((3,), name="x")
    y = og.reduce_sum(og.checkpoint(function)(x) ** 2)
    return x, y, og.grad(y, x)


def test_recomputed_calls_are_not_merged_with_their_originals():
    x, y, g = checkpointed_gradient(lambda x: og.sin(og.exp(x)))
    structure = after(eliminate_common, y, g)
    assert ops(structure).count("exp") == 2
    assert [step.name for step in structure.steps if step.recomputes] == ["exp_1"]
    assert_passes_change_nothing([y, g], {x: [0.1, 0.2, 0.3]})


def test_what_a_gradient_needs_is_not_taken_from_a_checkpointed_function():
    # the vjp of expm1 makes an exp(x) of its own
    _, y, g = checkpointed_gradient(lambda x: og.expm1(x) + og.exp(x))
    exps = [step for step in after(eliminate_common, y, g).steps if step.op.short_name() == "exp"]
    assert [(step.region > 0, step.recomputes) for step in exps] == [(True, False), (False, True), (False, False)]


def test_a_checkpointed_function_shares_within_itself():
    x = og.placeholder((3,))
    y = og.checkpoint(lambda x: og.exp(x) * og.exp(x))(x)
    assert ops(after(eliminate_common, y)) == ["exp", "multiply"]
    assert ops(after(eliminate_common, y, og.exp(x))) == ["exp", "multiply", "exp"]


def test_names_and_sources_are_those_of_the_first():
    x = og.placeholder((2,))
    first = og.log(x)
    second = og.log(x)
    (step,) = after(eliminate_common, first, second).steps
    assert (step.name, step.source) == (first.name, first.source)
