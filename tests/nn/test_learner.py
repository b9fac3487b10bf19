"""The 100-line framework: its programs, its layers against differences, and layers made of graphs."""

import itertools

import numpy as np
import pytest

import opgraph as og
import opgraph_nn as nn
from opgraph.testing.numeric import numerical_gradient
from opgraph_nn.learner import (
    GraphLayer,
    Layer,
    Learner,
    Linear,
    Parameter,
    ReLu,
    Sequential,
    SGDOptimizer,
    Sigmoid,
    mse_loss,
)


@pytest.fixture
def rng():
    return np.random.default_rng(10)


def graph_linear(inputs, outputs, rng):
    weights = rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)
    return GraphLayer(lambda x, w, b: x @ w + b, weights, np.zeros(outputs))


@pytest.mark.parametrize("make", [Linear, graph_linear])
def test_linear_regression_recovers_its_weights(make, rng):
    X = rng.normal(size=(100, 10))
    W, B = rng.normal(size=(10, 1)), rng.normal(size=1)
    Y = X @ W + B
    model = make(10, 1, rng)
    losses = Learner(model, mse_loss, SGDOptimizer(lr=0.05), seed=0).fit(X, Y, epochs=25, bs=10)
    weights, bias = model.parameters
    assert np.linalg.norm(weights.tensor - W) < 1e-5
    assert abs(bias.tensor - B)[0] < 1e-5
    assert len(losses) == 25
    assert losses[-1] < 1e-8 < losses[0]


@pytest.mark.parametrize("by_graph", [False, True])
def test_a_product_is_learned_with_two_layers_and_not_with_one(by_graph, rng):
    make, sigmoid = (graph_linear, GraphLayer(nn.sigmoid)) if by_graph else (Linear, Sigmoid())
    X = rng.normal(size=(1000, 2))
    Y = X[:, 0] * X[:, 1]
    one = Learner(Sequential(make(2, 1, rng)), mse_loss, SGDOptimizer(lr=0.01), seed=0)
    two = Learner(Sequential(make(2, 10, rng), sigmoid, make(10, 1, rng)), mse_loss, SGDOptimizer(lr=0.3), seed=0)
    losses1 = one.fit(X, Y, epochs=50, bs=50)
    losses2 = two.fit(X, Y, epochs=50, bs=50)
    assert losses1[-1] > 0.8 * 20 * Y.var()
    assert losses2[-1] < 0.2 * losses1[-1]


def check_layer(layer, X, rng):
    """Hold the gradients of `X` and of the parameters against finite differences."""
    Y, backward = layer.forward(X)
    D = rng.normal(size=Y.shape)
    found = backward(D)

    def loss_at(tensor):
        def loss(value):
            kept = tensor.copy()
            tensor[...] = value
            result = float((layer.forward(X)[0] * D).sum())
            tensor[...] = kept
            return result

        return loss

    for tensor, gradient in [(X, found), *((p.tensor, p.gradient) for p in layer.parameters)]:
        numeric = numerical_gradient(loss_at(tensor), tensor.copy()).value
        np.testing.assert_allclose(gradient, numeric, rtol=1e-7, atol=1e-9)


def test_ways_back_agree_with_finite_differences(rng):
    X = rng.uniform(0.5, 2, (4, 3)) * rng.choice([-1.0, 1.0], (4, 3))
    for layer in (Layer(), Linear(3, 2, rng), ReLu(), Sigmoid(), graph_linear(3, 2, rng), GraphLayer(og.tanh)):
        check_layer(layer, X.copy(), rng)
    check_layer(Sequential(Linear(3, 5, rng), Sigmoid(), graph_linear(5, 2, rng)), X.copy(), rng)


def test_gradients_add_up_until_the_update(rng):
    for layer in (Linear(3, 2, rng), graph_linear(3, 2, rng)):
        X, D = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
        weights = layer.parameters[0]
        layer.forward(X)[1](D)
        once = weights.gradient.copy()
        layer.forward(X)[1](D)
        np.testing.assert_allclose(weights.gradient, 2 * once, rtol=1e-14)
        before = weights.tensor.copy()
        layer.update(SGDOptimizer(lr=0.5))
        np.testing.assert_allclose(weights.tensor, before - once, rtol=1e-14)
        assert not weights.gradient.any()


