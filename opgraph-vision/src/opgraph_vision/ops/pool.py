"""Pooling in two dimensions: the maximum or the average of each window, or of the whole image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

import opgraph as og
from opgraph_vision.ops.sharing import over_images
from opgraph_vision.ops.window import Grid, Padding, Pair, Size, Tap, as_pair, check_images, count_windows

LEAST_SIZE = 100_000  # of what each call of NumPy works on: a part makes tens of calls, which cost 1 µs each


class Pooling(og.Op):
    """What pooling and its gradients share: a window of fixed size."""

    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    padding: Padding = "VALID"

    def output_shape(self, x: og.Spec) -> og.Shape:
        """Return the shape of the pooled `x`; raise where it cannot be pooled."""
        check_images("x", x)
        if min(self.kernel_size) < 1:
            raise og.ArgumentError(f"kernel_size {self.kernel_size}: both must be at least 1")
        counts = count_windows(x.shape[1:3], self.kernel_size, self.strides, self.padding)
        return og.Shape(x.shape[0], *counts, x.shape[3])

    def check_pooled(self, what: str, spec: og.Spec, x: og.Spec) -> None:
        """Raise where `spec` does not have the shape of the pooled `x`."""
        expected = self.output_shape(x)
        if not spec.shape.compatible_with(expected):
            raise og.ShapeError(f"{what} {spec.shape} does not fit the pooled shape {expected}")

    def grid(self, x: Sequence[Size], y: Sequence[Size]) -> Grid:
        """Return the windows on images `x` for the pooled `y`; both are shapes, known in full."""
        return Grid.of(x, y, self.kernel_size, self.strides)

    def over_images(self, fill: Callable[..., object], pooled: og.Array, *arrays: og.Array) -> None:
        """Call `fill` with the parts of `pooled`, which has the output's shape, and `arrays` that threads share."""
        over_images(fill, pooled.size // LEAST_SIZE, pooled, *arrays)

    @property
    def is_disjoint(self) -> bool:
        """Whether no pixel is in two windows."""
        return all(stride >= size for stride, size in zip(self.strides, self.kernel_size, strict=True))

    def average(self, x: og.Node) -> og.Node:
        """Return the average of each window."""
        return og.apply(AvgPool2D(self.kernel_size, self.strides, self.padding), x)

    def share(self, g: og.Node, x: og.Node) -> og.Node:
        """Return `g` shared out among the pixels of each window, in the shape of `x`."""
        return og.apply(AvgPool2DGradient(self.kernel_size, self.strides, self.padding), g, x)

    def scatter(self, g: og.Node, argmax: og.Node, x: og.Node) -> og.Node:
        """Return `g` put where each window has its maximum, in the shape of `x`."""
        return og.apply(MaxPool2DScatter(self.kernel_size, self.strides, self.padding), g, argmax, x)

    def gather(self, x: og.Node, argmax: og.Node) -> og.Node:
        """Return what stands in `x` where each window has its maximum."""
        return og.apply(MaxPool2DGather(self.kernel_size, self.strides, self.padding), x, argmax)


class MaxPool2D(Pooling, name="vision.maxpool2d"):
    """Take each window's maximum: (N, H, W, C) -> (N, H', W', C).

    A second, hidden output says where in its window the maximum is: the number of the element, in
    row-major order. Of equal ones it is the first; of a window that holds NaN, the first NaN.
    """

    hidden = 1
    info = og.OpInfo(tie_policy="first")

    def infer(self, ins: og.Specs) -> og.Specs:
        (x,) = ins
        if x.dtype.kind == "c":
            raise og.DtypeError("complex numbers have no maximum")
        shape = self.output_shape(x)
        return (x.with_shape(shape), og.Spec(shape, np.min_scalar_type(math.prod(self.kernel_size))))

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        y, argmax = outs
        return (y.with_dtype(bool), argmax, y)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x,), (y, argmax) = ins, outs
        taps = list(self.grid(x.shape, y.shape).taps())

        def fill(y: og.Array, x: og.Array, argmax: og.Array, mask: og.Array, marks: og.Array, values: og.Array) -> None:
            argmax[...] = 0
            for element, windows, _ in reversed(taps):
                argmax[windows] = element  # in the end the first; padding is never looked at
            y[...] = _lowest(y.dtype)
            for element, windows, pixels in taps:
                np.copyto(values[windows], x[pixels])  # of which NumPy reads short runs only, so once
                found = np.greater(values[windows], y[windows], out=mask[windows])
                np.multiply(found, argmax.dtype.type(element), out=marks[windows])
                np.maximum(argmax[windows], marks[windows], out=argmax[windows])
                np.maximum(y[windows], values[windows], out=y[windows])
            if y.dtype.kind == "f" and np.isnan(y, out=mask).any():  # it is not greater, and the maximum all the same
                for element, windows, pixels in reversed(taps):
                    is_nan = np.isnan(x[pixels], out=mask[windows])
                    np.copyto(argmax[windows], argmax.dtype.type(element), where=is_nan)

        self.over_images(fill, y, x, argmax, *scratch)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (x,), (_, argmax), (g, _) = ins, outs, cotangents
        return (self.scatter(g, argmax, x),)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for case in _CASES:
            yield og.Sample((case.images(rng),), case.attrs, id=case.id)
        x = rng.normal(size=(2, 5, 7, 3))
        exceeds = {"kernel_size": (6, 4), "strides": (1, 2)}
        yield og.Sample((x,), exceeds, raises=og.ShapeError, id="window exceeds image")
        yield og.Sample((x[0],), exceeds | {"padding": "SAME"}, raises=og.ShapeError, id="a single image")
        yield og.Sample((x,), exceeds | {"kernel_size": (0, 2)}, raises=og.ArgumentError, id="no window")
        yield og.Sample((x,), exceeds | {"strides": (2, -1)}, raises=og.ArgumentError, id="no stride")


