"""Values repeated along their axes, as a whole or each element on its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import SupportsIndex

import numpy as np

from opgraph.build import apply, as_node
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, ShapeError
from opgraph.node import Node, NodeLike
from opgraph.op import Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops.shape import reshape
from opgraph.spec import Dim, Shape, known_shape, listed_axes, merge_shapes, normalize_axis, wide_dtype, widened


class Tile(Op, name="core.tile"):
    """Repeat `x` as a whole, `reps` times along each axis, as ``numpy.tile`` does."""

    info = OpInfo(reference=np.tile, multilinear=(0,))
    reps: tuple[int, ...]

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        return (x.with_shape(_tiled(x.shape, self.reps)),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x,), (y,) = ins, outs
        if y.size:
            apart, once, _ = _interleaved(x.shape, self.reps)
            np.copyto(y.reshape(apart), x.reshape(once))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (apply(SumTiles(reps=self.reps), cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), {"reps": (2, 1)}, id="rows")
        yield Sample((rng.normal(size=(3,)),), {"reps": (2, 1, 2)}, id="new axes")
        yield Sample((rng.normal(size=(1, 2, 3)),), {"reps": (2,)}, id="last axis")
        yield Sample((rng.normal(size=(0, 2)),), {"reps": (3, 2)}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"reps": (0, 2)}, id="no times")
        yield Sample((rng.normal(size=()),), {"reps": (3,)}, id="scalar")
        yield Sample((rng.normal(size=(2,)),), {"reps": (-1,)}, raises=ArgumentError, id="negative")
        yield Sample((rng.normal(size=(2,)),), {"reps": (2**62, 2**62)}, raises=ShapeError, id="too large")


class SumTiles(Op, name="core._sum_tiles"):
    """Sum the tiles of `x`, each of the shape of `like`: the gradient of `tile`."""

    inputs = ("x", "like")
    info = OpInfo(multilinear=(0,))
    reps: tuple[int, ...]

    def infer(self, ins: Specs) -> Specs:
        x, like = ins
        merge_shapes(x.shape, _tiled(like.shape, self.reps))
        return (x.with_shape(like.shape),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({1})

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return widened(outs[0])

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (x, _), (y,), (total,) = ins, outs, scratch or outs
        if not x.size:
            y.fill(0)
            return
        apart, once, axes = _interleaved(y.shape, self.reps)
        np.add.reduce(x.reshape(apart), axis=axes, out=total.reshape(once), keepdims=True)
        if scratch:
            np.copyto(y, total, casting="same_kind")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (tile(cotangents[0], self.reps), None)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(4, 3)), rng.normal(size=(2, 3))), {"reps": (2, 1)}, id="rows")
        yield Sample((rng.normal(size=(2, 1, 6)), rng.normal(size=(3,))), {"reps": (2, 1, 2)}, id="new axes")
        yield Sample((rng.normal(size=(0, 4)), rng.normal(size=(0, 2))), {"reps": (3, 2)}, id="empty")
        yield Sample((rng.normal(size=(0, 6)), rng.normal(size=(2, 3))), {"reps": (0, 2)}, id="no times")
        yield Sample((rng.normal(size=(4, 3)), rng.normal(size=(3, 1))), {"reps": (2, 3)}, raises=ShapeError)


class Repeat(Op, name="core.repeat"):
    """Repeat each element of `x` along an axis: so many times, or each as often as `repeats` says for it."""

    info = OpInfo(reference=np.repeat, multilinear=(0,))
    repeats: int | tuple[int, ...]
    axis: int

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        return (x.with_shape(_repeated(x.shape, self.repeats, self.axis)),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x,), (y,) = ins, outs
        if y.size:
            index = np.repeat(np.arange(x.shape[self.axis]), self.repeats)
            np.take(x, index, axis=self.axis, out=y, mode="clip")  # "raise" would work on a copy of y

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (apply(SumRepeats(repeats=self.repeats, axis=self.axis), cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), {"repeats": 2, "axis": 0}, id="rows")
        yield Sample((rng.normal(size=(2, 3)),), {"repeats": (2, 0, 1), "axis": -1}, id="unequal")
        yield Sample((rng.normal(size=(4, 1, 2)),), {"repeats": 3, "axis": 1}, id="one")
        yield Sample((rng.normal(size=(2, 3)),), {"repeats": 0, "axis": 1}, id="no times")
        yield Sample((rng.normal(size=(0, 2)),), {"repeats": 3, "axis": 0}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"repeats": (2, 1), "axis": 1}, raises=ShapeError, id="too few")
        yield Sample((rng.normal(size=(2, 3)),), {"repeats": -1, "axis": 1}, raises=ArgumentError, id="negative")
        yield Sample((rng.normal(size=(2, 3)),), {"repeats": 1, "axis": 2}, raises=ArgumentError, id="axis")


class SumRepeats(Op, name="core._sum_repeats"):
    """Sum what `repeat` made of each element of `like`: its gradient."""

    inputs = ("x", "like")
    info = OpInfo(multilinear=(0,))
    repeats: int | tuple[int, ...]
    axis: int

    def infer(self, ins: Specs) -> Specs:
        x, like = ins
        merge_shapes(x.shape, _repeated(like.shape, self.repeats, self.axis))
        return (x.with_shape(like.shape),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({1})

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x, _), (y,) = ins, outs
        y.fill(0)
        if x.size:
            times = np.broadcast_to(self.repeats, (y.shape[self.axis],))
            starts = np.cumsum(times) - times
            some = times > 0  # for none, reduceat would take one
            sums = np.add.reduceat(x, starts[some], axis=self.axis, dtype=wide_dtype(x.dtype))
            np.moveaxis(y, self.axis, 0)[some] = np.moveaxis(sums, self.axis, 0)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (apply(Repeat(repeats=self.repeats, axis=self.axis), cotangents[0]), None)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(4, 3)), rng.normal(size=(2, 3))), {"repeats": 2, "axis": 0}, id="rows")
        yield Sample((rng.normal(size=(2, 4)), rng.normal(size=(2, 3))), {"repeats": (3, 0, 1), "axis": -1}, id="some")
        yield Sample((rng.normal(size=(2, 0)), rng.normal(size=(2, 3))), {"repeats": 0, "axis": 1}, id="no times")
        yield Sample((rng.normal(size=(0, 1)), rng.normal(size=(0, 1))), {"repeats": 3, "axis": 0}, id="empty")
        yield Sample((rng.normal(size=(4, 3)), rng.normal(size=(3, 1))), {"repeats": 2, "axis": 0}, raises=ShapeError)


def _tiled(x: Shape, reps: tuple[int, ...]) -> Shape:
    if min(reps, default=0) < 0:
        raise ArgumentError(f"reps {reps} cannot be negative")
    x, reps = _aligned(x, reps)
    return Shape([0 if r == 0 else None if n is None else n * r for n, r in zip(x, reps, strict=True)])


def _aligned(x: tuple[Dim, ...], reps: tuple[int, ...]) -> tuple[Shape, tuple[int, ...]]:
    """Return both with ones in front, as long as the longer of them."""
    ndims = max(len(x), len(reps))
    return Shape([1] * (ndims - len(x)) + list(x)), (1,) * (ndims - len(reps)) + reps


def _interleaved(x: tuple[int, ...], reps: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return a shape in which the tiles of `x` have axes of their own, that of one tile, and these axes.

    Axes of size 1 are left out, so that there are never more than NumPy allows.
    """
    apart: list[int] = []
    once: list[int] = []
    axes: list[int] = []
    shape, times = _aligned(x, reps)
    for n, r in zip(known_shape(shape), times, strict=True):
        if r != 1:
            axes.append(len(apart))
            apart.append(r)
            once.append(1)
        if n != 1:
            apart.append(n)
            once.append(n)
    return tuple(apart), tuple(once), tuple(axes)


