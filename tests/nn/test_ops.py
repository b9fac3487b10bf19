"""Every op of opgraph-nn through its samples: values, gradients, dtypes, errors."""

import inspect

import numpy as np
import pytest
from op_samples import faults, is_small, op_classes, placeholders, samples

import opgraph as og
import opgraph_nn as nn
from opgraph.testing import check_grads

OPS = op_classes("nn")


@pytest.mark.parametrize("op_class", OPS)
def test_samples_are_of_every_kind_and_there_is_a_docstring(op_class):
    assert list(faults(op_class)) == []
    assert samples([op_class], valid=False)
    assert inspect.getdoc(op_class) != inspect.getdoc(og.Op)


@pytest.mark.parametrize(("op_class", "sample"), samples([op for op in OPS if op.info]))
def test_values_agree_with_the_reference(op_class, sample):
    found = og.RunTime().run(list(og.apply_all(op_class(**sample.attrs), *sample.inputs)))
    expected = op_class.info.reference(*sample.inputs, **sample.attrs)
    for value, wanted in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
        assert value.dtype == np.asarray(wanted).dtype
        np.testing.assert_allclose(value, wanted, rtol=1e-13, atol=1e-14)


@pytest.mark.untraced
@pytest.mark.parametrize("unknown", [False, True], ids=["known", "unknown"])
@pytest.mark.parametrize(("op_class", "sample"), samples(OPS, wanted=is_small))
def test_gradients_agree_with_finite_differences_through_second_order(op_class, sample, unknown):
    inputs = [np.asarray(x) for x in sample.inputs]
    nodes = placeholders(inputs, unknown)
    wrt = [node for node in nodes if node.dtype == np.float64]
    for y in og.apply_all(op_class(**sample.attrs), *nodes):
        if og.is_differentiable(y.dtype) and wrt:
            check_grads(y, wrt, dict(zip(nodes, inputs, strict=True)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("op_class", "sample"), samples(OPS))
def test_narrow_floats_stay_narrow_in_values_and_gradients(op_class, sample, dtype):
    inputs = [x.astype(dtype) if x.dtype == np.float64 else x for x in map(np.asarray, sample.inputs)]
    nodes = placeholders(inputs)
    wrt = [node for node in nodes if node.dtype == dtype]
    if wrt:
        y = og.apply_all(op_class(**sample.attrs), *nodes)[0]
        found = og.RunTime().run([y, *og.grad(y, wrt, unconnected="zeros")], dict(zip(nodes, inputs, strict=True)))
        assert [value.dtype for value in found] == [dtype] * len(found)
        assert [g.shape for g in found[1:]] == [node.shape for node in wrt]


@pytest.mark.parametrize(("op_class", "sample"), samples(OPS, valid=False))
def test_an_invalid_sample_raises_what_it_declares_when_the_node_is_made(op_class, sample):
    with pytest.raises(sample.raises) as caught:
        og.apply_all(op_class(**sample.attrs), *[og.constant(x) for x in sample.inputs])
    assert op_class.short_name() in str(caught.value)
    assert "test_ops.py" in str(caught.value)


def test_the_typed_functions_are_those_that_opgraph_finds():
    for name in set(nn.__all__) - {"initializers", "layers", "learner", "optimizers"}:
        assert getattr(og, name) is getattr(nn, name), name
        assert name in dir(og)


def test_helpers_of_gradients_have_no_front_door():
    helpers = {name for name in og.registry.names("nn") if "._" in name}
    assert helpers == {
        "nn._step",
        "nn._dropout_mask",
        "nn._cross_entropy_gradient",
        "nn._sparse_cross_entropy_gradient",
    }
    names = {name.removeprefix("nn._") for name in helpers}
    assert not (names | {f"_{name}" for name in names}) & set(dir(og))
