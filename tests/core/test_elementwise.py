"""Exponentials, logarithms and roots; and what every elementwise op of the core promises."""

import inspect
import math

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_grads

ELEMENTWISE = [
    op
    for op in map(og.registry.get, og.registry.names("core"))
    if inspect.isclass(op) and issubclass(op, og.Elementwise)
]
SAMPLES = [
    pytest.param(op_class, sample, id=f"{op_class.name}-{sample.id or i}")
    for op_class in ELEMENTWISE
    for i, sample in enumerate(op_class.samples(np.random.default_rng(0)))
    if sample.raises is None
]


def run(*nodes, feeds=None):
    return og.RunTime().run(list(nodes), feeds)


def computed(op, ins, outs):
    """Fill `outs` as a plan does."""
    scratch = op.scratch(*(tuple(og.Spec(a.shape, a.dtype) for a in arrays) for arrays in (ins, outs)))
    work = (tuple(np.empty(s.shape, s.dtype) for s in scratch),) if scratch else ()
    with np.errstate(all="ignore"):
        op.compute(ins, outs, *work)
    return outs


def garbage(op, ins):
    """Return outputs that hold garbage, for inputs of which some may not broadcast to all of them."""
    specs = op.infer(tuple(og.Spec(x.shape, x.dtype) for x in ins))
    return tuple(np.full(s.shape, 99, s.dtype) for s in specs)


@pytest.mark.parametrize(("op_class", "sample"), SAMPLES)
def test_a_block_of_rows_is_computed_as_the_whole_is(op_class, sample):
    op, ins = op_class(**sample.attrs), tuple(np.asarray(x) for x in sample.inputs)
    whole = computed(op, ins, garbage(op, ins))
    ndim = whole[0].ndim
    if not ndim:
        return
    for rows in (slice(0, 1), slice(1, None)):
        # an input with all dimensions and more than one row is cut, others broadcast
        cut = tuple(x[rows] if x.ndim == ndim and x.shape[0] == whole[0].shape[0] > 1 else x for x in ins)
        block = tuple(np.full(y[rows].shape, 99, y.dtype) for y in whole)
        for part, y in zip(computed(op, cut, block), whole, strict=True):
            np.testing.assert_array_equal(part, y[rows])


@pytest.mark.parametrize(("op_class", "sample"), SAMPLES)
def test_strided_reversed_and_read_only_inputs_are_as_good_as_others(op_class, sample):
    op, ins = op_class(**sample.attrs), tuple(np.asarray(x) for x in sample.inputs)
    expected = computed(op, ins, garbage(op, ins))
    spread = []
    for x in ins:
        wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]) if x.ndim else (), x.dtype)
        view = wide[..., ::-2] if x.ndim else wide[...]
        view[...] = x
        view.flags.writeable = False
        spread.append(view)
    for found, y in zip(computed(op, tuple(spread), garbage(op, ins)), expected, strict=True):
        np.testing.assert_allclose(found, y, rtol=1e-14)


@pytest.mark.parametrize(("op_class", "sample"), [p for p in SAMPLES if p.values[0].inplace])
def test_an_op_that_says_so_may_write_into_any_of_its_inputs(op_class, sample):
    op, ins = op_class(**sample.attrs), tuple(np.asarray(x) for x in sample.inputs)
    expected = computed(op, ins, garbage(op, ins))
    for i, x in enumerate(ins):
        if (x.shape, x.dtype) == (expected[0].shape, expected[0].dtype):
            shared = x.copy()
            found = computed(op, (*ins[:i], shared, *ins[i + 1 :]), (shared,))
            np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("name", [op.short_name() for op in ELEMENTWISE if len(op.inputs) == 1 and op.floating])
def test_a_function_of_floats_gives_the_default_float_for_integers(name):
    assert getattr(og, name)(np.array([1, 2], np.int8)).dtype == np.float32
    assert getattr(og, name)(True).dtype == np.float32
    og.set_default_dtype(np.float64)
    assert getattr(og, name)(np.array([1, 2])).dtype == np.float64


