"""The transposed convolution, against a loop over every pixel, the adjoint identity and published sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og
from opgraph_vision import conv2d, conv2d_transpose


def spread_slowly(x, kernel, strides, padding, pixels, dilations=(1, 1)):
    """Give each pixel's window the kernel times the pixel; what falls beyond the image is lost."""
    (count, down, across, _), (kh, kw, channels, _) = x.shape, kernel.shape
    (sh, sw), (dh, dw) = strides, dilations
    if padding == "SAME":
        reach = [(down - 1) * sh + (kh - 1) * dh + 1, (across - 1) * sw + (kw - 1) * dw + 1]
        top, left = (max(r - n, 0) // 2 for r, n in zip(reach, pixels, strict=True))
    else:
        (top, _), (left, _) = ((0, 0), (0, 0)) if padding == "VALID" else padding
    y = np.zeros((count, *pixels, channels))
    for n, i, j, p, q in np.ndindex(count, down, across, kh, kw):
        row, column = i * sh + p * dh - top, j * sw + q * dw - left
        if 0 <= row < pixels[0] and 0 <= column < pixels[1]:
            y[n, row, column] += kernel[p, q] @ x[n, i, j]
    return y


def draw(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def run(node, feeds=None):
    return og.RunTime().run(node, feeds or {})


@st.composite
def transposes(draw):
    """Return shapes of images and kernel, strides, padding, the result's size, and dilations."""
    size = draw(st.tuples(st.integers(1, 5), st.integers(1, 4)))
    strides = draw(st.tuples(st.integers(1, 4), st.integers(1, 3)))
    dilations = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    margin = st.tuples(st.integers(0, 3), st.integers(0, 3))
    padding = draw(st.sampled_from(["SAME", "VALID"]) | st.tuples(margin, margin))
    margins = [(0, 0), (0, 0)] if isinstance(padding, str) else padding
    reach = [(k - 1) * d + 1 - sum(m) for k, d, m in zip(size, dilations, margins, strict=True)]
    # any image that can be convolved tells a size to transpose from
    least = (0, 0) if padding == "SAME" else [max(n, 0) for n in reach]
    pixels = tuple(draw(st.integers(n, max(n, 8))) for n in least)
    count, given, taken = (draw(st.integers(0, 3)) for _ in range(3))
    convolved = conv2d(
        og.placeholder((count, *pixels, given)), np.zeros((*size, given, taken)), strides, padding, dilations
    )
    return (tuple(convolved.shape), (*size, given, taken)), strides, padding, pixels, dilations


@settings(deadline=None)
@given(transposes())
def test_any_sizes_give_the_result_of_a_loop_over_pixels(transpose):
    shapes, *options = transpose
    x, kernel = draw(shapes)
    y = conv2d_transpose(x, kernel, *options)
    expected = spread_slowly(x, kernel, *options)
    assert y.shape == expected.shape
    np.testing.assert_allclose(run(y), expected, rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(transposes())
def test_it_is_the_adjoint_of_the_convolution(transpose):
    shapes, strides, padding, pixels, dilations = transpose
    x, kernel = draw(shapes)
    (image,) = draw([(shapes[0][0], *pixels, shapes[1][2])], seed=1)
    convolved = run(conv2d(image, kernel, strides, padding, dilations))
    spread = run(conv2d_transpose(x, kernel, strides, padding, pixels, dilations))
    np.testing.assert_allclose(np.vdot(convolved, x), np.vdot(image, spread), rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(transposes())
def test_gradients_are_adjoint_to_it(transpose):
    shapes, *options = transpose
    x, kernel = (og.Variable(value) for value in draw(shapes))
    y = conv2d_transpose(x, kernel, *options)
    (g,) = draw([y.shape], seed=1)
    value, gx, gkernel = run([y, *og.grad(y, [x, kernel], g)])
    product = np.vdot(value, g)
    np.testing.assert_allclose(np.vdot(x.val, gx), product, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.vdot(kernel.val, gkernel), product, rtol=1e-9, atol=1e-9)


def test_example_in_dive_into_deep_learning():
    x = np.arange(4.0).reshape(1, 2, 2, 1)
    kernel = np.arange(4.0).reshape(2, 2, 1, 1)
    y = run(conv2d_transpose(x, kernel, padding="VALID"))
    assert y[0, :, :, 0].tolist() == [[0, 0, 1], [0, 4, 6], [4, 12, 9]]
    strided = run(conv2d_transpose(x, kernel, 2, "VALID"))
    assert strided[0, :, :, 0].tolist() == [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]
    assert run(conv2d_transpose(x, kernel, padding=1))[0, :, :, 0].tolist() == [[4]]


@pytest.mark.parametrize(
    ("size", "strides", "padding", "pixels"),
    [
        # keras.layers.Conv2DTranspose on (5, 7)
        ((3, 4), (1, 1), "SAME", (5, 7)),
        ((3, 4), (2, 3), "SAME", (10, 21)),
        ((1, 2), (2, 3), "SAME", (10, 21)),
        ((3, 4), (1, 1), "VALID", (7, 10)),
        ((3, 4), (2, 3), "VALID", (11, 22)),
        # torch.nn.ConvTranspose2d on (5, 7)
        ((3, 4), (2, 3), (1, 2), (9, 18)),
        ((1, 2), (2, 3), 0, (9, 20)),
    ],
)
def test_default_sizes_are_those_of_keras_and_pytorch(size, strides, padding, pixels):
    x = og.placeholder((None, 5, 7, 6))
    y = conv2d_transpose(x, np.zeros((*size, 2, 6)), strides, padding)
    assert y.shape == (None, *pixels, 2)


def test_sizes_of_images_may_be_unknown():
    x = og.placeholder((None, None, 7, 6), np.float64)
    (kernel, value) = draw([(3, 4, 2, 6), (1, 5, 7, 6)])
    y = conv2d_transpose(x, kernel, (2, 3))
    assert y.shape == (None, None, 21, 2)
    found = run(y, {x: value})
    np.testing.assert_allclose(found, spread_slowly(value, kernel, (2, 3), "SAME", (10, 21)), rtol=1e-12, atol=1e-12)
    assert conv2d_transpose(x, kernel, (2, 3), output_shape=(9, 20)).shape == (None, 9, 20, 2)


def test_size_of_the_result_undoes_that_of_any_convolution():
    for pixels in [(5, 7), (6, 8), (6, 9), (5, 8)]:
        image = og.placeholder((1, *pixels, 2))
        kernel = np.zeros((3, 2, 2, 4), np.float32)
        for padding in ("SAME", "VALID", (1, 0)):
            convolved = conv2d(image, kernel, (2, 3), padding)
            restored = conv2d_transpose(convolved, kernel, (2, 3), padding, output_shape=image.shape[1:3])
            assert restored.shape == image.shape


def test_front_door_of_opgraph_is_the_typed_one():
    assert og.conv2d_transpose is conv2d_transpose


def test_integers_with_a_float_kernel_give_floats():
    x = og.placeholder((1, 2, 3, 4), np.uint8)
    assert conv2d_transpose(x, np.ones((2, 1, 5, 4), np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("x", "kernel", "options", "error", "message"),
    [
        (
            (2, 5, 7, 3),
            (4, 1, 3, 6),
            {},
            og.ShapeError,
            "conv2d_transpose: x has 3 channels, the kernel (4, 1, 3, 6) takes 6; its axes are "
            "(height, width, channels of the result, channels of x)",
        ),
        (
            (2, 5, 7, 6),
            (4, 1, 3, 6),
            {"strides": (2, 3), "output_shape": (11, 20)},
            og.ShapeError,
            "conv2d_transpose: output_shape (11, 20): images of height 9 to 10 are convolved to that of x",
        ),
        (
            (None, None, 7, 6),
            (4, 3, 3, 6),
            {"strides": (2, 3), "padding": "VALID", "output_shape": (11, 20)},
            og.ShapeError,
            "conv2d_transpose: output_shape (11, 20): images of width 21 to 23 are convolved to that of x",
        ),
        (
            (2, 5, 7, 6),
            (4, 1, 3, 6),
            {"output_shape": 11},
            og.ArgumentError,
            "conv2d_transpose: output_shape=11: expected a pair of integers or None",
        ),
        (
            (2, 1, 7, 6),
            (4, 1, 3, 6),
            {"padding": (3, 0)},
            og.ShapeError,
            "conv2d_transpose: padding ((3, 3), (0, 0)) leaves no height at all",
        ),
        (
            (2, 0, 7, 6),
            (4, 1, 3, 6),
            {"padding": "VALID"},
            og.ShapeError,
            "conv2d_transpose: x has (0, 7) pixels; there may be none with padding 'SAME' alone",
        ),
        ((2, 5, 7, 6), (4, 3, 6), {}, og.ShapeError, "conv2d_transpose: kernel has shape (4, 3, 6); kernels are "),
        ((5, 7, 6), (4, 1, 3, 6), {}, og.ShapeError, "conv2d_transpose: x has shape (5, 7, 6); images are "),
        ((2, 5, 7, 6), (4, 1, 3, 6), {"strides": 0}, og.ArgumentError, "conv2d_transpose: strides (0, 0): both "),
        ((2, 5, 7, 6), (4, 1, 3, 6), {"padding": "FULL"}, og.ArgumentError, "conv2d_transpose: padding='FULL': "),
    ],
)
def test_what_does_not_fit_raises_at_construction(x, kernel, options, error, message):
    x, kernel = og.placeholder(x), og.placeholder(kernel)
    with pytest.raises(error) as raised:
        conv2d_transpose(x, kernel, **options)
    first, *_, line = str(raised.value).split("\n  ")
    assert first.startswith(message)
    assert line.startswith("at test_conv2d_transpose.py:")


def test_size_that_turns_out_wrong_raises_at_the_run():
    x = og.placeholder((None, None, None, 6), name="code")
    y = conv2d_transpose(x, np.zeros((4, 1, 3, 6), np.float32), 2, output_shape=(9, 13))
    with pytest.raises(og.ShapeError) as raised:
        run(y, {x: np.zeros((2, 6, 7, 6))})
    first, operands, line = str(raised.value).split("\n  ")
    assert first == "conv2d_transpose: output_shape (9, 13): images of height 11 to 12 are convolved to that of x"
    assert "placeholder 'code' (2, 6, 7, 6) float32" in operands
    assert "conv2d_transpose(x, np.zeros((4, 1, 3, 6), np.float32)" in line
