"""Convolution in two dimensions, its two gradients, and its transpose."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, SupportsIndex, TypeVar

import numpy as np

import opgraph as og
from opgraph_vision.ops.columns import Partition, Unfolding, as_matrix, fold
from opgraph_vision.ops.sharing import MOST_PARTS, run_parts
from opgraph_vision.ops.window import (
    Grid,
    Margins,
    Padding,
    PaddingLike,
    Pair,
    Size,
    as_padding,
    as_pair,
    check_images,
    count_windows,
    possible_pixels,
)

SUM_BYTES = 1 << 24  # what sums over parts of the images may take
FEW_CHANNELS = 8  # so many columns make no matrix that is multiplied at full speed


class Convolution(og.Op):
    """What the convolution and its gradients share: they are the derivatives of one sum.

    Over the images n, the windows (i, j), their elements (p, q) and the channels c and o, it is ::

        sum of x[n, i sh + p dh - top, j sw + q dw - left, c] kernel[p, q, c, o] g[n, i, j, o]

    Derived by g it is the convolution of x with the kernel; by x, or by the kernel, it is the gradient of
    that convolution, whose cotangent is g. It is linear in each of the three, so that the gradients of
    each op are the other two ops.
    """

    strides: tuple[int, int] = (1, 1)
    padding: Padding | Margins = "SAME"
    dilations: tuple[int, int] = (1, 1)

    def convolved_shape(self, x: og.Spec, kernel: og.Spec) -> og.Shape:
        """Return the shape of the convolution of `x` with `kernel`; raise where they do not fit."""
        check_images("x", x)
        check_kernel(kernel)
        channels, taken = x.shape[3], kernel.shape[2]
        if channels is not None and taken is not None and channels != taken:
            raise og.ShapeError(f"x (N, height, width, channels) has {channels} channels, the kernel takes {taken}")
        counts = count_windows(
            x.shape[1:3], kernel.shape[:2], self.strides, self.padding, self.dilations, what="kernel"
        )
        return og.Shape(x.shape[0], *counts, kernel.shape[3])

    def check_cotangent(self, g: og.Spec, x: og.Spec, kernel: og.Spec) -> None:
        """Raise where `g` does not have the shape of the convolution of `x` with `kernel`."""
        expected = self.convolved_shape(x, kernel)
        if not g.shape.compatible_with(expected):
            raise og.ShapeError(f"cotangent {g.shape} does not fit the convolution's shape {expected}")

    def grid(self, x: Sequence[Size], kernel: Sequence[Size], y: Sequence[Size]) -> Grid:
        """Return the windows on images `x` for the convolution `y`; all three are shapes, known in full."""
        return Grid.of(x, y, kernel[:2], self.strides, self.padding, self.dilations)

    def convolve(self, x: og.Node, kernel: og.Node) -> og.Node:
        """Return the sum derived by the cotangent."""
        return og.apply(Conv2D(self.strides, self.padding, self.dilations), x, kernel)

    def by_input(self, g: og.Node, kernel: og.Node, x: og.Node) -> og.Node:
        """Return the sum derived by the images, of the shape of `x`."""
        return og.apply(Conv2DInputGradient(self.strides, self.padding, self.dilations), g, kernel, x)

    def by_kernel(self, x: og.Node, g: og.Node, kernel: og.Node) -> og.Node:
        """Return the sum derived by the kernel, of the shape of `kernel`."""
        return og.apply(Conv2DKernelGradient(self.strides, self.padding, self.dilations), x, g, kernel)


class Conv2D(Convolution, name="vision.conv2d"):
    """Convolve images with a kernel: (N, H, W, C), (kh, kw, C, O) -> (N, H', W', O)."""

    inputs = ("x", "kernel")
    info = og.OpInfo(multilinear=(0, 1))

    def infer(self, ins: og.Specs) -> og.Specs:
        x, kernel = ins
        return (x.with_shape(self.convolved_shape(x, kernel)),)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        x, kernel = ins
        grid = self.grid(x.shape, kernel.shape, outs[0].shape)
        partition = Partition.of(x, grid, kernel.shape[3] or 0)
        return (partition.space(x), partition.padded_space(x, grid))

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x, kernel), (y,) = ins, outs
        grid = self.grid(x.shape, kernel.shape, y.shape)
        partition = Partition.of(x, grid, kernel.shape[3])
        unfolding = Unfolding(x, grid, partition, *scratch)
        matrix = as_matrix(kernel)

        def convolve(i: int) -> None:
            for block, columns in unfolding.matrices(i):
                np.matmul(columns, matrix, block.of(y))

        run_parts(convolve, partition.parts)

    def flops(self, ins: og.Specs, outs: og.Specs) -> int:
        return product_flops(outs[0], ins[1])

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (x, kernel), (g,) = ins, cotangents
        return (self.by_input(g, og.conj(kernel), x), self.by_kernel(og.conj(x), g, kernel))

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for case in _CASES:
            yield og.Sample((rng.normal(size=case.x), rng.normal(size=case.kernel)), case.attrs, id=case.id)
        x, kernel = rng.normal(size=(2, 5, 7, 3)), rng.normal(size=(6, 4, 3, 1))
        yield og.Sample((x, kernel), _VALID, raises=og.ShapeError, id="kernel exceeds image")
        yield og.Sample((x[..., :2], kernel), raises=og.ShapeError, id="channels differ")
        yield og.Sample((x[0], kernel), raises=og.ShapeError, id="a single image")
        yield og.Sample((x, kernel[0]), raises=og.ShapeError, id="kernel of three dimensions")
        yield og.Sample((x, kernel[:0]), raises=og.ShapeError, id="kernel of no height")
        yield og.Sample((x, kernel), {"strides": (0, 1)}, raises=og.ArgumentError, id="no stride")
        yield og.Sample((x, kernel), {"dilations": (1, 0)}, raises=og.ArgumentError, id="no dilation")
        yield og.Sample((x, kernel), {"padding": ((0, 1), (-1, 0))}, raises=og.ArgumentError, id="negative margin")
        yield og.Sample((x, kernel), {"padding": "FULL"}, raises=og.ArgumentError, id="unknown padding")


class Spread(Convolution):
    """What gives each window's pixels the kernel times what stands for the window, and windows overlap."""

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        (g, kernel, *_), (dx,) = ins, outs
        return (Partition.of(dx, self.grid(dx.shape, kernel.shape, g.shape), kernel.shape[3] or 0).space(dx),)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (g, kernel, *_), (dx,), (space,) = ins, outs, scratch
        grid = self.grid(dx.shape, kernel.shape, g.shape)
        partition = Partition.of(dx, grid, kernel.shape[3])
        taps = list(grid.taps())

        def spread(i: int) -> None:
            images = partition.part(i)
            if grid.is_pointwise:
                np.matmul(as_matrix(g[images]), as_matrix(kernel).T, as_matrix(dx[images]))
                return
            dx[images] = 0
            for block in partition.blocks(i, grid):
                windows = g[block.images, block.rows]
                pixels = _pixels(as_matrix(windows), kernel, space[i])
                pixels = pixels.reshape(len(pixels), *windows.shape[:3], dx.shape[3])
                fold(pixels, taps if block.rows == grid.rows else grid.taps(block.rows), dx[block.images])

        run_parts(spread, partition.parts)

    def flops(self, ins: og.Specs, outs: og.Specs) -> int:
        return product_flops(ins[0], ins[1])


