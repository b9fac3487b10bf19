"""Arithmetic on two operands that broadcast, as NumPy's operators do it."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from opgraph.doors import front_door
from opgraph.errors import DtypeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Elementwise, Nodes, OpInfo, Rng, Sample
from opgraph.ops.complexes import Unary, conj
from opgraph.spec import promote_dtypes


class Binary(Protocol):
    """A function of two operands."""

    def __call__(self, x: NodeLike, y: NodeLike) -> Node: ...


def _pairs(rng: Rng) -> Iterable[Sample]:
    yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="equal")
    yield Sample((rng.normal(size=(2, 1, 3)), rng.normal(size=(4, 1))), id="broadcast")
    yield Sample((rng.normal(size=()), rng.normal(size=(3,))), id="scalar")
    yield Sample((rng.normal(size=(0, 3)), rng.normal(size=(1, 3))), id="empty")


def _away_from_zero(rng: Rng, shape: tuple[int, ...]) -> Array:
    magnitude: Array = rng.uniform(0.5, 2.0, shape)
    return np.where(rng.random(shape) < 0.5, -magnitude, magnitude)


class Arithmetic(Elementwise):
    """What addition, subtraction and multiplication share: they keep integers, and may work in place."""

    inputs = ("x", "y")
    inplace = True
    floating = False

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return _pairs(rng)


class Add(Arithmetic, name="core.add"):
    """Add two operands: x + y. Shapes broadcast; the logical "or" of booleans."""

    info = OpInfo(reference=np.add)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.add(ins[0], ins[1], out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (g,) = cotangents
        return (g, g)


class Subtract(Arithmetic, name="core.subtract"):
    """Subtract the second operand from the first: x - y. Shapes broadcast."""

    info = OpInfo(reference=np.subtract)

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        if ins[0].kind == "b":
            raise DtypeError("booleans cannot be subtracted; cast them to an integer")
        return promote_dtypes(*ins)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.subtract(ins[0], ins[1], out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (g,) = cotangents
        return (g, -g)


class Multiply(Arithmetic, name="core.multiply"):
    """Multiply two operands: x * y. Shapes broadcast; the logical "and" of booleans."""

    info = OpInfo(reference=np.multiply, multilinear=(0, 1))

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.multiply(ins[0], ins[1], out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (g,) = ins, cotangents
        return (g * conj(y), g * conj(x))


class Divide(Elementwise, name="core.divide"):
    """Divide the first operand by the second: x / y. Shapes broadcast; integers give the default float."""

    inputs = ("x", "y")
    inplace = True
    info = OpInfo(reference=np.true_divide, multilinear=(0,))

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.true_divide(ins[0], ins[1], out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (_, y), (q,), (g,) = ins, outs, cotangents
        gx = g / conj(y)
        return (gx, -(gx * conj(q)))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)), _away_from_zero(rng, (2, 3))), id="equal")
        yield Sample((rng.normal(size=(2, 1, 3)), _away_from_zero(rng, (4, 1))), id="broadcast")
        yield Sample((rng.normal(size=(3,)), _away_from_zero(rng, ())), id="scalar")
        yield Sample((rng.normal(size=(0, 3)), _away_from_zero(rng, (1, 3))), id="empty")


class Negative(Elementwise, name="core.negative"):
    """Negate: -x."""

    inplace = True
    floating = False
    info = OpInfo(reference=np.negative, multilinear=(0,))

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        if ins[0].kind == "b":
            raise DtypeError("booleans cannot be negated; cast them to an integer")
        return ins[0]

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.negative(ins[0], out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (g,) = cotangents
        return (-g,)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield Sample((rng.normal(size=()),), id="scalar")
        yield Sample((rng.normal(size=(2, 0)),), id="empty")


add: Binary = front_door(Add)
subtract: Binary = front_door(Subtract)
multiply: Binary = front_door(Multiply)
divide: Binary = front_door(Divide)
negative: Unary = front_door(Negative)
