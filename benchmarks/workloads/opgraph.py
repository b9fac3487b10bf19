"""opgraph: graphs compiled to programs."""

import numpy as np

import opgraph as og
import opgraph_nn  # noqa: F401  # its import is not part of the first result
from workloads import SCALAR_STEPS, TINY_STEPS, Data, Task, nothing

MODULES = ("opgraph-core", "opgraph-nn", "numpy")
_runtime: dict[str, int] = {}


def set_threads(threads: int) -> None:
    """Let the run times work on `threads`."""
    _runtime["threads"] = threads


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


BUILDERS = {"elementwise": elementwise, "scalar": scalar, "tiny": tiny}
