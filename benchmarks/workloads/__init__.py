"""The workloads of ``benchmarks/compare.py``: their sizes and data, and a file for each library that does them.

Such a file holds `MODULES`, the modules that must be there, the one named first being the library, and `BUILDERS`:
by workload, a function of the data that returns a `Task`. Nothing but the library's file imports the library.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Data = Mapping[str, np.ndarray]

ELEMENTS = 1_000_000
SCALAR_STEPS = 500
TINY_STEPS = 500  # of two instructions each


class Task(NamedTuple):
    """A workload built in a library.

    Attributes
    ----------
    reset
        Puts the initial values back.
    step
        Takes the number of the step; does it whole, and returns arrays or what NumPy makes arrays of.
    """

    reset: Callable[[], None]
    step: Callable[[int], Sequence[Any]]


def nothing() -> None:
    """Reset what holds no state."""


@dataclass(frozen=True)
class Workload:
    """What is measured.

    Attributes
    ----------
    title
        As the table has it.
    steps
        How many a library does before the next one has its turn; state is reset before.
    tolerance
        How far the results of the last of them may be from each other, relative to the largest element.
    make
        Returns the data.
    """

    title: str
    steps: int
    tolerance: float
    make: Callable[[np.random.Generator], dict[str, np.ndarray]]


def _elementwise(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {name: rng.standard_normal(ELEMENTS, np.float32) for name in "abc"}


def _scalar(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": np.array(0.5)}


def _tiny(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.standard_normal(8, np.float32)}


WORKLOADS = {
    "elementwise": Workload(
        "`sum(tanh(ab+c) sigmoid(a-c) + exp(-b²))`, 10⁶ elements, value and three gradients", 20, 1e-5, _elementwise
    ),
    "scalar": Workload("500 times `y = sin(y)·1.01 + 0.1`, float64, value and gradient", 20, 1e-12, _scalar),
    "tiny": Workload("500 times `y = tanh(y + x)` on 8 elements", 20, 1e-5, _tiny),
}
