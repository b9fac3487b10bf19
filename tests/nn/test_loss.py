import math

import numpy as np
import pytest

import opgraph as og
import opgraph_nn as nn
from opgraph.testing import check_grads

rng = np.random.default_rng(2)


def run(fetches, feeds=None):
    return og.RunTime().run(fetches, feeds)


def slow_loss(labels, logits):
    loss = np.zeros(logits.shape[:-1])
    for index in np.ndindex(loss.shape):
        total = sum(math.exp(z) for z in logits[index])
        for label, z in zip(labels[index], logits[index], strict=True):
            loss[index] -= label * math.log(math.exp(z) / total)
    return loss


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 5)])
def test_the_loss_has_one_value_per_example(shape):
    labels, logits = rng.dirichlet(np.ones(shape[-1]), shape[:-1]), rng.normal(size=shape)
    loss = nn.softmax_cross_entropy_loss(labels, logits)
    assert loss.shape == shape[:-1]
    np.testing.assert_allclose(run(loss), slow_loss(labels, logits), rtol=1e-13)


def test_one_hot_labels_give_the_log_probability_of_their_class():
    logits = np.log([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]])
    loss = nn.softmax_cross_entropy_loss(np.array([[0, 0, 1], [1, 0, 0]]), logits)
    np.testing.assert_allclose(run(loss), [math.log(2), -math.log(0.7)], rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits_give_exact_losses_and_gradients(dtype):
    logits = og.placeholder((None, 3), dtype)
    labels = np.eye(3, dtype=dtype)
    loss = nn.softmax_cross_entropy_loss(labels, logits)
    data = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0], [-1e4, -1e4, 1e4]], dtype)
    value, gradient = run([loss, og.grad(loss, logits)], {logits: data})
    assert value.tolist() == [0, 2e4, 0]
    assert gradient.tolist() == [[0, 0, 0], [1, -1, 0], [0, 0, 0]]


def test_gradients_hold_for_labels_of_any_sum_through_third_order():
    labels, logits = og.placeholder((None, 3), np.float64), og.placeholder((None, None), np.float64)
    loss = nn.softmax_cross_entropy_loss(labels, logits)
    feeds = {labels: [[1.5, -0.3, 0.4], [2.0, 0.0, 1.0]], logits: rng.normal(size=(2, 3))}
    check_grads(loss, [labels, logits], feeds, order=2)
    check_grads(og.reduce_sum(loss), [logits], feeds, order=3)


def test_the_gradient_of_the_logits_is_probabilities_less_labels():
    labels = np.array([[0.1, 0.6, 0.3]])
    logits = og.placeholder((1, 3), np.float64)
    gradient = og.grad(nn.softmax_cross_entropy_loss(labels, logits), logits)
    p = np.array([0.5, 0.25, 0.25])
    np.testing.assert_allclose(run(gradient, {logits: [np.log(p)]}), p - labels, rtol=1e-14)


def test_integer_labels_leave_the_dtype_to_the_logits():
    logits = og.placeholder((None, 3), np.float32)
    loss = nn.softmax_cross_entropy_loss(np.array([[0, 1, 0]]), logits)
    value, gradient = run([loss, og.grad(loss, logits)], {logits: np.zeros((1, 3))})
    assert value.dtype == gradient.dtype == np.float32
    np.testing.assert_allclose(value, [math.log(3)], rtol=1e-7)


def test_known_sizes_of_either_input_are_those_of_the_loss():
    loss = nn.softmax_cross_entropy_loss(og.placeholder((None, 2, None)), og.placeholder((5, None, 3)))
    assert loss.shape == (5, 2)


def test_shapes_that_differ_raise_when_the_node_is_made():
    labels, logits = og.placeholder((None, 4), name="labels"), og.placeholder((None, 3), name="logits")
    message = r"softmax_cross_entropy_loss: labels \(None, 4\) and logits \(None, 3\) must have the same shape"
    with pytest.raises(og.ShapeError, match=message) as caught:
        nn.softmax_cross_entropy_loss(labels, logits)
    assert "logits: placeholder 'logits' (None, 3) float32" in str(caught.value)
    assert "test_loss.py" in str(caught.value)


