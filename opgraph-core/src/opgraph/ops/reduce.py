"""Reductions over axes."""

from collections.abc import Iterable

import numpy as np

from opgraph.build import apply, as_node, promote
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError
from opgraph.node import Node, NodeLike
from opgraph.op import Arrays, Cotangents, Nodes, Op, OpInfo, Rng, Sample, Specs
from opgraph.ops.like import broadcast_like, count
from opgraph.ops.shape import expand_dims
from opgraph.spec import Axes, listed_axes, normalize_axes, reduced_shape


class Reduction(Op):
    """What reductions share: `axes`, all of them where ``None``, and `keepdims`."""

    axes: tuple[int, ...] | None = None
    keepdims: bool = False

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        return (x.with_shape(reduced_shape(x.shape, normalize_axes(self.axes, x.ndims), self.keepdims)),)

    def spread(self, g: Node, x: Node) -> Node:
        """Return `g`, which has the output's shape, broadcast to the shape of `x`."""
        axes = normalize_axes(self.axes, x.ndim)
        return broadcast_like(g if self.keepdims or not axes else expand_dims(g, axes), x)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), id="all")
        yield Sample((rng.normal(size=(2, 3, 4)),), {"axes": (1,)}, id="middle")
        yield Sample((rng.normal(size=(2, 3, 4)),), {"axes": (-1, 0), "keepdims": True}, id="kept")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": ()}, id="none")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (2,)}, raises=ArgumentError, id="out of range")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (1, -1)}, raises=ArgumentError, id="twice")


class ReduceSum(Reduction, name="core.reduce_sum"):
    """Sum over `axes`; the sum of nothing is 0. Integers stay in their dtype, booleans count."""

    info = OpInfo(multilinear=(0,))

    def infer(self, ins: Specs) -> Specs:
        (y,) = super().infer(ins)
        return (y.with_dtype(np.int64) if y.dtype.kind == "b" else y,)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.add.reduce(ins[0], axis=self.axes, out=outs[0], keepdims=self.keepdims)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (self.spread(cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from super().samples(rng)
        yield Sample((rng.normal(size=(0, 3)),), {"axes": (0,)}, id="empty")


class ReduceMean(Reduction, name="core.reduce_mean"):
    """Average over `axes`; the mean of nothing is NaN."""

    info = OpInfo(multilinear=(0,))

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x,), (y,) = ins, outs
        # float16 ends at 65504, so that neither a sum nor a count may be kept in it
        wide = y if x.dtype != np.float16 else np.empty(y.shape, np.float32)
        np.add.reduce(x, axis=self.axes, out=wide, keepdims=self.keepdims)
        np.true_divide(wide, wide.dtype.type(x.size // y.size if y.size else 1), out=y)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (self.spread(cotangents[0] / count(ins[0], self.axes), ins[0]),)


@front_door_for(ReduceSum)
def reduce_sum(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Sum over `axis`: an int, several of them, or all by default.

    The sum of nothing is 0. Integers stay in their dtype, booleans are counted in int64.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice.
    """
    return apply(make_op(ReduceSum, axes=None if axis is None else listed_axes(axis), keepdims=keepdims), as_node(x))


@front_door_for(ReduceMean)
def reduce_mean(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Average over `axis`: an int, several of them, or all by default.

    The mean of nothing is NaN; integers are averaged in the default float.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice.
    """
    (node,) = promote(x, floating=True, what="reduce_mean")
    return apply(make_op(ReduceMean, axes=None if axis is None else listed_axes(axis), keepdims=keepdims), node)