class MaxPool2DScatter(Pooling, name="vision._maxpool2d_scatter"):
    """Put each window's value where its maximum was: (N, H', W', C), argmax, like x -> (N, H, W, C).

    Where windows overlap, values for one pixel add up.
    """

    inputs = ("g", "argmax", "x")
    info = og.OpInfo(multilinear=(0,))

    def infer(self, ins: og.Specs) -> og.Specs:
        g, argmax, x = ins
        self.check_pooled("cotangent", g, x)
        self.check_pooled("argmax", argmax, x)
        return (g.with_shape(x.shape),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({2})

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        g = ins[0]
        return (g.with_dtype(bool), g)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (g, argmax, _), (dx,) = ins, outs
        taps = list(self.grid(dx.shape, g.shape).taps())

        def fill(g: og.Array, argmax: og.Array, dx: og.Array, mask: og.Array, chosen: og.Array) -> None:
            is_finite = bool(np.isfinite(g, out=mask).all())
            dx[...] = 0
            for element, windows, pixels in taps:
                out = dx[pixels] if self.is_disjoint else chosen[windows]
                _choose(g[windows], argmax[windows], element, is_finite, mask[windows], out)
                if not self.is_disjoint:
                    np.add(dx[pixels], out, out=dx[pixels])

        self.over_images(fill, g, argmax, dx, *scratch)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (_, argmax, _), (h,) = ins, cotangents
        return (self.gather(h, argmax), None, None)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for case in _CASES:
            g, argmax, x = rng.normal(size=case.y), case.argmax(rng), np.zeros(case.x)
            yield og.Sample((g, argmax, x), case.attrs, id=case.id)
        g, argmax, x = rng.normal(size=(1, 3, 2, 4)), rng.integers(0, 6, (1, 3, 2, 4)), np.zeros(_OVERLAPPING.x)
        yield og.Sample((g, argmax, x), _OVERLAPPING.attrs, raises=og.ShapeError, id="channels differ")


class MaxPool2DGather(Pooling, name="vision._maxpool2d_gather"):
    """Take from each window what stands where its maximum was: (N, H, W, C), argmax -> (N, H', W', C)."""

    inputs = ("x", "argmax")
    info = og.OpInfo(multilinear=(0,))

    def infer(self, ins: og.Specs) -> og.Specs:
        x, argmax = ins
        self.check_pooled("argmax", argmax, x)
        return (x.with_shape(self.output_shape(x)),)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        y = outs[0]
        return (y.with_dtype(bool), y)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x, argmax), (y,) = ins, outs
        taps = list(self.grid(x.shape, y.shape).taps())

        def fill(y: og.Array, x: og.Array, argmax: og.Array, mask: og.Array, chosen: og.Array) -> None:
            y[...] = 0  # stays where argmax points into the padding, which the scatter leaves out
            for element, windows, pixels in taps:
                is_finite = bool(np.isfinite(x[pixels], out=mask[windows]).all())
                _choose(x[pixels], argmax[windows], element, is_finite, mask[windows], chosen[windows])
                np.add(y[windows], chosen[windows], out=y[windows])

        self.over_images(fill, y, x, argmax, *scratch)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (x, argmax), (h,) = ins, cotangents
        return (self.scatter(h, argmax, x), None)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for case in _CASES:
            yield og.Sample((rng.normal(size=case.x), case.argmax(rng)), case.attrs, id=case.id)
        x, argmax = rng.normal(size=_OVERLAPPING.x), rng.integers(0, 6, (1, 3, 2, 4))
        yield og.Sample((x, argmax), _OVERLAPPING.attrs, raises=og.ShapeError, id="channels differ")


