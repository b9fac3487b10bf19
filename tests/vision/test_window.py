"""The shape arithmetic of windows, against published examples and against a walk over every window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import opgraph as og
import opgraph_vision
from opgraph_vision.ops.window import Slide, as_padding, count_windows, possible_pixels

SIZES = st.integers(1, 9)


def test_tensorflows_example_of_valid_padding():
    # 13 pixels, windows of 6, stride 5: (1 to 6), (6 to 11), and pixels 12 and 13 are dropped
    assert count_windows((13, 11), (6, 6), (5, 5), "VALID") == (2, 2)


def test_tensorflows_example_of_same_padding():
    # 0 | 1 2 3 4 5 | 6 7 8 9 10 | 11 12 13 0 0: one zero before, two after
    assert count_windows((13, 11), (6, 6), (5, 5), "SAME") == (3, 3)
    assert Slide(pixels=13, windows=3, size=6, stride=5).margins == (1, 2)


@given(pixels=SIZES, size=SIZES, stride=SIZES)
def test_valid_counts_the_windows_that_lie_inside(pixels, size, stride):
    inside = [start for start in range(0, pixels, stride) if start + size <= pixels]
    if inside:
        assert count_windows((pixels, pixels), (size, 1), (stride, 1), "VALID") == (len(inside), pixels)
    else:
        with pytest.raises(og.ShapeError, match="exceeds image"):
            count_windows((pixels, pixels), (size, 1), (stride, 1), "VALID")


@given(pixels=SIZES, size=SIZES, stride=SIZES)
def test_same_counts_the_strides_that_start_inside(pixels, size, stride):
    starts = len(range(0, pixels, stride))
    assert count_windows((pixels, 1), (size, 1), (stride, 1), "SAME") == (starts, 1)


@pytest.mark.parametrize(
    ("image", "size", "padding", "counts"),
    [
        ((None, 7), (3, 2), "SAME", (None, 4)),
        ((5, None), (3, 2), "VALID", (3, None)),
        ((5, 7), (None, 2), "SAME", (5, 4)),
        ((5, 7), (None, 2), "VALID", (None, 3)),
    ],
)
def test_a_count_is_unknown_where_it_depends_on_an_unknown_size(image, size, padding, counts):
    assert count_windows(image, size, (1, 2), padding) == counts


@given(pixels=SIZES, size=SIZES, stride=SIZES)
def test_margins_are_no_wider_than_the_windows_need(pixels, size, stride):
    windows = len(range(0, pixels, stride))
    before, after = Slide(pixels, windows, size, stride).margins
    assert after - before in (0, 1)
    reach = (windows - 1) * stride + size
    assert before + pixels + after == max(pixels, reach)


@given(pixels=SIZES, size=SIZES, stride=SIZES, data=st.data())
def test_each_element_is_inside_where_a_walk_over_the_windows_finds_it(pixels, size, stride, data):
    windows = len(range(0, pixels, stride))
    slide = Slide(pixels, windows, size, stride)
    first = data.draw(st.integers(0, windows - 1))
    some = slice(first, data.draw(st.integers(first + 1, windows)))
    for element in range(size):
        found = {}
        for window in range(some.start, some.stop):
            pixel = window * stride + element - slide.margins[0]
            if 0 <= pixel < pixels:
                found[window - first] = pixel
        counted, lie_on = slide.inside(element, some)
        assert list(range(windows)[counted]) == list(found)
        assert list(range(pixels)[lie_on]) == list(found.values())


@given(
    pixels=SIZES,
    size=st.integers(1, 4),
    stride=SIZES,
    dilation=st.integers(1, 4),
    before=st.integers(0, 9),
    after=st.integers(0, 9),
)
def test_each_element_is_inside_where_it_is_in_an_image_with_margins(pixels, size, stride, dilation, before, after):
    reach = (size - 1) * dilation + 1
    starts = [start for start in range(-before, pixels + after, stride) if start + reach <= pixels + after]
    padding = ((before, after), (0, 0))
    if not starts:
        with pytest.raises(og.ShapeError, match="exceeds image"):
            count_windows((pixels, 1), (size, 1), (stride, 1), padding, (dilation, 1))
        return
    assert count_windows((pixels, 1), (size, 1), (stride, 1), padding, (dilation, 1)) == (len(starts), 1)
    slide = Slide(pixels, len(starts), size, stride, dilation, before)
    assert slide.margins == (before, max(starts[-1] + reach - pixels, 0))
    for element in range(size):
        found = [(i, start + element * dilation) for i, start in enumerate(starts)]
        found = [(i, pixel) for i, pixel in found if 0 <= pixel < pixels]
        windows, lie_on = slide.inside(element, slice(0, len(starts)))
        assert list(zip(range(len(starts))[windows], range(pixels)[lie_on], strict=True)) == found


@given(
    windows=SIZES,
    size=st.integers(1, 4),
    stride=SIZES,
    dilation=st.integers(1, 3),
    padding=st.sampled_from(["SAME", "VALID"]) | st.integers(0, 5),
)
def test_possible_pixels_are_those_that_have_so_many_windows(windows, size, stride, dilation, padding):
    margins = as_padding(padding)

    def has_so_many(pixels):
        try:
            return count_windows((pixels, 99), (size, 1), (stride, 1), margins, (dilation, 1))[0] == windows
        except og.ShapeError:
            return False

    heights, _ = possible_pixels((windows, 1), (size, 1), (stride, 1), margins, (dilation, 1))
    assert list(heights) == [pixels for pixels in range(100) if has_so_many(pixels)]


def test_possible_pixels_are_unknown_where_they_depend_on_an_unknown_size():
    assert possible_pixels((None, 3), (2, None), (1, 1), "VALID") == (None, None)
    assert possible_pixels((None, 3), (2, None), (1, 2), "SAME") == (None, range(5, 7))


@given(pixels=SIZES, size=st.integers(1, 20), stride=SIZES, dilation=st.integers(1, 3))
def test_elements_left_out_are_inside_in_no_window(pixels, size, stride, dilation):
    windows = len(range(0, pixels, stride))
    slide = Slide(pixels, windows, size, stride, dilation)
    inside = [i for i in range(size) if slide.inside(i, slice(0, windows))[0] != slice(0)]
    assert set(inside) <= set(slide.elements)
    assert len(slide.elements) <= pixels + (windows - 1) * stride


def test_a_window_may_be_far_larger_than_the_image():
    image = np.arange(12.0).reshape(1, 3, 4, 1)
    for size in (2**31, 2**40):
        for pool, wanted in [(opgraph_vision.avgpool2d, 5.5), (opgraph_vision.maxpool2d, 11.0)]:
            pooled = pool(image, (size, 2**20), strides=(3, 4), padding="SAME")
            assert og.RunTime().run(pooled).ravel().tolist() == [wanted]
