"""Whether values agree that ought to: bit by bit, or to rounding."""

import dataclasses
import struct
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.case import Failed

Array: TypeAlias = NDArray[Any]


def expect_same(found: Sequence[Array], expected: Sequence[Array], what: str, rounding: bool = False) -> None:
    """Raise `Failed` where arrays differ in shape or dtype, or in a bit of a value; a NaN is like any other.

    Parameters
    ----------
    found, expected
        As many of one as of the other.
    what
        How the message begins: what `found` is.
    rounding
        Allow floats to differ by the square root of their dtype's spacing, of the larger one or of the array's
        largest. NumPy sums in another order, and takes another loop for a function, where strides differ; that
        is a few units in the last place, which a difference within the kernel may magnify. What was read from or
        written to a wrong place is off by a good part of the value.
    """
    if len(found) != len(expected):
        raise Failed(f"{what}: {len(found)} values where there should be {len(expected)}")
    for o, (value, wanted) in enumerate(zip(found, expected, strict=True)):
        where = what if len(found) == 1 else f"{what}, value {o} of {len(found)}"
        if (value.shape, value.dtype) != (wanted.shape, wanted.dtype):
            raise Failed(f"{where} is {value.shape} {value.dtype}, not {wanted.shape} {wanted.dtype}")
        same = _nearly(value, wanted) if rounding and value.dtype.kind in "fc" else _same_bits(value, wanted)
        if not same.all():
            worst = tuple(int(k) for k in np.unravel_index(np.argmin(same), same.shape))
            raise Failed(
                f"{where} at {worst} is {value[worst]}, not {wanted[worst]}; "
                f"{same.size - np.count_nonzero(same)} of {same.size} differ",
                index=worst,
                found=str(value[worst]),
                expected=str(wanted[worst]),
            )


def are_same(found: Sequence[Array], expected: Sequence[Array]) -> bool:
    """Whether arrays agree in shape, dtype and every bit."""
    try:
        expect_same(found, expected, "")
    except Failed:
        return False
    return True


def _same_bits(a: Array, b: Array) -> NDArray[np.bool]:
    same = np.asarray((a == b) | ((a != a) & (b != b)))
    if a.dtype.kind == "f":
        same &= (np.signbit(a) == np.signbit(b)) | np.isnan(a)  # 0.0 is not -0.0
    if a.dtype.kind == "c":
        same = _same_bits(a.real, b.real) & _same_bits(a.imag, b.imag)
    return same


def _nearly(a: Array, b: Array) -> NDArray[np.bool]:
    if a.dtype.kind == "c":
        return np.asarray(_nearly(a.real, b.real) & _nearly(a.imag, b.imag))
    with np.errstate(all="ignore"):
        sizes = np.abs(b)
        largest = sizes.max(initial=0, where=np.isfinite(sizes))
        tolerance = np.sqrt(float(np.finfo(a.dtype).eps)) * np.maximum(sizes, largest)
        return np.asarray((a == b) | ((a != a) & (b != b)) | (np.abs(a - b) <= tolerance))


def attribute_bits(op: og.Op) -> dict[str, Any]:
    """Return the attributes by name, as what tells them apart by type and bits."""
    # op.attributes(), which a subclass might change, is among what is checked
    return {f.name: bits_of(getattr(op, f.name)) for f in dataclasses.fields(op)}  # type: ignore[arg-type]  # subclasses are dataclasses


def bits_of(value: Any) -> Any:
    """Return what tells attributes apart by type and bits."""
    if isinstance(value, tuple):
        return (type(value), *map(bits_of, value))
    if isinstance(value, complex):
        return (complex, struct.pack("dd", value.real, value.imag))
    return (float, struct.pack("d", value)) if isinstance(value, float) else (type(value), value)
