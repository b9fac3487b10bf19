"""Values joined along an axis, and taken apart again: each way is the other's gradient."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, SupportsIndex

import numpy as np

from opgraph.build import apply, apply_all, as_node, promote
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, ShapeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops.like import BroadcastLike
from opgraph.spec import Dim, Shape, Spec, merge_shapes, normalize_axis, promote_dtypes, unwrapped


class Concat(Op, name="core.concat"):
    """Join values along an axis that they have, and along which their sizes may differ."""

    inputs = ("*tensors",)
    info = OpInfo(reference=lambda *tensors, axis=0: np.concatenate(tensors, axis))
    axis: int = 0

    def infer(self, ins: Specs) -> Specs:
        axis = _common_axis(self.axis, ins)
        sizes = [x.shape[axis] for x in ins]
        known = [n for n in sizes if n is not None]
        try:
            around = merge_shapes(*[_with_size(x.shape, axis, None) for x in ins])
        except ShapeError as error:
            raise ShapeError(f"sizes differ along another axis than {axis}: {error.detail}") from None
        shape = _with_size(around, axis, sum(known) if len(known) == len(sizes) else None)
        return (Spec(shape, promote_dtypes(*[x.dtype for x in ins])),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.concatenate(ins, axis=self.axis, out=outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return split_like(cotangents[0], ins, self.axis)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), rng.normal(size=(1, 3))), id="rows")
        yield Sample((rng.normal(size=(3, 2)), rng.normal(size=(3, 0))), {"axis": -1}, id="with nothing")
        yield Sample((rng.normal(size=(2, 1, 3)),), {"axis": 1}, id="one")
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 4))), raises=ShapeError, id="other sizes differ")
        yield Sample((rng.normal(size=(2,)), rng.normal(size=(2, 3))), raises=ShapeError, id="dimensions differ")
        yield Sample((rng.normal(size=()), rng.normal(size=())), raises=ArgumentError, id="scalars")
        yield Sample((), raises=ArgumentError, id="nothing")


class SplitLike(Op, name="core.split_like"):
    """Split `x` along an axis into parts of the sizes that `likes` have along it. The gradient of `concat`."""

    inputs = ("x", "*likes")
    info = OpInfo(multilinear=(0,))
    axis: int = 0

    def infer(self, ins: Specs) -> Specs:
        x, *likes = ins
        if not likes:
            raise ArgumentError("there is nothing in likes; give at least one part")
        axis = _common_axis(self.axis, ins)
        sizes = [like.shape[axis] for like in likes]
        _check_sum(x.shape[axis], sizes, axis)
        return tuple(x.with_shape(_with_size(x.shape, axis, n)) for n in sizes)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset(range(1, n))

    def view(self, ins: Arrays) -> Arrays | None:
        x, *likes = ins
        axis = normalize_axis(self.axis, x.ndim)
        return _parts(x, [like.shape[axis] for like in likes], axis)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        _copy_each(self.view(ins), outs)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (concat(_with_zeros(cotangents, outs), self.axis), *[None] * (len(ins) - 1))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(5, 3)), rng.normal(size=(1, 2)), rng.normal(size=(4, 6))), id="rows")
        yield Sample((rng.normal(size=(3, 2)), rng.normal(size=(4, 0)), rng.normal(size=(1, 2))), {"axis": -1}, id="0")
        yield Sample((rng.normal(size=(0, 2)), rng.normal(size=(0, 3))), id="of nothing")
        yield Sample((rng.normal(size=(5, 3)), rng.normal(size=(2, 3))), raises=ShapeError, id="too few")
        yield Sample((rng.normal(size=(5, 3)), rng.normal(size=(5,))), raises=ShapeError, id="dimensions differ")
        yield Sample((rng.normal(size=(5, 3)),), raises=ArgumentError, id="no likes")


class Split(Op, name="core.split"):
    """Split `x` along an axis: into so many equal parts, or into parts of these sizes, one of which may be -1."""

    info = OpInfo(multilinear=(0,))
    sizes: int | tuple[int, ...]
    axis: int = 0

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        axis = normalize_axis(self.axis, x.ndims)
        return tuple(x.with_shape(_with_size(x.shape, axis, n)) for n in self._sizes(x.shape[axis], axis))

    def view(self, ins: Arrays) -> Arrays | None:
        (x,) = ins
        axis = normalize_axis(self.axis, x.ndim)
        return _parts(x, self._sizes(x.shape[axis], axis), axis)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        _copy_each(self.view(ins), outs)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (concat(_with_zeros(cotangents, outs), self.axis),)

    def _sizes(self, whole: Dim, axis: int) -> list[Dim]:
        """Return the parts' sizes, of which those of unknown ones are None."""
        if isinstance(self.sizes, int):
            if self.sizes < 1:
                raise ArgumentError(f"{self.sizes} parts cannot be made; there is at least one")
            if whole is not None and whole % self.sizes:
                raise ShapeError(f"axis {axis} of size {whole} has no {self.sizes} equal parts; give their sizes")
            return [None if whole is None else whole // self.sizes] * self.sizes
        if not self.sizes or min(self.sizes) < -1 or self.sizes.count(-1) > 1:
            raise ArgumentError(f"sizes {self.sizes}: there is at least one, none is negative but for one -1")
        given = [None if n == -1 else n for n in self.sizes]
        _check_sum(whole, given, axis)
        rest = None if whole is None else whole - sum(n for n in given if n is not None)
        return [rest if n is None else n for n in given]

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(6, 2)),), {"sizes": 3}, id="equal parts")
        yield Sample((rng.normal(size=(2, 5)),), {"sizes": (1, 0, 4), "axis": -1}, id="sizes")
        yield Sample((rng.normal(size=(6, 1)),), {"sizes": (1, -1, 2)}, id="the rest")
        yield Sample((rng.normal(size=(3, 0)),), {"sizes": 2, "axis": 1}, id="empty")
        yield Sample((rng.normal(size=(5, 2)),), {"sizes": 3}, raises=ShapeError, id="unequal parts")
        yield Sample((rng.normal(size=(5, 2)),), {"sizes": (2, 2)}, raises=ShapeError, id="too few")
        yield Sample((rng.normal(size=(5, 2)),), {"sizes": (4, -1, 2)}, raises=ShapeError, id="too many")
        yield Sample((rng.normal(size=(5, 2)),), {"sizes": (-1, -1)}, raises=ArgumentError, id="two rests")
        yield Sample((rng.normal(size=(5, 2)),), {"sizes": 0}, raises=ArgumentError, id="no parts")
        yield Sample((rng.normal(size=(5, 2)),), {"sizes": 1, "axis": 2}, raises=ArgumentError, id="axis")


