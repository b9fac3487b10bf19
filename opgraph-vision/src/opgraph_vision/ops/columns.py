"""Windows as the rows of a matrix, so that a convolution is one product of matrices ("im2col").

K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks for document
processing", 2006. The matrix repeats each pixel for every window that holds it, so it is made, and used
up, a block at a time. The images are shared out to threads.
"""

import functools
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import opgraph as og
from opgraph_vision.ops.sharing import MOST_PARTS, part_of, parts_of
from opgraph_vision.ops.window import Grid, Tap

BLOCK_BYTES = 1 << 21  # small enough to be still in the cache when it is multiplied
LEAST_WORK = 1 << 23  # multiplications, which take about 200 µs; less is not worth the change of threads


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


class Partition(NamedTuple):
    """How images are shared out to calls that overlap in time, and how each of these cuts its own into blocks.

    It follows from shapes alone, so that results do not depend on the number of threads.

    Attributes
    ----------
    n, parts : int
        How many images there are, and how many calls share them.
    images, rows : int
        How many images a block has at most, and how many rows of windows of each.
    row : int
        How many elements the windows of one row have.
    """

    n: int
    parts: int
    images: int
    rows: int
    row: int

    @classmethod
    def of(cls, images: og.Spec | og.Array, grid: Grid, depth: int, most: int = MOST_PARTS) -> "Partition":
        """Return the partition of `images`, (N, H, W, C), each element of whose windows is multiplied `depth` times.

        There are at `most` so many parts.
        """
        count, _, _, channels = og.known_shape(og.Shape(images.shape))
        down, across = grid.vertical.windows, grid.horizontal.windows
        row = across * grid.vertical.size * grid.horizontal.size * channels
        # to copy an element takes as long as to multiply it eight times
        parts = parts_of(count, min(most, count * down * row * (depth + 8) // LEAST_WORK))
        rows = max(BLOCK_BYTES // max(row * images.dtype.itemsize, 1), 1)
        each = min(-(-count // parts), max(rows // max(down, 1), 1))
        return cls(count, parts, each, min(down, rows), row)

    def space(self, images: og.Spec) -> og.Spec:
        """Return the work space for a block of each part: (parts, elements)."""
        return images.with_shape((self.parts, self.images * self.rows * self.row))

    def padded_space(self, images: og.Spec, grid: Grid) -> og.Spec:
        """Return the work space for a block's images with their margins, of each part; empty where they have none."""
        _, height, width, channels = og.known_shape(images.shape)
        vertical, horizontal = sum(grid.vertical.margins), sum(grid.horizontal.margins)
        count = self.images if vertical or horizontal else 0
        return images.with_shape((self.parts, count, height + vertical, width + horizontal, channels))

    def part(self, i: int) -> slice:
        """Return the images of part `i`."""
        return part_of(self.n, self.parts, i)

    def blocks(self, i: int, grid: Grid) -> Iterator[Block]:
        """Yield the blocks of part `i`."""
        if 0 in (grid.vertical.windows, grid.horizontal.windows):
            return
        part = self.part(i)
        for image in range(part.start, part.stop, self.images or 1):
            images = slice(image, min(image + self.images, part.stop))
            for row in range(0, grid.vertical.windows, self.rows):
                yield Block(images, slice(row, min(row + self.rows, grid.vertical.windows)))


class Unfolding:
    """Windows on images `x`, (N, H, W, C), with their pixels as the rows of matrices."""

    def __init__(self, x: og.Array, grid: Grid, partition: Partition, space: og.Array, padded: og.Array) -> None:
        self.x = x
        self.grid = grid
        self.partition = partition
        self.space = space
        self.padded = padded
        self.has_margins = padded.shape[1] > 0
        self.is_matrix = grid.is_pointwise and x.flags.c_contiguous

    @functools.cached_property
    def windows(self) -> og.Array:
        """Those on the images, or on each part's memory for images with their margins; made once, for it takes long."""
        return _windows(self.padded if self.has_margins else self.x, self.grid)

    def matrices(self, i: int) -> Iterator[tuple[Block, og.Array]]:
        """Yield the blocks of part `i` with a matrix, (windows, height * width * C), that the next one overwrites."""
        if self.is_matrix:
            images = self.partition.part(i)
            yield Block(images, self.grid.rows), as_matrix(self.x[images])
            return
        if self.has_margins:
            self.padded[i] = 0
        for block in self.partition.blocks(i, self.grid):
            windows = self._padded(i, block) if self.has_margins else self.windows[block.images]
            windows = windows[:, block.rows]
            columns = self.space[i, : windows.size].reshape(windows.shape)
            np.copyto(columns, windows)
            yield block, as_matrix(columns, columns=3)

    def _padded(self, i: int, block: Block) -> og.Array:
        """Return the windows on the images of a block of part `i` with their margins."""
        images = self.x[block.images]
        count, height, width, _ = images.shape
        if block.rows.start == 0:
            top, left = self.grid.vertical.margins[0], self.grid.horizontal.margins[0]
            self.padded[i, :count, top : top + height, left : left + width] = images
        windows: og.Array = self.windows[i, :count]
        return windows


def fold(part: og.Array, taps: Iterable[Tap], images: og.Array) -> None:
    """Add pixels, (height * width, images, rows, across, C), those of some rows of windows, to their `images`.

    `taps` are those of these rows.
    """
    for element, windows, pixels in taps:
        at = images[pixels]
        np.add(at, part[element][windows], at)


def _windows(images: og.Array, grid: Grid) -> og.Array:
    """Return the windows on images (…, H, W, C), which have margins, as a view (…, down, across, height, width, C)."""
    vertical, horizontal = grid
    views = sliding_window_view(images, (vertical.reach, horizontal.reach), axis=(-3, -2))
    views = views[..., :: vertical.stride, :: horizontal.stride, :, :: vertical.dilation, :: horizontal.dilation]
    return np.moveaxis(views, -3, -1)
