"""What runs along an axis: sums up to each element, products before it, and linear recurrences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import SupportsIndex

import numpy as np

from opgraph.build import apply, as_node
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, ShapeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops.complexes import conj
from opgraph.ops.shape import reshape
from opgraph.spec import normalize_axis, total_dtype, widened


class Cumulative(Op):
    """What cumulative ops share: the `axis` along which they run, backwards where `reverse`."""

    axis: int = -1
    reverse: bool = False

    def infer(self, ins: Specs) -> Specs:
        normalize_axis(self.axis, ins[0].ndims)
        return (ins[0],)

    def lanes(self, x: Array) -> Array:
        """Return a view of `x` with `axis` in front, in the direction in which to accumulate."""
        return x.swapaxes(0, self.axis)[:: -1 if self.reverse else 1]


def _summed_up(x: Array, axis: int = -1, reverse: bool = False, exclusive: bool = False) -> Array:
    turned = np.flip(x, axis) if reverse else x
    total = np.cumsum(turned, axis) - (turned if exclusive else 0)
    return np.flip(total, axis) if reverse else total


class CumSum(Cumulative, name="core.cumsum"):
    """Add up along `axis`: each element gets the sum of those up to it, or before it where `exclusive`.

    Backwards where `reverse`. Integers become int64 or uint64, booleans count.
    """

    info = OpInfo(reference=_summed_up, multilinear=(0,))
    exclusive: bool = False

    def infer(self, ins: Specs) -> Specs:
        (y,) = super().infer(ins)
        return (y.with_dtype(total_dtype(y.dtype)),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return widened(outs[0])

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (wide,) = scratch or outs
        x, total = self.lanes(ins[0]), self.lanes(wide)
        if self.exclusive:
            total[:1] = 0
            x, total = x[:-1], total[1:]
        np.add.accumulate(x, axis=0, dtype=wide.dtype, out=total)
        if scratch:
            np.copyto(outs[0], wide)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cumsum(cotangents[0], self.axis, exclusive=self.exclusive, reverse=not self.reverse),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(5,)),), id="vector")
        yield Sample((rng.normal(size=(3, 1, 2)),), {"axis": 0, "exclusive": True}, id="exclusive")
        yield Sample((rng.normal(size=(2, 3)),), {"axis": 1, "reverse": True}, id="reverse")
        yield Sample((rng.normal(size=(2, 3)),), {"reverse": True, "exclusive": True}, id="both")
        yield Sample((rng.normal(size=(3, 0)),), {"exclusive": True}, id="empty")
        yield Sample((rng.integers(200, 256, (3, 2), np.uint8),), {"axis": 0, "reverse": True}, id="small integers")
        yield Sample((rng.normal(size=(2, 3)),), {"axis": -3}, raises=ArgumentError, id="out of range")
        yield Sample((rng.normal(size=()),), raises=ArgumentError, id="scalar")


class ProductBefore(Cumulative, name="core._product_before"):
    """Multiply along `axis` what comes before each element; 1 for the first.

    With L the result and g its cotangent, that of x is L μ, where μ[i] = g[i+1] + x[i+1] μ[i+1]: another `LinearScan`.
    """

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        x, y = self.lanes(ins[0]), self.lanes(outs[0])
        y[:1] = 1
        np.multiply.accumulate(x[:-1], axis=0, out=y[1:])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x,), (y,), (g,) = ins, outs, cotangents
        return (conj(y) * apply(LinearScan(self.axis, not self.reverse), conj(x), g),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((np.array([2.0, 0.0, -1.5, 0.5, 3.0]),), id="zero")
        yield Sample((rng.normal(size=(3, 1, 2)),), {"axis": 0, "reverse": True}, id="reverse")
        yield Sample((rng.normal(size=(3, 0)),), id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"axis": 2}, raises=ArgumentError)


class LinearScan(Cumulative, name="core._linear_scan"):
    """Solve a linear recurrence along `axis`: y[0] = 0, y[i+1] = h[i] + x[i] y[i].

    Its own gradient: with μ the scan of the cotangent in the other direction, that of h is μ, that of x is μ y.
    """

    inputs = ("x", "h")
    info = OpInfo(multilinear=(1,))

    def infer(self, ins: Specs) -> Specs:
        x, h = ins
        normalize_axis(self.axis, x.ndims)
        if not x.shape.compatible_with(h.shape):
            raise ShapeError(f"x and h have one shape, not {x.shape} and {h.shape}")
        return (x.with_shape(m if n is None else n for m, n in zip(h.shape, x.shape, strict=True)),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return (outs[0], outs[0])

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        # after the round of step s, y[i] is right but for y[i-s] times factor[i], the product of the s before i
        # (W. D. Hillis, G. L. Steele, "Data parallel algorithms", Communications of the ACM 29, 1986)
        x, h, y, factor, work = map(self.lanes, (*ins, *outs, *scratch))
        y[:1], factor[:1] = 0, 1
        y[1:], factor[1:] = h[:-1], x[:-1]
        step = 1
        while step < len(y):
            np.multiply(factor[step:], y[:-step], out=work[step:])
            np.add(y[step:], work[step:], out=y[step:])
            np.multiply(factor[step:], factor[:-step], out=work[step:])
            np.copyto(factor[step:], work[step:])
            step *= 2

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, _), (y,), (g,) = ins, outs, cotangents
        back = apply(LinearScan(self.axis, not self.reverse), conj(x), g)
        return (back * conj(y), back)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        x = np.array([2.0, 0.0, -1.5, 0.5, 3.0, -0.5])
        yield Sample((x, rng.normal(size=(6,))), id="vector")
        x, h = rng.normal(size=(2, 3, 1, 2))
        yield Sample((x, h), {"axis": 0, "reverse": True}, id="reverse")
        yield Sample((rng.normal(size=(3, 0)), rng.normal(size=(3, 0))), id="empty")
        yield Sample((rng.normal(size=(3,)), rng.normal(size=(2,))), raises=ShapeError)


@front_door_for(CumSum)
def cumsum(x: NodeLike, axis: SupportsIndex | None = None, exclusive: bool = False, reverse: bool = False) -> Node:
    """Add up along `axis`: each element gets the sum of those up to it.

    As in NumPy, booleans and integers are summed in int64, unsigned ones in uint64, and stay in it.

    Parameters
    ----------
    x : array_like or Node, (…)
    axis
        By default `x` is flattened first, in row-major order, as NumPy does it.
    exclusive
        Whether to leave the element itself out: the first becomes 0.
    reverse
        Whether to start from the end.

    Raises
    ------
    ArgumentError
        For an axis out of range.
    """
    op = make_op(CumSum, axis=0 if axis is None else axis, exclusive=exclusive, reverse=reverse)
    node = as_node(x)
    return apply(op, reshape(node, -1) if axis is None else node)
