"""Arithmetic on one operand and on two that broadcast, as NumPy's operators do it."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door
from opgraph.errors import DtypeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Elementwise, Nodes, Rng, Specs
from opgraph.ops.complexes import Unary, conj
from opgraph.spec import Spec


class Binary(Protocol):
    """A function of two operands."""

    def __call__(self, x: NodeLike, y: NodeLike) -> Node: ...


class Choosy(Elementwise):
    """What functions share that complex numbers do not go into."""

    refuses = "c"


def _pairs(rng: Rng) -> Iterable[Sample]:
    yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="equal")
    yield Sample((rng.normal(size=(2, 1, 3)), rng.normal(size=(4, 1))), id="broadcast")
    yield Sample((rng.normal(size=()), rng.normal(size=(3,))), id="scalar")
    yield Sample((rng.normal(size=(0, 3)), rng.normal(size=(1, 3))), id="empty")


def single_samples(rng: Rng) -> Iterable[Sample]:
    """Yield one operand in shapes of all kinds, none of its elements near 0."""
    yield Sample((away_from_zero(rng, (2, 3)),), id="matrix")
    yield Sample((away_from_zero(rng, (4, 1, 2)),), id="size 1")
    yield Sample((away_from_zero(rng, ()),), id="scalar")
    yield Sample((away_from_zero(rng, (2, 0)),), id="empty")
    yield Sample((complex_away_from_zero(rng, (3, 1)),), id="complex")


def _complex_pair(rng: Rng) -> Sample:
    return Sample((complex_away_from_zero(rng, (2,)), complex_away_from_zero(rng, (3, 1))), id="complex")


def _integer_pair(rng: Rng) -> Sample:
    return Sample((rng.integers(-9, 9, (2, 3)), rng.integers(1, 5, (1, 3))), id="integers")


def complex_away_from_zero(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Return complex numbers none of which is near 0."""
    z: Array = away_from_zero(rng, shape) + 1j * rng.normal(size=shape)
    return z


