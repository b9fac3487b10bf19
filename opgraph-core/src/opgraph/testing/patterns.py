"""A guess, in words, at what is wrong with a gradient: what was done to the right one to get it."""

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

CLOSE = 1e-5  # of the largest; a guess need not be exact, for it is held against differences
NAMED = {
    np.log(2.0): "ln 2",
    1 / np.log(2.0): "1 / ln 2",
    np.pi: "π",
    np.log(10.0): "ln 10",
    1 / np.log(10.0): "1 / ln 10",
}

Floats = NDArray[np.float64]


def guess(
    analytic: Floats,
    numeric: Floats,
    inner: Sequence[int] | None = None,
    outer: Sequence[int] = (),
    parts: bool = False,
) -> str:
    """Return what seems to be wrong with `analytic`, or an empty string.

    Parameters
    ----------
    analytic, numeric : array, (m, …x)
        Derivatives of each of m values by each element of an input.
    inner
        The input's shape, where it is not said by the derivatives' shape: without a last axis of real and
        imaginary parts.
    outer
        The output's shape, for the names of sizes.
    parts
        Whether the last axis holds the real and the imaginary parts of complex numbers.
    """
    if analytic.shape != numeric.shape:
        return _of_shapes(analytic.shape[1:], numeric.shape[1:])
    if not analytic.size or not np.isfinite(numeric).any():
        return ""
    numeric = np.where(np.isfinite(numeric), numeric, 0.0)
    bad = ~(np.abs(analytic - numeric) <= CLOSE * np.maximum(np.abs(numeric), 1e-3 * np.abs(numeric).max()))
    if not bad.any():
        return ""
    if not np.isfinite(analytic).all():
        nan = np.asarray(~np.isfinite(analytic))
        return f"not finite at {'every element' if nan.all() else _places(nan)}"
    if not analytic.any():
        return "zero throughout: the vjp returns None, or forgets this input"
    shape = tuple(analytic.shape[1:] if inner is None else inner)
    for found in (
        _factor(analytic, numeric, (*shape, *outer)),
        _conjugated(analytic, numeric) if parts else "",
        _rearranged(analytic, numeric, shape),
        _reduced(analytic, numeric),
        _at_places(analytic, numeric, bad, shape),
        _factor_by_element(analytic, numeric, bad),
        _missing(analytic, bad),
        _at_some(analytic, bad, shape),
    ):
        if found:
            return found
    return ""


