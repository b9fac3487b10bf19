"""The order of elements along an axis: the places of extremes, sorting, the greatest few.

NaN wins both extremes, as in NumPy. In an order it is the greatest: last where that is ascending, first where not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Literal, SupportsIndex

import numpy as np

from opgraph.build import apply, apply_all, as_node
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, DtypeError, ShapeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops.compare import check_ordered
from opgraph.ops.picking import AddAlongAxis, gather_into
from opgraph.spec import Shape, Spec, known_shape, normalize_axes, normalize_axis, reduced_shape


def distinct(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Return numbers in random order, of both signs, that finite differences leave in that order."""
    size = math.prod(shape)
    return (rng.permutation(size) - 0.6 * size).reshape(shape)


def check_not_empty(shape: Shape, axes: tuple[int, ...], what: str) -> None:
    """Raise `ShapeError` where one of `axes` is known to have size 0, so that there is no `what`."""
    for axis in axes:
        if shape[axis] == 0:
            raise ShapeError(f"{shape} has size 0 along axis {axis}, so that there is no {what}")


class ArgExtreme(Op):
    """What the places of extremes share: `axis`, all of them flattened where ``None``, and `keepdims`."""

    what: ClassVar[Literal["maximum", "minimum"]]
    axis: int | None = None
    keepdims: bool = False

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        check_ordered(x.dtype)
        axes = self._axes(x.ndims)
        check_not_empty(x.shape, axes, self.what)
        return (Spec(reduced_shape(x.shape, axes, self.keepdims), np.int64),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x,), (y,) = ins, outs
        dropped = reduced_shape(Shape(x.shape), self._axes(x.ndim))
        find = np.argmax if self.what == "maximum" else np.argmin
        find(x, axis=self.axis, out=y.reshape(known_shape(dropped)))

    def _axes(self, ndims: int) -> tuple[int, ...]:
        return normalize_axes(None if self.axis is None else (self.axis,), ndims)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), id="flattened")
        yield Sample((rng.normal(size=(2, 3)),), {"axis": 1}, id="rows")
        yield Sample((rng.normal(size=(4, 1, 3)),), {"axis": -3, "keepdims": True}, id="kept")
        yield Sample((rng.integers(0, 2, (5, 3)),), {"axis": 0}, id="ties")
        yield Sample((np.array([1.0, np.nan, 2.0, np.nan]),), id="nan")
        yield Sample((rng.normal(size=()),), {"keepdims": True}, id="scalar")
        yield Sample((rng.normal(size=(0, 3)),), {"axis": 1}, id="empty")
        yield Sample((rng.normal(size=(0, 3)),), {"axis": 0}, raises=ShapeError, id="of nothing")
        yield Sample((rng.normal(size=(2, 3)),), {"axis": 2}, raises=ArgumentError, id="out of range")
        yield Sample((rng.normal(size=(3,)) + 1j,), raises=DtypeError, id="complex")


class ArgMax(ArgExtreme, name="core.argmax"):
    """Find where the greatest element is along `axis`: the first of equal ones; NaN is the greatest."""

    what = "maximum"
    info = OpInfo(reference=np.argmax)


class ArgMin(ArgExtreme, name="core.argmin"):
    """Find where the least element is along `axis`: the first of equal ones; NaN comes before all others."""

    what = "minimum"
    info = OpInfo(reference=np.argmin)


class Sorting(Op):
    """What sorts share: the order is stable, and NaN is the greatest."""

    axis: int = -1
    descending: bool = False

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        check_ordered(x.dtype)
        normalize_axis(self.axis, x.ndims)
        return (x,)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((distinct(rng, (7,)),), id="vector")
        yield Sample((distinct(rng, (4, 1, 3)),), {"axis": 0}, id="leading")
        yield Sample((distinct(rng, (2, 5)),), {"axis": -1, "descending": True}, id="descending")
        yield Sample((rng.integers(0, 3, (8, 2)),), {"axis": 0, "descending": True}, id="ties")
        yield Sample((rng.normal(size=(3, 0)),), {"axis": 1}, id="empty")
        yield Sample((rng.normal(size=()),), raises=ArgumentError, id="scalar")
        yield Sample((rng.normal(size=(3,)) + 1j,), raises=DtypeError, id="complex")


