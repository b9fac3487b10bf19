"""PyTorch, eager."""

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from workloads import BETA1, BETA2, EPSILON, LAYERS, LEARNING_RATE, SCALAR_STEPS, UNROLLED, Data, Task, nothing

MODULES = ("torch",)


def set_threads(threads: int) -> None:
    """Let an operation work on `threads`."""
    torch.set_num_threads(threads)


def mlp(data: Data) -> Task:
    """Train a sequence of modules."""
    layers = [nn.Linear(before, after) for before, after in itertools.pairwise(LAYERS)]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    weights = {f"{2 * i}.weight": data[f"w{i}"].T for i in range(3)}
    biases = {f"{2 * i}.bias": data[f"b{i}"] for i in range(3)}

    def loss(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(model(inputs), labels)

    return _training(data, model, weights | biases, loss)


class _CharRNN(nn.Module):
    def __init__(self, vocabulary: int, hidden: int) -> None:
        super().__init__()
        self.xh = nn.Linear(vocabulary, hidden, bias=False)
        self.hh = nn.Linear(hidden, hidden)
        self.hy = nn.Linear(hidden, vocabulary)

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(inputs.shape[1], self.hh.in_features)
        loss = torch.zeros(())
        for x, label in zip(inputs, labels, strict=True):
            h = torch.tanh(self.xh(x) + self.hh(h))
            loss = loss + functional.cross_entropy(self.hy(h), label)
        return loss / UNROLLED


def rnn(data: Data) -> Task:
    """Train a module that adds its losses up."""
    model = _CharRNN(*data["wxh"].shape)
    initial = {
        "xh.weight": data["wxh"].T,
        "hh.weight": data["whh"].T,
        "hh.bias": data["bh"],
        "hy.weight": data["why"].T,
        "hy.bias": data["by"],
    }
    return _training(data, model, initial, model)


def _training(
    data: Data,
    model: nn.Module,
    initial: Mapping[str, np.ndarray],
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> Task:
    inputs, labels = torch.from_numpy(data["inputs"]), torch.from_numpy(data["labels"])
    batches = list(zip(inputs, labels, strict=True))
    optimizer: torch.optim.Optimizer

    def reset() -> None:
        nonlocal optimizer
        model.load_state_dict({name: torch.from_numpy(value) for name, value in initial.items()})
        optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, (BETA1, BETA2), EPSILON)

    def step(number: int) -> list[torch.Tensor]:
        optimizer.zero_grad()
        loss = loss_of(*batches[number % len(batches)])
        loss.backward()
        optimizer.step()
        return [loss.detach()]

    return Task(reset, step)


def elementwise(data: Data) -> Task:
    """Differentiate by autograd."""
    inputs = a, b, c = [torch.from_numpy(data[name]).requires_grad_() for name in "abc"]

    def step(number: int) -> list[torch.Tensor]:
        y = (torch.tanh(a * b + c) * torch.sigmoid(a - c) + torch.exp(-(b * b))).sum()
        return [y.detach(), *torch.autograd.grad(y, inputs)]

    return Task(nothing, step)


def scalar(data: Data) -> Task:
    """Differentiate by autograd."""
    x = torch.from_numpy(data["x"]).requires_grad_()

    def step(number: int) -> list[torch.Tensor]:
        y = x
        for _ in range(SCALAR_STEPS):
            y = torch.sin(y) * 1.01 + 0.1
        return [y.detach(), *torch.autograd.grad(y, x)]

    return Task(nothing, step)


BUILDERS = {"mlp": mlp, "rnn": rnn, "elementwise": elementwise, "scalar": scalar}
