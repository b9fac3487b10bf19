"""Train a LeNet on 4,000 handwritten digits of MNIST, and see how well it reads 1,000 others.

    pip install "opgraph-vision[mnist]"
    python examples/lenet_mnist.py

The layers are those of LeNet-5 (LeCun et al., "Gradient-based learning applied to document recognition", 1998,
section II B) with more channels, and with what has been found since: relu, the maximum as pooling, dropout, Adam.
"""

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

import opgraph as og
from opgraph_nn import dropout, relu, softmax_cross_entropy_loss
from opgraph_nn.initializers import HeNormalInitializer, ZerosInitializer
from opgraph_nn.optimizers import Adam
from opgraph_vision import conv2d, datasets, maxpool2d

BATCH_SIZE = 50


class Layer:
    """Weights and bias: a kernel (kh, kw, in, out) is convolved with images, a matrix (in, out) multiplied."""

    def __init__(self, *shape: int) -> None:
        self.weights = og.variable(shape, HeNormalInitializer(), name="weights")
        self.bias = og.variable(shape[-1:], ZerosInitializer(), name="bias")

    def __call__(self, x: og.Node) -> og.Node:
        is_convolution = self.weights.ndim == 4
        return (conv2d(x, self.weights, padding="VALID") if is_convolution else x @ self.weights) + self.bias


class LeNet:
    """Two convolutions, each followed by pooling, and three dense layers: (N, 28, 28, 1) -> (N, 10)."""

    def __init__(self) -> None:
        self.convolutions = [Layer(5, 5, 1, 16), Layer(5, 5, 16, 32)]
        self.dense = [Layer(4 * 4 * 32, 120), Layer(120, 84)]
        self.last = Layer(84, 10)

    def __call__(self, x: og.Node, is_training: bool) -> og.Node:
        for layer in self.convolutions:
            x = maxpool2d(relu(layer(x)), kernel_size=2)
        x = og.reshape(x, (-1, 4 * 4 * 32))
        for layer in self.dense:
            x = dropout(relu(layer(x)), rate=0.3, is_training=is_training)
        return self.last(x)


def main() -> None:
    """Train, and print what comes of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15, help="how often to go through the images (15)")
    parser.add_argument("--seed", type=int, default=0, help="of the initial values, the order and dropout (0)")
    args = parser.parse_args()

    images, labels = datasets.mnist()
    seen, held_out = datasets.stratified_split(labels, fraction=0.2)  # 400 and 100 of each digit
    one_hot = np.eye(10, dtype=np.float32)

    # one set of variables, applied twice: to learn and to predict
    model = LeNet()
    x, t = og.placeholder((None, 28, 28, 1), name="images"), og.placeholder((None, 10), name="labels")
    loss = og.reduce_mean(softmax_cross_entropy_loss(t, model(x, is_training=True)))
    logits = model(x, is_training=False)

    rt = og.RunTime(seed=args.seed)
    step = rt.compile([x, t], [loss], updates=Adam(1e-3).minimize(loss))
    predict = rt.compile([x], [logits])
    og.get_default_graph().initialize_variables(seed=args.seed)

    rng = np.random.default_rng(args.seed)
    started = time.perf_counter()
    # matrices this small gain little from threads, which on a busy machine wait for each other
    with threadpool_limits(1, user_api="blas"):
        for epoch in range(args.epochs):
            batches = rng.permutation(seen).reshape(-1, BATCH_SIZE)
            losses = [step(images[batch], one_hot[labels[batch]])[0] for batch in batches]
            print(f"epoch {epoch + 1:2} of {args.epochs}  loss {np.mean(losses):.4f}", flush=True)

    [values] = predict(images[held_out])
    accuracy = np.mean(values.argmax(axis=1) == labels[held_out])
    print(f"held-out accuracy {accuracy:.4f} after {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
