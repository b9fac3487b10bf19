"""Every op of the core: values against NumPy, gradients against finite differences, through its samples."""

import inspect

import numpy as np
import pytest
from op_samples import faults, is_small, op_classes, placeholders, samples

import opgraph as og
from opgraph.testing import check_grads

CORE = op_classes("core")
EXACT = (np.dtype(np.float64), np.dtype(np.complex128))
NARROW = {np.dtype(np.float64): np.dtype(np.float32), np.dtype(np.complex128): np.dtype(np.complex64)}


def has_gradient(op_class, sample):
    """Whether the sample takes floats, or complex numbers, to such, not too many of them."""
    if not is_small(op_class, sample):
        return False
    inputs = [np.asarray(x) for x in sample.inputs]
    with og.Graph().as_default_graph():
        outputs = og.apply_all(op_class(**sample.attrs), *inputs)
    return any(y.dtype.kind in "fc" for y in outputs) and any(x.dtype in EXACT for x in inputs)


DIFFERENTIABLE = samples(CORE, wanted=has_gradient)
# an index that stands there twice takes a diagonal, whose matrix is square
SQUARE = {"core.einsum": {"trace", "diagonal"}, "core._einsum_like": {"diagonal", "diagonal repeated"}}


def test_every_op_from_floats_to_floats_has_a_gradient():
    assert [p.id for p in DIFFERENTIABLE if not p.values[0].has_vjp()] == []


@pytest.mark.parametrize("op_class", CORE)
def test_samples_are_of_every_kind_and_there_is_a_docstring(op_class):
    assert list(faults(op_class, equal_sizes=SQUARE.get(op_class.name, ()))) == []
    assert inspect.getdoc(op_class) != inspect.getdoc(og.Op)


@pytest.mark.parametrize(("op_class", "sample"), samples(CORE))
def test_values_agree_with_the_reference(op_class, sample):
    if op_class.info is None or op_class.info.reference is None:
        return  # its values are held against NumPy's below, or in a file of the family's own
    found = og.RunTime().run(list(og.apply_all(op_class(**sample.attrs), *sample.inputs)))
    expected = op_class.info.reference(*sample.inputs, **sample.attrs)
    for value, wanted in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
        assert value.dtype == np.asarray(wanted).dtype
        assert value.shape == np.shape(wanted)
        np.testing.assert_allclose(value, wanted, rtol=1e-13, atol=1e-14)


@pytest.mark.untraced
@pytest.mark.parametrize("unknown", [False, True], ids=["known", "unknown"])
@pytest.mark.parametrize(("op_class", "sample"), DIFFERENTIABLE)
def test_gradients_agree_with_finite_differences_through_second_order(op_class, sample, unknown):
    if op_class is og.registry.get("core.stop_gradient"):
        return  # its gradient is not that of its values, on purpose
    inputs = [np.asarray(x) for x in sample.inputs]
    nodes = placeholders(inputs, unknown)
    wrt = [node for node in nodes if node.dtype in EXACT]
    for y in og.apply_all(op_class(**sample.attrs), *nodes):
        if og.is_differentiable(y.dtype):
            check_grads(y, wrt, dict(zip(nodes, inputs, strict=True)), order=2)


@pytest.mark.parametrize(("op_class", "sample"), samples(CORE))
def test_narrow_floats_stay_narrow_in_values_and_gradients(op_class, sample):
    inputs = [np.asarray(x) for x in sample.inputs]
    inputs = [x.astype(NARROW.get(x.dtype, x.dtype)) for x in inputs]
    nodes = placeholders(inputs)
    attrs = {k: NARROW.get(np.dtype(v), v) if k == "dtype" else v for k, v in sample.attrs.items()}
    outputs = og.apply_all(op_class(**attrs), *nodes)
    assert not {y.dtype for y in outputs} & set(EXACT)
    wrt = [node for node in nodes if node.dtype in NARROW.values()]
    for y in outputs:
        if og.is_differentiable(y.dtype) and wrt:
            cotangent = og.broadcast_like(og.constant(1, y.dtype), y)
            gradients = og.grad(y, wrt, cotangent, unconnected="zeros")
            found = og.RunTime().run(gradients, dict(zip(nodes, inputs, strict=True)))
            assert [g.dtype for g in found] == [node.dtype for node in wrt]
            assert [g.shape for g in found] == [node.shape for node in wrt]


@pytest.mark.parametrize(("op_class", "sample"), samples(CORE, valid=False))
def test_an_invalid_sample_raises_what_it_declares_when_the_node_is_made(op_class, sample):
    with pytest.raises(sample.raises) as caught:
        og.apply_all(op_class(**sample.attrs), *[og.constant(x) for x in sample.inputs])
    assert op_class.short_name() in str(caught.value)
    assert "test_ops.py" in str(caught.value)


