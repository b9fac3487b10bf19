"""Indexing: ``x[...]``, and values that differ from x in the places that an index picks.

To pick from places and to add to them are each other's gradients. Where a place is set twice, the last value
stays, and it alone has a gradient.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np

from opgraph.build import apply, as_node, as_node_fitting, describe_inputs, graph_of, make_call, promote
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, DtypeError, OpgraphError, ShapeError
from opgraph.graph import Graph
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops.keys import (
    WHOLE,
    Key,
    Layout,
    check_indices,
    check_integer,
    check_masks,
    fill_positions,
    last_writers,
    layout_of,
    numpy_key,
    parse_key,
)
from opgraph.ops.like import BroadcastLike, sum_to
from opgraph.signatures import guarded
from opgraph.spec import (
    Shape,
    Spec,
    check_broadcasts,
    how_to_convert,
    known_shape,
    listed_axes,
    normalize_axis,
    widened,
)


class Indexing(Op):
    """What ops with a key share: its index arrays are the last inputs, integers of any dtype."""

    key: Key

    def layout(self, x: Spec, indices: Sequence[Spec]) -> Layout:
        """Return how the key picks from `x`."""
        for index in indices:
            check_integer(index.dtype)
        return layout_of(self.key, x.shape, [index.shape for index in indices])

    def checked_layout(self, x: Array, indices: Sequence[Array]) -> Layout:
        """Return how the key picks from an array; raise `ArgumentError` where an index leaves it."""
        shape = Shape(x.shape)
        layout = layout_of(self.key, shape, [Shape(index.shape) for index in indices])
        check_indices(layout, shape, indices)
        return layout


class GetItem(Indexing, name="core.getitem"):
    """Pick elements by `key`, as NumPy's ``x[key]`` does; a view where no index is an array."""

    inputs = ("x", "*indices")
    info = OpInfo(reference=lambda x, *indices, key: x[numpy_key(key, indices)], multilinear=(0,))

    def infer(self, ins: Specs) -> Specs:
        x, *indices = ins
        return (x.with_shape(self.layout(x, indices).shape),)

    def view(self, ins: Arrays) -> Arrays | None:
        return (ins[0][numpy_key(self.key, ())],) if len(ins) == 1 else None

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x, *indices), (y,) = ins, outs
        layout = self.checked_layout(x, indices)
        if len(indices) == 1 and x.flags.c_contiguous and all(p in (WHOLE, "...", "array") for p in self.key):
            # "raise" would work on a copy of y, and "wrap" takes negative indices for what they are
            index = indices[0].astype(np.intp, copy=False)
            np.take(x, index, axis=next(layout.array_axes()), out=y, mode="wrap")
        else:
            np.copyto(y, x[numpy_key(self.key, indices)])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, *indices), (g,) = ins, cotangents
        return (apply(AddAt(key=self.key), _zeros_like(x), g, *indices), *[None] * len(indices))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        x, matrix = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 3))
        yield Sample((matrix,), {"key": (1,)}, id="integer")
        yield Sample((matrix,), {"key": ((None, None, -2), -1)}, id="slice backwards, integer from the end")
        yield Sample((matrix,), {"key": ("...", None, (1, 9, None))}, id="ellipsis, new dimension, slice beyond")
        yield Sample((matrix,), {"key": (0, 1)}, id="to a scalar")
        yield Sample((matrix,), {"key": ((2, 2, None),)}, id="nothing")
        yield Sample((rng.normal(size=(0, 1)),), {"key": (WHOLE, 0)}, id="from nothing")
        yield Sample((matrix, np.array([2, -4, 2, 0, 3])), {"key": ("array",)}, id="array with a place twice")
        yield Sample((matrix, np.array([[2], [-1]])), {"key": (WHOLE, "array")}, id="array with a dimension of 1")
        yield Sample((x, np.array(-2)), {"key": ("...", "array")}, id="scalar array")
        yield Sample((x, *_crossing()), {"key": (WHOLE, "array", "array")}, id="arrays")
        yield Sample((x, np.array([1, 0, 1, -1, 0])), {"key": ("array", (None, None, 2), 3)}, id="array apart")
        yield Sample((matrix, np.zeros((0, 2), np.int64)), {"key": ("array",)}, id="empty array")
        yield Sample((rng.normal(size=(53, 31)), rng.integers(-53, 53, 67)), {"key": ("array",)}, id="large")
        yield Sample((matrix,), {"key": (0, 1, 2)}, raises=ArgumentError, id="too many")
        yield Sample((matrix,), {"key": (4,)}, raises=ArgumentError, id="out of range")
        yield Sample((matrix, np.array([1.0])), {"key": ("array",)}, raises=DtypeError, id="floats")
        yield Sample(
            (matrix, np.array([1, 2]), np.array([1, 2, 0])), {"key": ("array",) * 2}, raises=ShapeError, id="not alike"
        )


