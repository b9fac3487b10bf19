"""Images made larger."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

import opgraph as og
from opgraph_vision.ops.pool import AvgPool2D
from opgraph_vision.ops.window import Pair, as_pair, check_images


class ResizeNearest2D(og.Op, name="vision.resize_nearest2d"):
    """Repeat each pixel `factor` times, down and across: (N, H, W, C) -> (N, H fh, W fw, C)."""

    factor: tuple[int, int]
    info = og.OpInfo(
        reference=lambda x, factor: x.repeat(factor[0], axis=1).repeat(factor[1], axis=2), multilinear=(0,)
    )

    def infer(self, ins: og.Specs) -> og.Specs:
        (x,) = ins
        check_images("x", x)
        if min(self.factor) < 1:
            raise og.ArgumentError(f"factor {self.factor}: both must be at least 1")
        count, *pixels, channels = x.shape
        height, width = (None if n is None else n * f for n, f in zip(pixels, self.factor, strict=True))
        return (x.with_shape((count, height, width, channels)),)

    def compute(self, ins: og.Arrays, outs: og.Arrays) -> None:
        (x,), (y,) = ins, outs
        count, height, width, channels = x.shape
        down, across = self.factor
        y.reshape(count, height, down, width, across, channels)[...] = x[:, :, np.newaxis, :, np.newaxis]

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        down, across = self.factor
        # nothing is padded, but with "VALID" no window would fit into images without pixels
        averages = og.apply(AvgPool2D(self.factor, self.factor, padding="SAME"), cotangents[0])
        return (averages * (down * across),)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        yield og.Sample((rng.normal(size=(1, 2, 3, 4)),), {"factor": (3, 2)}, id="images")
        yield og.Sample((rng.normal(size=(3, 1, 4, 1)),), {"factor": (1, 5)}, id="across alone")
        yield og.Sample((rng.normal(size=(2, 0, 3, 4)),), {"factor": (2, 3)}, id="no rows")
        yield og.Sample((rng.normal(size=(2, 3, 4)),), {"factor": (2, 3)}, raises=og.ShapeError, id="a single image")
        yield og.Sample((rng.normal(size=(1, 2, 3, 4)),), {"factor": (0, 3)}, raises=og.ArgumentError, id="to nothing")


@og.front_door_for(ResizeNearest2D)
def resize_nearest2d(x: og.NodeLike, factor: Pair) -> og.Node:
    """Enlarge images by repeating their pixels: (N, H, W, C) -> (N, H fh, W fw, C).

    Parameters
    ----------
    x : (N, H, W, C)
        Images, channels last. N, H and W may be unknown.
    factor : int or pair of int
        How often each pixel is repeated, down and across.

    Raises
    ------
    ShapeError
        Where `x` is not four-dimensional.
    ArgumentError
        For a factor below 1.
    """
    return og.apply(og.make_op(ResizeNearest2D, factor=as_pair(factor)), og.as_node(x))
