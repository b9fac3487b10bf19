"""Axes and kept dimensions, wrong in one place."""

import numpy as np
from contract import expect, refused

import opgraph as og


class Reduction(og.Op):
    """What the reductions share here: one axis, or all of them."""

    axis: int | None = None
    keepdims: bool = False

    def axes(self, ndims):
        if self.axis is None:
            return tuple(range(ndims))
        if not -ndims <= self.axis < ndims:
            raise og.ArgumentError(f"axis {self.axis} is out of range for {ndims} dimensions")
        return (self.axis % ndims,)

    def infer(self, ins):
        expect(ins, "f*")
        (x,) = ins
        axes = self.axes(x.ndims)
        kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
        return (x.with_shape(kept if self.keepdims else [n for i, n in enumerate(kept) if i not in axes]),)

    def spread(self, g, x):
        """Return the output's cotangent `g` in the shape of `x`."""
        axes = self.axes(len(x.shape))
        return og.broadcast_like(g if self.keepdims else og.expand_dims(g, axes), x)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="all")
        yield og.Sample((rng.normal(size=(2, 3)),), {"keepdims": True}, id="all kept")
        yield og.Sample((rng.normal(size=(3, 1, 4)),), {"axis": 0}, id="leading")
        yield og.Sample((rng.normal(size=(2, 4, 3)),), {"axis": -2, "keepdims": True}, id="negative")
        yield og.Sample((rng.normal(size=(2, 0)),), {"axis": 0}, id="empty")
        yield og.Sample((rng.normal(size=(2, 3)),), {"axis": 2}, raises=og.ArgumentError, id="out of range")


