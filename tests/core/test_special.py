"""The error function and its complement against the math module."""

import math

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_grads

# every part of the approximation, and both sides of where two meet
AT = np.concatenate(
    [
        np.linspace(-29.0, 29.0, 2901),
        np.linspace(-4.0, 4.0, 4001),
        np.array([e * s for e in (0.25, 0.75, 1.5, 3.0, 28.0) for s in (1, -1, 1 - 1e-16, 1 + 3e-16, -1 + 1e-16)]),
        np.array([0.0, -0.0, 5e-324, -1e-310, 1e-200, 1e-17, 1e-8, math.inf, -math.inf, 1e300, -1e300]),
    ]
)


def run(*nodes, feeds=None):
    return og.RunTime().run(list(nodes), feeds)


# the bounds leave room for the C library's own error, up to 1 and 5 units
@pytest.mark.parametrize(("name", "exact", "ulps"), [("erf", math.erf, 2), ("erfc", math.erfc, 5)])
def test_values_agree_with_the_math_module_to_some_units_in_the_last_place(name, exact, ulps):
    (found,) = run(getattr(og, name)(AT))
    expected = np.array([exact(x) for x in AT])
    # where floats lose digits on their way to 0, so do products of them
    expected[np.abs(expected) < 2.3e-308] = found[np.abs(expected) < 2.3e-308]
    np.testing.assert_array_max_ulp(found, expected, ulps)


def test_values_agree_with_the_published_ones():
    # Abramowitz and Stegun, table 7.1
    (found,) = run(og.erf(np.array([0.1, 0.5, 1.0, 1.5, 2.0])))
    np.testing.assert_allclose(
        found, [0.1124629160, 0.5204998778, 0.8427007929, 0.9661051465, 0.9953222650], atol=5e-11
    )


def test_tiny_results_of_erfc_fade_into_0():
    x = np.array([26.0, 26.5, 27.0, 27.3, 28.0, 30.0])
    np.testing.assert_allclose(run(og.erfc(x))[0], [math.erfc(t) for t in x], rtol=1e-13, atol=1e-323)


def test_special_values_keep_their_signs_and_nan():
    at = np.array([math.inf, -math.inf, math.nan, 0.0, -0.0])
    erf, erfc = run(og.erf(at), og.erfc(at))
    np.testing.assert_array_equal(erf, [1.0, -1.0, math.nan, 0.0, 0.0])
    assert np.signbit(erf[3:]).tolist() == [False, True]
    np.testing.assert_array_equal(erfc, [0.0, 2.0, math.nan, 1.0, 1.0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_floats_are_rounded_once(dtype):
    at = np.linspace(-5.0, 5.0, 1001).astype(dtype)
    for function, exact in ((og.erf, math.erf), (og.erfc, math.erfc)):
        (found,) = run(function(at))
        assert found.dtype == dtype
        expected = np.array([exact(float(x)) for x in at]).astype(dtype)
        np.testing.assert_array_max_ulp(found, expected, 1)
        assert np.mean(found == expected) > 0.999


def test_values_are_the_same_in_any_layout_and_across_blocks():
    at = np.linspace(-6.0, 6.0, 3 * 5000).reshape(3, 5000)
    x = og.placeholder((None, None), dtype=np.float64)
    plain, turned = run(og.erf(x), og.erf(x.T), feeds={x: at})
    np.testing.assert_array_equal(plain, turned.T)
    expected = np.array([math.erf(t) for t in at.ravel()]).reshape(at.shape)
    np.testing.assert_array_max_ulp(plain, expected, 2)


@pytest.mark.parametrize("name", ["erf", "erfc"])
def test_gradients_are_right_to_third_order_and_vanish_far_out(name):
    x = og.placeholder((None,), dtype=np.float64)
    y = getattr(og, name)(x)
    check_grads(y, x, {x: [-1.2, 0.3, 0.8, 2.0]}, order=3)
    first = og.grad(y, x)
    for gradient in run(first, og.grad(first, x), feeds={x: [1e200, -40.0]}):
        assert gradient.tolist() == [0.0, 0.0]


def test_integers_become_floats_and_complex_numbers_are_refused():
    assert og.erf(np.array([1, 2])).dtype == np.float32
    with pytest.raises(og.DtypeError, match="erf: takes no complex numbers"):
        og.erf(1j)
