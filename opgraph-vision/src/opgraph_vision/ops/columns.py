"""Windows as the rows of a matrix, so that a convolution is one product of matrices ("im2col").

K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks for document
processing", 2006. The matrix repeats each pixel for every window that holds it, so it is made, and used
up, a block at a time.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import opgraph as og
from opgraph_vision.ops.window import Grid

BLOCK_BYTES = 1 << 22  # small enough to be still in the cache when it is multiplied


class Block(NamedTuple):
    """Some of the windows: all those of a few images, or a few rows of those of one image."""

    images: slice
    rows: slice

    def of(self, array: og.Array) -> og.Array:
        """Return the block's part of an array (N, down, across, C), as a matrix (windows, C)."""
        return as_matrix(array[self.images, self.rows])


def as_matrix(array: og.Array, columns: int = 1) -> og.Array:
    """Return `array` with its last axes, so many as `columns` says, as one, and those before as another."""
    split = array.ndim - columns
    return array.reshape(math.prod(array.shape[:split]), math.prod(array.shape[split:]))


def block_space(images: og.Spec, grid: Grid) -> og.Spec:
    """Return the work space for a block on `images`: (images, rows, across, height * width, C)."""
    count, _, _, channels = og.known_shape(images.shape)
    down, across = grid.vertical.windows, grid.horizontal.windows
    row = (across, grid.vertical.size * grid.horizontal.size, channels)
    rows = max(BLOCK_BYTES // max(math.prod(row) * images.dtype.itemsize, 1), 1)
    return images.with_shape((min(count, max(rows // max(down, 1), 1)), min(down, rows), *row))


def padded_space(images: og.Spec, grid: Grid) -> og.Spec:
    """Return the work space for a block's images with their margins, empty where they have none."""
    _, height, width, channels = og.known_shape(images.shape)
    vertical, horizontal = sum(grid.vertical.margins), sum(grid.horizontal.margins)
    count = block_space(images, grid).shape[0] if vertical or horizontal else 0
    return images.with_shape((count, height + vertical, width + horizontal, channels))


def blocks(space: og.Array, count: int, grid: Grid) -> Iterator[tuple[Block, og.Array]]:
    """Yield the windows of `count` images in blocks, each with as much of the work `space` as it takes."""
    if 0 in (count, grid.vertical.windows, grid.horizontal.windows):
        return
    for image in range(0, count, space.shape[0]):
        images = slice(image, min(image + space.shape[0], count))
        for row in range(0, grid.vertical.windows, space.shape[1]):
            rows = slice(row, min(row + space.shape[1], grid.vertical.windows))
            yield Block(images, rows), space[: images.stop - images.start, : rows.stop - rows.start]


def unfold(x: og.Array, grid: Grid, space: og.Array, padded: og.Array) -> Iterator[tuple[Block, og.Array]]:
    """Yield each block of windows on the images `x`, (N, H, W, C), with their pixels as rows of a matrix.

    The matrix, (windows, height * width * C), is overwritten by the next one.
    """
    if grid.is_pointwise and x.flags.c_contiguous:
        yield Block(slice(None), grid.rows), as_matrix(x)
        return
    padded[...] = 0
    top, left = grid.vertical.margins[0], grid.horizontal.margins[0]
    for block, part in blocks(space, len(x), grid):
        images = x[block.images]
        if len(padded):
            count, height, width, _ = images.shape
            if block.rows.start == 0:
                padded[:count, top : top + height, left : left + width] = images
            images = padded[:count]
        windows = _windows(images, grid)[:, block.rows]
        np.copyto(part.reshape(windows.shape), windows)
        yield block, as_matrix(part, columns=2)


def fold(part: og.Array, grid: Grid, rows: slice, images: og.Array) -> None:
    """Add pixels laid out as in the work space, those of some `rows` of windows, to the `images` they are of."""
    for tap in grid.taps(rows):
        images[tap.pixels] += part[tap.windows][..., tap.element, :]


def _windows(images: og.Array, grid: Grid) -> og.Array:
    """Return the windows on `images`, which have margins, as a view (N, down, across, height, width, C)."""
    vertical, horizontal = grid
    views = sliding_window_view(images, (vertical.reach, horizontal.reach), axis=(1, 2))
    views = views[:, :: vertical.stride, :: horizontal.stride, :, :: vertical.dilation, :: horizontal.dilation]
    return views.transpose(0, 1, 2, 4, 5, 3)
