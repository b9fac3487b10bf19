"""Functions of one operand, element by element: exponentials, logarithms and roots; and casts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from opgraph.build import apply, as_node, check_no_identity
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door, front_door_for, make_op
from opgraph.errors import DtypeError
from opgraph.node import Node, NodeLike
from opgraph.op import Arrays, Cotangents, Elementwise, Nodes, Rng, Specs
from opgraph.ops.arithmetic import Binary, Choosy
from opgraph.ops.compare import equal, isinf, logical_and, where
from opgraph.ops.complexes import Unary, conj, real
from opgraph.spec import DtypeLike, is_differentiable


class Function(Elementwise):
    """What functions share that NumPy computes, of real and complex numbers; samples lie in `between`."""

    inplace = True
    between: ClassVar[tuple[float, float]] = (-2.0, 2.0)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        for shape in ((2, 3), (), (4, 1, 2), (3, 0)):
            yield Sample((rng.uniform(*cls.between, shape),), id=f"{shape}")
        yield Sample((rng.uniform(*cls.between, (2, 1)) + 1j * rng.uniform(0.3, 1.0, (2, 1)),), id="complex")


class Exp(Function, name="core.exp"):
    """Raise e to the power of each element: exp(x)."""

    ufunc = np.exp
    info = OpInfo(reference=np.exp)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * conj(outs[0]),)


class Exp2(Function, name="core.exp2"):
    """Raise 2 to the power of each element: 2**x."""

    ufunc = np.exp2
    info = OpInfo(reference=np.exp2)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * math.log(2.0) * conj(outs[0]),)


class Expm1(Function, name="core.expm1"):
    """Take exp(x) - 1 of each element, exact where x is small."""

    ufunc = np.expm1
    info = OpInfo(reference=np.expm1)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        # y + 1 would lose what is left of exp(x) far below 0
        return (cotangents[0] * conj(exp(ins[0])),)


class Log(Function, name="core.log"):
    """Take the natural logarithm of each element: -inf at 0, NaN below."""

    ufunc = np.log
    between = (0.2, 3.0)
    info = OpInfo(reference=np.log, domain=(0.0, np.inf))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] / conj(ins[0]),)


class Log2(Function, name="core.log2"):
    """Take the logarithm to base 2 of each element: -inf at 0, NaN below."""

    ufunc = np.log2
    between = (0.2, 3.0)
    info = OpInfo(reference=np.log2, domain=(0.0, np.inf))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * (1.0 / math.log(2.0)) / conj(ins[0]),)


class Log10(Function, name="core.log10"):
    """Take the logarithm to base 10 of each element: -inf at 0, NaN below."""

    ufunc = np.log10
    between = (0.2, 3.0)
    info = OpInfo(reference=np.log10, domain=(0.0, np.inf))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * (1.0 / math.log(10.0)) / conj(ins[0]),)


class Log1p(Function, name="core.log1p"):
    """Take log(1 + x) of each element, exact where x is small: -inf at -1, NaN below."""

    ufunc = np.log1p
    between = (-0.7, 2.0)
    info = OpInfo(reference=np.log1p, domain=(-1.0, np.inf))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] / (conj(ins[0]) + 1.0),)


class LogAddExp(Choosy, name="core.logaddexp"):
    """Take log(exp(x) + exp(y)) without overflow. Shapes broadcast.

    Each operand's gradient is its share in the sum; two equal infinities have half of it each.
    """

    inputs = ("x", "y")
    inplace = True
    info = OpInfo(reference=np.logaddexp)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return (outs[0], outs[0].with_dtype(np.bool))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (x, y), (out,), (distance, same) = ins, outs, scratch
        # max(x, y) + log1p(exp(-abs(x - y))) takes a tenth of the time of np.logaddexp, which has no vector loop
        np.subtract(x, y, distance)
        np.equal(x, y, same)
        np.copyto(distance, 0, where=same)  # infinities of one sign have no difference
        np.absolute(distance, distance)
        np.negative(distance, distance)
        np.exp(distance, distance)
        np.log1p(distance, distance)
        np.maximum(x, y, out=out)
        np.add(out, distance, out)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (g,) = ins, cotangents
        # infinities of one sign have no difference
        difference = where(logical_and(isinf(x), equal(x, y)), 0, x - y)
        return (g * _logistic(difference), g * _logistic(-difference))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="equal shapes")
        yield Sample((rng.normal(size=(2, 1, 3)), rng.normal(size=(4, 1))), id="broadcast")
        yield Sample((rng.normal(size=()), rng.normal(size=(3,))), id="scalar")
        yield Sample((rng.normal(size=(0, 3)), rng.normal(size=(1, 3))), id="empty")
        yield Sample((np.array([1j]), np.array([1j])), raises=DtypeError, id="complex")


def _logistic(x: Node) -> Node:
    """Return 1 / (1 + exp(-x)), whose gradients of every order stay finite."""
    return exp(-logaddexp(0, -x))


class Sqrt(Function, name="core.sqrt"):
    """Take the square root of each element: NaN below 0; the derivative at 0 is infinite."""

    ufunc = np.sqrt
    between = (0.2, 3.0)
    info = OpInfo(reference=np.sqrt, domain=(0.0, np.inf))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] / (conj(outs[0]) * 2.0),)


class Rsqrt(Function, name="core.rsqrt"):
    """Take 1 / sqrt(x) of each element: infinite at 0, NaN below."""

    between = (0.2, 3.0)
    info = OpInfo(reference=lambda x: 1.0 / np.sqrt(x), domain=(0.0, np.inf))

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.sqrt(ins[0], out=outs[0])
        np.reciprocal(outs[0], out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (g,), y = cotangents, conj(outs[0])
        return (g * y * y * y * -0.5,)


class Cast(Elementwise, name="core.cast"):
    """Convert each element to another dtype, as ``ndarray.astype`` does, but no complex number to a real one.

    A float loses its fraction on the way to an integer; a gradient goes back only between floats.
    """

    floating = False
    dtype: np.dtype[Any]

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        if ins[0].kind == "c" and self.dtype.kind in "iuf":
            raise DtypeError(f"{ins[0]} does not go into {self.dtype}; take og.real(x) or og.imag(x) first")
        return self.dtype

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], ins[0], casting="unsafe")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x,), (g,) = ins, cotangents
        if not is_differentiable(x.dtype):
            return (None,)
        return (cast(g if x.dtype.kind == "c" else real(g), x.dtype),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), {"dtype": np.float64}, id="same")
        yield Sample((rng.integers(-5, 5, (2, 3)),), {"dtype": np.float64}, id="from integers")
        yield Sample((rng.normal(size=(3,)),), {"dtype": np.int32}, id="to integers")
        yield Sample((rng.normal(size=(3, 1)) + 1j,), {"dtype": np.complex128}, id="complex")
        yield Sample((rng.normal(size=(3, 1)),), {"dtype": np.complex128}, id="to complex")
        yield Sample((rng.normal(size=(0, 3)),), {"dtype": np.bool}, id="empty")
        yield Sample((rng.normal(size=(3,)) + 1j,), {"dtype": np.float64}, raises=DtypeError, id="complex to real")


exp: Unary = front_door(Exp)
exp2: Unary = front_door(Exp2)
expm1: Unary = front_door(Expm1)
log: Unary = front_door(Log)
log2: Unary = front_door(Log2)
log10: Unary = front_door(Log10)
log1p: Unary = front_door(Log1p)
logaddexp: Binary = front_door(LogAddExp)
sqrt: Unary = front_door(Sqrt)
rsqrt: Unary = front_door(Rsqrt)


@front_door_for(Cast)
def cast(x: NodeLike, dtype: DtypeLike) -> Node:
    """Convert each element to `dtype`, as ``ndarray.astype`` does; `x` itself where it has that one.

    A float loses its fraction on the way to an integer; a gradient goes back only between floats and
    complex numbers.

    Raises
    ------
    DtypeError
        For a dtype that is no boolean, integer, float or complex one, and for complex numbers that should
        become real ones, whose imaginary parts would be lost.
    """
    if isinstance(x, Node) and isinstance(dtype, np.dtype) and x.dtype == dtype and not x.weak:
        return x
    check_no_identity(x, "cast")
    op = make_op(Cast, dtype=dtype)
    node = as_node(x)
    return node if node.dtype == op.dtype and not node.weak else apply(op, node)
