"""Ops that go by the shapes of a run: gradients are written with them, so that they hold for unknown sizes.

`sum_to` and `broadcast_like` are each other's gradients; all read `like` for its shape alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from opgraph.build import apply, as_node
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, DtypeError, ShapeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops._sums import sum_call, with_ones
from opgraph.spec import (
    Axes,
    DtypeLike,
    Shape,
    Spec,
    as_dtype,
    broadcast_shapes,
    check_broadcasts,
    get_default_dtype,
    listed_axes,
    normalize_axes,
    real_dtype,
    wide_dtype,
    widened,
)


class SumTo(Op, name="core.sum_to"):
    """Sum over the dimensions along which `like` broadcasts to `x`: the result has `like`'s shape."""

    inputs = ("x", "like")
    info = OpInfo(multilinear=(0,))

    def infer(self, ins: Specs) -> Specs:
        x, like = ins
        check_broadcasts(like.shape, x.shape)
        return (x.with_shape(_known_from(like.shape, x.shape)),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({1})

    def view(self, ins: Arrays) -> Arrays | None:
        x, like = ins
        return (x[...],) if x.shape == like.shape else None

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return widened(outs[0])

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (x, _), (y,), (total,) = ins, outs, scratch or outs
        self._sum(x, total)()
        if scratch:
            np.copyto(y, total, casting="same_kind")

    def bind(self, ins: Arrays, outs: Arrays) -> Callable[[], object] | None:
        return self._sum(ins[0], outs[0])

    def _sum(self, x: Array, y: Array) -> Callable[[], object]:
        """Return the call that fills `y` with sums of `x`."""
        lead = x.ndim - y.ndim
        axes = (*range(lead), *(lead + i for i, n in enumerate(y.shape) if n != x.shape[lead + i]))
        return sum_call(x, axes, y.reshape(with_ones(x.shape, axes)))

    def flops(self, ins: Specs, outs: Specs) -> int:
        return ins[0].shape.size or 0

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (broadcast_like(cotangents[0], ins[0]), None)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="equal")
        yield Sample((rng.normal(size=(4, 2, 3)), rng.normal(size=(2, 1))), id="lead and inner")
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=())), id="to scalar")
        yield Sample((rng.normal(size=(0, 3)), rng.normal(size=(1, 3))), id="empty")
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(2,))), raises=ShapeError)


class BroadcastLike(Op, name="core.broadcast_like"):
    """Broadcast `x` to the shape of `like`."""

    inputs = ("x", "like")
    info = OpInfo(multilinear=(0,))

    def infer(self, ins: Specs) -> Specs:
        x, like = ins
        check_broadcasts(x.shape, like.shape)
        return (x.with_shape(broadcast_shapes(x.shape, like.shape)),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({1})

    def view(self, ins: Arrays) -> Arrays | None:
        x, like = ins
        return (np.broadcast_to(x, like.shape)[...],)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], ins[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (sum_to(cotangents[0], ins[0]), None)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="equal")
        yield Sample((rng.normal(size=(2, 1)), rng.normal(size=(4, 2, 3))), id="lead and inner")
        yield Sample((rng.normal(size=()), rng.normal(size=(2, 3))), id="scalar")
        yield Sample((rng.normal(size=(1, 3)), rng.normal(size=(0, 3))), id="empty")
        yield Sample((rng.normal(size=(2,)), rng.normal(size=(2, 3))), raises=ShapeError)


class EnsureShapeLike(Op, name="core.ensure_shape_like"):
    """Give `x` back where its run-time shape is that of `like`; an error where it is not."""

    inputs = ("x", "like")
    info = OpInfo(multilinear=(0,))

    def infer(self, ins: Specs) -> Specs:
        x, like = ins
        if not x.shape.compatible_with(like.shape):
            raise ShapeError(f"x has shape {x.shape} where that of like is wanted, {like.shape}")
        return (x.with_shape(m if n is None else n for m, n in zip(x.shape, like.shape, strict=True)),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({1})

    def view(self, ins: Arrays) -> Arrays | None:
        return (ins[0],)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], ins[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0], None)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="matrix")
        yield Sample((rng.normal(size=()), rng.normal(size=())), id="scalar")
        yield Sample((rng.normal(size=(0, 3)), rng.normal(size=(0, 3))), id="empty")
        yield Sample((rng.normal(size=(1, 3)), rng.normal(size=(1, 3))), id="one")
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 1))), raises=ShapeError)


