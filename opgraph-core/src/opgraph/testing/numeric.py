"""Numerical derivatives in float64 that come with an estimate of their own error.

Central differences, extrapolated to step 0 (C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)",
Advances in Engineering Software 4, 1982). How far they can be trusted is measured in docs/conformance.md.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

HALVINGS = 6  # steps on a ladder, if they suffice
MOST_HALVINGS = 16  # where they do not: near a kink, or where the function varies fast
MOST_SHRINKING = 24  # halvings that a ladder may lose until the function is finite
GOAL = 1e-7  # the error, of the largest derivative, above which halving goes on
EXACT = 1e-11  # the error, of the largest derivative, below which no second ladder is tried
ASIDE = 0.381966  # of the last step: the golden section, which no ratio of small numbers comes near
UNITS = 100.0  # of rounding in a derivative that is 0; the extrapolation makes many of one
FIRST_STEP = 0.1  # of the input's size; the extrapolation does the rest
NEGLIGIBLE = 1e-290  # a size that counts as zero: all halvings of a step of this size can still be told from 0
UNEVEN = 1e-3  # of the slope, or of the value: by how much two sides of a point differ at a kink, or a jump
EPS = float(np.finfo(np.float64).eps)
SMALLEST = float(np.finfo(np.float64).smallest_subnormal)

Floats = NDArray[np.float64]
Function = Callable[[float], Floats]
Interval = tuple[float, float]
EVERYWHERE: Interval = (-np.inf, np.inf)


class Derivative(NamedTuple):
    """Derivatives with respect to each element of an input, the error that each may have, and its noise.

    All are of one shape; `noise` is what rounding alone may leave of a derivative that is 0.
    """

    value: Floats
    error: Floats
    noise: Floats


class Sides(NamedTuple):
    """The derivatives of one point's two sides, and what kind of point it is, each for m values of a function."""

    left: Floats
    right: Floats
    jump: Floats

    @property
    def uneven(self) -> NDArray[np.bool_]:
        """Where there is a kink or a jump; one part in a thousand makes two sides different."""
        with np.errstate(all="ignore"):
            kinks = np.abs(self.left - self.right) > UNEVEN * np.fmax(np.abs(self.left), np.abs(self.right))
            return np.asarray(self.known & (kinks | (np.abs(self.jump) > UNEVEN)))

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where both sides have a derivative."""
        return np.asarray(np.isfinite(self.left) & np.isfinite(self.right) & np.isfinite(self.jump))

    def kind(self, k: int) -> Literal["smooth", "kink", "jump", "unknown"]:
        """Return what value `k` does at the point."""
        if not self.known[k]:
            return "unknown"
        if not self.uneven[k]:
            return "smooth"
        return "jump" if abs(float(self.jump[k])) > UNEVEN else "kink"


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
    return Derivative(*(part[0] for part in found))


def numerical_jacobian(
    f: Callable[[Floats], Floats], x: Floats, domain: Interval = EVERYWHERE, rounding: float | Floats = 0.0
) -> Derivative:
    """Return the derivatives of each of the m values of `f` by each element of `x`: (m, …).

    Central differences on two ladders of steps, one relative to the element and one to the largest of them, are
    extrapolated to step 0; for each derivative the ladder with the smaller error estimate counts. A step at
    which `f` is not finite, or leaves `domain`, is left out.

    Parameters
    ----------
    f
        Called with arrays of the shape of `x`, which it must not keep; returns (m,) float64.
    x : array, (…) float64
        Not changed.
    domain
        The open interval that elements must stay in.
    rounding : float or array, (m,)
        By how much values of `f` may be off, where that is more than one unit in their last place: they are
        sums of larger terms, say.
    """
    scale = size_of(x)
    columns = []
    for index in np.ndindex(x.shape):
        at = float(x[index])
        room = (domain[0] - at, domain[1] - at)
        columns.append(derivative_along(along(f, x, index), sorted({scale, size_at(x, index)}), room, rounding))
    if not columns:
        empty = np.empty((np.asarray(f(x.copy())).size, *x.shape))
        return Derivative(empty, empty.copy(), empty.copy())
    stacked = (np.stack(parts, axis=-1) for parts in zip(*columns, strict=True))
    return Derivative(*(part.reshape(-1, *x.shape) for part in stacked))


def size_of(x: NDArray[Any]) -> float:
    """Return the largest of the sizes of the elements of `x`, or 1 where all are negligible."""
    largest = float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))
    return largest if largest > NEGLIGIBLE else 1.0


def size_at(x: NDArray[Any], index: tuple[int, ...]) -> float:
    """Return the size of the element of `x` at `index`; of a negligible one, that of all of `x`."""
    own = abs(float(x[index]))
    return own if own > NEGLIGIBLE else size_of(x)


def along(f: Callable[[Floats], Floats], x: Floats, index: tuple[int, ...]) -> Function:
    """Return `f` as a function of how far the element of `x` at `index` is moved."""

    def moved(step: float) -> Floats:
        changed = x.copy()
        changed[index] += step
        return np.asarray(f(changed), np.float64)

    return moved


def derivative_along(
    f: Function, scales: list[float], room: Interval = EVERYWHERE, rounding: float | Floats = 0.0
) -> Derivative:
    """Return the derivative at 0 of each of the m values of `f`, a function of one number: (m,).

    Parameters
    ----------
    scales
        By how much the argument of `f` may be expected to vary; a ladder of steps begins at a tenth of each.
    room
        The open interval that the argument must stay in.
    rounding : float or array, (m,)
        As for `numerical_jacobian`.
    """
    nearest = 0.9 * min(-room[0], room[1])
    best: Derivative | None = None
    for scale in scales:
        found = _extrapolated(f, min(FIRST_STEP * scale, nearest), rounding)
        if best is None:
            best = found
        else:
            better = found.error < best.error
            value, error = np.where(better, found.value, best.value), np.where(better, found.error, best.error)
            best = Derivative(value, error, np.fmin(found.noise, best.noise))
        if _within(best, EXACT):
            break
    assert best is not None  # there is a scale
    return best


def sides_along(f: Function, scale: float, room: Interval = EVERYWHERE) -> Sides:
    """Return the derivatives at 0 from the left and from the right of each of the m values of `f`.

    Each is the limit of slopes between points on its own side, so that a jump at 0 does not enter; `jump` is the
    difference of the two sides' limits over the largest value nearby.
    """
    slopes, limits = [], []
    largest: Floats = np.full((), SMALLEST)
    for sign, reach in ((-1.0, -room[0]), (1.0, room[1])):
        step = sign * min(FIRST_STEP * scale / 64.0, 0.4 * reach)
        previous: list[Floats] = []
        with np.errstate(all="ignore"):
            for _ in range(HALVINGS):
                near, far = f(step), f(2.0 * step)
                row, limit = [(far - near) / step], 2.0 * near - far
                largest = np.fmax(largest, np.fmax(np.abs(near), np.abs(far)))
                for order, coarser in enumerate(previous[:2], start=1):  # higher orders would be rounding alone
                    row.append(row[-1] + (row[-1] - coarser) / (2.0**order - 1.0))
                previous, step = row, step / 2.0
        slopes.append(row[-1])
        limits.append(limit)
    with np.errstate(all="ignore"):
        return Sides(slopes[0], slopes[1], (limits[1] - limits[0]) / largest)


def steady_sides(f: Function, scale: float, room: Interval = EVERYWHERE) -> Sides:
    """Return `sides_along`, with NaN where it depends on the steps, as for noise: there is no telling what is at 0."""
    found, other = (sides_along(f, part * scale, room) for part in (1.0, ASIDE))
    with np.errstate(all="ignore"):
        moved = np.fmax(np.abs(found.left - other.left), np.abs(found.right - other.right))
        steady = moved <= UNEVEN * np.fmax(np.abs(found.left), np.abs(found.right))
        # by a jump, slopes may be rounding alone
        steady |= (np.abs(found.jump) > UNEVEN) & np.isclose(found.jump, other.jump, rtol=0.01)
    return Sides(np.where(steady, found.left, np.nan), np.where(steady, found.right, np.nan), found.jump)


def _within(found: Derivative, part: float) -> bool:
    """Whether every error is below a part of the derivatives, or all that rounding lets one see."""
    size = np.abs(found.value)
    largest = float(np.max(size, initial=0.0, where=np.isfinite(size)))
    enough = np.maximum(part * np.maximum(size, 1e-3 * largest), 4.0 * found.noise)
    return bool((found.error <= enough).all())


def _extrapolated(f: Function, step: float, rounding: float | Floats) -> Derivative:
    """Return derivatives at 0 from central differences with steps that are halved, and their estimated errors.

    Two things are taken for smooth by neighbouring entries of the table that agree: noise that does so by chance, and
    ripples with a period that the steps are multiples of. So the outcome is held against the differences of
    all shorter steps, which can be no farther from the derivative, and of one step that is on no such ladder.
    """

    def difference(step: float) -> tuple[Floats, Floats]:
        high, low = f(step), f(-step)
        unit = np.maximum(EPS * np.abs(high) + EPS * np.abs(low) + SMALLEST, rounding) / (2.0 * step)
        # halves, for the difference of what is huge may overflow
        return (high / 2.0 - low / 2.0) / step, unit

    best: Floats = np.full((), np.nan)
    best_error: Floats = np.full((), np.inf)
    noise: Floats = np.full((), np.inf)
    farthest: Floats = np.full((), np.inf)  # from the best is the difference of the step that it was found with
    previous: list[Floats] = []
    finite = shrinking = 0

    def held(slope: Floats, unit: Floats) -> Floats:
        distance = np.abs(slope - best)
        contradicted = distance > 4.0 * farthest + UNITS * unit
        return np.where(contradicted, np.fmax(best_error, distance), best_error)

    with np.errstate(all="ignore"):
        while finite < MOST_HALVINGS and shrinking < MOST_SHRINKING:
            slope, unit = difference(step)
            best_error = held(slope, unit)
            row = [slope]
            for order, coarser in enumerate(previous, start=1):
                finer = row[-1] + (row[-1] - coarser) / (4.0**order - 1.0)
                error = np.maximum(np.maximum(np.abs(finer - row[-1]), np.abs(finer - coarser)), unit)
                better = error <= best_error  # never where one of them is NaN
                best, best_error = np.where(better, finer, best), np.where(better, error, best_error)
                farthest = np.where(better, np.abs(slope - finer), farthest)
                row.append(finer)
            noise = np.fmin(noise, unit)
            previous = row
            if np.isfinite(slope).all():
                finite += 1
            else:
                shrinking += 1
            last = finite == MOST_HALVINGS or shrinking == MOST_SHRINKING
            if last or (finite >= HALVINGS and _within(Derivative(best, best_error, noise), GOAL)):
                best_error = held(*difference(ASIDE * step))
                if _within(Derivative(best, best_error, noise), GOAL):
                    break
            step /= 2.0
    shape = previous[0].shape
    return Derivative(*(np.broadcast_to(part, shape).copy() for part in (best, best_error, noise)))
