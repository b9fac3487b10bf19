import math

import numpy as np
import pytest
from structures import after, ops

import opgraph as og
from opgraph.ops.arithmetic import Add, Subtract
from opgraph.passes.stabilize import stabilize

PLAIN = {"passes": ("simplify", "fold_constants", "eliminate_common", "prune")}


def stabilized(*fetches):
    return ops(after(stabilize, *fetches))


def run(fetch, feeds, **options):
    return og.RunTime(**options).run(fetch, feeds)


def exact(function, values):
    return [function(float(x)) for x in values]


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


VALUES = np.array([-1000.0, -40.0, -1e-20, 0.0, 1e-20, 0.5, 40.0, 1000.0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", [lambda a, b: a + b, lambda a, b: b + a])
def test_log_of_one_plus_x_keeps_small_digits(order, dtype):
    x = og.placeholder((None,), dtype=dtype)
    y = og.log(order(x, og.constant(np.array(1, dtype))))
    assert stabilized(y) == ["log1p"]
    small = np.array([1e-4, -1e-4, 0.5, -0.0], dtype)
    np.testing.assert_allclose(run(y, {x: small}), exact(math.log1p, small), rtol=4 * np.finfo(dtype).eps)
    assert np.isneginf(run(y, {x: np.array([-1], dtype)})[0])
    assert np.isnan(run(y, {x: np.array([-2], dtype)})[0])


@pytest.mark.parametrize(
    "build", [lambda x: og.log(1 + og.exp(x)), lambda x: og.log(og.exp(x) + 1), lambda x: og.log1p(og.exp(x))]
)
def test_log_of_one_plus_exp_does_not_overflow(build):
    x = og.placeholder((None,), dtype=np.float64)
    assert stabilized(build(x)) == ["logaddexp"]
    np.testing.assert_allclose(run(build(x), {x: VALUES}), exact(softplus, VALUES), rtol=1e-14)
    assert np.isinf(run(build(x), {x: VALUES}, **PLAIN)).any()


def test_log_of_a_sum_of_two_exponentials_does_not_overflow():
    x, y = og.placeholder((None, 1), dtype=np.float64), og.placeholder((2,), dtype=np.float64)
    z = og.log(og.exp(x) + og.exp(y))
    assert stabilized(z) == ["logaddexp"]
    found = run(z, {x: [[1000.0], [-1000.0]], y: [1000.0, -999.0]})
    np.testing.assert_allclose(found, [[1000 + math.log(2), 1000], [1000, -999 + softplus(-1)]], rtol=1e-14)


def test_log_of_exp_is_the_exponent():
    x = og.placeholder((None,), dtype=np.float64)
    assert stabilized(og.log(og.exp(x))) == []
    assert run(og.log(og.exp(x)), {x: VALUES}).tolist() == VALUES.tolist()


@pytest.mark.parametrize("axes", [None, 0, (1,), (0, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_log_of_a_sum_of_exponentials_does_not_overflow(axes, keepdims):
    x = og.placeholder((None, 3, 4), dtype=np.float64)
    y = og.log(og.reduce_sum(og.exp(x), axes, keepdims))
    assert stabilized(y) == ["reduce_logsumexp"]
    values = np.random.default_rng(0).normal(size=(2, 3, 4))
    expected = np.log(np.exp(values).sum(axes, keepdims=keepdims))
    np.testing.assert_allclose(run(y, {x: values}), expected, rtol=1e-12)
    np.testing.assert_allclose(run(y, {x: values + 1000}), expected + 1000, rtol=1e-12)


@pytest.mark.parametrize(("axes", "keepdims"), [(None, False), (1, False), (1, True), ((0, 2), False)])
@pytest.mark.parametrize("shape", [(None, 3, 4), (2, 3, 4)])
def test_the_gradient_of_log_of_a_sum_of_exponentials_does_not_overflow(shape, axes, keepdims):
    x = og.placeholder(shape, dtype=np.float64)
    y = og.log(og.reduce_sum(og.exp(x), axes, keepdims))
    weights = og.constant(np.arange(1.0, 5.0)) if keepdims is False and axes == 1 else og.constant(2.0)
    g = og.grad(og.reduce_sum(y * weights), x)
    values = np.random.default_rng(0).normal(size=(2, 3, 4))
    moderate = run(g, {x: values}, **PLAIN)
    np.testing.assert_allclose(run(g, {x: values}), moderate, rtol=1e-12)
    np.testing.assert_allclose(run(g, {x: values + 1000}), moderate, rtol=1e-10)
    assert np.isnan(run(g, {x: values + 1000}, **PLAIN)).any()


def test_what_was_shifted_by_hand_is_left_alone():
    x = og.placeholder((None, 3), dtype=np.float64)
    top = og.stop_gradient(og.reduce_max(x, 1, keepdims=True))
    y = og.log(og.reduce_sum(og.exp(x - top), 1)) + og.squeeze(top, 1)
    assert "reduce_logsumexp" not in stabilized(y)
    other = og.log(og.reduce_sum(og.exp(x - og.reduce_max(x * x, 1, keepdims=True)), 1))
    assert "reduce_logsumexp" in stabilized(other)


@pytest.mark.parametrize(
    "build", [lambda x: og.exp(x) - 1, lambda x: og.exp(x) + -1, lambda x: -1 + og.exp(x)], ids=["-1", "+-1", "-1+"]
)
def test_exp_less_one_keeps_small_digits(build):
    x = og.placeholder((None,), dtype=np.float64)
    assert stabilized(build(x)) == ["expm1"]
    small = np.array([1e-20, -1e-12, 0.5, -800.0])
    np.testing.assert_allclose(run(build(x), {x: small}), exact(math.expm1, small), rtol=1e-15)


@pytest.mark.parametrize(
    "build",
    [
        lambda x: 1 - og.exp(x),
        lambda x: og.exp(x) + 1,
        lambda x: og.exp(x) - 2,
        lambda x: og.log(x + 2),
        lambda x: og.log(x - 1),
        lambda x: og.log2(og.exp(x)),
        lambda x: og.log(og.reduce_sum(x)),
        lambda x: og.log(og.reduce_mean(og.exp(x))),
        lambda x: og.log(x + np.ones((2, 1), np.float32)),
    ],
)
def test_other_formulas_stay(build):
    x = og.placeholder((None,))
    assert stabilized(build(x)) == ops(after(lambda structure: structure, build(x)))


def test_complex_numbers_stay_as_they_are_written():
    z = og.placeholder((None,), dtype=np.complex128)
    fetches = [og.log(1 + z), og.log(og.exp(z)), og.log(og.reduce_sum(og.exp(z))), og.exp(z) - 1]
    assert stabilized(*fetches) == ops(after(lambda structure: structure, *fetches))


def test_intermediates_that_are_fetched_stay_as_they_are():
    x = og.placeholder((None,), dtype=np.float64)
    powers = og.exp(x)
    y = og.log(powers + 1)
    assert stabilized(y, powers) == ["exp", "logaddexp"]
    found = og.RunTime().run([y, powers], {x: [0.5]})
    np.testing.assert_allclose(found, [[softplus(0.5)], [math.exp(0.5)]], rtol=1e-15)


class Halved(og.Elementwise, name="teststable.halved"):
    """x / 2, whose double is x."""

    wrong: str = ""

    def compute(self, ins, outs):
        np.divide(ins[0], 2, out=outs[0])

    def read_by(self, reader):
        if reader.name != "core.exp":
            return None
        return {
            "": lambda x: og.tanh(og.sin(x)),
            "raises": lambda x: 1 / 0,
            "dtype": lambda x: og.cast(x, np.float16),
            "nothing": lambda x: None,
            "key": lambda x: og.random_normal(like=x),
            "itself": lambda x: og.exp(og.apply(self, x)),
            "outputs": lambda x: og.concat(og.split(x, 2)[::-1], 0),
            "refuses": lambda x: x @ og.constant(np.ones(5, np.float32)),
            "typo": lambda x: og.tahn(x),
        }[self.wrong]


def test_an_op_says_what_it_amounts_to_under_another():
    x = og.placeholder((2,))
    assert stabilized(og.exp(og.apply(Halved(), x))) == ["sin", "tanh"]
    assert stabilized(og.log(og.apply(Halved(), x))) == ["teststable.halved", "log"]
    assert stabilized(og.exp(og.apply(Halved("outputs"), x))) == ["split", "concat"]
    assert run(og.exp(og.apply(Halved("outputs"), x)), {x: [1.0, 2.0]}).tolist() == [2.0, 1.0]
    assert stabilized(og.exp(og.apply(Halved("refuses"), x))) == ["teststable.halved", "exp"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("raises", "its read_by, asked about exp, raised ZeroDivisionError: division by zero"),
        ("unheard of", "its read_by, asked about exp, raised KeyError: 'unheard of'"),
        ("typo", "its read_by, asked about exp, raised UnknownOpError: .*'tahn'"),
        ("dtype", r"its read_by, asked about exp, gave \(2,\) float16 in the place of \(2,\) float32"),
        ("nothing", "its read_by, asked about exp, returned a function that gave None, not a node"),
        ("key", "its read_by, asked about exp, returned a function that draws random numbers or uses variables"),
        ("itself", "its read_by, asked about exp, found something to do 32 times in a row"),
    ],
)
def test_a_rewrite_that_is_wrong_or_never_ends_is_named(wrong, message):
    x = og.placeholder((2,))
    y = og.exp(og.apply(Halved(wrong), x))
    with pytest.raises(og.KernelError, match=f"teststable.halved: {message}") as caught:
        og.RunTime().compile([x], [y])
    assert "y = og.exp(og.apply(Halved(wrong), x))" in str(caught.value)
    og.RunTime(passes=()).compile([x], [y])


def test_formulas_of_mixed_dtypes_stay():
    x, one = og.placeholder((None,), np.float32), og.constant(1.0, np.float64)
    formulas = [
        og.log(og.apply(Add(), one, x)),
        og.log(og.apply(Add(), og.exp(x), og.exp(one))),
        og.apply(Subtract(), og.exp(x), one),
    ]
    assert stabilized(*formulas) == ops(after(lambda structure: structure, *formulas))
    values = np.array([0.5, 2.0], np.float32)
    found = og.RunTime().compile([x], formulas)(values)
    powers = np.exp(values).astype(np.float64)
    expected = [np.log(1 + values.astype(np.float64)), np.log(powers + np.e), powers - 1]
    for each, wanted in zip(found, expected, strict=True):
        assert each.dtype == np.float64
        np.testing.assert_allclose(each, wanted, rtol=1e-12)


def test_what_flows_into_a_sum_of_exponentials_may_have_more_elements_than_it():
    x, g = og.placeholder((None, 3), np.float64), og.placeholder((None,), np.float64)
    powers = og.exp(x)
    y = powers * og.expand_dims(g / og.reduce_sum(powers, 1), 1)
    found = run(y, {x: np.zeros((1, 3)), g: np.arange(4.0)})
    np.testing.assert_allclose(found, np.arange(4.0)[:, None] / 3 * np.ones((1, 3)), rtol=1e-12)
