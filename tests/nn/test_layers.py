"""Modules of graph nodes: what they compute, the variables found in them, their name scopes."""

import operator

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


def test_flatten_keeps_the_rows():
    images = rng.normal(size=(4, 2, 3, 5))
    flatten = layers.Flatten()
    for shape in [(4, 2, 3, 5), (None, 2, 3, 5)]:
        x = og.placeholder(shape, np.float64)
        y = flatten(x)
        assert y.shape == (shape[0], 30)
        np.testing.assert_array_equal(og.RunTime().run(y, {x: images}), images.reshape(4, 30))
    assert flatten(og.placeholder((None,))).shape == (None, 1)
    assert flatten(og.placeholder((2, 0, 3))).shape == (2, 0)
    for unknown in [(None, None, 3), ()]:
        with pytest.raises(
            og.ShapeError, match=r"Flatten: takes \(N, …\), all sizes but N known, not <placeholder"
        ) as caught:
            flatten(og.placeholder(unknown))
        assert "at test_layers.py" in str(caught.value)


def test_dropout_drops_in_training_alone():
    ones = np.ones((50, 40))
    layer = layers.Dropout(0.25)
    kept = og.RunTime(seed=0).run(layer(ones))
    assert set(np.unique(kept)) == {0.0, 1 / 0.75}
    assert 0.7 < (kept > 0).mean() < 0.8
    x = og.constant(ones)
    assert layer(x, is_training=False) is x


def normalized(x, scale, offset, mean, variance, epsilon):
    return scale * (x - mean) / np.sqrt(variance + epsilon) + offset


def test_batch_norm_takes_the_batch_s_statistics_in_training_and_moving_ones_in_use():
    data = rng.normal(3.0, 2.0, size=(6, 5, 4))
    x = og.placeholder((None, 5, 4), np.float64)
    norm = layers.BatchNorm(4, decay=0.75, epsilon=0.01, dtype=np.float64)
    norm.scale.set_val([1.0, 2.0, 0.5, -1.0])
    norm.offset.set_val([0.0, 1.0, 2.0, 3.0])
    trained, used = norm(x), norm(x, is_training=False)
    scale, offset, mean, variance = norm.scale.val, norm.offset.val, data.mean((0, 1)), data.var((0, 1))
    runtime = og.RunTime()
    np.testing.assert_allclose(runtime.run(used, {x: data}), normalized(data, scale, offset, 0, 1, 0.01), rtol=1e-12)
    found = runtime.run(trained, {x: data})
    np.testing.assert_allclose(found, normalized(data, scale, offset, mean, variance, 0.01), rtol=1e-9)
    moved = 0.25 * mean, 0.75 + 0.25 * data.var((0, 1), ddof=1)
    np.testing.assert_allclose(norm.mean.val, moved[0], rtol=1e-12)
    np.testing.assert_allclose(norm.variance.val, moved[1], rtol=1e-12)
    found = runtime.run(used, {x: data})
    np.testing.assert_allclose(found, normalized(data, scale, offset, *moved, 0.01), rtol=1e-12)
    assert norm.parameters() == [norm.scale, norm.offset]
    assert len(norm.parameters(only_trainable=False)) == 4


def test_a_step_of_training_follows_the_differences_through_all_layers(graph):
    data, wanted = rng.normal(size=(6, 2, 3)), rng.normal(size=(6, 2))
    x = og.placeholder((None, 2, 3), np.float64)
    linear = layers.Linear(6, 2, dtype=np.float64)
    norm = layers.BatchNorm(2, dtype=np.float64)
    model = layers.Sequential(layers.Flatten(), linear, norm, layers.Tanh(), layers.Dropout(0.0))
    graph.initialize_variables(seed=0)
    before = {v: v.val for v in model.parameters()}

    def loss_at(weights, bias, scale, offset):
        product = data.reshape(6, 6) @ weights + bias
        y = np.tanh(normalized(product, scale, offset, product.mean(0), product.var(0), 0.001))
        return ((y - wanted) ** 2).mean()

    loss = mse_loss(model(x), wanted)
    step = og.RunTime().compile([x], [loss], optimizers.SGD(0.5).minimize(loss, model.parameters()))
    np.testing.assert_allclose(step(data)[0], loss_at(*before.values()), rtol=1e-12)
    values = list(before.values())
    for i, variable in enumerate(before):
        for at in np.ndindex(variable.shape):
            losses = []
            for shift in (1e-5, -1e-5):
                moved = [value.copy() for value in values]
                moved[i][at] += shift
                losses.append(loss_at(*moved))
            slope = (losses[0] - losses[1]) / 2e-5
            np.testing.assert_allclose(variable.val[at], values[i][at] - 0.5 * slope, rtol=1e-6, atol=1e-9)