def _of_shapes(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if sorted(found) == sorted(wanted):
        return f"transposed: of shape {found} for an input of shape {wanted}"
    return f"a broadcast axis not summed, or the wrong one: of shape {found} for an input of shape {wanted}"


def _same(a: Floats, b: Floats) -> bool:
    """Whether two arrays are close, and not because there is nothing in them."""
    largest = float(np.abs(b).max(initial=0.0))
    return largest > 0 and bool((np.abs(a - b) <= CLOSE * largest).all())


def _factor(analytic: Floats, numeric: Floats, sizes: Sequence[int]) -> str:
    scale = float(np.abs(numeric).max())
    if scale == 0.0:
        return ""
    a, n = analytic / scale, numeric / scale  # squares of what is huge would overflow
    k = float(np.sum(a * n) / np.sum(n * n))
    if k == 0.0 or not _same(a, k * n):
        return ""
    if abs(k + 1.0) < CLOSE:
        return "the sign is wrong"
    name = _named(k, sizes)
    # a single number is some factor of another, which says nothing unless it is a telling one
    return f"a constant factor of {name}" if numeric.size > 1 or "." not in name else ""


def _named(k: float, sizes: Sequence[int] = ()) -> str:
    """Return a factor in words that tell where it may come from."""
    for value, name in NAMED.items():
        if abs(abs(k) - value) < CLOSE * value:
            return ("-" if k < 0 else "") + name
    fraction = Fraction(k).limit_denominator(64)
    if abs(k - float(fraction)) >= CLOSE * abs(k) or fraction == 1:
        return f"{k:.8g}"
    products: dict[int, str] = {}
    for number in range(1, len(sizes) + 1):
        for chosen in itertools.combinations(sizes, number):
            products.setdefault(int(np.prod(chosen)), " × ".join(f"size {size}" for size in chosen))
    for top, bottom, form in (
        (fraction.numerator, fraction.denominator, "{}"),
        (fraction.denominator, fraction.numerator, "1 / {}"),
    ):
        if abs(bottom) == 1 and abs(top) > 1 and abs(top) in products:
            return f"{fraction} ({form.format(products[abs(top)])})"
    return str(fraction)


def _conjugated(analytic: Floats, numeric: Floats) -> str:
    flipped = numeric * np.array([1.0, -1.0])
    if _same(analytic, flipped):
        return "a conjugate is missing, or is one too many"
    if len(numeric) % 2 == 0:  # rows of real and imaginary parts: the matrix of a product with the conjugate
        turned = numeric * np.where(np.arange(len(numeric)) % 2, -1.0, 1.0).reshape(-1, *[1] * (numeric.ndim - 1))
        if _same(analytic, turned * np.array([1.0, -1.0])):
            return "a conjugate is missing, or is one too many"
    if _same(analytic[..., 0], numeric[..., 0]) and not analytic[..., 1].any():
        return "the imaginary part is lost"
    return ""


def _rearranged(analytic: Floats, numeric: Floats, shape: tuple[int, ...]) -> str:
    """Look for the right values in the wrong places: along an axis shifted or reversed, or transposed."""
    rest = numeric.shape[1 + len(shape) :]
    long = [axis for axis, size in enumerate(shape) if size > 1]
    for number in range(1, len(long) + 1):
        for axes in itertools.combinations(long, number):
            if _same(analytic, np.flip(numeric, tuple(1 + axis for axis in axes))):
                return f"reversed along axis {', '.join(map(str, axes))}"
    for axis, size in enumerate(shape):
        for by in (1, -1, 2, -2):
            if abs(by) >= size:
                continue
            if _same(analytic, np.roll(numeric, by, 1 + axis)):
                return f"shifted by {by} along axis {axis}"
            kept = [slice(None)] * analytic.ndim
            kept[1 + axis] = slice(by, None) if by > 0 else slice(None, by)
            inside = tuple(kept)
            if size > 2 and _same(analytic[inside], np.roll(numeric, by, 1 + axis)[inside]):
                return f"shifted by {by} along axis {axis}"
    if len(shape) <= 5:
        for order in itertools.permutations(range(len(shape))):
            if order == tuple(range(len(shape))):
                continue
            swapped = numeric.transpose(0, *(1 + k for k in order), *range(1 + len(shape), numeric.ndim))
            if _same(analytic, swapped.reshape(len(numeric), *shape, *rest)):
                return f"transposed: the axes of the input come in the order {order}"
            turned = [shape[k] for k in order]
            inverse = np.argsort(order)
            again = numeric.reshape(len(numeric), *turned, *rest)
            again = again.transpose(0, *(1 + int(k) for k in inverse), *range(1 + len(shape), again.ndim))
            if _same(analytic, again):
                return f"transposed: reshaped as if the axes of the input came in the order {order}"
    return ""


def _reduced(analytic: Floats, numeric: Floats) -> str:
    for axis in range(1, numeric.ndim):
        size = numeric.shape[axis]
        if size < 2:
            continue
        total = np.broadcast_to(numeric.sum(axis, keepdims=True), numeric.shape)
        for value, word in ((total, "summed"), (total / size, "averaged")):
            if _same(analytic, value) and not _same(numeric, value):
                return f"{word} over axis {axis - 1} of the input, and spread again"
        first = np.broadcast_to(numeric.take([0], axis), numeric.shape)
        if _same(analytic, first) and not _same(numeric, first):
            return f"the first along axis {axis - 1} of the input, repeated"
    # outputs, the first axis, that were mixed: every row the same
    if len(numeric) > 1 and _same(analytic, np.broadcast_to(analytic[:1], analytic.shape)):
        return "the same for every element of the output: its axes were summed"
    return ""


def _at_places(analytic: Floats, numeric: Floats, bad: NDArray[np.bool_], shape: tuple[int, ...]) -> str:
    """Look at which elements of the input are wrong."""
    elements = np.asarray(bad.any(axis=(0, *range(1 + len(shape), bad.ndim))))
    if elements.all() or elements.size < 2:
        return ""
    where = np.argwhere(elements)
    factor = _factor(analytic[bad], numeric[bad], ())
    what = f" ({factor})" if factor else ""
    # a border is told from the rest only where there is a rest
    for axis, size in enumerate(shape):
        if size > 2:
            hit = {int(k) for k in where[:, axis]}
            if hit <= {0, size - 1}:
                ends = " and ".join("first" if k == 0 else "last" for k in sorted(hit))
                return f"only at the border: the {ends} along axis {axis}{what}"
            if len(hit) == 1:
                return f"only at index {hit.pop()} of axis {axis}{what}"
    if len(shape) > 1 and all(size > 2 for size in shape):
        border = np.ones(shape, bool)
        border[(slice(1, -1),) * len(shape)] = False
        if not (elements & ~border).any():
            return f"only at the border{what}"
    return ""


def _at_some(analytic: Floats, bad: NDArray[np.bool_], shape: tuple[int, ...]) -> str:
    elements = np.asarray(bad.any(axis=(0, *range(1 + len(shape), bad.ndim))))
    return "" if elements.all() else f"only at some elements of the input, {_places(elements)}"


def _factor_by_element(analytic: Floats, numeric: Floats, bad: NDArray[np.bool_]) -> str:
    """Look for a factor that depends on the input's element, or on the output's, alone."""
    missing = numeric[bad] == 0.0
    if missing.all():
        return "where it should be zero it is not: something flows that should not"
    with np.errstate(all="ignore"):
        ratio = np.where(np.abs(numeric) > 1e-6 * np.abs(numeric).max(), analytic / numeric, np.nan)
    flat = ratio.reshape(len(ratio), -1)
    for values, of in ((flat, "the input"), (flat.T, "the output")):
        lines = [line[~np.isnan(line)] for line in values.T]
        lines = [line for line in lines if len(line)]
        if max(map(len, lines), default=0) > 1 and all(np.ptp(line) <= 1e-4 * np.abs(line).max() for line in lines):
            factors = [float(line[0]) for line in lines if abs(line[0] - 1.0) > CLOSE]
            shown = ", ".join(_named(k) for k in factors[:3])
            return f"a factor that differs by element of {of}: {shown}{', …' * (len(factors) > 3)}"
    return ""


def _missing(analytic: Floats, bad: NDArray[np.bool_]) -> str:
    if not analytic[bad].any():
        return "zero where it should not be: a part of the gradient is missing"
    return ""


def _places(mask: NDArray[np.bool_]) -> str:
    """Return some of the indices at which `mask` holds."""
    shown = ", ".join(str(tuple(map(int, index))) for index in np.argwhere(mask)[:3])
    return shown + ", …" * (int(mask.sum()) > 3)