class SumNegativeAxis(Reduction, name="mutants.sum_negative_axis"):
    """Sum along an axis: (…, n, …) -> (…, …).

    There, the gradient of a reduction took a negative axis as it was, where only the values counted it from
    the end: here it is counted from the end of what is left.
    """

    caught_by = "vjp_full"
    source = "https://github.com/tensorflow/tensorflow/issues/10835"
    info = og.OpInfo(reference=np.sum, multilinear=(0,))

    def compute(self, ins, outs):
        np.sum(ins[0], axis=self.axis, keepdims=self.keepdims, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        if self.axis is None or self.axis >= 0 or self.keepdims:
            return (self.spread(g, x),)
        return (og.broadcast_like(og.expand_dims(g, (self.axis % len(g.shape),)), x),)

    @classmethod
    def samples(cls, rng):
        yield from super().samples(rng)
        yield og.Sample((rng.normal(size=(2, 4, 1, 3)),), {"axis": -3}, id="negative, dropped")


class MeanKeptAll(Reduction, name="mutants.mean_kept_all"):
    """Average along an axis, or over everything: (…, n, …) -> (…, …).

    There, the gradient of a mean over everything was wrong where dimensions were kept: here it divides by the
    last size alone.
    """

    caught_by = "vjp_full"
    source = "https://github.com/PaddlePaddle/Paddle/pull/26614"
    info = og.OpInfo(reference=np.mean, multilinear=(0,))

    def compute(self, ins, outs):
        np.mean(ins[0], axis=self.axis, keepdims=self.keepdims, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        axes = self.axes(len(x.shape))
        if self.keepdims and self.axis is None:
            axes = axes[-1:]
        return (self.spread(g / og.count(x, axes), x),)


class MeanNegativeAxis(Reduction, name="mutants.mean_negative_axis"):
    """Average along an axis, or over everything: (…, n, …) -> (…, …).

    There, a mean took a negative axis as it was when it looked up the number of elements.
    """

    caught_by = "reference"
    source = "https://github.com/halide/Halide/pull/6336"
    info = og.OpInfo(reference=np.mean, multilinear=(0,))

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.sum(x, axis=self.axis, keepdims=self.keepdims, out=y)
        n = x.size if self.axis is None else x.shape[abs(self.axis) % x.ndim]
        np.divide(y, max(n, 1), out=y)

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        return (self.spread(g / og.count(x, self.axes(len(x.shape))), x),)

    @classmethod
    def samples(cls, rng):
        yield from super().samples(rng)
        yield og.Sample((rng.normal(size=(2, 4, 3)),), {"axis": -1}, id="last")


class ProductQuotient(og.Op, name="mutants.product_quotient"):
    """Multiply along the last axis: (…, n) -> (…).

    There, the gradient of a product was the product divided by the element, which fails where that is 0.
    """

    caught_by = "vjp_full"
    source = "https://github.com/tensorflow/tensorflow/issues/2641"
    info = og.OpInfo(reference=lambda x: np.prod(x, axis=-1))

    def infer(self, ins):
        expect(ins, "f2")
        return (ins[0].with_shape(ins[0].shape[:-1]),)

    def compute(self, ins, outs):
        np.prod(ins[0], axis=-1, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (y,), (g,) = ins, outs, cotangents
        return (og.expand_dims(g * y, (-1,)) / x,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.uniform(0.5, 2.0, (2, 3)),), id="matrix")
        yield og.Sample((rng.uniform(0.5, 2.0, (4, 1)),), id="one factor")
        yield og.Sample((np.array([[2.0, 0.0, -1.5], [0.5, -3.0, 1.25]]),), id="a zero")
        yield og.Sample((rng.normal(size=(0, 3)),), id="empty")
        yield refused()


class CumsumFlip(og.Op, name="mutants.cumsum_flip"):
    """Sum what has come along an axis: (…, n, …) -> (…, n, …).

    There, the sum from the other end, which is its gradient, was reversed along the first axis whatever the
    axis was.
    """

    caught_by = "vjp_full"
    source = "https://github.com/columnflow/columnflow/pull/533"
    axis: int = 0
    info = og.OpInfo(reference=lambda x, axis=0: np.cumsum(x, axis=axis), multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f*")
        if not -ins[0].ndims <= self.axis < ins[0].ndims:
            raise og.ArgumentError(f"axis {self.axis} is out of range for {ins[0].ndims} dimensions")
        return ins

    def compute(self, ins, outs):
        np.cumsum(ins[0], axis=self.axis, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (og.flip(og.cumsum(og.flip(cotangents[0], 0), self.axis), 0),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(5,)),), id="vector")
        yield og.Sample((rng.normal(size=(3, 2)),), id="leading")
        yield og.Sample((rng.normal(size=(2, 4, 1)),), {"axis": 1}, id="middle")
        yield og.Sample((rng.normal(size=(3, 0)),), {"axis": -1}, id="empty")
        yield og.Sample((rng.normal(size=(3, 2)),), {"axis": 2}, raises=og.ArgumentError, id="out of range")


class LeastOfParts(og.Op, name="mutants.least_of_parts"):
    """Take the least element over axes: (…) -> (…).

    There, the least elements of several parts were added up.
    """

    caught_by = "combine"
    source = "https://github.com/pola-rs/polars/issues/12847"
    axes: tuple[int, ...] | None = None
    keepdims: bool = False
    combine = np.add
    info = og.OpInfo(reference=lambda x, axes=None, keepdims=False: np.min(x, axis=axes, keepdims=keepdims))

    def infer(self, ins):
        expect(ins, "f*")
        (x,) = ins
        axes = og.normalize_axes(self.axes, x.ndims)
        if any(x.shape[axis] == 0 for axis in axes):
            raise og.ShapeError(f"{x.shape} has no least element over {self.axes}")
        return (x.with_shape(og.reduced_shape(x.shape, axes, self.keepdims)),)

    def compute(self, ins, outs):
        np.min(ins[0], axis=self.axes, keepdims=self.keepdims, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (y,), (g,) = ins, outs, cotangents
        axes = () if self.keepdims else og.normalize_axes(self.axes, len(x.shape))
        y, g = (og.expand_dims(value, axes) for value in (y, g))
        return (og.where(og.equal(x, y), og.broadcast_like(g, x), 0.0),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="all")
        yield og.Sample((rng.normal(size=(3, 1, 4)),), {"axes": (-1,), "keepdims": True}, id="last, kept")
        yield og.Sample((rng.normal(size=(0, 3)),), {"axes": (1,)}, id="empty")
        yield og.Sample((rng.normal(size=(2, 3)),), {"axes": (2,)}, raises=og.ArgumentError, id="out of range")
        yield og.Sample((rng.normal(size=(0, 3)),), raises=og.ShapeError, id="of nothing")
