"""Products of matrices."""

from collections.abc import Iterable

import numpy as np

from opgraph.build import apply, promote
from opgraph.doors import front_door_for
from opgraph.errors import ShapeError
from opgraph.node import Node, NodeLike
from opgraph.op import Arrays, Cotangents, Nodes, Op, OpInfo, Rng, Sample, Specs
from opgraph.ops.complexes import conj
from opgraph.ops.shape import transpose


class Matmul(Op, name="core.matmul"):
    """Multiply two matrices: (m, k) @ (k, n) -> (m, n)."""

    inputs = ("x", "y")
    info = OpInfo(reference=np.matmul, multilinear=(0, 1))

    def infer(self, ins: Specs) -> Specs:
        x, y = ins
        if x.ndims != 2 or y.ndims != 2:
            raise ShapeError(f"{x.shape} @ {y.shape}: both must have two dimensions")
        inner, other = x.shape[1], y.shape[0]
        if inner is not None and other is not None and inner != other:
            raise ShapeError(f"{x.shape} @ {y.shape}: inner sizes {inner} and {other} differ")
        return (x.with_shape((x.shape[0], y.shape[1])),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.matmul(ins[0], ins[1], out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (g,) = ins, cotangents
        return (matmul(g, conj(transpose(y))), matmul(conj(transpose(x)), g))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(3, 4))), id="matrices")
        yield Sample((rng.normal(size=(1, 5)), rng.normal(size=(5, 2))), id="row")
        yield Sample((rng.normal(size=(2, 0)), rng.normal(size=(0, 3))), id="empty inner")
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(4, 3))), raises=ShapeError)


@front_door_for(Matmul)
def matmul(x: NodeLike, y: NodeLike) -> Node:
    """Multiply two matrices: (m, k) @ (k, n) -> (m, n).

    Raises
    ------
    ShapeError
        Where an operand is no matrix, or the inner sizes differ.
    """
    return apply(Matmul(), *promote(x, y, what="matmul"))
