"""Ops that go by the shapes of a run."""

import numpy as np
import pytest

import opgraph as og

# more elements than NumPy's buffer holds, half of them of each sign: what is summed passes 65504 on the way
MANY = np.repeat(np.array([1000, -1000], np.float16), 20_000)


@pytest.mark.parametrize(("shape", "like"), [((-1,), ()), ((-1, 1), (1, 1)), ((1, -1), (1,)), ((-1, 2), (2,))])
def test_a_sum_of_float16_to_a_smaller_shape_may_pass_its_end_on_the_way(shape, like):
    x = MANY.reshape(shape)
    found = og.RunTime().run(og.sum_to(og.constant(x), np.zeros(like, np.float16)))
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, np.zeros(like))


def test_the_gradient_of_a_float16_operand_that_broadcasts_does_not_overflow():
    x, b = og.placeholder((None,), dtype=np.float16), og.placeholder((), dtype=np.float16)
    g = og.grad(x * b, b)
    assert og.RunTime().run(g, {x: MANY, b: 1.0}) == 0.0


def test_a_count_that_its_dtype_cannot_hold_is_an_error_that_says_so():
    x = og.placeholder((None,))
    with pytest.raises(og.DtypeError, match="count: 300 elements are out of the range of int8"):
        og.RunTime().run(og.count(x, dtype=np.int8), {x: np.zeros(300)})
