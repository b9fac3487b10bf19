"""What the strategies draw is what they say, and the cases that catch bugs are among it."""

import hypothesis
import numpy as np
import pytest
from hypothesis import find, given

import opgraph as og
from opgraph.testing import strategies
from opgraph.testing.case import Case
from opgraph.testing.thorough import nearby_cases

quick = hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
searching = hypothesis.settings(max_examples=5000, deadline=None, derandomize=True, database=None)


@quick
@given(strategies.broadcastable(3))
def test_broadcastable_shapes_broadcast(shapes):
    assert len(shapes) == 3
    np.broadcast_shapes(*shapes)


@quick
@given(strategies.distinct_shapes(3))
def test_distinct_shapes_have_no_two_equal_sizes(shape):
    assert len(set(shape)) == 3
    assert min(shape) > 1


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128", "int8", "uint8", "bool"])
def test_arrays_have_their_spec_and_keep_away_from_kinks(dtype):
    spec = og.Spec(og.Shape((2, None)), np.dtype(dtype))

    @quick
    @given(strategies.arrays(spec, low=-3.0, high=3.0, away_from=(0.0, 1.0)))
    def check(array):
        assert array.dtype == dtype
        assert array.shape[0] == 2
        assert array.ndim == 2
        if array.dtype.kind == "f":
            assert np.all(np.abs(array) < 3.0)
            assert np.all(np.abs(array) >= 0.05 - 1e-3)  # as a float16 has it
            assert np.all(np.abs(array - 1) >= 0.05 - 1e-3)
        elif array.dtype.kind in "iu":
            assert np.all(np.abs(array.astype(int)) < 3)

    check()


def test_special_values_are_drawn_where_wanted():
    spec = og.Spec(og.Shape((1,)), np.dtype(np.float64))
    assert np.isnan(find(strategies.arrays(spec, special=True), lambda a: np.isnan(a[0]), settings=searching))
    negative_zero = find(strategies.arrays(spec, special=True), lambda a: str(a[0]) == "-0.0", settings=searching)
    assert np.signbit(negative_zero)


@quick
@given(strategies.axes(3), strategies.axes(3, valid=False))
def test_axes_are_valid_or_not_as_asked(valid, invalid):
    np.lib.array_utils.normalize_axis_tuple(valid, 3)
    with pytest.raises(ValueError, match="axis"):  # AxisError, and one for a repeated axis
        np.lib.array_utils.normalize_axis_tuple(invalid, 3)


def test_axes_of_a_scalar_are_none_or_wrong():
    assert find(strategies.axes(0), lambda axes: True) == ()
    assert find(strategies.axes(0, valid=False), lambda axes: True) in {(0,), (-1,)}


@quick
@given(strategies.convolutions())
def test_windows_fit_into_padded_images(drawn):
    if drawn.padding != "SAME":
        padding = ((0, 0), (0, 0)) if drawn.padding == "VALID" else drawn.padding
        for size, span, added in zip(drawn.images[1:3], drawn.window, padding, strict=True):
            assert span <= size + sum(added)
    assert drawn.kernel[2] == drawn.images[3]


@pytest.mark.parametrize(
    "wanted",
    [
        lambda c: c.kernel[0] != c.kernel[1] and c.strides[0] != c.strides[1] and c.dilations[0] != c.dilations[1],
        lambda c: isinstance(c.padding, tuple) and c.padding[0][0] != c.padding[0][1] and c.padding[0] != c.padding[1],
        lambda c: c.strides[0] > c.window[0],
        lambda c: c.images[0] == 0,
        lambda c: c.images[1] == 0 or c.images[2] == 0,
        lambda c: c.padding == "VALID" and c.window == c.images[1:3] != (1, 1),
    ],
    ids=["nothing square", "asymmetric", "pixels skipped", "no images", "empty images", "one window"],
)
def test_adversarial_convolutions_are_drawn(wanted):
    find(strategies.convolutions(), wanted, settings=searching)


def test_cases_near_a_sample_are_valid_and_keep_their_domain():
    sample = og.Sample((np.array([[0.5, 0.9, 0.1], [0.2, 0.3, 0.7]]), np.array([0.4, 0.6, 0.8])))

    class Logs(og.Elementwise, name="tests.logs"):
        """Take log x + log y."""

        inputs = ("x", "y")
        info = og.OpInfo(domain=(0.0, 1.0), kinks=(0.5,))

        def compute(self, ins, outs):
            np.add(np.log(ins[0]), np.log(ins[1]), out=outs[0])

    seen = set()

    @quick
    @given(nearby_cases(Case.of(Logs, sample, "0")))
    def check(case):
        x, y = case.inputs
        seen.add(x.shape)
        assert x.shape[1] == y.shape[0]
        assert all(np.all((a > 0) & (a < 1)) for a in (x, y))

    check()
    assert len(seen) > 3
