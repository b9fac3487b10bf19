"""Modules of graph nodes: what they compute, the variables found in them, their name scopes."""

import numpy as np
import pytest

import opgraph as og
from opgraph_nn import initializers, layers, mse_loss, optimizers

rng = np.random.default_rng(9)


class Residual(layers.Module):
    def __init__(self, inner):
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class Gathering(layers.Module):
    def __init__(self, shared):
        self.named = {"first": shared, "second": layers.Linear(3, 2)}
        self.listed = [(shared, og.Variable(np.ones(2), name="scale"))]
        self.counter = og.Variable(np.zeros(()), name="counter", trainable=False)
        self.itself = self
        self.title = "a string"

    def forward(self, x, factor=1.0):
        return self.named["first"](x) * factor


def test_linear_multiplies_and_adds_its_bias():
    linear = layers.Linear(3, 2)
    data = rng.normal(size=(5, 3)).astype(np.float32)
    linear.bias.set_val([1.0, -2.0])
    value = og.RunTime().run(linear(data))
    np.testing.assert_allclose(value, data @ linear.weights.val + [1, -2], rtol=1e-6)
    assert linear.weights.val.any()
    assert layers.Linear(3, 2, bias=False).bias is None
    assert layers.Linear(3, 2, dtype=np.float64).weights.dtype == np.float64
    assert (layers.Linear(3, 2, initializer=initializers.OnesInitializer()).weights.val == 1).all()


def test_sequential_calls_modules_and_functions_in_order():
    x = np.array([[-1.0, 2.0]])
    model = layers.Sequential(layers.ReLU(), lambda node: node - 1.0, layers.Tanh(), og.exp, layers.Sigmoid())
    inner = np.exp(np.tanh(np.maximum(x, 0) - 1))
    np.testing.assert_allclose(og.RunTime().run(model(x)), 1 / (1 + np.exp(-inner)), rtol=1e-14)
    assert layers.Sequential()(x) is x


def test_parameters_are_found_wherever_they_are_kept_each_once():
    shared = layers.Linear(3, 2)
    module = Gathering(shared)
    names = module.named_parameters(only_trainable=False)
    assert list(names) == [
        "named.first.weights",
        "named.first.bias",
        "named.second.weights",
        "named.second.bias",
        "listed.0.1",
        "counter",
    ]
    assert names["named.first.weights"] is shared.weights
    assert module.parameters() == [v for v in names.values() if v.trainable]


def test_modules_take_what_their_forward_takes():
    module = Gathering(layers.Linear(3, 2))
    data = np.ones((1, 3), np.float32)
    one, two = og.RunTime().run([module(data), module(data, factor=2.0)])
    np.testing.assert_allclose(two, 2 * one, rtol=1e-6)


def test_each_module_has_a_name_scope_of_its_own(graph):
    first, second = layers.Linear(3, 3), layers.Linear(3, 3)
    model = layers.Sequential(first, Residual(layers.Sequential(second, layers.ReLU())))
    y = model(og.placeholder((None, 3)))
    assert [v.name for v in model.parameters()] == [
        "linear/weights",
        "linear/bias",
        "linear_1/weights",
        "linear_1/bias",
    ]
    assert y.name == "sequential/residual/add"
    product = y.inputs[1].inputs[0].inputs[0]
    assert product.name == "sequential/residual/sequential/linear_1/matmul"
    again = model(og.placeholder((None, 3)))
    assert again.name == "sequential/residual/add_1"


def test_a_module_may_be_given_its_name():
    linear = layers.Linear(3, 2)
    linear.name = "encoder"
    assert linear(og.placeholder((None, 3))).name == "encoder/add"


def test_the_layers_of_an_mlp_lie_in_its_scope_and_are_named_alike_in_every_graph():
    names = []
    for _ in range(2):
        with og.Graph().as_default_graph():
            names.append([v.name for v in layers.MLP([3, 5, 2]).parameters()])
    assert (
        names[0] == names[1] == ["mlp/linear/weights", "mlp/linear/bias", "mlp/linear_1/weights", "mlp/linear_1/bias"]
    )


def test_an_mlp_has_an_activation_between_each_two_layers_and_none_at_the_end():
    model = layers.NN([3, 5, 4, 2], activation=og.tanh)
    weights = [p.val for p in model.parameters()]
    data = rng.normal(size=(6, 3)).astype(np.float32)
    expected = data
    for i in range(0, 6, 2):
        expected = expected @ weights[i] + weights[i + 1]
        expected = np.tanh(expected) if i < 4 else expected
    np.testing.assert_allclose(og.RunTime().run(model(data)), expected, rtol=1e-5, atol=1e-6)


def test_initializing_the_graph_draws_the_weights_again(graph):
    linear = layers.Linear(3, 2)
    before = linear.weights.val
    linear.bias.set_val([1.0, 1.0])
    graph.initialize_variables(seed=1)
    first = linear.weights.val
    assert (first != before).all()
    assert not linear.bias.val.any()
    graph.initialize_variables(seed=1)
    np.testing.assert_array_equal(linear.weights.val, first)


def test_a_network_learns_exclusive_or(graph):
    x, target = og.placeholder((None, 2)), og.placeholder((None, 1))
    model = layers.MLP([2, 8, 1], activation=layers.Tanh())
    graph.initialize_variables(seed=0)
    loss = mse_loss(model(x), target)
    step = og.RunTime().compile([x, target], [loss], optimizers.Adam(0.05).minimize(loss, model.parameters()))
    data = [[0, 0], [0, 1], [1, 0], [1, 1]]
    losses = [float(step(data, [[0], [1], [1], [0]])[0]) for _ in range(300)]
    assert losses[-1] < 1e-3 < losses[0]


def test_the_second_spelling_is_the_same_class():
    assert layers.ReLu is layers.ReLU
    assert layers.NN is layers.MLP


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Linear(3, -1), "Linear: outputs must be an integer from 0, not -1"),
        (lambda: layers.Linear(3.0, 2), "Linear: inputs must be an integer from 0, not 3.0"),
        (lambda: layers.MLP([3]), r"MLP: sizes are those of the input and of every layer, two or more, not \[3\]"),
        (lambda: layers.Sequential(layers.ReLU(), 3), "Sequential: layers are functions of a node, which 3 is not"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(og.ArgumentError, match=message) as caught:
        make()
    assert "test_layers.py" in str(caught.value)


def test_a_batch_of_another_width_names_the_layer_and_the_line():
    with pytest.raises(og.ShapeError, match="variable 'linear/weights'") as caught:
        layers.Linear(3, 2)(og.placeholder((None, 4)))
    assert "test_layers.py" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Linear(2, 3, dtype=np.int32), "Linear: weights are floating-point or .* not int32"),
        (lambda: layers.Linear(2, 3, dtype="words"), "Linear: 'words' is no dtype"),
        (lambda: layers.Linear(2**62, 2**62), "Linear: .* is more than an array can hold"),
        (lambda: layers.Linear(2, 3, initializer=lambda shape, rng: np.zeros(7)), r"a value of shape \(7,\)"),
        (lambda: layers.Linear(2, 3, initializer=lambda shape, rng: 1 / 0), "its initializer raised ZeroDivisionError"),
        (lambda: layers.Linear(2, 3, initializer=3), "its initializer raised TypeError"),
        (lambda: layers.MLP(3), "MLP: sizes are those of the input and of every layer, two or more, not 3"),
    ],
)
def test_what_makes_no_weights_is_refused(make, message):
    with pytest.raises(og.OpgraphError, match=message) as caught:
        make()
    assert "at test_layers.py" in str(caught.value)
