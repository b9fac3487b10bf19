"""The maximum and the average over whole images."""

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_grads
from opgraph_vision import global_avgpool2d, global_maxpool2d

IMAGES = np.random.default_rng(0).permuted(np.linspace(-3, 3, 2 * 5 * 3 * 4)).reshape(2, 5, 3, 4)


def run(node, feeds=None):
    return og.RunTime().run(node, feeds or {})


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("pool", "reduce"), [(global_avgpool2d, np.mean), (global_maxpool2d, np.max)])
def test_result_is_that_over_height_and_width(pool, reduce, keepdims):
    y = pool(IMAGES, keepdims)
    assert y.shape == ((2, 1, 1, 4) if keepdims else (2, 4))
    np.testing.assert_allclose(run(y), reduce(IMAGES, axis=(1, 2), keepdims=keepdims), rtol=1e-14)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("pool", [global_avgpool2d, global_maxpool2d])
def test_gradients_hold_where_sizes_are_unknown(pool, keepdims):
    x = og.placeholder([None] * 4, np.float64)
    y = og.exp(pool(x * x * 0.1 + x, keepdims))
    assert y.shape == ((None, 1, 1, None) if keepdims else (None, None))
    check_grads(y, [x], {x: IMAGES[:, :2]})


def test_equal_maxima_share_the_gradient():
    x = og.Variable(np.array([[1.0, 3.0, 3.0], [3.0, 0.0, 3.0]]).reshape(1, 2, 3, 1))
    gx = run(og.grad(global_maxpool2d(x), x, np.array([[8.0]])))
    assert gx[0, :, :, 0].tolist() == [[0, 2, 2], [2, 0, 2]]


def test_nan_is_the_maximum_and_the_gradient_of_its_channel_alone():
    x = og.Variable(np.stack([[[1.0, np.nan], [7.0, 2.0]], [[1.0, 5.0], [7.0, 2.0]]], axis=-1)[np.newaxis])
    value, gx = run([global_maxpool2d(x), og.grad(global_maxpool2d(x), x)])
    np.testing.assert_array_equal(value, [[np.nan, 7.0]])
    assert np.isnan(gx[0, :, :, 0]).all()
    assert gx[0, :, :, 1].tolist() == [[0, 0], [1, 0]]


def test_cotangent_that_is_not_finite_reaches_the_maximum_alone():
    x = og.Variable(np.array([1.0, 4.0, 2.0]).reshape(1, 1, 3, 1))
    gx = run(og.grad(global_maxpool2d(x), x, np.array([[np.inf]])))
    assert gx[0, 0, :, 0].tolist() == [0, np.inf, 0]


def test_more_equal_maxima_than_float16_counts_share_the_gradient():
    x = og.Variable(np.zeros((1, 300, 300, 1), np.float16))
    gx = run(og.grad(global_maxpool2d(x), x, np.array([[60000.0]], np.float16)))
    assert gx.dtype == np.float16
    np.testing.assert_allclose(gx, 60000 / 90000, rtol=1e-3)


@pytest.mark.parametrize("dtype", [np.bool, np.int8, np.uint16])
def test_maximum_of_integers_and_booleans_keeps_their_dtype(dtype):
    values = (IMAGES > 1).astype(dtype)
    y = run(global_maxpool2d(values))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, values.max(axis=(1, 2)))


def test_average_of_integers_is_of_the_default_float():
    y = run(global_avgpool2d(np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)))
    assert (y.dtype, y.tolist()) == (np.float32, [[2.5]])


def test_complex_numbers_have_no_maximum_but_an_average():
    with pytest.raises(og.DtypeError, match="global_maxpool2d: complex numbers have no maximum"):
        global_maxpool2d(IMAGES + 1j)
    np.testing.assert_allclose(run(global_avgpool2d(IMAGES + 1j)), IMAGES.mean(axis=(1, 2)) + 1j)


def test_image_without_pixels_has_no_maximum():
    with pytest.raises(og.ShapeError, match=r"global_maxpool2d: images \(0, 3\) without pixels have no maximum"):
        global_maxpool2d(IMAGES[:, :0])
    x = og.placeholder((None, None, 3, 4), np.float64)
    y = global_maxpool2d(x)
    with pytest.raises(og.ShapeError, match=r"\(2, 0, 3, 4\) has size 0 along axis 1, so that there is no maximum"):
        run(y, {x: IMAGES[:, :0]})


@pytest.mark.parametrize("pool", [global_avgpool2d, global_maxpool2d])
def test_what_is_no_batch_of_images_raises_at_construction(pool):
    with pytest.raises(og.ShapeError) as raised:
        pool(og.placeholder((5, 3, 4)))
    first, *_, line = str(raised.value).split("\n  ")
    assert first == f"{pool.__name__}: x has shape (5, 3, 4); images are (N, height, width, channels)"
    assert line.startswith("at test_global_pool.py:")
