"""Activations, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Protocol

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_number, float_dtype


class Unary(Protocol):
    """A function of one operand."""

    def __call__(self, x: og.NodeLike) -> og.Node: ...


class Relu(og.Elementwise, name="nn.relu"):
    """Take the positive part of each element: max(x, 0). Integers stay integers.

    The gradient at 0 is 0.
    """

    inplace = True
    floating = False
    info = og.OpInfo(reference=lambda x: np.where(x > 0, x, 0), kinks=(0.0,))

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        return _ordered(*ins)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        return outs

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x,), (y,), (zeros,) = ins, outs, scratch
        zeros.fill(0)  # beside a scalar NumPy takes the maximum of one element at a time
        np.maximum(x, zeros, out=y)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        # y is positive where x is, so that x need not be kept
        return (cotangents[0] * og.apply(Step(), outs[0]),)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        return _away_from_zero(rng)


class LeakyRelu(og.Elementwise, name="nn.leaky_relu"):
    """Take positive elements as they are and the others times `alpha`. The gradient at 0 is `alpha`."""

    info = og.OpInfo(reference=lambda x, alpha=0.2: np.where(x > 0, x, alpha * x), kinks=(0.0,))
    alpha: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("alpha", self.alpha)

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        return float_dtype(*ins)

    def compute(self, ins: og.Arrays, outs: og.Arrays) -> None:
        (x,), (y,) = ins, outs
        if self.alpha == 0:  # which infinity times would be NaN
            y.fill(0)
            np.maximum(x, y, out=y)
        else:
            np.multiply(x, self.alpha, y)
            (np.maximum if self.alpha <= 1 else np.minimum)(x, y, out=y)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        # y has the sign of x for these alphas, so that x need not be kept
        x = outs[0] if self.alpha >= 0 else ins[0]
        return (cotangents[0] * og.apply(Step(self.alpha), x),)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for shape, attrs in (((2, 3), {}), ((), {"alpha": 1.5}), ((4, 1, 2), {"alpha": -0.5}), ((3, 0), {})):
            yield og.Sample((_nonzero(rng, shape),), attrs, id=f"{shape}")
        yield og.Sample((_nonzero(rng, (5,)),), {"alpha": 0.0}, id="alpha 0")
        yield og.Sample((rng.integers(-5, 5, (2, 3)),), raises=og.DtypeError, id="integers")


class Step(og.Elementwise, name="nn._step"):
    """Tell positive elements from the others: 1 where x > 0, else `alpha`. Its gradient is zero."""

    inplace = True
    floating = False
    info = og.OpInfo(
        reference=lambda x, alpha=0.0: np.where(x > 0, 1, alpha).astype(x.dtype), kinks=(0.0,), zero_gradient=(0,)
    )
    alpha: float = 0.0

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        return _ordered(*ins)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        if not self.alpha:
            return ()
        return outs if 0 < self.alpha < 1 else (outs[0].with_dtype(np.bool),)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x,), (y,) = ins, outs
        zero = x.dtype.type(0)
        if not scratch:
            np.greater(x, zero, y)
        elif 0 < self.alpha < 1:  # which takes an eighth of the time of copies to chosen places
            np.greater(x, zero, y)
            np.copyto(scratch[0], self.alpha, casting="unsafe")
            np.maximum(y, scratch[0], out=y)
        else:
            np.greater(x, zero, scratch[0])
            np.copyto(y, self.alpha, casting="unsafe")
            np.copyto(y, 1, where=scratch[0], casting="unsafe")

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        return (None,)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        yield from _away_from_zero(rng)
        yield og.Sample((_nonzero(rng, (3, 2)),), {"alpha": 0.2}, id="leaky")


class Smooth(og.Elementwise):
    """What activations share whose formula would overflow in float16: it is computed in float32, in work space.

    Class attributes
    ----------------
    spaces : int
        How many arrays the work takes, beside one number: NumPy takes twice as long beside one of Python's.
    """

    inplace = True
    spaces: ClassVar[int] = 2

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        return float_dtype(*ins)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        (y,) = outs
        wide = y.with_dtype(og.wide_dtype(y.dtype))
        return (wide.with_shape(()), *(wide,) * self.spaces)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for shape in ((2, 3), (), (4, 1, 2), (3, 0)):
            yield og.Sample((rng.normal(size=shape) * 2,), id=f"{shape}")
        yield og.Sample((rng.integers(-5, 5, (2, 3)),), raises=og.DtypeError, id="integers")
        yield og.Sample((rng.normal(size=(2, 3)) * 1j,), raises=og.DtypeError, id="complex")


class Sigmoid(Smooth, name="nn.sigmoid"):
    """Squeeze each element between 0 and 1: y = 1 / (1 + exp(-x)). Its derivative is y * (1 - y)."""

    info = og.OpInfo(reference=lambda x: 1 / (1 + np.exp(-x)))
    spaces = 1

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x,), (y,), (one, power) = ins, outs, scratch
        one.fill(1)
        np.negative(x, power)
        np.exp(power, power)  # infinite for large -x, where 1 / (1 + inf) is 0 as it should be
        np.add(power, one, power)
        np.divide(one, power, y)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (x,), (y,), (g,) = ins, outs, cotangents
        # in float32, 1 - y has lost three digits of five at x = 7, and is 0 from 17 on
        return (g * (y * sigmoid(-x)),)

    def read_by(self, reader: og.Op) -> Callable[..., og.Node] | None:
        return log_sigmoid if reader.name == "core.log" else None


class Softplus(Smooth, name="nn.softplus"):
    """Smooth the positive part: log(1 + exp(beta * x)) / beta, without overflow."""

    info = og.OpInfo(reference=lambda x, beta=1.0: np.log1p(np.exp(beta * x)) / beta)
    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("beta", self.beta, "(0, inf)")

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x,), (y,), (beta, power, positive) = ins, outs, scratch
        beta.fill(self.beta)
        # max(x, 0) + log1p(exp(-abs(x))) takes an eighth of the time of logaddexp(x, 0)
        np.multiply(x, beta, power)
        positive.fill(0)
        np.maximum(power, positive, out=positive)
        np.absolute(power, power)
        np.negative(power, power)
        np.exp(power, power)
        np.log1p(power, power)
        np.add(power, positive, power)
        np.divide(power, beta, y)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        return (cotangents[0] * sigmoid(ins[0] * self.beta),)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        yield from super().samples(rng)
        yield og.Sample((rng.normal(size=(3, 2)),), {"beta": 2.5}, id="beta")


class Silu(Smooth, name="nn.silu"):
    """Weigh each element by its sigmoid: x * sigmoid(x)."""

    info = og.OpInfo(reference=lambda x: x / (1 + np.exp(-x)))

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x,), (y,), (one, power, bounded) = ins, outs, scratch
        one.fill(1)
        bounded.fill(-_SATURATED)  # minus infinity by infinity would be NaN
        np.maximum(x, bounded, out=bounded)
        np.negative(bounded, power)
        np.exp(power, power)
        np.add(power, one, power)
        np.divide(bounded, power, y)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (x,), (g,) = ins, cotangents
        s = sigmoid(x)
        # 0 times infinity is NaN, 0 times this is 0
        bounded = og.clip(x, -_SATURATED, _SATURATED)
        return (g * (s + bounded * (s * sigmoid(-x))),)


class Elu(og.Elementwise, name="nn.elu"):
    """Take positive elements as they are, and alpha * (exp(x) - 1) of the others.

    The gradient at 0 is `alpha`.
    """

    inplace = True
    info = og.OpInfo(reference=lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x)), kinks=(0.0,))
    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("alpha", self.alpha)

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        return float_dtype(*ins)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        return outs * 2

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x,), (y,), (zeros, power) = ins, outs, scratch
        zeros.fill(0)
        np.minimum(x, zeros, out=power)
        np.expm1(power, power)
        np.multiply(power, self.alpha, power)
        np.maximum(x, zeros, out=y)
        np.add(y, power, y)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (x,), (g,) = ins, cotangents
        above = x > 0
        # a large x, whose exponential is not wanted, must not make an infinite one
        slope = og.exp(og.where(above, 0, x)) * self.alpha
        return (g * og.where(above, 1, slope),)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for shape, attrs in (((2, 3), {}), ((), {"alpha": 0.5}), ((4, 1, 2), {"alpha": 2.0}), ((3, 0), {})):
            yield og.Sample((_nonzero(rng, shape),), attrs, id=f"{shape}")
        yield og.Sample((rng.integers(-5, 5, (2, 3)),), raises=og.DtypeError, id="integers")


relu: Unary = og.front_door(Relu)
sigmoid: Unary = og.front_door(Sigmoid)
silu: Unary = og.front_door(Silu)


@og.front_door_for(LeakyRelu)
def leaky_relu(x: og.NodeLike, alpha: float = 0.2) -> og.Node:
    """Take positive elements as they are and the others times `alpha`: (…) -> (…).

    The gradient at 0 is `alpha`. Integers give the default float. (Maas et al., "Rectifier nonlinearities
    improve neural network acoustic models", 2013.)

    Raises
    ------
    ArgumentError
        Where `alpha` is no finite number.
    """
    (node,) = og.promote(x, floating=True, what="leaky_relu")
    return og.apply(og.make_op(LeakyRelu, alpha=alpha), node)


@og.front_door_for(Elu)
def elu(x: og.NodeLike, alpha: float = 1.0) -> og.Node:
    """Take positive elements as they are, and alpha * (exp(x) - 1) of the others: (…) -> (…).

    The gradient at 0 is `alpha`. Integers give the default float. (Clevert et al., "Fast and accurate deep
    network learning by exponential linear units", 2016, equation 15.)

    Raises
    ------
    ArgumentError
        Where `alpha` is no finite number.
    """
    (node,) = og.promote(x, floating=True, what="elu")
    return og.apply(og.make_op(Elu, alpha=alpha), node)


@og.guarded
def selu(x: og.NodeLike) -> og.Node:
    """Scale `elu` so that layers keep mean 0 and variance 1: (…) -> (…).

    1.0507… * elu(x, 1.6733…) (Klambauer et al., "Self-normalizing neural networks", 2017, equation 2).
    The gradient at 0 is the product of the two, 1.7581….
    """
    (node,) = og.promote(x, floating=True, what="selu")
    return elu(node, _SELU_ALPHA) * _SELU_SCALE


@og.guarded
def gelu(x: og.NodeLike, approximate: bool = False) -> og.Node:
    """Weigh each element by the probability that a normal number is less: x * Φ(x): (…) -> (…).

    Φ(x) = erfc(-x / sqrt(2)) / 2; where `approximate`, sigmoid(2 u) with u = sqrt(2 / π) * (x + 0.044715 * x**3),
    which is (1 + tanh(u)) / 2. (Hendrycks & Gimpel, "Gaussian error linear units", 2016, section 2.)

    Parameters
    ----------
    x : array_like or Node, (…)
        Integers give the default float.
    approximate : bool
        The two differ by less than 0.0005.

    Raises
    ------
    ArgumentError
        Where `approximate` is no boolean.
    DtypeError
        For complex numbers.
    """
    if not isinstance(approximate, bool | np.bool):
        raise og.ArgumentError(f"approximate is True or False, not {approximate!r}")
    (node,) = og.promote(x, floating=True, what="gelu")
    wide = og.cast(node, og.wide_dtype(float_dtype(node.dtype)))
    bounded = og.clip(wide, -_CERTAIN, _CERTAIN)  # 0 times infinity is NaN, 0 times this is 0
    if approximate:
        weight = sigmoid((bounded + 0.044715 * bounded**3) * (2.0 * math.sqrt(2.0 / math.pi)))
    else:
        weight = og.erfc(bounded * -math.sqrt(0.5)) * 0.5
    return og.cast(og.where(wide > _CERTAIN, wide, bounded * weight), node.dtype)


@og.front_door_for(Softplus)
def softplus(x: og.NodeLike, beta: float = 1.0) -> og.Node:
    """Smooth the positive part: log(1 + exp(beta * x)) / beta, without overflow: (…) -> (…).

    The larger `beta`, the closer to `relu`. Integers give the default float.

    Raises
    ------
    ArgumentError
        Where `beta` is no positive number.
    """
    (node,) = og.promote(x, floating=True, what="softplus")
    return og.apply(og.make_op(Softplus, beta=beta), node)


@og.guarded
def log_sigmoid(x: og.NodeLike) -> og.Node:
    """Take the logarithm of the sigmoid: -log(1 + exp(-x)), exact where the sigmoid would round to 0 or 1."""
    (node,) = og.promote(x, floating=True, what="log_sigmoid")
    return -softplus(-node)


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946

# beyond where the normal distribution function and its derivatives are 0 or 1 in every dtype
_CERTAIN = 64.0

# far beyond where the sigmoid and its derivatives are 0 in every dtype, and in the range of each
_SATURATED = 1000.0


def _ordered(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "c":
        raise og.DtypeError("complex numbers are not ordered, none is positive")
    return dtype


def _nonzero(rng: np.random.Generator, shape: tuple[int, ...]) -> og.Array:
    return np.asarray(rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape))


def _away_from_zero(rng: np.random.Generator) -> Iterable[og.Sample]:
    for shape in ((2, 3), (), (4, 1, 2), (3, 0)):
        yield og.Sample((_nonzero(rng, shape),), id=f"{shape}")
    yield og.Sample((rng.integers(-5, 5, (2, 3)),), id="integers")
    yield og.Sample((rng.normal(size=(2, 3)) * 1j,), raises=og.DtypeError, id="complex")
