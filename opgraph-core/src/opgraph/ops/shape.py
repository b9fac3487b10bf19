"""Ops that change a value's shape; most are views."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import SupportsIndex

import numpy as np

from opgraph.build import apply, as_node
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, ShapeError
from opgraph.node import Node, NodeLike
from opgraph.op import Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops.like import reshape_like, sum_to
from opgraph.signatures import guarded
from opgraph.spec import Axes, Shape, check_broadcasts, listed_axes, normalize_axes, normalize_axis


class Reshape(Op, name="core.reshape"):
    """Give a value another shape: (…) -> `shape`, elements in row-major order."""

    info = OpInfo(multilinear=(0,))
    shape: tuple[int, ...]

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        if any(n < -1 for n in self.shape) or self.shape.count(-1) > 1:
            raise ArgumentError(f"shape {self.shape}: sizes are 0 or more, and one at most is -1")
        rest = math.prod(n for n in self.shape if n != -1)
        size = x.shape.size
        known = math.prod(n for n in x.shape if n is not None)
        free = -1 in self.shape
        if size is None:
            # the known sizes must divide what they are to become part of
            if not free and ((known and rest % known) or (not known and rest)):
                raise ShapeError(f"{x.shape} cannot become {self.shape}: {known} does not divide {rest}")
            return (x.with_shape(None if n == -1 else n for n in self.shape),)
        if free and rest == 0:
            raise ArgumentError(f"shape {self.shape}: -1 beside 0 could be any size")
        if size % rest if free else size != rest:
            raise ShapeError(f"{x.shape} cannot become {self.shape}: {size} elements against {rest}")
        return (x.with_shape(size // rest if n == -1 else n for n in self.shape),)

    def view(self, ins: Arrays) -> Arrays | None:
        (x,) = ins
        if not x.flags.c_contiguous:
            return None
        return (x.reshape(self._sizes(x)),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0].reshape(ins[0].shape), ins[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (reshape_like(cotangents[0], ins[0]),)

    def _sizes(self, x: np.ndarray) -> tuple[int, ...]:
        rest = math.prod(n for n in self.shape if n != -1)
        return tuple(x.size // rest if n == -1 else n for n in self.shape)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 6)),), {"shape": (3, 4)}, id="regroup")
        yield Sample((rng.normal(size=(2, 3, 5)),), {"shape": (5, -1)}, id="inferred")
        yield Sample((rng.normal(size=(1,)),), {"shape": ()}, id="to scalar")
        yield Sample((rng.normal(size=(3, 1, 2)),), {"shape": (1, 6)}, id="with ones")
        yield Sample((rng.normal(size=(0, 3)),), {"shape": (2, 0, 5)}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"shape": (4, 2)}, raises=ShapeError)
        yield Sample((rng.normal(size=(2, 3)),), {"shape": (-1, -1)}, raises=ArgumentError)
        yield Sample((rng.normal(size=(0, 3)),), {"shape": (2**40, 2**40, 0)}, raises=ShapeError, id="too large")


class Transpose(Op, name="core.transpose"):
    """Permute the dimensions: output dimension i is input dimension ``axes[i]``; all reversed by default."""

    info = OpInfo(reference=np.transpose, multilinear=(0,))
    axes: tuple[int, ...] | None = None

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        return (x.with_shape(x.shape[a] for a in self._order(x.ndims)),)

    def view(self, ins: Arrays) -> Arrays | None:
        return (ins[0].transpose(self._order(ins[0].ndim)),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], ins[0].transpose(self._order(ins[0].ndim)))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        order = self._order(ins[0].ndim)
        return (transpose(cotangents[0], sorted(range(len(order)), key=order.__getitem__)),)

    def batch(self, ins: Specs, batched: frozenset[int]) -> Op | None:
        return Transpose((0, *[axis + 1 for axis in self._order(ins[0].ndims)]))

    def _order(self, ndims: int) -> tuple[int, ...]:
        if self.axes is None:
            return tuple(reversed(range(ndims)))
        if len(normalize_axes(self.axes, ndims)) != ndims:
            raise ArgumentError(f"axes {self.axes} do not name each of {ndims} dimensions once")
        return tuple(a % ndims for a in self.axes)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield Sample((rng.normal(size=(2, 3, 4)),), {"axes": (1, 2, 0)}, id="cycle")
        yield Sample((rng.normal(size=(2, 3, 4)),), {"axes": (-1, 0, 1)}, id="negative")
        yield Sample((rng.normal(size=(1, 0, 2)),), {"axes": (1, 0, 2)}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (0, 0)}, raises=ArgumentError)


class ExpandDims(Op, name="core.expand_dims"):
    """Insert dimensions of size 1, so that they stand at `axes` of the output."""

    info = OpInfo(multilinear=(0,))
    axes: tuple[int, ...]

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        ndims = x.ndims + len(self.axes)
        sizes = iter(x.shape)
        axes = normalize_axes(self.axes, ndims)
        return (x.with_shape([1 if i in axes else next(sizes) for i in range(ndims)]),)

    def view(self, ins: Arrays) -> Arrays | None:
        return (np.expand_dims(ins[0], self.axes),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], np.expand_dims(ins[0], self.axes))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (squeeze(cotangents[0], self.axes),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (1,)}, id="middle")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (0, -1)}, id="both ends")
        yield Sample((rng.normal(size=()),), {"axes": (0,)}, id="scalar")
        yield Sample((rng.normal(size=(0, 1)),), {"axes": (1,)}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (3,)}, raises=ArgumentError)


class Squeeze(Op, name="core.squeeze"):
    """Drop the dimensions `axes`, which have size 1."""

    info = OpInfo(multilinear=(0,))
    axes: tuple[int, ...]

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        axes = normalize_axes(self.axes, x.ndims)
        for axis in axes:
            if x.shape[axis] not in (1, None):
                raise ShapeError(f"{x.shape} cannot drop axis {axis}, whose size is {x.shape[axis]}")
        return (x.with_shape(n for i, n in enumerate(x.shape) if i not in axes),)

    def view(self, ins: Arrays) -> Arrays | None:
        return (np.squeeze(ins[0], self.axes)[...],)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], np.squeeze(ins[0], self.axes))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (expand_dims(cotangents[0], normalize_axes(self.axes, ins[0].ndim)),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 1, 3)),), {"axes": (1,)}, id="middle")
        yield Sample((rng.normal(size=(1, 2, 1)),), {"axes": (-1, 0)}, id="both ends")
        yield Sample((rng.normal(size=(1,)),), {"axes": (0,)}, id="to scalar")
        yield Sample((rng.normal(size=(0, 1)),), {"axes": (1,)}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (0,)}, raises=ShapeError)


class BroadcastTo(Op, name="core.broadcast_to"):
    """Broadcast `x` to `shape`, by NumPy's rules."""

    info = OpInfo(reference=np.broadcast_to, multilinear=(0,))
    shape: tuple[int, ...]

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        shape = Shape(self.shape)
        check_broadcasts(x.shape, shape)
        return (x.with_shape(shape),)

    def view(self, ins: Arrays) -> Arrays | None:
        return (np.broadcast_to(ins[0], self.shape)[...],)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], ins[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (sum_to(cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 1)),), {"shape": (4, 2, 3)}, id="lead and inner")
        yield Sample((rng.normal(size=()),), {"shape": (2, 3)}, id="scalar")
        yield Sample((rng.normal(size=(2, 3)),), {"shape": (2, 3)}, id="equal")
        yield Sample((rng.normal(size=(1, 3)),), {"shape": (0, 3)}, id="to nothing")
        yield Sample((rng.normal(size=(0, 1)),), {"shape": (2, 0, 3)}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"shape": (2, 4)}, raises=ShapeError, id="other size")
        yield Sample((rng.normal(size=(2, 3)),), {"shape": (3,)}, raises=ShapeError, id="fewer dimensions")
        yield Sample((rng.normal(size=(2,)),), {"shape": (-1, 2)}, raises=ShapeError, id="negative")
        yield Sample((rng.normal(size=(2,)),), {"shape": (2**60, 2**60, 2)}, raises=ShapeError, id="too large")