def away_from_zero(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Return numbers of both signs none of which is near 0."""
    magnitude: Array = rng.uniform(0.5, 2.0, shape)
    return np.where(rng.random(shape) < 0.5, -magnitude, magnitude)


class Arithmetic(Elementwise):
    """What addition, subtraction and multiplication share: they keep integers, and may work in place."""

    inputs = ("x", "y")
    inplace = True
    floating = False

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from _pairs(rng)
        yield _complex_pair(rng)
        yield _integer_pair(rng)


class Add(Arithmetic, name="core.add"):
    """Add two operands: x + y. Shapes broadcast; the logical "or" of booleans."""

    ufunc = np.add
    info = OpInfo(reference=np.add)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (g,) = cotangents
        return (g, g)


class Subtract(Arithmetic, name="core.subtract"):
    """Subtract the second operand from the first: x - y. Shapes broadcast."""

    ufunc = np.subtract
    info = OpInfo(reference=np.subtract)

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any] | tuple[np.dtype[Any], ...]:
        if ins[0].kind == "b":
            raise DtypeError("booleans cannot be subtracted; cast them to an integer")
        return super().dtypes(*ins)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (g,) = cotangents
        return (g, -g)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from super().samples(rng)
        yield Sample((np.ones(3, np.bool),) * 2, raises=DtypeError, id="booleans")


class Multiply(Arithmetic, name="core.multiply"):
    """Multiply two operands: x * y. Shapes broadcast; the logical "and" of booleans."""

    ufunc = np.multiply
    info = OpInfo(reference=np.multiply, multilinear=(0, 1))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (g,) = ins, cotangents
        return (g * conj(y), g * conj(x))


class Divide(Elementwise, name="core.divide"):
    """Divide the first operand by the second: x / y. Shapes broadcast; integers give the default float."""

    inputs = ("x", "y")
    inplace = True
    ufunc = np.true_divide
    info = OpInfo(reference=np.true_divide, multilinear=(0,))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (_, y), (q,), (g,) = ins, outs, cotangents
        gx = g / conj(y)
        return (gx, -(gx * conj(q)))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)), away_from_zero(rng, (2, 3))), id="equal")
        yield Sample((rng.normal(size=(2, 1, 3)), away_from_zero(rng, (4, 1))), id="broadcast")
        yield Sample((rng.normal(size=(3,)), away_from_zero(rng, ())), id="scalar")
        yield Sample((rng.normal(size=(0, 3)), away_from_zero(rng, (1, 3))), id="empty")
        yield _complex_pair(rng)


class Negative(Elementwise, name="core.negative"):
    """Negate: -x."""

    inplace = True
    floating = False
    ufunc = np.negative
    info = OpInfo(reference=np.negative, multilinear=(0,))

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        if ins[0].kind == "b":
            raise DtypeError("booleans cannot be negated; cast them to an integer")
        return ins[0]

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (g,) = cotangents
        return (-g,)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from single_samples(rng)
        yield Sample((np.ones(3, np.bool),), raises=DtypeError, id="booleans")


class FloorDivide(Choosy, name="core.floor_divide"):
    """Divide and round down: floor(x / y). Shapes broadcast; integers stay integers, by 0 they give 0.

    The gradient is zero.
    """

    inputs = ("x", "y")
    inplace = True
    floating = False
    refuses = "bc"
    ufunc = np.floor_divide
    info = OpInfo(reference=np.floor_divide, zero_gradient=(0, 1))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (None, None)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return _divisions(rng)


class Remainder(Choosy, name="core.remainder"):
    """Take the remainder of x / y, with the sign of y as in Python: x - y * floor(x / y). Shapes broadcast.

    Integers stay integers, by 0 they give 0. The gradient is 1 for x and -floor(x / y) for y, also where the
    value jumps.
    """

    inputs = ("x", "y")
    inplace = True
    floating = False
    refuses = "bc"
    ufunc = np.remainder
    info = OpInfo(reference=np.remainder)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (g,) = ins, cotangents
        return (g, -(g * floor_divide(x, y)))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return _divisions(rng)


def _divisions(rng: Rng) -> Iterable[Sample]:
    """Yield dividends and divisors whose quotients are not near an integer."""
    for shape, other in (((2, 3), (2, 3)), ((2, 1, 3), (4, 1)), ((), (3,)), ((0, 3), (1, 3))):
        x: Array = rng.integers(-3, 3, shape) + rng.uniform(0.4, 0.6, shape)
        y: Array = rng.choice([-1.0, 1.0], other) * rng.uniform(0.98, 1.02, other)
        yield Sample((x, y), id=f"{shape} by {other}")
    yield _integer_pair(rng)
    yield Sample((np.array([True]), np.array([True])), raises=DtypeError, id="booleans")
    yield Sample((np.array([1j]), np.array([1j])), raises=DtypeError, id="complex")


class SquaredDifference(Choosy, name="core.squared_difference"):
    """Square the difference of two operands: (x - y)**2. Shapes broadcast; integers stay integers."""

    inputs = ("x", "y")
    inplace = True
    floating = False
    refuses = "bc"
    info = OpInfo(reference=lambda x, y: (x - y) ** 2)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.subtract(ins[0], ins[1], out=outs[0])
        np.square(outs[0], out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (g,) = ins, cotangents
        gx = g * ((x - y) * 2)
        return (gx, -gx)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from _pairs(rng)
        yield _integer_pair(rng)
        yield Sample((np.array([True]), np.array([True])), raises=DtypeError, id="booleans")
        yield Sample((np.array([1j]), np.array([1j])), raises=DtypeError, id="complex")


class Annihilating(Elementwise):
    """What the product and the quotient share that give 0 for a 0, whatever stands beside it.

    Gradients are written with them where a factor that does not count may be infinite or NaN.
    """

    inplace = True

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return (Spec(outs[0].shape, np.bool),)


class MultiplyOrZero(Annihilating, name="core._multiply_or_zero"):
    """Multiply x by y: 0 where x is 0, though y be infinite or NaN."""

    inputs = ("x", "y")
    info = OpInfo(reference=np.multiply, multilinear=(0, 1))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (x, y), (out,), (zero,) = ins, outs, scratch
        np.equal(x, 0, out=zero)
        np.multiply(x, y, out=out)
        np.copyto(out, 0, where=zero)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (g,) = ins, cotangents
        return (multiply_or_zero(g, conj(y)), g * conj(x))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from _pairs(rng)
        yield _complex_pair(rng)


class DivideOrZero(Annihilating, name="core._divide_or_zero"):
    """Divide x by y: 0 where y is 0."""

    inputs = ("x", "y")
    info = OpInfo(reference=np.true_divide, multilinear=(0,))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (x, y), (out,), (zero,) = ins, outs, scratch
        np.equal(y, 0, out=zero)
        np.true_divide(x, y, out=out)
        np.copyto(out, 0, where=zero)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (_, y), (q,), (g,) = ins, outs, cotangents
        gx = divide_or_zero(g, conj(y))
        return (gx, -(gx * conj(q)))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return Divide.samples(rng)


add: Binary = front_door(Add)
subtract: Binary = front_door(Subtract)
multiply: Binary = front_door(Multiply)
divide: Binary = front_door(Divide)
negative: Unary = front_door(Negative)
floor_divide: Binary = front_door(FloorDivide)
remainder: Binary = front_door(Remainder)
squared_difference: Binary = front_door(SquaredDifference)
multiply_or_zero: Binary = front_door(MultiplyOrZero)
divide_or_zero: Binary = front_door(DivideOrZero)
