"""Numerical derivatives in float64 that come with an estimate of their own error."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

HALVINGS = 6
FIRST_STEP = 0.1  # of the input's size; the extrapolation does the rest


class Derivative(NamedTuple):
    """Derivatives with respect to each element of an input, and the error that each may have."""

    value: NDArray[np.float64]
    error: NDArray[np.float64]


def numerical_gradient(f: Callable[[NDArray[Any]], float], x: NDArray[np.float64]) -> Derivative:
    """Return the derivative of the scalar `f` with respect to each element of `x`.

    Central differences on two ladders of steps, one relative to the element and one to the largest of
    them, are extrapolated to step 0 (C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)",
    Advances in Engineering Software 4, 1982); for each element the ladder with the smaller error
    estimate counts. A step at which `f` is not finite is left out.

    Parameters
    ----------
    f
        Called with arrays of the shape of `x`, which it must not keep.
    x : array, (…) float64
        Not changed.
    """
    scale = float(np.max(np.abs(x), initial=0.0)) or 1.0
    value, error = np.empty(x.shape), np.empty(x.shape)
    moved = x.copy()
    for index in np.ndindex(x.shape):

        def along(step: float, index: tuple[int, ...] = index) -> float:
            moved[index] = x[index] + step
            try:
                return float(f(moved))
            finally:
                moved[index] = x[index]

        ladders = {FIRST_STEP * scale, FIRST_STEP * (abs(float(x[index])) or scale)}
        found = [_extrapolated(along, step) for step in sorted(ladders)]
        value[index], error[index] = min(found, key=lambda pair: pair[1])
    return Derivative(value, error)


def _extrapolated(f: Callable[[float], float], step: float) -> tuple[float, float]:
    """Return the derivative of `f` at 0 from `HALVINGS` central differences, and its estimated error."""
    best, best_error = np.nan, np.inf
    previous: list[float] = []
    for _ in range(HALVINGS):
        high, low = f(step), f(-step)
        difference = (high - low) / (2.0 * step)
        rounding = np.finfo(np.float64).eps * (abs(high) + abs(low)) / (2.0 * step)
        step /= 2.0
        if not np.isfinite(difference):
            previous = []
            continue
        row = [difference]
        for order, coarser in enumerate(previous, start=1):
            factor = 4.0**order
            finer = (factor * row[-1] - coarser) / (factor - 1.0)
            error = max(abs(finer - row[-1]), abs(finer - coarser), rounding)
            if error <= best_error:
                best, best_error = finer, error
            row.append(finer)
        previous = row
    return best, best_error