class AddAt(Indexing, name="core.add_at"):
    """Add `v`, which broadcasts, to the places of `x` that `key` picks: where it picks one twice, both count."""

    inputs = ("x", "v", "*indices")
    info = OpInfo(reference=lambda x, v, *indices, key: _added(x, v, numpy_key(key, indices)))

    def infer(self, ins: Specs) -> Specs:
        return (_checked_target(self, ins),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        x, _, *indices = ins
        if not indices:
            return ()
        positions = Spec(self.layout(x, indices).shape, np.intp)
        return (positions, *widened(x))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (x, v, *indices), (y,) = ins, outs
        (total,) = scratch[1:] or outs
        np.copyto(total, x)
        if indices:
            positions = scratch[0]
            layout = self.checked_layout(x, indices)
            fill_positions(layout, x.shape, indices, positions)
            # NumPy is fast at this where all is flat
            np.add.at(total.reshape(-1), positions.reshape(-1), np.broadcast_to(v, positions.shape).reshape(-1))
        else:
            places = total[numpy_key(self.key, ())]
            np.add(places, v, out=places)
        if total is not y:
            np.copyto(y, total, casting="same_kind")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (_, v, *indices), (g,) = ins, cotangents
        gv = sum_to(apply(GetItem(key=self.key), g, *indices), v)
        return (g, gv, *[None] * len(indices))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return _target_samples(rng)


class SetAt(Indexing, name="core.set_at"):
    """Put `v`, which broadcasts, in the places of `x` that `key` picks; where it picks one twice, the last stays."""

    inputs = ("x", "v", "*indices")

    def infer(self, ins: Specs) -> Specs:
        return (_checked_target(self, ins),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x, v, *indices), (y,) = ins, outs
        layout = self.checked_layout(x, indices)
        np.copyto(y, x)
        last = last_writers(layout, x.shape, indices)
        if last.all():
            y[numpy_key(self.key, indices)] = v
        else:  # NumPy does not promise an order
            picked = known_shape(layout.shape)
            positions = np.empty(picked, np.intp)
            fill_positions(layout, x.shape, indices, positions)
            last = np.broadcast_to(layout.trailing(last), picked)
            y.reshape(-1)[positions[last]] = np.broadcast_to(v, picked)[last]

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (_, v, *indices), (g,) = ins, cotangents
        gx = apply(SetAt(key=self.key), g, np.zeros((), g.dtype), *indices)
        picked = apply(GetLast(key=self.key) if indices else GetItem(key=self.key), g, *indices)
        return (gx, sum_to(picked, v), *[None] * len(indices))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        return _target_samples(rng)


class GetLast(Indexing, name="core._get_last"):
    """Pick elements by `key`, but 0 in place of one that is picked again later; the gradient of `SetAt`."""

    inputs = ("x", "*indices")
    info = OpInfo(multilinear=(0,))

    def infer(self, ins: Specs) -> Specs:
        x, *indices = ins
        return (x.with_shape(self.layout(x, indices).shape),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x, *indices), (y,) = ins, outs
        layout = self.checked_layout(x, indices)
        np.copyto(y, x[numpy_key(self.key, indices)])
        last = last_writers(layout, x.shape, indices)
        np.copyto(y, False, where=~layout.trailing(last))  # a zero of any dtype

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, *indices), (g,) = ins, cotangents
        return (apply(SetAt(key=self.key), _zeros_like(x), g, *indices), *[None] * len(indices))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        x, matrix = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 3))
        yield Sample((matrix, np.array([2, 0, 2, -2, 1])), {"key": ("array",)}, id="a place three times")
        yield Sample((x, *_crossing()), {"key": (WHOLE, "array", "array")}, id="arrays")
        yield Sample((x, np.array([1, 0, 1, -1, 0])), {"key": ("array", WHOLE, 3)}, id="array apart")
        yield Sample((matrix, np.zeros((0, 1), np.int64)), {"key": ("array",)}, id="empty")
        yield Sample((matrix,), {"key": ("array",)}, raises=ArgumentError, id="no array")


