"""Numerical derivatives in float64 that come with an estimate of their own error."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

HALVINGS = 6
MOST_HALVINGS = 24  # where steps had to shrink until the function was finite
FIRST_STEP = 0.1  # of the input's size; the extrapolation does the rest

Floats = NDArray[np.float64]
Interval = tuple[float, float]
EVERYWHERE: Interval = (-np.inf, np.inf)


class Derivative(NamedTuple):
    """Derivatives with respect to each element of an input, and the error that each may have.

    Attributes
    ----------
    value, error
        Of one shape.
    noise
        What rounding alone may leave of a derivative that is 0: one unit in the last place of the function's
        values, over the largest step.
    """

    value: Floats
    error: Floats
    noise: float = 0.0


def numerical_gradient(f: Callable[[NDArray[Any]], float], x: Floats, domain: Interval = EVERYWHERE) -> Derivative:
    """Return the derivative of the scalar `f` with respect to each element of `x`.

    Parameters
    ----------
    f
        Called with arrays of the shape of `x`, which it must not keep.
    x : array, (…) float64
        Not changed.
    domain
        The open interval that elements must stay in.
    """
    found = numerical_jacobian(lambda moved: np.array([f(moved)], np.float64), x, domain)
    return Derivative(found.value[0], found.error[0], found.noise)


def numerical_jacobian(f: Callable[[NDArray[Any]], Floats], x: Floats, domain: Interval = EVERYWHERE) -> Derivative:
    """Return the derivatives of each of the m values of `f` with respect to each element of `x`: (m, …).

    Central differences on two ladders of steps, one relative to the element and one to the largest of
    them, are extrapolated to step 0 (C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)",
    Advances in Engineering Software 4, 1982); for each derivative the ladder with the smaller error
    estimate counts. A step at which `f` is not finite, or leaves `domain`, is left out.

    Parameters
    ----------
    f
        Called with arrays of the shape of `x`, which it must not keep; returns (m,) float64.
    x : array, (…) float64
        Not changed.
    domain
        The open interval that elements must stay in.
    """
    scale = float(np.max(np.abs(x), initial=0.0)) or 1.0
    moved = x.copy()
    columns = []
    for index in np.ndindex(x.shape):

        def along(step: float, index: tuple[int, ...] = index) -> Floats:
            moved[index] = x[index] + step
            try:
                return np.asarray(f(moved), np.float64)
            finally:
                moved[index] = x[index]

        at = float(x[index])
        columns.append(derivative_along(along, sorted({scale, abs(at) or scale}), (domain[0] - at, domain[1] - at)))
    at_x = np.asarray(f(moved), np.float64)
    if not columns:
        return Derivative(np.empty((at_x.size, *x.shape)), np.empty((at_x.size, *x.shape)))
    value = np.stack([column.value for column in columns], axis=-1)
    error = np.stack([column.error for column in columns], axis=-1)
    largest = float(np.max(np.abs(at_x), initial=0.0, where=np.isfinite(at_x)))
    noise = float(np.finfo(np.float64).eps) * largest / (FIRST_STEP * scale)
    return Derivative(value.reshape(-1, *x.shape), error.reshape(-1, *x.shape), noise)


def derivative_along(f: Callable[[float], Floats], scales: list[float], room: Interval = EVERYWHERE) -> Derivative:
    """Return the derivative at 0 of each of the m values of `f`, a function of one number: (m,).

    Parameters
    ----------
    scales
        By how much the argument of `f` may be expected to vary; a ladder of steps begins at a tenth of each.
    room
        The open interval that the argument must stay in.
    """
    nearest = 0.9 * min(-room[0], room[1])
    found = [_extrapolated(f, min(FIRST_STEP * scale, nearest)) for scale in scales]
    value, error, _ = found[0]
    for other in found[1:]:
        better = other.error < error
        value, error = np.where(better, other.value, value), np.where(better, other.error, error)
    return Derivative(value, error)


def _extrapolated(f: Callable[[float], Floats], step: float) -> Derivative:
    """Return derivatives at 0 from `HALVINGS` central differences, and their estimated errors."""
    best: Floats = np.full((), np.nan)
    best_error: Floats = np.full((), np.inf)
    previous: list[Floats] = []
    finite = 0
    for _ in range(MOST_HALVINGS):
        with np.errstate(all="ignore"):
            high, low = f(step), f(-step)
            row = [(high - low) / (2.0 * step)]
            rounding = np.finfo(np.float64).eps * (np.abs(high) + np.abs(low)) / (2.0 * step)
            for order, coarser in enumerate(previous, start=1):
                factor = 4.0**order
                finer = (factor * row[-1] - coarser) / (factor - 1.0)
                error = np.maximum(np.maximum(np.abs(finer - row[-1]), np.abs(finer - coarser)), rounding)
                better = error <= best_error  # never where one of them is NaN
                best, best_error = np.where(better, finer, best), np.where(better, error, best_error)
                row.append(finer)
        previous = row
        step /= 2.0
        finite += bool(np.isfinite(row[0]).all())
        if finite == HALVINGS:
            break
    shape = previous[0].shape
    return Derivative(np.broadcast_to(best, shape).copy(), np.broadcast_to(best_error, shape).copy())
