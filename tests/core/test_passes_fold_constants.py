import numpy as np
import pytest
from structures import after, assert_passes_change_nothing, ops

import opgraph as og
from opgraph.ops.create import OneHot
from opgraph.passes.fold_constants import FOLDED_BYTES, fold_constants


def test_what_reads_constants_alone_is_computed_once():
    x = og.placeholder((2,))
    c = og.constant([1.0, 2.0])
    y = x * (og.exp(c) + 1.0)
    structure = after(fold_constants, y)
    assert ops(structure) == ["multiply"]
    (value,) = structure.constants.values()
    np.testing.assert_array_equal(value, np.exp(np.float32([1, 2])) + 1)
    assert not value.flags.writeable
    assert_passes_change_nothing([y], {x: [3.0, 4.0]})


def test_a_folded_value_is_named_as_the_step_was():
    x = og.placeholder((3,), name="x")
    structure = after(fold_constants, x * og.exp(og.constant([1.0, 2.0, 3.0])))
    (step,) = structure.steps
    assert (
        structure.describe_inputs(step, structure.specs) == "x: placeholder 'x' (3,) float32; y: exp 'exp' (3,) float32"
    )


def test_folded_values_are_fetched_and_taken_by_variables():
    v = og.Variable([1.0, 2.0])
    c = og.exp(og.constant([0.0, 0.0]))
    program = og.RunTime().compile([], [c, c], {v: c})
    a, b = program()
    a[:] = 5
    assert b.tolist() == v.val.tolist() == program()[0].tolist() == [1.0, 1.0]


def test_variables_placeholders_and_keys_are_not_folded():
    v = og.Variable([1.0])
    fetches = [og.exp(v), og.exp(og.placeholder((1,))), og.random_normal((1,), key=og.random_key())]
    assert len(after(fold_constants, *fetches).steps) == len(after(lambda s: s, *fetches).steps)


def test_large_results_are_left_to_the_run():
    column, row = og.constant(np.ones((300, 1))), og.constant(np.ones((1, 300)))
    assert FOLDED_BYTES < 300 * 300 * 8
    assert ops(after(fold_constants, column * row)) == ["multiply"]
    half = og.constant(np.ones((80, 100)))
    assert FOLDED_BYTES < 2 * 80 * 100 * 8
    assert ops(after(fold_constants, og.concat([half, half]))) == []  # takes no more than they did


def test_large_constants_are_handed_to_each_run_and_so_not_folded():
    large = og.constant(np.ones((300, 300)))
    assert ops(after(fold_constants, large * 2.0)) == ["multiply"]


def test_views_fold_where_they_are_contiguous():
    c = og.constant(np.arange(6.0))
    x = og.placeholder((3, 2), dtype=np.float64)
    y = x * og.reshape(c, (3, 2))
    assert ops(after(fold_constants, y)) == ["multiply"]
    z = x * og.reshape(c, (2, 3)).T
    assert ops(after(fold_constants, z)) == ["transpose", "multiply"]
    large = x * og.reduce_sum(og.broadcast_to(og.constant(2.0), (10, 10)))
    assert "broadcast_to" in ops(after(fold_constants, large))
    assert_passes_change_nothing([y, z], {x: np.ones((3, 2))})


def test_counts_fold_where_sizes_are_known():
    assert ops(after(fold_constants, og.count(og.placeholder((2, 3))))) == []
    assert ops(after(fold_constants, og.count(og.placeholder((None, 3))))) == ["count"]
    x = og.placeholder((2, 3))
    assert_passes_change_nothing([og.count(x)], {x: np.ones((2, 3))})


@pytest.mark.parametrize("passes", [None, ()])
def test_a_kernel_that_raises_does_so_in_the_run(passes):
    indices = og.constant(np.array([0, 5]))
    y = og.apply(OneHot(3), indices)
    program = og.RunTime(passes=passes).compile([], [y])
    with pytest.raises(og.ArgumentError, match=r"one_hot: index 5 at \(1,\) is not in 0 … 2") as caught:
        program()
    assert "y = og.apply(OneHot(3), indices)" in str(caught.value)


@pytest.mark.parametrize("passes", [None, ()])
def test_what_is_not_finite_is_told_in_the_run(passes):
    y = og.log(og.constant([0.0, 1.0])) * 0.0 + 1.0
    with pytest.raises(og.NonFiniteError, match="'log' went infinite in 1 of 2 elements"):
        og.RunTime(check_finite=True, passes=passes).run(y)
    assert np.isnan(og.RunTime(passes=passes).run(y)[0])


class Careless(og.Op, name="testpasses.careless"):
    """Returns what it should fill."""

    def infer(self, ins):
        return ins

    def compute(self, ins, outs):
        return ins[0]


def test_a_kernel_that_breaks_the_contract_is_found_out_in_the_run():
    with pytest.raises(og.KernelError, match="returned something"):
        og.RunTime().run(og.apply(Careless(), og.constant([1.0])))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64, np.int32, np.bool])
def test_folding_gives_what_the_run_gives(dtype):
    values = np.array([0, 1, 2, 3, 250], np.float64).astype(dtype)
    c = og.constant(values)
    x = og.placeholder((5,), dtype=np.float64)
    y = [og.exp(c), og.tanh(c), og.reduce_sum(c), c + c, og.cast(c, np.complex128)]
    assert_passes_change_nothing([*y, x + og.cast(og.equal(c, c), np.float64)], {x: np.ones(5)})


def test_overflow_in_a_constant_gives_no_warning():
    assert np.isinf(og.RunTime().run(og.exp(og.constant([1e4]))))