class Stack(Op, name="core.stack"):
    """Join values of one shape along a new axis."""

    inputs = ("*tensors",)
    info = OpInfo(reference=lambda *tensors, axis=0: np.stack(tensors, axis))
    axis: int = 0

    def infer(self, ins: Specs) -> Specs:
        shape = merge_shapes(*_listed_shapes(ins))
        axis = normalize_axis(self.axis, len(shape) + 1)
        dtype = promote_dtypes(*[x.dtype for x in ins])
        return (Spec([*shape[:axis], len(ins), *shape[axis:]], dtype),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.stack(ins, axis=self.axis, out=outs[0])

    def bind(self, ins: Arrays, outs: Arrays) -> Callable[[], object] | None:
        axis = normalize_axis(self.axis, outs[0].ndim)
        parts = tuple([np.expand_dims(x, axis) for x in ins])
        return functools.partial(np.concatenate, parts, axis, outs[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return unstack(cotangents[0], self.axis, len(ins))

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(3, 4)), rng.normal(size=(3, 4))), {"axis": 1}, id="between")
        yield Sample((rng.normal(size=()), rng.normal(size=()), rng.normal(size=())), id="scalars")
        yield Sample((rng.normal(size=(0, 1)), rng.normal(size=(0, 1))), {"axis": -1}, id="empty")
        yield Sample((rng.normal(size=(2,)),), id="one")
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 4))), raises=ShapeError, id="sizes differ")
        yield Sample((rng.normal(size=(2,)),), {"axis": 2}, raises=ArgumentError, id="axis")
        yield Sample((), raises=ArgumentError, id="nothing")