class AvgPool2D(Pooling, name="vision.avgpool2d"):
    """Average each window, padding left out: (N, H, W, C) -> (N, H', W', C)."""

    info = og.OpInfo(multilinear=(0,))

    def infer(self, ins: og.Specs) -> og.Specs:
        (x,) = ins
        og.check_floating(self, x.dtype)
        return (x.with_shape(self.output_shape(x)),)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        (y,) = outs
        return (_counts(y), *og.widened(y))

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x,), (y,), (counts, *wide) = ins, outs, scratch
        taps = list(self.grid(x.shape, y.shape).taps())
        _count(counts, taps)

        def fill(y: og.Array, x: og.Array, total: og.Array) -> None:
            total[...] = 0
            for _, windows, pixels in taps:
                np.add(total[windows], x[pixels], out=total[windows])
            np.true_divide(total, counts, out=y, casting="same_kind")

        self.over_images(fill, y, x, wide[0] if wide else y)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        return (self.share(cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for case in _CASES:
            yield og.Sample((rng.normal(size=case.x),), case.attrs, id=case.id)
        x = rng.normal(size=(2, 5, 7, 3))
        exceeds = {"kernel_size": (6, 4), "strides": (1, 2)}
        yield og.Sample((x,), exceeds, raises=og.ShapeError, id="window exceeds image")
        yield og.Sample((x[0],), exceeds | {"padding": "SAME"}, raises=og.ShapeError, id="a single image")
        yield og.Sample((x,), exceeds | {"kernel_size": (0, 2)}, raises=og.ArgumentError, id="no window")
        yield og.Sample((x,), exceeds | {"strides": (2, -1)}, raises=og.ArgumentError, id="no stride")


class AvgPool2DGradient(Pooling, name="vision._avgpool2d_gradient"):
    """Share each window's value out among its pixels, padding left out: (N, H', W', C), like x -> (N, H, W, C)."""

    inputs = ("g", "x")
    info = og.OpInfo(multilinear=(0,))

    def infer(self, ins: og.Specs) -> og.Specs:
        g, x = ins
        og.check_floating(self, g.dtype)
        self.check_pooled("cotangent", g, x)
        return (g.with_shape(x.shape),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({1})

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        g = ins[0]
        return (_counts(g), g)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (g, _), (dx,), (counts, shares) = ins, outs, scratch
        taps = list(self.grid(dx.shape, g.shape).taps())
        _count(counts, taps)

        def fill(g: og.Array, dx: og.Array, share: og.Array) -> None:
            np.true_divide(g, counts, out=share, casting="same_kind")
            dx[...] = 0
            for _, windows, pixels in taps:
                if self.is_disjoint:
                    np.copyto(dx[pixels], share[windows])
                else:
                    np.add(dx[pixels], share[windows], out=dx[pixels])

        self.over_images(fill, g, dx, shares)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        return (self.average(cotangents[0]), None)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for case in _CASES:
            yield og.Sample((rng.normal(size=case.y), np.zeros(case.x)), case.attrs, id=case.id)
        g, x = rng.normal(size=(1, 3, 2, 4)), np.zeros(_OVERLAPPING.x)
        yield og.Sample((g, x), _OVERLAPPING.attrs, raises=og.ShapeError, id="channels differ")


@og.front_door_for(MaxPool2D)
def maxpool2d(x: og.NodeLike, kernel_size: Pair, strides: Pair | None = None, padding: Padding = "VALID") -> og.Node:
    """Take each window's maximum: (N, H, W, C) -> (N, H', W', C).

    A tie sends its gradient to the first maximum in row-major order. A window that holds NaN gives NaN,
    as ``numpy.max`` does, and sends its gradient to the first of them.

    Parameters
    ----------
    x : (N, H, W, C)
        Images, channels last. N, H and W may be unknown.
    kernel_size : int or pair of int
        Height and width of the window.
    strides : int or pair of int, optional
        By how many pixels windows follow each other, down and across; by default they meet edge to edge.
    padding : {"VALID", "SAME"}
        ``"VALID"`` takes the windows that lie inside the images: H' = floor((H - kh) / stride) + 1.
        ``"SAME"`` lets them reach beyond, so that H' = ceil(H / stride), as TensorFlow does it: evenly, the
        odd row or column at the end. What lies outside is never the maximum.

    Returns
    -------
    Node, (N, H', W', C)
        Of the dtype of `x`.

    Raises
    ------
    ShapeError
        Where `x` is not four-dimensional, or the window exceeds images that are not padded.
    ArgumentError
        For a window or strides below 1, or another padding.
    DtypeError
        For complex numbers, which have no order.
    """
    return og.apply(_pooling(MaxPool2D, kernel_size, strides, padding), og.as_node(x))


@og.front_door_for(AvgPool2D)
def avgpool2d(x: og.NodeLike, kernel_size: Pair, strides: Pair | None = None, padding: Padding = "VALID") -> og.Node:
    """Average each window: (N, H, W, C) -> (N, H', W', C).

    Only what lies inside the images counts: a window that reaches beyond has fewer pixels to average.

    Parameters
    ----------
    x : (N, H, W, C)
        Images, channels last. N, H and W may be unknown. Integers are averaged in the default float.
    kernel_size, strides, padding
        As for `maxpool2d`.

    Returns
    -------
    Node, (N, H', W', C)
        Of the dtype of `x`.

    Raises
    ------
    ShapeError
        Where `x` is not four-dimensional, or the window exceeds images that are not padded.
    ArgumentError
        For a window or strides below 1, or another padding.
    """
    (node,) = og.promote(x, floating=True, what="avgpool2d")
    return og.apply(_pooling(AvgPool2D, kernel_size, strides, padding), node)


@og.guarded
def global_maxpool2d(x: og.NodeLike, keepdims: bool = False) -> og.Node:
    """Take each channel's maximum over the image: (N, H, W, C) -> (N, C).

    Equal maxima share the gradient in equal parts, unlike those of `maxpool2d`, of which the first takes it all.
    A channel that holds NaN gives NaN, and has the gradient NaN throughout.

    Parameters
    ----------
    x : (N, H, W, C)
        Images, channels last. N, H and W may be unknown.
    keepdims : bool
        Keep height and width as 1: (N, 1, 1, C).

    Raises
    ------
    ShapeError
        Where `x` is not four-dimensional, or its images have no pixels.
    DtypeError
        For complex numbers, which have no order.
    """
    node = og.as_node(x)
    check_images("x", node.spec)
    if node.dtype.kind == "c":
        raise og.DtypeError("complex numbers have no maximum")
    if 0 in node.shape[1:3]:
        raise og.ShapeError(f"images {tuple(node.shape[1:3])} without pixels have no maximum")
    return og.reduce_max(node, axis=(1, 2), keepdims=keepdims)


@og.guarded
def global_avgpool2d(x: og.NodeLike, keepdims: bool = False) -> og.Node:
    """Average each channel over the image: (N, H, W, C) -> (N, C).

    Parameters
    ----------
    x : (N, H, W, C)
        Images, channels last. N, H and W may be unknown. Integers are averaged in the default float. An image
        without pixels gives NaN.
    keepdims : bool
        Keep height and width as 1: (N, 1, 1, C).

    Raises
    ------
    ShapeError
        Where `x` is not four-dimensional.
    """
    node = og.as_node(x)
    check_images("x", node.spec)
    return og.reduce_mean(node, axis=(1, 2), keepdims=keepdims)


_PoolingT = TypeVar("_PoolingT", bound=Pooling)


def _pooling(op_class: type[_PoolingT], kernel_size: Pair, strides: Pair | None, padding: Padding) -> _PoolingT:
    """Return an op with its attributes as users write them."""
    size = as_pair(kernel_size)
    steps = size if strides is None else as_pair(strides)
    return og.make_op(op_class, kernel_size=size, strides=steps, padding=padding)


def _counts(pooled: og.Spec) -> og.Spec:
    """Return the spec of how many pixels each window has, which broadcasts against `pooled`."""
    _, down, across, _ = pooled.shape
    return og.Spec((down, across, 1), og.wide_dtype(og.real_dtype(pooled.dtype)))


def _lowest(dtype: np.dtype[Any]) -> Any:
    """Return what no value of `dtype` is below."""
    if dtype.kind == "f":
        return -np.inf
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def _count(counts: og.Array, taps: Iterable[Tap]) -> None:
    """Put into `counts` how many pixels each window has."""
    counts[...] = 0
    for _, windows, _ in taps:
        counts[windows[1:]] += 1


def _choose(values: og.Array, argmax: og.Array, element: int, is_finite: bool, mask: og.Array, out: og.Array) -> None:
    """Fill `out` with the `values` whose `argmax` is `element`, and 0 in place of the others."""
    np.equal(argmax, element, out=mask)
    if is_finite:
        np.multiply(values, mask, out=out)  # a masked copy would take ten times as long
    else:
        out[...] = 0
        np.copyto(out, values, where=mask)


class _Case(NamedTuple):
    """A pooling for samples: its attributes, and the shapes of images and result."""

    id: str
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    padding: Padding
    x: tuple[int, ...]
    y: tuple[int, ...]

    @property
    def attrs(self) -> dict[str, Any]:
        return {"kernel_size": self.kernel_size, "strides": self.strides, "padding": self.padding}

    def images(self, rng: np.random.Generator) -> og.Array:
        """Return images whose values in a window lie so far apart that no small step changes the order."""
        count, height, width, channels = self.x
        rows, columns = np.indices((height, width)) % np.reshape(self.kernel_size, (2, 1, 1))
        levels = np.arange(math.prod(self.kernel_size)) - (math.prod(self.kernel_size) - 1) / 2
        values = rng.permuted(np.broadcast_to(levels, (count, channels, levels.size)), axis=2)
        # wherever a window lies, it holds each remainder once
        return values[:, :, rows * self.kernel_size[1] + columns].transpose(0, 2, 3, 1)

    def argmax(self, rng: np.random.Generator) -> og.Array:
        """Return any element of each window."""
        return rng.integers(0, self.kernel_size[0] * self.kernel_size[1], self.y)


_OVERLAPPING = _Case("overlapping", (3, 4), (1, 2), "VALID", (1, 5, 6, 1), (1, 3, 2, 1))
_CASES = [
    _OVERLAPPING,
    _Case("edge to edge", (2, 3), (2, 3), "VALID", (1, 8, 3, 1), (1, 4, 1, 1)),
    _Case("odd margins", (3, 2), (2, 3), "SAME", (1, 6, 4, 1), (1, 3, 2, 1)),
    _Case("mostly padding", (4, 5), (3, 2), "SAME", (1, 3, 2, 6), (1, 1, 1, 6)),
    _Case("gaps between windows", (1, 2), (2, 3), "VALID", (1, 5, 6, 1), (1, 3, 2, 1)),
    _Case("images and channels", (1, 2), (1, 1), "VALID", (2, 1, 5, 3), (2, 1, 4, 3)),
    _Case("no images", (3, 2), (1, 1), "VALID", (0, 4, 5, 6), (0, 2, 4, 6)),
    _Case("large", (3, 2), (2, 3), "SAME", (2, 17, 16, 5), (2, 9, 6, 5)),
]
