"""Elements picked along an axis by their places, and added up there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import SupportsIndex

import numpy as np

from opgraph.build import apply
from opgraph.convert import natural_array
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, DtypeError, ShapeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.spec import Shape, Spec, broadcast_shapes, normalize_axis, widened


def _plain_take_along_axis(x: Array, indices: Array, axis: int = -1) -> Array:
    # NumPy 2.0 leaves it to the caller to spread x
    rest = np.broadcast_shapes(
        *[tuple(1 if k == axis % x.ndim else n for k, n in enumerate(a.shape)) for a in (x, indices)]
    )
    spread = np.broadcast_to(x, tuple(x.shape[axis] if k == axis % x.ndim else n for k, n in enumerate(rest)))
    return np.take_along_axis(spread, indices, axis)


class TakeAlongAxis(Op, name="core.take_along_axis"):
    """Pick elements along `axis` by `indices`, whose other dimensions broadcast against those of `x`."""

    inputs = ("x", "indices")
    info = OpInfo(reference=_plain_take_along_axis, multilinear=(0,))
    axis: int = -1

    def infer(self, ins: Specs) -> Specs:
        x, indices = ins
        return (x.with_shape(_picked_shape(x, indices, self.axis)),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return (outs[0].with_dtype(np.intp),)

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (x, indices), (y,), (places,) = ins, outs, scratch
        gather_into(y, x, indices, self.axis, places)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, indices), (g,) = ins, cotangents
        return (apply(AddAlongAxis(self.axis), g, indices, x), None)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        x = rng.normal(size=(2, 3))
        yield Sample((x, np.array([[2, 0, 1, 2], [0, 0, -1, -3]])), {"axis": 1}, id="duplicates and negative")
        yield Sample((rng.normal(size=(4, 1, 3)), np.array([[[3]], [[0]]])), {"axis": 0}, id="broadcast indices")
        yield Sample((rng.normal(size=(1, 3)), np.array([[0, 2], [1, 1], [2, -1], [0, 0]])), id="broadcast x")
        yield Sample((x, np.zeros((2, 0), np.int32)), {"axis": -1}, id="empty")
        yield Sample((x, np.zeros(2, np.int64)), raises=ShapeError, id="other rank")
        yield Sample((x, np.zeros((5, 1), np.int64)), raises=ShapeError, id="other size")
        yield Sample((x, np.zeros((2, 1))), raises=DtypeError, id="no integers")
        yield Sample((x, np.zeros((2, 1), np.int64)), {"axis": 2}, raises=ArgumentError, id="out of range")


class AddAlongAxis(Op, name="core._add_along_axis"):
    """Add each element of `g` up where `indices` along `axis` say, in zeros of the shape of `like`.

    The gradient of `take_along_axis`, and it of this.
    """

    inputs = ("g", "indices", "like")
    info = OpInfo(multilinear=(0,))
    axis: int = -1

    def infer(self, ins: Specs) -> Specs:
        g, indices, like = ins
        picked = _picked_shape(like, indices, self.axis)
        if not g.shape.compatible_with(picked):
            raise ShapeError(f"g has shape {g.shape}, where {indices.shape} picks {picked} from {like.shape}")
        return (g.with_shape(like.shape),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({2})

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return (ins[0].with_dtype(np.intp), *widened(outs[0]))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (g, indices, _), (y,), (places, *wide) = ins, outs, scratch
        _locate(places, indices, y.shape, self.axis)
        (total,) = wide or outs
        total.fill(0)
        np.add.at(total.reshape(-1), places.reshape(-1), g.reshape(-1))
        if wide:
            np.copyto(y, total)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (take_along_axis(cotangents[0], ins[1], self.axis), None, None)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        indices, like = np.array([[2, 0, 1, 2], [0, 0, -1, -3]]), rng.normal(size=(2, 3))
        yield Sample((rng.normal(size=(2, 4)), indices, like), {"axis": 1}, id="duplicates and negative")
        broadcast = np.array([[0, 2], [1, 1], [2, -1], [0, 0]])
        yield Sample((rng.normal(size=(4, 2)), broadcast, rng.normal(size=(1, 3))), id="broadcast")
        yield Sample((rng.normal(size=(2, 0)), np.zeros((2, 0), np.int64), like), id="empty")
        yield Sample((rng.normal(size=(2, 5)), indices, like), raises=ShapeError, id="other size")


def _picked_shape(x: Spec, indices: Spec, axis: int) -> Shape:
    if indices.dtype.kind not in "iu":
        raise DtypeError(f"indices are integers, not {indices.dtype}")
    axis = normalize_axis(axis, x.ndims)
    if indices.ndims != x.ndims:
        raise ShapeError(f"indices {indices.shape} have {indices.ndims} dimensions where x {x.shape} has {x.ndims}")
    rest = [Shape(1 if i == axis else n for i, n in enumerate(shape)) for shape in (x.shape, indices.shape)]
    return Shape(indices.shape[axis] if i == axis else n for i, n in enumerate(broadcast_shapes(*rest)))


def gather_into(out: Array, x: Array, indices: Array, axis: int, places: Array) -> None:
    """Fill `out` with what stands in `x` at `indices` along `axis`; `places` is work space of the shape of `out`."""
    _locate(places, indices, x.shape, axis)
    # the places are right by now; "raise" would have NumPy write to a copy first
    np.take(x.reshape(-1), places, out=out, mode="clip")


def _locate(places: Array, indices: Array, shape: tuple[int, ...], axis: int) -> None:
    """Fill `places` with where `indices` along `axis` point in a row-major array of `shape`."""
    axis %= len(shape)
    negative = _check_range(indices, shape[axis], axis)
    np.copyto(places, indices, casting="unsafe")  # uint64 as well
    if negative:
        np.remainder(places, shape[axis], out=places)
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    np.multiply(places, strides[axis], out=places)
    for i, n in enumerate(places.shape):
        if i != axis and shape[i] != 1:  # one that broadcasts stays at 0
            offsets = np.arange(n) * strides[i]
            np.add(places, offsets.reshape(-1, *[1] * (places.ndim - i - 1)), out=places)


def _check_range(indices: Array, size: int, axis: int) -> bool:
    """Return whether some of `indices` are negative; raise `ArgumentError` where one is out of range."""
    if not indices.size:
        return False
    low = int(indices.min())
    if low < -size or int(indices.max()) >= size:
        wrong = (indices < -size) | (indices >= size)
        at = tuple(map(int, np.unravel_index(np.argmax(wrong), wrong.shape)))
        raise ArgumentError(f"indices{list(at)} is {indices[at]}, out of range for axis {axis} of size {size}")
    return low < 0


@front_door_for(TakeAlongAxis)
def take_along_axis(x: NodeLike, indices: NodeLike, axis: SupportsIndex = -1) -> Node:
    """Pick elements along `axis` by their places: (…, n, …), (…, m, …) -> (…, m, …).

    Parameters
    ----------
    x : array_like or Node, (…, n, …)
    indices : array_like or Node of integers, (…, m, …)
        Negative ones count from the end. The other dimensions broadcast against those of `x`.
    axis
        The dimension that has size n in `x` and m in `indices`.

    Returns
    -------
    Node
        An element picked several times gets the sum of the gradients.

    Raises
    ------
    ArgumentError
        For an axis out of range, and, in the run, for an index out of range.
    DtypeError
        For indices that are no integers.
    ShapeError
        Where the numbers of dimensions differ, or sizes beside `axis` do not broadcast.
    """
    op = make_op(TakeAlongAxis, axis=axis)
    # a list of integers holds indices, and is not to become floats
    places = indices if isinstance(indices, Node) else natural_array(indices)
    return apply(op, x, places)