class Conv2DInputGradient(Spread, name="vision._conv2d_input_gradient"):
    """Return the cotangent of the images: (N, H', W', O), (kh, kw, C, O), like x -> (N, H, W, C)."""

    inputs = ("g", "kernel", "x")
    info = og.OpInfo(multilinear=(0, 1))

    def infer(self, ins: og.Specs) -> og.Specs:
        g, kernel, x = ins
        self.check_cotangent(g, x, kernel)
        return (g.with_shape(x.shape),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({2})

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (g, kernel, _), (h,) = ins, cotangents
        return (self.convolve(h, og.conj(kernel)), self.by_kernel(h, og.conj(g), kernel), None)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for case in _CASES:
            g, kernel, x = rng.normal(size=case.y), rng.normal(size=case.kernel), np.zeros(case.x)
            yield og.Sample((g, kernel, x), case.attrs, id=case.id)
        g, kernel, x = rng.normal(size=(2, 7, 5, 6)), rng.normal(size=(4, 1, 3, 6)), np.zeros((2, 5, 7, 3))
        yield og.Sample((g, kernel, x), raises=og.ShapeError, id="cotangent differs")


class Conv2DTranspose(Spread, name="vision.conv2d_transpose"):
    """Undo the shape of a convolution: (N, H', W', O), (kh, kw, C, O) -> (N, H, W, C)."""

    inputs = ("x", "kernel")
    info = og.OpInfo(multilinear=(0, 1))
    output_shape: tuple[int, int] | None = None

    def infer(self, ins: og.Specs) -> og.Specs:
        x, kernel = ins
        check_images("x", x)
        check_kernel(kernel)
        channels, given = x.shape[3], kernel.shape[3]
        if channels is not None and given is not None and channels != given:
            raise og.ShapeError(
                f"x has {channels} channels, the kernel {kernel.shape} takes {given}; its axes are "
                "(height, width, channels of the result, channels of x)"
            )
        steps = (self.strides, self.padding, self.dilations)
        heights, widths = possible_pixels(x.shape[1:3], kernel.shape[:2], *steps, what="kernel")
        height, width = self.output_shape or (None, None)
        pixels = (self.chosen("height", heights, height), self.chosen("width", widths, width))
        return (x.with_shape((x.shape[0], *pixels, kernel.shape[2])),)

    def chosen(self, what: str, possible: range | None, wanted: Size) -> Size:
        """Return the size that is wanted, or the default one of those possible."""
        if possible is None:
            return wanted
        if not possible:
            raise og.ShapeError(f"padding {self.padding} leaves no {what} at all")
        if wanted is None:
            return possible[-1] if self.padding == "SAME" else possible[0]
        if wanted not in possible:
            raise og.ShapeError(
                f"output_shape {self.output_shape}: images of {what} {possible[0]} to {possible[-1]} are "
                "convolved to that of x"
            )
        return wanted

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (x, kernel), (h,) = ins, cotangents
        return (self.convolve(h, og.conj(kernel)), self.by_kernel(h, og.conj(x), kernel))

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for case in _CASES:
            attrs = case.attrs | {"output_shape": case.x[1:3]}
            yield og.Sample((rng.normal(size=case.y), rng.normal(size=case.kernel)), attrs, id=case.id)
        x, kernel = rng.normal(size=(1, 3, 4, 2)), rng.normal(size=(5, 6, 1, 2))
        yield og.Sample((x, kernel), {"strides": (2, 3)}, id="default shape")
        yield og.Sample((x, kernel), {"strides": (2, 3)} | _VALID, id="default shape, valid")
        yield og.Sample((x, kernel), {"output_shape": (4, 4)}, raises=og.ShapeError, id="convolved otherwise")
        yield og.Sample((x, kernel), {"padding": ((4, 4), (0, 0))}, raises=og.ShapeError, id="padding exceeds image")
        yield og.Sample((x[..., :1], kernel), raises=og.ShapeError, id="channels differ")
        yield og.Sample((x[:, :0], kernel), _VALID, raises=og.ShapeError, id="no rows")


class Conv2DKernelGradient(Convolution, name="vision._conv2d_kernel_gradient"):
    """Return the cotangent of the kernel: (N, H, W, C), (N, H', W', O), like kernel -> (kh, kw, C, O)."""

    inputs = ("x", "g", "kernel")
    info = og.OpInfo(multilinear=(0, 1))

    def infer(self, ins: og.Specs) -> og.Specs:
        x, g, kernel = ins
        self.check_cotangent(g, x, kernel)
        return (g.with_shape(kernel.shape),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({2})

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        (x, g, _), (dkernel,) = ins, outs
        grid = self.grid(x.shape, dkernel.shape, g.shape)
        partition = self.partition(x, grid, dkernel)
        sums = dkernel.with_shape((partition.parts, *dkernel.shape))
        return (sums, sums, partition.space(x), partition.padded_space(x, grid))

    def partition(self, x: og.Spec | og.Array, grid: Grid, dkernel: og.Spec | og.Array) -> Partition:
        """Return how the images are shared out; large kernels, of which each part has its own sum, make few parts."""
        most = SUM_BYTES // max(dkernel.nbytes or 0, 1)
        return Partition.of(x, grid, dkernel.shape[3] or 0, max(min(most, MOST_PARTS), 1))

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x, g, _), (dkernel,), (sums, products, *space) = ins, outs, scratch
        grid = self.grid(x.shape, dkernel.shape, g.shape)
        partition = self.partition(x, grid, dkernel)
        unfolding = Unfolding(x, grid, partition, *space)

        def sum_up(i: int) -> None:
            total, product = as_matrix(sums[i]), as_matrix(products[i])
            total.fill(0)
            for block, columns in unfolding.matrices(i):
                np.matmul(columns.T, block.of(g), product)
                np.add(total, product, total)

        run_parts(sum_up, partition.parts)
        np.add.reduce(sums, axis=0, out=dkernel)

    def flops(self, ins: og.Specs, outs: og.Specs) -> int:
        return product_flops(ins[1], outs[0])

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (x, g, _), (h,) = ins, cotangents
        return (self.by_input(og.conj(g), h, x), self.convolve(og.conj(x), h), None)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for case in _CASES:
            x, g, kernel = rng.normal(size=case.x), rng.normal(size=case.y), np.zeros(case.kernel)
            yield og.Sample((x, g, kernel), case.attrs, id=case.id)
        x, g, kernel = rng.normal(size=(2, 5, 7, 3)), rng.normal(size=(2, 7, 5, 6)), np.zeros((4, 1, 3, 6))
        yield og.Sample((x, g, kernel), raises=og.ShapeError, id="cotangent differs")


@og.front_door_for(Conv2D)
def conv2d(
    x: og.NodeLike, kernel: og.NodeLike, strides: Pair = 1, padding: PaddingLike = "SAME", dilations: Pair = 1
) -> og.Node:
    """Convolve images with a kernel: (N, H, W, C), (kh, kw, C, O) -> (N, H', W', O).

    As everywhere in deep learning it is a correlation: the kernel is not turned around.

    Parameters
    ----------
    x : (N, H, W, C)
        Images, channels last. N, H and W may be unknown.
    kernel : (kh, kw, C, O)
        Height, width, channels that it takes, channels that it gives.
    strides : int or pair of int
        By how many pixels windows follow each other, down and across.
    padding : {"SAME", "VALID"}, int, pair of int, or ((top, bottom), (left, right))
        ``"SAME"`` surrounds the images with zeros so that H' = ceil(H / stride), as TensorFlow does it:
        evenly, and with the odd row or column at the end. ``"VALID"`` takes the windows that lie inside:
        H' = floor((H - kh) / stride) + 1. Numbers say how many zeros are added on each side: one for all
        four, one for top and bottom with one for left and right, or all of them.
    dilations : int or pair of int
        How many pixels the elements of a window are apart, down and across; the kernel then works as one of
        height (kh - 1) dilation + 1, with zeros between.

    Returns
    -------
    Node, (N, H', W', O)
        Of the operands' common dtype.

    Raises
    ------
    ShapeError
        Where the operands are not four-dimensional, their channels differ, or a kernel exceeds images
        and their margins.
    ArgumentError
        For strides or dilations below 1, negative margins, or another padding.

    Notes
    -----
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, draws every case.
    """
    op = _make(Conv2D, strides=strides, padding=padding, dilations=dilations)
    return og.apply(op, *og.promote(x, kernel, what="conv2d"))


@og.front_door_for(Conv2DTranspose)
def conv2d_transpose(
    x: og.NodeLike,
    kernel: og.NodeLike,
    strides: Pair = 1,
    padding: PaddingLike = "SAME",
    output_shape: Sequence[SupportsIndex] | None = None,
    dilations: Pair = 1,
) -> og.Node:
    """Spread pixels over windows, as the adjoint of `conv2d`: (N, H, W, O), (kh, kw, C, O) -> (N, H', W', C).

    It is the gradient of a convolution by its images, so that <conv2d(y, kernel), x> = <y, conv2d_transpose(x,
    kernel)> with equal options; also called deconvolution, which it does not invert.

    Parameters
    ----------
    x : (N, H, W, O)
        Images, channels last. N, H and W may be unknown.
    kernel : (kh, kw, C, O)
        That of the convolution: height, width, channels of the result, channels of `x`.
    strides, padding, dilations
        Those of the convolution; see `conv2d`.
    output_shape : pair of int, optional
        H' and W'. Where strides are above 1, images of several sizes are convolved to the size of `x`. By default
        it is H' = H stride for ``"SAME"``, and (H - 1) stride + kh, less what is padded, for any other
        padding, kh being (kh - 1) dilation + 1 for a dilated kernel.

    Returns
    -------
    Node, (N, H', W', C)
        Of the operands' common dtype.

    Raises
    ------
    ShapeError
        Where the operands are not four-dimensional, the channels differ, or images of `output_shape` would not
        be convolved to the size of `x`.
    ArgumentError
        For strides or dilations below 1, negative margins, or another padding.

    Notes
    -----
    The default sizes are those of Keras, where a kernel is no smaller than its stride, and of PyTorch without
    ``output_padding``; Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.
    """
    op = _make(Conv2DTranspose, strides=strides, padding=padding, dilations=dilations, output_shape=output_shape)
    return og.apply(op, *og.promote(x, kernel, what="conv2d_transpose"))


def check_kernel(spec: og.Spec) -> None:
    """Raise where `spec` is not that of a kernel."""
    if spec.ndims != 4:
        raise og.ShapeError(f"kernel has shape {spec.shape}; kernels are (height, width, in, out)")


def _pixels(windows: og.Array, kernel: og.Array, space: og.Array) -> og.Array:
    """Return the kernel times each of `windows`, (windows, O), in `space`: (height * width, windows, C)."""
    count, channels, n = math.prod(kernel.shape[:2]), kernel.shape[2], len(windows)
    part = space[: count * n * channels]
    if channels < FEW_CHANNELS:
        np.matmul(windows, as_matrix(kernel).T, part.reshape(n, count * channels))
        return part.reshape(n, count, channels).swapaxes(0, 1)
    # pixels of neighbouring windows lie side by side, as in the images, to which they are added in long runs then
    part = part.reshape(count, n, channels)
    np.matmul(windows, kernel.reshape(count, channels, kernel.shape[3]).swapaxes(1, 2), part)
    return part


_ConvolutionT = TypeVar("_ConvolutionT", bound=Convolution)


def product_flops(windows: og.Spec, kernel: og.Spec) -> int:
    """Return how many multiplications and additions the sum takes: two for each window and element of the kernel."""
    return 2 * (windows.shape.size or 0) * (kernel.shape[:3].size or 0)


def _make(
    op_class: type[_ConvolutionT], *, strides: Pair, padding: PaddingLike, dilations: Pair, **attributes: Any
) -> _ConvolutionT:
    """Return an op with its attributes as users write them."""
    steps = {"strides": as_pair(strides), "dilations": as_pair(dilations)}
    return og.make_op(op_class, padding=as_padding(padding), **steps, **attributes)


class _Case(NamedTuple):
    """A convolution for samples: its attributes, and the shapes of images, kernel and result."""

    id: str
    attrs: dict[str, Any]
    x: tuple[int, ...]
    kernel: tuple[int, ...]
    y: tuple[int, ...]


_VALID = {"padding": "VALID"}
_CASES = [
    _Case("same", {}, (1, 1, 4, 3), (1, 2, 3, 5), (1, 1, 4, 5)),
    _Case("valid", _VALID, (1, 5, 4, 1), (2, 3, 1, 1), (1, 4, 2, 1)),
    _Case("odd margins", {"strides": (2, 3)}, (1, 5, 10, 1), (6, 2, 1, 1), (1, 3, 4, 1)),
    _Case("strides, valid", {"strides": (3, 2)} | _VALID, (1, 4, 6, 1), (2, 3, 1, 5), (1, 1, 2, 5)),
    _Case("gaps between windows", {"strides": (3, 2)}, (1, 7, 8, 1), (2, 1, 1, 5), (1, 3, 4, 5)),
    _Case("pointwise", {}, (2, 3, 1, 4), (1, 1, 4, 5), (2, 3, 1, 5)),
    _Case("margins", {"padding": ((2, 0), (1, 3)), "strides": (2, 1)}, (1, 3, 2, 1), (4, 5, 1, 1), (1, 1, 2, 1)),
    _Case("margins, pointwise", {"padding": ((1, 0), (0, 2))}, (1, 2, 3, 1), (1, 1, 1, 4), (1, 3, 5, 4)),
    _Case("dilated", {"dilations": (2, 3)} | _VALID, (1, 5, 8, 1), (2, 3, 1, 1), (1, 3, 2, 1)),
    _Case("dilated, same", {"dilations": (2, 3), "strides": (3, 2)}, (1, 10, 6, 1), (5, 2, 1, 1), (1, 4, 3, 1)),
    _Case("no images", {}, (0, 4, 5, 3), (2, 1, 3, 6), (0, 4, 5, 6)),
    _Case("large", {"strides": (2, 3)}, (2, 17, 16, 5), (3, 4, 5, 7), (2, 9, 6, 7)),
]
