"""Inputs that broadcast against inputs that were expanded before."""

import itertools
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.agreement import expect_same
from opgraph.testing.case import Case
from opgraph.testing.check import NOTHING, Check
from opgraph.testing.programs import Function, applied, cotangents, values_and_gradients
from opgraph.testing.variations import Arrays, dimensions, dtypes_of, inferred, shapes_of, whole, with_sizes

Array: TypeAlias = NDArray[Any]

SMALLEST = (3, 2)  # samples of fewer dimensions are filled into this


class Broadcast(Check):
    """Inputs that broadcast give the values and gradients of inputs that were expanded before."""

    name = "broadcast"

    def on_case(self, case: Case) -> str | None:
        patterns = list(_elementwise(case) if isinstance(case.op, og.Elementwise) else _of_size_one(case))
        if not patterns:
            return NOTHING
        runtime = og.RunTime(seed=case.seed)
        programs: dict[tuple[int, ...], Function] = {}

        def results(inputs: Arrays) -> list[Array]:
            ranks = tuple(x.ndim for x in inputs)
            if ranks not in programs:
                programs[ranks] = values_and_gradients(case.with_inputs(inputs), applied(case.op), True, runtime)
            return programs[ranks](inputs)

        for small, large in patterns:
            found, expected = results(small), results(large)
            shown = " with ".join(str(x.shape) for x in small)
            # a stride of 0 may take another loop of NumPy's
            expect_same(found[: case.visible], expected[: case.visible], f"{shown}: the value", rounding=True)
            sums = [
                _summed(g, small[i].shape)
                for i, g in zip(case.differentiable, expected[case.visible :], strict=len(cotangents(case, large)) > 0)
            ]
            expect_same(found[case.visible :], sums, f"{shown}: the gradient", rounding=True)
        return None


def _elementwise(case: Case) -> Iterator[tuple[Arrays, Arrays]]:
    """Yield inputs that broadcast, and the same expanded: each small along an axis, all, or with fewer."""
    full = whole(case, SMALLEST)
    if full is None or len(full) < 2:
        return
    ndims = full[0].ndim
    for i in range(len(full)):
        for axes in [*itertools.combinations(range(ndims), 1), tuple(range(ndims))]:
            yield _shrunk(full, {i: axes}, leading=False)
        for n in range(1, ndims + 1):
            yield _shrunk(full, {i: tuple(range(n))}, leading=True)
    # each small where the other is not
    for i, j in itertools.pairwise(range(len(full))):
        yield _shrunk(full, {i: (0,), j: (ndims - 1,)}, leading=False)


def _shrunk(full: Arrays, along: dict[int, tuple[int, ...]], leading: bool) -> tuple[Arrays, Arrays]:
    """Return inputs of size 1 along some axes, or without those that lead, and the same expanded."""
    small, large = list(full), list(full)
    for i, axes in along.items():
        key = tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(full[i].ndim))
        kept = full[i][key]
        large[i] = np.array(np.broadcast_to(kept, full[i].shape))
        small[i] = np.array(kept.reshape(kept.shape[len(axes) :]) if leading else kept)
    return tuple(small), tuple(large)


def _of_size_one(case: Case) -> Iterator[tuple[Arrays, Arrays]]:
    """Yield inputs of size 1 along an axis whose size another input decides, where the op takes them, and expanded.

    An axis is such a one if it may change together with one of another input, and neither alone, but it to 1, which
    changes nothing about the outputs. (A kernel may be lower than an image, without being repeated.)
    """
    shapes, dtypes = shapes_of(case.inputs), dtypes_of(case.inputs)

    def outcome(sizes: dict[tuple[int, int], int]) -> og.Specs | None:
        return inferred(case.op, with_sizes(shapes, sizes), dtypes)

    for dim in dimensions(shapes):
        (i, axis), n = dim, shapes[dim[0]][dim[1]]
        others = [d for d in dimensions(shapes) if d[0] != i and shapes[d[0]][d[1]] == n]
        if n < 2 or i in case.unread:
            continue
        if not any(outcome({dim: n + 1, other: n + 1}) and outcome({other: n + 1}) is None for other in others):
            continue
        if outcome({dim: n + 1}) is None and outcome({dim: 1}) == case.specs:
            yield _shrunk(case.inputs, {i: (axis,)}, leading=False)


def _summed(g: Array, shape: tuple[int, ...]) -> Array:
    """Return `g` summed to the shape of an input that was expanded to that of `g`."""
    lead = g.ndim - len(shape)
    axes = (*range(lead), *(lead + k for k, n in enumerate(shape) if n == 1))
    return np.asarray(g.sum(axis=axes, keepdims=True, dtype=g.dtype)).reshape(shape)