def test_shapes_that_turn_out_to_differ_raise_when_run():
    labels, logits = og.placeholder((None, 3), name="labels"), og.placeholder((None, 3), name="logits")
    loss = nn.softmax_cross_entropy_loss(labels, logits)
    with pytest.raises(og.ShapeError, match=r"labels \(1, 3\) and logits \(2, 3\) must have the same shape"):
        run(loss, {labels: np.ones((1, 3)), logits: np.ones((2, 3))})


def test_scalars_have_no_classes():
    with pytest.raises(og.ShapeError, match="their last axis must be that of the classes"):
        nn.softmax_cross_entropy_loss(1.0, 2.0)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint64])
@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 5)])
def test_numbers_of_classes_give_the_loss_of_one_hot_labels(shape, dtype):
    logits = rng.normal(size=shape)
    labels = rng.integers(0, shape[-1], shape[:-1])
    x = og.placeholder((None,) * len(shape), np.float64)
    loss = nn.sparse_softmax_cross_entropy_loss(labels.astype(dtype), x)
    gradient = og.grad(loss, x)
    found = run([loss, gradient], {x: logits})
    np.testing.assert_allclose(found[0], slow_loss(np.eye(shape[-1])[labels], logits), rtol=1e-13)
    exponentials = np.exp(logits)
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    np.testing.assert_allclose(found[1], probabilities - np.eye(shape[-1])[labels], rtol=1e-12)


def test_a_list_of_python_numbers_holds_classes():
    value = run(nn.sparse_softmax_cross_entropy_loss([2, 0], np.log([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]])))
    np.testing.assert_allclose(value, [math.log(2), -math.log(0.7)], rtol=1e-15)


def test_a_class_ruled_out_costs_nothing_unless_it_is_the_label():
    x = og.placeholder((None, 3), np.float64)
    loss = nn.sparse_softmax_cross_entropy_loss([0, 2], x)
    data = np.array([[0.0, 0.0, -np.inf], [0.0, 0.0, -np.inf]])
    value, gradient = run([loss, og.grad(loss, x)], {x: data})
    assert value.tolist() == [math.log(2), math.inf]
    assert gradient.tolist() == [[-0.5, 0.5, 0], [0.5, 0.5, -1]]


@pytest.mark.parametrize("wrong", [-1, 3, 2**40])
@pytest.mark.parametrize("gradient", [False, True])
def test_a_label_out_of_range_raises_in_the_run(wrong, gradient):
    labels, x = og.placeholder((None,), np.int64, name="labels"), og.placeholder((None, 3))
    loss = nn.sparse_softmax_cross_entropy_loss(labels, x)
    with pytest.raises(og.ArgumentError, match=f"labels hold {wrong}, where 3 classes are numbered from 0") as caught:
        run(og.grad(loss, x) if gradient else loss, {labels: [1, wrong], x: np.ones((2, 3))})
    assert "test_loss.py" in str(caught.value)


def test_labels_that_are_no_integers_are_sent_elsewhere():
    with pytest.raises(og.DtypeError, match="for probabilities there is softmax_cross_entropy_loss"):
        nn.sparse_softmax_cross_entropy_loss([0.0, 1.0], np.ones((2, 3)))
    with pytest.raises(og.DtypeError, match="integers, not bool"):
        nn.sparse_softmax_cross_entropy_loss([True, False], np.ones((2, 3)))


def test_labels_of_another_shape_than_the_examples_raise():
    with pytest.raises(og.ShapeError, match=r"labels \(2, 1\) must be logits \(2, 3\) without the last axis"):
        nn.sparse_softmax_cross_entropy_loss(np.array([[0], [1]]), np.ones((2, 3)))


def test_without_examples_there_is_no_loss():
    assert run(nn.sparse_softmax_cross_entropy_loss(np.zeros((0,), int), np.ones((0, 3)))).shape == (0,)


