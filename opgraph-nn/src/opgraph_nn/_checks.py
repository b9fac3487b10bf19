"""What several ops and classes ask of their arguments."""

import math

import numpy as np

import opgraph as og


def check_number(name: str, value: object, interval: str = "(-inf, inf)") -> float:
    """Return `value` as a float; raise `ArgumentError` where it is no number in `interval`.

    Parameters
    ----------
    name
        What a message calls it.
    interval
        As it is written: ``"[0, 1)"`` takes 0 and not 1.
    """
    low, high = map(float, interval[1:-1].split(","))
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    number = float(value) if is_number else math.nan  # type: ignore[arg-type]  # it is a number
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    if not (above and below):
        raise og.ArgumentError(f"{name} must be a number in {interval}, not {value!r}")
    return number


def check_floats(*ins: og.Spec) -> None:
    """Raise `DtypeError` where an input is no floating-point one."""
    for spec in ins:
        if spec.dtype.kind != "f":
            raise og.DtypeError(f"takes floating-point values, not {spec.dtype}")
