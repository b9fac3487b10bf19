"""Ops along an axis: extremes' places, sorting, cumulative sums and products, picking by index, flips and rolls.

NaN wins both extremes, as in NumPy. In an order it is the greatest: last where that is ascending, first where not.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, SupportsIndex

import numpy as np

from opgraph.build import apply, apply_all, as_node
from opgraph.convert import natural_array
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, DtypeError, ShapeError, placing, user_source
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, OpInfo, Rng, Sample, Specs
from opgraph.ops.compare import check_ordered
from opgraph.ops.complexes import conj
from opgraph.ops.like import reshape_like
from opgraph.ops.shape import reshape
from opgraph.spec import (
    Axes,
    Shape,
    Spec,
    broadcast_shapes,
    known_shape,
    listed_axes,
    normalize_axes,
    normalize_axis,
    reduced_shape,
)


def distinct(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Return numbers in random order, of both signs, that finite differences leave in that order."""
    size = math.prod(shape)
    return (rng.permutation(size) - 0.6 * size).reshape(shape)


def check_not_empty(shape: Shape, axes: tuple[int, ...], what: str) -> None:
    """Raise `ShapeError` where one of `axes` is known to have size 0, so that there is no `what`."""
    for axis in axes:
        if shape[axis] == 0:
            raise ShapeError(f"{shape} has size 0 along axis {axis}, so that there is no {what}")


def wide_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype to compute in: float32 for float16, which ends at 65504, else `dtype`."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def widened(spec: Spec) -> Specs:
    """Return the work space in which to accumulate `spec` where its own dtype is too narrow for that."""
    return () if wide_dtype(spec.dtype) == spec.dtype else (spec.with_dtype(wide_dtype(spec.dtype)),)


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


class AlongAxis(Op):
    """What ops share that keep a value's shape and work along one `axis`."""

    axis: int = -1

    def infer(self, ins: Specs) -> Specs:
        normalize_axis(self.axis, ins[0].ndims)
        return (ins[0],)


class Sorting(AlongAxis):
    """What sorts share: the order is stable, and NaN is the greatest."""

    descending: bool = False

    def infer(self, ins: Specs) -> Specs:
        check_ordered(ins[0].dtype)
        return super().infer(ins)

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
        _gather_into(values, x, indices, self.axis, places)

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


class TakeAlongAxis(Op, name="core.take_along_axis"):
    """Pick elements along `axis` by `indices`, whose other dimensions broadcast against those of `x`."""

    inputs = ("x", "indices")
    info = OpInfo(reference=np.take_along_axis, multilinear=(0,))
    axis: int = -1

    def infer(self, ins: Specs) -> Specs:
        x, indices = ins
        return (x.with_shape(_picked_shape(x, indices, self.axis)),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return (outs[0].with_dtype(np.intp),)

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (x, indices), (y,), (places,) = ins, outs, scratch
        _gather_into(y, x, indices, self.axis, places)

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


def _gather_into(out: Array, x: Array, indices: Array, axis: int, places: Array) -> None:
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


class Cumulative(AlongAxis):
    """What cumulative ops share: they may run backwards."""

    reverse: bool = False

    def lanes(self, x: Array) -> Array:
        """Return a view of `x` with `axis` in front, in the direction in which to accumulate."""
        return x.swapaxes(0, self.axis)[:: -1 if self.reverse else 1]


def _summed_up(x: Array, axis: int = -1, reverse: bool = False, exclusive: bool = False) -> Array:
    turned = np.flip(x, axis) if reverse else x
    total = np.cumsum(turned, axis) - (turned if exclusive else 0)
    return np.flip(total, axis) if reverse else total


class CumSum(Cumulative, name="core.cumsum"):
    """Add up along `axis`: each element gets the sum of those up to it, or before it where `exclusive`.

    Backwards where `reverse`. Integers stay in their dtype, booleans are counted in int64.
    """

    info = OpInfo(reference=_summed_up, multilinear=(0,))
    exclusive: bool = False

    def infer(self, ins: Specs) -> Specs:
        (y,) = super().infer(ins)
        return (y.with_dtype(np.int64) if y.dtype.kind == "b" else y,)

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


class Flip(Op, name="core.flip"):
    """Reverse the order of elements along `axes`, all by default."""

    info = OpInfo(reference=lambda x, axes=None: np.flip(x, axes), multilinear=(0,))
    axes: tuple[int, ...] | None = None

    def infer(self, ins: Specs) -> Specs:
        normalize_axes(self.axes, ins[0].ndims)
        return ins

    def view(self, ins: Arrays) -> Arrays | None:
        (x,) = ins
        axes = normalize_axes(self.axes, x.ndim)
        turned: list[Any] = [slice(None, None, -1 if i in axes else 1) for i in range(x.ndim)]
        return (x[(*turned, ...)],)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], np.flip(ins[0], self.axes))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (flip(cotangents[0], self.axes),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), id="all")
        yield Sample((rng.normal(size=(3, 1, 2)),), {"axes": (-1, 0)}, id="two")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": ()}, id="none")
        yield Sample((rng.normal(size=()),), id="scalar")
        yield Sample((rng.normal(size=(0, 3)),), {"axes": (0,)}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (2,)}, raises=ArgumentError, id="out of range")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (1, -1)}, raises=ArgumentError, id="twice")


