"""Functions with kinks and steps: extremes, limits, magnitude and sign, rounding."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from opgraph.build import apply, as_node, promote
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door, front_door_for, make_op
from opgraph.errors import ArgumentError, DtypeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Elementwise, Nodes, Rng
from opgraph.ops.arithmetic import Binary, Choosy, divide_or_zero, single_samples
from opgraph.ops.compare import equal, greater, less, where
from opgraph.ops.complexes import Unary, conj, real
from opgraph.signatures import guarded
from opgraph.spec import real_dtype


class Extreme(Choosy):
    """What the extremes of two operands share: they keep integers and pass NaN on."""

    inputs = ("x", "y")
    inplace = True
    floating = False

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        for shape, other in (((2, 3), (2, 3)), ((2, 1, 3), (4, 1)), ((), (3,)), ((0, 3), (1, 3))):
            # no two alike: whole numbers beside halves
            x: Array = rng.integers(-2, 2, shape) + rng.uniform(-0.1, 0.1, shape)
            y: Array = rng.integers(-2, 2, other) + rng.uniform(0.4, 0.6, other)
            yield Sample((x, y), id=f"{shape} and {other}")
        yield Sample((rng.integers(-9, 9, (2, 3)), rng.integers(-9, 9, (3,))), id="integers")
        yield Sample((np.array([1j]), np.array([1j])), raises=DtypeError, id="complex")


class Maximum(Extreme, name="core.maximum"):
    """Take the larger of two operands, NaN where one is NaN. Shapes broadcast.

    Each has its gradient where it is the larger; where they are equal each has half of it.
    """

    ufunc = np.maximum
    info = OpInfo(reference=np.maximum, tie_policy="split")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (g,) = ins, cotangents
        shared = where(equal(x, y), g * 0.5, g)
        return (where(less(x, y), 0, shared), where(less(y, x), 0, shared))


class Minimum(Extreme, name="core.minimum"):
    """Take the smaller of two operands, NaN where one is NaN. Shapes broadcast.

    Each has its gradient where it is the smaller; where they are equal each has half of it.
    """

    ufunc = np.minimum
    info = OpInfo(reference=np.minimum, tie_policy="split")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (g,) = ins, cotangents
        shared = where(equal(x, y), g * 0.5, g)
        return (where(greater(x, y), 0, shared), where(greater(y, x), 0, shared))


class AtLeast(Extreme, name="core._at_least"):
    """Raise x to y where it is below, NaN where one is NaN. Shapes broadcast; a tie's gradient is all x's."""

    ufunc = np.maximum
    info = OpInfo(reference=np.maximum, tie_policy="first")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (g,) = ins, cotangents
        below = less(x, y)
        return (where(below, 0, g), where(below, g, 0))


class AtMost(Extreme, name="core._at_most"):
    """Lower x to y where it is above, NaN where one is NaN. Shapes broadcast; a tie's gradient is all x's."""

    ufunc = np.minimum
    info = OpInfo(reference=np.minimum, tie_policy="first")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (g,) = ins, cotangents
        above = greater(x, y)
        return (where(above, 0, g), where(above, g, 0))


@guarded
def clip(x: NodeLike, low: NodeLike | None = None, high: NodeLike | None = None) -> Node:
    """Limit each element to what lies from `low` to `high`. All three broadcast; NaN stays NaN.

    The gradient goes to `x` inside and at the limits, and to the limit that stands for it beyond them. Where
    `low` exceeds `high` the value is `high`, as in NumPy.

    Parameters
    ----------
    x : array_like or Node, (…) real
    low, high : array_like or Node, (…), optional
        One of them may be left out. Promoted to one dtype with `x`.

    Raises
    ------
    ArgumentError
        Where neither limit is given.
    DtypeError
        For complex numbers.
    ShapeError
        Where the operands do not broadcast.
    """
    limits = [limit for limit in (low, high) if limit is not None]
    if not limits:
        raise ArgumentError("give low, high or both")
    operands = list(promote(x, *limits, what="clip"))
    node = operands.pop(0)
    if low is not None:
        node = apply(AtLeast(), node, operands.pop(0))
    if high is not None:
        node = apply(AtMost(), node, operands.pop(0))
    return node


class Abs(Elementwise, name="core.abs"):
    """Take the magnitude of each element: max(x, -x); real for complex x. Integers stay integers.

    The gradient is sign(x): 0 at 0, and x over its magnitude for complex x.
    """

    inplace = True
    floating = False
    ufunc = np.absolute
    info = OpInfo(reference=np.abs, kinks=(0.0,))

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        return real_dtype(ins[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * sign(ins[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from single_samples(rng)
        yield Sample((rng.integers(-9, 9, (2, 3)),), id="integers")


class Sign(Choosy, name="core.sign"):
    """Tell the sign of each element: -1, 0 or 1; for complex x its direction, of magnitude 1, or 0 at 0.

    The gradient of a real sign is zero.
    """

    inplace = True
    floating = False
    refuses = "b"
    ufunc = np.sign
    info = OpInfo(reference=np.sign, kinks=(0.0,))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x,), (s,), (g,) = ins, outs, cotangents
        if x.dtype.kind != "c":
            return (None,)
        # a step along x does not turn it
        return (divide_or_zero(g - s * real(g * conj(s)), abs(x)),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from single_samples(rng)
        yield Sample((rng.integers(-9, 9, (2, 3)),), id="integers")
        yield Sample((np.array([True]),), raises=DtypeError, id="booleans")


class Rounding(Choosy):
    """What the ways of rounding share: integers stay as they are, and the gradient is zero."""

    inplace = True
    floating = False
    ufunc: ClassVar[np.ufunc]

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        if ins[0].dtype.kind == "f":
            self.ufunc(ins[0], out=outs[0])
        else:
            np.copyto(outs[0], ins[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (None,)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        for shape in ((2, 3), (4, 1, 2), (), (0, 3)):
            # between the steps of each
            x: Array = rng.integers(-3, 3, shape) + rng.choice([0.25, 0.75], shape)
            yield Sample((x,), id=f"{shape}")
        yield Sample((np.array([1j]),), raises=DtypeError, id="complex")


class Floor(Rounding, name="core.floor"):
    """Round each element down to a whole number. The gradient is zero."""

    ufunc = np.floor
    info = OpInfo(reference=np.floor, kinks=(-1.0, 0.0, 1.0), zero_gradient=(0,))


class Ceil(Rounding, name="core.ceil"):
    """Round each element up to a whole number. The gradient is zero."""

    ufunc = np.ceil
    info = OpInfo(reference=np.ceil, kinks=(-1.0, 0.0, 1.0), zero_gradient=(0,))


class Trunc(Rounding, name="core.trunc"):
    """Round each element to a whole number towards 0. The gradient is zero."""

    ufunc = np.trunc
    info = OpInfo(reference=np.trunc, kinks=(-1.0, 1.0), zero_gradient=(0,))


class Round(Rounding, name="core.round"):
    """Round each element to `decimals` places, halves to the even neighbour. The gradient is zero."""

    inplace = False
    info = OpInfo(reference=np.round, kinks=(-0.5, 0.5), zero_gradient=(0,))
    decimals: int = 0

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x,), (y,) = ins, outs
        if x.dtype.kind == "f":
            wide = self._holding_scale(x.dtype)
            if wide is None:
                np.copyto(y, x if self.decimals > 0 else np.where(np.isfinite(x), np.copysign(0, x), x))
            else:
                np.copyto(y, np.round(x.astype(wide, copy=False), self.decimals), casting="same_kind")
            if self.decimals > 0:  # what overflows on the way to a whole number has no such places
                np.copyto(y, x, where=np.isinf(y))
        elif x.dtype.kind == "b" or self.decimals >= 0:
            np.copyto(y, x)
        else:
            _round_integers(x, y, 10 ** min(-self.decimals, 20))  # which is more than any integer

    def _holding_scale(self, dtype: np.dtype[Any]) -> np.dtype[Any] | None:
        """Return the narrowest dtype, from `dtype` up, in which the power of ten to scale by is no infinity."""
        digits = builtins.abs(self.decimals)
        if digits > 308:  # NumPy has the power as a float64
            return None
        wider = (dtype, np.dtype(np.float32), np.dtype(np.float64))
        return next(d for d in wider if d.itemsize >= dtype.itemsize and digits <= np.log10(np.finfo(d).max))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from super().samples(rng)
        yield Sample((rng.integers(-9, 9, (2, 3)) / 10,), {"decimals": 1}, id="places")
        yield Sample((rng.integers(-99, 99, (2, 3)),), {"decimals": -1}, id="tens of integers")


def _round_integers(x: Array, y: Array, step: int) -> None:
    """Put into `y` the multiples of `step` nearest to `x`, of two the even one."""
    if step > np.iinfo(x.dtype).max:
        y[...] = 0
        return
    below, rest = np.divmod(x, step)
    up = (rest > step - rest) | ((rest == step - rest) & (below % 2 == 1))
    np.multiply(below + up, step, out=y)


maximum: Binary = front_door(Maximum)
minimum: Binary = front_door(Minimum)
sign: Unary = front_door(Sign)
abs: Unary = front_door(Abs)
floor: Unary = front_door(Floor)
ceil: Unary = front_door(Ceil)
trunc: Unary = front_door(Trunc)


@front_door_for(Round)
def round(x: NodeLike, decimals: int = 0) -> Node:
    """Round each element to `decimals` places, halves to the even neighbour, as NumPy does. The gradient is zero.

    Parameters
    ----------
    x : array_like or Node, (…) real
        Integers stay integers.
    decimals
        Places after the point; tens and hundreds where negative, to which integers are rounded too, exactly.

    Raises
    ------
    DtypeError
        For complex numbers.
    """
    return apply(make_op(Round, decimals=decimals), as_node(x))
