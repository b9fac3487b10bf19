"""The parts of complex numbers.

The gradient of a real y by a complex z = a + ib is ∂y/∂a + i ∂y/∂b, the direction in which y rises most, as in
PyTorch. So the cotangent of the input of a holomorphic f is g times the conjugate of f'(z), and that of a
real input is the real part of what arrives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from opgraph.build import apply, as_node
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for
from opgraph.node import Node, NodeLike
from opgraph.op import Arrays, Cotangents, Elementwise, Nodes, Rng
from opgraph.spec import real_dtype


class Unary(Protocol):
    """A function of one operand."""

    def __call__(self, x: NodeLike) -> Node: ...


class Part(Elementwise):
    """What the functions share that take complex numbers apart."""

    floating = False

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        for shape in ((2, 3), (), (4, 1, 2), (3, 0)):
            yield Sample((rng.normal(size=shape) + 1j * rng.normal(size=shape),), id=f"complex {shape}")
        yield Sample((rng.normal(size=(2, 3)),), id="real")


class Real(Part, name="core.real"):
    """Take the real part of each element."""

    info = OpInfo(reference=np.real)

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        return real_dtype(ins[0])

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], ins[0].real)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0].astype(ins[0].dtype),)


class Imag(Part, name="core.imag"):
    """Take the imaginary part of each element, 0 for a real one."""

    info = OpInfo(reference=np.imag)

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any]:
        return real_dtype(ins[0])

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], ins[0].imag)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * 1j if ins[0].dtype.kind == "c" else None,)


class Conj(Part, name="core.conj"):
    """Take the complex conjugate of each element; a real one is its own."""

    inplace = True
    info = OpInfo(reference=np.conj)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        if ins[0].dtype.kind == "c":
            np.conjugate(ins[0], out=outs[0])
        else:
            np.copyto(outs[0], ins[0])  # NumPy has no conjugates of booleans

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (conj(cotangents[0]),)


@front_door_for(Real)
def real(x: NodeLike) -> Node:
    """Take the real part of each element; `x` itself where it is real."""
    node = as_node(x)
    return apply(Real(), node) if node.dtype.kind == "c" else node


@front_door_for(Imag)
def imag(x: NodeLike) -> Node:
    """Take the imaginary part of each element: zeros where `x` is real."""
    return apply(Imag(), as_node(x))


@front_door_for(Conj)
def conj(x: NodeLike) -> Node:
    """Take the complex conjugate of each element; `x` itself where it is real."""
    node = as_node(x)
    return apply(Conj(), node) if node.dtype.kind == "c" else node