class Roll(Op, name="core.roll"):
    """Move elements on by `shifts` along `axes`, one each; what leaves at the end comes in at the start."""

    info = OpInfo(reference=lambda x, shifts, axes: np.roll(x, shifts, axes) if axes else x, multilinear=(0,))
    shifts: tuple[int, ...]
    axes: tuple[int, ...]

    def infer(self, ins: Specs) -> Specs:
        if len(self.shifts) != len(self.axes):
            raise ArgumentError(f"{len(self.shifts)} shifts {self.shifts} for {len(self.axes)} axes {self.axes}")
        for axis in self.axes:
            normalize_axis(axis, ins[0].ndims)
        return ins

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x,), (y,) = ins, outs
        total = [0] * x.ndim
        for shift, axis in zip(self.shifts, self.axes, strict=True):
            total[axis] += shift
        # along each axis a value is two parts that change places
        parts = [_halves(n, shift % n if n else 0) for n, shift in zip(x.shape, total, strict=True)]
        for halves in itertools.product(*parts):
            y[tuple(to for _, to in halves)] = x[tuple(of for of, _ in halves)]

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (apply(Roll(tuple(-shift for shift in self.shifts), self.axes), cotangents[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(5,)),), {"shifts": (2,), "axes": (0,)}, id="vector")
        yield Sample((rng.normal(size=(3, 1, 4)),), {"shifts": (-1, 3), "axes": (0, -1)}, id="two")
        yield Sample((rng.normal(size=(2, 3)),), {"shifts": (7, -2), "axes": (1, 1)}, id="one twice")
        yield Sample((rng.normal(size=()),), {"shifts": (), "axes": ()}, id="scalar")
        yield Sample((rng.normal(size=(0, 3)),), {"shifts": (1,), "axes": (0,)}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"shifts": (1,), "axes": (2,)}, raises=ArgumentError)
        yield Sample((rng.normal(size=(2, 3)),), {"shifts": (1,), "axes": (0, 1)}, raises=ArgumentError)


def _halves(n: int, shift: int) -> list[tuple[slice, slice]]:
    """Return from where to where the parts of `n` elements go that move on by `shift`."""
    stay = (slice(0, n - shift), slice(shift, n))
    return [stay, (slice(n - shift, n), slice(0, shift))] if shift else [stay]


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
    with placing("take_along_axis", user_source()):
        # a list of integers holds indices, and is not to become floats
        places = indices if isinstance(indices, Node) else natural_array(indices)
    return apply(op, x, places)


@front_door_for(CumSum)
def cumsum(x: NodeLike, axis: SupportsIndex | None = None, exclusive: bool = False, reverse: bool = False) -> Node:
    """Add up along `axis`: each element gets the sum of those up to it.

    Integers stay in their dtype, in which they may wrap around; booleans are counted in int64.

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


@front_door_for(Flip)
def flip(x: NodeLike, axis: Axes = None) -> Node:
    """Reverse the order of elements along `axis`: an int, several of them, or all by default.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice.
    """
    return apply(make_op(Flip, axes=None if axis is None else listed_axes(axis)), as_node(x))


@front_door_for(Roll)
def roll(x: NodeLike, shift: SupportsIndex | Sequence[SupportsIndex], axis: Axes = None) -> Node:
    """Move elements on by `shift` along `axis`; those that leave at the end come in again at the start.

    Parameters
    ----------
    x : array_like or Node, (…)
    shift
        A negative one moves towards the start. Several go with as many axes, or all along the one.
    axis
        Several get one shift each, or all the same. One that stands there twice moves by the sum. By default
        `x` is rolled as if flattened in row-major order.

    Raises
    ------
    ArgumentError
        For an axis out of range, and for several shifts along another number of axes.
    """
    node = as_node(x)
    shifts = listed_axes(shift)
    axes = (0,) if axis is None else listed_axes(axis)
    if len(shifts) == 1:
        shifts *= len(axes)
    elif len(axes) == 1:
        axes *= len(shifts)
    op = make_op(Roll, shifts=shifts, axes=axes)
    return reshape_like(apply(op, reshape(node, -1)), node) if axis is None else apply(op, node)
