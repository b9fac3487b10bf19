"""Powers: of any exponent, and the two that have a kernel of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from opgraph.build import apply, as_node, promote
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door, front_door_for
from opgraph.errors import ArgumentError, DtypeError
from opgraph.node import Constant, Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Elementwise, Nodes, Rng
from opgraph.ops.arithmetic import Choosy, multiply_or_zero, single_samples
from opgraph.ops.compare import equal, where
from opgraph.ops.complexes import Unary, conj
from opgraph.ops.elementwise import log, sqrt


class Power(Choosy, name="core.power"):
    """Raise x to the power y: x**y. Shapes broadcast; 0**0 is 1; integers stay integers.

    A negative number to a fractional power is NaN, and so is its gradient by y. Where x is 0 the gradient by
    y is 0; where y is 0 that by x is 0.
    """

    inputs = ("x", "y")
    inplace = True
    floating = False
    refuses = "b"
    info = OpInfo(reference=np.power, domain=((0.0, np.inf), (-np.inf, np.inf)))

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        x, y = ins
        if x.dtype.kind == "i":
            _check_not_negative(y)
        np.power(x, y, out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (power_,), (g,) = ins, outs, cotangents
        # the powers and logarithms of 0 that the product leaves out are infinite
        gy = multiply_or_zero(g * conj(log(where(equal(x, 0), 1, x))), conj(power_))
        n = _known_number(y)
        if n is None:
            return (multiply_or_zero(g * conj(y), conj(power(x, y - 1))), gy)
        if n == 0:
            return (None, gy)
        return (g * conj(power(x, n - 1) * n), gy)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        for shape, other in (((2, 3), (2, 3)), ((2, 1, 3), (4, 1)), ((3,), ()), ((0, 3), (1, 3))):
            yield Sample((rng.uniform(0.4, 2.0, shape), rng.normal(size=other)), id=f"{shape} to {other}")
        z: Array = rng.uniform(0.4, 2.0, (2,)) + 1j * rng.normal(size=(2,))
        yield Sample((z, rng.normal(size=(3, 1)) + 1j * rng.normal(size=(3, 1))), id="complex")
        yield Sample((rng.integers(-3, 3, (2, 3)), rng.integers(0, 4, (3,))), id="integers")
        yield Sample((np.array([True]), np.array([True])), raises=DtypeError, id="booleans")


def _check_not_negative(exponent: Array) -> None:
    if exponent.size and (least := exponent.min()) < 0:
        raise ArgumentError(f"integers have no negative powers, such as {least}; cast the base to a float")


def _known_number(exponent: Node) -> Any:
    """Return the value of a scalar constant, though it be cast, and None for any other node."""
    if exponent.call is not None and exponent.call.implicit:
        exponent = exponent.call.inputs[0]
    return exponent.value.item() if isinstance(exponent, Constant) and exponent.ndim == 0 else None


class Square(Choosy, name="core.square"):
    """Multiply each element by itself: x * x. Integers stay integers."""

    inplace = True
    floating = False
    refuses = "b"
    ufunc = np.square
    info = OpInfo(reference=np.square)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * (conj(ins[0]) * 2),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from single_samples(rng)
        yield Sample((rng.integers(-9, 9, (2, 3)),), id="integers")
        yield Sample((np.array([True]),), raises=DtypeError, id="booleans")


class Reciprocal(Elementwise, name="core.reciprocal"):
    """Divide 1 by each element: 1 / x. Integers give the default float."""

    inplace = True
    ufunc = np.reciprocal
    info = OpInfo(reference=np.reciprocal, kinks=(0.0,))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (g,), y = cotangents, conj(outs[0])
        return (-(g * y * y),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return single_samples(rng)


square: Unary = front_door(Square)
reciprocal: Unary = front_door(Reciprocal)


@front_door_for(Power)
def power(x: NodeLike, y: NodeLike) -> Node:
    """Raise `x` to the power `y`, element by element: x**y. Shapes broadcast; 0**0 is 1.

    A constant scalar exponent of 1 gives `x` itself, 2 its square, and of floats 0.5 the square root and -1 the
    reciprocal, as NumPy's ``**`` does. A negative number to a fractional power is NaN, and so is its gradient
    by `y`. Where `x` is 0 the gradient by `y` is 0; where `y` is 0 that by `x` is 0.

    Parameters
    ----------
    x, y : array_like or Node, (…)
        Promoted to one dtype; integers stay integers.

    Raises
    ------
    ArgumentError
        For a negative power of integers; in the run, where it is not known before.
    DtypeError
        For booleans.
    ShapeError
        Where the two do not broadcast.
    """
    base, exponent = promote(x, y, what="power")
    if base.dtype.kind == "i" and isinstance(exponent, Constant):
        _check_not_negative(exponent.value)
    shortcut = _SHORTCUTS.get(_known_number(exponent)) if base.dtype.kind != "b" else None
    if shortcut is None or (base.dtype.kind in "iu" and shortcut in (sqrt, reciprocal)):
        return apply(Power(), base, exponent)
    return shortcut(base)


def _itself(x: NodeLike) -> Node:
    return as_node(x)


_SHORTCUTS: dict[Any, Unary] = {1: _itself, 2: square, 0.5: sqrt, -1: reciprocal}
