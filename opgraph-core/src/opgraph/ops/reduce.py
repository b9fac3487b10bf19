"""Reductions over axes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np

from opgraph.build import apply, as_node, promote
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, DtypeError, ShapeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, Rng, Specs, check_floating
from opgraph.ops._sums import sum_call, with_ones
from opgraph.ops.compare import check_ordered, equal, where
from opgraph.ops.complexes import conj
from opgraph.ops.elementwise import exp
from opgraph.ops.like import broadcast_like, count
from opgraph.ops.ordering import check_not_empty, distinct
from opgraph.ops.piecewise import maximum
from opgraph.ops.scans import ProductBefore
from opgraph.ops.shape import expand_dims
from opgraph.signatures import guarded
from opgraph.spec import (
    Axes,
    Spec,
    listed_axes,
    normalize_axes,
    real_dtype,
    reduced_shape,
    total_dtype,
    wide_dtype,
    widened,
)


def farthest(dtype: np.dtype[Any], below: bool) -> Any:
    """Return what no value of `dtype` is below, or what none is above."""
    if dtype.kind == "f":
        return -np.inf if below else np.inf
    if dtype.kind == "b":
        return not below
    info = np.iinfo(dtype)
    return info.min if below else info.max


def numpy_reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return NumPy's `function` as the reference of a reduction, called with the attributes' names."""

    def reference(x: Array, axes: tuple[int, ...] | None = None, keepdims: bool = False, **attributes: Any) -> Any:
        return function(x, axis=axes, keepdims=keepdims, **attributes)

    return reference