class Slice(Op, name="core.slice"):
    """Take `sizes` elements from `begin` on, along every dimension; a size of -1 goes to the end."""

    info = OpInfo(multilinear=(0,))
    begin: tuple[int, ...]
    sizes: tuple[int, ...]

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        if not len(self.begin) == len(self.sizes) == x.ndims:
            raise ArgumentError(f"begin={self.begin} and sizes={self.sizes} need one entry for each of {x.ndims} axes")
        if min(self.begin, default=0) < 0 or min(self.sizes, default=0) < -1:
            raise ArgumentError(f"begin={self.begin} and sizes={self.sizes} cannot be negative, but for a size of -1")
        dims = []
        for axis, (n, begin, size) in enumerate(zip(x.shape, self.begin, self.sizes, strict=True)):
            if n is not None and begin + max(size, 0) > n:
                what = f"begin {begin}" if size == -1 else f"{size} elements from {begin} on"
                raise ShapeError(f"{what} along axis {axis} goes beyond its size {n}")
            dims.append(size if size != -1 else None if n is None else n - begin)
        return (x.with_shape(dims),)

    def view(self, ins: Arrays) -> Arrays | None:
        return (ins[0][numpy_key(self._key(), ())],)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], ins[0][numpy_key(self._key(), ())])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (apply(AddAt(key=self._key()), _zeros_like(ins[0]), cotangents[0]),)

    def _key(self) -> Key:
        ends = [None if n == -1 else i + n for i, n in zip(self.begin, self.sizes, strict=True)]
        return tuple((i, end, None) for i, end in zip(self.begin, ends, strict=True))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        x = rng.normal(size=(2, 3, 4))
        yield Sample((x,), {"begin": (1, 0, 2), "sizes": (1, -1, 2)}, id="block")
        yield Sample((x,), {"begin": (2, 3, 4), "sizes": (0, 0, -1)}, id="nothing, at the end")
        yield Sample((rng.normal(size=(0, 1)),), {"begin": (0, 0), "sizes": (-1, 1)}, id="of nothing")
        yield Sample((rng.normal(size=()),), {"begin": (), "sizes": ()}, id="scalar")
        yield Sample((x,), {"begin": (0, 0, 3), "sizes": (1, 1, 2)}, raises=ShapeError, id="beyond the end")
        yield Sample((x,), {"begin": (0, 4, 0), "sizes": (1, -1, 2)}, raises=ShapeError, id="begins beyond the end")
        yield Sample((x,), {"begin": (0, -1, 0), "sizes": (1, 1, 1)}, raises=ArgumentError, id="negative")
        yield Sample((x,), {"begin": (0,), "sizes": (1,)}, raises=ArgumentError, id="too few")


def _checked_target(op: Indexing, ins: Specs) -> Spec:
    """Return the spec of `x`; raise where `v` does not go into the places that the key picks from it."""
    x, v, *indices = ins
    if v.dtype != x.dtype:
        raise DtypeError(f"v is {v.dtype} where x is {x.dtype}; {how_to_convert(v.dtype, x.dtype)}")
    picked = x.with_shape(op.layout(x, indices).shape)
    check_broadcasts(v.shape, picked.shape)
    return x


