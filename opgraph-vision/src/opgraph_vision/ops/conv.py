"""Convolution in two dimensions, and its two gradients."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

import opgraph as og
from opgraph_vision.ops.columns import as_matrix, block_space, blocks, fold, padded_space, unfold
from opgraph_vision.ops.window import Grid, Padding, Pair, Size, as_pair, check_images, count_windows


class Convolution(og.Op):
    """What the convolution and its gradients share: they are the derivatives of one sum.

    Over the images n, the windows (i, j), their elements (p, q) and the channels c and o, it is ::

        sum of x[n, i sh + p - top, j sw + q - left, c] kernel[p, q, c, o] g[n, i, j, o]

    Derived by g it is the convolution of x with the kernel; by x, or by the kernel, it is the gradient of
    that convolution, whose cotangent is g. It is linear in each of the three, so that the gradients of
    each op are the other two ops.
    """

    strides: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"

    def output_shape(self, x: og.Spec, kernel: og.Spec) -> og.Shape:
        """Return the shape of the convolution of `x` with `kernel`; raise where they do not fit."""
        check_images("x", x)
        if kernel.ndims != 4:
            raise og.ShapeError(f"kernel has shape {kernel.shape}; kernels are (height, width, in, out)")
        channels, taken = x.shape[3], kernel.shape[2]
        if channels is not None and taken is not None and channels != taken:
            raise og.ShapeError(f"x has {channels} channels, the kernel takes {taken}")
        counts = count_windows(x.shape[1:3], kernel.shape[:2], self.strides, self.padding, what="kernel")
        return og.Shape(x.shape[0], *counts, kernel.shape[3])

    def check_cotangent(self, g: og.Spec, x: og.Spec, kernel: og.Spec) -> None:
        """Raise where `g` does not have the shape of the convolution of `x` with `kernel`."""
        expected = self.output_shape(x, kernel)
        if not g.shape.compatible_with(expected):
            raise og.ShapeError(f"cotangent {g.shape} does not fit the convolution's shape {expected}")

    def grid(self, x: Sequence[Size], kernel: Sequence[Size], y: Sequence[Size]) -> Grid:
        """Return the windows on images `x` for the convolution `y`; all three are shapes, known in full."""
        return Grid.of(x, y, kernel[:2], self.strides)

    def convolve(self, x: og.Node, kernel: og.Node) -> og.Node:
        """Return the sum derived by the cotangent."""
        return og.apply(Conv2D(self.strides, self.padding), x, kernel)

    def by_input(self, g: og.Node, kernel: og.Node, x: og.Node) -> og.Node:
        """Return the sum derived by the images, of the shape of `x`."""
        return og.apply(Conv2DInputGradient(self.strides, self.padding), g, kernel, x)

    def by_kernel(self, x: og.Node, g: og.Node, kernel: og.Node) -> og.Node:
        """Return the sum derived by the kernel, of the shape of `kernel`."""
        return og.apply(Conv2DKernelGradient(self.strides, self.padding), x, g, kernel)


class Conv2D(Convolution, name="vision.conv2d"):
    """Convolve images with a kernel: (N, H, W, C), (kh, kw, C, O) -> (N, H', W', O)."""

    inputs = ("x", "kernel")
    info = og.OpInfo(multilinear=(0, 1))

    def infer(self, ins: og.Specs) -> og.Specs:
        x, kernel = ins
        return (x.with_shape(self.output_shape(x, kernel)),)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        x, kernel = ins
        grid = self.grid(x.shape, kernel.shape, outs[0].shape)
        return (block_space(x, grid), padded_space(x, grid))

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x, kernel), (y,) = ins, outs
        grid = self.grid(x.shape, kernel.shape, y.shape)
        for block, columns in unfold(x, grid, *scratch):
            np.matmul(columns, as_matrix(kernel), out=block.of(y))

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (x, kernel), (g,) = ins, cotangents
        return (self.by_input(g, kernel, x), self.by_kernel(x, g, kernel))

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
        yield og.Sample((x, kernel), {"padding": "FULL"}, raises=og.ArgumentError, id="unknown padding")


class Conv2DInputGradient(Convolution, name="vision._conv2d_input_gradient"):
    """Return the cotangent of the images: (N, H', W', O), (kh, kw, C, O), like x -> (N, H, W, C).

    Each window's pixels receive the kernel times the window's cotangent, and windows overlap.
    """

    inputs = ("g", "kernel", "x")
    info = og.OpInfo(multilinear=(0, 1))

    def infer(self, ins: og.Specs) -> og.Specs:
        g, kernel, x = ins
        self.check_cotangent(g, x, kernel)
        return (g.with_shape(x.shape),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({2})

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        (g, kernel, _), (dx,) = ins, outs
        return (block_space(dx, self.grid(dx.shape, kernel.shape, g.shape)),)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (g, kernel, _), (dx,), (space,) = ins, outs, scratch
        grid = self.grid(dx.shape, kernel.shape, g.shape)
        if grid.is_pointwise:
            np.matmul(as_matrix(g), as_matrix(kernel).T, out=as_matrix(dx))
            return
        dx[...] = 0
        for block, part in blocks(space, len(dx), grid):
            np.matmul(block.of(g), as_matrix(kernel).T, out=as_matrix(part, columns=2))
            fold(part, grid, block.rows, dx[block.images])

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (g, kernel, _), (h,) = ins, cotangents
        return (self.convolve(h, kernel), self.by_kernel(h, g, kernel), None)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for case in _CASES:
            g, kernel, x = rng.normal(size=case.y), rng.normal(size=case.kernel), np.zeros(case.x)
            yield og.Sample((g, kernel, x), case.attrs, id=case.id)
        g, kernel, x = rng.normal(size=(2, 7, 5, 6)), rng.normal(size=(4, 1, 3, 6)), np.zeros((2, 5, 7, 3))
        yield og.Sample((g, kernel, x), raises=og.ShapeError, id="cotangent differs")


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
        return (dkernel, block_space(x, grid), padded_space(x, grid))

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x, g, _), (dkernel,), (product, *space) = ins, outs, scratch
        grid = self.grid(x.shape, dkernel.shape, g.shape)
        dkernel[...] = 0
        for block, columns in unfold(x, grid, *space):
            np.matmul(columns.T, block.of(g), out=as_matrix(product))
            dkernel += product

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (x, g, _), (h,) = ins, cotangents
        return (self.by_input(g, h, x), self.convolve(x, h), None)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        for case in _CASES:
            x, g, kernel = rng.normal(size=case.x), rng.normal(size=case.y), np.zeros(case.kernel)
            yield og.Sample((x, g, kernel), case.attrs, id=case.id)
        x, g, kernel = rng.normal(size=(2, 5, 7, 3)), rng.normal(size=(2, 7, 5, 6)), np.zeros((4, 1, 3, 6))
        yield og.Sample((x, g, kernel), raises=og.ShapeError, id="cotangent differs")


@og.front_door_for(Conv2D)
def conv2d(x: og.NodeLike, kernel: og.NodeLike, strides: Pair = 1, padding: Padding = "SAME") -> og.Node:
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
    padding : {"SAME", "VALID"}
        ``"SAME"`` surrounds the images with zeros so that H' = ceil(H / stride), as TensorFlow does it:
        evenly, and with the odd row or column at the end. ``"VALID"`` takes the windows that lie inside:
        H' = floor((H - kh) / stride) + 1.

    Returns
    -------
    Node, (N, H', W', O)
        Of the operands' common dtype.

    Raises
    ------
    ShapeError
        Where the operands are not four-dimensional, their channels differ, or a kernel exceeds images
        that are not padded.
    ArgumentError
        For strides below 1, or another padding.

    Notes
    -----
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, draws every case.
    """
    op = og.make_op(Conv2D, strides=as_pair(strides), padding=padding)
    return og.apply(op, *og.promote(x, kernel, what="conv2d"))


