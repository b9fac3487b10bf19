"""What gives booleans, what joins them, and the choice between two values by one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from opgraph.build import apply, check_no_identity, graph_of, promote
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door, front_door_for
from opgraph.errors import DtypeError
from opgraph.node import Node, NodeLike
from opgraph.op import Arrays, Cotangents, Elementwise, Nodes, Rng
from opgraph.ops.arithmetic import Binary
from opgraph.ops.complexes import Unary
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

    ufunc = np.less
    info = OpInfo(reference=np.less)


class LessEqual(Ordering, name="core.less_equal"):
    """Tell where x <= y; false beside NaN."""

    ufunc = np.less_equal
    info = OpInfo(reference=np.less_equal)


class Greater(Ordering, name="core.greater"):
    """Tell where x > y; false beside NaN."""

    ufunc = np.greater
    info = OpInfo(reference=np.greater)


class GreaterEqual(Ordering, name="core.greater_equal"):
    """Tell where x >= y; false beside NaN."""

    ufunc = np.greater_equal
    info = OpInfo(reference=np.greater_equal)


class Equal(Comparison, name="core.equal"):
    """Tell where x == y; NaN equals nothing. (The operator ``==`` on nodes means identity.)"""

    ufunc = np.equal
    info = OpInfo(reference=np.equal)


class NotEqual(Comparison, name="core.not_equal"):
    """Tell where x != y; NaN differs from everything. (The operator ``!=`` on nodes means identity.)"""

    ufunc = np.not_equal
    info = OpInfo(reference=np.not_equal)


class Logical(Elementwise):
    """What the functions of booleans share; other dtypes have no truth value."""

    inputs: ClassVar[tuple[str, ...]] = ("x", "y")
    inplace = True
    floating = False

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        for dtype in ins:
            if dtype.kind != "b":
                raise DtypeError(
                    f"operands are booleans, not {dtype}; compare first, in parentheses: (x > 0) & (y > 0)"
                )
        return ins[0]

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        for shapes in (((2, 3), (2, 3)), ((2, 1, 3), (4, 1)), ((), (3,)), ((0, 3), (1, 3))):
            operands = [rng.random(shape) < 0.5 for shape in shapes[: len(cls.inputs)]]
            yield Sample(operands, id=f"{shapes[0]}")
        yield Sample([rng.normal(size=(3,)) for _ in cls.inputs], raises=DtypeError, id="floats")
        yield Sample([rng.integers(0, 1, (3,)) for _ in cls.inputs], raises=DtypeError, id="integers")


class LogicalAnd(Logical, name="core.logical_and"):
    """Tell where both of two booleans hold. Shapes broadcast."""

    ufunc = np.logical_and
    info = OpInfo(reference=np.logical_and)


class LogicalOr(Logical, name="core.logical_or"):
    """Tell where one of two booleans holds, or both. Shapes broadcast."""

    ufunc = np.logical_or
    info = OpInfo(reference=np.logical_or)


class LogicalXor(Logical, name="core.logical_xor"):
    """Tell where one of two booleans holds, but not both. Shapes broadcast."""

    ufunc = np.logical_xor
    info = OpInfo(reference=np.logical_xor)


class LogicalNot(Logical, name="core.logical_not"):
    """Tell where a boolean does not hold."""

    inputs = ("x",)
    ufunc = np.logical_not
    info = OpInfo(reference=np.logical_not)


class Inquiry(Elementwise):
    """What the questions about one number share: a boolean for an answer, and no gradient."""

    floating = False

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        return np.dtype(np.bool)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((np.array([[0.0, np.nan, np.inf], [-np.inf, -np.nan, 1.0]]),), id="special")
        yield Sample((np.array([[complex(0, np.inf)], [complex(np.nan, 1)], [1j]]),), id="complex")
        yield Sample((np.array(np.inf),), id="scalar")
        yield Sample((rng.normal(size=(0, 3)),), id="empty")
        yield Sample((rng.integers(-5, 5, (2, 3)),), id="integers")


class IsFinite(Inquiry, name="core.isfinite"):
    """Tell where an element is neither infinite nor NaN; for a complex one, neither of its parts."""

    ufunc = np.isfinite
    info = OpInfo(reference=np.isfinite)


class IsNan(Inquiry, name="core.isnan"):
    """Tell where an element is NaN; for a complex one, either of its parts."""

    ufunc = np.isnan
    info = OpInfo(reference=np.isnan)


class IsInf(Inquiry, name="core.isinf"):
    """Tell where an element is infinite, of either sign; for a complex one, either of its parts."""

    ufunc = np.isinf
    info = OpInfo(reference=np.isinf)


class Where(Elementwise, name="core.where"):
    """Choose by a boolean: x where `condition` holds, else y. All three broadcast.

    Each of `x` and `y` has its gradient where it was chosen, and zero elsewhere.
    """

    inputs = ("condition", "x", "y")
    floating = False
    info = OpInfo(reference=np.where)

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
        yield Sample((rng.random((3, 1)) < 0.5, rng.normal(size=(3, 1)) + 1j, rng.normal(size=(2,)) + 1j), id="complex")
        yield Sample((rng.random((2, 3)) < 0.5, rng.integers(0, 9, (2, 3)), rng.integers(0, 9, (3,))), id="integers")
        yield Sample((rng.normal(size=(3,)), rng.normal(size=(3,)), rng.normal(size=(3,))), raises=DtypeError)


less: Binary = front_door(Less)
less_equal: Binary = front_door(LessEqual)
greater: Binary = front_door(Greater)
greater_equal: Binary = front_door(GreaterEqual)
equal: Binary = front_door(Equal)
not_equal: Binary = front_door(NotEqual)
logical_and: Binary = front_door(LogicalAnd)
logical_or: Binary = front_door(LogicalOr)
logical_xor: Binary = front_door(LogicalXor)
logical_not: Unary = front_door(LogicalNot)
isfinite: Unary = front_door(IsFinite)
isnan: Unary = front_door(IsNan)
isinf: Unary = front_door(IsInf)


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
    check_no_identity(condition, "where")
    return apply(Where(), condition, *promote(x, y, what="where", graph=graph_of(condition, x, y)))
