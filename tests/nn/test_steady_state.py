"""What a training step made of layers' ops, a loss and an optimizer allocates: nothing that grows with its arrays."""

import numpy as np
import pytest
from allocations import transient_bytes

import opgraph as og
import opgraph_nn as nn

LARGE, SMALL = (784, 24, 792, 800), (7, 5, 6, 4)  # batch, inputs, hidden units, classes
SMALLEST_VECTOR = 784 * 4  # bytes; there is no array in a large step that takes less, but for single numbers


def cross_entropy(logits, classes, labels):
    return nn.softmax_cross_entropy_loss(np.eye(classes, dtype=np.float32)[labels], logits)


def sparse_cross_entropy(logits, classes, labels):
    return nn.sparse_softmax_cross_entropy_loss(og.constant(labels), logits)


def squares(logits, classes, labels):
    return nn.mse_loss(np.eye(classes, dtype=np.float32)[labels], logits)


def training(batch, inputs, hidden, classes, loss_of, optimizer):
    """Return a function that trains a perceptron for one step, and returns the loss."""
    rng = np.random.default_rng(0)
    x = og.placeholder((None, inputs), name="x")
    shapes = [(inputs, hidden), (hidden,), (hidden, classes), (classes,)]
    w0, b0, w1, b1 = [og.Variable(rng.normal(0, 0.1, shape).astype(np.float32)) for shape in shapes]
    logits = nn.relu(x @ w0 + b0) @ w1 + b1
    loss = og.reduce_mean(loss_of(logits, classes, rng.integers(0, classes, batch)))
    program = og.RunTime(threads=1).compile([x], [loss], optimizer.minimize(loss))
    data = rng.random((batch, inputs), np.float32)
    return lambda: program(data)


@pytest.mark.parametrize("loss_of", [cross_entropy, sparse_cross_entropy, squares])
def test_a_loss_takes_no_more_memory_for_large_arrays_than_for_small_ones(loss_of):
    assert growth(loss_of, nn.optimizers.Adam(0.001)) < SMALLEST_VECTOR


@pytest.mark.parametrize(
    "optimizer",
    [nn.optimizers.AdamW(0.001), nn.optimizers.SGD(0.1, 0.9, nesterov=True), nn.optimizers.RMSProp(0.01)],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_an_optimizer_takes_no_more_memory_for_large_arrays_than_for_small_ones(optimizer):
    assert growth(squares, optimizer) < SMALLEST_VECTOR


def growth(loss_of, optimizer):
    """Return how many bytes more a step with large arrays takes, for its duration, than one with small arrays."""
    needed = []
    for sizes in (LARGE, SMALL):
        step = training(*sizes, loss_of, optimizer)
        for _ in range(2):
            step()
        needed.append(transient_bytes(step))
    return needed[0] - needed[1]
