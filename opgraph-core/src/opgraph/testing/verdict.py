"""Whether derivatives agree: the rule, in one place."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from opgraph.testing.numeric import UNITS, Derivative

ERRORS = 4.0  # estimated errors that a difference may be off by
RELATIVE_TOLERANCE = 1e-7  # a wrong formula is off by a good part of the value, rounding by far less
FLOOR = 1e-12  # of the largest derivative; what cancels to less is rounding
TRUSTED_ERROR = 1e-3  # of the derivative, or of a thousandth of the largest

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Finding:
    """Where derivatives disagree, or cannot be told to agree.

    Attributes
    ----------
    kind
        ``"inconclusive"`` where the differences are too rough to tell.
    index
        The worst place.
    analytic, numeric, error
        The values there.
    places
        All the places of that kind.
    """

    kind: Literal["wrong", "inconclusive"]
    index: tuple[int, ...]
    analytic: float
    numeric: float
    error: float
    places: Bools

    @property
    def count(self) -> int:
        """How many places there are."""
        return int(np.count_nonzero(self.places))

    def __str__(self) -> str:
        return (
            f"the gradient says {self.analytic:.10g}, differences {self.numeric:.10g} ± {self.error:.1g}; "
            f"{self.count} of {self.places.size} are {'off' if self.kind == 'wrong' else 'too rough to tell'}"
        )


class Margins(NamedTuple):
    """How near derivatives are to a verdict against them: at 1, `off` is wrong and `rough` is inconclusive."""

    off: NDArray[np.float64]
    rough: NDArray[np.float64]


def judge(
    analytic: NDArray[np.float64],
    numeric: Derivative,
    excused: Bools | None = None,
    nan_is_right: bool = False,
) -> Finding | None:
    """Return where two arrays of derivatives of one shape disagree, or ``None``.

    For each element, the difference may be 4 times the estimated error, 1e-7 of the larger of the two, and 1e-12 of
    the largest of all. The estimated error may be a thousandth of the value, or of a thousandth of the
    largest; or what rounding makes of 0. NaN equals nothing.

    Parameters
    ----------
    excused
        Places that are not looked at.
    nan_is_right
        Whether NaN is right by an element by which some value has no finite differences; and there so is zero.
    """
    if not analytic.size:
        return None
    off, rough = margins(analytic, numeric)
    wrong, unknown = ~(off <= 1.0), ~(rough <= 1.0)
    fine = np.zeros(analytic.shape, bool) if excused is None else excused
    if nan_is_right:
        unknown_to = np.isnan(numeric.value)
        fine = fine | (unknown_to & (analytic == 0.0))
        if analytic.ndim > 1:  # a zero cotangent of what is not finite is NaN too, for all values of the function
            unknown_to = np.asarray(unknown_to.any(axis=0))
        fine = fine | (np.isnan(analytic) & unknown_to)
    unknown &= ~fine
    wrong &= ~fine & ~unknown
    # where both are so the gradient is wrong for sure
    places, kind = (wrong, "wrong") if wrong.any() else (unknown, "inconclusive")
    if not places.any():
        return None
    distance = np.abs(analytic - numeric.value)
    excess = np.where(places, np.where(np.isfinite(distance), distance, np.inf), -1.0)
    worst = tuple(int(k) for k in np.unravel_index(np.argmax(excess), excess.shape))
    a, n, e = (float(part[worst]) for part in (analytic, numeric.value, numeric.error))
    return Finding("wrong" if kind == "wrong" else "inconclusive", worst, a, n, e, places)


def margins(analytic: NDArray[np.float64], numeric: Derivative) -> Margins:
    """Return what `judge` compares with 1: NaN where something is not finite."""
    value, error, noise = numeric
    with np.errstate(all="ignore"):
        size = np.fmax(np.abs(analytic), np.abs(value))
        largest = float(np.max(size, initial=0.0, where=np.isfinite(size)))
        # halved, for the sum of two large ones may overflow
        distance = np.abs(analytic / 2.0 - value / 2.0) * 2.0
        allowed = ERRORS * error + RELATIVE_TOLERANCE * size + FLOOR * largest
        trusted = np.maximum(TRUSTED_ERROR * np.maximum(size, TRUSTED_ERROR * largest), UNITS * noise)
        off = np.where(distance == 0.0, 0.0, distance / allowed)
        return Margins(off, np.where(error == 0.0, 0.0, error / trusted))
