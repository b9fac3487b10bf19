"""PyTensor: graphs compiled to functions, by Numba where it is installed."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from workloads import (
    BETA1,
    BETA2,
    EPSILON,
    LEARNING_RATE,
    SCALAR_STEPS,
    UNROLLED,
    Data,
    Task,
    nothing,
    parameter_names,
)

MODE = "NUMBA" if find_spec("numba") else None
MODULES = ("pytensor", "numba", "numpy") if MODE else ("pytensor", "numpy")
Parameters = dict[str, Any]


def mlp(data: Data) -> Task:
    """Compile the step of training."""

    def loss(p: Parameters, inputs: Any, labels: Any) -> Any:
        h = pt.maximum(inputs @ p["w0"] + p["b0"], 0)
        h = pt.maximum(h @ p["w1"] + p["b1"], 0)
        return _cross_entropy(h @ p["w2"] + p["b2"], labels)

    return _training(data, pt.matrix("inputs", dtype="float32"), pt.vector("labels", dtype="int64"), loss)


def rnn(data: Data) -> Task:
    """Compile the step of training, its loop unrolled."""

    def loss(p: Parameters, inputs: Any, labels: Any) -> Any:
        h = pt.zeros((inputs.shape[1], p["bh"].shape[0]), "float32")
        losses = []
        for t in range(UNROLLED):
            h = pt.tanh(inputs[t] @ p["wxh"] + h @ p["whh"] + p["bh"])
            losses.append(_cross_entropy(h @ p["why"] + p["by"], labels[t]))
        return sum(losses[1:], losses[0]) / np.float32(UNROLLED)

    return _training(data, pt.tensor3("inputs", dtype="float32"), pt.matrix("labels", dtype="int64"), loss)


def _cross_entropy(logits: Any, labels: Any) -> Any:
    log_softmax = pt.special.log_softmax(logits, axis=-1)
    return -log_softmax[pt.arange(labels.shape[0]), labels].mean(dtype="float32")


def _training(data: Data, inputs: Any, labels: Any, loss_of: Callable[..., Any]) -> Task:
    p = {name: pytensor.shared(data[name], name) for name in parameter_names(data)}
    moments = {name: [pytensor.shared(np.zeros_like(data[name])) for _ in "mv"] for name in p}
    steps = pytensor.shared(np.array(0.0))
    loss = loss_of(p, inputs, labels)
    updates: dict[Any, Any] = {steps: steps + 1}
    rate = pt.cast(LEARNING_RATE / (1 - BETA1 ** (steps + 1)), "float32")
    root = pt.cast(pt.sqrt(1 - BETA2 ** (steps + 1)), "float32")
    for (name, w), g in zip(p.items(), pytensor.grad(loss, list(p.values())), strict=True):
        m_slot, v_slot = moments[name]
        updates[m_slot] = m = np.float32(BETA1) * m_slot + np.float32(1 - BETA1) * g
        updates[v_slot] = v = np.float32(BETA2) * v_slot + np.float32(1 - BETA2) * g * g
        updates[w] = w - rate * m / (pt.sqrt(v) / root + np.float32(EPSILON))
    train = pytensor.function([inputs, labels], loss, updates=updates, mode=MODE)
    batches = list(zip(data["inputs"], data["labels"], strict=True))

    def reset() -> None:
        for name, slots in moments.items():
            p[name].set_value(data[name])
            for slot in slots:
                slot.set_value(np.zeros_like(data[name]))
        steps.set_value(np.array(0.0))

    return Task(reset, lambda number: [train(*batches[number % len(batches)])])


def elementwise(data: Data) -> Task:
    """Compile the value with its gradients."""
    inputs = a, b, c = [pt.vector(name, dtype="float32") for name in "abc"]
    y = (pt.tanh(a * b + c) * pt.sigmoid(a - c) + pt.exp(-pt.square(b))).sum(dtype="float32")
    compute = pytensor.function(inputs, [y, *pytensor.grad(y, inputs)], mode=MODE)
    arrays = [data[name] for name in "abc"]
    return Task(nothing, lambda number: compute(*arrays))


def scalar(data: Data) -> Task:
    """Compile the chain with its gradient, rolled up: unrolled, it is deeper than Python lets PyTensor recurse."""
    x = pt.scalar("x", dtype="float64")
    values = pytensor.scan(
        lambda y: pt.sin(y) * 1.01 + 0.1, outputs_info=x, n_steps=SCALAR_STEPS, mode=MODE, return_updates=False
    )
    y = values[-1]
    compute = pytensor.function([x], [y, pytensor.grad(y, x)], mode=MODE)
    return Task(nothing, lambda number: compute(data["x"]))


BUILDERS = {"mlp": mlp, "rnn": rnn, "elementwise": elementwise, "scalar": scalar}