def test_sigmoid_loss_is_minus_the_logarithm_of_the_probability():
    labels, logits = rng.uniform(size=(2, 3)), rng.normal(size=(2, 3))
    expected = np.zeros((2, 3))
    for index in np.ndindex(2, 3):
        p = 1 / (1 + math.exp(-logits[index]))
        expected[index] = -labels[index] * math.log(p) - (1 - labels[index]) * math.log(1 - p)
    np.testing.assert_allclose(run(nn.sigmoid_cross_entropy_loss(labels, logits)), expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_sigmoid_loss_of_huge_logits_is_exact(dtype):
    logits = og.placeholder((None,), dtype)
    labels = np.array([1, 0, 1, 0], dtype)
    loss = nn.sigmoid_cross_entropy_loss(labels, logits)
    first = og.grad(loss, logits)
    data = np.array([1e4, 1e4, -1e4, -1e4], dtype)
    value, gradient, second = run([loss, first, og.grad(first, logits)], {logits: data})
    assert value.tolist() == [0, 1e4, 1e4, 0]
    assert gradient.tolist() == [0, 1, -1, 0]
    assert second.tolist() == [0, 0, 0, 0]
    assert value.dtype == gradient.dtype == dtype


def test_sigmoid_loss_of_a_sure_prediction_keeps_its_relative_precision():
    logits = og.placeholder((2,), np.float64)
    loss = nn.sigmoid_cross_entropy_loss([1, 0], logits)
    found = run([loss, og.grad(loss, logits)], {logits: [40.0, -40.0]})
    np.testing.assert_allclose(found, [[math.exp(-40)] * 2, [-math.exp(-40), math.exp(-40)]], rtol=1e-14)


def test_gradients_of_the_sigmoid_loss_agree_with_finite_differences_through_second_order():
    labels, logits = og.placeholder((None, 3), np.float64), og.placeholder((None, None), np.float64)
    loss = nn.sigmoid_cross_entropy_loss(labels, logits)
    check_grads(loss, [labels, logits], {labels: rng.uniform(size=(2, 3)), logits: rng.normal(size=(2, 3))})


def test_a_scalar_label_is_that_of_all():
    logits = rng.normal(size=(2, 3))
    all_ones, ones = run(
        [nn.sigmoid_cross_entropy_loss(1, logits), nn.sigmoid_cross_entropy_loss(1 + 0 * logits, logits)]
    )
    np.testing.assert_array_equal(all_ones, ones)


LOSSES = [nn.sigmoid_cross_entropy_loss, nn.mse_loss, nn.huber_loss]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_column_beside_a_vector_raises_when_the_node_is_made(loss):
    with pytest.raises(og.ShapeError, match=r"\(5,\) and .* \(5, 1\) must have the same shape; reshape one") as caught:
        loss(np.ones(5), np.ones((5, 1)))
    assert loss.__name__ in str(caught.value)
    assert "test_loss.py" in str(caught.value)


@pytest.mark.parametrize("loss", LOSSES)
def test_sizes_that_turn_out_to_differ_raise_when_run(loss):
    x, y = og.placeholder((None, 3)), og.placeholder((None, 3))
    with pytest.raises(og.ShapeError, match=r"\(1, 3\).*\(4, 3\)"):
        run(loss(x, y), {x: np.ones((1, 3)), y: np.ones((4, 3))})


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_complex_numbers_raise(loss):
    with pytest.raises(og.DtypeError, match=f"{loss.__name__}: takes floating-point values, not complex128"):
        loss(np.ones(3) * 1j, np.ones(3))


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([[1, 2], [3]], og.ShapeError, "no array"),
        (np.ma.array([0, 1], mask=[False, True]), og.DtypeError, "a masked array would lose its mask"),
        (["a", "b"], og.DtypeError, "not strings"),
    ],
)
def test_sparse_labels_that_are_no_array_of_numbers_are_refused(labels, error, message):
    with pytest.raises(error, match=f"sparse_softmax_cross_entropy_loss: .*{message}") as caught:
        nn.sparse_softmax_cross_entropy_loss(labels, np.zeros((2, 3)))
    assert "at test_loss.py" in str(caught.value)


def test_a_number_that_no_float_holds_is_refused():
    with pytest.raises(og.ArgumentError, match="delta must be a number"):
        nn.huber_loss([1.0], [2.0], delta=10**400)