def _sorted_like_numpy(x: Array, axis: int = -1, descending: bool = False) -> Array:
    return np.flip(np.sort(x, axis=axis), axis=axis) if descending else np.sort(x, axis=axis)


def _argsorted_by_rank(x: Array, axis: int = -1, descending: bool = False) -> Array:
    """Return the stable order of numbers without NaN, read off from each one's rank in its lane."""
    lanes = np.moveaxis(x, axis, -1)
    mine, other = lanes[..., :, None], lanes[..., None, :]
    before = other > mine if descending else other < mine
    earlier = (other == mine) & np.tri(lanes.shape[-1], k=-1, dtype=bool)
    ranks = np.sum(before | earlier, axis=-1)
    return np.moveaxis(np.argsort(ranks, axis=-1), -1, axis)


class Sort(Sorting, name="core.sort"):
    """Sort along `axis`, in ascending order unless `descending`; equal elements keep theirs."""

    info = OpInfo(reference=_sorted_like_numpy)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x,), (y,) = ins, outs
        np.copyto(y, x)
        # nobody can tell equal elements apart here, so that the fastest way to sort will do
        (np.flip(y, self.axis) if self.descending else y).sort(axis=self.axis)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x,), (g,) = ins, cotangents
        # no hidden output of `compute`: an order takes ten times as long to find as the values alone
        return (apply(AddAlongAxis(self.axis), g, argsort(x, self.axis, self.descending), x),)


class ArgSort(Sorting, name="core.argsort"):
    """Find the order that sorts along `axis`, ascending unless `descending`; equal elements keep theirs."""

    info = OpInfo(reference=_argsorted_by_rank)

    def infer(self, ins: Specs) -> Specs:
        return (super().infer(ins)[0].with_dtype(np.int64),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        _argsort_into(outs[0], ins[0], self.axis, self.descending)


class TopK(Op, name="core.topk"):
    """Take the `k` greatest elements along `axis`, greatest first, and find where they are.

    Of equal elements the first comes first; NaN is the greatest.
    """

    info = OpInfo(tie_policy="first")
    k: int
    axis: int = -1

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        check_ordered(x.dtype)
        axis = normalize_axis(self.axis, x.ndims)
        size = x.shape[axis]
        if self.k < 0:
            raise ArgumentError(f"k={self.k} is negative")
        if size is not None and self.k > size:
            raise ArgumentError(f"k={self.k} exceeds the size of axis {axis}, which is {size}")
        values = x.with_shape(self.k if i == axis else n for i, n in enumerate(x.shape))
        return (values, values.with_dtype(np.int64))

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return (outs[0].with_dtype(np.intp),)

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (x,), (values, indices), (places,) = ins, outs, scratch
        np.copyto(indices.swapaxes(self.axis, -1), _first_k(x.swapaxes(self.axis, -1), self.k))
        gather_into(values, x, indices, self.axis, places)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x,), (_, indices), (g, _) = ins, outs, cotangents
        return (apply(AddAlongAxis(self.axis), g, indices, x),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((distinct(rng, (7,)),), {"k": 3}, id="vector")
        yield Sample((distinct(rng, (4, 1, 3)),), {"k": 2, "axis": 0}, id="leading")
        yield Sample((distinct(rng, (2, 5)),), {"k": 5}, id="all")
        yield Sample((distinct(rng, (2, 5)),), {"k": 0}, id="none")
        yield Sample((rng.normal(size=(0, 3)),), {"k": 2}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"k": 4}, raises=ArgumentError, id="too many")
        yield Sample((rng.normal(size=(2, 3)),), {"k": -1}, raises=ArgumentError, id="negative")
        yield Sample((rng.normal(size=(3,)) + 1j,), {"k": 1}, raises=DtypeError, id="complex")


def _argsort_into(out: Array, x: Array, axis: int, descending: bool) -> None:
    if descending:
        # turned round, the order is stable when read backwards
        order = np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
        np.subtract(x.shape[axis] - 1, order, out=out)
    else:
        np.copyto(out, np.argsort(x, axis=axis, kind="stable"))