def test_sequential_tells_those_layers_of_training_that_ask():
    told = []

    def probe(x, is_training):
        told.append(is_training)
        return x

    inner = layers.Sequential(layers.ReLU(), probe)
    model = layers.Sequential(probe, og.tanh, operator.attrgetter("T"), inner)  # whose signature nobody knows
    x = og.placeholder((2, 3))
    model(x)
    model(x, is_training=False)
    assert told == [True, True, False, False]


def test_a_module_makes_variables_in_its_scope(graph):
    class Scale(layers.Module):
        def __init__(self, size):
            self.factor = self.make_variable("factor", (size,), initializers.OnesInitializer())

        def forward(self, x):
            return x * self.factor

    module = Scale(3)
    assert module.factor.name == "scale/factor"
    assert module.factor.val.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(og.ShapeError, match="Scale: ") as caught:
        Scale(-3)
    assert "at test_layers.py" in str(caught.value)


def test_the_second_spelling_is_the_same_class():
    assert layers.ReLu is layers.ReLU
    assert layers.NN is layers.MLP


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Linear(3, -1), "Linear: outputs must be an integer from 0, not -1"),
        (lambda: layers.Linear(3.0, 2), "Linear: inputs must be an integer from 0, not 3.0"),
        (lambda: layers.Dropout(1.5), r"Dropout: rate must be a number in \[0, 1\], not 1.5"),
        (lambda: layers.BatchNorm(2.5), "BatchNorm: channels must be an integer from 0, not 2.5"),
        (lambda: layers.BatchNorm(2, decay=2), r"BatchNorm: decay must be a number in \[0, 1\], not 2"),
        (lambda: layers.MLP([3]), r"MLP: sizes are those of the input and of every layer, two or more, not \[3\]"),
        (lambda: layers.Sequential(layers.ReLU(), 3), "Sequential: layers are functions of a node, which 3 is not"),
        (
            lambda: layers.Sequential(layers.ReLU),
            r"Sequential: layers are .*, which the class ReLU is not; write ReLU\(",
        ),
        (lambda: layers.MLP([2, 3, 1], layers.Tanh), r"layers are .*, which the class Tanh is not; write Tanh\("),
        (lambda: layers.Sequential([layers.ReLU()]), r"layers are .*, which \[<.*>\] is not; unpack .* Sequential\(\*"),
        (lambda: layers.ReLU().make_variable((3, 2)), r"make_variable: missing .* 'shape'\n +make_variable\(name: str"),
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
        (lambda: layers.Linear(2, 3, dtype=np.int32), "Linear: weights must be of floating-point or .* not int32"),
        (lambda: layers.Linear(2, 3, dtype="words"), "Linear: 'words' is no dtype"),
        (lambda: layers.Linear(2**62, 2**62), "Linear: .* is more than an array can hold"),
        (lambda: layers.Linear(2, 3, initializer=lambda shape, rng: np.zeros(7)), r"a value of shape \(7,\)"),
        (lambda: layers.Linear(2, 3, initializer=lambda shape, rng: 1 / 0), "its initializer raised ZeroDivisionError"),
        (lambda: layers.Linear(2, 3, initializer=3), r"initializer must be callable with \(shape, rng\), 3 is"),
        (lambda: layers.Linear(2, 3, initializer=initializers.OnesInitializer), r"not the class .*OnesInitializer\("),
        (lambda: layers.MLP(3), "MLP: sizes are those of the input and of every layer, two or more, not 3"),
    ],
)
def test_what_makes_no_weights_is_refused(make, message):
    with pytest.raises(og.OpgraphError, match=message) as caught:
        make()
    assert "at test_layers.py" in str(caught.value)