class _Case(NamedTuple):
    """A convolution for samples: its attributes, and the shapes of images, kernel and result."""

    id: str
    attrs: dict[str, Any]
    x: tuple[int, ...]
    kernel: tuple[int, ...]
    y: tuple[int, ...]


_VALID = {"padding": "VALID"}
_CASES = [
    _Case("same", {}, (2, 5, 7, 3), (4, 1, 3, 6), (2, 5, 7, 6)),
    _Case("valid", _VALID, (1, 8, 10, 2), (3, 4, 2, 5), (1, 6, 7, 5)),
    _Case("odd margins", {"strides": (2, 3)}, (2, 11, 8, 1), (4, 5, 1, 7), (2, 6, 3, 7)),
    _Case("strides, valid", {"strides": (3, 2)} | _VALID, (1, 8, 13, 1), (2, 4, 1, 7), (1, 3, 5, 7)),
    _Case("gaps between windows", {"strides": (3, 4)}, (5, 7, 13, 1), (2, 1, 1, 6), (5, 3, 4, 6)),
    _Case("pointwise", {}, (2, 4, 5, 3), (1, 1, 3, 6), (2, 4, 5, 6)),
    _Case("no images", {}, (0, 4, 5, 3), (2, 1, 3, 6), (0, 4, 5, 6)),
]