def _first_k(x: Array, k: int) -> Array:
    """Return where the `k` greatest along the last axis are, greatest first, of equal ones the first first."""
    if k == 0:
        return np.empty((*x.shape[:-1], 0), np.intp)
    n = x.shape[-1]
    least = np.partition(x, n - k, axis=-1)[..., n - k, None]  # NaN comes last
    above = (x > least) | ((x != x) & (least == least))
    tied = (x == least) | ((x != x) & (least != least))
    chosen = above | tied
    if np.count_nonzero(chosen) > k * (x.size // n):
        room = k - np.count_nonzero(above, axis=-1, keepdims=True)
        chosen = above | (tied & (np.cumsum(tied, axis=-1) <= room))
    found = np.nonzero(chosen)[-1].reshape(*x.shape[:-1], k)
    order = np.empty(found.shape, np.intp)
    _argsort_into(order, np.take_along_axis(x, found, -1), -1, descending=True)
    return np.take_along_axis(found, order, -1)


@front_door_for(ArgMax)
def argmax(x: NodeLike, axis: SupportsIndex | None = None, keepdims: bool = False) -> Node:
    """Find where the greatest element is along `axis`: (…, n, …) -> (…, …) int64.

    Parameters
    ----------
    x : array_like or Node, (…)
        Booleans, integers or floats.
    axis
        By default the place is that in `x` flattened in row-major order.
    keepdims
        Whether the dimensions that go stay, with size 1.

    Returns
    -------
    Node
        The place of the first of equal elements; that of the first NaN where there is one. It has no gradient.

    Raises
    ------
    ShapeError
        Where there is nothing along `axis`; for unknown sizes, in the run.
    ArgumentError
        For an axis out of range.
    DtypeError
        For complex numbers, which are not ordered.
    """
    return apply(make_op(ArgMax, axis=axis, keepdims=keepdims), as_node(x))


@front_door_for(ArgMin)
def argmin(x: NodeLike, axis: SupportsIndex | None = None, keepdims: bool = False) -> Node:
    """Find where the least element is along `axis`: (…, n, …) -> (…, …) int64.

    The first of equal elements, or the first NaN; everything else is as for `argmax`.
    """
    return apply(make_op(ArgMin, axis=axis, keepdims=keepdims), as_node(x))


@front_door_for(Sort)
def sort(x: NodeLike, axis: SupportsIndex = -1, descending: bool = False) -> Node:
    """Sort along `axis`, in ascending order unless `descending`.

    The order is stable: equal elements keep theirs, either way, and with it their gradients. NaN is the greatest.

    Raises
    ------
    ArgumentError
        For an axis out of range.
    DtypeError
        For complex numbers, which are not ordered.
    """
    return apply(make_op(Sort, axis=axis, descending=descending), as_node(x))


@front_door_for(ArgSort)
def argsort(x: NodeLike, axis: SupportsIndex = -1, descending: bool = False) -> Node:
    """Find the order that sorts along `axis`: ``take_along_axis(x, argsort(x), -1)`` is ``sort(x)``.

    int64, without a gradient; stable, NaN the greatest, and raises, as `sort` does.
    """
    return apply(make_op(ArgSort, axis=axis, descending=descending), as_node(x))


@front_door_for(TopK)
def topk(x: NodeLike, k: SupportsIndex, axis: SupportsIndex = -1) -> tuple[Node, Node]:
    """Take the `k` greatest elements along `axis`: (…, n, …) -> (…, k, …), and the same of int64.

    Returns
    -------
    values : Node
        The greatest first, equal ones in the order in which they were; NaN is the greatest. Their gradient
        goes where they came from: of equal elements at the end of the choice, to the first.
    indices : Node
        Where they are along `axis`.

    Raises
    ------
    ArgumentError
        For an axis out of range, a `k` that is negative or exceeds the size of the axis; for an unknown size,
        in the run.
    DtypeError
        For complex numbers, which are not ordered.
    """
    values, indices = apply_all(make_op(TopK, k=k, axis=axis), as_node(x))
    return values, indices