def _target_samples(rng: Rng) -> Iterable[Sample]:
    x, matrix = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 3))
    yield Sample((matrix, rng.normal(size=(3,))), {"key": (-1,)}, id="integer")
    yield Sample((matrix, rng.normal(size=())), {"key": (WHOLE, (None, None, 2))}, id="slice of a scalar")
    yield Sample((matrix, rng.normal(size=(1, 3))), {"key": ((2, 2, None),)}, id="nothing")
    yield Sample((matrix, rng.normal(size=(5, 1)), np.array([2, 0, 2, -2, 1])), {"key": ("array",)}, id="twice")
    yield Sample((x, rng.normal(size=(2, 1, 5)), *_crossing()), {"key": (WHOLE, "array", "array")}, id="arrays")
    yield Sample((x, rng.normal(size=(3,)), np.array([1, 0, 1, -1, 0])), {"key": ("array", WHOLE, 3)}, id="array apart")
    yield Sample((matrix, rng.normal(size=()), np.array(1)), {"key": (WHOLE, "array")}, id="scalar array")
    yield Sample((matrix, rng.normal(size=(0, 3)), np.zeros(0, np.int64)), {"key": ("array",)}, id="empty array")
    large = rng.normal(size=(53, 31)), rng.normal(size=(67, 31)), rng.integers(-53, 53, 67)
    yield Sample(large, {"key": ("array",)}, id="large")
    yield Sample((rng.normal(size=(0, 2)), rng.normal(size=(1, 2))), {"key": (WHOLE,)}, id="empty")
    yield Sample((matrix, rng.normal(size=(2,))), {"key": (1,)}, raises=ShapeError, id="v of another shape")
    yield Sample((matrix, rng.normal(size=(2, 1, 3))), {"key": (WHOLE,)}, raises=ShapeError, id="v of more dimensions")
    yield Sample((matrix, np.array(1)), {"key": (1,)}, raises=DtypeError, id="v of another dtype")


def _crossing() -> Arrays:
    """Return index arrays that broadcast, some of whose pairs are the same."""
    return np.array([[2], [0], [-1], [1], [0], [2]]), np.array([3, 0, -1, 1, 3])


def _added(x: Array, v: Array, key: Any) -> Array:
    result = x.copy()
    np.add.at(result, key, v)
    return result


def _zeros_like(x: Node) -> Node:
    return apply(BroadcastLike(), np.zeros((), x.dtype), x)


@front_door_for(GetItem)
def getitem(x: NodeLike, key: Any) -> Node:
    """Pick elements as NumPy does; what ``x[key]`` calls.

    A view of `x` where no index is an array.

    Parameters
    ----------
    x : array_like or Node
    key
        Integers, slices, ``None``, ``...``, and arrays, lists or nodes of integers, or a tuple of such. Index
        arrays broadcast; where they stand side by side, their dimensions take their place, else they come
        first. Negative indices count from the end. Elements that are picked several times sum their gradients.
        A boolean array, list or constant stands for the positions where it is true, from dimensions of its sizes.

    Raises
    ------
    ArgumentError
        For too many indices, or one that is out of range: at once where size and index are known, in the run
        where not.
    DtypeError
        For boolean nodes, with which the result's shape would depend on data, and for floats.
    ShapeError
        Where index arrays do not broadcast, and for a mask of another size than its dimension.
    """
    parsed, indices, masked = parse_key(key)
    (node,) = promote(x, what="getitem", graph=graph_of(x, *indices))
    return _built(make_op(GetItem, key=parsed), node, *indices, masked=masked)


@front_door_for(AddAt)
def add_at(x: NodeLike, key: Any, v: NodeLike) -> Node:
    """Return `x` with `v` added in the places that `key` picks; what ``x.at[key].add(v)`` calls.

    A place that is picked several times receives several values.

    Parameters
    ----------
    x : array_like or Node
    key
        As in `getitem`.
    v : array_like or Node
        Broadcasts to the shape of ``x[key]``, and is cast to the dtype of `x`.

    Raises
    ------
    ArgumentError, DtypeError, ShapeError
        As `getitem`; and where `v` does not broadcast, or would lose a fraction in the dtype of `x`.
    """
    return _changed(AddAt, x, key, v)


@front_door_for(SetAt)
def set_at(x: NodeLike, key: Any, v: NodeLike) -> Node:
    """Return `x` with `v` in the places that `key` picks; what ``x.at[key].set(v)`` calls.

    Of several values for one place the last stays, in row-major order of the broadcast index arrays, and
    the others have the gradient 0; so has `x` in these places.

    Parameters and errors are those of `add_at`.
    """
    return _changed(SetAt, x, key, v)


