"""opgraph: graphs compiled to programs."""

import numpy as np

import opgraph as og
import opgraph_nn as nn
from workloads import (
    BETA1,
    BETA2,
    EPSILON,
    LEARNING_RATE,
    SCALAR_STEPS,
    TINY_STEPS,
    UNROLLED,
    Data,
    Task,
    nothing,
    parameter_names,
)

MODULES = ("opgraph-core", "opgraph-nn", "numpy")
_runtime: dict[str, int] = {}


def set_threads(threads: int) -> None:
    """Let the run times work on `threads`."""
    _runtime["threads"] = threads


def mlp(data: Data) -> Task:
    """Compile the step of training."""
    p = _variables(data)
    inputs = og.placeholder((None, *data["inputs"].shape[2:]), name="inputs")
    labels = og.placeholder((None,), dtype=data["labels"].dtype, name="labels")
    h = nn.relu(inputs @ p["w0"] + p["b0"])
    h = nn.relu(h @ p["w1"] + p["b1"])
    loss = og.reduce_mean(nn.sparse_softmax_cross_entropy_loss(labels, h @ p["w2"] + p["b2"]))
    return _training(data, inputs, labels, loss)


def rnn(data: Data) -> Task:
    """Compile the step of training, its loop unrolled."""
    p = _variables(data)
    inputs = og.placeholder(data["inputs"].shape[1:], name="inputs")
    labels = og.placeholder(data["labels"].shape[1:], dtype=data["labels"].dtype, name="labels")
    h: og.NodeLike = np.zeros((inputs.shape[1], p["bh"].shape[0]), np.float32)
    losses = []
    for t in range(UNROLLED):
        h = og.tanh(inputs[t] @ p["wxh"] + og.matmul(h, p["whh"]) + p["bh"])
        losses.append(og.reduce_mean(nn.sparse_softmax_cross_entropy_loss(labels[t], h @ p["why"] + p["by"])))
    return _training(data, inputs, labels, sum(losses[1:], losses[0]) / UNROLLED)


def _variables(data: Data) -> dict[str, og.Variable]:
    return {
        name: og.variable(data[name].shape, lambda shape, rng, name=name: data[name], name=name)
        for name in parameter_names(data)
    }


def _training(data: Data, inputs: og.Placeholder, labels: og.Placeholder, loss: og.Node) -> Task:
    optimizer = nn.optimizers.Adam(LEARNING_RATE, BETA1, BETA2, EPSILON)
    program = og.RunTime(**_runtime).compile([inputs, labels], [loss], updates=optimizer.minimize(loss))
    batches = list(zip(data["inputs"], data["labels"], strict=True))
    return Task(loss.graph.initialize_variables, lambda number: program(*batches[number % len(batches)]))


def elementwise(data: Data) -> Task:
    """Compile the value with its gradients."""
    inputs = a, b, c = [og.placeholder((None,), name=name) for name in "abc"]
    y = og.reduce_sum(og.tanh(a * b + c) * og.sigmoid(a - c) + og.exp(-og.square(b)))
    program = og.RunTime(**_runtime).compile(inputs, [y, *og.grad(y, inputs)])
    arrays = [data[name] for name in "abc"]
    return Task(nothing, lambda number: program(*arrays))


def scalar(data: Data) -> Task:
    """Compile the chain with its gradient."""
    x = y = og.placeholder((), dtype=np.float64, name="x")
    for _ in range(SCALAR_STEPS):
        y = og.sin(y) * 1.01 + 0.1
    program = og.RunTime(**_runtime).compile([x], [y, og.grad(y, x)])
    return Task(nothing, lambda number: program(data["x"]))


def tiny(data: Data) -> Task:
    """Compile a chain of small calls."""
    x = og.placeholder((8,), name="x")
    y = og.zeros_like(x)
    for _ in range(TINY_STEPS):
        y = og.tanh(y + x)
    program = og.RunTime(**_runtime).compile([x], [y])
    return Task(nothing, lambda number: program(data["x"]))


BUILDERS = {"mlp": mlp, "rnn": rnn, "elementwise": elementwise, "scalar": scalar, "tiny": tiny}
