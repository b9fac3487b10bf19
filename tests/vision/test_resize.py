"""Images enlarged by repetition; gradients are checked by test_ops."""

import numpy as np
import pytest

import opgraph as og
from opgraph_vision import resize_nearest2d


def run(node, feeds=None):
    return og.RunTime().run(node, feeds or {})


def test_each_pixel_becomes_a_block():
    x = np.array([[1, 2], [3, 4], [5, 6]], np.uint8).reshape(1, 3, 2, 1)
    y = run(resize_nearest2d(x, (2, 3)))
    assert y.dtype == np.uint8
    assert y[0, :, :, 0].tolist() == [[1] * 3 + [2] * 3] * 2 + [[3] * 3 + [4] * 3] * 2 + [[5] * 3 + [6] * 3] * 2


def test_gradient_of_a_pixel_is_the_sum_over_its_block():
    x = og.Variable(np.zeros((1, 1, 2, 1)))
    gx = run(og.grad(resize_nearest2d(x, 2), x, np.arange(8.0).reshape(1, 2, 4, 1)))
    assert gx[0, 0, :, 0].tolist() == [0 + 1 + 4 + 5, 2 + 3 + 6 + 7]


def test_one_factor_goes_for_both_directions_and_unknown_sizes_stay_unknown():
    assert resize_nearest2d(og.placeholder((None, None, 7, 3)), 2).shape == (None, None, 14, 3)


def test_operand_may_be_a_view_of_any_strides():
    x = np.random.default_rng(0).normal(size=(3, 5, 2, 4))
    placeholder = og.placeholder(x.shape, np.float64)
    y = run(resize_nearest2d(og.transpose(placeholder, (2, 1, 3, 0)), (2, 3)), {placeholder: x})
    np.testing.assert_array_equal(y, x.transpose(2, 1, 3, 0).repeat(2, axis=1).repeat(3, axis=2))


@pytest.mark.parametrize(
    ("shape", "factor", "error", "message"),
    [
        ((5, 7, 3), 2, og.ShapeError, "resize_nearest2d: x has shape (5, 7, 3); images are "),
        ((2, 5, 7, 3), (2, 0), og.ArgumentError, "resize_nearest2d: factor (2, 0): both must be at least 1"),
        ((2, 5, 7, 3), 1.5, og.ArgumentError, "resize_nearest2d: factor=(1.5, 1.5): expected a pair of integers"),
    ],
)
def test_what_does_not_fit_raises_at_construction(shape, factor, error, message):
    with pytest.raises(error) as raised:
        resize_nearest2d(og.placeholder(shape), factor)
    first, *_, line = str(raised.value).split("\n  ")
    assert first.startswith(message)
    assert line.startswith("at test_resize.py:")