class Unstack(Op, name="core.unstack"):
    """Take `x` apart along an axis of size `count`, which the parts lack."""

    info = OpInfo(multilinear=(0,))
    count: int
    axis: int = 0

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        axis = normalize_axis(self.axis, x.ndims)
        if self.count < 1:
            raise ArgumentError(f"{self.count} parts cannot be made; there is at least one")
        if x.shape[axis] not in (None, self.count):
            raise ShapeError(f"axis {axis} has size {x.shape[axis]}, not {self.count}")
        return (x.with_shape(x.shape[:axis] + x.shape[axis + 1 :]),) * self.count

    def view(self, ins: Arrays) -> Arrays | None:
        front = np.moveaxis(ins[0], self.axis, 0)
        return tuple(front[i, ...] for i in range(self.count))

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        _copy_each(self.view(ins), outs)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (stack(_with_zeros(cotangents, outs), self.axis),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(3, 2, 4)),), {"count": 2, "axis": 1}, id="between")
        yield Sample((rng.normal(size=(3,)),), {"count": 3, "axis": -1}, id="to scalars")
        yield Sample((rng.normal(size=(2, 0)),), {"count": 2}, id="empty")
        yield Sample((rng.normal(size=(1, 3)),), {"count": 1}, id="one")
        yield Sample((rng.normal(size=(3, 2)),), {"count": 2}, raises=ShapeError, id="other size")
        yield Sample((rng.normal(size=(0, 2)),), {"count": 0}, raises=ArgumentError, id="no parts")
        yield Sample((rng.normal(size=(3, 2)),), {"count": 3, "axis": 2}, raises=ArgumentError, id="axis")


def _listed_shapes(ins: Specs) -> list[Shape]:
    if not ins:
        raise ArgumentError("there is nothing to join; give at least one tensor")
    return [x.shape for x in ins]


def _common_axis(axis: int, ins: Specs) -> int:
    """Return `axis` counted from the front; raise where there are no inputs, or of different numbers of axes."""
    shapes = _listed_shapes(ins)
    for shape in shapes:
        if len(shape) != len(shapes[0]):
            raise ShapeError(f"{shapes[0]} and {shape} differ in the number of dimensions")
    if not shapes[0]:
        raise ArgumentError("scalars have no axis; og.stack joins them")
    return normalize_axis(axis, len(shapes[0]))


def _check_sum(whole: Dim, parts: Sequence[Dim], axis: int) -> None:
    """Raise `ShapeError` where `parts`, some of them unknown, cannot add up to `whole`."""
    total = sum(n for n in parts if n is not None)
    if whole is not None and (total > whole or (total < whole and None not in parts)):
        raise ShapeError(f"axis {axis} of size {whole} does not split into {total} elements")


def _with_size(shape: Shape, axis: int, size: Dim) -> Shape:
    return Shape([size if i == axis else n for i, n in enumerate(shape)])


def _parts(x: Array, sizes: Iterable[Dim], axis: int) -> Arrays:
    """Return the consecutive parts of `x` along `axis`, as views."""
    ends = itertools.accumulate((n or 0 for n in sizes), initial=0)
    lead: tuple[Any, ...] = (slice(None),) * axis
    return tuple(x[(*lead, slice(*pair))] for pair in itertools.pairwise(ends))


def _copy_each(parts: Arrays | None, outs: Arrays) -> None:
    for part, out in zip(parts or (), outs, strict=True):
        np.copyto(out, part)


def _with_zeros(cotangents: Cotangents, outs: Nodes) -> Iterator[Node]:
    """Yield the cotangents, zeros where there is none."""
    for g, y in zip(cotangents, outs, strict=True):
        yield apply(BroadcastLike(), np.zeros((), y.dtype), y) if g is None else g


