"""Circular and hyperbolic functions, their inverses, and lengths and angles in the plane."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from opgraph.build import apply, promote
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door, front_door_for
from opgraph.errors import DtypeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Cotangents, Nodes, Rng
from opgraph.ops.arithmetic import Binary, Choosy, away_from_zero, divide_or_zero
from opgraph.ops.complexes import Unary, conj
from opgraph.ops.elementwise import Function, sqrt


class Sin(Function, name="core.sin"):
    """Take the sine of each element, in radians."""

    ufunc = np.sin
    info = OpInfo(reference=np.sin)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * conj(cos(ins[0])),)


class Cos(Function, name="core.cos"):
    """Take the cosine of each element, in radians."""

    ufunc = np.cos
    info = OpInfo(reference=np.cos)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (-(cotangents[0] * conj(sin(ins[0]))),)


class Tan(Function, name="core.tan"):
    """Take the tangent of each element, in radians; its derivative is 1 + tan(x)**2."""

    ufunc = np.tan
    between = (-1.2, 1.2)
    info = OpInfo(reference=np.tan)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (g,), y = cotangents, conj(outs[0])
        return (g + g * y * y,)


class Arcsin(Function, name="core.arcsin"):
    """Take the angle in [-π/2, π/2] whose sine is x: NaN outside of [-1, 1], the derivative infinite at its ends."""

    ufunc = np.arcsin
    between = (-0.8, 0.8)
    info = OpInfo(reference=np.arcsin, domain=(-1.0, 1.0))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] / _cosine_of_arcsine(conj(ins[0])),)


class Arccos(Function, name="core.arccos"):
    """Take the angle in [0, π] whose cosine is x: NaN outside of [-1, 1], the derivative infinite at its ends."""

    ufunc = np.arccos
    between = (-0.8, 0.8)
    info = OpInfo(reference=np.arccos, domain=(-1.0, 1.0))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (-(cotangents[0] / _cosine_of_arcsine(conj(ins[0]))),)


def _cosine_of_arcsine(x: Node) -> Node:
    """Return sqrt(1 - x**2), exact near the ends too, where x * x would lose half the digits."""
    return sqrt((1.0 - x) * (1.0 + x))


class Arctan(Function, name="core.arctan"):
    """Take the angle in (-π/2, π/2) whose tangent is x."""

    ufunc = np.arctan
    info = OpInfo(reference=np.arctan)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        x = conj(ins[0])
        return (cotangents[0] / (1.0 + x * x),)


class Sinh(Function, name="core.sinh"):
    """Take the hyperbolic sine of each element."""

    ufunc = np.sinh
    info = OpInfo(reference=np.sinh)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * conj(cosh(ins[0])),)


class Cosh(Function, name="core.cosh"):
    """Take the hyperbolic cosine of each element."""

    ufunc = np.cosh
    info = OpInfo(reference=np.cosh)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * conj(sinh(ins[0])),)


class Tanh(Function, name="core.tanh"):
    """Take the hyperbolic tangent of each element; its derivative is 1 - tanh(x)**2."""

    ufunc = np.tanh
    info = OpInfo(reference=np.tanh)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (g,), y = cotangents, conj(outs[0])
        return (g - g * y * y,)


class Arcsinh(Function, name="core.arcsinh"):
    """Take the number whose hyperbolic sine is x."""

    ufunc = np.arcsinh
    info = OpInfo(reference=np.arcsinh)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        x = conj(ins[0])
        # hypot does not overflow; complex numbers have none
        return (cotangents[0] / (sqrt(1.0 + x * x) if x.dtype.kind == "c" else hypot(1.0, x)),)


class Arccosh(Function, name="core.arccosh"):
    """Take the number from 0 up whose hyperbolic cosine is x: NaN below 1, the derivative infinite at 1."""

    ufunc = np.arccosh
    between = (1.3, 3.0)
    info = OpInfo(reference=np.arccosh, domain=(1.0, np.inf))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        x = conj(ins[0])
        # two roots: their product overflows nowhere, and has the branch cut of arccosh
        return (cotangents[0] / (sqrt(x - 1.0) * sqrt(x + 1.0)),)


class Arctanh(Function, name="core.arctanh"):
    """Take the number whose hyperbolic tangent is x: infinite at -1 and 1, NaN beyond."""

    ufunc = np.arctanh
    between = (-0.8, 0.8)
    info = OpInfo(reference=np.arctanh, domain=(-1.0, 1.0))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        x = conj(ins[0])
        return (cotangents[0] / ((1.0 - x) * (1.0 + x)),)


class Hypot(Choosy, name="core.hypot"):
    """Take the length of the vector (x, y), sqrt(x**2 + y**2), without overflow. Shapes broadcast.

    The gradient at (0, 0) is 0.
    """

    inputs = ("x", "y")
    inplace = True
    ufunc = np.hypot
    info = OpInfo(reference=np.hypot)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (length,), (g,) = ins, outs, cotangents
        return (g * divide_or_zero(x, length), g * divide_or_zero(y, length))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return _points(rng)


class Arctan2(Choosy, name="core.arctan2"):
    """Take the angle of the point (x, y), in [-π, π], from the first axis on. Shapes broadcast.

    The gradient at (0, 0), where there is none, is 0.
    """

    inputs = ("y", "x")
    inplace = True
    ufunc = np.arctan2
    info = OpInfo(reference=np.arctan2)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (y, x), (g,) = ins, cotangents
        # divided by the length twice, since its square may overflow or vanish
        length = hypot(x, y)
        around = divide_or_zero(g, length)
        return (around * divide_or_zero(x, length), -(around * divide_or_zero(y, length)))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return _points(rng)


def _points(rng: Rng) -> Iterable[Sample]:
    """Yield coordinates away from the axes, beyond one of which angles jump."""
    for shape, other in (((2, 3), (2, 3)), ((2, 1, 3), (4, 1)), ((), (3,)), ((0, 3), (1, 3))):
        coordinates: tuple[Array, Array] = (away_from_zero(rng, shape), away_from_zero(rng, other))
        yield Sample(coordinates, id=f"{shape} and {other}")
    yield Sample((np.array([1j]), np.array([1j])), raises=DtypeError, id="complex")


sin: Unary = front_door(Sin)
cos: Unary = front_door(Cos)
tan: Unary = front_door(Tan)
arcsin: Unary = front_door(Arcsin)
arccos: Unary = front_door(Arccos)
arctan: Unary = front_door(Arctan)
sinh: Unary = front_door(Sinh)
cosh: Unary = front_door(Cosh)
tanh: Unary = front_door(Tanh)
arcsinh: Unary = front_door(Arcsinh)
arccosh: Unary = front_door(Arccosh)
arctanh: Unary = front_door(Arctanh)
hypot: Binary = front_door(Hypot)


@front_door_for(Arctan2)
def arctan2(y: NodeLike, x: NodeLike) -> Node:
    """Take the angle of the point (`x`, `y`), in [-π, π], from the first axis on; mind the order, NumPy's.

    The gradient at (0, 0), where there is none, is 0.

    Parameters
    ----------
    y, x : array_like or Node, (…) real
        They broadcast; integers become the default float.

    Raises
    ------
    DtypeError
        For complex numbers.
    ShapeError
        Where the two do not broadcast.
    """
    return apply(Arctan2(), *promote(y, x, floating=True, what="arctan2"))
