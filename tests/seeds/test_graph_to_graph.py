"""Programs in the manner of the graph-to-graph framework."""

import math

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_grads


def test_the_first_program_of_its_readme():
    x = og.Variable(3, name="x")
    y = og.Variable(4, name="y")
    z = x * y + og.exp(x + 3)
    np.testing.assert_allclose(z(), 12 + math.exp(6), rtol=1e-6)
    (x_grad,) = og.grad(z, [x])
    np.testing.assert_allclose(x_grad(), 4 + math.exp(6), rtol=1e-6)
    (x_grad_grad,) = og.grad(x_grad, [x])
    np.testing.assert_allclose(x_grad_grad(), math.exp(6), rtol=1e-6)


def test_the_gradients_of_a_matrix_product():
    a, b = np.random.default_rng(0).normal(size=(2, 3)), np.random.default_rng(1).normal(size=(3, 5))
    x = og.Variable(a, name="x")
    w = og.Variable(b, name="w")
    y = x @ w
    np.testing.assert_allclose(y(), a @ b, rtol=1e-14)
    w_grad, x_grad = og.grad(y, [w, x])
    # a row sum of x beside each column of w, and the other way round
    np.testing.assert_allclose(w_grad(), np.repeat(a.sum(0)[:, None], 5, axis=1), rtol=1e-14)
    np.testing.assert_allclose(x_grad(), np.repeat(b.sum(1)[None], 2, axis=0), rtol=1e-14)


def test_equal_names_are_fine():
    assert og.Variable(1.0, name="x").name != og.Variable(2.0, name="x").name


def test_the_derivatives_of_tanh():
    x = og.placeholder((41,), dtype=np.float64)
    at = np.linspace(-4, 4, 41)
    t = np.tanh(at)
    expected = [t, 1 - t**2, -2 * t * (1 - t**2), (6 * t**2 - 2) * (1 - t**2)]
    y = og.tanh(x)
    for order in range(4):
        np.testing.assert_allclose(og.RunTime().run(y, {x: at}), expected[order], atol=1e-14)
        y = og.grad(y, x)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ii->", [(4, 4)]),
        ("ii->i", [(4, 4)]),
        ("nd,nn->d", [(3, 2), (3, 3)]),
        ("i,i", [(1,), (5,)]),
        ("i,i,i->i", [(3,), (3,), (3,)]),
        ("...ij,...jk->...ik", [(2, 3, 4), (4, 5)]),
        ("ij->", [(2, 3)]),
        ("abc,cb->a", [(2, 3, 4), (4, 3)]),
    ],
)
def test_einsum_with_gradients_through_third_order(subscripts, shapes):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in shapes]
    nodes = [og.placeholder([None] * len(shape), dtype=np.float64) for shape in shapes]
    y = og.einsum(subscripts, *nodes)
    feeds = dict(zip(nodes, arrays, strict=True))
    np.testing.assert_allclose(og.RunTime().run(y, feeds), np.einsum(subscripts, *arrays), rtol=1e-13, atol=1e-14)
    check_grads(y, nodes, feeds, order=2 if len(nodes) > 2 else 3)


def test_the_graph_of_a_derivative_is_the_input_of_another_op():
    x = og.placeholder((3,), dtype=np.float64)
    inner = og.grad(og.sigmoid(x) * og.tanh(x), x)
    y = og.concat([og.reshape(inner, (3, 1)), og.pad(x[1:, None], [[1, 0], [0, 0]])], axis=1)
    check_grads(og.softmax(y), [x], {x: np.array([0.3, -0.8, 1.2])}, order=3)


def test_its_other_functions():
    rng = np.random.default_rng(2)
    a, b = rng.uniform(0.5, 2, (2, 3)), rng.normal(size=(4,))
    x, w = og.Variable(a), og.Variable(b)
    expected = {
        "reciprocal": (og.reciprocal(x), 1 / a),
        "power": (og.power(x, 3), a**3),
        "transpose": (og.transpose(x), a.T),
        "Frobenius norm of several tensors": (og.global_norm([x, w]), np.sqrt((a**2).sum() + (b**2).sum())),
        "squared difference": (og.squared_difference(x, 1.0), (a - 1) ** 2),
        "slice": (x[1:, ::2], a[1:, ::2]),
        "n-ary sum": (sum([x, x, x]), 3 * a),
        "n-ary product": (math.prod([x, x, x]), a**3),
    }
    for name, (node, wanted) in expected.items():
        np.testing.assert_allclose(node(), wanted, rtol=1e-14, err_msg=name)


def test_checkpointed_functions_have_the_same_gradients():
    x = og.Variable(np.linspace(-1, 1, 5))

    @og.checkpoint
    def block(x):
        return og.tanh(og.exp(x) * x)

    def plain(x):
        return og.tanh(og.exp(x) * x)

    np.testing.assert_array_equal(og.grad(block(block(x)), x)(), og.grad(plain(plain(x)), x)())


def test_char_rnn_that_rebuilds_its_graph_every_step():
    text = "hello graphs, hello gradients. " * 4
    vocabulary = sorted(set(text))
    codes = np.array([vocabulary.index(c) for c in text])
    rng = np.random.default_rng(0)
    size, hidden, steps = len(vocabulary), 24, 8
    values = {
        "wx": rng.normal(size=(size, hidden)) * 0.3,
        "wh": rng.normal(size=(hidden, hidden)) * 0.2,
        "wy": rng.normal(size=(hidden, size)) * 0.3,
    }
    memory = {name: np.zeros_like(value) for name, value in values.items()}
    rt = og.RunTime()
    losses = []
    for step in range(60):
        with og.Graph().as_default_graph():
            at = step * steps % (len(codes) - steps - 1)
            inputs, targets = np.eye(size)[codes[at : at + steps]], np.eye(size)[codes[at + 1 : at + steps + 1]]
            weights = {name: og.Variable(value, name=name) for name, value in values.items()}
            h, loss = og.constant(np.zeros((1, hidden))), 0
            for i in range(steps):
                h = og.tanh(inputs[i : i + 1] @ weights["wx"] + h @ weights["wh"])
                loss = loss + og.reduce_sum(og.softmax_cross_entropy_loss(targets[i : i + 1], h @ weights["wy"]))
            value, *gradients = rt.run([loss, *og.grad(loss, list(weights.values()))])
        losses.append(value / steps)
        for (name, old), g in zip(values.items(), gradients, strict=True):  # Adagrad, as there
            memory[name] += g * g
            values[name] = old - 0.1 * g / np.sqrt(memory[name] + 1e-8)
    np.testing.assert_allclose(losses[0], np.log(size), rtol=0.2)
    assert np.mean(losses[-8:]) < 0.6 * losses[0]
