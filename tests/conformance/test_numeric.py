"""Numerical derivatives, how far they trust themselves, and the rule that judges by them."""

import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opgraph.testing.numeric import (
    Derivative,
    derivative_along,
    numerical_gradient,
    numerical_jacobian,
    steady_sides,
)
from opgraph.testing.patterns import guess
from opgraph.testing.verdict import judge


def derivative(f, at, domain=(-math.inf, math.inf)):
    """Return the derivative of a function of one number, and the error that it claims."""
    value, error, _ = numerical_gradient(lambda x: float(f(x[0])), np.array([at]), domain)
    return float(value[0]), float(error[0])


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1.0, 1e30, 1e150])
@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda u: u, lambda u: 1.0),
        (np.sin, np.cos),
        (np.exp, np.exp),
        (lambda u: u * u, lambda u: 2 * u),
        (np.arctan, lambda u: 1 / (1 + u * u)),
    ],
    ids=["identity", "sine", "exponential", "square", "arctangent"],
)
def test_the_scale_of_the_input_does_not_matter(f, slope, scale):
    value, error = derivative(lambda x: f(x / scale), 0.7 * scale)
    assert abs(value * scale - slope(0.7)) <= 4 * error * scale + 1e-12
    assert error * scale <= 1e-9


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_the_scale_of_the_values_does_not_matter(scale):
    value, error = derivative(lambda x: scale * math.sin(x), 0.7)
    assert abs(value / scale - math.cos(0.7)) <= 4 * error / scale + 1e-12
    assert error <= 1e-9 * scale


def test_differences_of_values_near_the_largest_float_do_not_overflow():
    value, error = derivative(lambda x: 1e308 * x, 1.5)
    assert abs(value / 1e308 - 1.0) <= 1e-9
    assert error < 1e300


@pytest.mark.parametrize("at", [0.0, 5e-324, -1e-310, 1e-300])
def test_what_is_too_small_for_steps_of_its_size_has_those_of_zero(at):
    value, error = derivative(lambda x: 3 * x + 2, at)
    assert abs(value - 3) <= 4 * error + 1e-12
    assert error <= 1e-9
    found = numerical_jacobian(np.sin, np.array([at, 1e-3]))
    np.testing.assert_allclose(found.value, np.diag(np.cos([at, 1e-3])), rtol=1e-9)


@pytest.mark.parametrize("distance", [1e-2, 1e-5, 1e-9])
@pytest.mark.parametrize("declared", [False, True])
def test_steps_shrink_into_the_domain(distance, declared):
    domain = (0.0, math.inf) if declared else (-math.inf, math.inf)

    def f(x):
        assert x > 0 or not declared
        return math.log(x) if x > 0 else math.nan

    value, error = derivative(f, distance, domain)
    assert abs(value * distance - 1.0) <= 4 * error * distance + 1e-10
    assert error * distance <= 1e-3


