"""PyTorch, eager."""

import torch

from workloads import SCALAR_STEPS, Data, Task, nothing

MODULES = ("torch",)


def set_threads(threads: int) -> None:
    """Let an operation work on `threads`."""
    torch.set_num_threads(threads)


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


BUILDERS = {"elementwise": elementwise, "scalar": scalar}