@front_door_for(Reshape)
def reshape(x: NodeLike, shape: SupportsIndex | Sequence[SupportsIndex]) -> Node:
    """Give `x` another shape: (…) -> `shape`, elements in row-major order.

    Parameters
    ----------
    shape
        Integers, or a `Shape` that is known in full. One size may be -1: what is left over.

    Raises
    ------
    ShapeError
        Where the numbers of elements differ.
    ArgumentError
        For two sizes of -1, or other negative ones, and for ``None``.
    """
    advice = "write -1 for one that is left over, or use og.reshape_like(x, like)"
    return apply(make_op(Reshape, shape=_known_sizes(shape, advice)), as_node(x))


@front_door_for(BroadcastTo)
def broadcast_to(x: NodeLike, shape: SupportsIndex | Sequence[SupportsIndex]) -> Node:
    """Broadcast `x` to `shape`, as a view: (n, 1), (m, n, k) -> (m, n, k).

    Raises
    ------
    ShapeError
        Where `x` does not broadcast to it.
    ArgumentError
        For ``None``: `broadcast_like` goes by sizes that are unknown until run time.
    """
    sizes = _known_sizes(shape, "use og.broadcast_like(x, like)")
    return apply(make_op(BroadcastTo, shape=sizes), as_node(x))


