"""Initial values of variables: called with a shape, and a NumPy generator for those that draw.

``og.variable((3, 2), initializers.HeNormalInitializer())`` is the usual way to call one. An initializer
made with a seed gives the same values for the same shape, whichever generator it is handed; one without
draws from that generator, or from a new one where there is none.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_number

Shape = Sequence[int]
Generator = np.random.Generator


@dataclass(frozen=True)
class ZerosInitializer:
    """Give zeros."""

    def __call__(self, shape: Shape, rng: Generator | None = None) -> og.Array:
        return np.zeros(shape)


@dataclass(frozen=True)
class OnesInitializer:
    """Give ones."""

    def __call__(self, shape: Shape, rng: Generator | None = None) -> og.Array:
        return np.ones(shape)


@dataclass(frozen=True)
class ConstantInitializer:
    """Give one number everywhere."""

    value: float = 0.0

    def __post_init__(self) -> None:
        _check_numbers(self, value="[-inf, inf]")

    def __call__(self, shape: Shape, rng: Generator | None = None) -> og.Array:
        return np.full(shape, float(self.value))


class RandomInitializer(ABC):
    """What initializers that draw share: the choice of a generator, by their `seed` or the caller."""

    seed: int | None

    def __post_init__(self) -> None:
        with og.placing(type(self).__name__, og.user_source()):
            if self.seed is not None and (not isinstance(self.seed, int | np.integer) or self.seed < 0):
                raise og.ArgumentError(f"seed must be an integer from 0 or None, not {self.seed!r}")

    def __call__(self, shape: Shape, rng: Generator | None = None) -> og.Array:
        if self.seed is not None or rng is None:
            rng = np.random.default_rng(self.seed)
        return self.draw(tuple(shape), rng)

    @abstractmethod
    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        """Return values of `shape` drawn with `rng`."""


@dataclass(frozen=True)
class RandomUniformInitializer(RandomInitializer):
    """Draw evenly from `minval` up to, but not including, `maxval`."""

    minval: float = -0.05
    maxval: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_numbers(self, minval="(-inf, inf)", maxval=f"[{self.minval}, inf)")

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        return rng.uniform(self.minval, self.maxval, shape)


@dataclass(frozen=True)
class RandomNormalInitializer(RandomInitializer):
    """Draw from the normal distribution."""

    mean: float = 0.0
    stddev: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_numbers(self, mean="(-inf, inf)", stddev="[0, inf)")

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        return rng.normal(self.mean, self.stddev, shape)


@dataclass(frozen=True)
class TruncatedNormalInitializer(RandomInitializer):
    """Draw from the normal distribution, again where a value is over two `stddev` from the `mean`.

    So the values deviate by 0.880 `stddev` in the end.
    """

    mean: float = 0.0
    stddev: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_numbers(self, mean="(-inf, inf)", stddev="[0, inf)")

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        values = np.asarray(rng.standard_normal(shape))
        while (outside := np.abs(values) > 2).any():
            values[outside] = rng.standard_normal(np.count_nonzero(outside))
        return self.mean + self.stddev * values


@dataclass(frozen=True)
class GlorotUniformInitializer(RandomInitializer):
    """Draw evenly from ±sqrt(6 / (fan_in + fan_out)).

    Keeps the variance of signals and of gradients from layer to layer under tanh (Glorot & Bengio,
    "Understanding the difficulty of training deep feedforward neural networks", 2010, equation 16).
    """

    seed: int | None = None

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        limit = math.sqrt(6 / _at_least_1(sum(fans(shape))))
        return rng.uniform(-limit, limit, shape)


@dataclass(frozen=True)
class GlorotNormalInitializer(RandomInitializer):
    """Draw from the normal distribution of variance 2 / (fan_in + fan_out).

    As `GlorotUniformInitializer` (Glorot & Bengio 2010, equation 12).
    """

    seed: int | None = None

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        return rng.normal(0.0, math.sqrt(2 / _at_least_1(sum(fans(shape)))), shape)


@dataclass(frozen=True)
class HeUniformInitializer(RandomInitializer):
    """Draw evenly from ±sqrt(6 / fan_in), the variance of `HeNormalInitializer`."""

    seed: int | None = None

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        limit = math.sqrt(6 / _at_least_1(fans(shape)[0]))
        return rng.uniform(-limit, limit, shape)


@dataclass(frozen=True)
class HeNormalInitializer(RandomInitializer):
    """Draw from the normal distribution of variance 2 / fan_in.

    Keeps the variance of signals from layer to layer under ReLU (He et al., "Delving deep into
    rectifiers", 2015, equation 10).
    """

    seed: int | None = None

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        return rng.normal(0.0, math.sqrt(2 / _at_least_1(fans(shape)[0])), shape)


def fans(shape: Shape) -> tuple[int, int]:
    """Return how many values feed one output of a kernel, and how many outputs one value feeds.

    Parameters
    ----------
    shape
        ``[in, out]`` of a dense kernel; ``[kh, kw, in, out]`` of a convolution's, whose fans are the
        channels times the receptive field kh * kw. A vector counts as both its size, a scalar as 1.
    """
    if len(shape) < 2:
        return (math.prod(shape), math.prod(shape))
    *field, channels_in, channels_out = shape
    return (channels_in * math.prod(field), channels_out * math.prod(field))


def _at_least_1(fan: int) -> int:
    return max(fan, 1)  # 0 only where there is nothing to draw


def _check_numbers(initializer: Any, **intervals: str) -> None:
    with og.placing(type(initializer).__name__, og.user_source()):
        for name, interval in intervals.items():
            check_number(name, getattr(initializer, name), interval)
