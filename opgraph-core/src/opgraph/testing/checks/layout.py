"""Inputs as they may lie in memory."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.agreement import expect_same
from opgraph.testing.case import Case, Failed, frozen, poisoned
from opgraph.testing.check import Check

Array: TypeAlias = NDArray[Any]


class Layout(Check):
    """However its inputs lie in memory, the kernel gives the same values."""

    name = "layout"

    def on_case(self, case: Case) -> str | None:
        expected = case.compute()
        n = len(case.inputs)
        inputs = [np.array(x) for x in case.inputs]
        expect_same(case.compute(inputs), expected, "with inputs that are writable, the value")
        for layout, lay in LAYOUTS.items():
            for which in _each_and_all(n):
                laid = [frozen(lay(x)) if i in which else x for i, x in enumerate(case.inputs)]
                _compare(case, laid, expected, f"with {_named(which, n)} {layout}")
        for i, x in enumerate(case.inputs):
            for axis in range(x.ndim):
                if x.shape[axis] > 1:
                    _compare_repeated(case, i, axis)
        if isinstance(case.op, og.Elementwise) and all(x.size for x in case.inputs):
            _compare_scalars(case)
        return None


def fortran(x: Array) -> Array:
    """Return `x` with its first dimension the one that varies fastest."""
    return np.array(x, order="F")


def strided(x: Array) -> Array:
    """Return `x` as every other element of a larger array that holds rubbish in between."""
    around = poisoned(og.Spec(og.Shape([2 * n + 1 for n in x.shape]), x.dtype))
    view = around[tuple(slice(1, None, 2) for _ in x.shape)] if x.ndim else around[...]
    view[...] = x
    return view


def backwards(x: Array) -> Array:
    """Return `x` as a view with negative strides."""
    return np.asarray(np.flip(np.array(np.flip(x))))


def misaligned(x: Array) -> Array:
    """Return `x` in memory that starts at an odd address."""
    found: Array = np.ndarray(x.shape, x.dtype, np.empty(x.nbytes + 1, np.uint8).data, 1)
    found[...] = x
    return found


LAYOUTS: Mapping[str, Callable[[Array], Array]] = {
    "in Fortran order": fortran,
    "taken from every other element": strided,
    "in reverse": backwards,
    "misaligned": misaligned,
}


def _compare(case: Case, laid: list[Array], expected: list[Array], what: str) -> None:
    # to rounding: NumPy sums in another order, and has other loops for some functions, where strides differ
    expect_same(case.compute(laid), expected, f"{what}, the value", rounding=True)
    views: Any = case.op.view(tuple(laid))
    if not isinstance(views, tuple | None):
        raise Failed(f"{what}, view returns a value of type {type(views).__name__}, not a tuple of arrays")
    if views is not None:
        expect_same(views, expected, f"{what}, the view")


def _compare_scalars(case: Case) -> None:
    """Compare inputs without dimensions with vectors of one element."""
    ones = [x.reshape(-1)[:1] for x in case.inputs]
    expected = [y.reshape(()) for y in case.compute(ones)]
    found = case.compute([x.reshape(()) for x in ones])
    expect_same(found, expected, "with inputs that have no dimensions, the value", rounding=True)


def _compare_repeated(case: Case, i: int, axis: int) -> None:
    """Compare an input that repeats one slice by a stride of 0 with one that holds it several times."""
    x = case.inputs[i]
    repeated = np.broadcast_to(x[tuple(slice(0, 1) if k == axis else slice(None) for k in range(x.ndim))], x.shape)
    given = list(case.inputs)
    given[i] = frozen(np.array(repeated, order="C"))
    try:
        expected = case.compute(given)
    except og.OpgraphError:
        return  # these values may be refused
    given[i] = repeated
    _compare(case, given, expected, f"with input {i} of stride 0 along axis {axis}")


def _each_and_all(n: int) -> list[tuple[int, ...]]:
    return [*((i,) for i in range(n)), *([tuple(range(n))] if n > 1 else [])]


def _named(which: tuple[int, ...], n: int) -> str:
    return "all inputs" if len(which) == n > 1 else f"input {which[0]}"
