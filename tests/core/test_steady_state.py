"""What a training step allocates once it has run: nothing larger than what it returns, and nothing that stays."""

import numpy as np
import pytest
from allocations import left_behind, transient_bytes

import opgraph as og

LARGE, SMALL = (784, 24, 792, 800), (7, 5, 6, 4)  # batch, inputs, hidden units, classes
SMALLEST_VECTOR = 784 * 4  # bytes; there is no array in a large step that takes less, but for single numbers
BUFFER = 8192 * 8  # bytes that NumPy itself may take in another thread, where no test makes its buffers smaller
OBJECTS = 16384  # bytes, for the objects of Python that a step makes, and those of coverage that looks on
VIEWS = 12288  # bytes, for views of a large feed, one for each block of what reads it


def perceptron(batch, inputs, hidden, classes, threads=None):
    """Return a function that trains a perceptron for one step, with Adam written out, and returns the loss."""
    rng = np.random.default_rng(0)
    x = og.placeholder((None, inputs), name="x")
    target = og.placeholder((None, classes), name="target")
    shapes = [(inputs, hidden), (hidden,), (hidden, classes), (classes,)]
    variables = w0, b0, w1, b1 = [og.Variable(rng.normal(0, 0.1, shape).astype(np.float32)) for shape in shapes]
    logits = og.maximum(x @ w0 + b0, 0.0) @ w1 + b1
    loss = og.reduce_mean(og.logsumexp(logits, axis=1) - og.reduce_sum(logits * target, axis=1))
    arrays = (
        rng.random((batch, inputs), np.float32),
        np.eye(classes, dtype=np.float32)[rng.integers(0, classes, batch)],
    )
    program = og.RunTime(threads=threads).compile([x, target], [loss], adam(loss, variables))
    return lambda: program(*arrays)


def adam(loss, variables):
    """Return the new values of variables after one step of Adam, those of its own included."""
    t = og.Variable(np.array(0), name="t")
    updates = {t: t + 1}
    after = og.cast(t + 1, np.float64)
    rate = og.cast(0.001 / (1.0 - 0.9**after), np.float32)
    root = og.cast(og.sqrt(1.0 - 0.999**after), np.float32)
    for w, g in zip(variables, og.grad(loss, variables), strict=True):
        m_slot, v_slot = (og.Variable(np.zeros(w.shape, np.float32)) for _ in range(2))
        updates[m_slot] = m = m_slot * 0.9 + g * 0.1
        updates[v_slot] = v = v_slot * 0.999 + og.square(g) * 0.001
        updates[w] = w - m / (og.sqrt(v) / root + 1e-8) * rate
    return updates


@pytest.mark.parametrize("threads", [1, 2])
def test_a_training_step_takes_no_more_memory_for_large_arrays_than_for_small_ones(threads):
    needed = []
    for sizes in (LARGE, SMALL):
        step = perceptron(*sizes, threads=threads)
        for _ in range(2):
            step()
        needed.append(transient_bytes(step))
    assert needed[0] - needed[1] < SMALLEST_VECTOR + VIEWS + (threads - 1) * BUFFER


def test_a_training_step_needs_little_memory_for_the_objects_of_its_own():
    step = perceptron(*SMALL)
    for _ in range(2):
        step()
    assert transient_bytes(step) < OBJECTS


def test_training_steps_leave_nothing_behind():
    step = perceptron(*SMALL)
    step()
    calls = 2000
    size, unreachable = left_behind(step, calls)
    assert unreachable == 0
    assert size < 16 * calls  # no object is as small


def test_a_step_that_returns_arrays_allocates_those_and_no_other():
    a, b = inputs = [og.placeholder((None, 300), name=name) for name in "ab"]
    y = og.tanh(a * b) + og.exp(-og.square(b))
    program = og.RunTime().compile(inputs, [y, *og.grad(og.reduce_sum(y), inputs)])
    arrays = [np.random.default_rng(seed).standard_normal((500, 300), np.float32) for seed in range(2)]
    returned = sum(array.nbytes for array in program(*arrays))
    assert transient_bytes(lambda: program(*arrays)) < returned + OBJECTS + VIEWS
