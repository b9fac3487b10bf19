"""Blocks: parts of an array that are worked on one after the other, or by several threads."""

import itertools
import math
from collections.abc import Sequence

from opgraph.spec import Spec

Block = tuple[slice, ...]

TILE = 1 << 17  # elements: several values of this size fit into the last cache, and threads take turns in Python seldom


def blocks_of(shape: Sequence[int], tile: int) -> list[Block]:
    """Return slices that cut an array of `shape` into ranges of leading rows, of about `tile` elements each.

    Where one row is larger than that, it is cut in turn. One empty slice stands for the whole.
    """
    if math.prod(shape) <= tile:
        return [()]
    axis = next(k for k in range(len(shape)) if math.prod(shape[k + 1 :]) <= tile)
    rows = max(1, tile // math.prod(shape[axis + 1 :]))
    ranges = [slice(at, min(at + rows, shape[axis])) for at in range(0, shape[axis], rows)]
    lead = itertools.product(*[[slice(i, i + 1) for i in range(n)] for n in shape[:axis]])
    return [(*at, r) for at in lead for r in ranges]


def part_of(shape: Sequence[int], ndims: int, block: Block) -> Block:
    """Return the slices of an array of `shape` that broadcasts to `ndims` dimensions, for one of their blocks."""
    missing = ndims - len(shape)
    return tuple([r if n != 1 else slice(None) for n, r in zip(shape, block[missing:], strict=False)])


def spec_of_part(spec: Spec, part: Block) -> Spec:
    """Return the spec of what `part` cuts out of a value."""
    sizes = [len(range(*r.indices(n or 0))) for n, r in zip(spec.shape, part, strict=False)]
    return spec.with_shape((*sizes, *spec.shape[len(sizes) :]))
