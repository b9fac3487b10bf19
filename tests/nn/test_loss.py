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
