"""Train in one graph and test in others: one builder makes them, and values go from one to the other by name.

    python examples/three_graphs.py

Batch normalization works differently in training and in use, so that these are two graphs. Their variables have the
same names, since the same function made them in the same order. Besides the weights, the moving averages of
each layer's mean and variance have to be carried over, which are variables that no optimizer trains.

1. The training graph: `is_training=True`.
2. A test graph that watches: after each epoch its variables are set to the present values, one by one.
3. A test graph made at the end, initialized with all values at once: what a program that only predicts would do.
"""

import argparse
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph_nn import fused_batch_norm, relu, softmax_cross_entropy_loss
from opgraph_nn.initializers import HeNormalInitializer, OnesInitializer, ZerosInitializer
from opgraph_nn.optimizers import Adam
from opgraph_vision import conv2d, datasets, global_avgpool2d, maxpool2d

BATCH_SIZE = 64


class Model(NamedTuple):
    """A graph with the nodes that are fed to it and fetched from it."""

    graph: og.Graph
    images: og.Placeholder
    labels: og.Placeholder
    loss: og.Node
    logits: og.Node


def build(is_training: bool) -> Model:
    """Return a ConvNet in a graph of its own."""
    with og.Graph().as_default_graph() as graph:
        images = og.placeholder((None, 8, 8, 1), name="images")
        labels = og.placeholder((None, 10), name="labels")
        x = conv_block(images, 1, 24, is_training)
        x = maxpool2d(conv_block(x, 24, 48, is_training), kernel_size=2)
        x = global_avgpool2d(conv_block(x, 48, 96, is_training))
        weights = og.variable((96, 10), HeNormalInitializer(), name="weights")
        logits = x @ weights + og.variable((10,), ZerosInitializer(), name="bias")
        loss = og.reduce_mean(softmax_cross_entropy_loss(labels, logits))
    return Model(graph, images, labels, loss, logits)


def conv_block(x: og.Node, taken: int, given: int, is_training: bool) -> og.Node:
    """Return a 3x3 convolution, normalized, and what of it is positive: (N, H, W, taken) -> (N, H, W, given)."""
    kernel = og.variable((3, 3, taken, given), HeNormalInitializer(), name="kernel")
    scale = og.variable((given,), OnesInitializer(), name="scale")
    offset = og.variable((given,), ZerosInitializer(), name="offset")
    mean = og.variable((given,), ZerosInitializer(), name="mean", trainable=False)
    variance = og.variable((given,), OnesInitializer(), name="variance", trainable=False)
    x = fused_batch_norm(conv2d(x, kernel), scale, offset, mean, variance, decay=0.9, is_training=is_training)
    return relu(x)


def accuracy(model: Model, rt: og.RunTime, images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the proportion of images that a model reads as labelled."""
    predicted = rt.run(model.logits, {model.images: images}).argmax(axis=1)
    return float(np.mean(predicted == labels))


def main() -> None:
    """Train, and print what comes of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8, help="how often to go through the images (8)")
    parser.add_argument("--seed", type=int, default=0, help="of the initial values and the order (0)")
    args = parser.parse_args()

    images, labels = datasets.digits()
    seen, held_out = datasets.stratified_split(labels, fraction=0.2)
    one_hot = np.eye(10, dtype=np.float32)
    rng = np.random.default_rng(args.seed)
    rt = og.RunTime(seed=args.seed)

    training, watching = build(is_training=True), build(is_training=False)
    step = rt.compile([training.images, training.labels], [training.loss], updates=Adam(3e-3).minimize(training.loss))
    training.graph.initialize_variables(seed=args.seed)

    for epoch in range(args.epochs):
        order = rng.permutation(seen)
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            step(images[batch], one_hot[labels[batch]])

        pairs = zip(*(model.graph.get_variables(only_trainable=False) for model in (training, watching)), strict=True)
        for trained, watched in pairs:
            watched.set_val(trained.val)
        value = accuracy(watching, rt, images[held_out], labels[held_out])
        print(f"epoch {epoch + 1:2} of {args.epochs}  held-out accuracy {value:.4f}", flush=True)

    values = {variable.name: variable.val for variable in training.graph.get_variables(only_trainable=False)}
    final = build(is_training=False)
    final.graph.initialize_variables(values)
    value = accuracy(final, rt, images[held_out], labels[held_out])
    print(f"held-out accuracy {value:.4f} in a new graph, with {len(values)} variables carried over by name")


if __name__ == "__main__":
    main()
