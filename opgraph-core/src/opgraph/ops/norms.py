"""Norms of tensors, without overflow, and with a gradient at zero."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from opgraph.build import apply, promote
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, DtypeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, Rng, Specs, check_floating
from opgraph.ops.compare import equal, where
from opgraph.ops.shape import expand_dims
from opgraph.spec import Axes, Shape, Spec, listed_axes, normalize_axes, real_dtype, reduced_shape, wide_dtype


class Norm(Op, name="core.norm"):
    """Take the Euclidean norm over `axes`: the root of the sum of squares; its gradient at 0 is 0."""

    info = OpInfo(kinks=(0.0,))
    axes: tuple[int, ...] | None = None
    keepdims: bool = False

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        check_floating(self, x.dtype)
        shape = reduced_shape(x.shape, normalize_axes(self.axes, x.ndims), self.keepdims)
        return (Spec(shape, real_dtype(x.dtype)),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        (x,), wide = ins, wide_dtype(outs[0].dtype)
        kept = reduced_shape(x.shape, normalize_axes(self.axes, x.ndims), keepdims=True)
        return (Spec(x.shape, wide), Spec(kept, wide), Spec(kept, wide))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        work, norm, peak = scratch
        _fill_norm(ins[0], self.axes, norm, work, peak)
        np.copyto(outs[0], norm.reshape(outs[0].shape), casting="same_kind")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x,), (y,), (g,) = ins, outs, cotangents
        axes = normalize_axes(self.axes, x.ndim)
        if axes and not self.keepdims:
            y, g = expand_dims(y, axes), expand_dims(g, axes)
        return (x / _infinite_for_zero(y) * g,)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), id="Frobenius")
        yield Sample((rng.normal(size=(2, 3, 4)),), {"axes": (0, -1)}, id="two axes")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (1,), "keepdims": True}, id="kept")
        yield Sample((rng.normal(size=(2, 1)),), {"axes": ()}, id="no axes")
        yield Sample((rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3)),), {"axes": (0,)}, id="complex")
        yield Sample((rng.normal(size=(0, 3)),), {"axes": (0,)}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (2,)}, raises=ArgumentError, id="out of range")
        yield Sample((rng.integers(9, size=(2, 3)),), raises=DtypeError, id="integers")


class GlobalNorm(Op, name="core.global_norm"):
    """Take the root of the sum of the squares of all elements of all `xs`; its gradient at 0 is 0."""

    inputs = ("*xs",)
    info = OpInfo(kinks=(0.0,))

    def infer(self, ins: Specs) -> Specs:
        if not ins:
            raise ArgumentError("of nothing; give at least one tensor")
        if any(x.dtype != ins[0].dtype for x in ins):
            raise DtypeError(f"tensors are of one dtype, not {' and '.join(str(x.dtype) for x in ins)}; cast them")
        check_floating(self, ins[0].dtype)
        return (Spec(Shape(), real_dtype(ins[0].dtype)),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        wide = wide_dtype(outs[0].dtype)
        largest = max(len(ins), *(x.shape.size or 0 for x in ins))
        return (Spec((largest,), wide), Spec((len(ins),), wide), Spec((1,), wide), Spec((1,), wide))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        work, norms, norm, peak = scratch
        for i, x in enumerate(ins):
            ones = (1,) * x.ndim
            _fill_norm(x, None, norms[i : i + 1].reshape(ones), work[: x.size].reshape(x.shape), peak.reshape(ones))
        _fill_norm(norms, None, norm, work[: len(ins)], peak)
        np.copyto(outs[0], norm[0], casting="same_kind")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        divisor = _infinite_for_zero(outs[0])
        return tuple(x / divisor * cotangents[0] for x in ins)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(1,)), rng.normal(size=())), id="three")
        yield Sample((rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3)),), id="complex")
        yield Sample((rng.normal(size=(0, 3)), rng.normal(size=(2,))), id="empty")
        yield Sample((), raises=ArgumentError, id="none")
        yield Sample((rng.integers(9, size=(2, 3)),), raises=DtypeError, id="integers")


def _infinite_for_zero(norm: Node) -> Node:
    """Return `norm` for a divisor: what is 0 stays 0, and so do the derivatives of every order."""
    return where(equal(norm, 0), math.inf, norm)


def _fill_norm(x: Array, axes: tuple[int, ...] | None, norm: Array, work: Array, peak: Array) -> None:
    """Fill `norm` with the norms of `x` over `axes`, which it keeps with size 1, as `peak` does.

    Where squares may have left the range of the dtype, those of the elements over the largest of them are
    summed instead.
    """
    np.absolute(x, out=work)
    _fill_root_of_squares(work, axes, norm)
    info = np.finfo(norm.dtype)
    if norm.size == 0 or (norm.min() > math.sqrt(info.tiny / info.eps) and norm.max() < math.inf):
        return
    np.absolute(x, out=work)
    np.maximum.reduce(work, axis=axes, out=peak, keepdims=True, initial=0)
    np.copyto(peak, 1, where=(peak == 0) | ~np.isfinite(peak))
    np.divide(work, peak, out=work)
    _fill_root_of_squares(work, axes, norm)
    np.multiply(norm, peak, out=norm)


def _fill_root_of_squares(work: Array, axes: tuple[int, ...] | None, out: Array) -> None:
    np.multiply(work, work, out=work)
    np.add.reduce(work, axis=axes, out=out, keepdims=True)
    np.sqrt(out, out=out)


@front_door_for(Norm)
def norm(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Take the Euclidean norm over `axis`, the Frobenius norm of a matrix: the root of the sum of squares.

    Squares that leave the dtype's range do no harm. Where the norm is 0, the gradient, which does not
    exist, is 0, and so are those of higher orders; the norm of nothing is 0.

    Parameters
    ----------
    x : array_like or Node
        Integers become the default float; complex numbers have a real norm.
    axis : int or sequence of int, optional
        All by default.
    keepdims : bool
        Whether `axis` stays, with size 1.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice.
    """
    (node,) = promote(x, floating=True, what="norm")
    return apply(make_op(Norm, axes=None if axis is None else listed_axes(axis), keepdims=keepdims), node)


@front_door_for(GlobalNorm)
def global_norm(xs: Sequence[NodeLike]) -> Node:
    """Take the norm of several tensors as of one: the root of the sum of the squares of all their elements.

    As for `norm`, squares out of range do no harm, and the gradient at 0 is 0.

    Parameters
    ----------
    xs : sequence of array_like or Node
        At least one; promoted to one dtype, integers to the default float.

    Raises
    ------
    ArgumentError
        For a single tensor in place of a sequence, or an empty one.
    """
    if isinstance(xs, Node | np.ndarray) or not isinstance(xs, Iterable):
        raise ArgumentError("xs is a sequence of tensors; write [x] for one, or og.norm(x)")
    listed = list(xs)
    return apply(GlobalNorm(), *(promote(*listed, floating=True, what="global_norm") if listed else ()))
