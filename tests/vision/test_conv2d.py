"""Convolution and its gradients, against loops over every window and finite differences."""

import numpy as np
import pytest
from allocations import transient_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og
from opgraph.testing import check_grads
from opgraph_vision import conv2d
from opgraph_vision.ops.columns import BLOCK_BYTES
from opgraph_vision.ops.sharing import MOST_PARTS

# (images, kernel), strides, padding: no two sizes are equal, unless one follows from the other
CONFIGURATIONS = {
    "same": ((2, 5, 7, 3), (4, 1, 3, 6), (1, 1), "SAME"),
    "even kernel": ((2, 5, 7, 3), (2, 4, 3, 1), (1, 1), "SAME"),
    "valid": ((1, 8, 10, 2), (3, 4, 2, 5), (1, 1), "VALID"),
    "odd margins": ((2, 11, 8, 1), (4, 5, 1, 7), (2, 3), "SAME"),
    "valid strides": ((1, 8, 13, 1), (2, 4, 1, 7), (3, 2), "VALID"),
    "gaps": ((5, 7, 13, 1), (2, 1, 1, 6), (3, 4), "SAME"),
    "mostly padding": ((4, 2, 3, 1), (7, 5, 1, 6), (1, 1), "SAME"),
    "pointwise": ((2, 4, 5, 3), (1, 1, 3, 6), (1, 1), "SAME"),
    "pointwise strides": ((2, 7, 5, 3), (1, 1, 3, 6), (2, 3), "VALID"),
}
EXPECTED_PADDING = "expected 'SAME', 'VALID', a number of pixels, or ((top, bottom), (left, right))"
each_configuration = pytest.mark.parametrize(
    ("shapes", "strides", "padding"),
    [((x, kernel), strides, padding) for x, kernel, strides, padding in CONFIGURATIONS.values()],
    ids=CONFIGURATIONS.keys(),
)


