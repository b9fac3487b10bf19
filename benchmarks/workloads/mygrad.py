"""MyGrad: tensors over NumPy that record what made them."""

from collections.abc import Callable

import mygrad as mg
import numpy as np
from mygrad.nnet.activations import relu, sigmoid
from mygrad.nnet.losses import softmax_crossentropy

from workloads import SCALAR_STEPS, UNROLLED, Data, Task, nothing, parameter_names
from workloads.adam import Adam

MODULES = ("mygrad", "numpy")
Parameters = dict[str, mg.Tensor]


def mlp(data: Data) -> Task:
    """Train tensors."""

    def loss(p: Parameters, inputs: np.ndarray, labels: np.ndarray) -> mg.Tensor:
        h = relu(inputs @ p["w0"] + p["b0"])
        h = relu(h @ p["w1"] + p["b1"])
        return softmax_crossentropy(h @ p["w2"] + p["b2"], labels)

    return _training(data, loss)


def rnn(data: Data) -> Task:
    """Train tensors, the loss added up."""

    def loss(p: Parameters, inputs: np.ndarray, labels: np.ndarray) -> mg.Tensor:
        h = np.zeros((inputs.shape[1], p["bh"].size), np.float32)
        total = np.float32(0)
        for t in range(UNROLLED):
            h = mg.tanh(inputs[t] @ p["wxh"] + mg.matmul(h, p["whh"]) + p["bh"])
            total = total + softmax_crossentropy(h @ p["why"] + p["by"], labels[t])
        return total / np.float32(UNROLLED)

    return _training(data, loss)


def _training(data: Data, loss_of: Callable[..., mg.Tensor]) -> Task:
    batches = list(zip(data["inputs"], data["labels"], strict=True))
    p: Parameters = {}
    adam: Adam

    def reset() -> None:
        nonlocal adam
        p.update((name, mg.tensor(data[name])) for name in parameter_names(data))
        adam = Adam([tensor.data for tensor in p.values()])

    def step(number: int) -> list[np.ndarray]:
        loss = loss_of(p, *batches[number % len(batches)])
        loss.backward()
        adam.step([tensor.grad for tensor in p.values()])
        return [loss.data]

    return Task(reset, step)


def elementwise(data: Data) -> Task:
    """Differentiate by three tensors."""
    inputs = a, b, c = [mg.tensor(data[name], copy=False) for name in "abc"]

    def step(number: int) -> list[np.ndarray]:
        y = (mg.tanh(a * b + c) * sigmoid(a - c) + mg.exp(-(b * b))).sum()
        y.backward()
        return [y.data, *(x.grad for x in inputs)]

    return Task(nothing, step)


def scalar(data: Data) -> Task:
    """Differentiate a loop."""
    x = mg.tensor(data["x"])

    def step(number: int) -> list[np.ndarray]:
        y = x
        for _ in range(SCALAR_STEPS):
            y = mg.sin(y) * 1.01 + 0.1
        y.backward()
        return [y.data, x.grad]

    return Task(nothing, step)


BUILDERS = {"mlp": mlp, "rnn": rnn, "elementwise": elementwise, "scalar": scalar}
