"""Functions of one operand, element by element."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from opgraph.build import apply, as_node
from opgraph.doors import front_door, front_door_for, make_op
from opgraph.errors import DtypeError
from opgraph.node import Node, NodeLike
from opgraph.op import Arrays, Cotangents, Elementwise, Nodes, OpInfo, Rng, Sample
from opgraph.ops.complexes import Unary, conj, real
from opgraph.spec import DtypeLike, is_differentiable


def _samples(rng: Rng, low: float = -2.0, high: float = 2.0) -> Iterable[Sample]:
    for shape in ((2, 3), (), (4, 1, 2), (3, 0)):
        yield Sample((rng.uniform(low, high, shape),), id=f"{len(shape)}-d")


class Exp(Elementwise, name="core.exp"):
    """Raise e to the power of each element: exp(x)."""

    inplace = True
    info = OpInfo(reference=np.exp)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.exp(ins[0], out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * conj(outs[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return _samples(rng)


class Log(Elementwise, name="core.log"):
    """Take the natural logarithm of each element: -inf at 0, NaN below."""

    inplace = True
    info = OpInfo(reference=np.log, domain=(0.0, np.inf))

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.log(ins[0], out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] / conj(ins[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return _samples(rng, 0.2, 3.0)


class Tanh(Elementwise, name="core.tanh"):
    """Take the hyperbolic tangent of each element; its derivative is 1 - tanh(x)**2."""

    inplace = True
    info = OpInfo(reference=np.tanh)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.tanh(ins[0], out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (g,), y = cotangents, conj(outs[0])
        return (g - g * y * y,)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return _samples(rng)


class Sqrt(Elementwise, name="core.sqrt"):
    """Take the square root of each element: NaN below 0; the derivative at 0 is infinite."""

    inplace = True
    info = OpInfo(reference=np.sqrt, domain=(0.0, np.inf))

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.sqrt(ins[0], out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] / (conj(outs[0]) * 2.0),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return _samples(rng, 0.2, 3.0)


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


exp: Unary = front_door(Exp)
log: Unary = front_door(Log)
tanh: Unary = front_door(Tanh)
sqrt: Unary = front_door(Sqrt)


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
    if isinstance(x, Node) and x.dtype == dtype and dtype is not None:
        return x
    op = make_op(Cast, dtype=dtype)
    node = as_node(x)
    return node if node.dtype == op.dtype else apply(op, node)
