"""Comparisons, which give booleans, and the choice between two values by one."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from opgraph.build import apply, graph_of, promote
from opgraph.doors import front_door, front_door_for
from opgraph.errors import DtypeError
from opgraph.node import Node, NodeLike
from opgraph.op import Arrays, Cotangents, Elementwise, Nodes, OpInfo, Rng, Sample
from opgraph.ops.arithmetic import Binary
from opgraph.spec import promote_dtypes


def check_ordered(*dtypes: np.dtype[Any]) -> None:
    """Raise `DtypeError` where one of `dtypes` is complex."""
    if any(d.kind == "c" for d in dtypes):
        raise DtypeError("complex numbers are not ordered; compare their parts or their og.abs")


class Comparison(Elementwise):
    """What comparisons share: two operands of one dtype give a boolean, which has no gradient."""

    inputs = ("x", "y")
    floating = False

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        return np.dtype(np.bool)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.integers(0, 3, (2, 3)), rng.integers(0, 3, (2, 3))), id="equal shapes")
        yield Sample((rng.normal(size=(2, 1, 3)), rng.normal(size=(4, 1))), id="broadcast")
        yield Sample((np.array([0.0, -0.0, np.nan, np.inf]), np.array([0.0, 0.0, np.nan, -np.inf])), id="special")
        yield Sample((rng.normal(size=(0, 3)), rng.normal(size=(1, 3))), id="empty")


class Ordering(Comparison):
    """What comparisons by order share: complex numbers have none."""

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        check_ordered(*ins)
        return super().dtypes(*ins)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from super().samples(rng)
        yield Sample((rng.normal(size=(2,)) + 1j, rng.normal(size=(2,)) + 1j), raises=DtypeError, id="complex")


class Less(Ordering, name="core.less"):
    """Tell where x < y; false beside NaN."""

    info = OpInfo(reference=np.less)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.less(ins[0], ins[1], out=outs[0])


class LessEqual(Ordering, name="core.less_equal"):
    """Tell where x <= y; false beside NaN."""

    info = OpInfo(reference=np.less_equal)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.less_equal(ins[0], ins[1], out=outs[0])


class Greater(Ordering, name="core.greater"):
    """Tell where x > y; false beside NaN."""

    info = OpInfo(reference=np.greater)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.greater(ins[0], ins[1], out=outs[0])


class GreaterEqual(Ordering, name="core.greater_equal"):
    """Tell where x >= y; false beside NaN."""

    info = OpInfo(reference=np.greater_equal)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.greater_equal(ins[0], ins[1], out=outs[0])


class Equal(Comparison, name="core.equal"):
    """Tell where x == y; NaN equals nothing. (The operator ``==`` on nodes means identity.)"""

    info = OpInfo(reference=np.equal)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.equal(ins[0], ins[1], out=outs[0])


class NotEqual(Comparison, name="core.not_equal"):
    """Tell where x != y; NaN differs from everything. (The operator ``!=`` on nodes means identity.)"""

    info = OpInfo(reference=np.not_equal)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.not_equal(ins[0], ins[1], out=outs[0])


class Where(Elementwise, name="core.where"):
    """Choose by a boolean: x where `condition` holds, else y. All three broadcast.

    Each of `x` and `y` has its gradient where it was chosen, and zero elsewhere.
    """

    inputs = ("condition", "x", "y")
    floating = False
    info = OpInfo(reference=np.where, multilinear=(1, 2))

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        condition, x, y = ins
        if condition.kind != "b":
            raise DtypeError(f"condition is boolean, not {condition}; compare it with something first")
        return promote_dtypes(x, y)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (condition, x, y), (out,) = ins, outs
        np.copyto(out, y)
        np.copyto(out, x, where=condition)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (condition, _, _), (g,) = ins, cotangents
        return (None, where(condition, g, 0), where(condition, 0, g))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.random((2, 3)) < 0.5, rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="equal shapes")
        yield Sample((rng.random((4, 1)) < 0.5, rng.normal(size=(3,)), rng.normal(size=(2, 1, 1))), id="broadcast")
        yield Sample((rng.random((0, 3)) < 0.5, rng.normal(size=(3,)), rng.normal(size=())), id="empty")
        yield Sample((rng.normal(size=(3,)), rng.normal(size=(3,)), rng.normal(size=(3,))), raises=DtypeError)


less: Binary = front_door(Less)
less_equal: Binary = front_door(LessEqual)
greater: Binary = front_door(Greater)
greater_equal: Binary = front_door(GreaterEqual)
equal: Binary = front_door(Equal)
not_equal: Binary = front_door(NotEqual)


@front_door_for(Where)
def where(condition: NodeLike, x: NodeLike, y: NodeLike) -> Node:
    """Choose by a boolean: `x` where `condition` holds, else `y`. All three broadcast.

    Each of `x` and `y` has its gradient where it was chosen, and zero elsewhere: NaN and infinity in what
    was not chosen do not reach the value, but may reach the gradient further back (0 times infinity); keep
    them from arising there.

    Parameters
    ----------
    condition : array_like or Node of booleans, (…)
    x, y : array_like or Node, (…)
        Promoted to one dtype.

    Raises
    ------
    DtypeError
        Where `condition` is not boolean.
    ShapeError
        Where the three do not broadcast.
    """
    return apply(Where(), condition, *promote(x, y, what="where", graph=graph_of(condition, x, y)))