def test_each_element_has_the_ladder_that_suits_it():
    x = np.array([1e-6, 1e6])
    found = numerical_jacobian(lambda v: np.log(v), x, (0.0, math.inf))
    np.testing.assert_allclose(found.value, np.diag(1 / x), rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize("distance", [0.3, 1e-2, 1e-3, 1e-4])
def test_a_kink_nearby_does_not_show(distance):
    value, error = derivative(lambda x: max(x, 0.0), distance)
    assert (value, error < 1e-6) == (pytest.approx(1.0, abs=1e-9), True)


@pytest.mark.parametrize("f", [lambda x: 1e-3 * math.sin(1e9 * x) + x, lambda x: x + 1e-2 * math.sin(1e13 * x)])
def test_noise_is_not_trusted(f):
    found = [derivative(f, at) for at in np.random.default_rng(0).uniform(0.2, 2.0, 40)]
    assert all(error > 1e-3 * abs(value) for value, error in found)


@pytest.mark.parametrize("frequency", [1e3, 2e3 * math.pi, 1e5])
def test_ripples_are_seen_even_where_steps_are_multiples_of_their_period(frequency):
    for at in np.random.default_rng(0).uniform(0.2, 2.0, 40):
        value, error = derivative(lambda x: x + 1e-3 * math.sin(frequency * x), at)
        truth = 1 + 1e-3 * frequency * math.cos(frequency * at)
        assert abs(value - truth) <= 4 * error + 1e-7 * abs(truth)


@given(st.floats(-3, 3), st.lists(st.floats(-5, 5), min_size=1, max_size=6))
@example(5e-324, [0.0])
@settings(max_examples=100, deadline=None)
def test_polynomials_are_differentiated_within_the_claimed_error(at, coefficients):
    polynomial = np.polynomial.Polynomial(coefficients)
    value, error = derivative(polynomial, at)
    truth = polynomial.deriv()(at)
    assert abs(value - truth) <= 4 * error + 1e-12 * sum(map(abs, coefficients)) * 4.0**6


def test_cancellation_is_part_of_the_error():
    value, error = derivative(lambda x: (1e8 + x) - 1e8, 0.5)
    assert abs(value - 1.0) <= 4 * error
    assert error > 1e-9


def test_what_is_nowhere_finite_has_no_derivative():
    value, error = derivative(lambda x: math.nan, 1.0)
    assert math.isnan(value)
    assert error == math.inf


def test_an_input_without_elements_has_an_empty_jacobian():
    found = numerical_jacobian(lambda x: np.zeros(3), np.zeros((0, 2)))
    assert [part.shape for part in found] == [(3, 0, 2)] * 3


def test_sums_of_large_terms_are_as_rough_as_these():
    exact = derivative_along(lambda t: np.array([t]), [1.0])
    rough = derivative_along(lambda t: np.array([t]), [1.0], rounding=1e-6)
    assert exact.error[0] < 1e-14
    assert rough.error[0] > 1e-7


@pytest.mark.parametrize(
    ("f", "left", "right", "kind"),
    [
        (abs, -1.0, 1.0, "kink"),
        (lambda t: max(2 * t, 0.0), 0.0, 2.0, "kink"),
        (math.floor, 0.0, 0.0, "jump"),
        (lambda t: t + (t > 0), 1.0, 1.0, "jump"),
        (math.exp, 1.0, 1.0, "smooth"),
        (lambda t: math.sqrt(t) if t >= 0 else math.nan, math.nan, None, "unknown"),
        (lambda t: np.float32(math.cos(1.1 + t)), math.nan, None, "unknown"),  # as rough as float32
    ],
)
def test_the_two_sides_of_a_point_tell_smooth_kink_and_jump(f, left, right, kind):
    sides = steady_sides(lambda t: np.array([float(f(t))]), 1.0)
    assert sides.kind(0) == kind
    assert sides.left[0] == pytest.approx(left, abs=1e-6, nan_ok=True)
    if right is not None:
        assert sides.right[0] == pytest.approx(right, abs=1e-6)


def numeric(value, error=0.0, noise=0.0):
    value = np.array(value, np.float64)
    return Derivative(value, np.broadcast_to(error, value.shape), np.broadcast_to(noise, value.shape))


@pytest.mark.parametrize(
    ("analytic", "found", "verdict"),
    [
        ([1.0], numeric([1.0 + 5e-8]), None),
        ([1.0], numeric([1.0 + 2e-7]), "wrong"),
        ([1.0], numeric([1.0 + 3e-6], 1e-6), None),
        ([1.0], numeric([1.0 + 5e-6], 1e-6), "wrong"),
        ([1.0], numeric([1.0], 2e-3), "inconclusive"),
        ([1e-9], numeric([0.0]), "wrong"),  # there is no absolute floor
        ([1e-9, 1e4], numeric([0.0, 1e4]), None),  # but one that is relative to the largest
        ([1e-300], numeric([2e-300]), "wrong"),
        ([1e300], numeric([2e300]), "wrong"),
        ([0.0], numeric([1e-16], 1e-15, 1e-16), None),  # rounding in what is zero
        ([0.0], numeric([1e-16], 1e-6, 1e-16), "inconclusive"),
        ([np.nan], numeric([1.0]), "wrong"),
        ([np.inf], numeric([1.0]), "wrong"),
        ([1.0], numeric([np.nan], np.inf), "inconclusive"),
        ([np.nan], numeric([np.nan], np.inf), "inconclusive"),
    ],
)
def test_the_verdict_keeps_to_its_rule(analytic, found, verdict):
    finding = judge(np.array(analytic), found)
    assert (finding and finding.kind) == verdict


def test_nan_is_right_only_where_it_is_declared_and_there_is_no_derivative():
    nan = np.array([np.nan])
    assert judge(nan, numeric([np.nan], np.inf), nan_is_right=True) is None
    assert judge(nan, numeric([1.0]), nan_is_right=True).kind == "wrong"


def test_a_finding_points_at_the_worst_place():
    finding = judge(np.array([[1.0, 2.0, 3.5], [1.0, 2.0, 3.0]]), numeric([[1.0, 2.1, 3.0], [1.0, 2.0, 3.0]]))
    assert (finding.index, finding.analytic, finding.numeric, finding.count) == ((0, 2), 3.5, 3.0, 2)


N = np.random.default_rng(0).normal(size=(6, 4, 3)) + 3.0
BORDER = np.ones((4, 3))
BORDER[0] = 0.5
SMALL = np.where(np.arange(4)[:, None] == 2, 0.0, N)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (-N, "sign"),
        (2 * N, "factor of 2"),
        (N / 3, r"factor of 1/3 \(1 / size 3\)"),
        (N * 12, r"factor of 12 \(size 4 × size 3\)"),
        (N * math.log(2), "ln 2"),
        (np.zeros_like(N), "zero throughout"),
        (np.roll(N, 1, 1), "shifted by 1 along axis 0"),
        (N[:, :, ::-1], "reversed along axis 1"),
        (N.transpose(0, 2, 1).reshape(N.shape), "transposed"),
        (np.broadcast_to(N.sum(2, keepdims=True), N.shape), "summed over axis 1"),
        (np.broadcast_to(N.mean(1, keepdims=True), N.shape), "averaged over axis 0"),
        (N * BORDER, r"only at the border: the first along axis 0 \(a constant factor of 1/2\)"),
        (N * np.array([1.0, 2.0, 3.0]), "differs by element of the input"),
        (N * np.arange(1.0, 7.0)[:, None, None], "differs by element of the output"),
        (SMALL, "only at index 2 of axis 0"),
        (np.where(N > 4, np.nan, N), "not finite"),
    ],
)
def test_patterns_are_recognised(found, words):
    assert re.search(words, guess(np.asarray(found), N)), guess(np.asarray(found), N)


def test_patterns_of_shapes_and_of_complex_numbers_are_recognised():
    assert "transposed" in guess(np.zeros((6, 3, 4)), N)
    assert "broadcast" in guess(np.zeros((6, 4)), N)
    parts = np.stack([N, 0.5 * N + 1], -1)
    assert "conjugate" in guess(parts * np.array([1.0, -1.0]), parts, (4, 3), parts=True)
    assert "imaginary part is lost" in guess(parts * np.array([1.0, 0.0]), parts, (4, 3), parts=True)


def test_what_is_right_has_no_pattern():
    assert guess(N, N) == ""
    assert guess(N * (1 + 1e-9), N) == ""
