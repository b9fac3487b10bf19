"""Sums along leading axes that lose little in single precision."""

import functools
import math
from collections.abc import Callable

import numpy as np

from opgraph.op import Array

# NumPy adds in pairs along the last axis alone; along others, n float32 terms of one sign may lose n/2 units
_SINGLE = (np.dtype(np.float32), np.dtype(np.complex64))
_FEW = 1 << 13  # terms
_PART = 1 << 12  # elements that a part has at least: the work of fewer takes no longer than the calls


def sum_call(x: Array, axes: tuple[int, ...], total: Array) -> Callable[[], object]:
    """Return the call that fills `total`, which has the dimensions of `x`, with sums over `axes`.

    Sums of many terms in single precision are made in parts of about the square root of their number, each
    of which rounds by itself.

    Parameters
    ----------
    x
    axes
        Counted from the front, in ascending order.
    total
        Contiguous, of size 1 along `axes`. Its dtype is what is summed in.
    """
    terms = math.prod([x.shape[axis] for axis in axes])
    last = next((axis for axis in reversed(range(x.ndim)) if x.shape[axis] > 1), -1)
    if total.dtype in _SINGLE and last not in axes and terms > _FEW and total.size:
        axis = max(axes, key=x.shape.__getitem__)
        beside = terms // x.shape[axis]
        rows = max(math.isqrt(terms) // beside, _PART // (beside * total.size), 1)
        if rows < x.shape[axis]:
            return functools.partial(_sum_parts, x, axes, total, axis, rows)
    return functools.partial(np.add.reduce, x, axes, total.dtype, total, True)


def _sum_parts(x: Array, axes: tuple[int, ...], total: Array, axis: int, rows: int) -> None:
    part = np.empty_like(total)
    total.fill(0)
    for start in range(0, x.shape[axis], rows):
        place = (*[slice(None)] * axis, slice(start, start + rows))
        np.add.reduce(x[place], axes, total.dtype, part, keepdims=True)
        np.add(total, part, total)


def with_ones(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return `shape` with size 1 along `axes`."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))