@guarded
def gather(x: NodeLike, indices: NodeLike, axis: SupportsIndex = 0) -> Node:
    """Take elements along `axis`: (…, n, …), indices (k, l) -> (…, k, l, …), as ``numpy.take`` does.

    Parameters
    ----------
    x : array_like or Node
    indices : int, array_like or Node of integers
        Of any shape, which takes the place of `axis`. Negative ones count from the end.

    Raises
    ------
    ArgumentError
        For an axis or index that is out of range.
    DtypeError
        For indices that are no integers.
    """
    key, node, index, _ = _along("gather", x, indices, axis)
    return _built(make_op(GetItem, key=key), node, *index, title="gather")


@guarded
def scatter_add(x: NodeLike, indices: NodeLike, updates: NodeLike, axis: SupportsIndex = 0) -> Node:
    """Return `x` with `updates` added at `indices` along `axis`; an index that comes twice adds twice.

    Parameters
    ----------
    x : array_like or Node, (…, n, …)
    indices : int, array_like or Node of integers
        Negative ones count from the end.
    updates : array_like or Node
        Broadcasts to the shape of ``gather(x, indices, axis)``, and is cast to the dtype of `x`.

    Raises
    ------
    ArgumentError
        For an axis or index that is out of range.
    DtypeError
        For indices that are no integers.
    ShapeError
        Where `updates` do not broadcast.
    """
    key, node, index, graph = _along("scatter_add", x, indices, axis, updates)
    v = as_node_fitting(updates, node.dtype, graph)
    return _built(make_op(AddAt, key=key), node, v, *index, title="scatter_add")


@front_door_for(Slice)
def slice(
    x: NodeLike, begin: SupportsIndex | Sequence[SupportsIndex], sizes: SupportsIndex | Sequence[SupportsIndex]
) -> Node:
    """Take a block of `x` as a view: `sizes` elements from `begin` on, along every dimension.

    Unlike ``x[begin:end]`` it never gives less than it was asked for.

    Parameters
    ----------
    x : array_like or Node
    begin, sizes
        One for each dimension. A size of -1 goes to the end.

    Raises
    ------
    ShapeError
        Where the block goes beyond the end; for unknown sizes, in the run.
    ArgumentError
        For other negative numbers, and for too few or too many.
    """
    return apply(make_op(Slice, begin=listed_axes(begin), sizes=listed_axes(sizes)), as_node(x))


def _changed(op_class: type[AddAt] | type[SetAt], x: NodeLike, key: Any, v: NodeLike) -> Node:
    parsed, indices, masked = parse_key(key)
    graph = graph_of(x, v, *indices)
    (node,) = promote(x, what=op_class.short_name(), graph=graph)
    value = as_node_fitting(v, node.dtype, graph)
    return _built(make_op(op_class, key=parsed), node, value, *indices, masked=masked)


def _along(
    what: str, x: NodeLike, indices: NodeLike, axis: SupportsIndex, *others: NodeLike
) -> tuple[Key, Node, list[Node | Array], Graph]:
    """Return the key that picks `indices` along `axis` of `x`, `x` as a node, the index arrays and the graph."""
    (part, *_), index, masked = parse_key((indices,))
    if any(size is not None for size in masked):
        raise DtypeError("indices are integers, not booleans; x[...] takes a mask")
    if part != "array" and not isinstance(part, int):
        raise ArgumentError(f"indices are integers, not {indices!r}; x[...] takes slices")
    graph = graph_of(x, *index, *others)
    (node,) = promote(x, what=what, graph=graph)
    return (*(WHOLE,) * normalize_axis(axis, node.ndim), part), node, index, graph


def _built(op: Indexing, *inputs: NodeLike, title: str = "", masked: Sequence[int | None] = ()) -> Node:
    """Return the output of `op`, with a check of those indices that are known now."""
    call = make_call(op, inputs, title)
    x, *rest = call.inputs
    indices = rest[len(rest) - op.key.count("array") :]
    try:
        layout = op.layout(x.spec, [index.spec for index in indices])
        if any(size is not None for size in masked):
            check_masks(layout, x.shape, masked)
        check_indices(layout, x.shape, indices)
    except OpgraphError as error:
        raise error.located(title or op.short_name(), describe_inputs(op, call.inputs), call.source) from None
    return call.output(0)