class Reduction(Op):
    """What reductions share: `axes`, all of them where ``None``, and `keepdims`.

    Class attributes
    ----------------
    floating : bool
        Whether integers and booleans are cast to the default float before they go in.
    """

    floating: ClassVar[bool] = False
    axes: tuple[int, ...] | None = None
    keepdims: bool = False

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        if self.floating:
            check_floating(self, x.dtype)
        return (x.with_shape(reduced_shape(x.shape, self.normal_axes(x), self.keepdims)),)

    def flops(self, ins: Specs, outs: Specs) -> int:
        return ins[0].shape.size or 0

    def batch(self, ins: Specs, batched: frozenset[int]) -> Op | None:
        (x,) = ins
        axes = tuple([axis - x.ndims for axis in self.normal_axes(x)])
        return type(self)(**{**self.attributes(), "axes": axes})

    def normal_axes(self, x: Spec | Node | Array) -> tuple[int, ...]:
        """Return the axes of `x` that go, counted from the front."""
        return normalize_axes(self.axes, len(x.shape))

    def kept(self, y: Node, x: Node) -> Node:
        """Return `y`, which has the output's shape, with the dimensions of `x` that went, of size 1."""
        axes = self.normal_axes(x)
        return y if self.keepdims or not axes else expand_dims(y, axes)

    def spread(self, y: Node, x: Node) -> Node:
        """Return `y`, which has the output's shape, broadcast to the shape of `x`."""
        return broadcast_like(self.kept(y, x), x)

    @classmethod
    def values(cls, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Return an array that the op takes, for the samples."""
        return rng.normal(size=shape)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((cls.values(rng, (2, 3)),), id="all")
        yield Sample((cls.values(rng, (3, 1, 4)),), {"axes": (0,)}, id="leading")
        yield Sample((cls.values(rng, (2, 4, 3)),), {"axes": (-1, 0), "keepdims": True}, id="kept")
        yield Sample((cls.values(rng, (2, 3)),), {"axes": ()}, id="none")
        yield Sample((cls.values(rng, ()),), id="scalar")
        yield Sample((cls.values(rng, (3, 0)),), {"axes": (0,)}, id="empty")
        yield Sample((cls.values(rng, (2, 3)),), {"axes": (2,)}, raises=ArgumentError, id="out of range")
        yield Sample((cls.values(rng, (2, 3)),), {"axes": (1, -1)}, raises=ArgumentError, id="twice")


class Accumulation(Reduction):
    """What sums and products share: float16 is accumulated in float32, integers and booleans in 64 bits."""

    def infer(self, ins: Specs) -> Specs:
        (y,) = super().infer(ins)
        return (y.with_dtype(total_dtype(y.dtype)),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return widened(outs[0])

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (wide,) = scratch or outs
        self._call(ins[0], wide)()
        if scratch:
            np.copyto(outs[0], wide)

    def bind(self, ins: Arrays, outs: Arrays) -> Callable[[], object] | None:
        if type(self).compute is not Accumulation.compute:
            return None
        return self._call(ins[0], outs[0])

    def _call(self, x: Array, y: Array) -> Callable[[], object]:
        """Return the call that fills `y`: with sums, unless overridden."""
        axes = self.normal_axes(x)
        return sum_call(x, axes, y.reshape(with_ones(x.shape, axes)))


class ReduceSum(Accumulation, name="core.reduce_sum"):
    """Sum over `axes`; the sum of nothing is 0. Integers become int64 or uint64, booleans count.

    Many terms of float32 are summed in parts, which loses less than one sum.
    """

    combine = np.add

    info = OpInfo(reference=numpy_reduction(np.sum), multilinear=(0,))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (self.spread(cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from super().samples(rng)
        yield Sample((rng.normal(size=(0, 3)),), {"axes": (0,)}, id="of nothing")
        yield Sample((rng.integers(100, 128, (2, 3), np.int8),), {"axes": (1,)}, id="small integers")


class ReduceMean(Accumulation, name="core.reduce_mean"):
    """Average over `axes`; the mean of nothing is NaN."""

    floating = True
    info = OpInfo(reference=numpy_reduction(np.mean), multilinear=(0,))

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        (y,) = outs
        # an array divides in half the time that a number takes
        return (Spec((), wide_dtype(y.dtype)), *super().scratch(ins, outs))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (x,), (y,), (n, *wide) = ins, outs, scratch
        (total,) = wide or outs
        n.fill(x.size // y.size if y.size else 1)
        self._call(x, total)()
        np.true_divide(total, n, y)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (self.spread(cotangents[0] / count(ins[0], self.axes), ins[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from super().samples(rng)
        yield Sample((rng.integers(0, 9, (2, 3)),), raises=DtypeError, id="integers")


class ReduceProd(Accumulation, name="core.reduce_prod"):
    """Multiply over `axes`; the product of nothing is 1. Integers become int64 or uint64, booleans count.

    The gradient multiplies, for each element, what stands before it and what stands after it, so that it is
    right with any number of zeros, in every order.
    """

    combine = np.multiply
    info = OpInfo(reference=numpy_reduction(np.prod))

    def _call(self, x: Array, y: Array) -> Callable[[], object]:
        return functools.partial(np.multiply.reduce, x, axis=self.axes, dtype=y.dtype, out=y, keepdims=self.keepdims)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        x = ins[0].astype(wide_dtype(ins[0].dtype))
        axes = self.normal_axes(x)
        g = self.kept(cotangents[0], x)
        partial = [x]  # over no axis, over the first, over the first two, …
        for axis in axes[:-1]:
            partial.append(reduce_prod(partial[-1], axis, keepdims=True))
        for axis in reversed(axes):
            factors = partial.pop()
            before, after = apply(ProductBefore(axis), factors), apply(ProductBefore(axis, reverse=True), factors)
            g = g * conj(before * after)
        return (g,)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from super().samples(rng)
        yield Sample((rng.normal(size=(0, 3)),), {"axes": (0,)}, id="of nothing")
        yield Sample((np.array([[2.0, 0.0, -1.5], [0.5, -3.0, 1.25]]),), id="one zero")
        yield Sample((np.array([[2.0, 0.0, -1.5, 0.0], [0.0, -3.0, 0.5, 1.25]]),), {"axes": (1,)}, id="zeros")
        yield Sample((rng.integers(200, 256, (2, 3), np.uint8),), {"axes": (1,)}, id="small integers")


class Extreme(Reduction):
    """What the extremes share: NaN wins, nothing has none, and elements that are equal share the gradient."""

    ufunc: ClassVar[np.ufunc]
    least: ClassVar[bool]

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        check_ordered(x.dtype)
        specs = super().infer(ins)
        check_not_empty(x.shape, self.normal_axes(x), "minimum" if self.least else "maximum")
        return specs

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x,), (y,) = ins, outs
        # beginning with the first elements, NumPy before 2.2 mixes up those of reversed arrays (its issue 27820)
        start = farthest(x.dtype, below=not self.least)
        self.ufunc.reduce(x, axis=self.axes, out=y, keepdims=self.keepdims, initial=start)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x,), (y,), (g,) = ins, outs, cotangents
        chosen = equal(x, self.kept(y, x))
        sharers = reduce_sum(chosen, self.axes, self.keepdims).astype(wide_dtype(x.dtype))
        # beside NaN nothing is chosen, and 0 / 0 is NaN; the share may be infinite, and is no factor therefore
        return (where(chosen, self.kept(g / sharers, x), self.kept(0.0 / sharers, x)),)

    @classmethod
    def values(cls, rng: Rng, shape: tuple[int, ...]) -> Array:
        return distinct(rng, shape)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from super().samples(rng)
        yield Sample((rng.normal(size=(0, 3)),), {"axes": (0,)}, raises=ShapeError, id="of nothing")
        yield Sample((rng.normal(size=(3,)) + 1j,), raises=DtypeError, id="complex")


class ReduceMax(Extreme, name="core.reduce_max"):
    """Take the greatest element over `axes`; NaN where there is one."""

    ufunc = combine = np.maximum
    least = False
    info = OpInfo(reference=numpy_reduction(np.max), tie_policy="split")


class ReduceMin(Extreme, name="core.reduce_min"):
    """Take the least element over `axes`; NaN where there is one."""

    ufunc = combine = np.minimum
    least = True
    info = OpInfo(reference=numpy_reduction(np.min), tie_policy="split")


class Dispersion(Reduction):
    """What variance and standard deviation share: the sum of squares is divided by the count less `ddof`."""

    floating = True
    ddof: int = 0

    def infer(self, ins: Specs) -> Specs:
        if self.ddof < 0:
            raise ArgumentError(f"ddof={self.ddof} is negative")
        (y,) = super().infer(ins)
        return (y.with_dtype(real_dtype(y.dtype)),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        (x,) = ins
        wide = x.with_dtype(wide_dtype(x.dtype))
        return (wide, wide.with_shape(reduced_shape(x.shape, self.normal_axes(x), keepdims=True)))

    def variance(self, x: Array, deviations: Array, work: Array) -> Array:
        """Return the variance of `x`, with the dimensions that went, in the memory of `work`."""
        axes = self.normal_axes(x)
        n = math.prod(x.shape[i] for i in axes)
        # equal elements have no deviation from the first, where rounding may give them one from their mean
        first = x[tuple(slice(0, 1) if i in axes else slice(None) for i in range(x.ndim))]
        np.subtract(x, first, out=deviations, dtype=deviations.dtype)
        sum_call(deviations, axes, work)()
        np.true_divide(work, work.dtype.type(max(n, 1)), out=work)
        np.subtract(deviations, work, out=deviations)
        total = work.real
        for part in (deviations.real, deviations.imag) if x.dtype.kind == "c" else (deviations,):
            np.square(part, out=part)
        if x.dtype.kind == "c":
            np.add(deviations.real, deviations.imag, out=deviations.real)
        sum_call(deviations.real, axes, total)()
        np.true_divide(total, total.dtype.type(max(n - self.ddof, 0)), out=total)
        return total

    def divisor(self, x: Node) -> Node:
        """Return the count less `ddof`, and not less than 0, as a scalar."""
        n = count(x, self.axes)
        return maximum(n - self.ddof, 0) if self.ddof else n

    def deviations(self, x: Node) -> Node:
        """Return the distances of `x` from its mean, float16 in float32."""
        wide = x.astype(wide_dtype(x.dtype))
        return wide - reduce_mean(wide, self.normal_axes(x), keepdims=True)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from super().samples(rng)
        yield Sample((cls.values(rng, (4, 3)),), {"axes": (0,), "ddof": 1}, id="unbiased")
        yield Sample((rng.normal(size=(2, 3)),), {"ddof": -1}, raises=ArgumentError, id="negative")
        yield Sample((rng.integers(0, 9, (2, 3)),), raises=DtypeError, id="integers")


class ReduceVariance(Dispersion, name="core.reduce_variance"):
    """Take the variance over `axes`: the mean square of the distances from the mean, real for complex numbers."""

    info = OpInfo(reference=numpy_reduction(np.var))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        total = self.variance(ins[0], *scratch)
        np.copyto(outs[0].reshape(total.shape), total)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x,), (g,) = ins, cotangents
        return (self.deviations(x) * self.kept(g * 2.0 / self.divisor(x), x),)


class ReduceStd(Dispersion, name="core.reduce_std"):
    """Take the standard deviation over `axes`, the root of the variance; where that is 0, so is the gradient."""

    info = OpInfo(reference=numpy_reduction(np.std))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        total = self.variance(ins[0], *scratch)
        np.sqrt(total, out=outs[0].reshape(total.shape))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x,), (y,), (g,) = ins, outs, cotangents
        flat = equal(y, 0)
        rise = where(flat, 0, g / where(flat, 1, y))
        return (self.deviations(x) * self.kept(rise / self.divisor(x), x),)


class ReduceLogSumExp(Reduction, name="core.reduce_logsumexp"):
    """Take the logarithm of the sum of exponentials over `axes`, without overflow; of nothing it is -inf."""

    floating = True
    info = OpInfo(reference=numpy_reduction(np.logaddexp.reduce))

    def infer(self, ins: Specs) -> Specs:
        if ins[0].dtype.kind == "c":
            raise DtypeError("complex numbers have no greatest one; write og.log(og.reduce_sum(og.exp(x)))")
        return super().infer(ins)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        (x,) = ins
        wide = x.with_dtype(wide_dtype(x.dtype))
        column = wide.with_shape(reduced_shape(x.shape, self.normal_axes(x), keepdims=True))
        return (wide, column, column, column.with_dtype(np.bool))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (x,), (y,), (powers, greatest, total, finite) = ins, outs, scratch
        axes = self.normal_axes(x)
        np.maximum.reduce(x, axis=axes, out=greatest, keepdims=True, initial=-np.inf)
        # an infinite one would be taken from itself; exp and log see to it alone
        np.isfinite(greatest, out=finite)
        np.copyto(greatest, 0, where=np.logical_not(finite, out=finite))
        np.subtract(x, greatest, out=powers, dtype=powers.dtype)
        np.exp(powers, out=powers)
        np.add.reduce(powers, axis=axes, out=total, keepdims=True)
        np.log(total, out=total)
        np.add(total, greatest, out=y.reshape(total.shape))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x,), (y,), (g,) = ins, outs, cotangents
        level = where(equal(y, -np.inf), 0, y)
        return (self.kept(g, x) * exp(x - self.kept(level, x)),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from super().samples(rng)
        yield Sample((rng.normal(size=(0, 3)),), {"axes": (0,)}, id="of nothing")
        yield Sample((rng.normal(size=(2, 3)) + 1j,), raises=DtypeError, id="complex")
        yield Sample((rng.integers(0, 9, (2, 3)),), raises=DtypeError, id="integers")


class Quantifier(Reduction):
    """What "any" and "all" share: booleans go in and come out."""

    ufunc: ClassVar[np.ufunc]

    def infer(self, ins: Specs) -> Specs:
        if ins[0].dtype.kind != "b":
            raise DtypeError(f"takes booleans, not {ins[0].dtype}; compare x with something first")
        return super().infer(ins)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        self.ufunc.reduce(ins[0], axis=self.axes, out=outs[0], keepdims=self.keepdims)

    @classmethod
    def values(cls, rng: Rng, shape: tuple[int, ...]) -> Array:
        return np.asarray(rng.random(shape) < 0.6)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield from super().samples(rng)
        yield Sample((rng.random((0, 3)) < 0.5,), {"axes": (0,)}, id="of nothing")
        yield Sample((rng.normal(size=(2, 3)),), raises=DtypeError, id="floats")


class ReduceAny(Quantifier, name="core.reduce_any"):
    """Tell whether any element over `axes` is true; of nothing, none is."""

    ufunc = combine = np.logical_or
    info = OpInfo(reference=numpy_reduction(np.any))


class ReduceAll(Quantifier, name="core.reduce_all"):
    """Tell whether all elements over `axes` are true; of nothing, all are."""

    ufunc = combine = np.logical_and
    info = OpInfo(reference=numpy_reduction(np.all))


def _reduced(op_class: type[Reduction], x: NodeLike, axis: Axes, keepdims: bool, **attributes: Any) -> Node:
    axes = None if axis is None else listed_axes(axis)
    op = make_op(op_class, axes=axes, keepdims=keepdims, **attributes)
    node = promote(x, floating=True, what=op.short_name())[0] if op.floating else as_node(x)
    return apply(op, node)


@front_door_for(ReduceSum)
def reduce_sum(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Sum over `axis`: an int, several of them, or all by default.

    The sum of nothing is 0. As in NumPy, booleans and integers are summed in int64, unsigned ones in uint64, and
    stay in it; float16 is summed in float32. With `keepdims`, the dimensions that go stay, with size 1.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice.
    """
    return _reduced(ReduceSum, x, axis, keepdims)


@front_door_for(ReduceMean)
def reduce_mean(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Average over `axis`: an int, several of them, or all by default.

    The mean of nothing is NaN; integers are averaged in the default float. With `keepdims`, the dimensions that
    go stay, with size 1.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice.
    """
    return _reduced(ReduceMean, x, axis, keepdims)


@front_door_for(ReduceProd)
def reduce_prod(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Multiply over `axis`: an int, several of them, or all by default.

    The product of nothing is 1. As in NumPy, booleans and integers are multiplied in int64, unsigned ones in uint64,
    and stay in it, where they may wrap around; float16 is multiplied in float32. Zeros among the factors are no
    trouble for the gradient, of any order. With `keepdims`, the dimensions that go stay, with size 1.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice.
    """
    return _reduced(ReduceProd, x, axis, keepdims)


@front_door_for(ReduceMax)
def reduce_max(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Take the greatest element over `axis`: an int, several of them, or all by default.

    Where several elements are the greatest, they share the gradient in equal parts. NaN is greater than everything
    else, and what it was taken from then has the gradient NaN throughout. Both are as in PyTorch's ``amax``.
    With `keepdims`, the dimensions that go stay, with size 1.

    Raises
    ------
    ShapeError
        Where there is nothing along `axis`; for unknown sizes, in the run.
    ArgumentError
        For an axis out of range or given twice.
    DtypeError
        For complex numbers, which are not ordered.
    """
    return _reduced(ReduceMax, x, axis, keepdims)


@front_door_for(ReduceMin)
def reduce_min(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Take the least element over `axis`: an int, several of them, or all by default.

    NaN is less than everything else; everything else is as for `reduce_max`.
    """
    return _reduced(ReduceMin, x, axis, keepdims)


@front_door_for(ReduceVariance)
def reduce_variance(x: NodeLike, axis: Axes = None, keepdims: bool = False, ddof: int = 0) -> Node:
    """Take the variance over `axis`: the mean of abs(x - mean(x))**2.

    Parameters
    ----------
    x : array_like or Node, (…)
        Complex numbers have a real variance; integers are cast to the default float.
    axis
        An int, several of them, or all by default.
    keepdims
        Whether the dimensions that go stay, with size 1.
    ddof
        What to take from the count that the sum is divided by: 1 makes the variance of a sample an unbiased
        estimate. A divisor below 1 is 0, which gives NaN or infinity.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice, and for a negative `ddof`.
    """
    return _reduced(ReduceVariance, x, axis, keepdims, ddof=ddof)


@front_door_for(ReduceStd)
def reduce_std(x: NodeLike, axis: Axes = None, keepdims: bool = False, ddof: int = 0) -> Node:
    """Take the standard deviation over `axis`, the root of `reduce_variance`, which see.

    Elements that are all equal have the standard deviation 0 exactly. It has a kink there, and the gradient 0, the
    least of its subgradients.
    """
    return _reduced(ReduceStd, x, axis, keepdims, ddof=ddof)


@front_door_for(ReduceLogSumExp)
def reduce_logsumexp(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Take log(sum(exp(x))) over `axis`, without overflow: an int, several of them, or all by default.

    It is -inf of nothing, and where all elements are -inf; these then have the gradient 0. Where it is inf, the
    gradient is NaN for the infinite elements, 0 for the others. Integers are cast to the default float. With
    `keepdims`, the dimensions that go stay, with size 1.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice.
    DtypeError
        For complex numbers.
    """
    return _reduced(ReduceLogSumExp, x, axis, keepdims)


@guarded
def logsumexp(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Take log(sum(exp(x))) over `axis`: `reduce_logsumexp`, by the name that it has elsewhere."""
    (node,) = promote(x, floating=True, what="logsumexp")
    return reduce_logsumexp(node, axis, keepdims)


@front_door_for(ReduceAny)
def reduce_any(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Tell whether any boolean is true over `axis`: an int, several of them, or all by default. Of nothing, none is.

    With `keepdims`, the dimensions that go stay, with size 1.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice.
    DtypeError
        For what is not boolean.
    """
    return _reduced(ReduceAny, x, axis, keepdims)


@front_door_for(ReduceAll)
def reduce_all(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Tell whether all booleans are true over `axis`; of nothing, all are. Everything else is as for `reduce_any`."""
    return _reduced(ReduceAll, x, axis, keepdims)