@front_door_for(Transpose)
def transpose(x: NodeLike, axes: Sequence[SupportsIndex] | None = None) -> Node:
    """Permute the dimensions: dimension i of the result is dimension ``axes[i]`` of `x`.

    All dimensions in reverse order where `axes` is not given.
    """
    return apply(make_op(Transpose, axes=axes), as_node(x))


@guarded
def swapaxes(x: NodeLike, axis1: SupportsIndex, axis2: SupportsIndex) -> Node:
    """Exchange two dimensions, as a view.

    Raises
    ------
    ArgumentError
        For an axis out of range.
    """
    node = as_node(x)
    first, second = (normalize_axis(axis, node.ndim) for axis in (axis1, axis2))
    order = list(range(node.ndim))
    order[first], order[second] = second, first
    return transpose(node, order)


@guarded
def moveaxis(
    x: NodeLike,
    source: SupportsIndex | Sequence[SupportsIndex],
    destination: SupportsIndex | Sequence[SupportsIndex],
) -> Node:
    """Move dimensions from `source` to `destination`, as a view; the others keep their order.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice, and where there are not as many of both.
    """
    node = as_node(x)
    starts, ends = [
        [normalize_axis(axis, node.ndim, what) for axis in listed_axes(axes)]
        for axes, what in ((source, "source"), (destination, "destination"))
    ]
    if len(starts) != len(ends) or len(set(starts)) < len(starts) or len(set(ends)) < len(ends):
        raise ArgumentError(f"source {source!r} and destination {destination!r} are as many axes, each named once")
    order = [axis for axis in range(node.ndim) if axis not in starts]
    for end, start in sorted(zip(ends, starts, strict=True)):
        order.insert(end, start)
    return transpose(node, order)


@front_door_for(ExpandDims)
def expand_dims(x: NodeLike, axis: SupportsIndex | Sequence[SupportsIndex]) -> Node:
    """Insert dimensions of size 1, so that they stand at `axis` of the result."""
    return apply(make_op(ExpandDims, axes=listed_axes(axis)), as_node(x))


@front_door_for(Squeeze)
def squeeze(x: NodeLike, axis: Axes = None) -> Node:
    """Drop the dimensions `axis`, of size 1; by default all that are known to have that size."""
    node = as_node(x)
    axes = [i for i, n in enumerate(node.shape) if n == 1] if axis is None else listed_axes(axis)
    return apply(make_op(Squeeze, axes=axes), node)


def _known_sizes(shape: SupportsIndex | Iterable[SupportsIndex], advice: str) -> tuple[SupportsIndex, ...]:
    """Return `shape` as a tuple; raise `ArgumentError`, with `advice`, where a size in it is None."""
    sizes = listed_axes(shape)
    if any(n is None for n in sizes):
        raise ArgumentError(f"shape {sizes} has a size that is not known; {advice}")
    return sizes