def test_a_layer_that_stands_there_twice_is_updated_once(rng):
    class Counting(SGDOptimizer):
        seen = ()

        def update(self, param):
            self.seen += (param,)

    shared = Linear(3, 3, rng)
    optimizer = Counting()
    Sequential(shared, ReLu(), shared).update(optimizer)
    assert optimizer.seen == tuple(shared.parameters)


def test_users_write_layers_with_or_without_calling_the_base(rng):
    class Scale(Layer):
        def __init__(self, size):
            self.factor = self.build_param(np.ones(size))

        def forward(self, X):
            def backward(D):
                self.factor.gradient += (X * D).sum(0)
                return D * self.factor.tensor

            return X * self.factor.tensor, backward

    X = rng.normal(size=(50, 3))
    scale = Scale(3)
    Learner(scale, mse_loss, SGDOptimizer(lr=0.1), seed=0).fit(X, X * [2.0, -1.0, 0.5], epochs=40, bs=8)
    np.testing.assert_allclose(scale.factor.tensor, [2, -1, 0.5], rtol=1e-6)


def test_a_parameter_is_a_float_copy_with_a_gradient_of_zeros():
    given = np.array([1, 2])
    parameter = Parameter(given)
    parameter.tensor += 0.5
    assert given.tolist() == [1, 2]
    assert parameter.gradient.tolist() == [0, 0]
    assert Parameter(np.ones(2, np.float32)).tensor.dtype == np.float32


def test_the_gradient_of_mse_is_divided_by_the_rows():
    value, gradient = mse_loss(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.zeros((3, 2)))
    assert value == 91 / 6
    np.testing.assert_allclose(gradient, np.array([[1, 2], [3, 4], [5, 6]]) * 2 / 3, rtol=1e-15)


def test_a_vector_of_targets_goes_with_one_column_and_nothing_else_broadcasts():
    value, gradient = mse_loss(np.array([[1.0], [3.0]]), np.array([1.0, 1.0]))
    assert value == 2
    assert gradient.tolist() == [[0], [2]]
    with pytest.raises(og.ShapeError, match=r"mse_loss: predictions \(2, 2\) and targets \(2,\)") as caught:
        mse_loss(np.ones((2, 2)), np.ones(2))
    assert "test_learner.py" in str(caught.value)


def test_every_epoch_takes_all_examples_in_another_order():
    class Recording(Layer):
        def __init__(self):
            self.batches = []

        def forward(self, X):
            self.batches.append(X[:, 0].tolist())
            return X, lambda D: D

    model = Recording()
    X = np.arange(10.0)[:, None]
    losses = Learner(model, mse_loss, SGDOptimizer(), seed=1).fit(X, X + 1, epochs=2, bs=4)
    assert [len(batch) for batch in model.batches] == [4, 4, 2] * 2
    first, second = (list(itertools.chain(*batches)) for batches in (model.batches[:3], model.batches[3:]))
    assert sorted(first) == sorted(second) == X[:, 0].tolist()
    assert first != second
    assert losses == [3.0, 3.0]  # the sum over batches, each 1


def test_one_seed_gives_one_order(rng):
    X = rng.normal(size=(20, 3))
    fits = []
    for _ in range(2):
        model = Linear(3, 1, np.random.default_rng(0))
        fits.append(Learner(model, mse_loss, SGDOptimizer(), seed=4).fit(X, X[:, :1], epochs=2, bs=3))
    assert fits[0] == fits[1]


def test_the_way_back_of_a_graph_layer_draws_what_its_forward_drew():
    layer = GraphLayer(lambda x: nn.dropout(x, 0.5))
    X = np.ones((40, 3))
    (first, back_first), (second, back_second) = layer.forward(X), layer.forward(X)
    assert (first != second).any()
    np.testing.assert_array_equal(back_second(X), second)
    np.testing.assert_array_equal(back_first(X), first)


