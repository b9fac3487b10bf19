"""Initial values of variables: called with a shape, and a NumPy generator for those that draw.

``og.variable((3, 2), initializers.HeNormalInitializer())`` is the usual way to call one. An initializer
made with a seed gives the same values for the same shape, whichever generator it is handed; one without
draws from that generator, or from a new one where there is none.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_numbers

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
        with og.placing(type(self).__name__, og.user_source()):
            check_numbers(self, value="[-inf, inf]")

    def __call__(self, shape: Shape, rng: Generator | None = None) -> og.Array:
        return np.full(shape, self.value)


class RandomInitializer(ABC):
    """What initializers that draw share: the choice of a generator, by their `seed` or the caller."""

    seed: int | None

    def __post_init__(self) -> None:
        with og.placing(type(self).__name__, og.user_source()):
            self._check()

    def _check(self) -> None:
        """Raise `ArgumentError` for a parameter out of range; numbers become floats."""
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

    def _check(self) -> None:
        super()._check()
        check_numbers(self, minval="(-inf, inf)")
        check_numbers(self, maxval=f"[{self.minval}, inf)")

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        return rng.uniform(self.minval, self.maxval, shape)


@dataclass(frozen=True)
class RandomNormalInitializer(RandomInitializer):
    """Draw from the normal distribution."""

    mean: float = 0.0
    stddev: float = 1.0
    seed: int | None = None

    def _check(self) -> None:
        super()._check()
        check_numbers(self, mean="(-inf, inf)", stddev="[0, inf)")

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        return rng.normal(self.mean, self.stddev, shape)


@dataclass(frozen=True)
class TruncatedNormalInitializer(RandomNormalInitializer):
    """Draw from the normal distribution, again where a value is over two `stddev` from the `mean`.

    So the values deviate by 0.880 `stddev` in the end.
    """

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        values = np.asarray(rng.standard_normal(shape))
        while (outside := np.abs(values) > 2).any():
            values[outside] = rng.standard_normal(np.count_nonzero(outside))
        return self.mean + self.stddev * values


@dataclass(frozen=True)
class ScaledInitializer(RandomInitializer):
    """What initializers share that go by the `fans` of a kernel.

    `transposed` says that the kernel serves the transposed convolution, where its two fans change places.
    """

    seed: int | None = None
    transposed: bool = False

    def fans(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the fans of a kernel, not below 1: they are 0 only where there is nothing to draw."""
        fan_in, fan_out = (max(fan, 1) for fan in fans(shape))
        return (fan_out, fan_in) if self.transposed else (fan_in, fan_out)


class GlorotUniformInitializer(ScaledInitializer):
    """Draw evenly from ±sqrt(6 / (fan_in + fan_out)).

    Keeps the variance of signals and of gradients from layer to layer under tanh (Glorot & Bengio,
    "Understanding the difficulty of training deep feedforward neural networks", 2010, equation 16).
    """

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        return _uniform(shape, rng, 2 / sum(self.fans(shape)))


class GlorotNormalInitializer(ScaledInitializer):
    """Draw from the normal distribution of variance 2 / (fan_in + fan_out).

    As `GlorotUniformInitializer` (Glorot & Bengio 2010, equation 12).
    """

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        return _normal(shape, rng, 2 / sum(self.fans(shape)))


class HeUniformInitializer(ScaledInitializer):
    """Draw evenly from ±sqrt(6 / fan_in), the variance of `HeNormalInitializer`."""

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        return _uniform(shape, rng, 2 / self.fans(shape)[0])


class HeNormalInitializer(ScaledInitializer):
    """Draw from the normal distribution of variance 2 / fan_in.

    Keeps the variance of signals from layer to layer under ReLU (He et al., "Delving deep into
    rectifiers", 2015, equation 10).
    """

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        return _normal(shape, rng, 2 / self.fans(shape)[0])


class LecunUniformInitializer(ScaledInitializer):
    """Draw evenly from ±sqrt(3 / fan_in), the variance of `LecunNormalInitializer`."""

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        return _uniform(shape, rng, 1 / self.fans(shape)[0])


class LecunNormalInitializer(ScaledInitializer):
    """Draw from the normal distribution of variance 1 / fan_in.

    Keeps the variance of signals through a layer without activation, and under SELU (LeCun et al.,
    "Efficient backprop", 1998, equation 16).
    """

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        return _normal(shape, rng, 1 / self.fans(shape)[0])


@dataclass(frozen=True)
class OrthogonalInitializer(RandomInitializer):
    """Draw a matrix whose rows or columns, the fewer of them, are orthogonal and of length `gain`.

    Of all such matrices each is as likely (Saxe et al., "Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks", 2014; the signs after Mezzadri, "How to generate random
    matrices from the classical compact groups", 2007, section 5). A kernel counts as the matrix of all its
    axes but the last by the last.
    """

    gain: float = 1.0
    seed: int | None = None

    def _check(self) -> None:
        super()._check()
        check_numbers(self, gain="(-inf, inf)")

    def draw(self, shape: tuple[int, ...], rng: Generator) -> og.Array:
        if len(shape) < 2:
            raise og.ShapeError(f"OrthogonalInitializer: {shape} must have two dimensions or more")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.where(np.diagonal(r) < 0, -self.gain, self.gain)
        return np.reshape(q if rows >= columns else q.T, shape)


def fans(shape: Shape) -> tuple[int, int]:
    """Return how many values feed one output of a kernel, and how many outputs one value feeds.

    Parameters
    ----------
    shape
        ``[in, out]`` of a dense kernel; ``[kh, kw, in, out]`` of a convolution's, whose fans are the
        channels times the receptive field kh * kw. A vector counts as both its size, a scalar as 1. The
        kernel of a transposed convolution is that of the convolution it transposes: there the first fan is
        of the outputs, the second of the inputs.
    """
    if len(shape) < 2:
        return (math.prod(shape), math.prod(shape))
    *field, channels_in, channels_out = shape
    return (channels_in * math.prod(field), channels_out * math.prod(field))


def _uniform(shape: tuple[int, ...], rng: Generator, variance: float) -> og.Array:
    limit = math.sqrt(3 * variance)
    return rng.uniform(-limit, limit, shape)


def _normal(shape: tuple[int, ...], rng: Generator, variance: float) -> og.Array:
    return rng.normal(0.0, math.sqrt(variance), shape)
