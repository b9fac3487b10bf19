"""What an op makes of parts, put together."""

import itertools
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from opgraph.testing.agreement import expect_same
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import NOTHING, Check

Array: TypeAlias = NDArray[Any]

FEW = 5  # elements, each of which may be a part


class Combine(Check):
    """Where the op names a ufunc by `combine`, that makes of what the op makes of parts what it makes of the whole."""

    name = "combine"

    def on_case(self, case: Case) -> str | None:
        combine = case.op.combine
        if combine is None:
            return NOTHING
        if len(case.specs) != 1:
            raise Failed(f"combine is for an op of one output, and infer returns {len(case.specs)}")
        if case.scratch:
            return "it wants work space, and is not asked for parts"
        expected = case.compute()
        reason: str | None = "there are no parts"
        for parts in _parts(case):
            found = _combined(case, combine, parts)
            shown = ", ".join(f"{' + '.join(map(str, sizes))} along axis {axis}" for axis, sizes in parts.items())
            expect_same([found], expected, f"of parts of {shown}, {combine.__name__} gives a value that", rounding=True)
            reason = None
        return reason


def _parts(case: Case) -> Iterator[dict[int, tuple[int, ...]]]:
    """Yield ways to cut the input: the sizes of the parts along each axis that is reduced."""
    op: Any = case.op
    (x,) = case.inputs
    given = range(x.ndim) if op.axes is None else np.atleast_1d(np.array(op.axes, int)).tolist()
    axes = sorted(axis % x.ndim for axis in given)
    ways = [[(n,), *dict.fromkeys(_cuts(n))] if n > 1 else [(n,)] for n in (x.shape[axis] for axis in axes)]
    for sizes in itertools.product(*ways):
        if any(len(each) > 1 for each in sizes):
            yield dict(zip(axes, sizes, strict=True))


def _cuts(n: int) -> Iterator[tuple[int, ...]]:
    yield (1, n - 1)
    yield (n - n // 3, n // 3) if n > 2 else (1, 1)
    if n <= FEW:
        yield (1,) * n


def _combined(case: Case, combine: np.ufunc, parts: dict[int, tuple[int, ...]]) -> Array:
    """Return what `combine` makes of what the op, keeping dimensions, makes of each part."""
    op: Any = case.op
    (x,) = case.inputs
    kept = type(op)(**{**op.attributes(), "keepdims": True})
    made: Any = None
    for places in itertools.product(*[range(len(sizes)) for sizes in parts.values()]):
        cut, at = [slice(None)] * x.ndim, [slice(None)] * x.ndim
        for (axis, sizes), place in zip(parts.items(), places, strict=True):
            start = sum(sizes[:place])
            cut[axis], at[axis] = slice(start, start + sizes[place]), slice(place, place + 1)
        (y,) = Case(kept, (x[tuple(cut)],), case.name).compute()
        if made is None:
            shape = [len(parts[axis]) if axis in parts else n for axis, n in enumerate(x.shape)]
            made = np.empty(shape, y.dtype)
        if y.shape != made[tuple(at)].shape:
            raise Failed(f"{kept!r} gives {y.shape} for a part of shape {x[tuple(cut)].shape}")
        made[tuple(at)] = y
    with np.errstate(all="ignore"):
        return np.asarray(combine.reduce(made, axis=tuple(parts), dtype=made.dtype, keepdims=op.keepdims))
