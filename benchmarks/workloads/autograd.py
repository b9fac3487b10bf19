"""Autograd: NumPy, traced anew in every step."""

from collections.abc import Callable

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad
from autograd.scipy.special import expit, logsumexp

from workloads import SCALAR_STEPS, UNROLLED, Data, Task, nothing, parameter_names
from workloads.adam import Adam

MODULES = ("autograd", "numpy")
Parameters = dict[str, np.ndarray]


def mlp(data: Data) -> Task:
    """Differentiate by a dictionary of parameters."""

    def loss(p: Parameters, inputs: np.ndarray, marks: np.ndarray) -> np.ndarray:
        h = anp.maximum(inputs @ p["w0"] + p["b0"], 0)
        h = anp.maximum(h @ p["w1"] + p["b1"], 0)
        return _cross_entropy(h @ p["w2"] + p["b2"], marks)

    return _training(data, loss)


def rnn(data: Data) -> Task:
    """Differentiate by a dictionary of parameters."""

    def loss(p: Parameters, inputs: np.ndarray, marks: np.ndarray) -> np.ndarray:
        h = np.zeros((inputs.shape[1], p["bh"].size), np.float32)
        total = np.float32(0)
        for t in range(UNROLLED):
            h = anp.tanh(inputs[t] @ p["wxh"] + anp.dot(h, p["whh"]) + p["bh"])
            total = total + _cross_entropy(h @ p["why"] + p["by"], marks[t])
        return total / UNROLLED

    return _training(data, loss)


def _cross_entropy(logits: np.ndarray, marks: np.ndarray) -> np.ndarray:
    return anp.mean(logsumexp(logits, axis=1) - anp.sum(logits * marks, axis=1))


def _training(data: Data, loss_of: Callable[..., np.ndarray]) -> Task:
    classes = data["w2" if "w2" in data else "why"].shape[1]
    batches = list(zip(data["inputs"], np.eye(classes, dtype=np.float32)[data["labels"]], strict=True))
    p: Parameters = {}
    adam: Adam
    differentiate = value_and_grad(loss_of)

    def reset() -> None:
        nonlocal adam
        p.update((name, data[name].copy()) for name in parameter_names(data))
        adam = Adam(list(p.values()))

    def step(number: int) -> list[np.ndarray]:
        loss, gradients = differentiate(p, *batches[number % len(batches)])
        adam.step([gradients[name] for name in p])
        return [loss]

    return Task(reset, step)


def elementwise(data: Data) -> Task:
    """Differentiate by a tuple of arrays."""

    def value(arrays: tuple[np.ndarray, ...]) -> np.ndarray:
        a, b, c = arrays
        return anp.sum(anp.tanh(a * b + c) * expit(a - c) + anp.exp(-(b * b)))

    differentiate = value_and_grad(value)
    arrays = tuple(data[name] for name in "abc")

    def step(number: int) -> list[np.ndarray]:
        y, gradients = differentiate(arrays)
        return [y, *gradients]

    return Task(nothing, step)


def scalar(data: Data) -> Task:
    """Differentiate a loop."""

    def value(x: float) -> float:
        y = x
        for _ in range(SCALAR_STEPS):
            y = anp.sin(y) * 1.01 + 0.1
        return y

    differentiate = value_and_grad(value)
    x = float(data["x"])
    return Task(nothing, lambda number: differentiate(x))


BUILDERS = {"mlp": mlp, "rnn": rnn, "elementwise": elementwise, "scalar": scalar}