@pytest.mark.parametrize(
    ("function", "at", "expected"),
    [
        (og.exp2, [-1.0, 0.0, 10.0], [0.5, 1.0, 1024.0]),
        (og.expm1, [1e-20, 0.0, -math.inf], [1e-20, 0.0, -1.0]),
        (og.log1p, [1e-20, 0.0, -1.0], [1e-20, 0.0, -math.inf]),
        (og.log2, [8.0, 1.0, 0.0], [3.0, 0.0, -math.inf]),
        (og.log10, [1000.0, 1.0, -1.0], [3.0, 0.0, math.nan]),
        (og.rsqrt, [4.0, 0.0, math.inf], [0.5, math.inf, 0.0]),
    ],
)
def test_values_at_the_edges(function, at, expected):
    np.testing.assert_allclose(run(function(np.array(at)))[0], expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("function", "derivative", "at"),
    [
        (og.exp2, lambda x: math.log(2) * 2**x, [-30.0, 0.0, 5.0]),
        (og.expm1, math.exp, [-300.0, 1e-10, 5.0]),
        (og.log1p, lambda x: 1 / (1 + x), [-0.999, 1e-10, 1e200]),
        (og.log2, lambda x: 1 / x / math.log(2), [1e-200, 1.0, 1e200]),
        (og.log10, lambda x: 1 / x / math.log(10), [1e-200, 1.0, 1e200]),
        (og.rsqrt, lambda x: -0.5 * x**-1.5, [1e-150, 1.0, 1e150]),
    ],
)
def test_derivatives_hold_far_out(function, derivative, at):
    x = og.placeholder((None,), dtype=np.float64)
    (found,) = run(og.grad(function(x), x), feeds={x: at})
    np.testing.assert_allclose(found, [derivative(t) for t in at], rtol=1e-14)


def test_the_gradient_of_a_base_10_logarithm_stays_in_the_range_of_float16():
    x = og.placeholder((1,), dtype=np.float16)
    (found,) = run(og.grad(og.log10(x), x), feeds={x: [30000.0]})
    np.testing.assert_allclose(found, [1.4477e-5], rtol=0.01)


def test_logaddexp_neither_overflows_nor_loses_the_smaller_term():
    x, y = og.placeholder((None,), dtype=np.float64), og.placeholder((None,), dtype=np.float64)
    data = {x: [1000.0, -1000.0, 0.0, -40.0], y: [1000.0, -1000.0, 1.0, 0.0]}
    found = run(og.logaddexp(x, y), *og.grad(og.logaddexp(x, y), [x, y]), feeds=data)
    np.testing.assert_allclose(found[0], [1000 + math.log(2), -1000 + math.log(2), 1.3132616875182228, 4.248354255e-18])
    np.testing.assert_allclose(found[1], [0.5, 0.5, 1 / (1 + math.e), math.exp(-40)], rtol=1e-13)
    np.testing.assert_allclose(found[2], [0.5, 0.5, math.e / (1 + math.e), 1.0], rtol=1e-13)


def test_logaddexp_of_infinities_has_finite_gradients():
    x, y = og.placeholder((None,)), og.placeholder((None,))
    inf = math.inf
    data = {x: [inf, -inf, inf, -inf, 0.0], y: [inf, -inf, 1.0, 1.0, inf]}
    gx, gy = og.grad(og.logaddexp(x, y), [x, y])
    first, other, second = run(gx, gy, og.grad(gx, x), feeds=data)
    assert first.tolist() == [0.5, 0.5, 1.0, 0.0, 0.0]
    assert other.tolist() == [0.5, 0.5, 0.0, 1.0, 1.0]
    assert second.tolist() == [0.0] * 5


def test_logaddexp_is_right_to_third_order_at_ties_and_far_from_them():
    x, y = og.placeholder((None,), dtype=np.float64), og.placeholder((None,), dtype=np.float64)
    check_grads(og.logaddexp(x, y), [x, y], {x: [0.5, 1.0, -2.0], y: [0.5, -1.0, 1.0]}, order=3)
    first = og.grad(og.logaddexp(x, y), x)
    second = og.grad(first, x)
    assert np.isfinite(run(second, og.grad(second, x), feeds={x: [800.0, -800.0], y: [0.0, 0.0]})).all()


def test_logaddexp_takes_no_complex_numbers():
    with pytest.raises(og.DtypeError, match="logaddexp: takes no complex numbers"):
        og.logaddexp(1j, 2.0)


@pytest.mark.parametrize("function", [og.exp, og.log, og.expm1, og.log1p, og.rsqrt], ids=lambda f: f.__name__)
def test_functions_are_right_to_third_order(function):
    x = og.placeholder((None,), dtype=np.float64)
    check_grads(function(x), x, {x: [0.5, 1.3, 2.0]}, order=3)