def _repeated(x: Shape, repeats: int | tuple[int, ...], axis: int) -> Shape:
    axis = normalize_axis(axis, len(x))
    n: Dim = x[axis]
    if isinstance(repeats, tuple):
        if n not in (None, len(repeats)):
            raise ShapeError(f"{len(repeats)} repeats for axis {axis} of size {n}; give one number, or one for each")
        n = 1
    if min(repeats if isinstance(repeats, tuple) else (repeats,), default=0) < 0:
        raise ArgumentError(f"repeats {repeats} cannot be negative")
    times = sum(repeats) if isinstance(repeats, tuple) else repeats
    size = 0 if times == 0 else None if n is None else n * times
    return Shape([*x[:axis], size, *x[axis + 1 :]])


@front_door_for(Tile)
def tile(x: NodeLike, reps: SupportsIndex | Sequence[SupportsIndex]) -> Node:
    """Repeat `x` as a whole: (n, k), reps (2, 3) -> (2 n, 3 k), as ``numpy.tile`` does.

    Parameters
    ----------
    x : array_like or Node
    reps
        How many times along each axis, counted from the last one; 1 for those it lacks. Where there are more
        than `x` has axes, `x` gets new ones in front.

    Raises
    ------
    ArgumentError
        For negative numbers.
    ShapeError
        For more than an array can hold.
    """
    return apply(make_op(Tile, reps=listed_axes(reps)), as_node(x))


@front_door_for(Repeat)
def repeat(x: NodeLike, repeats: SupportsIndex | Sequence[SupportsIndex], axis: SupportsIndex | None = None) -> Node:
    """Repeat each element along an axis: (n, k), 2 -> (2 n, k), as ``numpy.repeat`` does.

    Parameters
    ----------
    x : array_like or Node
    repeats
        How many times, or how many for each element of the axis, whose size it then tells. They are known when
        the graph is built, since the result's shape depends on them.
    axis
        The elements in row-major order, as one axis, where not given.

    Raises
    ------
    ArgumentError
        For negative numbers, and an axis out of range.
    ShapeError
        For another number of `repeats` than of elements; for more than an array can hold.
    """
    node = as_node(x)
    if axis is None:
        node = reshape(node, -1)
    listed = listed_axes(repeats)
    times = listed[0] if len(listed) == 1 else listed  # NumPy takes one in a list for all elements, too
    return apply(make_op(Repeat, repeats=times, axis=0 if axis is None else axis), node)