rng = np.random.default_rng(1)
A, B, V = rng.normal(size=(2, 3)), rng.uniform(0.5, 2.0, (2, 3)), rng.normal(size=(4, 1, 3))


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: og.add(A, V), A + V),
        (lambda: og.subtract(A, V), A - V),
        (lambda: og.multiply(A, V), A * V),
        (lambda: og.divide(V, B), V / B),
        (lambda: og.negative(A), -A),
        (lambda: og.exp(A), np.exp(A)),
        (lambda: og.log(B), np.log(B)),
        (lambda: og.tanh(A), np.tanh(A)),
        (lambda: og.sqrt(B), np.sqrt(B)),
        (lambda: og.cast(A, np.float32), A.astype(np.float32)),
        (lambda: og.cast(A * 10, np.int16), (A * 10).astype(np.int16)),
        (lambda: og.matmul(A, B.T), A @ B.T),
        (lambda: og.reduce_sum(V), V.sum()),
        (lambda: og.reduce_sum(V, 0), V.sum(0)),
        (lambda: og.reduce_sum(V, [-1, 0], keepdims=True), V.sum((-1, 0), keepdims=True)),
        (lambda: og.reduce_sum(V, ()), V),
        (lambda: og.reduce_mean(V, axis=np.int64(2)), V.mean(2)),
        (lambda: og.reduce_mean(V), V.mean()),
        (lambda: og.reshape(A, (3, -1)), A.reshape(3, -1)),
        (lambda: og.reshape(A, -1), A.reshape(-1)),
        (lambda: og.reshape(np.ones((2, 0)), (0, 7)), np.ones((0, 7))),
        (lambda: og.transpose(V), V.T),
        (lambda: og.transpose(V, (1, -1, 0)), V.transpose(1, 2, 0)),
        (lambda: og.expand_dims(A, 1), A[:, None]),
        (lambda: og.expand_dims(A, (0, -1)), A[None, ..., None]),
        (lambda: og.squeeze(V), V[:, 0]),
        (lambda: og.squeeze(V, 1), V[:, 0]),
        (lambda: og.sum_to(V, A[:1]), V.sum(0)),
        (lambda: og.sum_to(A, 0.0), A.sum()),
        (lambda: og.broadcast_like(A, np.zeros((5, 2, 3))), np.broadcast_to(A, (5, 2, 3))),
        (lambda: og.reshape_like(A, np.zeros((3, 2))), A.reshape(3, 2)),
        (lambda: og.count(V), np.float64(12)),
        (lambda: og.count(V, 0, dtype=np.int32), np.int32(4)),
    ],
)
def test_values_are_numpy_s(build, expected):
    value = og.RunTime().run(build())
    assert value.dtype == expected.dtype
    assert value.shape == expected.shape
    np.testing.assert_allclose(value, expected, rtol=1e-15 if value.dtype != np.float32 else 1e-7)


def test_integers_and_booleans_take_the_dtypes_that_users_expect():
    i, b = og.constant(np.array([1, 2, 3])), og.constant(np.array([True, False, True]))
    assert og.exp(i).dtype == np.float32
    assert og.divide(i, i).dtype == np.float32
    assert og.reduce_mean(b).dtype == np.float32
    assert og.reduce_sum(i).dtype == np.int64
    assert og.RunTime().run([og.reduce_sum(b), og.reduce_mean(b), i + b])[0] == 2
    with pytest.raises(og.DtypeError, match="booleans cannot be subtracted"):
        b - b
    with pytest.raises(og.DtypeError, match="booleans cannot be negated"):
        _ = -b


def test_the_mean_of_nothing_is_nan_and_its_sum_zero():
    x = og.placeholder((None, 3), dtype=np.float64)
    total, mean = og.RunTime().run([og.reduce_sum(x, 0), og.reduce_mean(x, 0)], {x: np.ones((0, 3))})
    assert total.tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(mean).all()


def test_unknown_sizes_follow_through_shape_ops():
    x = og.placeholder((None, 4, None))
    assert og.reshape(x, (-1, 2)).shape == (None, 2)
    assert og.transpose(x, (2, 0, 1)).shape == (None, None, 4)
    assert og.expand_dims(x, 1).shape == (None, 1, 4, None)
    assert og.reduce_sum(x, 2).shape == (None, 4)
    assert og.squeeze(x, 0).shape == (4, None)
    assert og.broadcast_like(og.placeholder((1, None)), x).shape == (None, 4, None)
    assert og.sum_to(x, og.placeholder((None, 1))).shape == (None, 1)
    with pytest.raises(og.ShapeError, match="4 does not divide 6"):
        og.reshape(x, (3, 2))
    with pytest.raises(og.ShapeError, match="cannot drop axis 1, whose size is 4"):
        og.squeeze(x, 1)


def test_a_gradient_sums_to_the_run_time_shape():
    a = og.placeholder((None, 3), dtype=np.float64)
    b = og.placeholder((None, None), dtype=np.float64)
    ga, gb = og.grad(a * b, [a, b])
    rt = og.RunTime()
    data = {a: np.arange(6.0).reshape(2, 3), b: np.array([[2.0, 3.0, 5.0]])}
    assert rt.run(gb, data).tolist() == [[3.0, 5.0, 7.0]]
    assert rt.run(ga, data).tolist() == [[2.0, 3.0, 5.0]] * 2
    data = {a: np.arange(6.0).reshape(2, 3), b: np.array([[2.0], [3.0]])}
    assert rt.run(gb, data).tolist() == [[3.0], [12.0]]
