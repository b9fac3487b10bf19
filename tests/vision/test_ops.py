"""Every op of opgraph-vision through its samples: values, gradients, dtypes, errors."""

import inspect

import numpy as np
import pytest
from op_samples import faults, is_small, op_classes, placeholders, samples

import opgraph as og
import opgraph_vision as vision
from opgraph.testing import check_grads

OPS = op_classes("vision")


@pytest.mark.parametrize("op_class", OPS)
def test_samples_are_of_every_kind_and_there_is_a_docstring(op_class):
    assert list(faults(op_class)) == []
    assert samples([op_class], valid=False)
    assert inspect.getdoc(op_class) != inspect.getdoc(og.Op)


@pytest.mark.parametrize(("op_class", "sample"), samples([op for op in OPS if op.info and op.info.reference]))
def test_values_agree_with_the_reference(op_class, sample):
    [found] = og.RunTime().run(list(og.apply_all(op_class(**sample.attrs), *sample.inputs)))
    expected = op_class.info.reference(*sample.inputs, **sample.attrs)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.untraced
@pytest.mark.parametrize("unknown", [False, True], ids=["known", "unknown"])
@pytest.mark.parametrize(("op_class", "sample"), samples(OPS, wanted=is_small))
def test_gradients_agree_with_finite_differences_through_second_order(op_class, sample, unknown):
    inputs = [np.asarray(x) for x in sample.inputs]
    nodes = placeholders(inputs, unknown)
    wrt = [node for node in nodes if node.dtype == np.float64]
    for y in og.apply_all(op_class(**sample.attrs), *nodes):
        check_grads(y, wrt, dict(zip(nodes, inputs, strict=True)))


@pytest.mark.untraced
# finite differences of complex numbers take four times as long, so a few samples must do
@pytest.mark.parametrize(
    ("op_class", "sample"), samples([op for op in OPS if op.info and op.info.multilinear], wanted=is_small)[::5]
)
def test_gradients_of_complex_numbers_agree_with_finite_differences(op_class, sample):
    inputs = [np.asarray(x) for x in sample.inputs]
    inputs = [x * (1 - 2j) + 1j if x.dtype == np.float64 else x for x in inputs]
    nodes = placeholders(inputs)
    wrt = [node for node in nodes if node.dtype == np.complex128]
    for y in og.apply_all(op_class(**sample.attrs), *nodes):
        check_grads(y, wrt, dict(zip(nodes, inputs, strict=True)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("op_class", "sample"), samples(OPS))
def test_narrow_floats_stay_narrow_in_values_and_gradients(op_class, sample, dtype):
    inputs = [x.astype(dtype) if x.dtype == np.float64 else x for x in map(np.asarray, sample.inputs)]
    nodes = placeholders(inputs)
    wrt = [node for node in nodes if node.dtype == dtype]
    y = og.apply_all(op_class(**sample.attrs), *nodes)[0]
    found = og.RunTime().run([y, *og.grad(y, wrt, unconnected="zeros")], dict(zip(nodes, inputs, strict=True)))
    assert [value.dtype for value in found] == [dtype] * len(found)
    assert [g.shape for g in found[1:]] == [node.shape for node in wrt]


@pytest.mark.parametrize(("op_class", "sample"), samples(OPS, valid=False))
def test_an_invalid_sample_raises_what_it_declares_when_the_node_is_made(op_class, sample):
    with pytest.raises(sample.raises) as caught:
        og.front_door(op_class)(*sample.inputs, **sample.attrs)
    assert op_class.short_name() in str(caught.value)
    assert "test_ops.py" in str(caught.value)


def test_the_typed_functions_are_those_that_opgraph_finds():
    for name in set(vision.__all__) - {"datasets"}:
        assert getattr(og, name) is getattr(vision, name), name
        assert name in dir(og)
