"""Layers of ConvNets, held against the ops, loops and differences."""

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_grads
from opgraph_nn import initializers, optimizers
from opgraph_nn.layers import BatchNorm, Dropout, Flatten, Linear, ReLU, Sequential, Tanh
from opgraph_vision.layers import AvgPool2D, Conv2D, MaxPool2D

rng = np.random.default_rng(4)


def convolved(images, kernel):
    """The convolution by a loop over all windows that lie inside."""
    height, width = kernel.shape[:2]
    n, rows, columns, _ = images.shape
    y = np.zeros((n, rows - height + 1, columns - width + 1, kernel.shape[3]))
    for i, j in np.ndindex(y.shape[1:3]):
        y[:, i, j] = np.einsum("nhwc,hwco->no", images[:, i : i + height, j : j + width], kernel)
    return y


def test_conv2d_convolves_and_adds_its_bias():
    layer = Conv2D(3, 4, (2, 3), padding="VALID", dtype=np.float64)
    layer.bias.set_val([1.0, 2.0, 3.0, 4.0])
    assert layer.kernel.shape == (2, 3, 3, 4)
    assert layer.kernel.name == "conv2d/kernel"
    images = rng.normal(size=(2, 5, 6, 3))
    x = og.placeholder((None, None, None, 3), np.float64)
    expected = convolved(images, layer.kernel.val) + np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(og.RunTime().run(layer(x), {x: images}), expected, rtol=1e-12, atol=1e-12)


def test_conv2d_hands_on_how_windows_lie():
    x = og.placeholder((None, 9, 8, 3))
    assert Conv2D(3, 4, 3)(x).shape == (None, 9, 8, 4)
    assert Conv2D(3, 4, 3, strides=(2, 3))(x).shape == (None, 5, 3, 4)
    assert Conv2D(3, 4, 3, padding=2, dilations=2)(x).shape == (None, 9, 8, 4)
    plain = Conv2D(3, 4, 3, bias=False, initializer=initializers.OnesInitializer())
    assert plain.bias is None
    assert (plain.kernel.val == 1).all()
    assert plain.parameters() == [plain.kernel]


def test_pools_reduce_their_windows():
    images = rng.normal(size=(2, 4, 6, 3))
    windows = images.reshape(2, 2, 2, 3, 2, 3)
    x = og.constant(images)
    found = og.RunTime().run([MaxPool2D(2)(x), AvgPool2D((2, 2))(x)])
    np.testing.assert_array_equal(found[0], windows.max((2, 4)))
    np.testing.assert_allclose(found[1], windows.mean((2, 4)), rtol=1e-12)
    assert MaxPool2D(3, strides=1, padding="SAME")(x).shape == (2, 4, 6, 3)
    assert AvgPool2D(3, 2)(x).shape == (2, 1, 2, 3)


def convnet():
    return Sequential(
        Conv2D(1, 4, 3, dtype=np.float64),
        BatchNorm(4, dtype=np.float64),
        Tanh(),
        AvgPool2D(2),
        Conv2D(4, 2, (3, 1), padding="VALID", dtype=np.float64),
        MaxPool2D((1, 2)),
        Flatten(),
        Dropout(0.0),
        Linear(4, 3, dtype=np.float64),
    )


def test_the_gradients_of_a_convnet_agree_with_differences(graph):
    model = convnet()
    graph.initialize_variables(seed=1)
    y = model(rng.normal(size=(3, 8, 4, 1)))
    assert y.shape == (3, 3)
    check_grads(y, model.parameters(), {}, order=1)


def test_a_convnet_of_layers_learns_where_a_bar_stands(graph):
    images = np.zeros((6, 6, 6, 1), np.float32)
    for i in range(6):
        images[i, :, i] = 1.0
    labels = np.arange(6)
    x = og.placeholder((None, 6, 6, 1))
    model = Sequential(
        Conv2D(1, 4, 3), BatchNorm(4, decay=0.5), ReLU(), MaxPool2D((2, 1)), Dropout(0.1), Flatten(), Linear(72, 6)
    )
    graph.initialize_variables(seed=0)
    loss = og.reduce_mean(og.sparse_softmax_cross_entropy_loss(labels, model(x)))
    guess = og.argmax(model(x, is_training=False), 1)
    runtime = og.RunTime(seed=0)
    step = runtime.compile([x], [loss], optimizers.Adam(0.03).minimize(loss, model.parameters()))
    losses = [float(step(images)[0]) for _ in range(40)]
    assert losses[-1] < 0.1 < losses[0]
    assert runtime.run(guess, {x: images}).tolist() == labels.tolist()
    assert runtime.run(guess, {x: images[2:3]}).tolist() == [2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: Conv2D(-1, 4, 3), "Conv2D: "),
        (lambda x: Conv2D(3, 4, 3, dtype=np.int64), "Conv2D: kernel must be of floating-point or complex numbers"),
        (lambda x: Conv2D(3, 4, (3, 3, 3))(x), r"conv2d: kernel has shape \(3, 3, 3, 3, 4\); kernels are"),
        (lambda x: Conv2D(3, 4, 3, strides=0)(x), r"conv2d: strides \(0, 0\): both must be at least 1"),
        (lambda x: Conv2D(2, 4, 3)(x), r"conv2d: x .* has 3 channels, the kernel takes 2"),
        (lambda x: MaxPool2D(9)(x), r"maxpool2d: .* \(9, 9\)"),
        (lambda x: AvgPool2D(2, padding=1)(x), "avgpool2d: .*padding"),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(og.OpgraphError, match=message) as caught:
        make(og.placeholder((None, 5, 6, 3)))
    assert "at test_layers.py" in str(caught.value)