class ReshapeLike(Op, name="core.reshape_like"):
    """Give `x` the shape of `like`, elements in row-major order."""

    inputs = ("x", "like")
    info = OpInfo(multilinear=(0,))

    def infer(self, ins: Specs) -> Specs:
        x, like = ins
        if x.shape.size is not None and like.shape.size is not None and x.shape.size != like.shape.size:
            raise ShapeError(f"{x.shape} cannot become {like.shape}: {x.shape.size} elements against {like.shape.size}")
        return (x.with_shape(like.shape),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({1})

    def view(self, ins: Arrays) -> Arrays | None:
        x, like = ins
        return (x.reshape(like.shape),) if x.flags.c_contiguous else None

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0].reshape(ins[0].shape), ins[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (reshape_like(cotangents[0], ins[0]), None)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 6)), rng.normal(size=(3, 4))), id="regroup")
        yield Sample((rng.normal(size=(6,)), rng.normal(size=(2, 3))), id="split")
        yield Sample((rng.normal(size=(1, 1)), rng.normal(size=())), id="to scalar")
        yield Sample((rng.normal(size=(0, 3)), rng.normal(size=(2, 0))), id="empty")
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 4))), raises=ShapeError)


class Count(Op, name="core.count"):
    """Count the elements of `x` along `axes`, all of them by default, as a scalar of `dtype`."""

    axes: tuple[int, ...] | None = None
    dtype: np.dtype = np.dtype(np.float32)

    def infer(self, ins: Specs) -> Specs:
        normalize_axes(self.axes, ins[0].ndims)
        return (Spec(Shape(), self.dtype),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({0})

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x,) = ins
        n = math.prod(x.shape[a] for a in normalize_axes(self.axes, x.ndim))
        if self.dtype.kind in "iu" and n > np.iinfo(self.dtype).max:
            raise DtypeError(f"{n} elements are out of the range of {self.dtype}")
        outs[0][...] = n

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (None,)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), id="all")
        yield Sample((rng.normal(size=(2, 3, 4)),), {"axes": (0, -1)}, id="two")
        yield Sample((rng.normal(size=(0, 3)),), id="empty")
        yield Sample((rng.normal(size=(1, 3)),), {"axes": (0,)}, id="one")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (2,)}, raises=ArgumentError)


def _known_from(like: Shape, x: Shape) -> list[int | None]:
    """Return `like`'s sizes, an unknown one next to 1 known to be 1: it broadcasts to that."""
    lead = len(x) - len(like)
    return [1 if n is None and x[lead + i] == 1 else n for i, n in enumerate(like)]


@front_door_for(SumTo)
def sum_to(x: NodeLike, like: NodeLike) -> Node:
    """Sum `x` over the dimensions along which `like` broadcasts to it: the result has `like`'s shape.

    Goes by run-time shapes; a view where they are equal. The gradient of `broadcast_like`.
    """
    return apply(SumTo(), as_node(x), as_node(like))


@front_door_for(BroadcastLike)
def broadcast_like(x: NodeLike, like: NodeLike) -> Node:
    """Broadcast `x` to the run-time shape of `like`, as a view. The gradient of `sum_to`."""
    return apply(BroadcastLike(), as_node(x), as_node(like))


@front_door_for(EnsureShapeLike)
def ensure_shape_like(x: NodeLike, like: NodeLike) -> Node:
    """Give `x` back, as a view, with what is known of the shape of `like`, which must be its own.

    Raises
    ------
    ShapeError
        Where the shapes differ; for unknown sizes, in the run.
    """
    return apply(EnsureShapeLike(), as_node(x), as_node(like))


@front_door_for(ReshapeLike)
def reshape_like(x: NodeLike, like: NodeLike) -> Node:
    """Give `x` the run-time shape of `like`, elements in row-major order."""
    return apply(ReshapeLike(), as_node(x), as_node(like))


@front_door_for(Count)
def count(x: NodeLike, axes: Axes = None, dtype: DtypeLike = None) -> Node:
    """Count the elements of `x` along `axes` at run time, as a scalar.

    Parameters
    ----------
    axes
        All by default.
    dtype
        That of `x` where it is a float, or of its parts where it is complex, but float32 for float16, which
        ends at 65504; else the default float.
    """
    node = as_node(x)
    real = real_dtype(node.dtype)
    default = wide_dtype(real) if real.kind == "f" else get_default_dtype()
    chosen = default if dtype is None else as_dtype(dtype)
    return apply(make_op(Count, axes=None if axes is None else listed_axes(axes), dtype=chosen), node)
