"""What several ops and classes ask of their arguments."""

import math
from typing import Any

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
    try:
        number = float(value) if is_number else math.nan  # type: ignore[arg-type]  # it is a number
    except OverflowError:  # of an int
        number = math.nan
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    if not (above and below):
        raise og.ArgumentError(f"{name} must be a number in {interval}, not {value!r}")
    return number


def check_numbers(owner: object, **intervals: str) -> None:
    """Turn attributes of `owner`, a frozen dataclass, into floats; raise `ArgumentError` as `check_number` does."""
    for name, interval in intervals.items():
        object.__setattr__(owner, name, check_number(name, getattr(owner, name), interval))


def check_sizes(**sizes: object) -> None:
    """Raise `ArgumentError` where one of `sizes` is no integer from 0."""
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 0:
            raise og.ArgumentError(f"{name} must be an integer from 0, not {size!r}")


def float_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return `dtype`; raise `DtypeError` where it is no floating-point one."""
    if dtype.kind != "f":
        raise og.DtypeError(f"takes floating-point values, not {dtype}")
    return dtype


def check_floats(*ins: og.Spec) -> None:
    """Raise `DtypeError` where an input is no floating-point one."""
    for spec in ins:
        float_dtype(spec.dtype)


def paired(what: str, **operands: og.NodeLike) -> tuple[og.Node, og.Node]:
    """Return two operands as nodes of one floating-point dtype and one shape; a scalar goes with any.

    Parameters
    ----------
    what
        The function that a message names.
    operands
        By the names that a message calls them.

    Raises
    ------
    ShapeError
        Where the shapes differ: (N,) beside (N, 1) would make (N, N), a mistake that is hard to see.
    DtypeError
        Where they are complex.
    """
    x, y = og.promote(*operands.values(), floating=True, what=what)
    check_floats(x.spec)
    if x.ndim and y.ndim:
        if not x.shape.compatible_with(y.shape):
            (x_name, y_name), hint = operands, "; reshape one of them" * (x.ndim != y.ndim)
            raise og.ShapeError(f"{x_name} {x.shape} and {y_name} {y.shape} must have the same shape{hint}")
        if not (x.shape.is_known and y.shape.is_known):
            x = og.ensure_shape_like(x, y)
    return x, y
