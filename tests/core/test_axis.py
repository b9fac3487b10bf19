"""What ops along an axis share: the axis itself, complex numbers, unknown sizes, any layout."""

import itertools

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_grads


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


@pytest.mark.parametrize("op", [og.cumsum, og.flip, lambda x, axis: og.roll(x, 2, axis)])
def test_linear_ops_along_an_axis_take_complex_numbers(op):
    z = og.placeholder((None, 3), dtype=np.complex128)
    y = op(z, 1)
    check_grads(og.real(y * y), z, {z: [[1 + 2j, -0.5j, 3.0], [0.25, 1 - 1j, -2 + 0.5j]]}, order=2)


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