def pad(x, reach, strides, padding):
    """Surround images with zeros as TensorFlow's documentation of SAME says, or as it is told."""
    if padding == "SAME":
        both = [max(k - (n % s or s), 0) for n, k, s in zip(x.shape[1:3], reach, strides, strict=True)]
        padding = [(n // 2, n - n // 2) for n in both]
    elif padding == "VALID":
        padding = [(0, 0), (0, 0)]
    return np.pad(x, [(0, 0), *padding, (0, 0)])


def convolve_slowly(x, kernel, strides, padding, dilations=(1, 1)):
    (kh, kw, _, given), (sh, sw), (dh, dw) = kernel.shape, strides, dilations
    reach = ((kh - 1) * dh + 1, (kw - 1) * dw + 1)
    padded = pad(x, reach, strides, padding)
    down = (padded.shape[1] - reach[0]) // sh + 1
    across = (padded.shape[2] - reach[1]) // sw + 1
    y = np.zeros((len(x), down, across, given))
    for n in range(len(x)):
        for i in range(down):
            for j in range(across):
                window = padded[n, i * sh : i * sh + reach[0] : dh, j * sw : j * sw + reach[1] : dw]
                for o in range(given):
                    y[n, i, j, o] = np.sum(window * kernel[..., o])
    return y


def draw(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def run(node, feeds=None):
    return og.RunTime().run(node, feeds or {})


@each_configuration
def test_result_is_that_of_a_loop_over_windows(shapes, strides, padding):
    x, kernel = draw(shapes)
    y = run(conv2d(x, kernel, strides, padding))
    np.testing.assert_allclose(y, convolve_slowly(x, kernel, strides, padding), rtol=1e-12, atol=1e-12)


@st.composite
def convolutions(draw):
    """Return shapes of images and kernel, and options, sizes of 0 included."""
    size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    strides = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilations = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    margin = st.tuples(st.integers(0, 4), st.integers(0, 4))
    padding = draw(st.sampled_from(["SAME", "VALID"]) | st.tuples(margin, margin))
    margins = [(0, 0), (0, 0)] if isinstance(padding, str) else padding
    reach = [(k - 1) * d + 1 - sum(m) for k, d, m in zip(size, dilations, margins, strict=True)]
    least = (0, 0) if padding == "SAME" else [max(n, 0) for n in reach]
    height, width = (draw(st.integers(n, max(n, 9))) for n in least)
    count, taken, outputs = (draw(st.integers(0, 4)) for _ in range(3))
    return ((count, height, width, taken), (*size, taken, outputs)), (strides, padding, dilations)


@settings(deadline=None)
@given(convolutions())
def test_any_sizes_give_the_result_of_a_loop_over_windows(convolution):
    shapes, options = convolution
    x, kernel = draw(shapes)
    y = conv2d(x, kernel, *options)
    expected = convolve_slowly(x, kernel, *options)
    assert y.shape == expected.shape
    np.testing.assert_allclose(run(y), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("padding", "margins"),
    [
        (2, ((2, 2), (2, 2))),
        ((1, 3), ((1, 1), (3, 3))),
        ((0, (1, 2)), ((0, 0), (1, 2))),
        ([[1, 0], [2, 3]], ((1, 0), (2, 3))),
        (np.array([[1, 0], [2, 3]]), ((1, 0), (2, 3))),
    ],
)
def test_padding_may_be_told_in_pixels(padding, margins):
    x, kernel = draw([(2, 5, 7, 3), (4, 1, 3, 6)])
    y = conv2d(x, kernel, padding=padding)
    assert y.call.op.padding == margins
    padded = np.pad(x, [(0, 0), *margins, (0, 0)])
    np.testing.assert_allclose(run(y), run(conv2d(padded, kernel, padding="VALID")), rtol=1e-12, atol=1e-12)


def test_dilated_kernel_is_one_with_zeros_between():
    x, kernel = draw([(2, 8, 11, 3), (3, 2, 3, 5)])
    wide = np.zeros((5, 4, 3, 5))
    wide[::2, ::3] = kernel
    for padding in ("SAME", "VALID", 1):
        dilated = run(conv2d(x, kernel, (1, 2), padding, dilations=(2, 3)))
        np.testing.assert_allclose(dilated, run(conv2d(x, wide, (1, 2), padding)), rtol=1e-12, atol=1e-12)


def test_unknown_sizes_stay_unknown_with_margins_and_dilations():
    x = og.placeholder((None, None, 7, 3))
    y = conv2d(x, np.zeros((4, 2, 3, 6)), (2, 3), ((1, 0), (0, 2)), dilations=(1, 4))
    assert y.shape == (None, None, 2, 6)


def test_complex_numbers_are_convolved_by_their_parts():
    real, imag, kernel, kernel_imag = draw([(2, 5, 4, 3), (2, 5, 4, 3), (3, 2, 3, 1), (3, 2, 3, 1)])
    y = run(conv2d(real + 1j * imag, kernel + 1j * kernel_imag))
    parts = [run(conv2d(a, b)) for a in (real, imag) for b in (kernel, kernel_imag)]
    np.testing.assert_allclose(y, parts[0] - parts[3] + 1j * (parts[1] + parts[2]), rtol=1e-12, atol=1e-12)


def test_whole_numbers_give_exact_results_in_float32():
    rng = np.random.default_rng(0)
    x, kernel = rng.integers(-9, 9, (2, 6, 5, 3)), rng.integers(-9, 9, (3, 2, 3, 4))
    y = run(conv2d(x.astype(np.float32), kernel.astype(np.float32), (1, 2), "SAME"))
    np.testing.assert_array_equal(y, convolve_slowly(x, kernel, (1, 2), "SAME"))


def test_example_of_one_channel_in_dive_into_deep_learning():
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    kernel = np.arange(4.0).reshape(2, 2, 1, 1)
    assert run(conv2d(x, kernel, padding="VALID"))[0, :, :, 0].tolist() == [[19, 25], [37, 43]]


def test_example_of_two_channels_in_dive_into_deep_learning():
    x = np.stack([np.arange(9.0), np.arange(1.0, 10.0)], axis=-1).reshape(1, 3, 3, 2)
    kernel = np.stack([np.arange(4.0), np.arange(1.0, 5.0)], axis=-1).reshape(2, 2, 2, 1)
    assert run(conv2d(x, kernel, padding="VALID"))[0, :, :, 0].tolist() == [[56, 72], [104, 120]]


def test_example_of_edges_in_dive_into_deep_learning():
    x = np.ones((1, 6, 8, 1))
    x[:, :, 2:6] = 0
    edges = run(conv2d(x, np.array([1.0, -1.0]).reshape(1, 2, 1, 1), padding="VALID"))
    assert edges[0, :, :, 0].tolist() == [[0, 1, 0, 0, 0, -1, 0]] * 6


def test_defaults_keep_the_size_of_the_image():
    x = og.placeholder((None, 5, 7, 3))
    y = conv2d(x, np.zeros((3, 2, 3, 6)))
    assert y.shape == (None, 5, 7, 6)
    assert y.call.op.padding == "SAME"


def test_front_door_of_opgraph_is_the_typed_one():
    assert og.conv2d is conv2d


def test_one_stride_goes_for_both_directions():
    x = og.placeholder((2, 5, 7, 3))
    assert conv2d(x, np.zeros((1, 1, 3, 6)), strides=2).call.op.strides == (2, 2)
    assert conv2d(x, np.zeros((1, 1, 3, 6)), strides=[2, 3]).call.op.strides == (2, 3)


@pytest.mark.parametrize(("padding", "shape"), [("SAME", (None, None, 3, 6)), ("VALID", (None, None, 2, 6))])
def test_unknown_sizes_of_images_stay_unknown(padding, shape):
    x = og.placeholder((None, None, 7, 3))
    assert conv2d(x, np.zeros((4, 2, 3, 6)), (2, 3), padding).shape == shape


def test_unknown_channels_are_taken_from_the_kernel():
    x = og.placeholder((2, 5, 7, None))
    assert conv2d(x, np.zeros((4, 1, 3, 6))).shape == (2, 5, 7, 6)


@pytest.mark.untraced
@each_configuration
def test_gradients_agree_with_finite_differences_through_second_order(shapes, strides, padding):
    values = draw(shapes)
    x, kernel = (og.placeholder(shape, np.float64) for shape in shapes)
    check_grads(conv2d(x, kernel, strides, padding), [x, kernel], dict(zip((x, kernel), values, strict=True)))


@settings(deadline=None)
@given(convolutions())
def test_gradients_are_adjoint_to_the_convolution(convolution):
    shapes, options = convolution
    x, kernel = (og.Variable(value) for value in draw(shapes))
    y = conv2d(x, kernel, *options)
    g = np.random.default_rng(1).normal(size=y.shape)
    value, gx, gkernel = run([y, *og.grad(y, [x, kernel], g)])
    # <y, g> = <x, gx> = <kernel, gkernel>, since y is linear in each
    product = np.vdot(value, g)
    np.testing.assert_allclose(np.vdot(x.val, gx), product, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.vdot(kernel.val, gkernel), product, rtol=1e-9, atol=1e-9)


def test_third_gradient_of_a_function_that_is_bilinear_vanishes():
    x, kernel = (og.Variable(value) for value in draw([(2, 5, 7, 3), (4, 1, 3, 6)]))
    gx = og.grad(conv2d(x, kernel), x)
    mixed = og.grad(gx, kernel)
    assert mixed.shape == (4, 1, 3, 6)
    zero = og.grad(mixed, [x, kernel], unconnected="zeros")
    assert [np.abs(value).max() for value in run(zero)] == [0, 0]


def test_gradient_is_zero_for_pixels_between_windows():
    x = og.Variable(np.ones((1, 7, 5, 2)))
    gx = run(og.grad(conv2d(x, np.ones((2, 1, 2, 3)), (3, 2), "VALID"), x))
    touched = np.zeros((7, 5))
    for i in (0, 3):
        touched[i : i + 2, ::2] = 3
    np.testing.assert_array_equal(gx[0], np.stack([touched] * 2, axis=-1))


@pytest.mark.parametrize("block_bytes", [1, 700, 4000])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_results_do_not_depend_on_the_size_of_blocks(monkeypatch, block_bytes, padding):
    shapes, strides = ((5, 11, 8, 2), (4, 3, 2, 6)), (2, 1)
    x, kernel = (og.Variable(value) for value in draw(shapes))
    y = conv2d(x, kernel, strides, padding)
    fetches = [y, *og.grad(y, [x, kernel])]
    whole = run(fetches)
    monkeypatch.setattr("opgraph_vision.ops.columns.BLOCK_BYTES", block_bytes)
    for in_blocks, at_once in zip(run(fetches), whole, strict=True):
        np.testing.assert_allclose(in_blocks, at_once, rtol=1e-12, atol=1e-12)


LARGE = {
    "few channels": ((33, 40, 31, 3), (5, 4, 3, 12), (1, 1), "SAME"),
    "valid": ((27, 21, 26, 12), (3, 5, 12, 16), (1, 1), "VALID"),
    "strides": ((23, 41, 38, 10), (4, 3, 10, 24), (2, 1), "SAME"),
    "pointwise": ((17, 31, 29, 32), (1, 1, 32, 40), (1, 1), "SAME"),
}


@pytest.mark.parametrize(("x", "kernel", "strides", "padding"), LARGE.values(), ids=LARGE.keys())
def test_threads_that_share_the_images_give_the_result_of_one_bit_by_bit(x, kernel, strides, padding):
    images, weights = (value.astype(np.float32) for value in draw((x, kernel)))
    a, b = og.Variable(images), og.Variable(weights)
    y = conv2d(a, b, strides, padding)
    g = og.constant(np.random.default_rng(1).normal(size=y.shape).astype(np.float32))
    fetches = [y, *og.grad(y, [a, b], g), og.conv2d_transpose(g, b, strides, padding, x[1:3])]
    one, *more = (og.RunTime(threads=threads).run(fetches) for threads in (1, 2, 3))
    for found in more:
        for value, expected in zip(found, one, strict=True):
            assert value.tobytes() == expected.tobytes()

    # the first and the last image, which different calls may see to, alone
    ends = og.Variable(images[[0, -1]])
    alone = conv2d(ends, b, strides, padding)
    np.testing.assert_allclose(one[0][[0, -1]], run(alone), rtol=1e-4, atol=1e-4)
    by_ends = og.grad(alone, ends, og.constant(g.value[[0, -1]]))
    np.testing.assert_allclose(one[1][[0, -1]], run(by_ends), rtol=1e-4, atol=1e-4)
    # all three are derivatives of one sum, which is linear in each operand
    total = np.sum(one[0].astype(np.float64) * g.value)
    np.testing.assert_allclose(np.sum(one[1].astype(np.float64) * images), total, rtol=1e-4)
    np.testing.assert_allclose(np.sum(one[2].astype(np.float64) * weights), total, rtol=1e-4)
    assert one[3].tobytes() == one[1].tobytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_convolutions_and_their_gradients_allocate_no_array_in_a_run(threads):
    shapes = LARGE["valid"][:2]
    x, kernel = (og.Variable(value.astype(np.float32)) for value in draw(shapes))
    y = conv2d(x, kernel, padding="VALID")
    g = og.constant(np.ones(y.shape, np.float32))
    ends = [og.reduce_sum(node) for node in (y, *og.grad(y, [x, kernel], g))]
    program = og.RunTime(threads=threads).compile([], ends)
    for _ in range(2):
        program()
    # views, and the buffers of NumPy in other threads, which a result of 722,304 bytes is well above
    assert transient_bytes(program) < 200_000


def test_work_space_does_not_grow_with_the_number_of_images():
    def scratch(images):
        x, kernel = og.placeholder((images, 32, 24, 16)), og.placeholder((3, 5, 16, 8))
        y = conv2d(x, kernel)
        return sum(spec.nbytes for spec in y.call.op.scratch((x.spec, kernel.spec), (y.spec,)))

    assert scratch(1000) == scratch(100) < 2 * MOST_PARTS * BLOCK_BYTES


@pytest.mark.parametrize("size", [(3, 2), (1, 1)])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_operands_and_cotangents_may_be_views_of_any_strides(size, padding):
    x, kernel, g = draw([(2, 6, 5, 3), (*size, 3, 4), (4,)])
    axes = (3, 1, 0, 2)
    back = (2, 1, 3, 0)
    turned_x, turned_kernel = (
        og.placeholder((3, 6, 2, 5), np.float64),
        og.placeholder((4, size[1], size[0], 3), np.float64),
    )
    y = conv2d(og.transpose(turned_x, back), og.transpose(turned_kernel, (2, 1, 3, 0)), padding=padding)
    # a cotangent that is broadcast has strides of 0
    gradients = og.grad(y, [turned_x, turned_kernel], og.broadcast_like(g, y))
    turned = {turned_x: x.transpose(axes), turned_kernel: kernel.transpose((3, 1, 0, 2))}
    value, gx, gkernel = run([y, *gradients], turned)

    straight_x, straight_kernel = og.Variable(x), og.Variable(kernel)
    straight = conv2d(straight_x, straight_kernel, padding=padding)
    expected = run([straight, *og.grad(straight, [straight_x, straight_kernel], og.broadcast_like(g, straight))])
    np.testing.assert_allclose(value, expected[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gx, expected[1].transpose(axes), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gkernel, expected[2].transpose((3, 1, 0, 2)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_result_and_gradients_have_the_dtype_of_the_operands(dtype):
    x, kernel = (og.Variable(value.astype(dtype)) for value in draw([(2, 5, 7, 3), (4, 1, 3, 6)]))
    y = conv2d(x, kernel)
    fetched = run([y, *og.grad(y, [x, kernel])])
    assert [value.dtype for value in fetched] == [dtype] * 3


def test_integers_take_the_dtype_of_a_float():
    x = og.placeholder((2, 5, 7, 3), np.int64)
    assert conv2d(x, np.ones((4, 1, 3, 6), np.float32)).dtype == np.float32


def test_float32_is_as_near_to_float64_as_rounding_allows():
    x, kernel = draw([(2, 9, 7, 16), (4, 5, 16, 6)])
    y = run(conv2d(x.astype(np.float32), kernel.astype(np.float32)))
    np.testing.assert_allclose(y, run(conv2d(x, kernel)), atol=1e-4)


@pytest.mark.parametrize(
    ("x", "kernel", "options", "message"),
    [
        ((2, 5, 6, 3), (6, 7, 3, 4), {"padding": "VALID"}, r"conv2d: kernel (6, 7) exceeds image (5, 6); pad x first"),
        (
            (None, 5, 6, 3),
            (4, 1, 2, 7),
            {},
            "conv2d: x (N, height, width, channels) has 3 channels, the kernel takes 2",
        ),
        ((5, 6, 3), (4, 1, 3, 7), {}, "conv2d: x has shape (5, 6, 3); images are (N, height, width, channels)"),
        ((2, 5, 6, 3), (4, 3, 7), {}, "conv2d: kernel has shape (4, 3, 7); kernels are (height, width, in, out)"),
        ((2, 5, 6, 3), (0, 1, 3, 7), {}, "conv2d: kernel (0, 1) has no elements"),
        (
            (2, 5, 6, 3),
            (2, 4, 3, 7),
            {"padding": (0, (1, 0)), "dilations": (1, 3)},
            "conv2d: kernel (2, 4), dilated to (2, 10), exceeds image (5, 6) with padding ((0, 0), (1, 0)); "
            "pad x first",
        ),
    ],
)
def test_shapes_that_do_not_fit_raise_at_construction(x, kernel, options, message):
    with pytest.raises(og.ShapeError) as raised:
        conv2d(og.placeholder(x), og.placeholder(kernel), **options)
    first, operands, line = str(raised.value).split("\n  ")
    assert first == message
    assert operands == f"x: placeholder 'placeholder' {x} float32; kernel: placeholder 'placeholder_1' {kernel} float32"
    assert line.startswith("at test_conv2d.py:")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strides": 0}, "conv2d: strides (0, 0): both must be at least 1"),
        ({"strides": (2, -1)}, "conv2d: strides (2, -1): both must be at least 1"),
        ({"strides": (1, 2, 3)}, "conv2d: strides=(1, 2, 3): expected a pair of integers, got 3"),
        ({"strides": 1.5}, "conv2d: strides=(1.5, 1.5): expected a pair of integers"),
        ({"padding": "same"}, f"conv2d: padding='same': {EXPECTED_PADDING}; did you mean 'SAME'?"),
        ({"padding": (1, 2, 3)}, f"conv2d: padding=(1, 2, 3): {EXPECTED_PADDING}"),
        ({"padding": 0.5}, f"conv2d: padding=0.5: {EXPECTED_PADDING}"),
        ({"padding": (0, (1, -2))}, "conv2d: padding ((0, 0), (1, -2)): none of it may be negative"),
        ({"dilations": (1, 0)}, "conv2d: dilations (1, 0): both must be at least 1"),
    ],
)
def test_bad_attributes_raise_at_construction(options, message):
    x, kernel = og.placeholder((2, 5, 6, 3)), og.placeholder((4, 1, 3, 7))
    with pytest.raises(og.ArgumentError) as raised:
        conv2d(x, kernel, **options)
    first, *_, line = str(raised.value).split("\n  ")
    assert first == message
    assert line.startswith("at test_conv2d.py:")


def test_image_that_turns_out_too_small_raises_at_the_run():
    x = og.placeholder((None, None, None, 3), name="photos")
    y = conv2d(x, np.zeros((4, 2, 3, 1), np.float32), padding="VALID")
    with pytest.raises(og.ShapeError) as raised:
        run(y, {x: np.zeros((2, 3, 7, 3))})
    first, operands, line = str(raised.value).split("\n  ")
    assert first == "conv2d: kernel (4, 2) exceeds image (3, 7); pad x first"
    assert "placeholder 'photos' (2, 3, 7, 3) float32" in operands
    assert line.endswith('y = conv2d(x, np.zeros((4, 2, 3, 1), np.float32), padding="VALID")')


def test_a_convolution_and_its_gradients_count_two_for_each_product():
    x, kernel = og.placeholder((2, 5, 7, 3)), og.placeholder((4, 3, 3, 6))
    y = og.conv2d(x, kernel, padding="VALID")  # (2, 2, 5, 6)
    rt = og.RunTime(threads=1)
    products = 2 * (2 * 2 * 5) * (4 * 3 * 3) * 6
    assert rt.explain(y).flops == products
    for wanted in (x, kernel):
        (of_gradient,) = [
            each for each in rt.explain(og.grad(og.reduce_sum(y), wanted)).instructions if "conv2d" in each.steps[0]
        ]
        assert of_gradient.flops == products
    assert rt.explain(og.conv2d_transpose(y, kernel, padding="VALID")).flops == 2 * products  # y, and the way back