@front_door_for(Concat)
def concat(tensors: Iterable[NodeLike], axis: SupportsIndex = 0) -> Node:
    """Join values along an axis that they have: (n, k), (m, k) -> (n + m, k).

    Parameters
    ----------
    tensors : sequence of array_like or Node
        One or more, promoted to one dtype; their sizes agree but along `axis`.

    Raises
    ------
    ShapeError
        Where other sizes, or the numbers of dimensions, differ.
    ArgumentError
        For an empty sequence, scalars, and an axis out of range.
    """
    listed = _promoted(tensors, "concat")
    return apply(make_op(Concat, axis=axis), *listed)


@front_door_for(Stack)
def stack(tensors: Iterable[NodeLike], axis: SupportsIndex = 0) -> Node:
    """Join values of one shape along a new axis: n times (k, l) -> (n, k, l).

    Parameters
    ----------
    tensors : sequence of array_like or Node
        One or more, promoted to one dtype.
    axis
        Where the new axis stands in the result.

    Raises
    ------
    ShapeError
        Where the shapes differ.
    ArgumentError
        For an empty sequence, and an axis out of range.
    """
    listed = _promoted(tensors, "stack")
    return apply(make_op(Stack, axis=axis), *listed)


@front_door_for(Split)
def split(x: NodeLike, sizes: SupportsIndex | Sequence[SupportsIndex], axis: SupportsIndex = 0) -> tuple[Node, ...]:
    """Split `x` along an axis, into views.

    Parameters
    ----------
    x : array_like or Node
    sizes
        How many parts of equal size, or the size of each part, of which one may be -1: what is left over. Sizes,
        as in TensorFlow and PyTorch; ``numpy.split`` takes the indices at which to split.

    Returns
    -------
    tuple of Node

    Raises
    ------
    ShapeError
        Where the sizes do not add up, or there are no equal parts; for unknown sizes, in the run.
    ArgumentError
        For no parts, for other negative sizes, and an axis out of range.
    """
    return apply_all(make_op(Split, sizes=sizes, axis=axis), as_node(x))


@front_door_for(SplitLike)
def split_like(x: NodeLike, likes: Iterable[NodeLike], axis: SupportsIndex = 0) -> tuple[Node, ...]:
    """Split `x` along an axis into views, of the run-time sizes that `likes` have along it.

    The gradient of `concat`.

    Raises
    ------
    ShapeError
        Where the sizes do not add up; for unknown sizes, in the run.
    ArgumentError
        Where there are no `likes`, and for an axis out of range.
    """
    return apply_all(make_op(SplitLike, axis=axis), as_node(x), *_listed(likes, "likes", ""))


@front_door_for(Unstack)
def unstack(x: NodeLike, axis: SupportsIndex = 0, count: int | None = None) -> tuple[Node, ...]:
    """Take `x` apart along an axis, into views without it: (n, k, l) -> n times (k, l).

    Parameters
    ----------
    x : array_like or Node
    count
        The size of the axis; it is wanted where that is not known.

    Returns
    -------
    tuple of Node

    Raises
    ------
    ShapeError
        Where the axis has another size than `count`, or an unknown one and no `count` is given.
    ArgumentError
        For an axis out of range, or of size 0.
    """
    node = as_node(x)
    if count is None:
        at = normalize_axis(axis, node.ndim)
        count = node.shape[at]
        if count is None:
            raise ShapeError(f"axis {at} of {node.shape} has no known size; give it, with count=")
    return apply_all(make_op(Unstack, count=count, axis=axis), node)


def _promoted(tensors: Iterable[NodeLike], what: str) -> tuple[Node, ...]:
    listed = _listed(tensors, "tensors", f"; write og.{what}([x, y])")
    return promote(*listed, what=what) if listed else ()


def _listed(tensors: Iterable[NodeLike], name: str, hint: str) -> list[NodeLike]:
    tensors = unwrapped(tensors)
    if isinstance(tensors, Node) or not isinstance(tensors, Iterable):
        raise ArgumentError(f"{name} is a list of tensors, not {tensors!r}{hint}")
    return list(tensors)
