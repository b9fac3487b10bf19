"""The workloads of ``benchmarks/compare.py``: their sizes and data, and a file for each library that does them.

Such a file holds `MODULES`, the modules that must be there, the one named first being the library, and `BUILDERS`:
by workload, a function of the data that returns a `Task`. Nothing but the library's file imports the library.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Data = Mapping[str, np.ndarray]

LAYERS = (784, 512, 256, 10)
BATCH = 128
ELEMENTS = 1_000_000
HIDDEN = 100
VOCABULARY = 65
UNROLLED = 20
SEQUENCES = 8
BATCHES = 4  # that training goes through in turn
SCALAR_STEPS = 500
TINY_STEPS = 500  # of two instructions each

LEARNING_RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8  # of Adam


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


def parameter_names(data: Data) -> list[str]:
    """Return the names of what training changes."""
    return [name for name in data if name not in ("inputs", "labels")]


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


def _mlp(rng: np.random.Generator) -> dict[str, np.ndarray]:
    data = {
        "inputs": rng.random((BATCHES, BATCH, LAYERS[0]), np.float32),
        "labels": rng.integers(0, LAYERS[-1], (BATCHES, BATCH)),
    }
    for i, (before, after) in enumerate(itertools.pairwise(LAYERS)):
        data[f"w{i}"] = rng.standard_normal((before, after), np.float32) * np.float32((2 / before) ** 0.5)
        data[f"b{i}"] = np.zeros(after, np.float32)
    return data


def _rnn(rng: np.random.Generator) -> dict[str, np.ndarray]:
    text = rng.integers(0, VOCABULARY, (BATCHES, UNROLLED + 1, SEQUENCES))

    def weights(before: int, after: int) -> np.ndarray:
        return rng.standard_normal((before, after), np.float32) * np.float32(before**-0.5)

    return {
        "inputs": np.eye(VOCABULARY, dtype=np.float32)[text[:, :-1]],
        "labels": text[:, 1:].copy(),
        "wxh": weights(VOCABULARY, HIDDEN),
        "whh": weights(HIDDEN, HIDDEN),
        "bh": np.zeros(HIDDEN, np.float32),
        "why": weights(HIDDEN, VOCABULARY),
        "by": np.zeros(VOCABULARY, np.float32),
    }


def _elementwise(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {name: rng.standard_normal(ELEMENTS, np.float32) for name in "abc"}


def _scalar(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": np.array(0.5)}


def _tiny(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.standard_normal(8, np.float32)}


WORKLOADS = {
    "mlp": Workload("MLP 784-512-256-10, batch 128, relu, softmax cross-entropy, Adam, whole step", 20, 1e-3, _mlp),
    "elementwise": Workload(
        "`sum(tanh(ab+c) sigmoid(a-c) + exp(-b²))`, 10⁶ elements, value and three gradients", 20, 1e-5, _elementwise
    ),
    "rnn": Workload(
        "char-RNN: hidden 100, vocabulary 65, 20 steps unrolled, batch 8, Adam, whole step", 20, 1e-3, _rnn
    ),
    "scalar": Workload("500 times `y = sin(y)·1.01 + 0.1`, float64, value and gradient", 20, 1e-12, _scalar),
    "tiny": Workload("500 times `y = tanh(y + x)` on 8 elements", 20, 1e-5, _tiny),
}