def test_a_graph_layer_of_integers_has_parameters_to_learn_and_no_gradient_of_its_input():
    layer = GraphLayer(lambda x, w: og.cast(x, np.float64) * w, np.array([2.0, 3.0]))
    Y, backward = layer.forward(np.array([[1, 2], [3, 4]]))
    assert Y.tolist() == [[2, 6], [6, 12]]
    assert backward(np.ones((2, 2))) is None
    assert layer.parameters[0].gradient.tolist() == [4, 6]


def test_a_graph_layer_takes_batches_of_any_size_with_one_trace():
    traced = []

    def function(x, w):
        traced.append(x.shape)
        return x * w

    layer = GraphLayer(function, np.ones(3))
    for rows in (4, 1, 0, 5):
        Y, backward = layer.forward(np.ones((rows, 3)))
        assert backward(Y).shape == (rows, 3)
    layer.forward(np.ones((2, 2, 3)))
    layer.forward(np.ones((4, 3), np.float32))
    assert traced == [(None, 3), (None, 2, 3), (None, 3)]


def test_a_graph_layer_whose_function_returns_no_node_is_told_so():
    with pytest.raises(og.ArgumentError, match="GraphLayer: its function returned 3, not a node") as caught:
        GraphLayer(lambda x: 3).forward(np.ones(2))
    assert "test_learner.py" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGDOptimizer(-1), r"SGDOptimizer: lr must be a number in \[0, inf\), not -1"),
        (lambda: Linear(2, "3"), "Linear: outputs must be an integer from 0, not '3'"),
        (lambda: learner().fit(np.ones((3, 2)), np.ones(2), 1, 1), "fit: X holds 3 examples and Y 2"),
        (lambda: learner().fit(np.ones((3, 2)), np.ones(3), 1, 0), "fit: bs, the size of a batch, is 1 or more"),
        (lambda: learner().fit(np.ones((3, 2)), np.ones(3), 1.5, 1), "fit: epochs must be an integer from 0, not 1.5"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(og.ArgumentError, match=message) as caught:
        make()
    assert "test_learner.py" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: learner().fit(np.ones((3, 4)), np.ones(3), 1, 1),
            r"Linear: takes X .* \(N, 2\), as Linear\(2, 1\), not \(1, 4\)",
        ),
        (lambda: learner().fit(np.ones(3), np.ones(3), 1, 2), r"Linear: takes X of shape \(N, 2\), .* not \(2,\)\n"),
        (lambda: Linear(1, 4).forward(np.ones(3)), r"Linear: takes X .* not \(3,\); X\[:, None\] is one column\n"),
    ],
)
def test_examples_of_another_width_name_the_layer(make, message):
    with pytest.raises(og.ShapeError, match=message) as caught:
        make()
    assert "test_learner.py" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Learner(Linear(3, 1), mse_loss, nn.optimizers.Adam(0.1)),
            r"Learner: optimizer must have update\(parameter\), as opgraph_nn.learner.SGDOptimizer has, not be "
            r"Adam of opgraph_nn.optimizers; the optimizers of opgraph_nn.optimizers change",
        ),
        (
            lambda: Learner(nn.layers.Linear(3, 1), mse_loss, SGDOptimizer()),
            "model must be a Layer of opgraph_nn.learner, not Linear of opgraph_nn.layers; GraphLayer makes one",
        ),
        (lambda: Sequential(Linear(3, 2), og.tanh), "Sequential: layer 1 must be a Layer .*, not function of builtins"),
        (
            lambda: Learner(Linear(2, 1), nn.mse_loss, SGDOptimizer()).fit_batch(np.ones((3, 2)), np.ones((3, 1))),
            r"Learner: loss must return a value and its gradient .*mse_loss does, not <.* \(\) float64>; losses",
        ),
        (
            lambda: Sequential(OneWay()).forward(np.ones((3, 2))),
            "OneWay: its forward must return .* not ndarray of numpy",
        ),
    ],
)
def test_what_belongs_to_graphs_is_refused_by_name(make, message):
    with pytest.raises(og.ArgumentError, match=message) as caught:
        make()
    assert "test_learner.py" in str(caught.value)


class OneWay(Layer):
    def forward(self, X):
        return X


def learner():
    return Learner(Linear(2, 1), mse_loss, SGDOptimizer())
