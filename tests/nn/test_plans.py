"""What training steps compile to, counted: a change that costs instructions, copies or memory shows here."""

import itertools

import numpy as np
import pytest

import opgraph as og
import opgraph_nn as nn


@pytest.fixture(autouse=True)
def graph():
    with og.Graph().as_default_graph() as graph:
        yield graph


def plan_of(program):
    (plan,) = program._executable._plans.values()
    return plan


def variable(rng, *shape):
    return og.Variable(rng.normal(0, 0.1, shape).astype(np.float32))


def test_a_perceptron_s_step_is_a_product_or_a_group_for_each_thing_that_it_computes():
    rng = np.random.default_rng(0)
    x, labels = og.placeholder((None, 784), name="x"), og.placeholder((None,), np.int64, name="labels")
    h: og.Node = x
    sizes = (784, 512, 256, 10)
    weights, biases = [], []
    for before, after in itertools.pairwise(sizes):
        weights.append(variable(rng, before, after))
        biases.append(variable(rng, after))
        h = h @ weights[-1] + biases[-1]
        if after > 10:
            h = nn.relu(h)
    loss = og.reduce_mean(nn.sparse_softmax_cross_entropy_loss(labels, h))
    updates = nn.optimizers.Adam(1e-3).minimize(loss)
    program = og.RunTime(threads=1).compile([x, labels], [loss], updates=updates)
    program(rng.random((128, 784), np.float32), rng.integers(0, 10, 128))
    plan = plan_of(program)
    run = [step.op.name for group in plan.groups for step in group.steps]
    assert run.count("core.matmul") == 8  # three forward, three for weights, two for what flows back
    assert run.count("core.sum_to") == 3  # the gradients of the biases
    assert len(plan.groups) <= 28
    assert len(run) <= 123
    # of 19 variables, all but the count of steps are written where they are
    staged = [program._executable.fired[at].variable.name for at in plan.staged]
    assert len(program._executable.fired) == 19
    assert len(staged) == 1
    # each of the six parameters' whole step is one group: both moments, and the weight
    committing = plan.groups[-6:]
    assert sorted(g.shape for g in committing) == sorted(tuple(v.shape) for v in (*weights, *biases))
    assert {len(g.steps) for g in committing} == {13}
    # activations, cotangents and gradients at their peak, and nothing of the size of the weights besides
    assert plan.nbytes < 4e6


def test_a_value_with_its_gradients_is_one_group_that_sums_up_as_well():
    a, b, c = inputs = [og.placeholder((None,), name=name) for name in "abc"]
    y = og.reduce_sum(og.tanh(a * b + c) * nn.sigmoid(a - c) + og.exp(-og.square(b)))
    program = og.RunTime(threads=1).compile(inputs, [y, *og.grad(y, inputs)])
    program(*np.ones((3, 300_000), np.float32))
    plan = plan_of(program)
    assert len(plan.groups) == 1
    assert len(plan.groups[0].steps) <= 30
    assert len(plan.returned) == 3  # the gradients are made where they are handed out
    assert plan.copied == {}


def test_a_chain_of_numbers_makes_one_call_for_each_op_but_takes_all_slopes_at_once():
    x = y = og.placeholder((), np.float64)
    for _ in range(50):
        y = og.sin(y) * 1.01 + 0.1
    program = og.RunTime().compile([x], [y, og.grad(y, x)])
    program(0.5)
    plan = plan_of(program)
    assert len(plan.calls) <= 5 * 50 + 3
    assert plan.rebindings == []
