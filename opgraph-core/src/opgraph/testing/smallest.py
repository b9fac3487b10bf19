"""The smallest input on which a check still fails: sizes first, then values."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import Check

MOST_TRIES = 40
MOST_SECONDS = 5.0  # the check's time limit runs on


def failing(check: Check, case: Case) -> Case:
    """Return the simplest case found on which `check` fails, as it does on `case`."""
    tries = MOST_TRIES
    until = time.monotonic() + MOST_SECONDS
    simpler = True
    while simpler:
        simpler = False
        for candidate in _simpler(case):
            if not tries or time.monotonic() > until:
                return case
            tries -= 1
            if _fails(check, candidate):
                case, simpler = candidate, True
                break
    return case


def described(case: Case) -> str:
    """Return the op and its inputs in a line, values too where they are few."""
    return f"{case.op!r} on {', '.join(_shown(x) for x in case.inputs)}"


def sizes(case: Case) -> list[int]:
    """Return the different sizes of the inputs' axes, 1 and 0 apart."""
    return sorted({size for x in case.inputs for size in x.shape if size > 1})


def resized(case: Case, changed: Mapping[int, int], start: int = 0) -> Case | None:
    """Return the case with sizes exchanged wherever they stand, or None where the op refuses that.

    What is cut begins at index `start`; what is longer than before is repeated.
    """
    inputs = [_cut_or_repeated(x, [changed.get(size, size) for size in x.shape], start) for x in case.inputs]
    return case.with_inputs(inputs) if accepted(case, inputs) else None


def accepted(case: Case, inputs: list[NDArray[Any]]) -> bool:
    """Whether the op takes `inputs`, and gives finite values wherever it does so for those of `case`."""
    try:
        found = case.compute(inputs)
        return _finite(found) or not _finite(case.compute())
    except og.OpgraphError:
        return False


def _finite(arrays: list[NDArray[Any]]) -> bool:
    return all(np.isfinite(a).all() for a in arrays if a.dtype.kind in "fc")


def _simpler(case: Case) -> Iterator[Case]:
    """Yield what is a step simpler than `case`, the simplest first."""
    for size in sizes(case):
        for smaller in sorted({1, 2, size - 1}):
            for start in range(size) if smaller == 1 else (0,):
                if smaller < size and (candidate := resized(case, {size: smaller}, start)) is not None:
                    yield candidate
    for i, x in enumerate(case.inputs):
        if x.dtype.kind in "fc" and x.size:
            for digits in (0, 1, 2):
                inputs = [*case.inputs[:i], np.round(x, digits) + 0.0, *case.inputs[i + 1 :]]  # no -0.0
                if not np.array_equal(inputs[i], x) and _as_plain(case, i, inputs[i]) and accepted(case, inputs):
                    yield case.with_inputs(inputs)


def _as_plain(case: Case, i: int, rounded: NDArray[Any]) -> bool:
    """Whether values are in the domain, and none became a kink, 0 or equal to another: there, other things fail."""
    low, high = case.domain(i)
    if rounded.dtype.kind == "f" and not np.all((rounded > low) & (rounded < high)):
        return False
    special = {0.0, *(case.op.info.kinks if case.op.info is not None else ())}
    others = [x.ravel() for k, x in enumerate(case.inputs) if k != i and x.dtype.kind in "fc"]
    values = np.concatenate([rounded.ravel(), *others])
    return not special & set(rounded.ravel().tolist()) and np.unique(values).size == values.size


def _fails(check: Check, case: Case) -> bool:
    try:
        check.on_case(case)
    except Failed as failure:
        return failure.verdict == "fail"
    # something else went wrong with what nobody declared; it would mislead
    except Exception:
        return False
    return False


def _cut_or_repeated(x: NDArray[Any], shape: list[int], start: int) -> NDArray[Any]:
    """Return a part of `x` along each axis that changes, from `start` on, begun anew where it is too short."""
    for axis, size in enumerate(shape):
        if size != x.shape[axis]:
            x = np.take(x, np.arange(start, start + size) % max(x.shape[axis], 1), axis=axis)
    return x


def _shown(x: NDArray[Any]) -> str:
    text = f"{x.dtype}{list(x.shape)}"
    return f"{text} {' '.join(repr(x.tolist()).split())}" if x.size <= 8 else text
