"""A ConvNet that learns to read digits: the model, its programs, the loop. An example to copy from.

``opgraph demo`` runs it.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph_nn import dropout, fused_batch_norm, relu, softmax_cross_entropy_loss
from opgraph_nn.initializers import GlorotUniformInitializer, HeNormalInitializer, OnesInitializer, ZerosInitializer
from opgraph_nn.optimizers import Adam
from opgraph_vision import conv2d, maxpool2d

CLASSES = 10
LEARNING_RATE = 2e-3
FINE_LEARNING_RATE = 2e-4  # for the last quarter of the epochs


class ConvBlock:
    """A 3x3 convolution, batch normalization and relu: (N, H, W, taken) -> (N, H, W, given)."""

    def __init__(self, taken: int, given: int) -> None:
        self.kernel = og.variable((3, 3, taken, given), HeNormalInitializer(), name="kernel")
        self.scale = og.variable((given,), OnesInitializer(), name="scale")
        self.offset = og.variable((given,), ZerosInitializer(), name="offset")
        self.mean = og.variable((given,), ZerosInitializer(), name="mean", trainable=False)
        self.variance = og.variable((given,), OnesInitializer(), name="variance", trainable=False)

    def __call__(self, x: og.Node, is_training: bool) -> og.Node:
        x = conv2d(x, self.kernel, padding="SAME")
        statistics = (self.mean, self.variance)
        x = fused_batch_norm(x, self.scale, self.offset, *statistics, decay=0.9, is_training=is_training)
        return relu(x)


class ConvNet:
    """Three blocks, averaged over the image, and a dense layer: (N, H, W, 1) -> (N, 10), the logits."""

    def __init__(self) -> None:
        self.blocks = [ConvBlock(1, 32), ConvBlock(32, 64), ConvBlock(64, 128)]
        self.weights = og.variable((128, CLASSES), GlorotUniformInitializer(), name="weights")
        self.bias = og.variable((CLASSES,), ZerosInitializer(), name="bias")

    def __call__(self, images: og.Node, is_training: bool) -> og.Node:
        first, second, third = self.blocks
        x = second(first(images, is_training), is_training)
        x = third(maxpool2d(x, kernel_size=2), is_training)
        x = og.reduce_mean(x, axis=(1, 2))
        return dropout(x, rate=0.3, is_training=is_training) @ self.weights + self.bias


def train(
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    epochs: int,
    batch_size: int,
    seed: int,
    report: Callable[[int, int, float], None] = lambda epoch, batch, loss: None,
) -> Callable[[NDArray[np.float32]], NDArray[np.int64]]:
    """Train a `ConvNet` on images (N, 8, 8, 1) with labels (N,), and return what predicts labels.

    Parameters
    ----------
    seed
        Of the initial values, the order of the images, and dropout.
    report
        Called after each batch with the numbers of epoch and batch, from 0, and the loss.
    """
    graph = og.Graph()
    with graph.as_default_graph():
        # one set of variables, applied twice: to learn and to predict
        model = ConvNet()
        x = og.placeholder((None, *images.shape[1:]), name="images")
        t = og.placeholder((None, CLASSES), name="labels")
        loss = og.reduce_mean(softmax_cross_entropy_loss(t, model(x, is_training=True)))
        logits = model(x, is_training=False)

        runtime = og.RunTime(seed=seed)
        # towards the end, with smaller steps and with moments that start anew
        step, fine_step = (
            runtime.compile([x, t], [loss], updates=Adam(rate).minimize(loss))
            for rate in (LEARNING_RATE, FINE_LEARNING_RATE)
        )
        compute_logits = runtime.compile([x], [logits])

        graph.initialize_variables(seed=seed)

    rng = np.random.default_rng(seed)
    one_hot = np.eye(CLASSES, dtype=np.float32)
    for epoch in range(epochs):
        run_step = step if epoch < 0.75 * epochs else fine_step
        for number, batch in enumerate(shuffled_batches(len(images), batch_size, rng)):
            [value] = run_step(images[batch], one_hot[labels[batch]])
            report(epoch, number, float(value))

    def predict(images: NDArray[np.float32]) -> NDArray[np.int64]:
        [values] = compute_logits(images)
        classes: NDArray[np.int64] = values.argmax(axis=1)
        return classes

    return predict


def shuffled_batches(count: int, batch_size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the numbers below `count` in random order, `batch_size` at a time, the last time those left over."""
    order = rng.permutation(count)
    for start in range(0, count, batch_size):
        yield order[start : start + batch_size]
