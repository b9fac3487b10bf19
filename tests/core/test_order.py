"""The order of steps, and what is then in memory at once."""

import numpy as np
import pytest

import opgraph as og
from opgraph.passes import GRAPH_PASSES, PLAN_PASSES

SIZE = 256
NBYTES = SIZE * SIZE * 8
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def graph():
    with og.Graph().as_default_graph() as graph:
        yield graph


def products(count):
    x = og.placeholder((SIZE, SIZE), np.float64)
    return x, [x @ og.Variable(RNG.normal(size=(SIZE, SIZE))) for _ in range(count)]


def arena(x, fetches, without=()):
    passes = [name for name in [*GRAPH_PASSES, *PLAN_PASSES] if name not in without]
    values = RNG.normal(size=x.shape)
    program = og.RunTime(threads=1, passes=passes).compile([x], fetches)
    expected = og.RunTime(threads=1, passes=()).compile([x], fetches)(values)
    for found, right in zip(program(values), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-9, atol=1e-9)
    return program.explain(values).arena


@pytest.mark.parametrize("count", [3, 9])
def test_what_was_made_for_many_and_is_summed_up_later_does_not_pile_up(count):
    x, ys = products(count)
    fetches = [sum([og.reduce_mean(og.square(y)) for y in ys], 0.0)]
    assert arena(x, fetches) < 3 * NBYTES
    assert arena(x, fetches, without=("order",)) >= count * NBYTES


@pytest.mark.parametrize("count", [3, 9])
def test_large_values_are_added_up_as_they_come(count):
    x, ys = products(count)
    bent = [og.tanh(y) for y in ys]
    fetches = [sum(bent[1:], bent[0])]
    assert arena(x, fetches) < 4 * NBYTES
    assert arena(x, fetches, without=("order",)) >= (count - 1) * NBYTES


@pytest.mark.parametrize("length", [4, 12])
def test_gradients_of_what_every_turn_of_a_loop_reads_are_added_as_they_come(length):
    xs = og.placeholder((length, 8, SIZE), np.float64)
    w = og.Variable(RNG.normal(size=(SIZE, SIZE)) / 16)
    h = og.tanh(xs[0] @ w)
    for t in range(1, length):
        h = og.tanh((xs[t] + h) @ w)
    loss = og.reduce_sum(og.square(h))
    assert arena(xs, [loss, og.grad(loss, w)], without=("batch",)) < 4 * NBYTES


def test_a_value_that_others_read_later_is_not_taken_for_dead():
    x, ys = products(4)
    first = [og.square(y) for y in ys]
    second = [og.exp(-og.abs(y)) for y in ys]
    fetches = [og.reduce_sum(sum(first, 0.0)), og.reduce_sum(sum(second, 0.0)), ys[2].T[:3]]
    arena(x, fetches)


def test_updates_still_see_the_values_that_variables_had():
    x = og.placeholder((SIZE, SIZE), np.float64)
    w = og.Variable(np.eye(SIZE))
    y = og.tanh(x @ w)
    z = og.reduce_mean(y) + og.reduce_mean(w)
    program = og.RunTime(threads=1).compile([x], [z], updates={w: w + y})
    values = RNG.normal(size=(SIZE, SIZE))
    (found,) = program(values)
    np.testing.assert_allclose(found, np.tanh(values).mean() + np.eye(SIZE).mean(), rtol=1e-12)
    np.testing.assert_allclose(w.val, np.eye(SIZE) + np.tanh(values), rtol=1e-12)
